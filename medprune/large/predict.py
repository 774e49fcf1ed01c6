"""Risks for every row of a table larger than memory, straight to a file."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from medprune.intake.columns import typed_for
from medprune.intake.large_table import LargeTable
from medprune.large.ahead import ahead
from medprune.large.patients import Watch, unwatched
from medprune.large.rows import blocks
from medprune.model import RiskModel
from medprune.tables import risks_to
from medprune.training import few_threads


def predict_large(model: RiskModel, table: LargeTable, out: str | Path, *, watch: Watch = unwatched) -> int:
    """Write the risks of all rows to ``out``, as Parquet when its name ends so, as CSV otherwise.

    Row numbers from 1, and one column ``risk`` (binary) or ``risk_<class>``; whole or not at all. Memory
    does not grow with the rows. Returns how many rows. Raises BadInput when a needed column is missing or
    holds text where numbers are expected, and when ``out`` cannot be written.
    """
    typed_for(pd.DataFrame(columns=table.names), model.preparation.features)
    with risks_to(out, model.classes) as write, few_threads(model.network):  # the other core reads
        for block in watch(ahead(blocks(table, model.preparation, None))):
            write(model.risks_of(block.columns))
    return table.rows
