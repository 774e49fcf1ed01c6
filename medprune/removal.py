"""What a cut means at each granularity: weights, neurons (hidden units) or features become a mask."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medprune.compaction import tidy
from medprune.mask import Mask
from medprune.model import BATCH, RiskModel
from medprune.preparation import Preparation
from medprune.ranking import Array, Kept, at_threshold, best, normalise, strongest_paths
from medprune.scoring import Contributions, check_granularity


def mask_of(model: RiskModel) -> Mask:
    return model.network.full_mask() if model.mask is None else model.mask


def alive_groups(model: RiskModel, granularity: str) -> Kept:
    """What is still there and could be removed, by layer, in the shape of the scores."""
    mask = mask_of(model)
    if check_granularity(granularity) == "weight":
        return tuple(alive.numpy() for alive in mask.alive_weights())
    if granularity == "neuron":
        return tuple((u & there).numpy() for u, there in zip(mask.units, mask.layers, strict=True))
    used = np.zeros(len(model.features), dtype=bool)
    np.logical_or.at(used, model.preparation.feature_of_column, mask.inputs.numpy())
    return (used,)


def removed_share(model: RiskModel, granularity: str, dense: RiskModel | None = None) -> float:
    """The sparsity reached: the share of weights, units or features that are gone.

    Of those of ``dense``, when the model is another network that stands in for it.
    """
    left = sum(int(part.sum()) for part in alive_groups(model, granularity))
    total = sum(part.size for part in alive_groups(dense or model, granularity))
    return 1.0 - left / total if total else 0.0


@dataclass(frozen=True, eq=False)
class Cut:
    """A scored model, ready to lose what scores least; every cut gives a new model, not retrained.

    ``order`` are the scores in [0, 1] by layer; they also decide what always stays: a way from an input
    to the outcome, one feature. ``means`` replace the units that go: they belong to the model, not to
    the cut, and are measured once.
    """

    model: RiskModel
    granularity: str
    alive: Kept
    order: tuple[Array, ...]
    means: Sequence[Tensor]

    @classmethod
    def of(
        cls,
        model: RiskModel,
        contributions: Contributions,
        granularity: str,
        scope: str,
        train_columns: NDArray[np.float32],
    ) -> Cut:
        """Make the scores of one granularity comparable over layers, within ``scope``."""
        alive = alive_groups(model, granularity)
        order = normalise(contributions.scores(granularity), alive, scope)
        means = mean_activations(model, train_columns) if granularity == "neuron" else ()
        return cls(model, granularity, alive, order, means)

    def per_price(self, prices: Array) -> Cut:
        """Features by what they are worth for their price (features,): the free ones go last."""
        [order] = self.order
        ratio = np.divide(order, prices, out=np.zeros_like(order), where=prices > 0)
        worth = np.where(prices > 0, ratio / max(ratio.max(), np.finfo(float).tiny) / 2, 0.5 + order / 2)
        return replace(self, order=(worth,))

    @property
    def groups(self) -> int:
        """All weights, units or features there ever were."""
        return sum(part.size for part in self.alive)

    def at(self, threshold: float) -> RiskModel:
        """Keep what scores at least ``threshold``."""
        return self.keep(at_threshold(self.order, self.alive, threshold))

    def to(self, count: int) -> tuple[RiskModel, float]:
        """Keep about ``count``, counted when all that leads nowhere is gone too; and the threshold.

        Keeping just the best ``count`` would lose far more, because what is then cut off from input or
        outcome goes as well. What is left grows with what is kept, so bisect.
        """
        low, high = count, sum(int(part.sum()) for part in self.alive)
        middle = low  # not far from the answer: as many more as are missing, before bisecting in earnest
        while low < high:
            smaller = self.keep(best(self.order, self.alive, middle)[0])
            left = sum(int(part.sum()) for part in alive_groups(smaller, self.granularity))
            if left >= count:
                high, middle = middle, (low + middle) // 2
            else:
                low, middle = middle + 1, min(middle + 1 + count - left, (middle + 1 + high) // 2)
        kept, threshold = best(self.order, self.alive, low)
        return self.keep(kept), threshold

    def keep(self, kept: Kept) -> RiskModel:
        """The model with everything outside ``kept`` removed, and what no longer matters with it."""
        stay = tuple(part | always for part, always in zip(kept, self.always(), strict=True))
        if self.granularity == "weight":
            mask = _with_weights(mask_of(self.model), stay)
        elif self.granularity == "neuron":
            mask = _with_units(mask_of(self.model), stay, self.means)
        else:
            mask = _with_features(mask_of(self.model), stay[0], self.model.preparation)
        return replace(self.model, mask=tidy(mask, self.model.network))

    def always(self) -> Kept:
        """What no cut removes, as :attr:`alive`: a way from an input to the outcome, or one feature."""
        if self.granularity == "weight":
            return strongest_paths(self.order, self.alive)
        if self.granularity == "neuron":
            return tuple(way & alive for way, alive in zip(_unit_ways(self), self.alive, strict=True))
        [order], [alive] = self.order, self.alive
        return (np.arange(len(order)) == np.where(alive, order, -np.inf).argmax(),)


def _unit_ways(cut: Cut) -> Kept:
    """For each hidden layer the units (width,) on the best way from an input to a logit, over living weights.

    The best unit of each layer alone is not enough: in a network whose weights were pruned before,
    these need not be connected.
    """
    weights = alive_groups(cut.model, "weight")
    scores = (*cut.order, np.ones(len(weights[-1])))
    spread = [np.broadcast_to(s[:, None], w.shape) for s, w in zip(scores, weights, strict=True)]
    return tuple(np.asarray(way.any(axis=1)) for way in strongest_paths(spread, weights)[:-1])


def _with_weights(mask: Mask, stay: Kept) -> Mask:
    """Without the living weights outside ``stay``, (out, in) a layer."""
    # A weight whose source is gone carries that source's constant: it is not ours to remove.
    weights = (
        old & (torch.from_numpy(part) | ~alive)
        for old, part, alive in zip(mask.weights, stay, mask.alive_weights(), strict=True)
    )
    return replace(mask, weights=tuple(weights))


def _with_units(mask: Mask, stay: Sequence[NDArray[np.bool_]], means: Sequence[Tensor]) -> Mask:
    """Without the units outside ``stay``, (width,) a hidden layer; their means stand in for them."""
    units, constants = [], []
    for layer, part in enumerate(stay):
        # The units of a removed layer are gone already: what is left of them carries sums on.
        going = mask.units[layer] & ~torch.from_numpy(part) & mask.layers[layer]
        units.append(mask.units[layer] & ~going)
        constants.append(torch.where(going, means[layer], mask.unit_constants[layer]))
    return replace(mask, units=tuple(units), unit_constants=tuple(constants))


def _with_features(mask: Mask, stay: NDArray[np.bool_], preparation: Preparation) -> Mask:
    """Without the features outside ``stay`` (features,): their tests were not taken."""
    going = torch.from_numpy(~stay[preparation.feature_of_column]) & mask.inputs
    reference = torch.from_numpy(preparation.reference)
    constants = torch.where(going, reference, mask.input_constants)
    return replace(mask, inputs=mask.inputs & ~going, input_constants=constants)


def keep_exactly(
    model: RiskModel,
    kept_features: NDArray[np.bool_] | None,
    kept_units: Sequence[NDArray[np.bool_]] | None,
    kept_layers: NDArray[np.bool_] | None,
    means: Sequence[Tensor],
) -> RiskModel | None:
    """The model with these features (features,), units (width,) a layer and hidden layers, not retrained.

    None keeps all of a kind; what is gone already stays gone, and what no longer matters goes too. A
    hidden layer outside ``kept_layers`` passes its sums on: its own units then stay. ``means`` (see
    :func:`mean_activations`) stand in for the units that go. None when nothing reaches the outcome.
    """
    mask = mask_of(model)
    if kept_layers is not None:
        mask = replace(mask, layers=mask.layers & torch.from_numpy(kept_layers))
    if kept_units is not None:
        mask = _with_units(mask, kept_units, means)
    if kept_features is not None:
        mask = _with_features(mask, kept_features, model.preparation)
    return _if_it_works(model, mask)


def keep_groups(model: RiskModel, granularity: str, kept: Kept, means: Sequence[Tensor]) -> RiskModel | None:
    """The model with exactly these groups, in the shape of :func:`alive_groups`; as :func:`keep_exactly`."""
    if check_granularity(granularity) == "weight":
        return _if_it_works(model, _with_weights(mask_of(model), kept))
    if granularity == "neuron":
        return keep_exactly(model, None, kept, None, means)
    return keep_exactly(model, kept[0], None, None, means)


def _if_it_works(model: RiskModel, mask: Mask) -> RiskModel | None:
    """The model with this mask, tidied: an input that is still there then has a way to the outcome."""
    tidied = tidy(mask, model.network)
    return replace(model, mask=tidied) if bool(tidied.inputs.any()) else None


def mean_activations(model: RiskModel, columns: NDArray[np.float32]) -> list[Tensor]:
    """The mean output of every hidden unit over these patients, as the next layer hears it."""
    return mean_activations_over(model, torch.from_numpy(columns).split(BATCH))


@torch.no_grad()
def mean_activations_over(model: RiskModel, batches: Iterable[Tensor]) -> list[Tensor]:
    """As :func:`mean_activations`, over batches of prepared columns (N, inputs)."""
    totals = [torch.zeros(tail.spec.width, dtype=torch.float64) for tail in model.network.tails]
    rows = 0
    for batch in batches:
        rows += len(batch)
        for total, heard in zip(totals, model.network.trace(batch, model.mask).inputs[1:], strict=True):
            total.add_(heard.sum(dim=0).double())
    return [(total / rows).float() for total in totals]
