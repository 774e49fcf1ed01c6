"""Hostile and broken model files: one sentence each, and nothing of them has run."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from medprune.intake.model_formats import is_our_own
from medprune.intake.pickle_depth import deepest
from tests.hostile.case import Case
from tests.hostile.model_archives import MARKER, Running, pickled, safe, tensors, torch_file
from tests.hostile.model_harness import check, marker_gone
from tests.hostile.models import CASES, ours
from tests.hostile.onnx_files import mlp
from tests.hostile.skops_files import ordinary

clean = pytest.fixture(autouse=True)(marker_gone)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_model_file(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(case, tmp_path, monkeypatch)


def test_the_marker_would_show() -> None:
    """The object in the hostile files does run when it is unpickled: its absence means something."""
    pickle.loads(pickled(Running()))
    assert MARKER.exists()


def test_only_our_own_files_skip_the_child() -> None:
    assert is_our_own(ours())
    for data in (safe(), ordinary(), mlp(), torch_file(tensors()), b"", ours()[:30]):
        assert not is_our_own(data)


def test_the_depth_of_a_pickle() -> None:
    for value, depth in ((1, 0), ([1], 1), ((1, (2, (3,))), 3), ({"a": [{"b": (1,)}]}, 4)):
        assert deepest(pickle.dumps(value, 2)) == depth
    assert deepest(pickle.dumps(list(range(5000)), 4)) == 1
