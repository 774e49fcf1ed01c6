"""A censored outcome through the whole shell: told, weighted, and never mistaken for another horizon."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medprune import cli, large_patients, load_bundle, load_cohort, load_model
from medprune.censoring import told_of
from medprune.errors import BadInput
from medprune.flow import measure
from medprune.intake.large_table import LargeTable
from tests.makers import followed_table
from tests.test_cli import Shell, shell  # noqa: F401 - a fixture

ROWS = 300
SPAN = ("--time", "days", "--horizon", "8")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table, a model and a bundle; no test changes them."""
    folder = tmp_path_factory.mktemp("followed")
    table = followed_table(ROWS)
    table.to_csv(folder / "patients.csv", index=False)
    followed_table(200, seed=9).to_csv(folder / "others.csv", index=False)
    table.drop(columns=["days", "died"]).to_csv(folder / "new.csv", index=False)
    assert cli.main([*words("train", folder), "--hidden", "6", "--out", str(folder / "m.safetensors")]) == 0
    more = ["--model", str(folder / "m.safetensors"), "--sparsity", "0.5", "--out", str(folder / "bundle")]
    assert cli.main([*words("prune", folder), *more]) == 0
    return folder


def words(verb: str, folder: Path, span: tuple[str, ...] = SPAN, table: str = "patients.csv") -> list[str]:
    return [verb, str(folder / table), "--outcome", "died", "--quiet", *span]


def on(place: Path, verb: str, *more: object, span: tuple[str, ...] = SPAN) -> tuple[object, ...]:
    return (*words(verb, place, span), "--model", place / "m.safetensors", *more)


def test_inspect_tells_who_is_known(shell: Shell, place: Path) -> None:  # noqa: F811
    table = followed_table(ROWS)
    told = shell.json(*words("inspect", place), "--table-one")
    early = int(((table["died"] == 0) & (table["days"] < 8)).sum())
    found = told["follow_up"]
    assert found["early"] == early > 50
    assert found["events"] == int(((table["died"] == 1) & (table["days"] <= 8)).sum())
    assert found["events"] + found["beyond"] + found["early"] == ROWS
    assert 0 < found["median"] < table["days"].max()
    assert f"unknown at 8 (censored) (n={early})" in told["table_one"][0]
    assert "days" not in [row["variable"] for row in told["table_one"]]
    code, out, _ = shell(*(word for word in words("inspect", place) if word != "--quiet"))
    assert code == 0
    assert f"{early} (" in out
    assert "they count 0 in every figure" in out
    assert "follow_up" not in shell.json(*words("inspect", place, ()))


def test_what_train_and_prune_report_is_weighted(shell: Shell, place: Path, tmp_path: Path) -> None:  # noqa: F811
    job = shell.json(*on(place, "prune", "--sparsity", "0.5", "--out", tmp_path / "bundle"))
    cohort = load_cohort(followed_table(ROWS), outcome="died", time="days", horizon=8)
    dense = load_model(place / "m.safetensors", cohort)
    ours = measure(dense, cohort.test)
    assert job["dense"]["auroc"] == pytest.approx(ours.performance.auroc)
    assert job["dense"]["brier"] == pytest.approx(ours.performance.brier)
    risk = dense.risks_of(dense.prepared(cohort.test))[:, 1]
    weight, event = cohort.test.weight, cohort.test.outcome == 1
    assert weight is not None
    assert job["dense"]["brier"] == pytest.approx(float(weight @ (risk - event) ** 2 / weight.sum()))
    record = load_bundle(tmp_path / "bundle").model.origin.split
    assert record is not None
    assert len(record.train) + len(record.tuning) + len(record.test) == ROWS


@pytest.mark.parametrize("verb", ["score", "sweep"])
def test_the_horizon_travels_with_the_model(verb: str, shell: Shell, place: Path) -> None:  # noqa: F811
    given, left_out = shell.json(*on(place, verb)), shell.json(*on(place, verb, span=()))
    assert left_out == given
    assert told_of(load_bundle(place / "bundle").model.origin.training) == ("days", 8.0)


@pytest.mark.usefixtures("place")
def test_another_horizon_is_another_question(shell: Shell, place: Path, tmp_path: Path) -> None:  # noqa: F811
    other = shell.refused(*on(place, "sweep", span=("--horizon", "5")))
    assert "trained for the horizon 8" in other
    plain = shell.json(
        *words("train", place, ()), "--hidden", "4", "--exclude", "days", "--out", tmp_path / "p"
    )
    assert plain["parameters"] > 0
    sentence = shell.refused(*words("sweep", place), "--model", tmp_path / "p")
    assert "trained without a horizon" in sentence


def test_external_patients_and_new_ones(shell: Shell, place: Path, tmp_path: Path) -> None:  # noqa: F811
    verb = ("sweep", place / "others.csv", "--outcome", "died", "--model", place / "m.safetensors")
    swept = shell.json(*verb, "--external", "--thresholds", "3")
    others = load_cohort(followed_table(200, seed=9), outcome="died", time="days", horizon=8)
    model = load_bundle(place / "bundle").model
    assert len(swept["auroc"]) == 3
    assert len(others.all()) == 200
    told = shell.json("predict", place / "new.csv", "--bundle", place / "bundle", "--out", tmp_path / "r.csv")
    assert told["rows"] == ROWS  # everybody gets a risk, whatever their follow-up
    risks = pd.read_csv(tmp_path / "r.csv")["risk"]
    assert risks.to_numpy() == pytest.approx(model.predict_proba(followed_table(ROWS))[:, 1], abs=1e-5)
    assert np.isfinite(risks).all()


def test_tables_in_batches_refuse(shell: Shell, place: Path, tmp_path: Path) -> None:  # noqa: F811
    followed_table(200, seed=9).to_parquet(tmp_path / "others.parquet")
    verb = ("score", tmp_path / "others.parquet", "--outcome", "died", "--model", place / "m.safetensors")
    for span in ((), SPAN):
        sentence = shell.refused(*verb, "--external", "--in-batches", *span)
        assert "no weights for censored follow-up" in sentence
    model = load_bundle(place / "bundle").model
    with pytest.raises(BadInput, match="no weights for censored follow-up"):
        large_patients(LargeTable.open(tmp_path / "others.parquet"), model, outcome="died")


def test_refused_before_any_work(shell: Shell, place: Path, tmp_path: Path) -> None:  # noqa: F811
    out = ("--out", tmp_path / "m")
    assert "add --horizon T" in shell.refused(*words("train", place, ("--time", "days")), *out)
    assert "add --time COL" in shell.refused(*words("train", place, ("--horizon", "8")), *out)
    sums = shell.refused(*on(place, "score", "--out", tmp_path / "site.json"))
    assert "cannot weigh patients by their censored follow-up" in sums
