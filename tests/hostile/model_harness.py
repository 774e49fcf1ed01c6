"""Offers a model file as a user would, and looks at everything that must not have happened."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from medprune.errors import BadInput
from medprune.intake.adopt import inferred_widths
from medprune.intake.completion import is_described
from medprune.intake.model_formats import read_model
from medprune.intake.tensor_file import TensorFile
from medprune.model_file import model_from
from tests.hostile.case import CANARY, Case
from tests.hostile.harness import check_sentence
from tests.hostile.model_archives import MARKER

DANGEROUS = ("torch.export.load", "torch.jit.load", "pickle.load", "pickle.loads", "joblib.load")
DECOYS = ("decoy.bin", "../decoy.bin")


def forbid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever could run a file's code fails the test."""

    def called(*_: object, **__: object) -> NoReturn:
        raise AssertionError("a loader that runs code was called")

    for name in DANGEROUS:
        monkeypatch.setattr(name, called)


def private_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A working folder with decoys that a file may point at, and an empty temporary folder."""
    here, temporary = tmp_path / "outer" / "here", tmp_path / "temporary"
    here.mkdir(parents=True)
    temporary.mkdir()
    monkeypatch.chdir(here)
    for decoy in DECOYS:
        (here / decoy).write_bytes(CANARY.encode() * 8)
    (here / "link.bin").symlink_to(here / "decoy.bin")
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    return here, temporary


def offered(data: bytes, name: str) -> TensorFile:
    """The file as the pages and the shell take it: read, and either described or of known layers."""
    file = read_model(data, name)
    if is_described(file):
        model_from(file)
    else:
        inferred_widths(file)
    return file


def check(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = case.make()
    forbid(monkeypatch)
    here, temporary = private_places(tmp_path, monkeypatch)
    before = sorted(here.rglob("*"))
    process = os.getpid()
    if case.outcome == "refused":
        with pytest.raises(BadInput) as caught:
            offered(data, case.file_name)
        told = [caught.value.sentence]
        check_sentence(told[0])
    else:
        told = list(offered(data, case.file_name).notes)
    assert not case.says or any(re.search(case.says, text) for text in told), told
    assert not any(CANARY in text for text in told)
    assert os.getpid() == process
    assert not MARKER.exists(), "the file's code was run"
    assert sorted(here.rglob("*")) == before
    assert not list(temporary.iterdir())


def marker_gone() -> Iterator[None]:
    """No marker before a test, none left after it."""
    assert not MARKER.exists()
    yield
    if MARKER.exists():
        MARKER.rmdir()
