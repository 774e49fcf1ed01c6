"""SECURITY.md: every promise names a test that exists, every setting it names is one that Streamlit knows."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import streamlit as st

REPO = Path(__file__).resolve().parents[1]
TEXT = (REPO / "SECURITY.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)


def test_every_test_that_is_named_exists() -> None:
    assert len(NAMED) > 25
    for path, name in NAMED:
        tree = ast.parse((REPO / path).read_text(encoding="utf-8"))
        assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, path


def test_every_promise_has_a_test() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("| ") and "promise" not in line]
    promises = [row for row in rows if row.count("|") == 3]
    assert len(promises) == len(NAMED)


def test_every_setting_that_is_named_exists() -> None:
    for name in [*re.findall(r"--((?:server|browser)\.\w+)=", TEXT), "server.maxUploadSize"]:
        st.get_option(name)
