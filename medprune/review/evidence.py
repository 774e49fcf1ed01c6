"""What a review can lean on: whose patients these are, how often they were looked at, and the file itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medprune.cohort import Split
from medprune.model import RiskModel
from medprune.onnx_run import onnx_risks
from medprune.performance import decisions
from medprune.review.limits import Limits
from medprune.splits import NOWHERE, TEST

UNKNOWN = -1


@dataclass(frozen=True)
class Evidence:
    """What the checks G0 and G8 look at.

    ``overlap``: reviewed patients who were in the models' train or tuning split, :data:`UNKNOWN` when
    nobody can say. ``configurations``: models scored on these test patients so far, this one included.
    ``searched``: candidates among which this one was chosen, on tuning patients. ``locked`` is the hash of
    the limits that were set before test was opened, None where none were; ``loosened`` whether those in
    force allow more; ``moved`` whether another risk is acted on than when test was opened.
    """

    overlap: int
    configurations: int
    searched: int | None = None
    locked: str | None = None
    loosened: bool = False
    moved: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "overlap": None if self.overlap == UNKNOWN else self.overlap,
            "configurations_on_test": self.configurations,
            "candidates_on_tuning": self.searched,
            "limits_locked": self.locked,
            "limits_loosened": self.loosened,
            "act_at_moved": self.moved,
        }


def lock(limits: Limits, act_at: float) -> dict[str, Any]:
    """What is set down before test patients are opened, for a bundle's provenance."""
    return {"sha256": limits.sha256, "values": limits.to_json(), "act_at": act_at}


def locked_limits(provenance: Mapping[str, Any]) -> Limits:
    """The limits that were set down before test patients were opened; the usual ones where none were."""
    found = provenance.get("limits")
    values = found.get("values") if isinstance(found, Mapping) else None
    return Limits.from_json(values) if isinstance(values, Mapping) else Limits()


def evidence_of(
    split: Split,
    models: Sequence[RiskModel],
    limits: Limits,
    *,
    configurations: int,
    provenance: Mapping[str, Any] | None = None,
) -> Evidence:
    """What is known of these patients and of the limits, from the models' and the bundle's own records.

    ``provenance`` is None for a model that is not exported yet: its limits are set now, which is before these
    patients were opened only where this is their first opening. Raises BadInput when
    the limits on record are damaged.
    """
    burden = (provenance or {}).get("search_burden")
    own = [model.origin.split for model in models if model.origin.split is not None]
    if own and not any((record.splits_of(split.patients) != NOWHERE).any() for record in own):
        configurations = 1  # other patients than the models were made on: this is the first look at them
    common: dict[str, Any] = {
        "overlap": overlap(split, *models),
        "configurations": configurations,
        "searched": burden.get("candidates") if isinstance(burden, Mapping) else None,
    }
    if provenance is None:
        return Evidence(locked=limits.sha256 if configurations <= 1 else None, **common)
    found = provenance.get("limits")
    if not isinstance(found, Mapping):
        return Evidence(**common)
    before = locked_limits(provenance)
    at = models[-1].act_at
    return Evidence(
        locked=before.sha256,
        loosened=not limits.within(before),
        moved=float(found.get("act_at", at)) != at,
        **common,
    )


@dataclass(frozen=True)
class Fidelity:
    """How far the exported file's risks lie from the model's, on the reviewed rows; ``flips`` it adds."""

    difference: float
    flips: int
    int8_difference: float | None = None
    int8_flips: int | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "largest_difference": self.difference,
            "flips": self.flips,
            "int8_largest_difference": self.int8_difference,
            "int8_flips": self.int8_flips,
        }


def overlap(split: Split, *models: RiskModel) -> int:
    """How many of the reviewed patients the models were trained or tuned on; UNKNOWN when one cannot say."""
    if any(model.may_know_the_patients for model in models):
        return UNKNOWN
    seen = np.zeros(len(split), dtype=bool)
    for model in models:
        assert model.origin.split is not None
        places = model.origin.split.splits_of(split.patients)
        seen |= (places != NOWHERE) & (places != TEST)
    return len(np.unique(split.patients[seen]))


def fidelity(
    model: RiskModel, split: Split, file: bytes, act_at: float, int8: bytes | None = None
) -> Fidelity:
    """Run the exported model.onnx, and its int8 twin, on the reviewed rows, against the model in memory."""
    expected = model.predict_proba(split.frame)
    difference, flips = _apart(expected, onnx_risks(file, model.preparation, split.frame), act_at)
    if int8 is None:
        return Fidelity(difference, flips)
    return Fidelity(
        difference, flips, *_apart(expected, onnx_risks(int8, model.preparation, split.frame), act_at)
    )


def _apart(expected: NDArray[np.float64], found: NDArray[np.float64], act_at: float) -> tuple[float, int]:
    changed = decisions(expected, act_at) != decisions(found, act_at)
    return float(np.abs(expected - found).max()), int(changed.sum())
