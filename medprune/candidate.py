"""A candidate: one finished, smaller model on a path, with what it costs and what it can do.

Pruning makes risks timid: logits may be half as large as they should be, and AUROC does not see it. So every
candidate is recalibrated on tuning as the last step of its making, whatever strategy made it
(:mod:`medprune.recalibration`), unless the problem says otherwise. Walks go on from, and searches compare,
the networks as they were before. The dense model stays as it came.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medprune.cohort import Cohort, Split
from medprune.compaction import tidy
from medprune.errors import BadInput
from medprune.evaluator import Evaluator
from medprune.mask import Mask
from medprune.model import Recalibration, RiskModel, logits_of, softmax
from medprune.performance import Performance, performance
from medprune.prices import Prices
from medprune.recalibration import fitted
from medprune.removal import mask_of, removed_share
from medprune.scoring import check_granularity
from medprune.size import Size, size_of
from medprune.training import Prepared, prepare


@dataclass(frozen=True, eq=False)
class Candidate:
    """``performance`` is on tuning; ``train_performance`` on train (their difference is the gap).

    Both, and ``tuning_risks``, are the recalibrated model's; ``raw_performance`` is on tuning without it.
    The AUROC of two classes is the same. What depends on the size of risks (Brier, net benefit ...) flatters
    the recalibrated model a little on tuning: two numbers were fitted to these very patients.

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
    raw_recalibration: Recalibration  # the identity, or what the dense model came with
    raw_performance: Performance

    @property
    def raw(self) -> RiskModel:
        """The model without its own recalibration; with the dense one's, where that came with one."""
        return replace(self.model, recalibration=self.raw_recalibration)

    @property
    def is_recalibrated(self) -> bool:
        """Whether its risks are others than the raw model's; never so of the dense model."""
        return self.model.recalibration != self.raw_recalibration

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
    removed feature counts as in the average train patient, as a removed unit does. With ``recalibrate`` every
    candidate but the dense one is recalibrated on tuning.
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
    recalibrate: bool = True

    @classmethod
    def of(
        cls,
        model: RiskModel,
        cohort: Cohort,
        granularity: str,
        seed: int,
        prices: Prices | None = None,
        *,
        recalibrate: bool = True,
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
            recalibrate=recalibrate,
        )

    @property
    def feature_prices(self) -> NDArray[np.float64]:
        """The price of every feature of the model (features,)."""
        return np.array([self.prices.price(name) for name in self.model.features])

    def candidate(
        self, model: RiskModel, *, threshold: float = 0.0, requested: float | None = None
    ) -> Candidate:
        """Recalibrate a finished model on tuning, and measure it; the dense one is only measured.

        Its sparsity is the share of the dense model that it does without.
        """
        if model is self.model:
            dense = self.given
            return self.measured(dense, dense.recalibration, threshold=threshold, requested=requested)
        # One that was trained apart, such as a regression, has nothing of the dense model's recalibration.
        apart = model.recalibration.is_identity
        raw = Recalibration() if apart else self.given.recalibration
        return self.measured(
            _as_given(self._recalibrated(model)), raw, threshold=threshold, requested=requested
        )

    def measured(
        self, model: RiskModel, raw: Recalibration, *, threshold: float, requested: float | None
    ) -> Candidate:
        """The model as it is as a candidate, its ``raw`` figures by that recalibration."""
        tuning, train = self._logits(model, self.tuning), self._logits(model, self.train)
        risks = softmax(model.recalibration(tuning))
        found = self._performance(self.tuning, risks, model)
        without = found
        if model.recalibration != raw:
            without = self._performance(self.tuning, softmax(raw(tuning)), model)
        needed = features_needed(model)
        return Candidate(
            model=model,
            threshold=threshold,
            requested=requested,
            sparsity=removed_share(model, self.granularity, self.model),
            size=size_of(model),
            performance=found,
            train_performance=self._performance(self.train, softmax(model.recalibration(train)), model),
            tuning_risks=risks,
            price=self.prices.total(needed) if self.prices else float(len(needed)),
            raw_recalibration=raw,
            raw_performance=without,
        )

    def _recalibrated(self, model: RiskModel) -> RiskModel:
        if not self.recalibrate:
            return model
        logits = self._logits(model, self.tuning)
        return replace(model, recalibration=fitted(logits, self.tuning.outcome, self.tuning.weight))

    @staticmethod
    def _performance(data: Prepared, risks: NDArray[np.float64], model: RiskModel) -> Performance:
        return performance(data.outcome, risks, model.act_at, data.weight)

    @staticmethod
    def _logits(model: RiskModel, data: Prepared) -> NDArray[np.float64]:
        return logits_of(model.network, data.columns, model.mask)


def _as_given(model: RiskModel) -> RiskModel:
    """The model, to which a removed feature is a test not taken again; its mask holds what it has removed."""
    return replace(model, preparation=replace(model.preparation, removed_as=()))
