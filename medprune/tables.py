"""What leaves as a file: written whole or not at all; tables as CSV that a spreadsheet will not run."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medprune.errors import BadInput

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")  # as text: a spreadsheet reads it as what it is
BINARY = 2


def csv_bytes(table: pd.DataFrame, *, header: bool = True) -> bytes:
    """The table as UTF-8 CSV; text that a spreadsheet would take for a formula gets a leading apostrophe.

    ``header`` is False for rows that go on where others ended.

    >>> csv_bytes(pd.DataFrame({"name": ["=1+1"], "score": [-1.5]}))
    b"name,score\\n'=1+1,-1.5\\n"
    """
    text = [not pd.api.types.is_numeric_dtype(dtype) for dtype in table.dtypes]
    safe = {place: table.iloc[:, place] for place in range(table.shape[1])}
    safe = {place: each.map(_inert) if text[place] else each for place, each in safe.items()}
    names = [_inert(str(name)) for name in table.columns]
    data: str = pd.DataFrame(safe, index=table.index).to_csv(
        index=False, header=names if header else False, lineterminator="\n"
    )
    return data.encode("utf-8", "replace")


def _inert(value: object) -> object:
    """A cell that is no formula and stays one cell: a carriage return alone would go out without quotes."""
    if not isinstance(value, str):
        return value
    text = value.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{text}" if text.startswith(FORMULA_STARTS) and not NUMBER.fullmatch(text) else text


def risk_table(risks: NDArray[np.float64], classes: Sequence[str], *, first: int = 1) -> pd.DataFrame:
    """Row numbers from ``first``, and one column ``risk`` (binary) or ``risk_<class>`` (more classes)."""
    if len(classes) == BINARY:
        columns = {"risk": risks[:, 1]}
    else:
        columns = {f"risk_{label}": risks[:, place] for place, label in enumerate(classes)}
    return pd.DataFrame({"row": np.arange(first, first + len(risks)), **columns})


def jsonable(value: Any) -> Any:
    """The value for JSON, which has no NaN: what could not be computed is None, NumPy's scalars are plain.

    >>> jsonable({"auroc": float("nan"), "sizes": (np.int64(3), np.float32(0.5))})
    {'auroc': None, 'sizes': [3, 0.5]}
    """
    if isinstance(value, Mapping):
        return {key: jsonable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def json_text(value: Mapping[str, Any]) -> str:
    """The value as a JSON file has it."""
    return json.dumps(jsonable(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def check_place(path: str | Path, what: str) -> Path:
    """The path, when a file can be written there; BadInput otherwise. Ask before long work, not after."""
    place = Path(path)
    folder = place.absolute().parent
    try:
        if not place.name or place.is_dir():
            raise BadInput(f"{str(path)!r} is a folder; name the file to write {what} to.")
        if not folder.is_dir():
            raise BadInput(
                f"{what.capitalize()} cannot be written to {str(path)!r}, as there is no folder "
                f"{str(folder)!r}; make it, or choose another place."
            )
        if not os.access(folder, os.W_OK):
            raise BadInput(
                f"{what.capitalize()} cannot be written to {str(path)!r}, as its folder is write-protected; "
                "choose another place."
            )
    except OSError as error:
        raise _not_written(path, what, error) from error
    return place


def write_whole(path: str | Path, data: bytes, what: str) -> Path:
    """Write a file whole or not at all: what was there stays until the new one is complete."""
    with whole_file(path, what) as file:
        file.write(data)
    return Path(path)


@contextlib.contextmanager
def whole_file(path: str | Path, what: str) -> Iterator[BinaryIO]:
    """A file to write to, which takes its place when the block ends well and leaves no trace otherwise."""
    place = check_place(path, what)
    part = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(place)
    except OSError as error:
        raise _not_written(path, what, error) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


@contextlib.contextmanager
def risks_to(path: str | Path, classes: Sequence[str]) -> Iterator[Callable[[NDArray[np.float64]], None]]:
    """Writes risks (N, classes), batch after batch, as :func:`risk_table` numbers them; whole or not at all.

    As Parquet when the name ends so, as CSV otherwise.
    """
    first, empty = 1, risk_table(np.empty((0, len(classes))), classes)
    with whole_file(path, "the risks") as file, contextlib.ExitStack() as stack:
        parquet = _parquet(file, empty, stack) if str(path).lower().endswith(".parquet") else None

        def write(risks: NDArray[np.float64]) -> None:
            nonlocal first
            table = risk_table(risks, classes, first=first)
            if parquet is None:
                file.write(csv_bytes(table, header=first == 1))
            else:
                parquet(table)
            first += len(risks)

        yield write


def _parquet(
    file: BinaryIO, empty: pd.DataFrame, stack: contextlib.ExitStack
) -> Callable[[pd.DataFrame], None]:
    """Appends tables like ``empty`` to a Parquet file, which is complete when the stack is closed."""
    import pyarrow as pa  # takes a while to import: only who writes Parquet waits
    import pyarrow.parquet as pq

    schema = pa.Schema.from_pandas(empty, preserve_index=False)
    writer = stack.enter_context(pq.ParquetWriter(file, schema))
    return lambda table: writer.write_table(pa.Table.from_pandas(table, schema, preserve_index=False))


def _not_written(path: str | Path, what: str, error: OSError) -> BadInput:
    return BadInput(
        f"{what.capitalize()} cannot be written to {str(path)!r} ({error.strerror}); choose another place."
    )
