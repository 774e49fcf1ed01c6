"""What the columns of a table seem to be for, before anyone has said anything."""

from __future__ import annotations

import pandas as pd

from medprune.intake.columns import ALL_MISSING, DATES, IDENTIFIES, ONE_VALUE
from medprune.intake.roles import MIXED, Suggestion, suggested_roles
from tests.makers import patient_table


def roles(frame: pd.DataFrame) -> dict[str, Suggestion]:
    return {role.name: role for role in suggested_roles(frame)}


def test_each_column_is_given_a_role_and_a_reason() -> None:
    frame = patient_table(80).assign(
        nothing=None,
        same=3,
        day="2020-01-02",
        sample_id=[f"S{k}" for k in range(80)],
        patient=[f"p{k // 2}" for k in range(80)],
        dose=["5 mg"] + [str(k % 7) for k in range(79)],
    )
    found = roles(frame[["sample_id", "nothing", "same", "day", "age", "sex", "lactate", "dose", "stage"]])
    assert found["stage"].role == "outcome"
    assert found["age"].role == found["sex"].role == "feature"
    assert (found["age"].kind, found["sex"].kind) == ("number", "category")
    reasons = {name: role.reason for name, role in found.items() if role.role == "left out"}
    assert reasons == {
        "sample_id": IDENTIFIES,
        "nothing": ALL_MISSING,
        "same": ONE_VALUE,
        "day": ONE_VALUE,
        "dose": MIXED,
    }
    assert found["lactate"].missing == frame["lactate"].isna().mean()


def test_an_outcome_is_told_by_its_name_then_by_its_few_values() -> None:
    assert roles(pd.DataFrame({"Died": [0, 1] * 5, "sex": ["f", "m"] * 5}))["Died"].role == "outcome"
    assert roles(pd.DataFrame({"flag": [0, 1] * 20, "x": range(40)}))["flag"].role == "outcome"
    assert roles(pd.DataFrame({"a": range(40), "x": range(40)}))["x"].role == "outcome"


def test_one_column_at_most_numbers_the_patients() -> None:
    frame = pd.DataFrame(
        {
            "visit_id": range(200),
            "patient_id": [k // 2 for k in range(200)],
            "patient_name": [f"{k}" + "x" * 3 for k in range(200)],
            "died": [0, 1] * 100,
        }
    )
    found = roles(frame)
    assert found["patient_id"].role == "patient"
    assert found["patient_name"].role == found["visit_id"].role == "left out"


def test_dates_are_left_out() -> None:
    frame = pd.DataFrame({"day": [f"2020-01-{k:02}" for k in range(1, 21)], "y": [0, 1] * 10})
    assert roles(frame)["day"].reason == DATES
