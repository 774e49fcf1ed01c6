"""From a large table to blocks of prepared rows, each of so many rows that they would be cut so in memory.

The same rows in the same blocks give the same numbers to the last bit: sums in single precision depend on
where they are cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medprune.intake.columns import Feature, typed_for
from medprune.intake.large_table import LargeTable
from medprune.large.outcome import LargeOutcome
from medprune.model import BATCH
from medprune.outcome import UNKNOWN
from medprune.preparation import Preparation
from medprune.scoring import BATCH as SCORED

if TYPE_CHECKING:
    import pyarrow as pa

CELLS = 2**23  # of a block: 64 MiB of doubles


@dataclass(frozen=True, eq=False)
class Block:
    """Some rows in a row: columns (N, inputs) and, where one was asked for, outcomes (N,).

    ``done`` rows of ``of`` were read so far, those without an outcome included.
    """

    columns: NDArray[np.float32]
    outcome: NDArray[np.int64]
    done: int
    of: int


def rows_a_block(columns: int) -> int:
    """As many rows as a forward pass takes in memory; fewer, in whole scoring batches, of a wide table.

    >>> rows_a_block(50), rows_a_block(1_000)
    (65536, 8192)
    """
    return max(SCORED, min(BATCH, CELLS // max(columns, 1) // SCORED * SCORED))


def blocks(table: LargeTable, preparation: Preparation, outcome: LargeOutcome | None) -> Iterator[Block]:
    """The rows that have an outcome, or all rows where none is given, prepared and in order.

    Raises BadInput when a needed column is missing, or holds text where numbers are expected.
    """
    size = rows_a_block(max(len(preparation.features), len(preparation.columns)))
    columns = np.empty((size, len(preparation.columns)), dtype=np.float32)
    outcomes = np.empty(size, dtype=np.int64)
    filled = 0
    for x, y, done in _prepared(table, preparation, outcome, size):
        taken = 0
        while taken < len(x):
            step = min(size - filled, len(x) - taken)
            if step == size:  # a whole block as it is: nothing to put together
                yield Block(x, y, done, table.rows)
            else:
                columns[filled : filled + step] = x[taken : taken + step]
                outcomes[filled : filled + step] = y[taken : taken + step]
                filled += step
            taken += step
            if filled == size:
                yield Block(columns, outcomes, done, table.rows)
                columns, outcomes, filled = np.empty_like(columns), np.empty_like(outcomes), 0
    if filled:
        yield Block(columns[:filled], outcomes[:filled], table.rows, table.rows)


def _prepared(
    table: LargeTable, preparation: Preparation, outcome: LargeOutcome | None, size: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64], int]]:
    """Batches as the file gives them: columns, outcomes, and how many rows were read so far."""
    features = preparation.features
    names = [feature.name for feature in features]
    done = 0
    for batch in table.batches(list(dict.fromkeys([*names, *([outcome.name] if outcome else [])])), size):
        numbers, texts = _values(batch, features, done)
        x = preparation.encode(numbers, preparation.codes(texts))
        done += len(x)
        if outcome is None:
            yield x, np.zeros(len(x), dtype=np.int64), done
            continue
        y = outcome.index(raw_column(batch, outcome.name))
        known = y != UNKNOWN
        yield (x, y, done) if known.all() else (x[known], y[known], done)


def _values(
    batch: pa.RecordBatch, features: Sequence[Feature], first: int
) -> tuple[NDArray[np.float64], pd.DataFrame]:
    """Numbers (numbers, N), NaN missing, and a typed frame of the categories.

    Arrow's numbers are taken as they stand; whatever else a column holds goes through the intake's rules.
    """
    numbers = [feature.name for feature in features if feature.kind == "number"]
    plain = [name for name in numbers if _is_number(batch.column(name).type)]
    other = [feature for feature in features if feature.name not in plain]
    raw = pd.DataFrame({f.name: raw_column(batch, f.name) for f in other}, index=range(batch.num_rows))
    rest = typed_for(raw, other, first=first)
    values = np.empty((len(numbers), batch.num_rows))
    for place, name in enumerate(numbers):
        if name in rest:
            values[place] = rest[name].to_numpy(np.float64)
        else:
            values[place] = batch.column(name).to_numpy(zero_copy_only=False)
    values[np.isinf(values)] = np.nan
    clean = {feature.name: feature.clean for feature in features if feature.clean}
    for place, name in enumerate(numbers):
        if name in clean and name not in rest:
            values[place] = clean[name].numbers(values[place])
    return values, rest


def raw_column(batch: pa.RecordBatch, name: str) -> pd.Series:
    """One column as the intake knows it; an encoding by a dictionary says nothing about the cells."""
    values = batch.column(name).to_pandas()
    return values.astype(object) if isinstance(values.dtype, pd.CategoricalDtype) else values


def _is_number(kind: object) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))
