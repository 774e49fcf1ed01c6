"""What runs in the child: describe and audit a file, construct what it holds, leave inert files behind.

``python -m medprune.intake.worker`` in a folder with a request; see :mod:`medprune.intake.child`. A table
leaves as Parquet of our own writing, a model as safetensors, both with an answer in JSON. A reader's errors
are told by their kind and place, as their texts may hold a patient's value.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medprune.errors import BadInput
from medprune.intake.child import ANSWER, NO_MEMORY, NO_ROOM, REQUEST
from medprune.intake.confine import Limits, confine
from medprune.intake.table_choices import ChoiceNeeded, TableChoices

if TYPE_CHECKING:
    from medprune.intake.tensor_file import TensorFile

TABLE, MODEL = "table.parquet", "model.safetensors"
Job = Callable[[bytes, Mapping[str, Any]], dict[str, Any]]


def table(data: bytes, request: Mapping[str, Any]) -> dict[str, Any]:
    """Read a table and write it as Parquet; the answer has its notes and manifest."""
    from medprune.intake.table_bytes import table_of

    read = table_of(data, name=request["name"], choices=TableChoices(**request["choices"]))
    import pyarrow.parquet as pq

    pq.write_table(read.table, TABLE, compression="zstd")
    return {"notes": list(read.notes), "manifest": read.manifest}


def model(data: bytes, request: Mapping[str, Any]) -> dict[str, Any]:
    """Read a model's tensors and write them as safetensors; the answer has all else that the file said."""
    file = tensors_of(data, request["name"])
    from safetensors.torch import save_file

    save_file({name: value.contiguous() for name, value in file.tensors.items()}, MODEL)
    return {
        "title": file.title,
        "order": list(file.tensors),
        "metadata": file.metadata,
        "ordered": file.ordered,
        "notes": list(file.notes),
    }


def tensors_of(data: bytes, name: str) -> TensorFile:
    """The one place that says which reader looks at a model."""
    from medprune.intake.model_formats import read_model

    return read_model(data, name)


def serve(jobs: Mapping[str, Job]) -> None:
    """Answer the request in this folder, within its limits, and end."""
    request = json.loads(Path(REQUEST).read_bytes())
    confined = confine(Limits(**request["limits"]))
    answer = _answer(jobs[request["job"]], request)
    part = Path(ANSWER + ".part")
    part.write_text(json.dumps(answer | {"confined": list(confined)}), encoding="utf-8")
    part.rename(ANSWER)
    os._exit(0)  # libraries take their time to tidy up what is gone anyway


def _answer(job: Job, request: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return job(sys.stdin.buffer.read(), request)
    except ChoiceNeeded as needed:
        return {"refused": needed.sentence, "choice": needed.choice, "options": list(needed.options)}
    except BadInput as error:
        return {"refused": error.sentence}
    except MemoryError:
        os._exit(NO_MEMORY)
    except OSError as error:
        if error.errno in (errno.EFBIG, errno.ENOSPC, errno.EDQUOT):
            os._exit(NO_ROOM)
        return {"fault": _where(error)}
    except Exception as error:
        return {"fault": _where(error)}


def _where(error: BaseException) -> str:
    """The kind of an error, and the last line of ours that it went through."""
    place, trace = "", error.__traceback__
    while trace is not None:
        file = Path(trace.tb_frame.f_code.co_filename)
        if "medprune" in file.parts:
            place = f" in {file.name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(error).__name__}{place}"


if __name__ == "__main__":
    serve({"table": table, "model": model})
