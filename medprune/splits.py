"""Who is in which split: patients, not rows, are dealt to train, tuning and test (60 / 20 / 20).

The deal depends on the table's content and the seed, not on the order of the rows or columns. A model
carries it along as a :class:`SplitRecord` of hashed patient identifiers, so that later verbs reuse it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medprune.errors import BadInput
from medprune.intake.columns import TypedColumn, as_text
from medprune.intake.missing import NUMBER_MISSING

SPLITS = ("train", "tuning", "test")
TRAIN, TUNING, TEST = range(3)
# Dealt in rounds of five to patients sorted by outcome: any five neighbours hold one tuning patient, one
# test patient and three train patients, so a class of five or more is in every split.
ROUND = np.array((TRAIN, TUNING, TRAIN, TEST, TRAIN), dtype=np.int64)
NOWHERE = -1
HASH_BYTES = 8
LITTLE = np.dtype("<u8")


@dataclass(frozen=True, eq=False)
class SplitRecord:
    """The split of a table by hashed patients (sorted uint64 arrays), as a model carries it."""

    table_hash: str
    seed: int
    patient: str | None
    train: NDArray[np.uint64]
    tuning: NDArray[np.uint64]
    test: NDArray[np.uint64]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SplitRecord) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash((self.table_hash, self.seed, self.patient))

    def to_json(self) -> dict[str, Any]:
        """Plain values; the identifiers are base64 of little-endian 8-byte integers."""
        ids = {
            name: base64.b64encode(getattr(self, name).astype(LITTLE).tobytes()).decode() for name in SPLITS
        }
        return {"table_hash": self.table_hash, "seed": self.seed, "patient": self.patient, **ids}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> SplitRecord:
        """The inverse of :meth:`to_json`; BadInput when the record is damaged."""
        try:
            ids = {name: _ids_from(value[name]) for name in SPLITS}
            patient = value["patient"]
            return cls(
                table_hash=str(value["table_hash"]),
                seed=int(value["seed"]),
                patient=None if patient is None else str(patient),
                **ids,
            )
        except (KeyError, TypeError, ValueError, binascii.Error):
            raise BadInput(
                "The model's record of its train, tuning and test patients is damaged; save the model again."
            ) from None

    def splits_of(self, patients: NDArray[np.uint64]) -> NDArray[np.int64]:
        """For every row (N,) the place of its split in SPLITS, or NOWHERE for a patient not on record."""
        known = np.concatenate([getattr(self, name) for name in SPLITS])
        place = np.repeat(np.arange(len(SPLITS)), [len(getattr(self, name)) for name in SPLITS])
        if not len(known):
            return np.full(len(patients), NOWHERE, dtype=np.int64)
        order = np.argsort(known)
        at = np.minimum(np.searchsorted(known[order], patients), len(known) - 1)
        found = known[order][at] == patients
        return np.where(found, place[order][at], NOWHERE).astype(np.int64)


def _ids_from(text: str) -> NDArray[np.uint64]:
    return np.frombuffer(base64.b64decode(text, validate=True), dtype=LITTLE).astype(np.uint64)


def deal(
    patients: NDArray[np.uint64],
    outcome: NDArray[np.int64],
    seed: int | Sequence[int],
    places: NDArray[np.int64] = ROUND,
) -> NDArray[np.int64]:
    """Deal every row (N,) to a split (its place in SPLITS), whole patients at a time, stratified by outcome.

    ``places`` are dealt in rounds to patients sorted by outcome. A patient with several outcomes counts
    under the highest class.
    """
    ids, of_row = np.unique(patients, return_inverse=True)
    stratum = np.zeros(len(ids), dtype=np.int64)
    np.maximum.at(stratum, of_row, outcome)
    shuffled = np.random.default_rng(seed).permutation(len(ids))
    order = shuffled[np.argsort(stratum[shuffled], kind="stable")]
    split = np.empty(len(ids), dtype=np.int64)
    split[order] = np.resize(places, len(ids))
    return split[of_row]


def cells_of(columns: Sequence[TypedColumn]) -> NDArray[np.uint64]:
    """The table (N, columns) with one 8-byte word a cell: a number's bits, or the hash of a text.

    Equal cells have equal words, whether they came as CSV, as Parquet or as a data frame.
    """
    words = np.empty((len(columns[0].values), len(columns)), dtype=LITTLE)
    for place, column in enumerate(columns):
        if column.kind == "number":
            numbers = column.values.to_numpy(np.float64) + 0.0  # -0.0 becomes 0.0
            words[:, place] = np.where(np.isnan(numbers), np.nan, numbers).view(np.uint64)
        else:
            words[:, place] = _text_words(column.values)
    cells: NDArray[np.uint64] = words.astype(np.uint64, copy=False)
    return cells


def _text_words(values: pd.Series, salt: bytes = b"") -> NDArray[np.uint64]:
    codes, texts = pd.factorize(values.to_numpy())
    hashed = [_word(str(text).encode("utf-8", "surrogatepass"), salt) for text in texts]
    missing = _word(b"", b"missing")
    words: NDArray[np.uint64] = np.array([*hashed, missing], dtype=np.uint64)[
        codes
    ]  # a missing value has code -1
    return words


def _word(data: bytes, salt: bytes = b"") -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=HASH_BYTES, key=salt).digest(), "little")


def row_hashes(cells: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One 8-byte hash (N,) of every row of :func:`cells_of`."""
    data = cells.astype(LITTLE).tobytes()
    step = cells.shape[1] * HASH_BYTES
    hashed = (_word(data[start : start + step]) for start in range(0, len(data), step))
    return np.fromiter(hashed, dtype=np.uint64, count=len(cells))


def table_hash(columns: Sequence[TypedColumn]) -> tuple[str, NDArray[np.uint64]]:
    """sha256 of the table, blind to the order of rows and columns; and the hash of every row (N,)."""
    ordered = sorted(columns, key=lambda column: column.name)
    rows = row_hashes(cells_of(ordered))
    names = "\x1f".join(column.name for column in ordered).encode("utf-8", "surrogatepass")
    return hashlib.sha256(names + b"\0" + np.sort(rows).astype(LITTLE).tobytes()).hexdigest(), rows


def patients_of(
    rows: NDArray[np.uint64], ids: pd.Series | None, table: str
) -> tuple[NDArray[np.uint64], int]:
    """The hashed patient (N,) of every row, and how many rows have no identifier.

    The hash is salted with the table's. Without a patient column every row is a patient of its own,
    known by its content; equal rows are told apart by counting them.
    """
    salt = bytes.fromhex(table)
    count = pd.Series(rows).groupby(rows).cumcount().to_numpy(np.uint64)
    if ids is None:
        return _own_patients(rows, count, salt), 0
    text = as_text(ids).str.removesuffix(".0")  # 12.0 in a CSV that a data frame wrote is patient 12
    missing = (text.isna() | text.isin(NUMBER_MISSING)).to_numpy(np.bool_)
    patients = _text_words(text.astype(object), salt)
    patients[missing] = _own_patients(rows[missing], count[missing], salt)
    return patients, int(missing.sum())


def _own_patients(rows: NDArray[np.uint64], count: NDArray[np.uint64], salt: bytes) -> NDArray[np.uint64]:
    pairs = np.stack((rows, count), axis=1).astype(LITTLE).tobytes()
    step = 2 * HASH_BYTES
    hashed = (_word(pairs[start : start + step], salt) for start in range(0, len(pairs), step))
    return np.fromiter(hashed, dtype=np.uint64, count=len(rows))
