"""No cell's value in a message or a log, wherever an error comes from: page, fragment, download, library."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import pandas as pd
import pytest

from pages.shared import guide, logs
from tests.hostile.case import CANARY
from tests.hostile.web import Server, serving, session

MINI = """
import logging
import streamlit as st
import pandas as pd
from pages.shared import guide, logs
logs.keep_values_out()
def broken():
    pd.to_numeric(pd.Series(["Jane Doe CANARY-7f3a"]))
how = st.query_params["how"]
if how == "page":
    with guide.boundary():
        broken()
elif how == "bare":
    broken()
elif how == "download":
    guide.download("x", broken, name="x.csv", key="x")
elif how == "library":
    try:
        broken()
    except ValueError as error:
        logging.getLogger("other").warning("failed: %s", error)
        logging.getLogger("other").exception("failed")
    logging.getLogger("other").warning("later: %s", ValueError("CANARY-7f3a"))
"""


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("logs")
    (home / "mini.py").write_text(MINI, encoding="utf-8")
    with serving(home / "mini.py", home) as server:
        yield server


def test_the_error_of_this_test_does_hold_a_value() -> None:
    with pytest.raises(ValueError, match=CANARY):
        pd.to_numeric(pd.Series([f"Jane Doe {CANARY}"]))


@pytest.mark.parametrize("how", ["page", "bare", "library"])
def test_no_value_reaches_page_or_terminal(mini: Server, how: str) -> None:
    before = len(mini.said())
    with session(mini) as tab:
        tab.run(query=f"how={how}")
    said = mini.said()[before:]
    assert "ValueError" in said
    assert CANARY not in said
    assert CANARY.encode() not in tab.bytes


def test_a_download_that_fails_tells_no_value(mini: Server) -> None:
    before = len(mini.said())
    with session(mini) as tab:
        tab.run(query="how=download")
        (button,) = tab.of_kind("download_button")
        with contextlib.suppress(AssertionError):
            tab.address_of(button)
    said = mini.said()[before:]
    assert "ValueError" in said
    assert CANARY not in said
    assert CANARY.encode() not in tab.bytes


def test_the_number_on_the_page_is_the_one_in_the_terminal(mini: Server) -> None:
    with session(mini) as tab:
        tab.run(query="how=page")
        (alert,) = tab.of_kind("alert")
    number = re.search(r"error ([0-9a-f]{8})", alert.body).group(1)
    assert f"error {number}: ValueError at" in mini.said()


def test_where_names_our_own_lines_alone() -> None:
    class Unwritable:
        def __str__(self) -> str:
            raise KeyError(CANARY)

    with pytest.raises(KeyError) as caught:
        guide.plain(Unwritable())
    told = logs.where(caught.value)
    assert re.fullmatch(r"KeyError at medprune/markup\.py:\d+ > medprune/markup\.py:\d+", told)
    with pytest.raises(ValueError, match="x") as caught:
        pd.to_numeric(pd.Series(["x"]))
    assert logs.where(caught.value) == "ValueError at no line of ours"
