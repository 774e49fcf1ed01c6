"""Names that look like markup, as Chromium draws them: what the table says, and no link, picture or icon."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from medprune.markup import WORD_JOINER
from tests.hostile.names import NAMES
from tests.hostile.web import Server, serving

MINI = """
import streamlit as st
from pages.shared.guide import plain
from tests.hostile.names import NAMES
for place, name in enumerate(NAMES):
    st.markdown("x " + plain(name))
    st.caption("x " + plain(name))
    st.button("x " + plain(name), key=f"button_{place}")
    st.expander("x " + plain(name))
st.metric("end", 1)
"""
PLACES = ("stMarkdown", "stCaptionContainer", "stButton", "stExpander")


@pytest.fixture(scope="module")
def names_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("names")
    (home / "mini.py").write_text(MINI, encoding="utf-8")
    with serving(home / "mini.py", home) as server:
        yield server


def test_hostile_names_are_drawn_as_they_are_written(page: Page, names_server: Server) -> None:
    page.goto(names_server.url)
    page.get_by_test_id("stMetric").wait_for()
    for place in PLACES:
        drawn = page.get_by_test_id(place).filter(has_text="x ").all()
        assert len(drawn) >= len(NAMES), place
        texts = [each.inner_text().replace(WORD_JOINER, "").strip() for each in drawn]
        for name in NAMES:
            assert any(text.endswith(f"x {name}") for text in texts), (place, name)
    main = page.get_by_test_id("stMain")
    assert main.locator("a, img, h1, h2, h3, li, del, em, strong, code, .katex, iframe").count() == 0
    assert main.locator("[data-testid=stIconMaterial]").count() == len(NAMES)  # an arrow each expander
