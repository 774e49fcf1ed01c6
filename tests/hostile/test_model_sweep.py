"""Model files that were cut or changed by one byte: refused in a sentence, or read as far as all is well.

What may be accepted depends on what a format can know:

- A state_dict and a skops file are archives with a checksum for each part: what is accepted is equal.
- A safetensors file has no checksum: a changed byte may change numbers of the one tensor that it lies in, or
  a name; shapes stay, and every number is finite. Cut, it is refused.
- ONNX has none either, and a changed byte may change how the graph is read. Whatever is accepted gave the
  same risks in onnxruntime, so here it is only held that all numbers are finite.
"""

from __future__ import annotations

import math

import pytest

from tests.hostile.harness import check_swept
from tests.hostile.model_archives import safe, tensors, torch_file
from tests.hostile.onnx_files import mlp
from tests.hostile.skops_files import ordinary
from tests.hostile.sweep import Change, Seen, cuts, flips

FILES = {
    "m.safetensors": safe(),
    "m.pt": torch_file(tensors()),
    "m.skops": ordinary(),
    "m.onnx": mlp(),
}


def check_sweep(name: str, changes: list[Change]) -> list[Seen]:
    return check_swept(FILES[name], name, changes, check_accepted, kind="model")


def check_accepted(name: str, whole: Seen, version: Seen) -> None:
    assert all(math.isfinite(float(number)) for column in version.cells for number in column)
    if name.endswith((".pt", ".skops")):
        assert (version.names, version.cells) == (whole.names, whole.cells), version.change
    elif name.endswith(".safetensors"):
        assert sorted(map(shape, version.names)) == sorted(map(shape, whole.names))
        ours = set(zip(whole.names, whole.cells, strict=True))
        theirs = set(zip(version.names, version.cells, strict=True))
        assert len(ours ^ theirs) <= 2, version.change  # the one that was, and the one that is


def shape(named: str) -> str:
    """Of "layers.0.weight (8, 16)" what stands in brackets."""
    return named[named.rindex("(") :]


@pytest.mark.parametrize("name", FILES)
def test_a_model_that_was_cut(name: str) -> None:
    versions = check_sweep(name, cuts(FILES[name]))
    assert all(version.refused for version in versions[: len(versions) // 2])


@pytest.mark.parametrize("name", FILES)
def test_a_model_with_a_wrong_byte(name: str) -> None:
    versions = check_sweep(name, flips(FILES[name], 64))
    assert any(version.refused for version in versions)


@pytest.mark.soak
@pytest.mark.parametrize("name", FILES)
def test_a_thousand_models_with_a_wrong_byte(name: str) -> None:
    check_sweep(name, flips(FILES[name], 1_000, seed=1))
