"""A form from a dataclass of settings: one field for each that was made with ``setting``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import streamlit as st

from medprune.settings import Setting, settings_of


def form(kind: type, now: Mapping[str, Any], *, key: str) -> tuple[tuple[str, Any], ...]:
    """Ask for the settings of ``kind``; gives the pairs (name, value) that differ from the defaults.

    ``now`` are the values so far; ``key`` tells this form's fields from those of others.
    """
    asked = {
        name: (default, _field(how, now.get(name, default), f"{key}_{name}"))
        for name, (default, how) in settings_of(kind).items()
    }
    return tuple((name, value) for name, (default, value) in asked.items() if value != default)


def _field(how: Setting, value: Any, key: str) -> Any:
    about = how.about or None
    if isinstance(value, bool):
        return st.toggle(how.label, value, help=about, key=key)
    if how.choices:
        return st.selectbox(how.label, how.choices, how.choices.index(value), help=about, key=key)
    whole = isinstance(value, int)
    number = int if whole else float
    return st.number_input(
        how.label,
        None if how.low is None else number(how.low),
        None if how.high is None else number(how.high),
        value,
        1 if whole else 10.0 ** math.floor(math.log10(abs(value) or 1.0)),
        format="%d" if whole else "%g",
        help=about,
        key=key,
    )
