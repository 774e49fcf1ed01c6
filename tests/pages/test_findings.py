"""The findings on the page Patients: said by kind, mended by a click, and undone by another."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from medprune import load_cohort
from pages.shared.findings import treated
from tests.pages.test_pages import go, healthy, texts, uploaded


def table(rows: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "chol": np.where(rng.random(rows) < 0.1, 0, rng.normal(220, 30, rows).round()),
            "age": rng.integers(30, 80, rows),
            "sex": rng.choice(["Male", "female", "M"], rows),
            "noise": rng.normal(size=rows),
        }
    )
    frame.loc[3, "age"] = 65_526
    return frame.assign(died=rng.integers(0, 2, rows))


def chosen(app: AppTest) -> AppTest:
    uploaded(app, table())
    app.selectbox(key="outcome_column").set_value("died").run()
    return healthy(app.button(key="use_table").click().run())


def labelled(app: AppTest, label: str) -> list[object]:
    return [button for button in app.button if label in button.label.replace("\\", "")]


def test_a_finding_is_mended_by_a_click_and_undone_by_another(app: AppTest) -> None:
    chosen(app)
    assert "is 0 in" in texts(app).replace("\\", "")
    assert "Why nothing is resampled" in texts(app)
    [mend] = labelled(app, "0 in 'chol' counts as missing")
    healthy(mend.click().run())
    told = texts(app).replace("\\", "")
    assert "0 in 'chol' counts as missing." in told
    assert "Treatments in force (1)" in [expander.label for expander in app.expander]
    assert "'chol' is 0 in" not in told
    [undo] = labelled(app, "Undo all")
    healthy(undo.click().run())
    assert "'chol' is 0 in" in texts(app).replace("\\", "")


def test_what_is_suggested_takes_one_click_and_the_model_is_made_anew(app: AppTest) -> None:
    chosen(app)
    healthy(app.button(key="treat_suggested").click().run())
    expanders = [expander.label for expander in app.expander]
    assert "Treatments in force (3)" in expanders
    assert not [label for label in expanders if label.startswith(("Codes", "Impossible", "One category"))]
    assert any(label.startswith("Table 1") for label in expanders)
    go(app, "2_model")


@pytest.mark.parametrize("treatments", [("drop:noise",), ("patient:age", "one-row-per-patient"), ()])
def test_the_same_choices_are_loaded_again(treatments: tuple[str, ...]) -> None:
    frame = table()
    plain = load_cohort(frame, outcome="died", exclude=("sex",))
    with_all = treated(frame, plain, treatments)
    assert with_all.treatments == treatments
    again = treated(frame, with_all, ())
    assert (again.exclude, again.patient, again.features) == (plain.exclude, None, plain.features)
    pd.testing.assert_frame_equal(again.train.frame, plain.train.frame)


def test_a_column_found_wrong_in_two_ways_is_offered_its_mending_once_in_each_place(app: AppTest) -> None:
    """It leaks by its name and by its values, and another equals it: the same click, and no clash of keys."""
    frame = table()
    leak = frame["died"].map({0: "home", 1: "morgue"})
    uploaded(app, frame.assign(discharge_status=leak, status_again=leak, chol_2=frame["chol"]))
    app.selectbox(key="outcome_column").set_value("died").run()
    healthy(app.button(key="use_table").click().run())
    labels = [button.label.replace("\\", "") for button in app.button]
    assert labels.count("'discharge_status' is left out.") == 1
    healthy(app.button(key="treat_suggested").click().run())
