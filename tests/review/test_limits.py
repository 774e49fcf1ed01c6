"""Limits: hashed, read from a file, and told apart when they were loosened."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest

from medprune import BadInput, Limits, read_limits


def test_the_same_limits_have_the_same_hash_and_others_another() -> None:
    assert Limits().sha256 == Limits().sha256
    seen = {Limits().sha256}
    for changed in (
        Limits(auroc_loss=0.01),
        Limits(required=("age",)),
        Limits(missed_per_1000=2),
        Limits(slope=(0.9, 1.1)),
    ):
        assert changed.sha256 not in seen
        seen.add(changed.sha256)


def test_they_come_back_from_their_own_json() -> None:
    limits = Limits(auroc_loss=0.01, required=("age", "sex"), act_range=(0.1, 0.3), missed_per_1000=2.5)
    assert Limits.from_json(json.loads(json.dumps(limits.to_json()))) == limits


def test_a_file_names_those_it_changes(tmp_path: Path) -> None:
    place = tmp_path / "limits.json"
    place.write_text('{"auroc_loss": 0.01, "required": "lactate"}', encoding="utf-8")
    assert read_limits(place) == Limits(auroc_loss=0.01, required=("lactate",))


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{",
        '{"auroc_los": 0.01}',
        '{"auroc_loss": 0.06}',
        '{"auroc_loss": 0}',
        '{"auroc_loss": "x"}',
        '{"slope": 1}',
        '{"slope": [1.1, 1.2]}',
        '{"act_range": [0.3, 0.1]}',
        '{"group_loss": NaN}',
        '{"benefit_loss": true}',
    ],
)
def test_what_is_no_limit_is_refused_in_a_sentence(tmp_path: Path, text: str) -> None:
    place = tmp_path / "limits.json"
    place.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput) as told:
        read_limits(place)
    assert str(told.value).endswith(".")


def test_auroc_may_never_lose_more_than_five_hundredths() -> None:
    assert Limits(auroc_loss=0.05).auroc_loss == 0.05
    with pytest.raises(BadInput):
        Limits(auroc_loss=0.0501)


LOOSER = {
    "auroc_loss": 0.03,
    "observed_over_expected": (0.85, 1.1),
    "observed_over_expected_warn": (0.8, 1.3),
    "slope": (0.8, 1.25),
    "slope_warn": (0.6, 1.3),
    "ici_rise": 0.02,
    "ici_rise_warn": 0.03,
    "group_loss": 0.06,
    "floor_warn": 3.0,
    "benefit_loss": 0.002,
    "benefit_warn": 0.01,
    "benefit_doubt": 0.3,
    "act_range": (0.1, 0.2),
    "stability": 0.2,
    "stability_warn": 0.3,
    "imputed": 0.1,
    "fidelity": 1e-4,
    "fidelity_warn": 1e-2,
    "configurations": 2,
    "configurations_warn": 6,
    "assessable": 50,
    "comfortable": 150,
    "in_a_group": 30,
}


def test_every_limit_that_is_loosened_is_noticed_and_none_that_is_tightened() -> None:
    usual = Limits()
    assert set(LOOSER) | {"required", "missed_per_1000"} == {field.name for field in fields(Limits)}
    for name, value in LOOSER.items():
        looser = Limits(**{name: value})
        assert not looser.within(usual), name
        if name != "act_range":
            assert usual.within(looser), name
    assert Limits(missed_per_1000=2).within(usual)
    assert not usual.within(Limits(missed_per_1000=2))
    assert Limits(required=("age",)).within(usual)
    assert not usual.within(Limits(required=("age",)))
