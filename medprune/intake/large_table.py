"""A Parquet file, or a folder of them, that is read in batches: it may be larger than memory.

Pages are decoded as they are asked for, whatever the size of the file's row groups. Of the readers that
were measured (polars, duckdb, pyarrow's data sets) none holds less: pyarrow's own, without its read-ahead.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from medprune.errors import BadInput, listed
from medprune.intake.parquet_table import is_deep
from medprune.intake.table_kinds import PARQUET, check_local
from medprune.intake.table_shape import MOST_CELLS, checked_names

if TYPE_CHECKING:  # takes a while to import: only who reads Parquet waits
    import pyarrow as pa

MOST_BYTES = 2**30  # decoded; above this a table is read in batches
READ_BUFFER = 2**20  # bytes a column


@dataclass(frozen=True)
class Part:
    """One Parquet file: what its metadata say."""

    path: Path
    title: str
    rows: int
    bytes: int  # of all its columns, not compressed
    names: dict[str, str]  # its columns' clean names, and what the file calls them
    deep: frozenset[str]  # columns of lists, records or binary data


@dataclass(frozen=True, eq=False)
class LargeTable:
    """A table on disk. Only its metadata are held; :meth:`batches` reads the columns that are asked for.

    Rows are counted over all parts, in the order of their names.
    """

    title: str
    parts: tuple[Part, ...]
    folder: bool = False

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> LargeTable:
        """The Parquet file at ``path``, or all Parquet files in that folder and the folders in it.

        Raises BadInput when there is none, when one is damaged, or when names are missing or double.
        """
        check_local(path)
        place = Path(path)
        files = parquet_files(place) if place.is_dir() else [place]
        parts = tuple(_part(file, place) for file in files)
        if not sum(part.rows for part in parts):
            raise BadInput(f"There are no rows in {place.name!r}; export the table with its rows.")
        return cls(repr(place.name), parts, place.is_dir())

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)

    @property
    def names(self) -> list[str]:
        """The columns that every part has, in the order of the first."""
        return [name for name in self.parts[0].names if all(name in part.names for part in self.parts)]

    @property
    def is_large(self) -> bool:
        """True when it should not be read whole: a folder, too many cells, or over MOST_BYTES."""
        cells = self.rows * len(self.parts[0].names)
        return self.folder or cells > MOST_CELLS or sum(p.bytes for p in self.parts) > MOST_BYTES

    def batches(self, names: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        """These columns, in this order, about ``rows`` rows at a time and never more.

        Raises BadInput when a part is damaged, or when a column holds lists or is not in every part.
        """
        for part in self.parts:
            self._check(part, names)
            yield from _batches_of(part, names, rows)

    def _check(self, part: Part, names: Sequence[str]) -> None:
        absent = [name for name in names if name not in part.names]
        if absent:
            raise BadInput(f"{part.title} lacks {listed(absent)}, which other parts of {self.title} have.")
        deep = [name for name in names if name in part.deep]
        if deep:
            raise BadInput(
                f"Columns {listed(deep)} of {part.title} hold lists, records or binary data; leave them out."
            )


def is_parquet(path: str | os.PathLike[str]) -> bool:
    """True for a folder, and for a file that begins as Parquet files do."""
    place = Path(path)
    try:
        if place.is_dir():
            return True
        with place.open("rb") as file:
            return file.read(len(PARQUET)) == PARQUET
    except (OSError, ValueError):
        return False


def parquet_files(folder: Path) -> list[Path]:
    """The Parquet files in a folder, by name; not those that begin with a dot or an underscore."""
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not any(step.startswith((".", "_")) for step in path.relative_to(folder).parts)
        and is_parquet(path)
    ]
    if not found:
        raise BadInput(f"There is no Parquet file in the folder {str(folder)!r}; name another one.")
    return found


def _part(path: Path, source: Path) -> Part:
    import pyarrow as pa
    import pyarrow.parquet as pq

    title = repr(path.name if path == source else str(path.relative_to(source)))
    try:
        with pq.ParquetFile(path) as file:
            schema, about = file.schema_arrow, file.metadata
            decoded = sum(about.row_group(group).total_byte_size for group in range(about.num_row_groups))
            clean = checked_names(schema.names, title)
            deep = frozenset(n for n, field in zip(clean, schema, strict=True) if is_deep(field.type))
            return Part(
                path, title, about.num_rows, decoded, dict(zip(clean, schema.names, strict=True)), deep
            )
    except FileNotFoundError:
        raise BadInput(f"There is no file {str(path)!r}; check the path of the table.") from None
    except (pa.ArrowException, OSError, ValueError, KeyError):
        raise _damaged(title) from None


def _batches_of(part: Part, names: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    raw = [part.names[name] for name in names]
    try:
        # Without pre_buffer: with it, a whole row group is held, and the next one read ahead.
        with pq.ParquetFile(
            part.path, pre_buffer=False, buffer_size=READ_BUFFER, page_checksum_verification=True
        ) as file:
            for batch in file.iter_batches(rows, columns=raw, use_threads=False):
                batch.validate(full=True)
                yield pa.RecordBatch.from_arrays([batch.column(name) for name in raw], names=list(names))
    except (pa.ArrowException, OSError, KeyError):
        raise _damaged(part.title) from None


def _damaged(title: str) -> BadInput:
    return BadInput(f"The Parquet file {title} is incomplete or damaged; export or upload it again.")
