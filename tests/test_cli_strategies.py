"""The shell's ways of pruning: any strategy or baseline, its settings, prices of features."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.test_cli import Shell, on, place, shell

__all__ = ["place", "shell"]  # fixtures


def test_a_baseline_is_pruned_and_exported_like_a_strategy(shell: Shell, place: Path, tmp_path: Path) -> None:
    found = shell.json(
        *on(place, "prune", "--strategy", "l1_logistic", "--granularity", "feature", "--sparsity", "0.5"),
        *("--out", tmp_path / "b"),
    )
    assert found["strategy"] == "l1_logistic"
    assert found["sparsity"]["achieved"] >= 0.5
    assert len(found["no_longer_needed"]) == found["dense"]["features"] - found["pruned"]["features"]
    assert (tmp_path / "b" / "model.onnx").exists()


def test_a_setting_of_a_strategy_is_given(shell: Shell, place: Path, tmp_path: Path) -> None:
    given = ("--strategy", "genetic", "--granularity", "feature", "--set", "generations=1")
    found = shell.json(*on(place, "prune", *given, "--set", "population=6", "--out", tmp_path / "b"))
    assert 0 < found["models_trained"] < 60
    about = json.loads((tmp_path / "b" / "provenance.json").read_text())
    assert (about["settings"]["generations"], about["settings"]["population"]) == (1, 6)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--strategy", "genetics"), "did you mean 'genetic'"),
        (("--strategy", "genetic"), "--granularity neuron or feature"),
        (("--strategy", "genetic", "--granularity", "neuron", "--set", "generation=2"), "generations"),
        (("--strategy", "genetic", "--granularity", "neuron", "--set", "generations=many"), "takes a number"),
        (("--strategy", "rfe", "--granularity", "feature", "--set", "network=2"), "takes yes or no"),
        (("--strategy", "rfe", "--granularity", "feature", "--threshold", "0.1"), "cuts at no threshold"),
        (("--smallest", "bytes"), "parameters, features, price"),
        (("--prices", "nowhere.csv"), "could not be read"),
    ],
)
def test_what_cannot_be_is_told_before_any_work(
    options: tuple[str, ...], said: str, shell: Shell, place: Path, tmp_path: Path
) -> None:
    assert said in shell.refused(*on(place, "prune", *options, "--out", tmp_path / "b"))
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("form", ["csv", "json"])
def test_prices_make_the_path_cheap_first(form: str, shell: Shell, place: Path, tmp_path: Path) -> None:
    prices = tmp_path / f"prices.{form}"
    prices.write_text("feature,price\nage,8\nlactate,30\n" if form == "csv" else '{"age": 8, "lactate": 30}')
    options = ("--granularity", "feature", "--prices", prices, "--price-unit", "EUR", "--sparsity", "0.3")
    found = shell.json(*on(place, "prune", *options, "--out", tmp_path / "b"))
    assert found["price"] == {"unit": "EUR", "dense": 38.0, "pruned": 0.0}
    assert set(found["no_longer_needed"]) >= {"age", "lactate"}


def test_a_price_of_what_is_no_feature_is_told(shell: Shell, place: Path, tmp_path: Path) -> None:
    prices = tmp_path / "prices.json"
    prices.write_text('{"lactat": 30}')
    said = shell.refused(*on(place, "prune", "--prices", prices, "--out", tmp_path / "b"))
    assert "did you mean 'lactate'" in said
