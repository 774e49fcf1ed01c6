"""Damage a good file in every place, and see what its readers make of each version.

Versions are read in a confined child, many in a row. When one breaks the child off, the batch is halved
until that version stands alone; it then counts as refused, as it does for a user, whose child reads nothing
else. Of the others comes back what was read: of a table its column names, and every cell as text; of a model
its tensors' names with their shapes, and every number as text.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medprune import BadInput
from medprune.intake import Limits
from medprune.intake.child import ANSWER, asked
from medprune.intake.table_bytes import table_of
from medprune.intake.worker import serve, tensors_of

LIMITS = Limits(memory=3 * 2**30, cpu=200, wall=400.0)
BATCH = 100
Change = tuple[str, int, int]  # "cut" at a place, or "flip" these bits of the byte at a place


@dataclass(frozen=True)
class Seen:
    """What became of one version: its sentence when it was refused, else its names and cells."""

    change: Change
    refused: str
    names: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]  # a column each

    @property
    def rows(self) -> list[tuple[str, ...]]:
        return list(zip(*self.cells, strict=True))


def cuts(data: bytes, count: int = 64) -> list[Change]:
    """The file's first bytes, up to ``count`` places that are evenly spread and a few at both ends."""
    places = {0, 1, 8, len(data) - 8, len(data) - 1, *(k * len(data) // count for k in range(count))}
    return [("cut", place, 0) for place in sorted(places)]


def flips(data: bytes, count: int, seed: int = 0) -> list[Change]:
    """One byte changed, at ``count`` places."""
    rng = random.Random(seed)
    return [("flip", rng.randrange(len(data)), rng.randrange(1, 256)) for _ in range(count)]


def changed(data: bytes, change: Change) -> bytes:
    kind, place, bits = change
    if kind == "cut":
        return data[:place]
    return data[:place] + bytes([data[place] ^ bits]) + data[place + 1 :]


def swept(data: bytes, name: str, changes: Sequence[Change], kind: str = "table") -> list[Seen]:
    """What became of each version of a table or a model, in order."""
    seen: list[Seen] = []
    for first in range(0, len(changes), BATCH):
        seen += _batch(data, name, changes[first : first + BATCH], kind)
    return seen


def _batch(data: bytes, name: str, changes: Sequence[Change], kind: str) -> list[Seen]:
    request = {"name": name, "changes": list(changes), "kind": kind}
    try:
        with asked(
            "sweep", data, request, title=repr(name), limits=LIMITS, worker="tests.hostile.sweep"
        ) as answer:
            told = json.loads(answer.file(ANSWER))["seen"]
    except BadInput as error:
        if len(changes) == 1:
            return [Seen(changes[0], error.sentence, (), ())]
        half = len(changes) // 2
        return [*_batch(data, name, changes[:half], kind), *_batch(data, name, changes[half:], kind)]
    return [Seen(c, s, tuple(n), tuple(map(tuple, k))) for c, (s, n, k) in zip(changes, told, strict=True)]


def _sweep(data: bytes, request: Mapping[str, Any]) -> dict[str, Any]:
    """In the child: every version, read as a user's file is."""
    read = {"table": _table, "model": _model}[request["kind"]]
    return {"seen": [read(changed(data, tuple(c)), request["name"]) for c in request["changes"]]}


def _model(data: bytes, name: str) -> tuple[str, list[str], list[list[str]]]:
    try:
        tensors = tensors_of(data, name).tensors
    except BadInput as error:
        return error.sentence, [], []
    names = [f"{key} {tuple(value.shape)}" for key, value in tensors.items()]
    return "", names, [[str(number) for number in value.ravel().tolist()] for value in tensors.values()]


def _table(data: bytes, name: str) -> tuple[str, list[str], list[list[str]]]:
    try:
        table = table_of(data, name=name).table
    except BadInput as error:
        return error.sentence, [], []
    return "", table.column_names, [[str(cell) for cell in column.to_pylist()] for column in table.columns]


if __name__ == "__main__":
    serve({"sweep": _sweep})
