"""A form from a dataclass of settings: one field for each that was made with ``setting``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import streamlit as st

from medprune.settings import Setting, settings_of

IN_A_ROW = 3


def form(kind: type, now: Mapping[str, Any], *, key: str) -> tuple[tuple[str, Any], ...]:
    """Ask for the settings of ``kind``, three in a row; gives the pairs (name, value) that were changed.

    ``now`` are the values so far; ``key`` tells this form's fields from those of others.
    """
    asked = [(name, *found) for name, found in settings_of(kind).items() if _can_ask(*found)]
    changed: list[tuple[str, Any]] = []
    for start in range(0, len(asked), IN_A_ROW):
        row = asked[start : start + IN_A_ROW]
        for place, (name, default, how) in zip(st.columns(IN_A_ROW), row, strict=False):
            with place:
                value = _field(how, now.get(name, default), f"{key}_{name}")
            if value != default:
                changed.append((name, value))
    return tuple(changed)


def _can_ask(default: Any, how: Setting) -> bool:
    return isinstance(default, int | float) or bool(how.choices)


def _field(how: Setting, value: Any, key: str) -> Any:
    about = f"{how.about[:1].upper()}{how.about[1:]}." if how.about else None
    same = {"help": about, "key": key, "persist_state": "session"}
    if isinstance(value, bool):
        return st.toggle(how.label, value, **same)
    if how.choices:
        return st.selectbox(how.label, how.choices, how.choices.index(value), **same)
    whole = isinstance(value, int)
    low, high = (None if limit is None else type(value)(limit) for limit in (how.low, how.high))
    step = 1 if whole else 10.0 ** math.floor(math.log10(abs(value) or 1.0))
    return st.number_input(how.label, low, high, value, step, format="%d" if whole else "%g", **same)
