"""The gate on patients whose truth is known: what harms fails, what is the same passes, few say nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest

from medprune import BadInput, Cohort, Limits, Override, Review, RiskModel, load_cohort, review, train
from medprune.mask import Mask
from medprune.network import MLP
from medprune.review.evidence import Evidence
from medprune.review.gate import STATES, overall
from medprune.training import Schedule

ROWS = 10_000  # a fifth of them are test patients
MANY = 25_000


def simulated(rows: int = ROWS, seed: int = 0) -> Cohort:
    """Women and men of whom two markers tell the risk: ``f`` that of women, ``m`` that of men."""
    rng = np.random.default_rng(seed)
    female = rng.random(rows) < 0.4
    f, m, both = rng.normal(size=(3, rows))
    logit = -1.2 + 1.2 * both + 2.5 * np.where(female, f, m)
    table = pd.DataFrame(
        {
            "f": np.where(female, f, 0.0),
            "m": np.where(female, 0.0, m),
            "both": both,
            "sex": np.where(female, "female", "male"),
            "died": (rng.random(rows) < 1 / (1 + np.exp(-logit))).astype(int),
        }
    )
    return load_cohort(table, outcome="died", exclude=["sex"], subgroups=["sex"], seed=seed)


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return simulated()


@pytest.fixture(scope="module")
def dense(cohort: Cohort) -> RiskModel:
    return replace(train(cohort, MLP(hidden=(8,)), schedule=Schedule(epochs=40)), act_at=0.2)


def without(model: RiskModel, name: str) -> RiskModel:
    """The model, with one input masked: it takes every patient for the average one."""
    full: Mask = model.network.full_mask()
    keep = full.inputs.clone()
    keep[[column.feature == name for column in model.preparation.columns]] = False
    return replace(model, mask=replace(full, inputs=keep))


def states(found: Review) -> dict[str, str]:
    return {check.id: check.state for check in found.checks}


def test_a_model_equal_to_its_calibrated_parent_passes() -> None:
    many = simulated(MANY)
    dense = replace(train(many, MLP(hidden=(8,)), schedule=Schedule(epochs=40)), act_at=0.2)
    found = review(dense, dense, many.test, act_at=0.2, cohort=many, refits=1)
    assert len(many.test) == 5_000
    assert states(found) == {f"G{k}": "pass" for k in range(9)}, [c.sentence for c in found.checks]
    assert found.gate == "pass"
    assert found.flips.total == 0
    assert found.auroc[2].value == found.auroc[2].low == found.auroc[2].high == 0


def test_a_model_that_harms_one_group_on_purpose_fails_and_names_it(cohort: Cohort, dense: RiskModel) -> None:
    found = review(dense, without(dense, "f"), cohort.test, act_at=0.2)
    assert found.gate == "fail"
    assert states(found)["G3"] == "fail"
    [check] = [check for check in found.checks if check.id == "G3"]
    assert "sex = female" in check.sentence
    assert check.high < check.margin
    [groups] = found.groups
    by_name = {group.name: group.state for group in groups.groups}
    assert by_name["sex = male"] == "pass"  # whose risks have not changed


def test_sixty_patients_say_nothing_and_that_is_no_pass(dense: RiskModel) -> None:
    few = simulated(300, seed=1)
    found = review(dense, dense, few.test, act_at=0.2, evidence=Evidence(overlap=0, configurations=1))
    assert len(few.test) == 60
    assert states(found)["G0"] == "not assessable"
    assert found.gate == "not assessable"
    assert "not a pass" in found.checks[0].sentence


def test_patients_that_the_model_knows_fail(cohort: Cohort, dense: RiskModel) -> None:
    found = review(dense, dense, cohort.tuning, act_at=0.2)
    assert states(found)["G0"] == "fail"
    stranger = replace(dense, origin=replace(dense.origin, source="uploaded"))
    unknown = review(stranger, stranger, cohort.test, act_at=0.2)
    assert states(unknown)["G0"] == "not assessable"
    assert "unknown" in unknown.checks[0].sentence


@pytest.mark.parametrize(("looks", "state"), [(1, "pass"), (2, "warn"), (5, "warn"), (6, "fail")])
def test_many_looks_at_the_same_patients_count(
    cohort: Cohort, dense: RiskModel, looks: int, state: str
) -> None:
    seen = replace(dense, origin=replace(dense.origin, test_openings=looks - 1))
    found = review(dense, seen, cohort.test, act_at=0.2)
    assert states(found)["G8"] == state
    assert found.evidence.configurations == looks


def test_risks_that_are_too_timid_fail_calibration_though_auroc_is_the_same(
    cohort: Cohort, dense: RiskModel
) -> None:
    timid = replace(dense, recalibration=replace(dense.recalibration, slope=0.4))
    found = review(dense, timid, cohort.test, act_at=0.2)
    assert states(found)["G1"] == "pass"
    assert states(found)["G2"] == "fail"
    assert found.gate == "fail"
    [side] = found.sides
    assert side.pruned["slope"].value == pytest.approx(side.dense["slope"].value / 0.4)


def test_flips_beyond_the_floor_fail_and_within_pass(cohort: Cohort, dense: RiskModel) -> None:
    other = replace(train(cohort, MLP(hidden=(8,)), seed=2, schedule=Schedule(epochs=40)), act_at=0.2)
    twin = review(dense, other, cohort.test, act_at=0.2, cohort=cohort, refits=6)
    assert twin.floor is not None
    assert states(twin)["G4"] in ("pass", "warn")
    harmed = review(dense, without(dense, "m"), cohort.test, act_at=0.2, cohort=cohort, refits=2)
    assert states(harmed)["G4"] == "fail"
    nobody = review(dense, without(dense, "m"), cohort.test, act_at=0.2)
    assert states(nobody)["G4"] == "not assessable"  # no train patients: the floor is unknown


def test_a_required_input_that_is_gone_fails(cohort: Cohort, dense: RiskModel) -> None:
    smaller = without(dense, "f")
    for limits, state in ((Limits(required=("f",)), "fail"), (Limits(), "warn")):
        assert (
            states(review(dense, smaller, cohort.test, act_at=0.2, cohort=cohort, refits=0, limits=limits))[
                "G6"
            ]
            == state
        )
    agreed = review(dense, smaller, cohort.test, act_at=0.2, cohort=cohort, refits=0, confirmed=["f"])
    assert states(agreed)["G6"] == "pass"


def test_an_input_that_mixes_two_units_fails_until_it_is_mended() -> None:
    rng = np.random.default_rng(0)
    glucose = rng.normal(100, 15, 600)
    table = pd.DataFrame({"glucose": glucose, "age": rng.normal(60, 9, 600)})
    table["died"] = (rng.random(600) < 0.3).astype(int)
    table.loc[:200, "glucose"] /= 18.0
    for treatments, state in (((), "fail"), (("suggested",), "pass")):
        here = load_cohort(table, outcome="died", treatments=treatments)
        made = train(here, MLP(hidden=(3,)), schedule=Schedule(epochs=2))
        [check] = [
            check
            for check in review(made, made, here.test, act_at=0.2, cohort=here, refits=0).checks
            if check.id == "G6"
        ]
        assert check.state == state, check.sentence


def test_the_worst_state_counts() -> None:
    assert STATES == ("fail", "not assessable", "warn", "pass")
    for place, state in enumerate(STATES):
        checks = [_Check(each) for each in STATES[place:]]
        assert overall(checks) == state  # type: ignore[arg-type]


class _Check:
    def __init__(self, state: str) -> None:
        self.state = state


def test_the_two_readings_of_flips_agree_with_net_benefit(cohort: Cohort, dense: RiskModel) -> None:
    found = review(dense, without(dense, "f"), cohort.test, act_at=0.2)
    [side] = found.sides
    assert found.flips.change_in_net_benefit(0.2) == pytest.approx(side.change["net_benefit"].value)
    changed = found.changed()
    assert len(changed) == found.flips.total
    assert (changed["change"] == "missed").sum() == found.flips.missed
    assert (
        changed.iloc[0]["f"]
        == cohort.test.frame["f"][int(np.flatnonzero(cohort.test.rows + 1 == changed.iloc[0]["row"])[0])]
    )


def test_cases_and_controls_are_weighted_to_a_prevalence(cohort: Cohort, dense: RiskModel) -> None:
    found = review(dense, dense, cohort.test, act_at=0.2, prevalence=0.05)
    [side] = found.sides
    assert side.prevalence == pytest.approx(0.05)
    assert side.dense["observed_over_expected"].value < 0.5  # risks of a much sicker sample
    assert found.prevalence == 0.05
    with pytest.raises(BadInput, match="prevalence"):
        review(dense, dense, cohort.test, act_at=0.2, prevalence=1.0)


def test_an_override_takes_a_name_a_reason_and_a_date() -> None:
    today = date(2026, 1, 1)
    made = Override.read("A. Clinician", "bridging until the new test set", "2026-06-30", today=today)
    assert made.to_json()["expires"] == "2026-06-30"
    for name, reason, until in (
        ("", "x", "2026-06-30"),
        ("A", " ", "2026-06-30"),
        ("A", "x", "soon"),
        ("A", "x", "2025-12-31"),
    ):
        with pytest.raises(BadInput):
            Override.read(name, reason, until, today=today)
