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
    dense = about["dense_training"]
    assert dense["seed"] == 0
    assert dense["schedule"]["epochs"] > 0
    assert {"batch_size", "learning_rate", "weight_decay"} <= set(dense["schedule"])
    assert {"hidden", "dropout"} <= set(dense["spec"])


def test_a_criterion_has_its_own_settings_in_every_verb(shell: Shell, place: Path, tmp_path: Path) -> None:
    signed = ("--criterion", "taylor", "--criterion-set", "signed=yes")
    each, signed_too = (
        shell.json(*on(place, "score", *options))["features"] for options in (signed[:2], signed)
    )
    assert each == signed_too  # it is the sign of weights only
    weights = [
        shell.json(*on(place, "score", *options))["weights"][0]["mean"] for options in (signed[:2], signed)
    ]
    assert weights[1] < weights[0]  # patients cancel out
    assert shell.json(*on(place, "sweep", *signed, "--thresholds", "3"))
    for granularity in ("weight", "feature"):
        options = (*signed, "--granularity", granularity, "--sparsity", "0.3", "--out", tmp_path / "b")
        shell.json(*on(place, "prune", *options))
        about = json.loads((tmp_path / "b" / "provenance.json").read_text())
        assert about["settings"]["options"] == [["signed", True]]


@pytest.mark.parametrize("granularity", ["neuron", "feature"])
def test_agreement_is_measured_at_any_granularity(granularity: str, shell: Shell, place: Path) -> None:
    found = shell.json(*on(place, "score", "--agreement", granularity))["agreement"]
    assert found["granularity"] == granularity
    assert found["count"] > 0


def test_settings_that_no_form_asks_for_are_given_too(shell: Shell, place: Path, tmp_path: Path) -> None:
    feature = ("--granularity", "feature", "--out", tmp_path / "b")
    among = ("--strategy", "exhaustive", "--set", "among=age, lactate")
    found = shell.json(*on(place, "prune", *among, *feature))
    assert found["models_trained"] == 4  # with both, without age, without lactate, without both
    assert set(found["no_longer_needed"]) <= {"age", "lactate"}
    file = tmp_path / "generations.json"
    small = ("--set", "generations=1", "--set", "population=4", "--set", f"checkpoint={file}")
    shell.json(*on(place, "prune", "--strategy", "genetic", *small, *feature))
    assert json.loads(file.read_text())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--criterion", "taylor", "--criterion-set", "sign=yes"), "did you mean 'signed'"),
        (("--criterion", "taylor", "--criterion-set", "signed=2"), "takes yes or no"),
        (("--strategy", "greedy", "--criterion-set", "signed=yes"), "has no setting"),
        (("--price-unit", "EUR"), "give the prices too"),
        (("--strategy", "exhaustive", "--granularity", "feature", "--set", "amon=age"), "no setting 'amon'"),
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
