"""Files of tensors from outside: read when they are what they say, refused in a sentence, never executed."""

from __future__ import annotations

import io
import json
import pickle
import random
import time
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from medprune.errors import BadInput
from medprune.intake.tensor_file import LARGEST_HEADER, MOST_TENSORS, read_tensors

STATE = {"0.weight": torch.arange(12.0).reshape(3, 4), "0.bias": torch.ones(3), "2.weight": torch.eye(3)[:2]}


class Marker:
    """An object whose unpickling writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.path,)


class WholeModel(nn.Module):
    def __init__(self, marker: Path) -> None:
        super().__init__()
        self.layer, self.marker = nn.Linear(2, 2), Marker(marker)


def saved(value: Any, **how: Any) -> bytes:
    out = io.BytesIO()
    torch.save(value, out, **how)
    return out.getvalue()


def framed(header: Any, body: bytes = b"") -> bytes:
    """A safetensors file with this header, right or wrong."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def entry(begin: int, end: int, *, kind: str = "F32", shape: tuple[int, ...] | None = None) -> dict[str, Any]:
    return {
        "dtype": kind,
        "shape": list(shape or ((end - begin) // 4,)),
        "data_offsets": [begin, end],
    }


def refused(data: bytes, words: str) -> str:
    """The one sentence that the file is refused with."""
    with pytest.raises(BadInput, match=words) as caught:
        read_tensors(data, name="theirs.bin")
    sentence = str(caught.value)
    assert sentence.startswith("The file 'theirs.bin'")
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert "weights_only" not in sentence
    return sentence


def same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> bool:
    return list(found) == list(wanted) and all(
        found[name].dtype == torch.float32 and torch.equal(found[name], value.float())
        for name, value in wanted.items()
    )


# --- what is read ----------------------------------------------------------------------------------


def test_safetensors_and_their_metadata() -> None:
    file = read_tensors(safetensors.torch.save(STATE, metadata={"who": "us"}), name="a.safetensors")
    assert {name: value.tolist() for name, value in file.tensors.items()} == {
        name: value.tolist() for name, value in STATE.items()
    }
    assert file.metadata == {"who": "us"}
    assert not file.ordered
    assert file.title == "The file 'a.safetensors'"


@pytest.mark.parametrize("start", [b"\x80", b"PK"])
def test_a_header_length_may_look_like_the_start_of_another_format(start: bytes) -> None:
    whole = safetensors.torch.save(STATE)
    length = int.from_bytes(whole[:8], "little")
    wanted = int.from_bytes(start, "little")
    padded = whole[8 : 8 + length].ljust(wanted + 256 * (length // 256 + 1) if start == b"\x80" else wanted)
    data = len(padded).to_bytes(8, "little") + padded + whole[8 + length :]
    assert data.startswith(start)
    assert set(read_tensors(data).tensors) == set(STATE)


def test_a_state_dict_keeps_its_order(tmp_path: Path) -> None:
    backwards = OrderedDict(reversed(STATE.items()))
    path = tmp_path / "net.pt"
    path.write_bytes(saved(backwards))
    file = read_tensors(path)
    assert file.ordered
    assert same(file.tensors, backwards)
    assert file.notes == ()


@pytest.mark.parametrize("kind", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("save", [saved, safetensors.torch.save])
def test_other_floats_are_converted_and_that_is_said(kind: torch.dtype, save: Callable[..., bytes]) -> None:
    file = read_tensors(save({name: value.to(kind) for name, value in STATE.items()}))
    assert all(value.dtype == torch.float32 for value in file.tensors.values())
    assert torch.equal(file.tensors["0.weight"], STATE["0.weight"])
    assert [str(kind).removeprefix("torch.") in note for note in file.notes] == [True]


@pytest.mark.parametrize("wrapper", ["state_dict", "model_state_dict", "model"])
def test_the_state_dict_inside_a_checkpoint_is_used_and_that_is_said(wrapper: str) -> None:
    file = read_tensors(saved({wrapper: STATE, "epoch": 3, "optimizer": {"lr": 0.1}}))
    assert same(file.tensors, STATE)
    [note] = file.notes
    assert repr(wrapper) in note
    assert "'epoch' and 'optimizer'" in note


def test_parameters_views_and_batch_counters_are_read() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    whole = dict(net.named_parameters()) | dict(net.named_buffers())
    assert "1.num_batches_tracked" in whole
    assert set(read_tensors(saved(whole)).tensors) == set(whole)
    turned = torch.arange(12.0).reshape(4, 3).t()
    assert torch.equal(read_tensors(saved({"w": turned})).tensors["w"], turned)
    assert not read_tensors(saved({"w": nn.Parameter(turned)})).tensors["w"].requires_grad


def test_tensors_do_not_share_memory_with_one_another() -> None:
    both = torch.zeros(3)
    tensors = read_tensors(saved({"a": both, "b": both})).tensors
    tensors["a"] += 1
    assert tensors["b"].tolist() == [0, 0, 0]


# --- damaged and hostile safetensors ---------------------------------------------------------------


def test_a_cut_file_is_told_with_both_lengths() -> None:
    data = safetensors.torch.save(STATE)
    assert "5 of 84 bytes" in refused(data[:-5], "is incomplete")
    assert f"{20:,} arrived" in refused(data[:20], "is incomplete")


def test_no_cut_of_any_file_is_read() -> None:
    for data in (safetensors.torch.save(STATE, metadata={"medprune": "{}"}), saved(STATE)):
        for length in range(0, len(data) - 1, max(1, len(data) // 64)):
            refused(data[:length], ".")


@pytest.mark.parametrize("length", [2**60, 2**64 - 1, LARGEST_HEADER + 1])
def test_a_header_that_claims_to_be_huge_is_refused_at_once(length: int) -> None:
    started = time.perf_counter()
    refused(length.to_bytes(8, "little") + b'{"a":1}', "no valid safetensors file")
    assert time.perf_counter() - started < 0.5


def test_blanks_for_a_header_are_refused_before_they_are_parsed() -> None:
    refused(framed(b" " * 1_000_000), "neither a safetensors file")


@pytest.mark.parametrize(
    ("header", "body", "words"),
    [
        (b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},' * 2 + b'"b":1}', 4, "damaged"),
        (
            b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
            b'"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
            4,
            "names 'a' twice",
        ),
        (b'{"a":{"dtype":"F32","dtype":"F64","shape":[1],"data_offsets":[0,4]}}', 4, "names 'dtype' twice"),
        ({"a": entry(0, 8), "b": entry(4, 12)}, 12, "inconsistent at 'b'"),
        ({"a": entry(0, 4), "b": entry(8, 12)}, 12, "inconsistent at 'b'"),
        ({"a": entry(4, 8)}, 8, "inconsistent at 'a'"),
        ({"a": entry(0, 4)}, 9, "5 bytes follow"),
        ({"a": entry(0, 8)}, 4, "4 of 8 bytes"),
        ({"a": entry(0, 0, shape=(0, 2**40))}, 0, "empty dimension"),
        ({"a": entry(0, 4, shape=(2**40, 2**40))}, 4, "claims"),
        ({"a": entry(0, 4, shape=(-1,))}, 4, "no valid one"),
        ({"a": entry(0, 4) | {"data_offsets": [True, 4]}}, 4, "no valid one"),
        ({"a": entry(0, 4) | {"data_offsets": [0]}}, 4, "damaged"),
        ({"a": entry(0, 4) | {"shape": "1"}}, 4, "no valid one"),
        ({"a": entry(0, 4, kind="F4", shape=(1,))}, 4, "of a type"),
        ({"a": entry(0, 4, kind="I8", shape=(4,))}, 4, "not of the kind that is read"),
        ({"a": 1}, 4, "damaged"),
        ({"__metadata__": ["no", "mapping"], "a": entry(0, 4)}, 4, "damaged"),
        ({}, 0, "no tensors"),
        ({"__metadata__": {"format": "pt"}}, 0, "no tensors"),
        (b"{" + b"[" * 5_000, 0, "damaged"),
        (b'{"a": "\xff\xfe"}', 0, "damaged"),
        (b"{not json}", 0, "damaged"),
    ],
)
def test_a_header_that_lies_is_refused(header: Any, body: int, words: str) -> None:
    refused(framed(header, b"\0" * body), words)


def test_more_tensors_than_a_network_has_are_refused_quickly() -> None:
    header = {f"t{i}": entry(0, 0, shape=(1,)) for i in range(MOST_TENSORS + 1)}
    started = time.perf_counter()
    refused(framed(header), "more than 10,000 tensors")
    assert time.perf_counter() - started < 2
    refused(framed(b'{"a":[' + b"0," * 10_000_001 + b"0]}"), "more than 10,000 tensors")


def test_names_are_shown_escaped() -> None:
    sentence = refused(framed({"<b>\n\u001b[31m": entry(4, 8)}, b"\0" * 8), "inconsistent")
    assert "\x1b" not in sentence


# --- damaged and hostile archives ------------------------------------------------------------------


@pytest.mark.parametrize("how", [{}, {"_use_new_zipfile_serialization": False}], ids=["zip", "legacy"])
def test_a_whole_model_is_never_unpickled(
    tmp_path: Path, how: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    marker = tmp_path / "marker"
    for value in (WholeModel(marker), {"weight": torch.ones(2), "more": Marker(marker)}, Marker(marker)):
        refused(saved(value, **how), "can run code and is never opened; save `model.state_dict")
    refused(pickle.dumps(Marker(marker)), "can run code and is never opened")
    assert not marker.exists()


def test_renaming_a_pickle_changes_nothing(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    for name in ("model.safetensors", "model.onnx", "model.skops"):
        path = tmp_path / name
        path.write_bytes(saved(Marker(marker)))
        with pytest.raises(BadInput, match="never opened"):
            read_tensors(path)
    assert not marker.exists()


def test_a_pickle_hidden_behind_a_second_one_is_not_read(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, protocol=2))
        archive.writestr("archive/DATA.PKL", pickle.dumps(Marker(marker), protocol=2))
    refused(out.getvalue(), "not a PyTorch state_dict")
    assert not marker.exists()


def test_torchscript_is_refused() -> None:
    out = io.BytesIO()
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.save(torch.jit.script(nn.Linear(2, 2)), out)
    refused(out.getvalue(), "TorchScript")


def test_a_tensor_that_claims_more_than_the_file_has_is_refused() -> None:
    data = saved({"w": torch.zeros(1).expand(10**6, 10**6)})
    assert len(data) < 5_000
    refused(data, "'w' claims more data than the file has")


def test_many_views_of_one_storage_are_counted_together() -> None:
    storage = torch.zeros(2**20)
    refused(saved({f"t{i}": storage for i in range(600)}), "more than 2 GB")


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.eye(3).to_sparse(),
        lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
        lambda: torch.zeros(3, device="meta"),
        lambda: torch.ones(3, dtype=torch.int8),
        lambda: torch.ones(3, dtype=torch.int64),
        lambda: torch.ones(3, dtype=torch.complex64),
        lambda: torch.ones(3, dtype=torch.bool),
    ],
    ids=["sparse", "quantized", "meta", "int8", "int64", "complex", "bool"],
)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_only_dense_floats_are_read(make: Callable[[], Tensor]) -> None:
    refused(saved({"w": make()}), "only dense floating-point tensors can be read")


def test_a_compressed_archive_is_refused_unread() -> None:
    plain, packed = io.BytesIO(saved({"w": torch.zeros(2**20)})), io.BytesIO()
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert len(packed.getvalue()) < 50_000
    refused(packed.getvalue(), "compressed archive")


def nest(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {"w": torch.ones(1)}
    for _ in range(depth):
        value = {"state": value}
    return value


@pytest.mark.parametrize(
    "value",
    [
        [torch.ones(2)],
        {1: torch.ones(2)},
        {"w": [1.0]},
        {},
        torch.ones(2),
        nest(80),
        {"state_dict": {"w": 1}},
    ],
    ids=["list", "int keys", "no tensor", "empty", "tensor", "deep", "empty inside"],
)
def test_what_is_not_tensors_by_name_is_refused(value: Any) -> None:
    refused(saved(value), "tensors by name; save `model.state_dict")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "neither"),
        (b"hello, this is a text file", "neither"),
        (b"age,sex\n1,2\n" * 10, "neither"),
        (b"PK\x03\x04 but no zip", "incomplete archive"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 100, "neither"),
    ],
)
def test_other_files_are_refused(data: bytes, words: str) -> None:
    refused(data, words)


def test_a_file_that_is_not_there_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.pt", tmp_path, tmp_path / "no\0name"):
        with pytest.raises(BadInput, match="could not be read"):
            read_tensors(path)


@pytest.mark.parametrize("data", [safetensors.torch.save(STATE), saved(STATE)], ids=["safetensors", "zip"])
def test_a_flipped_byte_is_read_or_refused_and_never_more(data: bytes) -> None:
    rng = random.Random(1)
    outcomes = set()
    for _ in range(400):
        broken = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 5))):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        try:
            file = read_tensors(bytes(broken))
            assert sum(value.numel() for value in file.tensors.values()) <= 42
            outcomes.add("read")
        except BadInput:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}
