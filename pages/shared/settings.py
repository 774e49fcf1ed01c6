"""A form from a dataclass of settings: one field for each that was made with ``setting``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import streamlit as st

from medprune.criteria import CRITERIA
from medprune.figures.tradeoff import METRIC_NAMES
from medprune.settings import Setting, settings_of

WIDTH = 280  # of a field, in pixels: as many stand in a row as there is room for
SCOPE_NAMES = {"layer": "within each layer", "global": "over all layers", "adaptive": "adaptive (LAMP)"}
RULE_NAMES = {"one-se": "within one standard error", "non-inferior": "non-inferior", "smallest": "smallest"}
CHOICE_NAMES = (
    METRIC_NAMES | SCOPE_NAMES | RULE_NAMES | {name: CRITERIA.get(name).title for name in CRITERIA.names()}
)


def in_words(choice: object) -> str:
    """A value of a setting as it is called on screen."""
    if isinstance(choice, bool):
        return "yes" if choice else "no"
    return CHOICE_NAMES.get(str(choice), str(choice).replace("_", " "))


def settings_in_words(kind: type, changed: Mapping[str, Any]) -> str:
    """The settings that were changed, each by its label; or that they are the usual ones."""
    labels = {name: how.label for name, (_, how) in settings_of(kind).items()}
    told = [f"{labels.get(name, name)}: {in_words(value)}" for name, value in changed.items()]
    return "; ".join(told) if told else "its usual settings"


def form(kind: type, now: Mapping[str, Any], *, key: str) -> tuple[tuple[str, Any], ...]:
    """Ask for the settings of ``kind``; gives the pairs (name, value) that were changed.

    ``now`` are the values so far; ``key`` tells this form's fields from those of others.
    """
    asked = [(name, *found) for name, found in settings_of(kind).items() if _can_ask(*found)]
    changed: list[tuple[str, Any]] = []
    with st.container(horizontal=True, vertical_alignment="bottom"):
        for name, default, how in asked:
            value = _field(how, now.get(name, default), f"{key}_{name}")
            if value != default:
                changed.append((name, value))
    return tuple(changed)


def _can_ask(default: Any, how: Setting) -> bool:
    return isinstance(default, int | float) or bool(how.choices)


def _field(how: Setting, value: Any, key: str) -> Any:
    about = f"{how.about[:1].upper()}{how.about[1:]}." if how.about else None
    same = {"help": about, "key": key, "persist_state": "session", "width": WIDTH}
    if isinstance(value, bool):
        return st.toggle(how.label, value, **same)
    if how.choices:
        return st.selectbox(how.label, how.choices, how.choices.index(value), format_func=in_words, **same)
    whole = isinstance(value, int)
    low, high = (None if limit is None else type(value)(limit) for limit in (how.low, how.high))
    step = 1 if whole else 10.0 ** math.floor(math.log10(abs(value) or 1.0))
    return st.number_input(how.label, low, high, value, step, format="%d" if whole else "%g", **same)
