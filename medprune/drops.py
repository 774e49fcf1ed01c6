"""What a metric loses without each single weight, unit or feature, and which of these drops are noise.

drop(u) = m(model) - m(model without u), turned round for errors such as Brier, so that a positive drop
always means: worse without. On a few hundred patients most drops are noise, and the table says which.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from medprune.ablation import Removals, removals, risks_with_all
from medprune.cohort import Split
from medprune.criteria import ScoreSums
from medprune.model import RiskModel
from medprune.performance import check_metric, higher_is_better
from medprune.ranking import Array
from medprune.removal import alive_groups, mean_activations
from medprune.scoring import check_granularity, contributions_from
from medprune.selection import bootstrap_weights, weighted_metric
from medprune.training import Prepared, prepare

RESAMPLES, FEWEST = 500, 100  # of the bootstrap; fewer only where there are very many patients
CHUNK = 10_000_000  # rows times resamples held at a time
PERMUTATIONS = 5


@dataclass(frozen=True, eq=False)
class Drops:
    """``value``: the ``metric`` of the whole model on the ``split``. ``table``: one row a living group.

    Columns: layer, row, column, name as in :class:`medprune.scoring.Contributions`; ``drop`` (positive:
    the metric is worse without it); ``low`` and ``high``, the 95 % bootstrap interval by patients;
    ``noise``, True when the interval holds 0; ``change``, the mean absolute change of a patient's risks.
    Each interval is for one group alone: of many groups that do nothing, one in twenty is not called noise.
    """

    table: pd.DataFrame
    metric: str
    value: float
    granularity: str
    split: str


def drops(
    model: RiskModel,
    split: Split,
    *,
    metric: str = "auroc",
    granularity: str = "feature",
    train: Split | None = None,
    permute: bool = False,
    seed: int = 0,
) -> Drops:
    """The drop of ``metric`` on ``split`` (normally tuning) without each single group, before retraining.

    A feature without which the model is measured is a test that was not taken; with ``permute``, it is
    another patient's instead, averaged over a few seeded permutations. ``train`` gives removed units their
    mean activation; without it ``split`` does. Raises BadInput for an unknown metric or granularity.
    """
    check_metric(metric)
    data = prepare(model.preparation, split)
    reference = data if train is None else prepare(model.preparation, train)
    means = mean_activations(model, reference.columns) if check_granularity(granularity) == "neuron" else ()
    everyone = data.say[None]
    resampled = _bootstrap(split, np.random.default_rng(seed))
    judge = Judge(metric, data.outcome, model.act_at, np.concatenate([everyone, resampled]))
    seeds = range(seed, seed + PERMUTATIONS) if permute and granularity == "feature" else (None,)
    alive = alive_groups(model, granularity)
    found = np.full((5, sum(part.size for part in alive)), np.nan)
    starts = np.cumsum([0, *(part.size for part in alive)])
    for one in single_drops(model, data, granularity, judge, means, seeds):
        low, high = np.quantile(one.drops[:, 1:], (0.025, 0.975), axis=1)
        noise = ~((low > 0) | (high < 0))
        found[:, starts[one.layer] + one.places] = (one.drops[:, 0], low, high, noise, one.change)
    table = _names(model, granularity).assign(
        drop=found[0], low=found[1], high=found[2], noise=found[3] == 1, change=found[4]
    )
    living = np.concatenate([part.ravel() for part in alive]) if alive else np.empty(0, dtype=bool)
    value = judge.sign * float(judge(risks_with_all(model, data.columns))[0])
    return Drops(table[living].reset_index(drop=True), metric, value, granularity, split.name)


def _bootstrap(split: Split, rng: np.random.Generator) -> Array:
    resamples = max(FEWEST, min(RESAMPLES, CHUNK // len(split)))
    return bootstrap_weights(split.outcome, split.patients, resamples, rng, split.weight)


def _names(model: RiskModel, granularity: str) -> pd.DataFrame:
    """layer, row, column and name of all groups there ever were, in the order of the scores."""
    unscored = contributions_from(model, "drop", ScoreSums.zeros(model), patients=0)
    return unscored.table(granularity).drop(columns="score")


@dataclass(frozen=True, eq=False)
class Judge:
    """The ``metric`` of risks (N, classes) under every row of ``weights`` (B, N); larger is better."""

    metric: str
    outcome: NDArray[np.int64]
    act_at: float
    weights: Array

    @property
    def sign(self) -> float:
        return 1.0 if higher_is_better(self.metric) else -1.0

    def __call__(self, risks: Array) -> Array:
        values = weighted_metric(self.metric, self.outcome, risks, self.weights, self.act_at)
        return self.sign * values


@dataclass(frozen=True, eq=False)
class SingleDrops:
    """Of the groups at ``places`` (G,) of a layer: ``drops`` (G, B) and ``change`` of the risks (G,)."""

    layer: int
    places: NDArray[np.intp]
    drops: Array
    change: Array


def single_drops(
    model: RiskModel,
    data: Prepared,
    granularity: str,
    judge: Judge,
    means: Sequence[Tensor] = (),
    seeds: Sequence[int | None] = (None,),
) -> Iterator[SingleDrops]:
    """The drops of every living group, paired: each under the same weights as the whole model.

    ``seeds`` of permutations of the features, whose drops are averaged; None: removed.
    """
    before = risks_with_all(model, data.columns)
    whole = judge(before)
    runs = [removals(model, data.columns, granularity, means, permute=seed) for seed in seeds]
    for repeats in zip(*runs, strict=True):
        each = [_drops_of(found, before, whole, judge) for found in repeats]
        lost, change = (np.mean(parts, axis=0) for parts in zip(*each, strict=True))
        yield SingleDrops(repeats[0].layer, repeats[0].places, lost, change)


def _drops_of(found: Removals, before: Array, whole: Array, judge: Judge) -> tuple[Array, Array]:
    change: Array = np.abs(found.risks - before).mean(axis=(1, 2))
    nothing = np.zeros_like(whole)
    lost = [
        whole - judge(risks) if moved else nothing for risks, moved in zip(found.risks, change, strict=True)
    ]
    return np.stack(lost), change
