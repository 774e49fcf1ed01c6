"""The Export page offers int8 once it has measured it, and each way of it apart."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from medprune.quantisation import WAYS
from tests.pages.test_pages import go, healthy, texts, trained, with_sample


@pytest.fixture
def exported(app: AppTest) -> AppTest:
    trained(with_sample(app))
    go(app, "4_threshold")
    healthy(app.button(key="walk").click().run())
    go(app, "7_export")
    return healthy(app.button(key="build").click().run())


def test_int8_is_measured_before_it_is_offered(exported: AppTest) -> None:
    assert exported.radio(key="int8_way").value == WAYS[0]
    assert not exported.session_state["study"].finished.int8
    for chosen in WAYS:
        healthy(exported.radio(key="int8_way").set_value(chosen).run())
        healthy(exported.button(key="int8").click().run())
        measured = exported.session_state["study"].finished.int8[chosen]
        tiles = {metric.label: metric.value for metric in exported.metric}
        assert tiles["Decisions that flip"] == str(measured.flips.total)
        assert tiles["File"] == f"{len(measured.file) / 1024:,.1f} KB"
        assert "The largest change of any risk is" in texts(exported).replace("\\", "")
    kept = exported.session_state["study"].finished.int8[WAYS[0]]
    healthy(exported.radio(key="int8_way").set_value(WAYS[0]).run())
    assert exported.session_state["study"].finished.int8[WAYS[0]] is kept
    assert [b for b in exported.get("download_button") if "int8" in b.proto.label]
