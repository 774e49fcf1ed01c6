"""Hospitals at the shell: score at each, merge, and use what comes out."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from medprune import cli, load_model
from medprune.criteria import CRITERIA
from medprune.sums_file import load_scores
from tests.makers import patient_table
from tests.test_cli import Shell

ROWS = 180
SITES = (0, 50, 100, ROWS)
ON = ("--outcome", "stage", "--split", "all")


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, the table it was made on, and the same patients in three hospitals."""
    folder = tmp_path_factory.mktemp("hospitals")
    table = patient_table(ROWS)
    table.to_csv(folder / "all.csv", index=False)
    for k, (start, end) in enumerate(itertools.pairwise(SITES)):
        table.iloc[start:end].to_csv(folder / f"site{k}.csv", index=False)
    words = ["train", folder / "all.csv", "--outcome", "stage", "--hidden", "6,4", "--quiet"]
    assert cli.main([*map(str, words), "--out", str(folder / "m.safetensors")]) == 0
    return folder


def scored(shell: Shell, place: Path, table: str, *more: object) -> dict[str, Any]:
    return shell.json("score", place / f"{table}.csv", *ON, "--model", place / "m.safetensors", *more)


def at_sites(shell: Shell, place: Path, out: Path, *more: object) -> list[Path]:
    files = [out / f"s{k}.json" for k in range(3)]
    for k, file in enumerate(files):
        assert scored(shell, place, f"site{k}", *more, "--out", file)["split"] == "all"
    return files


def names_and_scores(found: dict[str, Any]) -> dict[str, float]:
    return {each["name"]: each["score"] for each in (*found["features"], *found["neurons"])}


@pytest.mark.parametrize("name", [n for n in CRITERIA.names() if CRITERIA.get(n).needs_patients])
def test_merged_sites_are_the_pooled_table(
    name: str,
    shell: Shell,
    place: Path,
    tmp_path: Path,
) -> None:
    by = ("--criterion", name)
    rates: tuple[object, ...] = ()
    if name == "class_contribution":
        firsts = at_sites(shell, place, tmp_path, *by)
        found = shell.json("merge", *firsts, "--out", tmp_path / "rates.json")
        np.testing.assert_allclose(np.sum(found["rates"], axis=1), 1, atol=1e-6)
        rates = ("--rates", tmp_path / "rates.json")
    files = at_sites(shell, place, tmp_path, *by, *rates)
    found = shell.json("merge", *files, "--out", tmp_path / "merged.json")
    pooled = scored(shell, place, "all", *by, "--out", tmp_path / "pooled.csv")
    assert (found["sites"], found["patients"], found["rows"]) == (3, ROWS, ROWS)
    assert names_and_scores(found) == pytest.approx(names_and_scores(pooled), abs=1e-6, rel=1e-5)
    shell.json("merge", tmp_path / "merged.json", "--out", tmp_path / "merged.csv")
    one, other = pd.read_csv(tmp_path / "merged.csv"), pd.read_csv(tmp_path / "pooled.csv")
    pd.testing.assert_frame_equal(one, other, rtol=1e-4, atol=1e-6)
    contributions = load_scores(tmp_path / "merged.json", load_model(place / "m.safetensors"))
    np.testing.assert_allclose(
        contributions.weights["score"], other.loc[other["granularity"] == "weight", "score"], atol=1e-6
    )


def test_another_hospital_may_be_called_external_or_not(
    shell: Shell,
    place: Path,
    tmp_path: Path,
) -> None:
    plain = scored(shell, place, "site1", "--out", tmp_path / "a.json")
    external = scored(shell, place, "site1", "--external", "--out", tmp_path / "b.json")
    assert plain | {"out": None} == external | {"out": None}


def test_train_scores_train_patients_and_all_scores_all(shell: Shell, place: Path) -> None:
    common = ("score", place / "all.csv", "--outcome", "stage", "--model", place / "m.safetensors")
    assert shell.json(*common, "--split", "train")["patients"] == ROWS * 0.6
    assert shell.json(*common, "--split", "all")["patients"] == ROWS
    code, _, err = shell(*common, "--split", "all")
    assert code == 0
    assert "Test patients are among them" in err
    refused = shell.refused("score", place / "site0.csv", *common[2:], "--split", "train")
    assert "has changed since the model was made" in refused


def test_merged_scores_cut_the_sweep(shell: Shell, place: Path, tmp_path: Path) -> None:
    files = at_sites(shell, place, tmp_path)
    shell.json("merge", *files, "--out", tmp_path / "merged.json")
    common = ("sweep", place / "all.csv", "--outcome", "stage", "--model", place / "m.safetensors")
    by_all = shell.json(*common, "--scores", tmp_path / "merged.json", "--thresholds", 11)
    assert by_all["parameters"] != shell.json(*common, "--thresholds", 11)["parameters"]
    assert by_all["parameters"][0] > by_all["parameters"][-1]
    refused = shell.refused(*common, "--scores", tmp_path / "merged.json", "--criterion", "taylor")
    assert "leave --criterion" in refused
    assert "is no file of sums" in shell.refused(*common, "--scores", place / "all.csv")


def test_what_does_not_go_together_is_told(shell: Shell, place: Path, tmp_path: Path) -> None:
    files = at_sites(shell, place, tmp_path)
    out = ("--out", tmp_path / "m.json")
    assert "'s0.json' does not go with those before it: the same site's" in shell.refused(
        "merge", files[0], files[0], *out
    )
    merged = ("merge", *files[:2], "--out", tmp_path / "two.json")
    assert shell.json(*merged)["sites"] == 2
    assert "would count twice" in shell.refused("merge", tmp_path / "two.json", files[1], *out)
    assert "is one of the files to merge" in shell.refused("merge", *files, "--out", files[0])
    scored(shell, place, "site1", "--criterion", "taylor", "--out", tmp_path / "taylor.json")
    assert "different criteria" in shell.refused("merge", files[0], tmp_path / "taylor.json", *out)
    scored(shell, place, "site1", "--out", tmp_path / "site1.csv")
    assert "means, which cannot be merged" in shell.refused("merge", files[0], tmp_path / "site1.csv", *out)
    assert "cannot be read" in shell.refused("merge", files[0], tmp_path / "none.json", *out)
    assert not (tmp_path / "m.json").exists()


def test_class_rates_are_no_scores(shell: Shell, place: Path, tmp_path: Path) -> None:
    by = ("--criterion", "class_contribution")
    scored(shell, place, "site0", *by, "--out", tmp_path / "rates.json")
    merge = ("merge", tmp_path / "rates.json", "--out")
    assert "no table of scores" in shell.refused(*merge, tmp_path / "rates.csv")
    common = ("sweep", place / "all.csv", "--outcome", "stage", "--model", place / "m.safetensors")
    assert "first of two rounds" in shell.refused(*common, "--scores", tmp_path / "rates.json")
    scored(shell, place, "site0", "--out", tmp_path / "scores.json")
    refused = ("score", place / "site0.csv", *ON, "--model", place / "m.safetensors", *by, "--rates")
    assert "not of class rates" in shell.refused(*refused, tmp_path / "scores.json")
    told = json.loads((tmp_path / "rates.json").read_text()) | {"model": "0" * 64}
    (tmp_path / "other.json").write_text(json.dumps(told))
    assert "of another model" in shell.refused(*refused, tmp_path / "other.json")


def test_small_sites_are_refused_and_leave_no_file(
    shell: Shell,
    place: Path,
    tmp_path: Path,
) -> None:
    patient_table(12, seed=3).to_csv(tmp_path / "small.csv", index=False)
    common = ("score", tmp_path / "small.csv", *ON, "--model", place / "m.safetensors")
    out = ("--out", tmp_path / "s.json")
    assert "has 12 patients, and sums over fewer than 20" in shell.refused(*common, *out)
    assert not (tmp_path / "s.json").exists()
    assert shell.json(*common, *out, "--at-least", "12,5")["patients"] == 12
    assert shell.json(*common, "--out", tmp_path / "s.csv")["patients"] == 12  # stays at home
    assert "are a count such as 20" in shell.refused(*common, *out, "--at-least", "few")
    assert "name a file of sums" in shell.refused(*common, "--at-least", "12,5")


@pytest.mark.parametrize(("name", "says"), [("random", "--seed"), ("magnitude", "weights alone")])
def test_criteria_without_patients_say_why(
    name: str,
    says: str,
    shell: Shell,
    place: Path,
    tmp_path: Path,
) -> None:
    common = ("score", place / "site0.csv", *ON, "--model", place / "m.safetensors", "--criterion", name)
    assert says in shell.refused(*common, "--out", tmp_path / "s.json")


def test_a_hospital_with_a_table_in_batches(shell: Shell, place: Path, tmp_path: Path) -> None:
    files = []
    for k in range(3):
        path = tmp_path / f"site{k}.parquet"
        pd.read_csv(place / f"site{k}.csv").to_parquet(path)
        files.append(tmp_path / f"s{k}.json")
        common = ("score", path, *ON, "--model", place / "m.safetensors")
        shell.json(*common, *(("--in-batches",) if k else ()), "--out", files[-1])
    found = shell.json("merge", *files, "--out", tmp_path / "merged.json")
    assert names_and_scores(found) == pytest.approx(
        names_and_scores(scored(shell, place, "all")), abs=1e-6, rel=1e-5
    )
