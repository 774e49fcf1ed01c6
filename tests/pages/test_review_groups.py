"""The Review page on a table with columns that the model does not read: groups by them, cuts, sites, and what
the people behind the model say."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from medprune import MLP, Cohort, Path, Schedule, load_cohort, prune, train
from medprune.errors import BadInput
from medprune.report import About, blank_about, questions
from medprune.report.about import about_of
from medprune.review import Override, Review, review
from medprune.review.groups import Cut
from medprune.review.pooled import Procedure
from medprune.review.wording import number
from pages.shared import about_form, group_columns, review_groups, review_sites, reviewing
from pages.shared.session import Reviewed, Table
from tests.makers import patient_table
from tests.pages.test_pages import go, healthy, texts
from tests.pages.test_review import Done, finished, quick, review_of, said, study_of, taken

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
    return taken(app, *chosen)


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


@pytest.fixture(scope="module")
def once(chosen: tuple[Cohort, Path, Table]) -> Review:
    """A review with groups by what the model does not read, and with each hospital left out; made once."""
    cohort, path, table = chosen
    loaded = table.again(cohort, subgroups=["hospital", "origin"])
    how = Procedure("contribution", "weight", 0.5, {}, 0)
    return review(
        path.dense.model, path.candidates[-1].model, loaded.test, cohort=loaded, refits=0,
        subgroups=("hospital", "origin"), site="hospital", procedure=how,
    )  # fmt: skip


@pytest.fixture
def looked(ready: AppTest, once: Review) -> AppTest:
    study = study_of(ready)
    opened = reviewing.open_test(study, study.chosen, study.model)
    study.reviews[reviewing.key_of(study)] = Reviewed(opened, Done(), once)
    return go(ready, "6_review")


def test_sites_are_left_out_and_told(looked: AppTest) -> None:
    found = review_of(looked).sites
    assert len(found.sites) == 2
    low, high = found.levels("auroc")
    for depth in ("Clinician", "Data scientist"):
        healthy(looked.segmented_control(key="depth").set_value(depth).run())
        assert f"**{number(low)}** to **{number(high)}**" in texts(looked)
        assert "every site left out" in said(looked)
    assert "learnt from" in said(looked), "every figure of every site for the data scientist"
    study_of(looked).floor = 10
    healthy(looked.run())
    assert "every site left out" not in said(looked)
    assert "learnt from" not in said(looked)


def test_fewer_than_two_assessable_sites_give_no_range(once: Review) -> None:
    first, *others = once.sites.sites
    small = replace(once.sites, sites=(first, *(replace(s, state="not assessable") for s in others)))
    told = review_sites.told_of(small)
    assert "no range" in told
    assert f"the event or did not: {others[0].name}" in told


def test_sites_are_asked_for_and_go_into_the_review(ready: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    quick(ready, refits=0)
    started = {}
    monkeypatch.setattr(study_of(ready).jobs, "start", lambda *args, **how: started.update(how) or Done())
    study_of(ready).site = "origin"
    reviewing.start(study_of(ready))
    assert started["site"] == "origin"
    assert "origin" in started["cohort"].tuning.subgroups
    assert started["procedure"] is not None


def test_who_was_at_risk_beforehand(looked: AppTest) -> None:
    found = review_of(looked).beforehand
    ranked = found.forecast.ranked
    first = next(group for group in ranked if group.rows >= 50)
    assert "cannot be told" in review_groups.at_risk_told(found, 10_000)
    assert f"the most harm to **{first.name}**" in texts(looked).replace("\\", "")
    assert "weak forecast" in texts(looked)
    assert not [frame for frame in looked.dataframe if "gradient" in frame.value.columns]
    healthy(looked.segmented_control(key="depth").set_value("Data scientist").run())
    [shown] = [frame.value for frame in looked.dataframe if "gradient" in frame.value.columns]
    assert list(shown["group"]) == [group.name for group in ranked]


def test_every_question_stands_in_the_form_once() -> None:
    asked = [name for names in about_form.GROUPS.values() for name in names]
    assert sorted(asked) == sorted(questions())


def test_what_people_say_is_kept_and_printed(looked: AppTest) -> None:
    go(looked, "7_export")
    of = len(questions())
    assert f"**{of} of {of} are blank**" in texts(looked)
    looked.text_input(key="about_0_users").set_value("Ward <b>physicians</b>")
    healthy(looked.button(key="about_keep").click().run())
    assert study_of(looked).about.users == "Ward <b>physicians</b>"
    assert f"**{of - 1} of {of} are blank**" in texts(looked)
    assert about_of(about_form.as_json(study_of(looked).about).encode(), "x") == study_of(looked).about
    assert about_form.as_json(About()) == blank_about()
    looked.file_uploader[0].upload("about.json", b'{"users": "nurses", "wrong": 1}', "application/json")
    healthy(looked.run())
    assert "nothing to be said about a model under" in texts(looked)
    assert study_of(looked).about.users == "Ward <b>physicians</b>", "what was there stays"
    looked.file_uploader[0].upload("about.json", b'{"users": "nurses"}', "application/json")
    healthy(looked.run())
    assert study_of(looked).about == About(users="nurses")
    review = review_of(looked).overridden(Override.read("Dr Ada", "Shadow mode", "2999-01-01"))
    reviewing.build(study_of(looked), review)
    with zipfile.ZipFile(io.BytesIO(study_of(looked).finished.zip)) as archive:
        [card] = [name for name in archive.namelist() if name.endswith("card.md")]
        assert "nurses" in archive.read(card).decode()
    go(looked, "7_export")
    looked.text_input(key="about_2_users").set_value("nobody")
    healthy(looked.button(key="about_keep").click().run())
    assert study_of(looked).finished is None, "a bundle that says otherwise has to be built again"


def test_what_cannot_be_answered_is_told_before_anybody_is_opened(ready: AppTest) -> None:
    quick(ready)
    assert "check G0 will be “not assessable”" in texts(ready), "some 90 of 180 with the event are too few"
    assert "would act on" not in texts(ready)
    study_of(ready).use_act_at(0.999)
    go(ready, "6_review")
    assert "would act on nobody among tuning patients" in texts(ready)
