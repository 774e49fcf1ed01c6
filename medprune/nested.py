"""The risks of many nested cuts of one network, at less than a forward pass a cut.

- Several cuts share a product: their masked weights are stacked (small networks), so that a hundred cuts
  are a dozen of steps and not a hundred.
- Only what lives is computed: rows and columns of units and inputs that no longer matter leave the
  product, their constants go into the bias. The more is gone, the smaller the product.

Nothing is taken off a sum that was added to it before: the residue of that would sort patients whom a cut
has made alike. For the same reason patients lie along the columns, a whole number of :data:`LANES` at a
time: a product computes the last few columns of an odd number by other instructions, which round
differently, and the same patient would get another risk there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medprune.model import RiskModel
from medprune.nest import Nest
from medprune.network import ACTIVATIONS, Tail
from medprune.removal import mask_of

LANES = 64  # patients in a whole number of these get the same instructions
BLOCK = 4_096  # patients at a time
CHUNK = 600_000  # numbers of the widest layer held at a time, of the cuts and patients of a chunk


def nested_risks(models: Sequence[RiskModel], columns: NDArray[np.float32]) -> Iterator[NDArray[np.float64]]:
    """The risks (N, classes) of each model in turn, for prepared columns (N, inputs).

    The models are nested cuts of one network (as :class:`medprune.removal.Cut` makes them), in any order;
    risks are those of ``model.risks_of(columns)`` to 1e-6. Models that are not nested take a pass each.
    """
    if not models:
        return
    order = sorted(range(len(models)), key=lambda place: -_kept(models[place]))
    nest = Nest.of_models([models[place] for place in order])
    if nest is None:
        yield from (model.risks_of(columns) for model in models)
        return
    waiting: dict[int, NDArray[np.float64]] = {}
    due = 0
    for place, risks in zip(order, _every_step(nest, columns), strict=True):
        waiting[place] = risks
        while due in waiting:
            yield waiting.pop(due)
            due += 1


def _kept(model: RiskModel) -> int:
    mask = mask_of(model)
    return sum(int(part.sum()) for part in (*mask.weights, *mask.units, mask.inputs))


def _every_step(nest: Nest, columns: NDArray[np.float32]) -> Iterator[NDArray[np.float64]]:
    steps = nest.changes()
    repeats = np.diff(steps, append=nest.steps)
    place = 0
    for part in NestedPass(nest).risks(Patients.of(columns), steps):
        for risks in part.risks:
            for _ in range(repeats[place]):
                yield np.ascontiguousarray(risks.T)
            place += 1


@dataclass(frozen=True, eq=False)
class Patients:
    """Prepared columns on their side, (inputs, N and some more): a whole number of lanes of patients."""

    columns: Tensor
    count: int

    @classmethod
    def of(cls, columns: NDArray[np.float32]) -> Patients:
        lanes = -(-len(columns) // LANES) * LANES
        padded = np.zeros((columns.shape[1], lanes), dtype=np.float32)
        padded[:, : len(columns)] = columns.T
        return cls(torch.from_numpy(padded), len(columns))


@dataclass(frozen=True, eq=False)
class Part:
    """Some steps (S,): ``risks`` (S, classes, N), ``biases`` (S,) not zero in the compacted network."""

    steps: NDArray[np.intp]
    risks: NDArray[np.float64]
    biases: NDArray[np.int64]


def gathered(parts: Iterator[Part]) -> Iterator[Part]:
    """The same parts, small ones put together: what is done for each is then done seldom."""
    waiting: list[Part] = []
    for part in parts:
        waiting.append(part)
        if sum(each.risks.size for each in waiting) >= CHUNK:
            yield _joined(waiting)
            waiting = []
    if waiting:
        yield _joined(waiting)


def _joined(parts: list[Part]) -> Part:
    return Part(
        np.concatenate([part.steps for part in parts]),
        np.concatenate([part.risks for part in parts]),
        np.concatenate([part.biases for part in parts]),
    )


@dataclass(frozen=True, eq=False)
class _Stage:
    """A layer at some steps: weights (S, rows, columns) among what lives, and what is added (S, rows, 1).

    ``living`` (S, rows, 1) says which rows live at which step: all of them at the first.
    """

    weights: Tensor
    shift: Tensor
    living: Tensor
    rows: Tensor

    def sums(self, h: Tensor) -> Tensor:
        """The sums (S, rows, N) of what enters: (columns, N) of the patients or (S, columns, N) of units."""
        if h.dim() == 3:  # noqa: PLR2004 - steps, units, patients
            sums: Tensor = torch.baddbmm(self.shift, self.weights, h)
            return sums
        flat = torch.addmm(self.shift.reshape(-1, 1), self.weights.flatten(0, 1), h)
        return flat.view(*self.weights.shape[:2], -1)


class NestedPass:
    """Forward passes of the steps of a nest."""

    def __init__(self, nest: Nest) -> None:
        self.nest = nest
        self.model = nest.model
        self.network = nest.model.network
        self.there = mask_of(nest.model).layers.tolist()
        self._kept = [torch.from_numpy(part) for part in nest.weights]
        self._alive = [torch.from_numpy(part) for part in nest.alive]
        self._living = [torch.from_numpy(part) for part in nest.living]

    @torch.no_grad()
    def risks(self, patients: Patients, steps: NDArray[np.intp]) -> Iterator[Part]:
        """The risks at ascending ``steps``, a chunk of bounded size at a time."""
        start = 0
        while start < len(steps):
            some = steps[start : start + self._together(int(steps[start]), patients)]
            start += len(some)
            stages = self._stages(some)
            blocks = patients.columns[torch.from_numpy(self._inputs(some))].split(BLOCK, dim=1)
            logits = torch.cat([self._logits(stages, block) for block in blocks], dim=2)
            yield Part(some, self._softmax(logits[:, :, : patients.count]), _biases(stages))

    def _together(self, step: int, patients: Patients) -> int:
        """How many steps make a chunk: as many as fit, counted at its first and widest."""
        widest = max(int((living > step).sum()) for living in self._living[1:])
        return max(1, CHUNK // (max(1, widest) * min(BLOCK, patients.columns.shape[1])))

    def _inputs(self, steps: NDArray[np.intp]) -> NDArray[np.intp]:
        return np.flatnonzero(self.nest.living[0] > steps[0])

    def _stages(self, steps: NDArray[np.intp]) -> list[_Stage]:
        """Every layer at these steps, from what enters to the logits."""
        at = torch.from_numpy(steps)[:, None]
        first, last = int(steps[0]), int(steps[-1])
        constants = _at(self.nest.input_constants, steps)
        known = torch.arange(len(self.nest.inputs))
        stages: list[_Stage] = []
        for layer, linear in enumerate(self.network.layers):
            sources = self._living[layer]
            fading = sources[known] <= last  # among what is heard: what is a constant at some of the steps
            heard = torch.from_numpy(np.flatnonzero(self.nest.heard[layer + 1] > first))
            bias = linear.bias[heard].expand(len(steps), -1)
            if bool(fading.any()):
                gone = known[fading]
                weights = _masked(linear.weight, self._kept[layer], heard, gone, at)
                said = constants[:, fading] * (sources[gone] <= at)
                bias = bias + torch.bmm(weights, said[:, :, None])[:, :, 0]
            rows = torch.nonzero(self._living[layer + 1] > first)[:, 0]
            columns = torch.nonzero(sources > first)[:, 0]
            place = torch.searchsorted(heard, rows)
            stages.append(
                _Stage(
                    weights=_masked(linear.weight, self._alive[layer], rows, columns, at),
                    shift=bias[:, place, None],
                    living=(self._living[layer + 1][rows] > at)[:, :, None],
                    rows=rows,
                )
            )
            if layer < len(self.network.tails):
                constants, known = self._constants(layer, bias, heard, steps), heard
        return stages

    def _constants(self, layer: int, sums: Tensor, heard: Tensor, steps: NDArray[np.intp]) -> Tensor:
        """What the units heard say (S, units) where they say the same of every patient."""
        tail = self.network.tails[layer]
        given = _at(self.nest.unit_constants[layer], steps)[:, heard]
        kept = torch.from_numpy(self.nest.units[layer])[heard] > torch.from_numpy(steps)[:, None]
        said = sums
        if self.there[layer]:
            said = given if tail.mixes_units else _heard(tail, sums[:, :, None], heard, None)[:, :, 0]
        return torch.where(kept, said, given)

    def _logits(self, stages: list[_Stage], h: Tensor) -> Tensor:
        """Logits (S, classes, n) of a block of patients (columns, n)."""
        for layer, stage in enumerate(stages):
            h = stage.sums(h)
            if layer < len(self.network.tails) and self.there[layer]:
                h = _heard(self.network.tails[layer], h, stage.rows, stage.living)
        return h

    def _softmax(self, logits: Tensor) -> NDArray[np.float64]:
        """Risks (S, classes, n), as :meth:`RiskModel.risks_of` has them."""
        how, exact = self.model.recalibration, logits.double().numpy()
        if not how.is_identity:
            exact = how(exact.swapaxes(1, 2)).swapaxes(1, 2)
        risen = np.exp(exact - exact.max(axis=1, keepdims=True))
        risks: NDArray[np.float64] = risen / risen.sum(axis=1, keepdims=True)
        return risks


def _at(constants: NDArray[np.float32], steps: NDArray[np.intp]) -> Tensor:
    """Constants (S, width) at these steps."""
    given = torch.from_numpy(constants)
    return given.expand(len(steps), -1) if len(given) == 1 else given[torch.from_numpy(steps)]


def _masked(weight: Tensor, lasts: Tensor, rows: Tensor, columns: Tensor, at: Tensor) -> Tensor:
    """Some weights (S, rows, columns), each zero from its last on."""
    all_rows, all_columns = len(rows) == weight.shape[0], len(columns) == weight.shape[1]
    if not all_rows:
        weight, lasts = weight[rows], lasts[rows]
    if not all_columns:
        weight, lasts = weight[:, columns], lasts[:, columns]
    return weight * (lasts > at[:, :, None])


def _heard(tail: Tail, z: Tensor, rows: Tensor, living: Tensor | None) -> Tensor:
    """What the next layer hears (S, rows, n) of sums z; ``living`` (S, rows, 1) for LayerNorm."""
    act = ACTIVATIONS[tail.spec.activation]
    if tail.spec.norm_first:
        return act(_normalised(tail, z, rows, living))
    return _normalised(tail, act(z), rows, living)


def _normalised(tail: Tail, z: Tensor, rows: Tensor, living: Tensor | None) -> Tensor:
    norm = tail.norm
    if isinstance(norm, nn.BatchNorm1d):
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        shift = norm.bias - norm.running_mean * scale
        return z * scale[rows, None] + shift[rows, None]
    if isinstance(norm, nn.LayerNorm):
        assert living is not None
        share = living.to(z.dtype) / living.sum(dim=1, keepdim=True).clamp(min=1)
        centred = z - (z * share).sum(dim=1, keepdim=True)
        spread = torch.sqrt((centred.square() * share).sum(dim=1, keepdim=True) + norm.eps)
        return centred / spread * norm.weight[rows, None] + norm.bias[rows, None]
    return z


def _biases(stages: list[_Stage]) -> NDArray[np.int64]:
    """How many biases are not zero, the constants of the removed in them, at each step."""
    each = [(stage.shift.ne(0) & stage.living).sum(dim=(1, 2)) for stage in stages]
    counts: NDArray[np.int64] = torch.stack(each).sum(dim=0).numpy()
    return counts
