"""Two large tables that differ in one cell never share an answer, in one session or in two (row 65)."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from tests.pages.test_pages import REPO, uploaded

ROWS = 60_001  # beyond 50,000 rows Streamlit's caches look at a sample


def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(0)
    first = pd.DataFrame({"lab": rng.integers(0, 50, ROWS), "died": rng.integers(0, 2, ROWS)})
    second = first.copy()
    second.loc[41_234, "lab"] = 77
    return first, second


def test_streamlit_itself_would_take_one_for_the_other() -> None:
    """What the rule in cache.py is for; when this fails, Streamlit has mended it."""
    first, second = tables()
    largest = st.cache_data(lambda frame: int(frame["lab"].max()), show_spinner=False)
    assert (largest(first), largest(second)) == (49, 49)


def values_of_lab(app: AppTest) -> str:
    """How many different values the page's table of columns counts."""
    listed = next(each.value for each in app.dataframe if "different values" in each.value)
    return listed.set_index("column").loc["lab", "different values"]


def taken(app: AppTest, frame: pd.DataFrame) -> AppTest:
    uploaded(app, frame)
    app.selectbox(key="outcome_column").set_value("died").run()
    return app.button(key="use_table").click().run()


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(REPO)
    return lambda: AppTest.from_file(str(REPO / "app.py"), default_timeout=120).run()


def test_one_cell_makes_another_answer(session) -> None:
    first, second = tables()
    app = taken(session(), first)
    assert values_of_lab(app) == "50"
    mine = app.session_state["study"].cohort
    app.button(key="other_patients").click().run()
    assert values_of_lab(taken(app, second)) == "51"
    assert app.session_state["study"].cohort.table_hash != mine.table_hash
    assert values_of_lab(taken(session(), first)) == "50"  # and another session gets its own
