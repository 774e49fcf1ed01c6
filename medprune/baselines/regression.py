"""Logistic regressions as models like any other: networks without a hidden layer.

All are fitted on train alone, on the dense model's prepared columns, each brought to mean 0 and
spread 1 (as glmnet does, so that a penalty means the same for every column); the scaling is folded
into the weights afterwards.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from medprune.candidate import Candidate, Problem
from medprune.compaction import tidy
from medprune.model import Recalibration, RiskModel
from medprune.network import Network, NetworkSpec, frozen
from medprune.performance import BINARY
from medprune.removal import mask_of

Array = NDArray[np.float64]
ITERATIONS = 1_000
SMALL = 500  # coefficients: up to here a Newton step is cheaper than many gradient steps


@dataclass(frozen=True, eq=False)
class Regressions:
    """Train as a regression sees it: ``columns`` (N, inputs) of mean 0 and spread 1, ``outcome`` (N,).

    ``weight`` (N,) is what each patient counts, None: alike.

    ``feature_of_column`` (inputs,) says which feature a column belongs to.
    """

    dense: RiskModel
    columns: Array
    outcome: NDArray[np.int64]
    means: Array
    spreads: Array
    weight: Array | None = None

    @classmethod
    def of(cls, problem: Problem) -> Regressions:
        columns = problem.train.columns.astype(np.float64)
        means, spreads = columns.mean(axis=0), columns.std(axis=0)
        spreads = np.where(spreads > 0, spreads, 1.0)
        train = problem.train
        return cls(problem.model, (columns - means) / spreads, train.outcome, means, spreads, train.weight)

    @property
    def feature_of_column(self) -> NDArray[np.int64]:
        return self.dense.preparation.feature_of_column

    @property
    def classes(self) -> int:
        return len(self.dense.classes)

    def there(self) -> NDArray[np.intp]:
        """The places of the columns that the dense model uses."""
        return np.flatnonzero(mask_of(self.dense).inputs.numpy())

    def columns_of(self, features: Iterable[int]) -> NDArray[np.intp]:
        """The places of all columns of these features that the dense model uses."""
        places = self.there()
        return places[np.isin(self.feature_of_column[places], list(features))]

    def ridge(
        self, places: NDArray[np.intp], rows: NDArray[np.intp] | slice = slice(None)
    ) -> LogisticRegression:
        """A regression on the columns at ``places`` with a weak L2 penalty (C = 1), fitted on these rows."""
        few = len(places) * self.classes <= SMALL
        model = LogisticRegression(solver="newton-cholesky" if few else "lbfgs", max_iter=ITERATIONS)
        weight = None if self.weight is None else self.weight[rows]
        return fitted(model, self.columns[rows][:, places], self.outcome[rows], weight)

    def model(self, regression: LogisticRegression, places: NDArray[np.intp]) -> RiskModel:
        """The regression on the columns at ``places`` as a finished model.

        For two classes the log odds are the positive class's logit and the other's stays 0, so that
        parameters are counted as a statistician counts them: coefficients that are not 0, and an intercept.
        """
        weights = np.zeros((len(regression.coef_), len(self.spreads)))
        weights[:, places] = regression.coef_ / self.spreads[places]
        biases = regression.intercept_ - weights @ self.means
        if self.classes == BINARY:
            weights, biases = (np.concatenate([np.zeros_like(part), part]) for part in (weights, biases))
        network = _linear_network(weights, biases)
        full = network.full_mask()
        mask = tidy(replace(full, weights=(network.layers[0].weight != 0,)), network)
        return replace(self.dense, network=network, mask=mask, recalibration=Recalibration())


def _linear_network(weights: Array, biases: Array) -> Network:
    outputs, inputs = weights.shape
    network = Network(NetworkSpec(inputs, (), outputs))
    with torch.no_grad():
        network.layers[0].weight.copy_(torch.from_numpy(weights))
        network.layers[0].bias.copy_(torch.from_numpy(biases))
    return frozen(network)


def fitted(
    model: LogisticRegression, columns: Array, outcome: NDArray[np.int64], weight: Array | None = None
) -> LogisticRegression:
    """The regression, after its last iteration at the latest: on separable patients it would never end."""
    if weight is not None:
        there = weight > 0
        columns, outcome, weight = columns[there], outcome[there], weight[there]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(columns, outcome, sample_weight=weight)
    return model


def no_bigger(problem: Problem, models: Iterable[RiskModel]) -> Iterator[Candidate]:
    """The dense model, then those of the models that do not need more than it does."""
    dense = problem.candidate(problem.model, requested=0.0)
    yield dense
    for model in models:
        candidate = problem.candidate(model)
        if candidate.sparsity >= dense.sparsity:
            yield candidate
