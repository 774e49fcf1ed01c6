"""Do the scores tell what truly happens on removal? A sample of weights, units or features is removed."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor

from medprune.cohort import Split
from medprune.criteria import CRITERIA
from medprune.errors import BadInput
from medprune.mask import Mask
from medprune.model import BATCH, RiskModel
from medprune.ranking import Kept
from medprune.removal import alive_groups, mask_of, mean_activations
from medprune.scoring import Contributions
from medprune.training import prepare

FEWEST = 3  # things to rank
ZEROS = 10  # one in so many of the sample may have a score of zero

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Agreement:
    """How well scores rank what removal does.

    ``table`` has the rows of :class:`Contributions` that were sampled, with ``change``: the mean over
    patients of how much the true class's risk (``effect`` "risk") or the loss ("loss") changes, either way,
    when this alone is removed. ``spearman`` is NaN where fewer than three, or all the same, were ranked.
    """

    criterion: str
    granularity: str
    effect: str
    spearman: float
    count: int
    of: int
    table: pd.DataFrame

    def told(self) -> str:
        """In a sentence."""
        what = f"{self.count:,} of {self.of:,} {self.granularity}s removed one at a time"
        if np.isnan(self.spearman):
            return f"Agreement with true removal cannot be ranked ({what})."
        moved = "the risk of their own outcome" if self.effect == "risk" else "their loss"
        return (
            f"Agreement with true removal: Spearman {self.spearman:.2f} between the scores and how far "
            f"patients are moved in {moved} ({what})."
        )

    def to_json(self) -> dict[str, str | float]:
        return {
            "granularity": self.granularity,
            "effect": self.effect,
            "spearman": self.spearman,
            "count": self.count,
            "of": self.of,
        }


def agreement(
    model: RiskModel,
    split: Split,
    contributions: Contributions,
    *,
    granularity: str = "weight",
    sample: int = 200,
    seed: int = 0,
) -> Agreement:
    """Remove up to ``sample`` weights, neurons or features one at a time, and rank what that does.

    ``split`` and ``model`` are those that were scored. Removal is what pruning means by it, without
    retraining: a weight becomes 0, a neuron its mean over these patients, a feature a test not taken. The
    effect is the mean absolute change of every patient's own risk or loss (section 5 of the method), never
    of the mean. Raises BadInput for an unknown granularity, or scores of another model.
    """
    if sample < FEWEST:
        raise BadInput(f"To compare rankings takes at least {FEWEST} removals, got {sample}.")
    scores, alive = contributions.scores(granularity), alive_groups(model, granularity)
    if [part.shape for part in scores] != [part.shape for part in alive]:
        raise BadInput("These contributions are of another model; score this one.")
    if not scores:
        raise BadInput("This network has no hidden layer: look at its weights or features instead.")
    effect = CRITERIA.get(contributions.criterion).predicts
    removals = _Removals.of(model, split, effect, balanced=contributions.balanced)
    table = contributions.table(granularity).iloc[_sampled(scores, alive, sample, seed)]
    layers = {name: place for place, name in enumerate(contributions.layer_names)}
    masks = (
        removals.without(granularity, layers.get(layer, 0), row, column)
        for layer, row, column in zip(table["layer"], table["row"], table["column"], strict=True)
    )
    table = table.assign(change=[removals.change(mask) for mask in masks]).reset_index(drop=True)
    return Agreement(
        criterion=contributions.criterion,
        granularity=granularity,
        effect=effect,
        spearman=rank_correlation(table["score"], table["change"]),
        count=len(table),
        of=sum(int(part.sum()) for part in alive),
        table=table,
    )


def rank_correlation(a: pd.Series, b: pd.Series) -> float:
    """Spearman's; NaN where there is nothing to rank."""
    if len(a) < FEWEST or a.nunique() == 1 or b.nunique() == 1:
        return float("nan")
    return float(spearmanr(a, b).statistic)


def _sampled(scores: Sequence[Array], alive: Kept, sample: int, seed: int) -> NDArray[np.intp]:
    """Rows of what is left to remove: one from each of equal strata by score, and few that score nothing.

    Most scores of a pruned or a sparse network are 0: drawn blindly, they would be all there is to rank.
    """
    flat, living = (np.concatenate([part.ravel() for part in parts]) for parts in (scores, alive))
    rng = np.random.default_rng(seed)
    ranked = np.flatnonzero(living & (flat > 0))
    ranked = ranked[np.argsort(flat[ranked], kind="stable")]
    idle = np.flatnonzero(living & (flat <= 0))
    few = min(len(idle), max(sample // ZEROS, sample - len(ranked)))
    strata = np.array_split(ranked, min(sample - few, len(ranked)) or 1)
    drawn = [rng.choice(stratum) for stratum in strata if len(stratum)]
    return np.sort(np.concatenate([rng.choice(idle, few, replace=False), drawn]).astype(np.intp))


@dataclass(frozen=True, eq=False)
class _Removals:
    """A model in double precision, where small removals still show, and its patients before any removal.

    ``say`` (N,) is how much each patient counts in the mean: alike or by its weight, or each class alike.
    """

    model: RiskModel
    columns: Tensor
    outcome: NDArray[np.int64]
    effect: str
    say: Array
    means: Sequence[Tensor]
    before: Array

    @classmethod
    def of(cls, model: RiskModel, split: Split, effect: str, *, balanced: bool) -> _Removals:
        data = prepare(model.preparation, split)
        double = replace(model, network=copy.deepcopy(model.network).double(), mask=mask_of(model))
        say = data.say
        if balanced:
            counts = np.bincount(data.outcome, say, minlength=len(model.classes))
            say = say / np.where(counts > 0, counts, 1.0)[data.outcome]
        unremoved = cls(
            model=double,
            columns=torch.from_numpy(data.columns).double(),
            outcome=data.outcome,
            effect=effect,
            say=say / say.sum(),
            means=mean_activations(model, data.columns),
            before=np.empty(0),
        )
        return replace(unremoved, before=unremoved._measured(mask_of(model)))

    def without(self, granularity: str, layer: int, row: int, column: int) -> Mask:
        """The mask without one weight, neuron or feature, removed as pruning removes it."""
        mask = mask_of(self.model)
        if granularity == "weight":
            return replace(mask, weights=_with(mask.weights, layer, (row, column), False))
        if granularity == "neuron":
            return replace(
                mask,
                units=_with(mask.units, layer, row, False),
                unit_constants=_with(mask.unit_constants, layer, row, self.means[layer][row]),
            )
        preparation = self.model.preparation
        going = torch.from_numpy(preparation.feature_of_column == column)
        reference = torch.from_numpy(preparation.reference)
        return replace(
            mask,
            inputs=mask.inputs & ~going,
            input_constants=torch.where(going, reference, mask.input_constants),
        )

    def change(self, mask: Mask) -> float:
        """The mean over patients of how far the effect moves, either way."""
        return float(self.say @ np.abs(self._measured(mask) - self.before))

    @torch.no_grad()
    def _measured(self, mask: Mask) -> Array:
        """Of every patient (N,): the risk of the true class, or the loss."""
        parts = [self.model.network(batch, mask) for batch in self.columns.split(BATCH)]
        logits = torch.from_numpy(self.model.recalibration(torch.cat(parts).numpy()))
        own = torch.log_softmax(logits, dim=1).numpy()[np.arange(len(self.outcome)), self.outcome]
        result: Array = np.exp(own) if self.effect == "risk" else -own
        return result


def _with(parts: tuple[Tensor, ...], layer: int, place: Any, value: Any) -> tuple[Tensor, ...]:
    """The same tensors, one entry of one of them another."""
    changed = parts[layer].clone()
    changed[place] = value
    return (*parts[:layer], changed, *parts[layer + 1 :])
