"""A network of kinds on a patient table: preparation, network and mask, from a row to its risks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medprune.cohort import Cohort, Split, refuse_weights
from medprune.errors import BadInput
from medprune.kinds.base import COLUMNS
from medprune.kinds.compaction import compact_kind, tidy
from medprune.kinds.mask import INPUTS, KindMask
from medprune.kinds.network import Arrays, KindNetwork, initial, risks_of
from medprune.kinds.path import KindCandidate, prune_kind
from medprune.kinds.recipes import Recipe
from medprune.kinds.scoring import KindScores, score_kind
from medprune.kinds.training import fit_kind
from medprune.preparation import Preparation, fit_preparation
from medprune.training import Schedule


@dataclass(frozen=True, eq=False)
class KindModel:
    """A finished model, as :class:`medprune.model.RiskModel`, whose network is a row of kinds."""

    preparation: Preparation
    network: KindNetwork
    outcome: str
    classes: tuple[str, ...]
    mask: KindMask | None = None

    def predict_proba(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Risks (N, classes), rows sum to 1, from raw columns; extra columns are ignored. Raises BadInput."""
        columns = self.preparation.transform(self.preparation.typed(frame))
        return risks_of(self.network, columns, self.mask)

    def arrays(self, split: Split) -> Arrays:
        """The patients of a split as the network takes them."""
        refuse_weights(split, "A network of layers of registered kinds")
        return Arrays(self.preparation.transform(split.frame), split.outcome)

    def score(self, split: Split, criterion: str = "contribution", **settings: Any) -> KindScores:
        """As :func:`score_kind`; ``groups["inputs"]`` are the features in the order of the preparation's."""
        features = self.preparation.feature_of_column
        return score_kind(
            self.network, self.arrays(split), criterion, mask=self.mask, features=features, **settings
        )

    def prune(self, cohort: Cohort, **settings: Any) -> Iterator[KindCandidate]:
        """As :func:`prune_kind`; a removed feature is a test that was not taken."""
        return prune_kind(
            self.network,
            self.arrays(cohort.train),
            self.arrays(cohort.tuning),
            mask=self.mask,
            features=self.preparation.feature_of_column,
            reference=self.preparation.reference,
            **settings,
        )

    def of(self, candidate: KindCandidate) -> KindModel:
        """The model of a candidate on its path."""
        return replace(self, network=candidate.network, mask=candidate.mask)

    @property
    def features_needed(self) -> tuple[str, ...]:
        """The source columns of the table that it reads."""
        kept = np.ones(self.network.spec.inputs, dtype=bool)
        if self.mask is not None:
            kept = tidy(self.network, self.mask).groups[INPUTS].numpy()
        places = np.unique(self.preparation.feature_of_column[kept])
        return tuple(self.preparation.features[place].name for place in places)

    def compact(self) -> KindModel:
        """The small model: what was removed is gone, and no mask is left. BadInput where that is refused."""
        if self.mask is None:
            return self
        small = compact_kind(self.network, self.mask)
        columns = np.flatnonzero(small.inputs).tolist()
        return replace(self, preparation=self.preparation.keep(columns), network=small.network, mask=None)


def train_kind(
    cohort: Cohort, recipe: Recipe, *, seed: int = 0, schedule: Schedule | None = None
) -> KindModel:
    """Train a recipe's network (ResidualMLP, FTTransformer) on the cohort's train split, as ``train`` does.

    >>> train_kind.__name__
    'train_kind'
    """
    preparation = fit_preparation(cohort.train.frame, cohort.features)
    spec = recipe.kind_spec(len(preparation.columns), len(cohort.classes))
    if spec.shape != COLUMNS:
        raise BadInput(
            f"{type(recipe).__name__} takes sequences, and a patient table has none; use ResidualMLP or "
            "FTTransformer, or fit_kind on arrays (patients x time x channels)."
        )
    model = KindModel(preparation, initial(spec, seed), cohort.outcome, cohort.classes)
    train, tuning = model.arrays(cohort.train), model.arrays(cohort.tuning)
    return replace(model, network=fit_kind(model.network, train, tuning, schedule=schedule, seed=seed))
