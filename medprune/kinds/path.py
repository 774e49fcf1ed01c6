"""A path of ever smaller networks of kinds: score what is left, remove the least, retrain, and go on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from medprune.errors import BadInput
from medprune.kinds.base import Means
from medprune.kinds.compaction import compact_kind, refusal, tidy, zeroed
from medprune.kinds.mask import INPUTS, KindMask
from medprune.kinds.network import BATCH, Arrays, KindNetwork, frozen, risks_of
from medprune.kinds.scoring import KindScores, score_kind
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

    @classmethod
    def of(cls, network: KindNetwork, granularity: str) -> _Cut:
        check_granularity(granularity)
        if granularity == "weight":
            return cls(granularity, tuple(network.weights()))
        names = (INPUTS,) if granularity == "feature" else network.neurons()
        if not names:
            raise BadInput("This network has no hidden layer: prune its weights or features instead.")
        return cls(granularity, names)

    def alive(self, mask: KindMask) -> Kept:
        kept = mask.weights if self.granularity == "weight" else mask.groups
        return tuple(kept[name].numpy() for name in self.names)

    def scores(self, scores: KindScores) -> list[Array]:
        found = scores.weights if self.granularity == "weight" else scores.groups
        return [found[name] for name in self.names]

    def keep(self, mask: KindMask, kept: Kept, means: Mapping[str, torch.Tensor]) -> KindMask:
        parts = {name: torch.from_numpy(part) for name, part in zip(self.names, kept, strict=True)}
        return (
            mask.keeping_weights(parts) if self.granularity == "weight" else mask.keeping_groups(parts, means)
        )


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
    reference: NDArray[np.float32] | None = None,
    seed: int = 0,
) -> Iterator[KindCandidate]:
    """Yield nested finished candidates, the dense network first; the network given is untouched.

    ``granularity``: weight, neuron (units, channels, heads) or feature (input columns or channels).
    ``reference`` (inputs,) replaces removed inputs; without it their mean on train, 0 for codes.
    Every weight tensor and every set of groups keeps its best, and the path ends before a network that
    gives every patient the same risk. Raises BadInput.
    """
    train, tuning = train.checked(network), tuning.checked(network)
    cut, mask, model = _Cut.of(network, granularity), network.full_mask(), frozen(network)
    inputs = _reference(network, train) if reference is None else _checked_reference(network, reference)
    yield _candidate(model, mask, tuning, cut, requested=0.0, threshold=0.0)
    for share in _stops(cut, mask, sparsities):
        scored = cut.scores(score_kind(model, train, criterion, mask=mask, seed=seed))
        kept, threshold = _best(cut, scored, mask, share, scope)
        if _left(kept) >= _left(cut.alive(mask)):
            continue  # so much is gone already, or the rest always stays
        means = {**mean_outputs(model, train.inputs, mask), INPUTS: inputs}
        smaller = cut.keep(mask, kept, _provable(model, means))
        model = fit_kind(model, train, tuning, schedule=schedule, seed=seed, mask=smaller)
        mask = smaller if cut.granularity == "weight" else tidy(model, smaller)
        if np.ptp(risks_of(model, tuning.inputs, mask), axis=0).max() < SAME:
            return
        yield _candidate(model, mask, tuning, cut, requested=share, threshold=threshold)


def _stops(cut: _Cut, mask: KindMask, asked: tuple[float, ...] | None) -> tuple[float, ...]:
    """The shares to remove: as asked, or the usual ones; few groups go one at a time."""
    if asked is not None:
        return tuple(sorted({check_share(share, "A sparsity") for share in asked}))
    if cut.granularity == "weight":
        return STOPS
    groups = sum(part.size for part in cut.alive(mask))
    least = len(cut.names)
    counts = np.unique(np.geomspace(max(groups - 1, least), least, MOST_STOPS).round()).astype(int)[::-1]
    return tuple(1 - int(count) / groups for count in counts)


def _best(cut: _Cut, scored: list[Array], mask: KindMask, share: float, scope: str) -> tuple[Kept, float]:
    """What is kept when ``share`` of everything is to be gone; the best of each set always is."""
    alive = cut.alive(mask)
    order = list(normalise(scored, alive, scope))
    ranked = []
    for part, living in zip(order, alive, strict=True):
        top = np.where(living, part, -1.0)
        first = np.zeros(part.size, dtype=bool)
        first[top.argmax()] = True
        ranked.append(np.where(first.reshape(part.shape), 2.0, part))  # scores lie in [0, 1]
    total = sum(part.size for part in alive)
    kept, threshold = best(ranked, alive, max(len(cut.names), round((1 - share) * total)))
    return kept, min(threshold, 1.0)


def _left(kept: Kept) -> int:
    return sum(int(part.sum()) for part in kept)


@torch.no_grad()
def mean_outputs(
    network: KindNetwork, inputs: NDArray[np.float32], mask: KindMask
) -> dict[str, torch.Tensor]:
    """For each set with constants what its groups say on average, over patients and time."""
    seen: dict[str, Means] = {}
    for batch in torch.from_numpy(inputs).split(BATCH):
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
    reason = refusal(network, tidy(network, mask))
    small = zeroed(network, mask) if reason else compact_kind(network, mask).network
    alive = cut.alive(mask)
    return KindCandidate(
        network=network,
        mask=mask,
        requested=requested,
        sparsity=1 - _left(alive) / sum(part.size for part in alive),
        threshold=threshold,
        parameters=small.nonzero(),
        stored=small.stored(),
        inputs=int(tidy(network, mask).groups[INPUTS].sum()),
        performance=performance(tuning.outcome, risks_of(network, tuning.inputs, mask)),
        refused=reason,
    )
