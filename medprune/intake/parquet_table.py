"""A Parquet file of flat columns: its size is bounded before, and counted while, its values are unpacked."""

from __future__ import annotations

import io
import json
import re
from typing import TYPE_CHECKING, Any

from medprune.errors import BadInput, listed
from medprune.intake.raw_table import RawTable
from medprune.intake.table_shape import check_bytes, check_rows, check_size, checked_names, name_notes

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 65_536  # decoded at a time
DEEP_TYPES = "list|large_list|fixed_size|struct|map|dense_union|sparse_union|.*binary|extension|.*_view"
NAMELESS_INDEX = re.compile(r"__index_level_\d+__")


def is_deep(kind: object) -> bool:
    """True for Arrow types that hold lists, records or binary data."""
    return re.match(DEEP_TYPES, str(kind)) is not None


def parquet_table(data: bytes, title: str) -> RawTable:
    """The columns of a Parquet file. BadInput when it is damaged, too large, or not flat."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(io.BytesIO(data), page_checksum_verification=True, pre_buffer=False)
        wanted = _wanted(file.schema_arrow)
        check_size(file.metadata.num_rows, len(file.schema_arrow), title)
        checked_names([name for name in file.schema_arrow.names if name in wanted], title)
        check_rows(file.metadata.num_rows, title)
        deep = [field.name for field in file.schema_arrow if is_deep(field.type)]
        if deep:
            raise BadInput(
                f"Columns {listed(deep)} of {title} hold lists, records or binary data; leave them out."
            )
        table = _unpacked(file, title).select(wanted).replace_schema_metadata(None)
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, OverflowError):
        raise BadInput(
            f"The Parquet file {title} is incomplete or damaged; export or upload it again."
        ) from None
    names = checked_names(wanted, title)
    return RawTable(table.rename_columns(names), name_notes(wanted, names), {"kind": "parquet"})


def _unpacked(file: Any, title: str) -> pa.Table:
    """All rows, a few at a time, each checked against its type, and no more bytes than are allowed."""
    import pyarrow as pa

    batches, decoded, rows = [], 0, 0
    for batch in file.iter_batches(ROWS, use_threads=False):
        batch.validate(full=True)
        decoded, rows = decoded + sum(map(_bytes, batch.columns)), rows + batch.num_rows
        check_bytes(decoded, title)  # what the file itself says of its size is not to be relied on
        batches.append(batch)
    if rows != file.metadata.num_rows:
        raise ValueError("fewer rows than announced")
    return pa.Table.from_batches(batches)


def _bytes(column: pa.Array) -> int:
    """What the values take; words in a dictionary count once for each row that has them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type) and not pa.types.is_primitive(column.type.value_type):
        lengths = pc.binary_length(column.dictionary)
        return int(pc.sum(lengths.take(column.indices)).as_py() or 0)
    return int(column.nbytes)


def _wanted(schema: pa.Schema) -> list[str]:
    """The columns in the table's order: an index with a name comes first, one without is no column."""
    try:
        about = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))
        index = [name for name in about.get("index_columns", []) if isinstance(name, str)]
    except (ValueError, AttributeError, TypeError, RecursionError):
        index = []
    named = [name for name in index if name in schema.names and not NAMELESS_INDEX.fullmatch(name)]
    rest = [name for name in schema.names if name not in index]
    return [*named, *rest]
