"""A table whose columns, classes, categories and file bear hostile names, taken through every page (row 61).

Everything that a page sends is looked through, string by string. A name may stand there as it is only where
the browser draws plain text; everywhere else a raw name would be markup.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from tests.hostile.names import NAMES
from tests.pages.test_pages import REPO, go, healthy, trained, uploaded
from tests.pages.test_review import finished

# Drawn as plain text by the browser (looked at in Chromium): kind of element, field.
PLAIN = {
    ("arrow_data_frame", "*"),  # cells of a canvas
    ("bidi_component", "*"),  # writes text alone: tests/hostile/test_static.py
    ("selectbox", "options"),
    ("selectbox", "raw_value"),
    ("multiselect", "options"),
    ("multiselect", "raw_values"),
    ("plotly_chart", "alt"),
    ("selectbox", "default"),
}
COLUMNS = [*NAMES[:-2], "plain"]
OUTCOME, CLASSES = "# heading", (NAMES[0], NAMES[2], NAMES[7])


def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = 240
    frame = pd.DataFrame({name: rng.normal(size=rows).round(3) for name in COLUMNS})
    frame["=1+1"] = rng.choice(["<b>x</b>", ":red[y]", "=2+2"], rows)  # a category of hostile values
    frame.loc[rng.random(rows) < 0.2, COLUMNS[0]] = np.nan
    frame[COLUMNS[3]] = frame[COLUMNS[2]] * 2  # collinear: a finding that names both
    frame[COLUMNS[4]] = 1.0  # constant
    frame[OUTCOME] = np.array(CLASSES)[
        np.argmax(rng.normal(size=(rows, 3)) + frame[COLUMNS[:3]].fillna(0), 1)
    ]
    return frame


def strings(message: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every string of a protobuf message with the names of the fields that lead there."""
    for field, value in message.ListFields():
        for each in value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else [value]:
            if isinstance(each, str):
                yield (*path, field.name), each
            elif hasattr(each, "ListFields"):
                yield from strings(each, (*path, field.name))


def raw_names(app: AppTest) -> Iterator[str]:
    """Where a hostile name stands as it is in a place that is not plain."""
    suspects = [name for name in (*NAMES, "<b>x</b>", "<i>f</i>") if name != "=1+1"]
    for node in app._tree:
        proto = getattr(node, "proto", None)
        if proto is None or not hasattr(proto, "ListFields"):
            continue
        for path, text in strings(proto):
            if {(node.type, "*"), (node.type, path[0])} & PLAIN or path[-1] in ("id", "key"):
                continue
            figure = path[-1] == "spec"
            for name in suspects:
                known = json.dumps(name)[1:-1] if figure else name
                if figure and not set("<$&") & set(name):
                    continue  # Plotly knows HTML and formulas, and no Markdown
                if re.search(r"(?<!\\)" + re.escape(known), text):
                    yield f"{node.type} {'.'.join(path)}: {name} in {text[:200]}"


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.chdir(REPO)
    return AppTest.from_file(str(REPO / "app.py"), default_timeout=120).run()


def clean(app: AppTest) -> AppTest:
    healthy(app)
    assert sorted(set(raw_names(app))) == []
    return app


def test_no_page_shows_a_name_as_markup(app: AppTest) -> None:
    uploaded(app, table(), "<i>f</i>.csv")
    app.selectbox(key="outcome_column").set_value(OUTCOME).run()
    clean(app)
    clean(app.button(key="use_table").click().run())
    clean(app.button(key="other_patients").click().run())
    clean(app.button(key="back_to_table").click().run())
    clean(trained(app))
    clean(go(app, "3_contributions"))
    for granularity in ("feature", "neuron"):
        clean(app.selectbox(key="granularity").set_value(granularity).run())
        clean(app.selectbox(key="who").set_value(CLASSES[0]).run())
        clean(app.button(key="drops").click().run())
        clean(app.button(key="agree").click().run())
    clean(go(app, "4_threshold"))
    clean(app.button(key="walk").click().run())
    clean(go(app, "5_strategies"))
    clean(go(app, "7_export"))
    clean(app.button(key="build").click().run())
    clean(go(app, "6_review"))
    app.number_input(key="review_refits").set_value(0)
    app.number_input(key="review_folds").set_value(0)
    clean(app.button(key="review").click().run())
    clean(finished(app))
    clean(app.segmented_control(key="depth").set_value("Data scientist").run())
    app.selectbox(key="what_if_patient").set_value(0)
    clean(app.run())
    clean(go(app, "7_export"))


def test_the_search_finds_what_it_looks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def bare() -> None:
        import plotly.graph_objects as go
        import streamlit as st

        from tests.hostile.names import NAMES

        st.button(NAMES[0])
        st.metric("x", 1, NAMES[2])
        st.plotly_chart(go.Figure(layout={"title": NAMES[7]}))
        st.selectbox("x", NAMES)
        st.radio("x", NAMES[:1])
        st.expander(NAMES[0]).caption("x")
        st.progress(0.5, NAMES[0])

    found = list(raw_names(AppTest.from_function(bare).run()))
    kinds = [each.split()[0] for each in found]
    assert kinds == ["button", "metric", "plotly_chart", "radio", "expander", "progress"]
