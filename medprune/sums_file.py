"""The file in which a site's sums leave the house: JSON that whoever must let it go can read.

It holds sums, counts, and the names that the model file has too; no row, no identifier, nothing of the table
but those. A file from elsewhere is not trusted: it is bounded in size, every name, count and number is
checked, and nothing in it is executed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medprune.criteria import CRITERIA, ScoreSums, Totals
from medprune.errors import BadInput
from medprune.federated import Agreed, SiteSums, merge_sums
from medprune.model import RiskModel
from medprune.scoring import Contributions
from medprune.site_counts import Counts
from medprune.tables import write_whole

FORMAT = 1
KEY = "medprune_sums"
MOST_BYTES = 64 << 20  # about two million sums
MOST_SITES = 10_000
MOST_NAMES = 20_000
LONGEST_NAME = 1_000
MOST_PATIENTS = 1 << 53  # counts are exact up to there
LARGEST_SUM = 1e300
KINDS = SCORES, RATES = "scores", "class rates"
HASH, SITE = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{32}")

Array = NDArray[np.float64]


def save_sums(sums: SiteSums, path: str | Path) -> Path:
    """Write sums to ``path``, whole or not at all. Raises BadInput when that cannot be done."""
    return write_whole(path, sums_bytes(sums), "the sums")


def load_sums(path: str | Path) -> SiteSums:
    """The sums in a file; BadInput in one sentence when it is not one, or was damaged or tampered with."""
    place = Path(path)
    try:
        with place.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise BadInput(
            f"The sums in {str(path)!r} cannot be read ({error.strerror}); check the name."
        ) from error
    return sums_from(data, place.name)


def is_sums(told: Any) -> TypeGuard[dict[str, Any]]:
    """Whether JSON claims to be sums."""
    return isinstance(told, dict) and KEY in told


def load_scores(path: str | Path, model: RiskModel | None = None) -> Contributions:
    """The scores in a file of sums, of one site or merged; with ``model``, BadInput unless they are its."""
    return load_sums(path).contributions(model)


def merge_files(paths: Sequence[str | Path]) -> SiteSums:
    """The sums of all these files together; one file is held at a time."""
    whole = load_sums(paths[0])
    for path in paths[1:]:
        part = load_sums(path)
        try:
            whole = merge_sums((whole, part))
        except BadInput as error:
            raise BadInput(
                f"{Path(path).name!r} does not go with those before it: {_lower(error)}"
            ) from error
    return whole


def _lower(error: BadInput) -> str:
    return error.sentence[0].lower() + error.sentence[1:]


def sums_bytes(sums: SiteSums) -> bytes:
    """The file of these sums; floats are written so that they are read back to the last bit."""
    agreed, counts = sums.agreed, sums.counts
    told: dict[str, Any] = {
        KEY: FORMAT,
        "kind": RATES if sums.scores is None else SCORES,
        "model": agreed.model,
        "preparation": agreed.preparation,
        "outcome": agreed.outcome,
        "classes": agreed.classes,
        "layers": agreed.layers,
        "columns": agreed.columns,
        "features": agreed.features,
        "criterion": agreed.criterion,
        "settings": json.loads(agreed.settings),
        "balanced": agreed.balanced,
        "sites": sums.sites,
        "patients": counts.patients,
        "patients_of_class": counts.of_class,
        "rows_of_class": counts.rows,
    }
    if sums.risks is not None:
        told["risks"] = sums.risks.tolist()
    if sums.scores is not None:
        told["over"] = sums.scores.patients.tolist()
        told["sums"] = _plain(sums.scores.scores)
        told["squares"] = None if sums.scores.squares is None else _plain(sums.scores.squares)
    lines = (f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in told.items())
    data = ("{\n" + ",\n".join(lines) + "\n}\n").encode("ascii")  # a line an entry: its head can be read
    if len(data) > MOST_BYTES:
        raise BadInput(
            f"The sums of this model take {len(data) >> 20} MB, and a file of sums holds {MOST_BYTES >> 20} "
            "MB; prune it a little first, or score it in Python."
        )
    return data


def _plain(totals: Totals) -> dict[str, Any]:
    return {
        "weights": [total.tolist() for total in totals.weights],
        "neurons": [total.tolist() for total in totals.units],
        "features": totals.features.tolist(),
    }


# --- reading what somebody else wrote ---------------------------------------------------------------


def sums_from(data: bytes, name: str) -> SiteSums:
    """The sums in the bytes of a file called ``name``."""
    if len(data) > MOST_BYTES:
        raise BadInput(
            f"{name!r} is larger than {MOST_BYTES >> 20} MB, so it is no file of sums; choose another."
        )
    try:
        told = json.loads(
            data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant, parse_int=_whole
        )
    except (ValueError, RecursionError):
        told = None
    if not is_sums(told):
        raise BadInput(
            f"{name!r} is no file of sums; name one that `medprune score --out NAME.json` wrote (a CSV of "
            "scores holds means, which cannot be merged)."
        )
    if isinstance(told[KEY], int) and told[KEY] > FORMAT:
        raise BadInput(f"{name!r} was written by a newer MedPrune; update this one to read it.")
    try:
        return _sums_of(told)
    except (KeyError, TypeError, ValueError, OverflowError, BadInput) as error:
        raise BadInput(
            f"The sums in {name!r} are damaged or do not fit each other; ask that site to score again."
        ) from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key twice")
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _whole(text: str) -> int:
    if len(text) > 20:  # noqa: PLR2004 - digits of the largest count, and more
        raise ValueError("a number too long")
    return int(text)


def _sums_of(told: Mapping[str, Any]) -> SiteSums:
    if told[KEY] != FORMAT or told["kind"] not in KINDS:
        raise ValueError("another kind of file")
    agreed = _agreed(told)
    counts = _counts(told, len(agreed.classes))
    sites = tuple(_text(site, SITE) for site in _list(told["sites"], MOST_SITES))
    if not sites or len(set(sites)) < len(sites):
        raise ValueError("a site twice, or none")
    if told["kind"] == RATES:
        risks = _numbers(told["risks"], (len(agreed.classes),) * 2)
        if not np.allclose(risks.sum(axis=1), counts.rows, rtol=1e-4, atol=1e-3):
            raise ValueError("risks of other patients")
        return SiteSums(agreed, counts, sites, risks=risks)
    return SiteSums(agreed, counts, sites, scores=_scores(told, agreed, counts))


def _agreed(told: Mapping[str, Any]) -> Agreed:
    settings, balanced = told["settings"], told["balanced"]
    if not isinstance(settings, dict) or not isinstance(balanced, bool):
        raise TypeError("settings of another kind")
    criterion = _text(told["criterion"])
    CRITERIA.get(criterion)
    names = {name: _names(told[name]) for name in ("classes", "layers", "columns", "features")}
    if len(names["classes"]) < 2 or not names["layers"]:  # noqa: PLR2004
        raise ValueError("too few names")
    return Agreed(
        model=_text(told["model"], HASH),
        preparation=_text(told["preparation"], HASH),
        outcome=_text(told["outcome"]),
        criterion=criterion,
        settings=json.dumps(settings, sort_keys=True),
        balanced=balanced,
        **names,
    )


def _counts(told: Mapping[str, Any], classes: int) -> Counts:
    of_class = tuple(_count(n) for n in _list(told["patients_of_class"], classes))
    rows = tuple(_count(n) for n in _list(told["rows_of_class"], classes))
    counts = Counts(_count(told["patients"]), of_class, rows)
    possible = all(
        0 <= n <= min(counts.patients, r) and (n > 0) == (r > 0) for n, r in zip(of_class, rows, strict=True)
    )
    if len(rows) != classes or not possible or sum(of_class) < counts.patients or counts.patients < 1:
        raise ValueError("impossible counts")
    return counts


def _scores(told: Mapping[str, Any], agreed: Agreed, counts: Counts) -> ScoreSums:
    over = _numbers(told["over"], (len(agreed.classes),))
    everybody = np.full(len(over), sum(counts.rows))
    by_class = CRITERIA.get(agreed.criterion).classes_are_predicted
    if not np.array_equal(over, everybody if by_class else counts.rows):
        raise ValueError("sums over other patients")
    signed = bool(json.loads(agreed.settings).get("signed", False))
    totals = _totals(told["sums"], agreed, signed=signed)
    squares = None if told["squares"] is None else _totals(told["squares"], agreed, signed=False)
    nobody = torch.tensor(over == 0)
    for total in (*totals.weights, *totals.units, totals.features):
        if bool(total[nobody].any()):
            raise ValueError("sums over nobody")
    return ScoreSums(totals, torch.from_numpy(over), squares)


def _totals(told: Any, agreed: Agreed, *, signed: bool) -> Totals:
    """Totals whose shapes follow each other from the columns to the classes."""
    classes, hidden = len(agreed.classes), len(agreed.layers) - 1
    units = [_numbers(part, (classes, None)) for part in _list(told["neurons"], hidden)]
    weights = _list(told["weights"], hidden + 1)
    widths = [len(agreed.columns), *(part.shape[1] for part in units), classes]
    if len(units) != hidden or len(weights) != hidden + 1:
        raise ValueError("layers are missing")
    return Totals(
        weights=[
            torch.from_numpy(_numbers(part, (classes, out, into), signed=signed))
            for part, into, out in zip(weights, widths[:-1], widths[1:], strict=True)
        ],
        units=[torch.from_numpy(part) for part in units],
        features=_tensor(told["features"], (classes, len(agreed.features))),
    )


def _tensor(value: Any, shape: tuple[int | None, ...]) -> Tensor:
    return torch.from_numpy(_numbers(value, shape))


def _numbers(value: Any, shape: tuple[int | None, ...], *, signed: bool = False) -> Array:
    """Numbers of this shape (None: any length): finite, and not below 0 unless ``signed``."""
    found = np.array(value)
    if found.dtype.kind not in "fi" or found.ndim != len(shape):
        raise ValueError("no numbers")
    if any(want is not None and have != want for have, want in zip(found.shape, shape, strict=True)):
        raise ValueError("another shape")
    numbers: Array = found.astype(np.float64)
    if not (np.abs(numbers) <= LARGEST_SUM).all() or (not signed and bool((numbers < 0).any())):
        raise ValueError("impossible sums")
    return numbers


def _list(value: Any, most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise TypeError("no list, or too long a one")
    return value


def _names(value: Any) -> tuple[str, ...]:
    return tuple(_text(name) for name in _list(value, MOST_NAMES))


def _text(value: Any, pattern: re.Pattern[str] | None = None) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_NAME or (pattern and not pattern.fullmatch(value)):
        raise TypeError("no name")
    return value


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST_PATIENTS:
        raise TypeError("no count")
    return value
