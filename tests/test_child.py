"""The process that opens a stranger's file: whatever it does, its parent gets an answer or one sentence."""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch

from medprune import BadInput
from medprune.intake import Limits, TableChoices, read_model_safely, read_table_safely
from medprune.intake.child import asked
from medprune.intake.table_file import read_table
from tests.hostile.case import CANARY
from tests.makers import patient_table

SMALL = Limits(memory=512 * 2**20, cpu=2, wall=60.0, upload=2**20, output=16 * 2**20)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder for temporary files, which must be empty again after each test."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def told(job: str, data: bytes = b"", limits: Limits = SMALL) -> Mapping[str, Any]:
    with asked(job, data, {}, title="'t'", limits=limits, worker="tests.intruder") as answer:
        return answer.told


def refused(job: str, data: bytes = b"", limits: Limits = SMALL) -> str:
    with pytest.raises(BadInput) as error:
        told(job, data, limits)
    assert error.value.sentence.endswith(".")
    assert "\n" not in error.value.sentence
    return error.value.sentence


def alive(pid: int) -> bool:
    """True when there is a process of that number that does more than wait to be taken note of."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


# ---- whatever it does -----------------------------------------------------------------------------


def test_one_that_takes_memory_is_told_by_its_limit() -> None:
    assert "more memory than the 0.5 GB" in refused("hog")


def test_one_that_works_for_ever_is_stopped() -> None:
    assert "took longer to read than it may (2 seconds of work" in refused("loop")


def test_one_that_waits_for_ever_is_stopped() -> None:
    assert "1 of waiting" in refused("sleep", limits=Limits(wall=1.0))


def test_one_that_aborts_takes_nothing_with_it() -> None:
    assert "broke off the process that read it, and nothing else" in refused("abort")


def test_a_flood_of_output_is_dropped() -> None:
    assert told("flood")["flooded"]


def test_a_file_that_grows_too_large_is_told() -> None:
    assert "larger than may be written" in refused("fill")


def test_what_it_leaves_behind_goes_with_its_folder() -> None:
    assert "deep" in told("litter", b"x")["seen"]


def test_what_it_started_ends_with_it() -> None:
    pid = told("orphan")["pid"]
    end = time.monotonic() + 5
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.02)
    assert not alive(pid)


def test_it_sees_nothing_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "s3cret")
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    seen = told("look")
    assert "s3cret" not in str(seen)
    assert not [name for name in seen["environment"] if "TOKEN" in name or name.startswith("TORCH")]
    assert seen["folder"] == ["request.json"]
    assert seen["group"]
    assert not seen["torch"]
    assert not seen["pandas"]


def test_it_reaches_no_network_where_the_system_can_forbid_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        seen = told("call_home", str(server.getsockname()[1]).encode())
    if "no network" not in seen["confined"]:
        pytest.skip("this system gives no process a network of its own")
    assert not seen["reached"]


def test_an_error_is_told_by_its_kind_and_place_alone(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        sentence = refused("fail", CANARY.encode())
    assert "damaged or of a kind that MedPrune does not know" in sentence
    assert "ValueError" in caplog.text
    assert CANARY not in sentence + caplog.text


@pytest.mark.parametrize("job", ["lie", "link", "pipe", "vanish"])
def test_an_answer_that_is_none_is_not_believed(job: str, tmp_path: Path) -> None:
    (tmp_path / "ours.json").write_text('{"notes": []}')
    data = str(tmp_path / "ours.json").encode() if job == "link" else b"[" * 100_000
    assert "damaged or of a kind" in refused(job, data)


def test_a_file_that_is_too_large_is_not_looked_at(tmp_path: Path) -> None:
    data = b"x" * (SMALL.upload + 1)
    assert "1,048,577 bytes, and at most 1,048,576 are read" in refused("look", data)
    (tmp_path / "large.csv").write_bytes(data)
    with pytest.raises(BadInput, match="at most 1,048,576 are read"):
        read_table_safely(tmp_path / "large.csv", name="large.csv", limits=SMALL)


def test_only_plain_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    for path in (tmp_path / "pipe.csv", tmp_path, Path("/dev/zero")):
        with pytest.raises(BadInput, match="cannot be read"):
            read_table_safely(path, name=path.name)
    with pytest.raises(BadInput, match="There is no file"):
        read_table_safely(tmp_path / "none.csv", name="none.csv")
    with pytest.raises(BadInput, match="not a web address"):
        read_table_safely("https://example.org/t.csv", name="t.csv")


# ---- what comes back ------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_comes_back_as_it_is_read_here(ending: str, tmp_path: Path) -> None:
    frame, path = patient_table(50), tmp_path / f"t.{ending}"
    path.write_bytes(frame.to_csv(index=False).encode() if ending == "csv" else frame.to_parquet())
    here = read_table(path)
    with path.open("rb") as opened:
        opened.read()  # it is read from its start, wherever it stands
        for source in (path, str(path), path.read_bytes(), opened):
            read = read_table_safely(source, name=path.name)
            pd.testing.assert_frame_equal(read.frame, here)
            assert read.manifest["rows"] == 50
            assert read.manifest["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
            assert set(read.manifest["confined"]) >= {"memory", "processor time", "file size", "no core dump"}


def test_choices_travel_to_the_child() -> None:
    read = read_table_safely(b"a;b\n1,234;x\n", name="t.csv", choices=TableChoices(decimal="."))
    assert read.frame["a"].tolist() == ["1234"]
    assert read.manifest["decimal"] == "."


def test_a_model_comes_back_as_it_is_read_here(tmp_path: Path) -> None:
    first = {"b.weight": torch.randn(3, 4).t(), "b.bias": torch.randn(4).double()}
    state = first | {"a.weight": torch.randn(2, 4), "a.bias": torch.randn(2)}
    torch.save(state, tmp_path / "m.pt")
    file = read_model_safely(tmp_path / "m.pt", name="m.pt")
    assert list(file.tensors) == list(state)
    assert torch.equal(file.tensors["b.weight"], state["b.weight"])
    assert file.tensors["b.bias"].dtype == torch.float32
    assert file.ordered
    assert "converted from float64" in file.notes[0]
    other = safetensors.torch.save({"w.weight": torch.ones(2, 2)}, metadata={"who": "us"})
    assert read_model_safely(other, name="m.safetensors").metadata == {"who": "us"}


def test_a_model_that_is_a_pickle_is_refused_with_its_sentence() -> None:
    with pytest.raises(BadInput, match=r"'m\.pt' is a pickle, which can run code"):
        read_model_safely(b"\x80\x04" + CANARY.encode(), name="m.pt")


def test_a_table_of_numbers_stays_one() -> None:
    frame = pd.DataFrame({"x": np.arange(5.0)})
    assert read_table_safely(frame.to_parquet(), name="t.pq").frame["x"].dtype == np.float64
