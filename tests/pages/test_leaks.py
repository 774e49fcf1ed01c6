"""A column that gives the outcome away is trained with only by someone who has said so."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from tests.makers import patient_table
from tests.pages.test_pages import go, healthy, uploaded


def test_a_leaking_column_has_to_be_confirmed_before_training(app: AppTest) -> None:
    frame = patient_table()
    uploaded(app, frame.assign(discharge_score=frame["stage"] * 2.0))
    healthy(app.selectbox(key="outcome_column").set_value("stage").run())
    healthy(app.button(key="use_table").click().run())
    go(app, "2_model")
    told = " ".join(warning.value for warning in app.warning).replace("\\", "")
    assert told.count("discharge_score") == 1  # by its name and by its values, but named once
    assert app.button(key="train").disabled
    [meant] = [box for box in app.checkbox if box.key.startswith("leaks_")]
    healthy(meant.check().run())
    assert not app.button(key="train").disabled


def test_many_leaks_that_share_one_finding_are_all_named(app: AppTest) -> None:
    frame = patient_table()
    names = [f"discharge_{k}" for k in range(12)]
    uploaded(app, frame.assign(**{name: frame["noise"] * k for k, name in enumerate(names, start=1)}))
    healthy(app.selectbox(key="outcome_column").set_value("stage").run())
    healthy(app.button(key="use_table").click().run())
    [problem] = [p for p in app.session_state["study"].cohort.quality.problems if p.kind == "leakage"]
    assert problem.column is None
    go(app, "2_model")
    assert app.button(key="train").disabled
