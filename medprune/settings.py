"""A setting of a strategy or a criterion, described once: for the form on screen, the shell, the check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from medprune.errors import BadInput

KEY = "setting"


@dataclass(frozen=True)
class Setting:
    """How a setting is asked for: its label, what it does, and which values it takes."""

    label: str
    about: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()


def setting(
    default: Any,
    label: str,
    about: str = "",
    *,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[str] = (),
) -> Any:
    """A dataclass field with its default, its label on screen and its limits."""
    return field(default=default, metadata={KEY: Setting(label, about, low, high, tuple(choices))})


def settings_of(kind: type) -> dict[str, tuple[Any, Setting]]:
    """(default, how it is asked for) of every setting of a dataclass that was made with :func:`setting`."""
    return {f.name: (f.default, f.metadata[KEY]) for f in fields(kind) if KEY in f.metadata}


def check_settings(value: Any) -> None:
    """BadInput when a setting lies outside its limits or is none of its choices."""
    for name, (_, how) in settings_of(type(value)).items():
        given = getattr(value, name)
        if how.choices and given not in how.choices:
            raise BadInput(f"{how.label} must be one of {', '.join(how.choices)}, got {given!r}.")
        if given is None or isinstance(given, (str, tuple)):
            continue
        if (how.low is not None and given < how.low) or (how.high is not None and given > how.high):
            limits = f"from {how.low:g}" if how.high is None else f"in [{how.low:g}, {how.high:g}]"
            raise BadInput(f"{how.label} must be {limits}, got {given:g}.")
