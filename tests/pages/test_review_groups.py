"""The Review page on a table with columns that the model does not read: groups by them, cuts, sites, and what
the people behind the model say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from medprune import MLP, Cohort, Path, Schedule, load_cohort, prune, train
from medprune.errors import BadInput
from medprune.review.groups import Cut
from pages.shared import group_columns
from pages.shared.session import Table
from tests.makers import patient_table
from tests.pages.test_pages import go, healthy, texts
from tests.pages.test_review import finished, quick, review_of, study_of

ROWS = 900


def table_of_sites() -> pd.DataFrame:
    """Patients with a number, a hospital and a name that no model should read."""
    frame = patient_table(ROWS, seed=3).drop(columns="visit")
    rng = np.random.default_rng(1)
    frame["hospital"] = rng.choice(["North", "South"], ROWS)
    frame["origin"] = rng.choice(["one", "two", "three"], ROWS)
    frame["mrn"] = [f"M{number:06d}" for number in rng.permutation(ROWS)]
    return frame


@pytest.fixture(scope="module")
def chosen() -> tuple[Cohort, Path, Table]:
    frame = table_of_sites()
    cohort = load_cohort(frame, outcome="stage", exclude=("hospital", "origin", "mrn"))
    model = train(cohort, MLP(hidden=(8,)), schedule=Schedule(epochs=15))
    path = prune(model, cohort, sparsities=(0.5,), schedule=Schedule(epochs=2))
    return cohort, path, Table("Ward", frame)


@pytest.fixture
def ready(app: AppTest, chosen: tuple[Cohort, Path, Table]) -> AppTest:
    cohort, path, table = chosen
    study = study_of(app)
    study.use_table(table, cohort)
    study.use_model(path.dense.model, [])
    study.paths[study.scoring] = path
    study.choose(path.candidates[-1], path)
    return app


def key_of(app: AppTest) -> str:
    return f"limits_{study_of(app).cohort.table_hash[:8]}"


def test_any_column_but_the_outcome_and_identifiers_is_offered(ready: AppTest) -> None:
    quick(ready)
    offered = ready.multiselect(key=f"{key_of(ready)}_groups").options
    assert {"age", "hospital", "origin"} <= set(offered)
    assert not {"stage", "mrn"} & set(offered)
    assert group_columns.sites(study_of(ready)) == ["sex", "ward", "hospital", "origin"]


def test_columns_are_matched_by_row(ready: AppTest) -> None:
    study = study_of(ready)
    found = group_columns.with_columns(study, ("hospital", "age"))
    frame = table_of_sites()
    for split in (found.train, found.tuning, found.test):
        assert list(split.subgroups.columns) == ["hospital"], "the model reads age: it is there already"
        assert list(split.subgroups["hospital"]) == list(frame["hospital"].iloc[split.rows])
    assert list(study.cohort.test.subgroups.columns) == [], "the study's own patients stay as they are"


def test_cut_points_are_read_and_wrong_ones_told() -> None:
    assert group_columns.cut("age", " 40, 65 ") == Cut("age", (40.0, 65.0))
    assert group_columns.cut("age", "age:40,65") == Cut("age", (40.0, 65.0))
    assert group_columns.cut("a:b", "1.5") == Cut("a:b", (1.5,))
    assert group_columns.cut("age", "  ") == "age"
    for wrong in ("65, 40", "40; 65", "40:65", "old"):
        with pytest.raises(BadInput):
            group_columns.cut("age", wrong)


def test_groups_that_cannot_be_are_told_before_anybody_is_opened(ready: AppTest) -> None:
    quick(ready)
    ready.multiselect(key=f"{key_of(ready)}_groups").set_value(["age"])
    healthy(ready.run())
    healthy(ready.text_input(key=f"{key_of(ready)}_cut_age").set_value("65, 40").run())
    assert "must be finite and rise" in texts(ready)
    assert ready.button(key="review").disabled
    study = study_of(ready)
    with pytest.raises(BadInput, match="no cut-points"):
        group_columns.check(study.cohort, (Cut("sex", (1.0,)),), None)
    assert (study.test_openings, study.locked) == (0, None)


def test_groups_by_a_column_that_the_model_does_not_read(ready: AppTest) -> None:
    quick(ready, refits=0)
    ready.multiselect(key=f"{key_of(ready)}_groups").set_value(["hospital", "age"])
    healthy(ready.run())
    ready.text_input(key=f"{key_of(ready)}_cut_age").set_value("55, 65")
    healthy(ready.run())
    healthy(ready.button(key="review").click().run())
    finished(ready)
    assert study_of(ready).locked.subgroups == ("hospital", Cut("age", (55.0, 65.0)))
    names = [group.name for group in review_of(ready).groups[0].groups]
    assert {"hospital = North", "hospital = South", "age under 55", "age 65 or over"} <= set(names)
    assert "groups by hospital, age (cut at 55, 65)" in texts(ready).replace("\\", "")
    go(ready, "7_export")
