"""What most papers do: fit, drop the feature with the smallest coefficients, and again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.feature_selection import RFE

from medprune.baselines.features import FeatureSelection
from medprune.baselines.grouped import Codes, GroupedLogistic
from medprune.candidate import Problem
from medprune.strategies.base import BASELINES


@BASELINES.register("rfe")
@dataclass(frozen=True)
class Elimination(FeatureSelection):
    """Fit a logistic regression on all features, drop the one with the smallest coefficients, and again.

    Recursive feature elimination (Guyon et al., Mach Learn 2002) by scikit-learn's RFE. A feature is worth
    the Euclidean norm of the coefficients of its columns, all of spread 1.
    """

    name = "rfe"
    title = "Recursive feature elimination"

    def longest(self, features: int) -> int:
        return features

    def ranked(self, problem: Problem, asked: GroupedLogistic, codes: Codes) -> Sequence[int]:
        eliminated = RFE(asked, n_features_to_select=1).fit(codes, problem.train.outcome)
        return [int(place) for place in np.argsort(eliminated.ranking_, kind="stable")]
