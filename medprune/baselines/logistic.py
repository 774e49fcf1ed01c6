"""What a statistician would pick instead: logistic regressions with fewer and fewer coefficients."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from medprune.baselines.regression import ITERATIONS, Array, Regressions, fitted, no_bigger
from medprune.candidate import Candidate, Problem
from medprune.model import RiskModel
from medprune.settings import check_settings, setting
from medprune.strategies.base import BASELINES, Strategy


@BASELINES.register("l1_logistic")
@dataclass(frozen=True)
class L1Logistic(Strategy):
    """A path of logistic regressions with an L1 penalty, from nearly unpenalised to nearly empty.

    The strongest penalty is a little below the one at which every coefficient is 0, the weakest
    ``reach`` times weaker (Friedman, Hastie and Tibshirani, J Stat Softw 2010, section 2.5);
    multinomial for more than two classes. Fitted on train; on tuning only recalibrated, as every candidate
    is. A regression of the same size as one with a stronger penalty is a candidate too.
    """

    penalties: int = setting(18, "Penalties", "so many regressions", low=2, high=100)
    reach: float = setting(1000.0, "Weakest penalty", "so many times weaker", low=2, high=1e6)
    name = "l1_logistic"
    title = "L1 logistic regression"
    granularities = ("weight", "feature")

    def __post_init__(self) -> None:
        check_settings(self)

    def planned(self, problem: Problem) -> int:
        return 1 + self.penalties

    def candidates(self, problem: Problem) -> Iterator[Candidate]:
        yield from no_bigger(problem, self._models(problem))

    def _models(self, problem: Problem) -> Iterator[RiskModel]:
        """From the strongest penalty to the weakest, each started from the one before."""
        train = Regressions.of(problem)
        places = train.there()
        columns = train.columns[:, places]
        regression = LogisticRegression(
            l1_ratio=1.0, solver="saga", warm_start=True, max_iter=ITERATIONS, random_state=problem.seed
        )
        strongest = barely_empty(columns, train.outcome, train.weight)
        for inverse in strongest * np.geomspace(1.1, self.reach, self.penalties):
            fitted(regression.set_params(C=inverse), columns, train.outcome, train.weight)
            problem.evaluator.trained += 1
            if np.any(regression.coef_):
                yield train.model(regression, places)


def barely_empty(columns: Array, outcome: NDArray[np.int64], weight: Array | None = None) -> float:
    """scikit-learn's C (one over the penalty) up to which every coefficient is 0.

    There the slope of the summed loss, with fitted intercepts alone, is nowhere steeper than 1 / C.
    """
    truth = np.eye(outcome.max() + 1)[outcome]
    away = truth - np.average(truth, axis=0, weights=weight)
    steepest = float(np.abs(columns.T @ (away if weight is None else away * weight[:, None])).max())
    return 1.0 / steepest if steepest > 0 else 1.0
