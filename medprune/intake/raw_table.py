"""A table as its file has it, before anyone decides what its columns mean."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # takes a while to import
    import pyarrow as pa


@dataclass(frozen=True, eq=False)
class RawTable:
    """Columns in Arrow, every cell of a text file as text; N rows.

    ``notes`` has a sentence for every decision taken while reading; ``manifest`` the same as values for
    JSON: what kind of file it was, how it was read, and never a cell.
    """

    table: pa.Table
    notes: tuple[str, ...] = ()
    manifest: dict[str, Any] = field(default_factory=dict)
