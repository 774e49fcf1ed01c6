"""Which kind of model file this is, told by its content and never by its name; and its reading.

Whatever a foreign model says ends in one inert :class:`TensorFile`: float32 tensors and text. What could
run code, or is no model, is refused with a sentence that tells the way out.
"""

from __future__ import annotations

import zlib
from dataclasses import replace

import torch

from medprune.description import KEY
from medprune.errors import BadInput, listed
from medprune.intake.archive import names_of
from medprune.intake.blocks import read_blocks
from medprune.intake.described import UNSAID
from medprune.intake.onnx_audit import parsed
from medprune.intake.onnx_model import read_onnx
from medprune.intake.skops_audit import SCHEMA
from medprune.intake.skops_model import read_skops
from medprune.intake.tensor_file import STATE_DICT_HINT, TensorFile, metadata_of, read_tensors, title_of

FORMATS = "a safetensors file, a PyTorch state_dict, an ONNX model or a skops file"
SAFE_WAYS = f"export the model as {FORMATS}"
CONVERTER_HINT = (
    "on the machine where you made it, `medprune converter > convert.py` gives a script that writes "
    "it as safetensors or skops"
)
LEGACY_TORCH = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
LOOKED_THROUGH = 1024**2  # bytes of a pickle that are looked through for what it is
COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"7z\xbc\xaf": "7z",
    b"Rar!": "rar",
}
ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
OTHERS = {
    b"\x89HDF\r\n\x1a\n": "an HDF5 file, as Keras writes them",
    b"\x93NUMPY": "a NumPy array",
    b"PAR1": "a Parquet table",
    b"%PDF": "a PDF document",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"RDX": "an R data file",
    b"X\n": "an R data file",
    b"\xd0\xcf\x11\xe0": "an old Office document",
}


def read_model(data: bytes, name: str = "") -> TensorFile:
    """Tensors and text of any model file that can be read safely. Raises BadInput for everything else."""
    return _sound(_read(data, name))


def _sound(file: TensorFile) -> TensorFile:
    """The file, when its numbers are finite and its layers follow each other; silent layers are noted."""
    for name, value in file.tensors.items():
        wrong = int((~torch.isfinite(value)).sum()) if value.is_floating_point() else 0
        if wrong:
            raise BadInput(
                f"{file.title}: {name!r} holds {wrong:,} weights that are not finite numbers (NaN or "
                "infinity); "
                "train or export the model again."
            )
    if KEY not in file.metadata:
        read_blocks(file)
    silent = [name for name, v in file.tensors.items() if v.dim() > 1 and not bool(v.any())]
    if not silent:
        return file
    more = f"{listed(silent)} is nothing but zeros: the model's risks may be the same for every patient."
    return replace(file, notes=(*file.notes, more))


def _read(data: bytes, name: str) -> TensorFile:
    title = title_of(name)
    if not data:
        raise BadInput(f"{title} is empty; copy or upload it again.")
    if _is_safetensors(data):
        return read_tensors(data, name=name)
    if data[:2] == b"PK":
        return _archive(data, name, title)
    _refuse_by_first_bytes(data, title)
    if parsed(data) is not None or _begins_as_onnx(data):
        return read_onnx(data, title)
    raise BadInput(f"{title} is neither {FORMATS.replace(' or ', ' nor ')}; {SAFE_WAYS}.")


def is_our_own(data: bytes) -> bool:
    """Whether this is a safetensors file with MedPrune's full description, which needs no completion."""
    if not _is_safetensors(data):
        return False
    try:
        said = metadata_of(data)
    except BadInput:
        return False  # told by who reads it
    return KEY in said and UNSAID not in said


def _is_safetensors(data: bytes) -> bool:
    """Eight bytes of a length, then JSON. An impossible length is told as such, not as another format."""
    if data[8:9] == b"{":
        return data[5:8] == b"\0\0\0" or data[7] in (0x10, 0xFF)
    return data[5:9] == b"\0\0\0 "


def _archive(data: bytes, name: str, title: str) -> TensorFile:
    members = names_of(data)
    if members is None:
        raise BadInput(f"{title} is an incomplete archive; copy or upload it again.")
    lower = [member.lower() for member in members]
    inner = [member.partition("/")[2] for member in lower]
    if SCHEMA in members:
        return read_skops(data, title)
    if any(part.endswith("archive_format") or part.startswith("models/") for part in (*lower, *inner)):
        raise BadInput(
            f"{title} is a torch.export program (.pt2), whose reading can run code, so it is not accepted; "
            f"{CONVERTER_HINT}."
        )
    if any(part.endswith((".weights.h5", "keras_metadata.pb", "saved_model.pb")) for part in lower):
        raise BadInput(f"{title} is a Keras model, which is not accepted; {SAFE_WAYS}, such as ONNX.")
    if lower and all(part.endswith(".npy") for part in lower):
        raise BadInput(f"{title} holds NumPy arrays (.npz), which do not say a network; {SAFE_WAYS}.")
    if "[content_types].xml" in lower:
        raise BadInput(f"{title} is an Office document, no model; {SAFE_WAYS}.")
    if any(part.endswith(("constants.pkl", "data.pkl")) for part in lower):
        return read_tensors(data, name=name)
    raise BadInput(f"{title} is an archive that holds no model; {SAFE_WAYS}, not packed in another archive.")


def _refuse_by_first_bytes(data: bytes, title: str) -> None:
    """BadInput for what can be told by how it begins, with its own way out."""
    if data[:1] == b"\x80" and len(data) > 1 and data[1] <= 5:  # noqa: PLR2004 - the pickle protocols
        raise _pickle(data, title)
    for magic, what in COMPRESSED.items():
        if data.startswith(magic):
            raise BadInput(f"{title} is compressed ({what}), which is not opened; unpack it, or {SAFE_WAYS}.")
    if data[:2] in ZLIB and _is_zlib(data):
        raise BadInput(
            f"{title} is compressed (zlib, as joblib does), which is not opened; save a scikit-learn "
            "model with "
            f"skops.io.dump, or {SAFE_WAYS}."
        )
    if data[257:262] == b"ustar":
        raise BadInput(f"{title} is a tar archive, which is not opened; {SAFE_WAYS}.")
    for magic, what in OTHERS.items():
        if data.startswith(magic):
            raise BadInput(f"{title} is {what}, which is not accepted; {SAFE_WAYS}.")
    start = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if start in (b"<", b"{", b"["):
        raise BadInput(f"{title} is text (HTML, XML or JSON), no model; {SAFE_WAYS}.")


def _pickle(data: bytes, title: str) -> BadInput:
    """A pickle can run code whatever is in it; what is in it decides which way out is told."""
    start = data[:LOOKED_THROUGH]
    if data.startswith(LEGACY_TORCH):
        return BadInput(
            f"{title} is a PyTorch file of the old kind, a pickle, which can run code and is never opened; "
            f"{STATE_DICT_HINT}."
        )
    if b"joblib" in start or b"sklearn" in start:
        what = "a joblib file" if b"joblib" in start else "a pickled scikit-learn model"
        return BadInput(
            f"{title} is {what}, a pickle, which can run code and is never opened; save the model with "
            f"skops.io.dump, or {CONVERTER_HINT}."
        )
    return BadInput(
        f"{title} is a pickle, which can run code and is never opened; {STATE_DICT_HINT}, or "
        f"{CONVERTER_HINT}."
    )


def _is_zlib(data: bytes) -> bool:
    try:
        zlib.decompressobj().decompress(data[:256], 64)
    except zlib.error:
        return False
    return True


def _begins_as_onnx(data: bytes) -> bool:
    """An ONNX file begins with the number of its format, a small one: for telling a damaged file."""
    return data[0] == 0x08 and len(data) > 1 and data[1] < 0x40 and data[2:3] in (b"", b"\x12", b":", b"B")  # noqa: PLR2004
