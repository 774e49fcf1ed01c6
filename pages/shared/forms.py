"""A form made from the settings of a strategy: a new setting needs no new page."""

from __future__ import annotations

from typing import Any

import streamlit as st

from medprune.settings import Setting, settings_of


def settings_form(kind: type, key: str) -> dict[str, Any]:
    """One field a setting, three in a row; what the user left alone is not in the result."""
    asked = [
        (name, default, how) for name, (default, how) in settings_of(kind).items() if _can_ask(default, how)
    ]
    given: dict[str, Any] = {}
    for start in range(0, len(asked), 3):
        row = zip(st.columns(3), asked[start : start + 3], strict=False)
        for place, (name, default, how) in row:
            with place:
                value = _ask(default, how, f"{key}_{name}")
            if value != default:
                given[name] = value
    return given


def _can_ask(default: Any, how: Setting) -> bool:
    return isinstance(default, bool | int | float) or bool(how.choices)


def _ask(default: Any, how: Setting, key: str) -> Any:
    about = f"{how.about[:1].upper()}{how.about[1:]}." if how.about else None
    if isinstance(default, bool):
        return st.toggle(how.label, default, help=about, key=key, persist_state="session")
    if how.choices:
        return st.selectbox(
            how.label,
            how.choices,
            index=how.choices.index(default),
            help=about,
            key=key,
            persist_state="session",
        )
    number = type(default)
    low, high = (None if limit is None else number(limit) for limit in (how.low, how.high))
    step = 1 if number is int else None
    return st.number_input(
        how.label, low, high, default, step, help=about, key=key, persist_state="session",
        format=None if number is int else "%.4g",
    )  # fmt: skip
