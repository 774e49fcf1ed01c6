"""The shell over a Parquet in batches says what it says in memory; memory does not grow with the rows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from medprune import cli
from tests.makers import patient_table
from tests.test_cli import Shell, shell  # noqa: F401 - a fixture

ROWS = 3_000


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, its bundle, and other patients as Parquet; no test changes them."""
    folder = tmp_path_factory.mktemp("large")
    patient_table(120).to_csv(folder / "patients.csv", index=False)
    given = [str(folder / "patients.csv"), "--outcome", "stage", "--quiet", "--hidden", "8,4"]
    assert cli.main(["train", *given, "--out", str(folder / "m.safetensors")]) == 0
    model = ["--model", str(folder / "m.safetensors"), "--sparsity", "0.3"]
    assert cli.main(["prune", *given, *model, "--out", str(folder / "bundle")]) == 0
    others = patient_table(ROWS, seed=5)
    others.loc[::9, "stage"] = None
    others.to_parquet(folder / "others.parquet")
    return folder


def on(place: Path, verb: str, *more: object) -> tuple[object, ...]:
    model = ("--model", place / "m.safetensors", "--external")
    return (verb, place / "others.parquet", "--outcome", "stage", *model, *more)


def test_score(shell: Shell, place: Path, tmp_path: Path) -> None:  # noqa: F811
    here = shell.json(*on(place, "score", "--out", tmp_path / "a.csv"))
    there = shell.json(*on(place, "score", "--in-batches", "--out", tmp_path / "b.csv"))
    assert {**there, "out": here["out"]} == here
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


@pytest.mark.parametrize("granularity", ["weight", "neuron", "feature"])
def test_sweep(granularity: str, shell: Shell, place: Path) -> None:  # noqa: F811
    more = ("--granularity", granularity, "--act-at", "0.4", "--thresholds", "11")
    here = shell.json(*on(place, "sweep", *more))
    assert shell.json(*on(place, "sweep", *more, "--in-batches")) == here


@pytest.mark.parametrize("name", ["risks.csv", "risks.parquet"])
def test_predict(name: str, shell: Shell, place: Path, tmp_path: Path) -> None:  # noqa: F811
    verb = ("predict", place / "others.parquet", "--bundle", place / "bundle", "--out")
    for folder, more in (("a", ()), ("b", ("--in-batches",))):
        (tmp_path / folder).mkdir()
        found = shell.json(*verb, tmp_path / folder / name, *more)
        assert found["rows"] == ROWS
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    read = pd.read_csv if name.endswith("csv") else pd.read_parquet
    assert read(tmp_path / "a" / name).columns.tolist() == ["row", "risk"]


def test_what_is_large_or_a_folder_goes_in_batches(
    shell: Shell,  # noqa: F811
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    verb = ("predict", "--bundle", place / "bundle", "--out", tmp_path / "risks.csv")
    (tmp_path / "parts").mkdir()
    pd.read_parquet(place / "others.parquet").to_parquet(tmp_path / "parts" / "0.parquet")
    assert "read in batches" not in shell(*verb, place / "others.parquet")[2]
    code, _, told = shell(*verb, tmp_path / "parts")
    assert code == 0
    assert f"{ROWS:,} rows are read in batches of 65,536: memory stays under about 0." in told
    for limit in ("MOST_BYTES", "MOST_CELLS"):
        with monkeypatch.context() as patched:
            patched.setattr(f"medprune.intake.large_table.{limit}", 1_000)
            assert "read in batches" in shell(*verb, place / "others.parquet")[2]


def test_patients_of_a_large_table_must_be_external(shell: Shell, place: Path) -> None:  # noqa: F811
    for verb in ("score", "sweep"):
        given = [word for word in on(place, verb, "--in-batches") if word != "--external"]
        assert "--external" in shell.refused(*given)
    told = shell(*on(place, "score", "--in-batches"))[2]
    assert "is not checked in a table of this size" in told
    assert "334 of 3000 rows have no outcome and are left out." in told


def test_what_batches_cannot_do_is_told(shell: Shell, place: Path, tmp_path: Path) -> None:  # noqa: F811
    assert "--agreement" in shell.refused(*on(place, "score", "--in-batches", "--agreement"))
    assert "--exclude" in shell.refused(*on(place, "score", "--in-batches", "--exclude", "age"))
    assert "no class 'nobody'" in shell.refused(*on(place, "score", "--in-batches", "--positive", "nobody"))
    bundle = ("--bundle", place / "bundle", "--out", tmp_path / "risks.csv", "--in-batches")
    assert "save the table as Parquet" in shell.refused("predict", place / "patients.csv", *bundle)
    assert "no Parquet file" in shell.refused("predict", tmp_path, *bundle)
    assert list(tmp_path.iterdir()) == []


PEAK = """
import sys
from medprune import load_model
from medprune.large import LargeTable, large_patients, score_large
from medprune.peak_memory import peak
model = load_model(sys.argv[1])
score_large(model, large_patients(LargeTable.open(sys.argv[2]), model))
print(peak())
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is asked of Linux")
def test_memory_does_not_grow_with_the_rows(place: Path, tmp_path: Path) -> None:
    """Four times the rows, in one row group: were they held, they would take 40 MB more for each copy."""
    table = pd.concat([patient_table(50_000)] * 2, ignore_index=True)
    peaks = []
    for times in (1, 4):
        path = tmp_path / f"{times}.parquet"
        pd.concat([table] * times).to_parquet(path, row_group_size=10**7)
        found = subprocess.run(
            [sys.executable, "-c", PEAK, str(place / "m.safetensors"), str(path)],
            capture_output=True,
            text=True,
            check=True,
        )
        peaks.append(json.loads(found.stdout))
    assert peaks[1] < 1.3 * peaks[0]
