"""A logistic regression that scikit-learn's selectors can ask about whole features of the table."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin

from medprune.baselines.regression import Array, Regressions

Codes = NDArray[np.int64]


class GroupedLogistic(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A logistic regression on all the columns of the features that it is shown.

    A selector hands on slices of its table without their names, so each cell names itself, ``feature * N
    + row``: any slice tells which features and rows are meant, and their columns are looked up.

    ``tried`` collects the features of every fit, in order; all clones share it.
    """

    def __init__(self, train: Regressions, tried: list[frozenset[int]]) -> None:
        self.train = train
        self.tried = tried

    def __sklearn_clone__(self) -> GroupedLogistic:
        return GroupedLogistic(self.train, self.tried)

    def fit(self, codes: Codes, _: Any = None) -> GroupedLogistic:
        features, rows = self._read(codes)
        self.tried.append(frozenset(features.tolist()))
        self.classes_ = np.arange(self.train.classes)
        self.places_ = self.train.columns_of(features)
        self.regression_ = self.train.ridge(self.places_, rows)
        squares = np.square(self.regression_.coef_).sum(axis=0)
        place = np.searchsorted(features, self.train.feature_of_column[self.places_])
        self.feature_importances_ = np.sqrt(np.bincount(place, squares, minlength=len(features)))
        return self

    def predict_proba(self, codes: Codes) -> Array:
        """Risks (N, classes); a class that the fit did not see has none."""
        _, rows = self._read(codes)
        risks = np.zeros((len(rows), self.train.classes))
        risks[:, self.regression_.classes_] = self.regression_.predict_proba(
            self.train.columns[rows][:, self.places_]
        )
        return risks

    def weight_of(self, codes: Codes) -> Array | None:
        """What each row of a slice counts (N,); None: all alike."""
        return None if self.train.weight is None else self.train.weight[self._read(codes)[1]]

    def _read(self, codes: Codes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The features, in rising order, and the rows that a slice of the codes stands for."""
        n = len(self.train.outcome)
        return codes[0] // n, codes[:, 0] % n


def codes_of(train: Regressions, features: NDArray[np.int64]) -> Codes:
    """The table (N, features) of cells that name themselves; features in rising order."""
    n = len(train.outcome)
    return features[None, :] * n + np.arange(n)[:, None]
