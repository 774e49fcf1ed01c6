"""What acting on risks is worth: net benefit, decision curves, and the change between two models.

Vickers and Elkin (Medical Decision Making 2006): a true positive counts 1, a false positive minus the odds of
the risk that is acted on. A patient is acted on at a risk of ``act_at`` or more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medprune.errors import BadInput
from medprune.review.estimate import Estimate

Floats = NDArray[np.float64]


def odds(act_at: float) -> float:
    """What one needless treatment weighs, in missed patients. BadInput outside (0, 1)."""
    if not 0 < act_at < 1:
        raise BadInput(f"The risk that is acted on must lie between 0 and 1, got {act_at:g}.")
    return act_at / (1 - act_at)


def net_benefit(event: NDArray[np.bool_], risk: Floats, act_at: float) -> Estimate:
    """Rightly treated patients a patient, needless treatments taken off, with the interval of the mean.

    For event (N,) and risk (N,); at most the share with the event, and below 0 where acting does harm.
    """
    return _mean(_worth(event, risk, act_at))


def change_in_net_benefit(event: NDArray[np.bool_], first: Floats, second: Floats, act_at: float) -> Estimate:
    """Second less first, on the same patients (N,): the mean of what each one's change of side is worth."""
    return _mean(_worth(event, second, act_at) - _worth(event, first, act_at))


def treat_all(event: NDArray[np.bool_], act_at: float) -> float:
    """The net benefit of acting on everybody; of acting on nobody it is 0."""
    return of_everybody(float(event.mean()), act_at)


def of_everybody(prevalence: float, act_at: float) -> float:
    """The same from the share with the event."""
    return prevalence - (1 - prevalence) * odds(act_at)


def avoided_per_100(event: NDArray[np.bool_], risk: Floats, act_at: float) -> float:
    """Needless interventions spared among 100 patients, against acting on everybody."""
    gain = net_benefit(event, risk, act_at).value - treat_all(event, act_at)
    return 100 * gain / odds(act_at)


@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit (T,) at risks that may be acted on, beside acting on everybody; on nobody it is 0."""

    act_at: tuple[float, ...]
    model: tuple[Estimate, ...]
    everybody: tuple[float, ...]


def decision_curve(event: NDArray[np.bool_], risk: Floats, act_at: Sequence[float]) -> DecisionCurve:
    """The net benefit at each of ``act_at``, which should be risks that somebody would act on."""
    return DecisionCurve(
        tuple(act_at),
        tuple(net_benefit(event, risk, at) for at in act_at),
        tuple(treat_all(event, at) for at in act_at),
    )


def _worth(event: NDArray[np.bool_], risk: Floats, act_at: float) -> Floats:
    """What acting on each patient (N,) is worth: 1, minus the odds, or 0 for who is left alone."""
    worth: Floats = np.where(event, 1.0, -odds(act_at)) * (risk >= act_at)
    return worth


def _mean(values: Floats) -> Estimate:
    if len(values) < 2:  # noqa: PLR2004 - one patient has no spread
        return Estimate.unknown()
    return Estimate.normal(float(values.mean()), float(values.std(ddof=1)) / np.sqrt(len(values)))
