"""Read named tensors from a file that comes from outside: describe, audit, construct. Never run its code.

Two formats: safetensors, and a PyTorch state_dict (a zip archive read with ``weights_only``). The layout
of both is checked before any tensor is made. A whole pickled model is told by the names in its pickle,
which are listed and never looked up.
"""

from __future__ import annotations

import io
import json
import math
import pickletools
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from medprune.errors import BadInput, listed
from medprune.intake.pickle_depth import deepest

MOST_TENSORS = 10_000
MOST_BYTES = 2 * 1024**3
LARGEST_HEADER = 100_000_000  # as in the safetensors library; the split of ten million patients fits
MOST_MARKS = 10_000_000  # of JSON in a header: bounds the memory that it takes once parsed
LARGEST_PICKLE = 4 * 1024**2
DEEPEST = 50  # objects in each other; a checkpoint with its optimiser has about ten
FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
WRAPPERS = ("state_dict", "model_state_dict", "model")  # one level around the tensors, as checkpoints have
COUNTER = "num_batches_tracked"  # the one tensor of a network that is not made of fractions
STATE_DICT_HINT = "save `model.state_dict()` with torch.save, or use safetensors"
DENSE_HINT = "only dense floating-point tensors can be read, so export the model in float32"

# Bytes an element of a safetensors file takes; other types are refused.
ELEMENT = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}

# The only names that the pickle of a state_dict needs. Any other name is code.
BUILDERS = ("_rebuild_tensor_v2", "_rebuild_parameter")
PLAIN_NAMES = ("Size", "device", "float16", "bfloat16", "float32", "float64", "int64")


@dataclass(frozen=True, eq=False)
class TensorFile:
    """Float32 tensors in file order, the text metadata, and what to call the file in a sentence."""

    title: str
    tensors: dict[str, Tensor]
    metadata: dict[str, str]
    ordered: bool  # the order of the tensors is the network's own
    notes: tuple[str, ...] = ()  # what was passed over or converted, a sentence each


def read_tensors(source: str | Path | bytes, *, name: str = "") -> TensorFile:
    """Tensors of a safetensors file or state_dict. Raises BadInput; nothing in the file is executed."""
    data, called = read_bytes(source, name)
    title = title_of(called)
    if (
        data[8:9] in (b"{", b" ") and data[5:8] == b"\0\0\0"
    ):  # looked for first: a length may begin like the others
        return _checked(_safetensors(data, title))
    if data[:2] == b"PK":
        return _checked(_state_dict(data, title))
    if data[:1] == b"\x80":
        raise BadInput(f"{title} is a pickle, which can run code and is never opened; {STATE_DICT_HINT}.")
    return _checked(_safetensors(data, title))


def title_of(name: str) -> str:
    """What to call a file in a sentence."""
    return f"The file {name!r}" if name else "The uploaded file"


def read_bytes(source: str | Path | bytes, name: str = "") -> tuple[bytes, str]:
    """The bytes of a file, and its name. Raises BadInput when it cannot be read, or is too large."""
    if isinstance(source, bytes):
        return source, name
    path = Path(source)
    title = title_of(path.name)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise BadInput(f"{title} is larger than 2 GB, which is more than MedPrune reads.")
        return path.read_bytes(), path.name
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a file name"
        raise BadInput(f"{title} could not be read ({reason}); check its place and name.") from error


# --- safetensors -----------------------------------------------------------------------------------


def _safetensors(data: bytes, title: str) -> TensorFile:
    header, start = _header(data, title)
    metadata = header.pop("__metadata__", None) or {}
    if not isinstance(metadata, Mapping):
        raise _damaged(title)
    _check_layout(header, len(data) - start, title)
    try:
        tensors = safetensors.torch.load(data)
    except (safetensors.SafetensorError, ValueError, RuntimeError, KeyError) as error:
        raise _damaged(title) from error
    texts = {str(key): str(value) for key, value in metadata.items()}
    return TensorFile(title, tensors, texts, ordered=False)


def metadata_of(data: bytes) -> dict[str, str]:
    """The text metadata of a safetensors file; BadInput when its header is damaged."""
    said = _header(data, "The file")[0].get("__metadata__")
    return {str(key): str(value) for key, value in said.items()} if isinstance(said, dict) else {}


def _damaged(title: str) -> BadInput:
    return BadInput(f"{title} is a damaged or incomplete safetensors file; copy or upload it again.")


def _header(data: bytes, title: str) -> tuple[dict[str, Any], int]:
    """The parsed header, and where the tensors' bytes begin."""
    length = int.from_bytes(data[:8], "little")
    if data[8:9] in (b"{", b" ") and length > LARGEST_HEADER:
        raise BadInput(
            f"{title} is no valid safetensors file: its header would have {length:,} bytes; "
            "copy or export it again."
        )
    if len(data) < 10 or data[8:9] != b"{":  # noqa: PLR2004 - the 8-byte header length and "{}"
        raise BadInput(
            f"{title} is neither a safetensors file nor a PyTorch state_dict; "
            "export the model as one of them."
        )
    if length > len(data) - 8:
        raise BadInput(
            f"{title} is incomplete: its header announces {length + 8:,} bytes or more and "
            f"{len(data):,} arrived; copy or upload it again."
        )
    text = data[8 : 8 + length]
    if sum(text.count(mark) for mark in b"[{,") > MOST_MARKS:
        raise _too_many(title)
    try:
        header = json.loads(text, object_pairs_hook=lambda pairs: _no_doubles(pairs, title))
    except (ValueError, RecursionError) as error:
        raise _damaged(title) from error
    if not isinstance(header, dict):
        raise _damaged(title)
    return header, 8 + length


def _no_doubles(pairs: list[tuple[str, Any]], title: str) -> dict[str, Any]:
    """Of two entries with one name, parsers disagree on which counts."""
    unique = dict(pairs)
    if len(unique) < len(pairs):
        [(twice, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise BadInput(f"{title} names {twice!r} twice in its header; export the model again.")
    return unique


def _too_many(title: str) -> BadInput:
    return BadInput(f"{title} holds more than {MOST_TENSORS:,} tensors, more than a network here has.")


def _check_layout(header: Mapping[str, Any], room: int, title: str) -> None:
    """Every tensor lies where its shape says: back to back, without holes, up to the end of the file."""
    if len(header) > MOST_TENSORS:
        raise _too_many(title)
    spans = sorted((*_span(name, about, title), name) for name, about in header.items())
    end = 0
    for begin, after, name in spans:
        if begin != end:
            raise BadInput(f"{title} is damaged: its layout is inconsistent at {name!r}; export it again.")
        end = after
    if end > MOST_BYTES:
        raise BadInput(
            f"{title} needs {end / 1024**3:,.1f} GB for its tensors; at most "
            f"{MOST_BYTES / 1024**3:.0f} GB are read."
        )
    if end > room:
        raise BadInput(
            f"{title} is incomplete: {end - room:,} of {end:,} bytes of its tensors are missing; "
            "copy or upload it again."
        )
    if end < room:
        raise BadInput(
            f"{title} is damaged: {room - end:,} bytes follow after its last tensor; copy or export it again."
        )


def _span(name: str, about: Any, title: str) -> tuple[int, int]:
    """First and last byte of one tensor, when its type, shape and place agree."""
    try:
        kind, shape, (begin, after) = about["dtype"], about["shape"], about["data_offsets"]
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(title) from error
    numbers = [begin, after, *shape] if isinstance(shape, list) else [None]
    if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in numbers):
        raise BadInput(f"{title}: the shape or place of tensor {name!r} is no valid one; export it again.")
    if 0 in shape:
        raise BadInput(f"{title}: tensor {name!r} has an empty dimension; export the model again.")
    if not isinstance(kind, str) or kind not in ELEMENT:
        raise BadInput(f"{title}: tensor {name!r} is of a type that no network here has; {DENSE_HINT}.")
    if math.prod(shape) * ELEMENT[kind] != after - begin:
        raise BadInput(
            f"{title}: tensor {name!r} claims {math.prod(shape) * ELEMENT[kind]:,} bytes and has "
            f"{after - begin:,}; export the model again."
        )
    return begin, after


# --- PyTorch ---------------------------------------------------------------------------------------


def _state_dict(data: bytes, title: str) -> TensorFile:
    _audit_archive(data, title)
    try:
        with torch.sparse.check_sparse_tensor_invariants():
            loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True, mmap=False)
    except Exception as error:  # torch raises many kinds here, and its texts advise unsafe loading
        raise BadInput(f"{title} is damaged or not a state_dict; {STATE_DICT_HINT}.") from error
    tensors, notes = _unwrapped(loaded)
    if not isinstance(tensors, dict) or not tensors:
        raise BadInput(f"{title} does not hold tensors by name; {STATE_DICT_HINT}.")
    if not all(isinstance(key, str) and isinstance(value, Tensor) for key, value in tensors.items()):
        raise BadInput(f"{title} holds more than tensors by name; {STATE_DICT_HINT}.")
    return TensorFile(title, dict(tensors), {}, ordered=True, notes=notes)


def _unwrapped(loaded: Any) -> tuple[Any, tuple[str, ...]]:
    """The tensors of a checkpoint that keeps them under a key of their own, and what was passed over."""
    if not isinstance(loaded, dict):
        return loaded, ()
    for wrapper in WRAPPERS:
        if isinstance(loaded.get(wrapper), dict):
            others = [str(key) for key in loaded if key != wrapper]
            also = f"; passed over: {listed(others)}" if others else ""
            return loaded[wrapper], (f"The weights were read from {wrapper!r} of the checkpoint{also}.",)
    return loaded, ()


def _audit_archive(data: bytes, title: str) -> None:
    """Look at the archive's members and list its pickle's names, without loading anything."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        members = archive.infolist()
    except Exception as error:  # zipfile raises many kinds on damaged archives
        raise BadInput(f"{title} is an incomplete archive; copy or upload it again.") from error
    names = [member.filename.lower() for member in members]
    if any(name.endswith("constants.pkl") or "/code/" in name for name in names):
        raise BadInput(f"{title} is TorchScript, which is code and not accepted; {STATE_DICT_HINT}.")
    pickles = [m for m, name in zip(members, names, strict=True) if name.endswith("data.pkl")]
    if len(pickles) != 1 or len(set(names)) < len(names):
        raise BadInput(f"{title} is not a PyTorch state_dict; {STATE_DICT_HINT}.")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise BadInput(f"{title} is a compressed archive, which PyTorch does not write; {STATE_DICT_HINT}.")
    if sum(member.file_size for member in members) > len(data):
        raise BadInput(f"{title} claims more data than it has; copy or upload it again.")
    if pickles[0].file_size > LARGEST_PICKLE or len(members) > 2 * MOST_TENSORS:
        raise BadInput(f"{title} holds more than tensors by name; {STATE_DICT_HINT}.")
    try:
        listing = archive.read(pickles[0])
        whole = archive.testzip() is None  # torch does not look at the checksums of the weights
    except Exception as error:
        raise BadInput(f"{title} is a damaged archive; copy or upload it again.") from error
    if not whole:
        raise BadInput(f"{title} is damaged: a part is not what its checksum says; copy or upload it again.")
    _check_depth(listing, title)
    for needed in _needed_names(listing, title):
        _check_name(needed, title)


def _check_depth(pickled: bytes, title: str) -> None:
    try:
        too_deep = deepest(pickled) > DEEPEST
    except (ValueError, LookupError, OverflowError) as error:
        raise BadInput(f"{title} is damaged; copy or upload it again.") from error
    if too_deep:
        raise BadInput(f"{title} is nested deeply and holds more than tensors by name; {STATE_DICT_HINT}.")


def _needed_names(pickled: bytes, title: str) -> Iterator[str]:
    """Every "module name" that the pickle would look up, found by reading its instructions."""
    texts: list[str] = []
    try:
        for opcode, argument, _ in pickletools.genops(pickled):
            if opcode.name == "STACK_GLOBAL":
                yield " ".join(texts[-2:])
            elif opcode.name in ("GLOBAL", "INST"):
                yield str(argument)
            elif isinstance(argument, str):
                texts.append(argument)
    except (ValueError, IndexError, OverflowError) as error:
        raise BadInput(f"{title} is damaged; copy or upload it again.") from error


def _check_name(needed: str, title: str) -> None:
    module, _, name = needed.partition(" ")
    plain = {
        "collections": name == "OrderedDict",
        "torch._utils": name in BUILDERS,
        "torch": name.endswith("Storage") or name in PLAIN_NAMES,
        "torch.storage": name.endswith("Storage"),
    }
    if plain.get(module, False):
        return
    if module == "torch._utils" and name.startswith("_rebuild_"):
        raise BadInput(f"{title} holds tensors of a special kind; {DENSE_HINT}.")
    raise BadInput(
        f"{title} is a whole pickled model, which can run code and is never opened; {STATE_DICT_HINT}."
    )


# --- both ------------------------------------------------------------------------------------------


def _checked(file: TensorFile) -> TensorFile:
    """Dense floating-point tensors in float32, no larger than the file; only batch counters are integers."""
    if not file.tensors:
        raise BadInput(f"{file.title} holds no tensors; export the model again.")
    if len(file.tensors) > MOST_TENSORS:
        raise _too_many(file.title)
    for name, value in file.tensors.items():
        _check_tensor(name, value, file.title)
    if sum(value.numel() for value in file.tensors.values()) * 4 > MOST_BYTES:
        raise BadInput(f"{file.title} takes more than 2 GB in float32, which is more than MedPrune reads.")
    kinds = {value.dtype for name, value in file.tensors.items() if not name.endswith(COUNTER)}
    others = sorted(str(kind).removeprefix("torch.") for kind in kinds - {torch.float32})
    cast = (f"The weights were converted from {' and '.join(others)} to float32.",) if others else ()
    tensors = {
        name: value.detach().clone() if name.endswith(COUNTER) else value.detach().to(torch.float32).clone()
        for name, value in file.tensors.items()
    }
    return replace(file, tensors=tensors, notes=(*file.notes, *cast))


def _check_tensor(name: str, value: Tensor, title: str) -> None:
    dense = not value.is_nested and value.layout == torch.strided and not value.is_quantized
    counter = name.endswith(COUNTER) and dense and value.dtype == torch.int64 and value.dim() == 0
    if not dense or value.is_meta or (value.dtype not in FLOATS and not counter):
        raise BadInput(f"{title}: tensor {name!r} is not of the kind that is read; {DENSE_HINT}.")
    if value.numel() == 0:
        raise BadInput(f"{title}: tensor {name!r} has an empty dimension; export the model again.")
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise BadInput(
            f"{title}: tensor {name!r} claims more data than the file has; export the model again."
        )
