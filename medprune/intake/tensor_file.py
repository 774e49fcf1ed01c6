"""Read named tensors from a file that comes from outside: describe, audit, construct. Never run its code.

Two formats: safetensors, and a PyTorch state_dict (a zip archive read with ``weights_only``). A
whole pickled model is told by the names in its pickle, which is listed and never executed.
"""

from __future__ import annotations

import io
import json
import pickletools
import zipfile
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from medprune.errors import BadInput

MOST_TENSORS = 10_000
MOST_BYTES = 2 * 1024**3
LARGEST_PICKLE = 4 * 1024**2
FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
WRAPPERS = ("state_dict", "model_state_dict")  # one level around the tensors is common in checkpoints
# The only names a state_dict's pickle needs; anything else is code.
HARMLESS = ("collections OrderedDict", "torch._utils ", "torch ", "torch.storage ")
TENSOR_BUILDERS = ("_rebuild_tensor_v2", "_rebuild_parameter")
STATE_DICT_HINT = "save `model.state_dict()` with torch.save, or use safetensors"


@dataclass(frozen=True, eq=False)
class TensorFile:
    """Float32 tensors in file order, the text metadata, and what to call the file in a sentence."""

    title: str
    tensors: dict[str, Tensor]
    metadata: dict[str, str]
    ordered: bool  # the order of the tensors is the network's own


def read_tensors(source: str | Path | bytes, *, name: str = "") -> TensorFile:
    """Tensors of a safetensors file or state_dict. Raises BadInput; nothing in the file is executed."""
    data, title = _read(source, name)
    if data[:2] == b"PK":
        return _checked(TensorFile(title, _state_dict(data, title), {}, ordered=True))
    if data[:1] == b"\x80":
        raise BadInput(f"{title} is a pickle, which can run code and is never opened; {STATE_DICT_HINT}.")
    return _checked(_safetensors(data, title))


def _read(source: str | Path | bytes, name: str) -> tuple[bytes, str]:
    if isinstance(source, bytes):
        return source, f"The file {name!r}" if name else "The uploaded file"
    path = Path(source)
    title = f"The file {path.name!r}"
    try:
        if path.stat().st_size > MOST_BYTES:
            raise BadInput(f"{title} is larger than 2 GB, which is more than MedPrune reads.")
        return path.read_bytes(), title
    except OSError as error:
        raise BadInput(f"{title} could not be read ({error.strerror}); check its place and name.") from error


def _safetensors(data: bytes, title: str) -> TensorFile:
    if len(data) < 10 or data[8:9] != b"{":  # noqa: PLR2004 - the 8-byte header length and "{}"
        raise BadInput(
            f"{title} is neither a safetensors file nor a PyTorch state_dict; "
            "export the model as one of them."
        )
    header = int.from_bytes(data[:8], "little")
    if header > len(data) - 8:
        raise BadInput(
            f"{title} is incomplete: its header announces {header + 8:,} bytes or more and "
            f"{len(data):,} arrived; copy or upload it again."
        )
    try:
        tensors = safetensors.torch.load(data)
    except (safetensors.SafetensorError, ValueError, RuntimeError, KeyError) as error:
        raise BadInput(
            f"{title} is a damaged or incomplete safetensors file; copy or upload it again."
        ) from error
    return TensorFile(title, tensors, _metadata(data, header), ordered=False)


def _metadata(data: bytes, header: int) -> dict[str, str]:
    about = json.loads(data[8 : 8 + header]).get("__metadata__") or {}
    return {str(key): str(value) for key, value in about.items()}


def _state_dict(data: bytes, title: str) -> dict[str, Tensor]:
    _audit_archive(data, title)
    try:
        with torch.sparse.check_sparse_tensor_invariants():
            loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True, mmap=False)
    except Exception as error:  # torch raises many kinds here, and its texts advise unsafe loading
        raise BadInput(f"{title} is damaged or not a state_dict; {STATE_DICT_HINT}.") from error
    for wrapper in WRAPPERS:
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
    if not isinstance(loaded, dict) or not loaded:
        raise BadInput(f"{title} does not hold tensors by name; {STATE_DICT_HINT}.")
    if not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in loaded.items()):
        raise BadInput(f"{title} holds more than tensors by name; {STATE_DICT_HINT}.")
    return dict(loaded)


def _audit_archive(data: bytes, title: str) -> None:
    """Look at the archive's members and list its pickle's names, without loading anything."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        members = archive.infolist()
    except zipfile.BadZipFile as error:
        raise BadInput(f"{title} is an incomplete archive; copy or upload it again.") from error
    names = [member.filename for member in members]
    if any(name.endswith("constants.pkl") or "/code/" in name for name in names):
        raise BadInput(f"{title} is TorchScript, which is code and not accepted; {STATE_DICT_HINT}.")
    pickles = [member for member in members if member.filename.endswith("data.pkl")]
    if len(pickles) != 1:
        raise BadInput(f"{title} is not a PyTorch state_dict; {STATE_DICT_HINT}.")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise BadInput(f"{title} is a compressed archive, which PyTorch does not write; {STATE_DICT_HINT}.")
    if pickles[0].file_size > LARGEST_PICKLE:
        raise BadInput(f"{title} holds more than tensors by name; {STATE_DICT_HINT}.")
    _audit_pickle(archive.read(pickles[0]), title)


def _audit_pickle(data: bytes, title: str) -> None:
    texts: list[str] = []
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "STACK_GLOBAL":
                needed = " ".join(texts[-2:])
            elif opcode.name == "GLOBAL":
                needed = str(argument)
            else:
                if isinstance(argument, str):
                    texts.append(argument)
                continue
            if not _is_harmless(needed):
                raise BadInput(
                    f"{title} is a whole pickled model, which can run code and is never opened; "
                    f"{STATE_DICT_HINT}."
                )
    except ValueError as error:
        raise BadInput(f"{title} is damaged; copy or upload it again.") from error


def _is_harmless(needed: str) -> bool:
    if needed.startswith("torch._utils "):
        return needed.split(" ")[1] in TENSOR_BUILDERS
    if needed.startswith("torch "):
        return needed.endswith("Storage") or needed.split(" ")[1] in ("Size", "float32", "float64", "device")
    return needed.startswith(HARMLESS)


def _checked(file: TensorFile) -> TensorFile:
    """Dense, finite-sized floating-point tensors; buffers that count batches may stay integers."""
    if not file.tensors:
        raise BadInput(f"{file.title} holds no tensors; export the model again.")
    if len(file.tensors) > MOST_TENSORS:
        raise BadInput(
            f"{file.title} holds more than {MOST_TENSORS:,} tensors, more than a network here has."
        )
    tensors: dict[str, Tensor] = {}
    for name, value in file.tensors.items():
        if name.endswith("num_batches_tracked"):
            tensors[name] = value
            continue
        if value.layout != torch.strided or value.is_quantized or value.is_meta or value.dtype not in FLOATS:
            raise BadInput(
                f"{file.title}: tensor {name!r} is not a dense floating-point one; "
                "export the model in float32."
            )
        if value.numel() == 0 or value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise BadInput(f"{file.title}: tensor {name!r} is empty or claims more data than the file has.")
        tensors[name] = value.detach().to(torch.float32).clone()
    return TensorFile(file.title, tensors, file.metadata, file.ordered)
