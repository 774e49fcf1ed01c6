"""A candidate: one finished, smaller model on a path, with what it costs and what it can do."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medprune.cohort import Cohort, Split
from medprune.compaction import tidy
from medprune.errors import BadInput
from medprune.evaluator import Evaluator
from medprune.mask import Mask
from medprune.model import RiskModel
from medprune.performance import Performance, performance
from medprune.prices import Prices
from medprune.removal import mask_of, removed_share
from medprune.scoring import check_granularity
from medprune.size import Size, size_of
from medprune.training import Prepared, prepare


@dataclass(frozen=True, eq=False)
class Candidate:
    """``performance`` is on tuning; ``train_performance`` on train (their difference is the gap).

    ``threshold`` is the cut within the scores of the candidate's own round: thresholds of different
    rounds cannot be compared, candidates are matched by ``sparsity``, the share that was removed.
    """

    model: RiskModel
    threshold: float
    requested: float | None
    sparsity: float
    size: Size
    performance: Performance
    train_performance: Performance
    tuning_risks: NDArray[np.float64]
    price: float  # of the features that it needs; their number where no prices are known

    @property
    def mask(self) -> Mask:
        return mask_of(self.model)

    @property
    def parameters(self) -> int:
        return self.size.parameters

    @property
    def features(self) -> int:
        return self.size.features

    @property
    def needed(self) -> tuple[str, ...]:
        """The source columns of the table that it reads, in the user's words."""
        return features_needed(self.model)


def features_needed(model: RiskModel) -> tuple[str, ...]:
    """A feature is needed as long as one of its columns (value, missing flag, category) is."""
    places = np.unique(
        model.preparation.feature_of_column[tidy(mask_of(model), model.network).inputs.numpy()]
    )
    names = model.features
    return tuple(names[place] for place in places)


@dataclass(frozen=True, eq=False)
class Problem:
    """What every strategy is given: the dense model, the patients, and at which granularity to prune.

    ``given`` is the dense model as it came.
    ``evaluator`` retrains and counts; ``prices`` are what the features cost. To the problem's ``model`` a
    removed feature counts as in the average train patient, as a removed unit does.
    """

    given: RiskModel
    model: RiskModel
    granularity: str
    train: Prepared
    tuning: Prepared
    train_split: Split
    tuning_split: Split
    seed: int
    prices: Prices
    evaluator: Evaluator

    @classmethod
    def of(
        cls, model: RiskModel, cohort: Cohort, granularity: str, seed: int, prices: Prices | None = None
    ) -> Problem:
        if check_granularity(granularity) == "neuron" and not model.network.tails:
            raise BadInput("This network has no hidden layer: prune its weights or features instead.")
        prices = Prices() if prices is None else prices
        prices.check(model.features)
        train, tuning = (prepare(model.preparation, split) for split in (cohort.train, cohort.tuning))
        return cls(
            given=model,
            model=replace(model, preparation=model.preparation.removing_to(train.columns)),
            granularity=granularity,
            train=train,
            tuning=tuning,
            train_split=cohort.train,
            tuning_split=cohort.tuning,
            seed=seed,
            prices=prices,
            evaluator=Evaluator(train, tuning, seed),
        )

    @property
    def feature_prices(self) -> NDArray[np.float64]:
        """The price of every feature of the model (features,)."""
        return np.array([self.prices.price(name) for name in self.model.features])

    def candidate(
        self, model: RiskModel, *, threshold: float = 0.0, requested: float | None = None
    ) -> Candidate:
        """Measure a finished model; its sparsity is the share of the dense model that it does without."""
        risks = model.risks_of(self.tuning.columns)
        on_train = model.risks_of(self.train.columns)
        needed = features_needed(model)
        return Candidate(
            model=self.given if model is self.model else _as_given(model),
            threshold=threshold,
            requested=requested,
            sparsity=removed_share(model, self.granularity, self.model),
            size=size_of(model),
            performance=performance(self.tuning.outcome, risks, model.act_at, self.tuning.weight),
            train_performance=performance(self.train.outcome, on_train, model.act_at, self.train.weight),
            tuning_risks=risks,
            price=self.prices.total(needed) if self.prices else float(len(needed)),
        )


def _as_given(model: RiskModel) -> RiskModel:
    """The model, to which a removed feature is a test not taken again; its mask holds what it has removed."""
    return replace(model, preparation=replace(model.preparation, removed_as=()))
