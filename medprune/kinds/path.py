"""A path of ever smaller networks of kinds: score what is left, remove the least, retrain, and go on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from medprune.errors import BadInput
from medprune.kinds.base import Means
from medprune.kinds.compaction import alive_weights, compact_kind, tidy, zeroed
from medprune.kinds.mask import INPUTS, KindMask
from medprune.kinds.network import Arrays, KindNetwork, frozen, risks_of
from medprune.kinds.scoring import KindScores, feature_places, kept_features, score_kind
from medprune.kinds.training import fit_kind
from medprune.performance import Performance, check_share, performance
from medprune.ranking import Array, Kept, best, normalise
from medprune.scoring import check_granularity
from medprune.training import RETRAINING, Schedule

STOPS = (0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99)
MOST_STOPS = 16  # of neurons and features
SAME = 1e-6  # risks closer than this tell no patients apart


@dataclass(frozen=True, eq=False)
class KindCandidate:
    """A finished network and its mask; ``performance`` is on tuning.

    ``parameters`` are non-zero weights and biases, ``stored`` those in the compact file, ``inputs`` the
    columns or channels still needed. ``refused`` says why it has no compact file; then ``stored`` are
    the dense network's.
    """

    network: KindNetwork
    mask: KindMask
    requested: float
    sparsity: float
    threshold: float
    parameters: int
    stored: int
    inputs: int
    performance: Performance
    refused: str | None = None


@dataclass(frozen=True)
class _Cut:
    """What of a network can go at one granularity, in sets (weight tensors, or sets of groups)."""

    granularity: str
    names: tuple[str, ...]
    features: torch.Tensor  # which feature each input belongs to

    @classmethod
    def of(cls, network: KindNetwork, granularity: str, features: NDArray[np.int64] | None) -> _Cut:
        check_granularity(granularity)
        place = feature_places(network, features)
        if granularity == "weight":
            return cls(granularity, tuple(network.weights()), place)
        names = (INPUTS,) if granularity == "feature" else network.neurons()
        if not names:
            raise BadInput("This network has no hidden layer: prune its weights or features instead.")
        return cls(granularity, names, place)

    def alive(self, network: KindNetwork, mask: KindMask) -> Kept:
        """What is still there, in sets: kept weights that lead somewhere, groups, features."""
        if self.granularity == "feature":
            return (kept_features(mask.groups[INPUTS], self.features).numpy(),)
        kept = alive_weights(network, mask) if self.granularity == "weight" else mask.groups
        return tuple(kept[name].numpy() for name in self.names)

    def scores(self, scores: KindScores) -> list[Array]:
        found = scores.weights if self.granularity == "weight" else scores.groups
        return [found[name] for name in self.names]

    def keep(self, mask: KindMask, kept: Kept, means: Mapping[str, torch.Tensor]) -> KindMask:
        parts = {name: torch.from_numpy(part) for name, part in zip(self.names, kept, strict=True)}
        if self.granularity == "weight":
            return mask.keeping_weights(parts)
        if self.granularity == "feature":
            parts = {INPUTS: parts[INPUTS][self.features]}
        return mask.keeping_groups(parts, means)


def prune_kind(
    network: KindNetwork,
    train: Arrays,
    tuning: Arrays,
    *,
    granularity: str = "weight",
    criterion: str = "contribution",
    scope: str = "global",
    sparsities: tuple[float, ...] | None = None,
    schedule: Schedule = RETRAINING,
    features: NDArray[np.int64] | None = None,
    reference: NDArray[np.float32] | None = None,
    mask: KindMask | None = None,
    seed: int = 0,
) -> Iterator[KindCandidate]:
    """Yield nested finished candidates, the dense network first; the network given is untouched.

    ``granularity``: weight, neuron (units, channels, heads) or feature (input columns or channels).
    ``features`` (inputs,) says which inputs go together, and ``mask`` what is gone already.
    ``reference`` (inputs,) replaces removed inputs; without it their mean on train, 0 for codes.
    Every weight tensor and every set of groups keeps its best, and the path ends before a network that
    gives every patient the same risk. Raises BadInput.
    """
    train, tuning = train.checked(network), tuning.checked(network)
    cut, model = _Cut.of(network, granularity, features), frozen(network)
    mask = network.full_mask() if mask is None else mask
    inputs = _reference(network, train) if reference is None else _checked_reference(network, reference)
    yield _candidate(model, mask, tuning, cut, requested=0.0, threshold=0.0)
    for share in _stops(cut, network, sparsities):
        scored = cut.scores(score_kind(model, train, criterion, mask=mask, features=features, seed=seed))
        means = {**mean_outputs(model, train.inputs, mask), INPUTS: inputs}
        order = _order(cut, scored, cut.alive(model, mask), scope)
        smaller, threshold = _cut_to(cut, model, mask, order, share, _provable(model, means))
        if _left(cut.alive(model, smaller)) >= _left(cut.alive(model, mask)):
            continue  # so much is gone already, or the rest always stays
        model = fit_kind(model, train, tuning, schedule=schedule, seed=seed, mask=smaller)
        mask = smaller if cut.granularity == "weight" else tidy(model, smaller)
        if np.ptp(risks_of(model, tuning.inputs, mask), axis=0).max() < SAME:
            return
        yield _candidate(model, mask, tuning, cut, requested=share, threshold=threshold)


def _stops(cut: _Cut, network: KindNetwork, asked: tuple[float, ...] | None) -> tuple[float, ...]:
    """The shares to remove: as asked, or the usual ones; few groups go one at a time."""
    if asked is not None:
        return tuple(sorted({check_share(share, "A sparsity") for share in asked}))
    if cut.granularity == "weight":
        return STOPS
    groups = sum(part.size for part in cut.alive(network, network.full_mask()))
    least = len(cut.names)
    counts = np.unique(np.geomspace(max(groups - 1, least), least, MOST_STOPS).round()).astype(int)[::-1]
    return tuple(1 - int(count) / groups for count in counts)


def _order(cut: _Cut, scored: list[Array], alive: Kept, scope: str) -> tuple[Array, ...]:
    """Scores in [0, 1] by set; above all others the best of each set, which always stays."""
    order = normalise(scored, alive, scope)
    for part, living in zip(order, alive, strict=True):
        part.ravel()[np.where(living, part, -1.0).argmax()] = 2.0
    return order


def _cut_to(
    cut: _Cut,
    network: KindNetwork,
    mask: KindMask,
    order: tuple[Array, ...],
    share: float,
    means: Mapping[str, torch.Tensor],
) -> tuple[KindMask, float]:
    """The mask with about ``share`` gone, counted when all that leads nowhere is gone too; the threshold.

    What is left grows with what is kept, so bisect.
    """
    alive = cut.alive(network, mask)
    count = max(len(cut.names), round((1 - share) * sum(part.size for part in alive)))
    low, high = min(count, _left(alive)), _left(alive)
    while low < high:
        middle = (low + high) // 2
        smaller = cut.keep(mask, _with_carriers(best(order, alive, middle)[0], alive), means)
        left = _left(cut.alive(network, smaller))
        low, high = (low, middle) if left >= count else (middle + 1, high)
    kept, threshold = best(order, alive, low)
    return cut.keep(mask, _with_carriers(kept, alive), means), min(threshold, 1.0)


def _with_carriers(kept: Kept, alive: Kept) -> Kept:
    """And what is not alive: a weight whose source is gone carries its constant, it is not ours to remove."""
    return tuple(part | ~living for part, living in zip(kept, alive, strict=True))


def _left(kept: Kept) -> int:
    return sum(int(part.sum()) for part in kept)


@torch.no_grad()
def mean_outputs(
    network: KindNetwork, inputs: NDArray[np.float32], mask: KindMask
) -> dict[str, torch.Tensor]:
    """For each set with constants what its groups say on average, over patients and time."""
    seen: dict[str, Means] = {}
    for batch in network.batches(inputs):
        network.logits(batch, mask, seen=seen)
    return {name: means.mean() for name, means in seen.items()}


def _provable(network: KindNetwork, means: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The means, or zeros for sets where a layer could not be made compact with a constant."""
    return {
        name: torch.zeros_like(mean) if _refused(network, name, mean) else mean
        for name, mean in means.items()
    }


def _refused(network: KindNetwork, name: str, mean: torch.Tensor) -> bool:
    """Would any layer refuse to lose a group of this set for a constant other than zero?"""
    full = network.full_mask()
    gone = full.keeping_groups({name: torch.zeros_like(full.groups[name])}, {name: torch.ones_like(mean)})
    return any(kind.refusal(place, gone) is not None for kind, place, _ in network.rows())


def _reference(network: KindNetwork, train: Arrays) -> torch.Tensor:
    mean = train.inputs.reshape(-1, network.spec.inputs).mean(axis=0)
    codes = len(network.spec.layers[0].codes())
    if codes:
        mean[-codes:] = 0  # the code of what is unknown
    return torch.from_numpy(mean)


def _checked_reference(network: KindNetwork, reference: NDArray[np.float32]) -> torch.Tensor:
    if reference.shape != (network.spec.inputs,) or not np.isfinite(reference).all():
        raise BadInput(f"The reference must be {network.spec.inputs} finite numbers, one an input.")
    return torch.from_numpy(reference.astype(np.float32))


def _candidate(
    network: KindNetwork, mask: KindMask, tuning: Arrays, cut: _Cut, *, requested: float, threshold: float
) -> KindCandidate:
    """Measure a finished network; it counts as compact only where compaction can be proven."""
    refused: str | None = None
    inputs = mask.groups[INPUTS].numpy()
    try:
        compact = compact_kind(network, mask)
        small, inputs = compact.network, compact.inputs
    except BadInput as error:
        small, refused = zeroed(network, mask), error.sentence
    alive = cut.alive(network, mask)
    return KindCandidate(
        network=network,
        mask=mask,
        requested=requested,
        sparsity=1 - _left(alive) / sum(part.size for part in alive),
        threshold=threshold,
        parameters=small.nonzero(),
        stored=small.stored(),
        inputs=int(inputs.sum()),
        performance=performance(tuning.outcome, risks_of(network, tuning.inputs, mask)),
        refused=refused,
    )
