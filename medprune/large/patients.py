"""The patients of a table larger than memory: other ones than a model was made on, with a known outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medprune.censoring import told_of
from medprune.cohort import check_there, refuse_censoring
from medprune.errors import BadInput
from medprune.intake.columns import as_text
from medprune.intake.large_table import LargeTable
from medprune.intake.missing import NUMBER_MISSING
from medprune.large.ahead import ahead
from medprune.large.outcome import LargeOutcome, survey
from medprune.large.rows import Block, blocks, raw_column, rows_a_block
from medprune.model import RiskModel
from medprune.model_file import check_columns
from medprune.outcome import UNKNOWN
from medprune.splits import SPLITS

Watch = Callable[[Iterable[Block]], Iterable[Block]]  # sees every block pass: draws a progress bar
EXTERNAL = (
    "The patients are external: all are used to test, none to train or tune. Whether they are other ones "
    "than the model was made on is not checked in a table of this size."
)


def unwatched(passing: Iterable[Block]) -> Iterable[Block]:
    return passing


@dataclass(frozen=True, eq=False)
class LargePatients:
    """All rows of a large table that have an outcome; what :class:`medprune.cohort.Split` is in memory.

    Nothing of them is held; ``blocks`` reads them, each time anew.
    """

    name: str
    table: LargeTable
    outcome: LargeOutcome
    count: int  # patients
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.outcome.rows

    def told(self) -> str:
        """How many patients, and how many rows when that is not the same."""
        whose = f"{self.name} patients" if self.name in SPLITS else "patients"
        told = f"{self.count:,} {whose}"
        return told if self.count == len(self) else f"{told} ({len(self):,} rows)"

    def blocks(self, model: RiskModel, watch: Watch = unwatched) -> Iterator[Block]:
        """The rows prepared for the model, in order; the next block is read while one is in use."""
        yield from watch(ahead(blocks(self.table, model.preparation, self.outcome)))


def large_patients(
    table: LargeTable,
    model: RiskModel,
    *,
    outcome: str | None = None,
    positive: str | None = None,
    patient: str | None = None,
    exclude: Sequence[str] = (),
) -> LargePatients:
    """The patients of ``table`` whom ``model`` does not know, after a look at their outcomes.

    ``outcome`` is the model's unless another column is named; ``positive`` is the model's too, or a label
    or a cut-point such as ">0". Raises BadInput as :func:`medprune.load_cohort` does.
    """
    refuse_censoring(*told_of(model.origin.training) or (None, None))
    name = model.outcome if outcome is None else outcome
    check_there("outcome column", [name], table.names)
    check_there("patient column", [] if patient is None else [patient], table.names)
    check_there("column to exclude", exclude, table.names)
    if name == patient or name in exclude:
        raise BadInput(
            f"The outcome {name!r} cannot be the patient column or excluded too; name another column."
        )
    check_columns(model, [column for column in table.names if column != name])
    read = survey(
        _column(table, name),
        name,
        positive=model.positive if positive is None else positive,
        classes=model.classes,
    )
    without = table.rows - read.rows
    notes = (f"{without} of {table.rows} rows have no outcome and are left out.",) if without else ()
    found = LargePatients("all", table, read, read.rows, (*notes, EXTERNAL))
    return found if patient is None else replace(found, count=_count(found, patient))


def _column(table: LargeTable, name: str) -> Iterator[pd.Series]:
    return (raw_column(batch, name) for batch in table.batches([name], rows_a_block(1)))


def _count(rows: LargePatients, patient: str) -> int:
    """How many patients the rows belong to; a row without an identifier is one of its own."""
    names, unnamed = list(dict.fromkeys([rows.outcome.name, patient])), 0
    ids: NDArray[np.uint64] = np.empty(0, dtype=np.uint64)
    for batch in rows.table.batches(names, rows_a_block(1)):
        known = rows.outcome.index(raw_column(batch, rows.outcome.name)) != UNKNOWN
        text = as_text(raw_column(batch, patient)).str.removesuffix(".0")[known]
        missing = (text.isna() | text.isin(NUMBER_MISSING)).to_numpy(np.bool_)
        unnamed += int(missing.sum())
        hashed = pd.util.hash_array(text[~missing].to_numpy(object), categorize=False)
        ids = np.union1d(ids, hashed)
    return len(ids) + unnamed
