"""The limits of the gate: what a smaller model may lose. Set, and hashed, before test patients are opened.

Every number is MedPrune's default unless a source is named, and may be changed; a limit that is loosened
after test was opened is told, and is no limit any more (see :mod:`medprune.review.gate`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from medprune.errors import BadInput, nearest

DEFAULT = "MedPrune default"
LAXEST_AUROC = 0.05  # Rodriguez-Ruiz et al. (JNCI 2019), of different readers: never more for one's own child


@dataclass(frozen=True)
class Limits:
    """What may be lost. Shares and risks in [0, 1]; a pair is the range that passes or that warns.

    - ``auroc_loss``: G1, the largest loss of AUROC (0.02; never above .05).
    - ``observed_over_expected``, ``slope``, ``ici_rise`` and their ``..._warn``: G2.
    - ``group_loss``: G3, of sensitivity and of net benefit in any subgroup (0.05).
    - ``missed_per_1000``: G4, patients with the event no longer flagged, a thousand patients; None sets none.
    - ``floor_warn``: G4, up to how many times the flips of a retraining are told as a warning.
    - ``benefit_loss``, ``benefit_warn``: G5, of net benefit at the risk acted on; ``benefit_doubt`` is the
      largest probability of a larger loss than ``benefit_loss``.
    - ``act_range``: G5, the risks somebody may act on; None: half to one and a half times the risk acted on.
    - ``stability``, ``stability_warn``: G6, the population stability index of any input (a custom of
      banking, not of medicine); ``imputed``: G6, the share of rows with a missing input.
    - ``required``: G6, inputs that must stay.
    - ``fidelity``, ``fidelity_warn``: G7, the largest difference of any risk between model and file.
    - ``configurations``, ``configurations_warn``: G8, models that were scored on these test patients.
    - ``assessable``, ``comfortable``: G0, patients with the event, and without it, from which a figure says
      something (100) and says it well (200; Van Calster et al. 2016).
    - ``in_a_group``: G3, patients with the event, and without it, from which a subgroup says something (50).
    """

    auroc_loss: float = 0.02
    observed_over_expected: tuple[float, float] = (0.9, 1.1)
    observed_over_expected_warn: tuple[float, float] = (0.8, 1.25)
    slope: tuple[float, float] = (0.8, 1.2)
    slope_warn: tuple[float, float] = (0.7, 1.3)
    ici_rise: float = 0.01
    ici_rise_warn: float = 0.02
    group_loss: float = 0.05
    missed_per_1000: float | None = None
    floor_warn: float = 2.0
    benefit_loss: float = 0.001
    benefit_warn: float = 0.005
    benefit_doubt: float = 0.2
    act_range: tuple[float, float] | None = None
    stability: float = 0.1
    stability_warn: float = 0.25
    imputed: float = 0.05
    required: tuple[str, ...] = ()
    fidelity: float = 1e-5
    fidelity_warn: float = 1e-3
    configurations: int = 1
    configurations_warn: int = 5
    assessable: int = 100
    comfortable: int = 200
    in_a_group: int = 50

    def __post_init__(self) -> None:
        if not 0 < self.auroc_loss <= LAXEST_AUROC:
            raise BadInput(
                f"The limit for a loss of AUROC must lie above 0 and be at most {LAXEST_AUROC}, got "
                f"{self.auroc_loss:g}."
            )
        for name in ("observed_over_expected", "slope"):
            inner, outer = getattr(self, name), getattr(self, f"{name}_warn")
            if not outer[0] <= inner[0] <= 1 <= inner[1] <= outer[1]:
                raise BadInput(f"The limits {name!r} must hold 1, and lie within those that warn.")
        if self.act_range is not None and not 0 < self.act_range[0] < self.act_range[1] < 1:
            raise BadInput("The limit 'act_range' takes two risks between 0 and 1, the smaller one first.")
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float) and not 0 <= value < float("inf"):
                raise BadInput(f"The limit {field.name!r} must be a number from 0, got {value:g}.")

    @property
    def sha256(self) -> str:
        """The hash under which they are kept: the same limits have the same."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(json.dumps(asdict(self)))  # pairs as lists, as a file has them
        return told

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """The usual limits with those that are ``given`` instead; BadInput for what is no limit."""
        usual = {field.name: field.default for field in fields(cls)}
        for name in given:
            if name not in usual:
                raise BadInput(
                    f"There is no limit {name!r}{nearest(name, list(usual))}; there are {', '.join(usual)}."
                )
        return replace(cls(), **{name: _read(name, value, usual[name]) for name, value in given.items()})

    def within(self, others: Limits) -> bool:
        """Whether nothing here is allowed that ``others`` would not allow."""
        return all(_no_looser(field.name, self, others) for field in fields(self))


LARGER_IS_STRICTER = ("assessable", "comfortable", "in_a_group")


def read_limits(path: str | Path) -> Limits:
    """The limits in a JSON file such as {"auroc_loss": 0.01}; those it does not name are the usual ones."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise BadInput(
            f"The limits in {Path(path).name!r} could not be read; give JSON with limits by name, such as "
            '{"auroc_loss": 0.01, "missed_per_1000": 2}.'
        )
    return Limits.from_json(found)


def _read(name: str, value: Any, usual: Any) -> Any:
    """A limit from JSON, of the kind that its usual value is."""
    try:
        if name == "required":
            return tuple(str(each) for each in ([value] if isinstance(value, str) else value))
        if isinstance(usual, tuple) or (name == "act_range" and value is not None):
            low, high = (float(each) for each in value)
            return low, high
        if value is None and usual is None:
            return None
        if isinstance(value, bool):
            raise TypeError
        return int(value) if isinstance(usual, int) else float(value)
    except (TypeError, ValueError):
        kind = "two numbers" if isinstance(usual, tuple) or name == "act_range" else "a number"
        raise BadInput(f"The limit {name!r} takes {kind}, got {value!r}.") from None


def _no_looser(name: str, here: Limits, there: Limits) -> bool:
    own, other = getattr(here, name), getattr(there, name)
    if own == other:
        return True
    if name == "required":
        return set(own) >= set(other)
    if name == "missed_per_1000":
        return own is not None and (other is None or own <= other)
    if name == "act_range":
        return False  # another range is another question
    if isinstance(own, tuple):
        return bool(other[0] <= own[0] and own[1] <= other[1])
    return bool(own >= other) if name in LARGER_IS_STRICTER else bool(own <= other)
