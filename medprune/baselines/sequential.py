"""What looks at more than coefficients: add the feature that helps most, and again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_selection import SequentialFeatureSelector
from sklearn.model_selection import StratifiedGroupKFold

from medprune.baselines.features import FeatureSelection
from medprune.baselines.grouped import Codes, GroupedLogistic
from medprune.candidate import Problem
from medprune.errors import BadInput
from medprune.performance import log_loss
from medprune.settings import check_settings, setting
from medprune.strategies.base import BASELINES

Fold = tuple[NDArray[np.intp], NDArray[np.intp]]


@BASELINES.register("sequential_selection")
@dataclass(frozen=True)
class SequentialSelection(FeatureSelection):
    """Start from no feature, add the one that helps a logistic regression most, and again.

    By scikit-learn's SequentialFeatureSelector, forward; what helps is a lower log loss in
    cross-validation on train, whose folds are patients. The fits grow with features times ``most``, so
    no more than that are selected: there is no candidate with more features.
    """

    most: int = setting(16, "Features at most", "each costs a fit a fold for all that remain", low=1)
    folds: int = setting(3, "Folds", "of the train patients", low=2, high=10)
    name = "sequential_selection"
    title = "Sequential feature selection"

    def __post_init__(self) -> None:
        check_settings(self)

    def longest(self, features: int) -> int:
        return min(self.most, features)

    def ranked(self, problem: Problem, asked: GroupedLogistic, codes: Codes) -> Sequence[int]:
        features = codes.shape[1]
        selector = SequentialFeatureSelector(
            asked,
            n_features_to_select=min(self.most, features - 1),
            direction="forward",
            scoring=_closeness,
            cv=self._folds(problem, codes),
        ).fit(codes, problem.train.outcome)
        chosen = set(np.flatnonzero(selector.support_).tolist())
        order = _order(_steps(asked.tried, codes), chosen)
        last = set(range(features)) - chosen
        return [*order, *last] if len(last) == 1 and self.most >= features else order

    def _folds(self, problem: Problem, codes: Codes) -> list[Fold]:
        """Folds of train by patient that have every class to learn from."""
        outcome, classes, there = problem.train.outcome, len(problem.model.classes), problem.train.say > 0
        rarest = int(np.bincount(outcome[there], minlength=classes).min())
        folds = max(2, min(self.folds, rarest))
        dealt = StratifiedGroupKFold(folds, shuffle=True, random_state=problem.seed)
        fair = [
            (learn, judge)
            for learn, judge in dealt.split(
                codes, np.where(there, outcome, classes), problem.train_split.patients
            )
            if len(np.unique(outcome[learn[there[learn]]])) == classes
        ]
        if not fair:
            raise BadInput("Too few train patients of a class to cross-validate; choose another baseline.")
        return fair


def _closeness(regression: GroupedLogistic, codes: Codes, outcome: NDArray[np.int64]) -> float:
    return -log_loss(outcome, regression.predict_proba(codes), regression.weight_of(codes))


def _steps(tried: Sequence[frozenset[int]], codes: Codes) -> dict[int, set[int]]:
    """For every number of features, the columns of ``codes`` in all that were tried with so many."""
    place = {int(feature): place for place, feature in enumerate(codes[0] // len(codes))}
    shared: dict[int, set[int]] = {}
    for features in tried:
        columns = {place[feature] for feature in features}
        shared[len(columns)] = shared.get(len(columns), columns) & columns
    return shared


def _order(shared: dict[int, set[int]], chosen: set[int]) -> list[int]:
    """In which order columns were chosen: what all trials of a step share had been chosen before it.

    The selector itself tells only what it chose.
    """
    steps = [*(shared[count] for count in sorted(shared)), chosen]
    return [new for before, after in pairwise(steps) for new in after - before]
