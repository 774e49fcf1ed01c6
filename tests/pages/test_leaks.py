"""A column that gives the outcome away is trained with only by someone who has said so."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from tests.makers import patient_table
from tests.pages.test_pages import go, healthy, texts, uploaded


def test_a_leaking_column_has_to_be_confirmed_before_training(app: AppTest) -> None:
    frame = patient_table()
    uploaded(app, frame.assign(score_at_the_end=frame["stage"] * 2.0))
    healthy(app.selectbox(key="outcome_column").set_value("stage").run())
    healthy(app.button(key="use_table").click().run())
    go(app, "2_model")
    assert "score_at_the_end" in texts(app).replace("\\", "")
    assert app.button(key="train").disabled
    [meant] = [box for box in app.checkbox if box.key.startswith("leaks_")]
    healthy(meant.check().run())
    assert not app.button(key="train").disabled
