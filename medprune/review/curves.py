"""The pictures of a review as numbers: the calibration curve, the decision curve, the risks by outcome."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medprune.review import influence
from medprune.review.observed import Observed
from medprune.review.resampled import curve
from medprune.review.utility import of_everybody

Floats = NDArray[np.float64]
POINTS = 50  # of a calibration curve
AT_MOST = 0.99  # a risk acted on
WIDE = 0.5, 1.5  # of the risk acted on: the usual range
BINS = np.linspace(0, 1, 41)


@dataclass(frozen=True, eq=False)
class Curves:
    """Of the dense (first) and the pruned model (second).

    ``risks`` (2, P) and ``shares`` (2, P): a calibration curve each, from the 1st to the 99th percentile of
    the risks. ``act_at`` (T,), ``benefit`` (2, T) and ``everybody`` (T,): the decision curves, and
    ``range`` the risks somebody may act on. ``histogram`` (2 models, 2 outcomes, bins): how many patients
    without and with the event have risks in each of the ``edges``. ``at`` is the risk that is acted on.
    """

    risks: Floats
    shares: Floats
    act_at: Floats
    benefit: Floats
    everybody: Floats
    range: tuple[float, float]
    edges: Floats
    histogram: Floats
    at: float

    @property
    def worst_change(self) -> float:
        """The largest fall of net benefit over the range, as a change; 0 when there is none."""
        inside = (self.act_at >= self.range[0]) & (self.act_at <= self.range[1])
        return float(min(0.0, *(self.benefit[1] - self.benefit[0])[inside]))

    def to_json(self) -> dict[str, Any]:
        """Without the histogram, whose counts may be small."""
        return {
            "calibration": [
                {"risk": r.tolist(), "observed": s.tolist()}
                for r, s in zip(self.risks, self.shares, strict=True)
            ],
            "decision": {
                "act_at": self.act_at.tolist(),
                "dense": self.benefit[0].tolist(),
                "pruned": self.benefit[1].tolist(),
                "treat_all": self.everybody.tolist(),
                "range": list(self.range),
            },
        }


def usual_range(act_at: float) -> tuple[float, float]:
    """The risks that somebody may act on, when nobody has said which: around the one that is acted on."""
    return act_at * WIDE[0], min(act_at * WIDE[1], (1 + act_at) / 2, AT_MOST)


def curves(
    observed: Observed,
    dense: Floats,
    pruned: Floats,
    act_at: float,
    act_range: tuple[float, float] | None = None,
) -> Curves:
    """The curves of two models' risks (N,)."""
    models = [dense, pruned]
    at = [np.linspace(np.quantile(risk, 0.01), np.quantile(risk, 0.99), POINTS) for risk in models]
    chosen = usual_range(act_at) if act_range is None else act_range
    grid = np.unique(np.concatenate([np.linspace(0.01, max(0.5, min(2 * chosen[1], AT_MOST)), 50), [act_at]]))
    known = observed.known
    return Curves(
        risks=np.stack(at),
        shares=np.stack([curve(observed, risk, points) for risk, points in zip(models, at, strict=True)]),
        act_at=grid,
        benefit=np.array([[influence.net_benefit(observed, r, t).value for t in grid] for r in models]),
        everybody=np.array([of_everybody(observed.prevalence, t) for t in grid]),
        range=chosen,
        edges=BINS,
        histogram=np.array(
            [[np.histogram(r[known & (observed.event == e)], BINS)[0] for e in (False, True)] for r in models]
        ).astype(float),
        at=act_at,
    )
