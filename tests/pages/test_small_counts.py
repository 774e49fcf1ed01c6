"""Small counts on the pages: kept back when asked for, and by default where people log in."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from medprune.disclosure import FLOOR, HIDDEN
from tests.pages.test_pages import REPO, go, texts, uploaded
from tests.pages.test_way_in import AUTH, known

CLASSES = {"usual": 150, "less": 60, "seldom": 20}  # about 4 of the last in tuning and in test


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.chdir(REPO)
    return AppTest.from_file(str(REPO / "app.py"), default_timeout=60)


def with_few(app: AppTest) -> AppTest:
    outcome = np.repeat(list(CLASSES), list(CLASSES.values()))
    frame = pd.DataFrame({"age": np.random.default_rng(0).normal(size=len(outcome)), "outcome": outcome})
    uploaded(app, frame)
    app.selectbox(key="outcome_column").set_value("outcome").run()
    return app.button(key="use_table").click().run()


def bars(app: AppTest) -> list[list[int | None]]:
    import json

    chart = next(each for each in app.get("plotly_chart") if "Rows a class" in each.proto.alt)
    return [[None if n is None else int(n) for n in one["y"]] for one in json.loads(chart.proto.spec)["data"]]


def test_they_are_shown_to_who_has_the_table_anyway(app: AppTest) -> None:
    with_few(app.run())
    assert app.session_state["study"].floor == 0
    assert [sum(counts) for counts in bars(app)] == [CLASSES[name] for name in sorted(CLASSES)]


def test_they_are_kept_back_where_people_log_in(app: AppTest) -> None:
    app.secrets, app.user = AUTH, known()
    with_few(app.run())
    assert app.session_state["study"].floor == FLOOR
    drawn = bars(app)
    assert not [n for counts in drawn for n in counts if n is not None and 0 < n <= FLOOR]
    hidden = np.array([[n is None for n in counts] for counts in drawn])
    assert hidden.any()
    assert (hidden.sum(axis=0) != 1).all(), "a split's total less its other classes"
    go(app, "3_contributions")
    go(app, "1_patients")
    assert not re.search(r"only [1-9] of", texts(app))


def test_they_can_be_asked_for() -> None:
    def sidebar() -> None:
        from pages.shared import guide, session

        session.enter()
        guide.sidebar(session.study())

    app = AppTest.from_function(sidebar).run()
    app.toggle(key="floor").set_value(True).run()
    assert app.session_state["study"].floor == FLOOR
    app.toggle(key="floor").set_value(False).run()
    assert app.session_state["study"].floor == 0


def test_a_rare_class_is_warned_of_without_its_count(app: AppTest) -> None:
    app.secrets, app.user = AUTH, known()
    with_few(app.run())
    go(app, "2_model")
    app.text_input(key="hidden").set_value("4")
    app.number_input(key="epochs").set_value(2)
    app.button(key="train").click().run()
    go(app, "5_strategies")
    assert f"1 to {FLOOR} of seldom" in texts(app)


def test_the_page_says_that_something_is_hidden(app: AppTest) -> None:
    app.secrets, app.user = AUTH, known()
    outcome = ["a"] * 8 + ["b"] * 100 + ["c"] * 90
    uploaded(app.run(), pd.DataFrame({"age": np.arange(198.0), "outcome": outcome}))
    app.selectbox(key="outcome_column").set_value("outcome").run()
    app.button(key="use_table").click().run()
    assert f"a in {HIDDEN}" in texts(app)
