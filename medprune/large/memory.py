"""What reading in batches takes, told before it starts."""

from __future__ import annotations

from medprune.intake.large_table import LargeTable
from medprune.large.rows import rows_a_block
from medprune.model import RiskModel

BASE = 450  # MiB: Python, PyTorch and the rest, and what they hold while they compute
SWEPT = 120  # bytes a patient of a sweep: the outcome, one threshold's risks, and what ranks them
COPIES = 8  # of a block's doubles: as read, as prepared, waiting and in use
PAGES = 3  # MiB a column: what the reader holds of a file


def ceiling(model: RiskModel) -> int:
    """The memory in MiB that reading in batches for this model stays under, whatever the rows."""
    columns = max(len(model.preparation.columns), len(model.features))
    units = max(model.network.spec.widths)
    rows = rows_a_block(columns)
    return BASE + PAGES * len(model.features) + COPIES * rows * 8 * (columns + units) // 2**20


def in_batches(model: RiskModel, table: LargeTable, *, bytes_a_row: int = 0) -> str:
    """The sentence that says so; ``bytes_a_row`` are held beside the batches."""
    columns = max(len(model.preparation.columns), len(model.features))
    return (
        f"{table.rows:,} rows are read in batches of {rows_a_block(columns):,}: memory stays under about "
        f"{ceiling(model) / 1024 + table.rows * bytes_a_row / 2**30:.1f} GB."
    )
