"""The two doors for files from outside: each file is opened in a child process, and what comes back is inert.

:func:`read_table_safely` gives a data frame, :func:`read_model_safely` tensors. Both raise BadInput whatever
the file does to the process that reads it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

from medprune.intake.child import Answer, asked
from medprune.intake.confine import Limits
from medprune.intake.table_choices import TableChoices
from medprune.intake.table_kinds import check_local, titled

if TYPE_CHECKING:  # take a while to import
    import pandas as pd

    from medprune.intake.tensor_file import TensorFile

Upload: TypeAlias = "str | os.PathLike[str] | bytes | IO[bytes]"
USUAL, DETECT = Limits(), TableChoices()


@dataclass(frozen=True, eq=False)
class TableRead:
    """A table as its file has it (N rows; every cell of a text file is still text) and how it was read.

    ``notes`` are sentences. ``manifest`` has the same as values: kind, bytes, rows, columns; of a text file
    its encoding, delimiter and decimal mark; of a workbook its sheet and all sheets; sha256 of the
    file's bytes; and what the child was confined to.
    """

    frame: pd.DataFrame
    notes: tuple[str, ...]
    manifest: dict[str, Any]


def read_table_safely(
    source: Upload, *, name: str, choices: TableChoices = DETECT, limits: Limits = USUAL
) -> TableRead:
    """Read a CSV, TSV, Parquet or .xlsx file (its path, its bytes, or itself opened) in a child process.

    ``name`` is what sentences call the file, and is never used as a path. Raises BadInput when it is no
    table, is damaged, or costs more than ``limits``; :class:`~medprune.intake.table_choices.ChoiceNeeded`
    when it cannot be read before a sheet is chosen.
    """
    data = _local(source)
    request = {"name": name, "choices": asdict(choices)}
    with asked("table", data, request, title=titled(name), limits=limits) as answer:
        frame = _frame(answer)
        manifest = dict(answer.told["manifest"]) | {"confined": answer.told["confined"]}
        notes = tuple(answer.told["notes"])
    manifest["sha256"] = _hash(data)
    return TableRead(frame, notes, manifest)


def read_model_safely(source: Upload, *, name: str, limits: Limits = USUAL) -> TensorFile:
    """Read a model's file in a child process: its tensors and what else it says. Raises BadInput."""
    with asked("model", _local(source), {"name": name}, title=titled(name), limits=limits) as answer:
        return _tensors(answer)


def _local(source: Upload) -> bytes | Path | IO[bytes]:
    if isinstance(source, str | os.PathLike):
        check_local(source)
        return Path(source)
    return source


def _hash(data: bytes | Path | IO[bytes]) -> str:
    """SHA-256 of the file's bytes, for provenance."""
    if isinstance(data, bytes):
        return hashlib.sha256(data).hexdigest()
    with data.open("rb") if isinstance(data, Path) else contextlib.nullcontext(data) as file:
        digest, place = hashlib.sha256(), 0
        while block := os.pread(file.fileno(), 2**20, place):  # the file's own position is the child's too
            digest.update(block)
            place += len(block)
        return digest.hexdigest()


def _frame(answer: Answer) -> pd.DataFrame:
    """The data frame in the Parquet file that the child wrote."""
    import pyarrow.parquet as pq

    frame: pd.DataFrame = pq.read_table(io.BytesIO(answer.file("table.parquet"))).to_pandas()
    return frame


def _tensors(answer: Answer) -> TensorFile:
    from safetensors.torch import load

    from medprune.intake.tensor_file import TensorFile

    told, tensors = answer.told, load(answer.file("model.safetensors"))
    return TensorFile(
        title=told["title"],
        tensors={name: tensors[name] for name in told["order"]},
        metadata=dict(told["metadata"]),
        ordered=told["ordered"],
        notes=tuple(told["notes"]),
    )
