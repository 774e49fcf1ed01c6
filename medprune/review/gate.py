"""The gate before export: nine checks, four states, and the worst of them counts.

The order is fail, not assessable, warn, pass. AUROC alone never gives green: it is one row of nine. Every
cut-off is a :class:`medprune.review.limits.Limits`, labelled as MedPrune's default unless a source is named.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from medprune.errors import BadInput

PASS, WARN, FAIL, NOT_ASSESSABLE = "pass", "warn", "fail", "not assessable"
STATES = (FAIL, NOT_ASSESSABLE, WARN, PASS)  # the worst first

TITLES = {
    "G0": "What these patients can tell",
    "G1": "Ranking patients",
    "G2": "Risks that mean what they say",
    "G3": "Subgroups",
    "G4": "Changed decisions",
    "G5": "Worth of acting on the risks",
    "G6": "Inputs",
    "G7": "The file computes the model",
    "G8": "Looks at these test patients",
}
GROUNDS = {
    "G0": "Van Calster et al. 2016, Snell et al. 2021: 100 and 200 patients with and without the event",
    "G1": "non-inferiority; the limit is a MedPrune default, never above .05 (Rodriguez-Ruiz et al. 2019)",
    "G2": "Van Calster et al. 2019 for what is looked at; the numbers are MedPrune defaults",
    "G3": "TRIPOD+AI 2024; the number is a MedPrune default",
    "G4": "Riley and Collins 2023 for the floor; the numbers are MedPrune defaults",
    "G5": "Vickers and Elkin 2006; the numbers are MedPrune defaults",
    "G6": "Kahn et al. 2016; the stability index's cut-offs are a custom of banking",
    "G7": "MedPrune default",
    "G8": "optimism of choosing on the test patients; the numbers are MedPrune defaults",
}


@dataclass(frozen=True)
class Check:
    """One row of the gate. ``margin`` is the limit that the estimate and its interval are held against."""

    id: str
    state: str
    sentence: str
    estimate: float = math.nan
    low: float = math.nan
    high: float = math.nan
    margin: float = math.nan
    details: tuple[str, ...] = field(default=())  # more sentences, for whoever wants to know

    @property
    def title(self) -> str:
        return TITLES[self.id]

    @property
    def ground(self) -> str:
        return GROUNDS[self.id]

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "title": self.title,
            "state": self.state,
            "estimate": self.estimate,
            "low": self.low,
            "high": self.high,
            "margin": self.margin,
            "sentence": self.sentence,
            "details": list(self.details),
            "ground": self.ground,
        }


@dataclass(frozen=True)
class Override:
    """Who takes a model that failed all the same, why, and until when."""

    name: str
    reason: str
    expires: date

    def __post_init__(self) -> None:
        if not self.name.strip() or not self.reason.strip():
            raise BadInput("An override needs the name of who takes it and a reason; give both.")

    @classmethod
    def read(cls, name: str, reason: str, expires: str, *, today: date | None = None) -> Override:
        """An override from text; the date as 2027-01-31, and not in the past."""
        try:
            day = date.fromisoformat(expires.strip())
        except ValueError:
            raise BadInput(f"An override ends on a date such as 2027-01-31, got {expires!r}.") from None
        if day < (date.today() if today is None else today):
            raise BadInput(f"The override would have ended on {day.isoformat()} already; give a later date.")
        return cls(name.strip(), reason.strip(), day)

    def to_json(self) -> dict[str, str]:
        return {"name": self.name, "reason": self.reason, "expires": self.expires.isoformat()}


def overall(checks: Sequence[Check]) -> str:
    """The worst state of all checks."""
    return worst([check.state for check in checks])


def worst(states: Sequence[str]) -> str:
    """The worst of some states; there must be one."""
    return next(state for state in STATES if state in states)
