"""Model files that are safetensors or PyTorch archives, and lie. Markers are harmless: an empty folder."""

from __future__ import annotations

import io
import json
import os
import pickle
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

MARKER = (
    Path(tempfile.gettempdir()) / f"medprune-marker-of-models-{os.getpid()}"
)  # a file that runs code would make this folder


class Running:
    """An object whose reading makes the marker."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(MARKER),)


def net() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))


def tensors(**more: torch.Tensor) -> dict[str, torch.Tensor]:
    return {**net().state_dict(), **more}


def safe(**more: torch.Tensor) -> bytes:
    data: bytes = safetensors.torch.save(tensors(**more))
    return data


def framed(header: Any, body: int = 0, *, length: int | None = None) -> bytes:
    """A safetensors file with this header, whatever it says."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + bytes(body)


def entry(shape: list[int], begin: int, end: int, kind: str = "F32") -> dict[str, Any]:
    return {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}


def overlapping() -> bytes:
    return framed({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, 12)


def with_hole() -> bytes:
    return framed({"a": entry([2], 0, 8), "b": entry([2], 12, 20)}, 20)


def doubled() -> bytes:
    one = b'"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
    return framed(b"{" + one + b"," + one + b"}", 4)


def many_empty() -> bytes:
    return framed({f"t{k}": entry([0], 0, 0) for k in range(200_000)})


def wide() -> bytes:
    """40 GB by its header, and no byte of them."""
    side = 100_000
    return framed({"0.weight": entry([side, side], 0, 4 * side * side)})


def torch_file(value: Any, *, zipped: bool = True) -> bytes:
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(value, out, _use_new_zipfile_serialization=zipped)
    return out.getvalue()


def pickled(value: Any, protocol: int = 4) -> bytes:
    return pickle.dumps(value, protocol)


def stride_zero() -> bytes:
    return torch_file(tensors(**{"0.weight": torch.zeros(1).expand(10**6, 10**6)}))


def special(kind: str) -> bytes:
    """A weight that is no dense tensor of numbers on this machine."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        weight = {
            "sparse": lambda: torch.zeros(6, 4).to_sparse(),
            "meta": lambda: torch.zeros(6, 4, device="meta"),
            "quantised": lambda: torch.quantize_per_tensor(torch.zeros(6, 4), 0.1, 0, torch.qint8),
            "nested": lambda: torch.nested.nested_tensor([torch.zeros(4), torch.zeros(3)]),
        }[kind]()
        return torch_file(tensors(**{"0.weight": weight}))


def repacked(
    data: bytes, *, method: int = zipfile.ZIP_DEFLATED, more: dict[str, bytes] | None = None
) -> bytes:
    """The same archive, packed otherwise and with more in it."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", method) as new:
        for member in old.infolist():
            new.writestr(member.filename, old.read(member))
        for name, content in (more or {}).items():
            new.writestr(name, content)
    return out.getvalue()


def deflated() -> bytes:
    return repacked(torch_file(tensors(**{"2.weight": torch.zeros(2, 4_000_000)})))


def torchscript() -> bytes:
    """The members of a TorchScript archive."""
    return repacked(
        torch_file(tensors()), more={"archive/code/__torch__.py": b"", "archive/constants.pkl": b""}
    )


def torch_export() -> bytes:
    """The members of a .pt2 archive: a program, and pickles that would be opened with it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("m/archive_format", b"pt2")
        archive.writestr("m/archive_version", b"0")
        archive.writestr("m/models/model.json", b"{}")
        archive.writestr("m/data/sample_inputs/model.pt", torch_file(Running()))
        archive.writestr("m/data/constants/opaque", pickled(Running()))
    return out.getvalue()


def nested_dict(depth: int = 80) -> bytes:
    value: Any = torch.zeros(1)
    for _ in range(depth):
        value = {"a": value}
    return torch_file(value)


def tuple_key(depth: int = 200_000) -> bytes:
    """A state_dict whose key is a tuple in a tuple in a tuple ...: hashing it would crash the interpreter."""
    program = b"\x80\x02}N" + b"\x85" * depth + b"K\x01s."
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(torch_file(tensors()))) as old, zipfile.ZipFile(out, "w") as new:
        for member in old.infolist():
            content = program if member.filename.endswith("data.pkl") else old.read(member)
            new.writestr(member.filename, content)
    return out.getvalue()


def checkpoint() -> bytes:
    return torch_file({"state_dict": tensors(), "epoch": 3, "optimizer": {"state": {}, "lr": 0.1}})


def archive_of(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()
