"""The risks without each single group: all removals of a layer together, from one forward pass.

Removing one weight, unit or feature changes the sums of one layer by a term of low rank. What is before
that layer is computed once; what comes after is repeated, for many removals in one product. In the last
hidden layer nothing comes after, so that all removals cost about one batched product.

What is taken off a sum was added to it before. In single precision the two leave a residue that differs
from patient to patient, and where the removal makes patients alike it would still sort them: a model
without its last feature got an AUROC of 0.42. So sums are changed in double precision, then rounded.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from medprune.mask import Mask
from medprune.model import RiskModel
from medprune.network import Network, Trace
from medprune.parallel import one_thread
from medprune.ranking import Array
from medprune.removal import alive_groups, mask_of

CHUNK = 1 << 17  # sums of one layer held at a time: a megabyte, which stays in the cache
HELD = 1 << 20  # risks given at a time
SHARED = 8  # weights of one source at a time, at least, that one pass through its tail serves
PROBE = 8  # patients

Places = NDArray[np.intp]  # (G,): groups of one layer


@dataclass(frozen=True, eq=False)
class Removals:
    """Some groups of one layer: ``places`` (G,), flat in the shape of the scores of ``layer``.

    ``risks[g]`` (N, classes) are the model's without the group at ``places[g]`` and with all others.
    """

    layer: int
    places: Places
    risks: Array


def risks_with_all(model: RiskModel, columns: NDArray[np.float32]) -> Array:
    """The risks (N, classes) that those of :func:`removals` are compared with.

    A group without any say leaves them as they are to the last bit.
    """
    return _risks(model, _Pass.of(model, columns).logits)


def removals(
    model: RiskModel,
    columns: NDArray[np.float32],
    granularity: str,
    means: Sequence[Tensor] = (),
    *,
    permute: int | None = None,
) -> Iterator[Removals]:
    """What remains of the risks without each single living group, a bounded number of groups at a time.

    ``columns`` are prepared (N, inputs); ``means`` are the constants of removed units (one tensor a
    hidden layer, as :func:`medprune.removal.mean_activations` gives them). Removal means what it means in
    :mod:`medprune.removal`: a weight counts as zero, a unit is replaced by its mean, and a feature's
    columns by their missing encoding or, when ``permute`` is a seed, by those of another patient. The
    trace of one forward pass of all patients is held.
    """
    run = _Pass.of(model, columns)
    away = _replacement(model, columns, permute).expand(len(columns), -1)
    most = max(1, HELD // max(1, len(columns) * len(model.classes)))
    for layer, alive in enumerate(alive_groups(model, granularity)):
        # Weights of one source stand together: they share a pass through the tail.
        order = np.arange(alive.size).reshape(alive.shape).T.ravel()
        places = order[alive.ravel()[order]]
        patients, groups = _block(model, layer, granularity, len(columns))
        parts = [(run.of_patients(rows), rows) for rows in _slices(len(columns), patients)]
        without = partial(_Pass.without, granularity=granularity, layer=layer, means=means, away=away)
        for some in (places[at] for at in _slices(len(places), most)):
            yield Removals(layer, some, _each(some, parts, groups, without))


def _each(
    places: Places,
    parts: Sequence[tuple[_Pass, slice]],
    groups: int,
    without: Callable[[_Pass, Places, slice], Tensor],
) -> Array:
    """The risks (G, N, classes), block by block of patients, each on one thread.

    Shared by two, its short products would wait for each other.
    """
    patients, (one, _) = parts[-1][1].stop, parts[0]
    risks: Array = np.moveaxis(np.empty((one.logits.shape[-1], len(places), patients)), 0, -1)

    def fill(at: tuple[_Pass, slice]) -> None:
        part, rows = at
        for some in _slices(len(places), max(1, CHUNK // part.logits.numel())):
            here = places[some]
            logits = [without(part, here[few], rows) for few in _slices(len(here), groups)]
            risks[some, rows] = _risks(part.model, torch.cat(logits))

    threads = min(torch.get_num_threads(), len(parts))
    with one_thread(), ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(fill, parts):
            pass
    return risks


def _block(model: RiskModel, layer: int, granularity: str, patients: int) -> tuple[int, int]:
    """How many patients and groups at a time, by the widest sums that a removal in ``layer`` changes."""
    first = layer + 2 if granularity == "neuron" else layer + 1
    widest = max(model.network.spec.widths[first:])
    together = SHARED if granularity == "weight" else 1
    share = -(-patients // torch.get_num_threads())
    rows = max(1, min(share, CHUNK // (together * widest)))
    return rows, max(1, CHUNK // (rows * widest))


def _slices(count: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def _risks(model: RiskModel, logits: Tensor) -> Array:
    """As :meth:`RiskModel.risks_of`; with the classes in front, many rows of few classes are quick."""
    calibrated = model.recalibration(logits.double().numpy())
    in_front = np.ascontiguousarray(np.moveaxis(calibrated, -1, 0))
    risen = np.exp(in_front - in_front.max(axis=0))
    return np.moveaxis(risen / risen.sum(axis=0), 0, -1)


def _replacement(model: RiskModel, columns: NDArray[np.float32], permute: int | None) -> Tensor:
    """What stands in the columns of a removed feature: (1, inputs), or (N, inputs) of permuted patients."""
    if permute is None:
        return torch.from_numpy(model.preparation.reference)[None, :]
    order = np.random.default_rng(permute).permutation(len(columns))
    return torch.from_numpy(columns[order])


@dataclass(frozen=True, eq=False)
class _Pass:
    """One forward pass that every removal starts from: by ``exact``, the network in double precision."""

    model: RiskModel
    exact: Network
    mask: Mask
    trace: Trace
    weights: list[Tensor]
    rounded_weights: list[Tensor]
    logits: Tensor

    @classmethod
    def of(cls, model: RiskModel, columns: NDArray[np.float32]) -> _Pass:
        exact, mask, precision = copy.deepcopy(model.network).double(), mask_of(model), _precision(model)
        trace = exact.trace(torch.from_numpy(columns).double(), model.mask)
        weights = [w * kept for w, kept in zip(exact.weights(), mask.weights, strict=True)]
        rounded = [weight.to(precision) for weight in weights]
        return cls(model, exact, mask, trace, weights, rounded, trace.logits.to(precision))

    def of_patients(self, rows: slice) -> _Pass:
        """What this pass saw of some patients."""
        inputs, sums = (tuple(part[rows] for part in parts) for parts in (self.trace.inputs, self.trace.sums))
        return replace(self, trace=Trace(inputs, sums), logits=self.logits[rows])

    def without(
        self,
        places: Places,
        rows: slice,
        *,
        granularity: str,
        layer: int,
        means: Sequence[Tensor],
        away: Tensor,
    ) -> Tensor:
        """Logits (G, N, classes) of the patients at ``rows``, which are this pass's, without each group."""
        if granularity == "weight":
            return self.without_weights(layer, *np.divmod(places, self.weights[layer].shape[1]))
        if granularity == "neuron":
            return self.without_units(layer, places, means[layer])
        return self.without_features(places, away[rows])

    def without_weights(self, layer: int, rows: Places, columns: Places) -> Tensor:
        """Logits (G, N, classes) without the weights from ``columns`` to ``rows`` (G,) of a layer."""
        if layer == len(self.exact.tails) or self._mixes(layer):
            return self._onwards(self._less(layer, rows, columns), layer)
        # The weights of one source change the sums of different units: one pass through the tail for all.
        sources, place = np.unique(columns, return_inverse=True)
        gone = self.weights[layer][:, sources].T[:, None, :]
        sums = self.trace.sums[layer] - self.trace.inputs[layer][:, sources].T[:, :, None] * gone
        heard = self._heard(self.exact, sums.flatten(0, 1), layer).unflatten(0, sums.shape[:2])
        change = (heard - self.trace.inputs[layer + 1])[place, :, rows]
        return self._onwards(self._changed(layer + 1, rows, change), layer + 1)

    def _less(self, layer: int, rows: Places, columns: Places) -> Tensor:
        """The sums (G, N, width) of a layer without each of the weights."""
        sums = self.trace.sums[layer].repeat(len(rows), 1, 1)
        gone = self.weights[layer][rows, columns][:, None] * self.trace.inputs[layer][:, columns].T
        sums[np.arange(len(rows)), :, rows] -= gone
        return sums

    def without_units(self, layer: int, units: Places, means: Tensor) -> Tensor:
        """Logits (G, N, classes) without each of the ``units`` (G,) of a hidden layer."""
        if self._mixes(layer):
            return torch.stack([self._without_mixed(layer, int(unit), means) for unit in units])
        change = (means[units] - self.trace.inputs[layer + 1][:, units]).T
        return self._onwards(self._changed(layer + 1, units, change), layer + 1)

    def _without_mixed(self, layer: int, unit: int, means: Tensor) -> Tensor:
        """As above, under LayerNorm: the unit no longer has a say in the mean and the spread of its layer."""
        keep = self.mask.units[layer].clone()
        keep[unit] = False
        constants = self.mask.unit_constants[layer].clone()
        constants[unit] = means[unit]
        h = torch.where(keep, self.exact.tails[layer](self.trace.sums[layer], keep), constants)
        sums = functional.linear(h, self.weights[layer + 1], self.exact.layers[layer + 1].bias)
        return self._onwards(sums[None], layer + 1)[0]

    def without_features(self, features: Places, away: Tensor) -> Tensor:
        """Logits (G, N, classes) with the columns of each of the ``features`` (G,) replaced by ``away``."""
        x, [weight, *_] = self.trace.inputs[0], self.weights
        changes = []
        for feature in features:
            mine = torch.from_numpy(self.model.preparation.feature_of_column == feature) & self.mask.inputs
            changes.append((away[:, mine] - x[:, mine]) @ weight[:, mine].T)
        return self._onwards(self.trace.sums[0] + torch.stack(changes), 0)

    def _changed(self, layer: int, sources: Places, change: Tensor) -> Tensor:
        """The sums (G, N, width) of a layer when source ``sources[g]`` says ``change[g]`` (N,) more."""
        weights = self.weights[layer][:, sources].T
        return torch.addcmul(self.trace.sums[layer], change[:, :, None], weights[:, None, :])

    def _onwards(self, exact: Tensor, layer: int) -> Tensor:
        """Logits (G, N, classes) from the sums (G, N, width) of a layer, in the precision of the model."""
        network, sums = self.model.network, exact.to(_precision(self.model))
        if layer == len(network.tails):
            return sums
        z = sums.flatten(0, 1)
        for place in range(layer, len(network.tails)):
            h = self._heard(network, z, place)
            z = functional.linear(h, self.rounded_weights[place + 1], network.layers[place + 1].bias)
        logits: Tensor = z.unflatten(0, sums.shape[:2])
        # Products of another shape may round differently: what has not changed must not look changed.
        same = _unchanged(sums, self.trace.sums[layer])
        if len(same):
            logits[same] = self.logits
        return logits

    def _heard(self, network: Network, z: Tensor, layer: int) -> Tensor:
        """What the next layer hears (rows, width) of the sums of a hidden layer."""
        units = self.mask.units[layer]
        h = network.tails[layer](z, units) if self.mask.layers[layer] else z
        if bool(units.all()):
            return h
        return torch.where(units, h, self.mask.unit_constants[layer].to(z.dtype))

    def _mixes(self, layer: int) -> bool:
        return self.exact.tails[layer].mixes_units and bool(self.mask.layers[layer])


def _precision(model: RiskModel) -> torch.dtype:
    return model.network.layers[0].weight.dtype


def _unchanged(sums: Tensor, before: Tensor) -> Tensor:
    """Which of the sums (G, N, width) are those from before (N, width) to the last bit: places (G',).

    The first patients tell nearly all groups that do change something.
    """
    first = (sums[:, :PROBE] == before[:PROBE].to(sums.dtype)).flatten(1).all(dim=1)
    found = torch.nonzero(first)[:, 0]
    if len(found):
        found = found[(sums[found] == before.to(sums.dtype)).flatten(1).all(dim=1)]
    return found
