"""Tables like those that hospitals bring: the report names their troubles, and treatments mend them."""

from __future__ import annotations

import json

import pytest

from medprune import load_cohort
from medprune.quality import Problem
from tests.hospital_tables import HOSPITALS

ROWS = 2_500


def names(problem: Problem) -> set[str | None]:
    return {problem.column, *problem.columns}


@pytest.mark.parametrize("which", HOSPITALS)
def test_the_report_names_the_troubles_of_a_hospital_table(which: str) -> None:
    hospital = HOSPITALS[which]
    frame = hospital.make(ROWS)
    asked = {"outcome": hospital.outcome, "positive": hospital.positive}
    cohort = load_cohort(frame, **asked, survey=True)
    found = cohort.quality.problems
    for kind, column in hospital.troubles:
        matching = [problem for problem in found if problem.kind == kind and column in names(problem)]
        assert matching, (kind, column)
        assert all(problem.message.endswith(".") for problem in matching)
    assert json.loads(json.dumps(cohort.quality.to_json()))["rows"] == ROWS


@pytest.mark.parametrize("which", HOSPITALS)
def test_suggested_treatments_leave_a_cohort_that_can_be_used(which: str) -> None:
    hospital = HOSPITALS[which]
    frame = hospital.make(ROWS)
    asked = {"outcome": hospital.outcome, "positive": hospital.positive}
    before = load_cohort(frame, **asked, survey=True)
    after = load_cohort(frame, **asked, treatments=("suggested",))
    assert set(after.treatments) <= set(before.quality.suggested)
    still = {problem.kind for problem in after.quality.problems}
    assert not still & {"sentinel", "impossible", "mixed_units", "identical"}
    assert after.table_hash == before.table_hash
    again = load_cohort(frame, **asked, survey=True)
    assert again.quality == before.quality
