"""Many masked networks retrained at once, on the same patients.

Every member of the stack has its own mask, its own seed for the order of the patients and for dropout,
its own early stopping; one that has stopped leaves the stack. What a member becomes is what
:func:`~medprune.training.retrain` makes of it with its seed, up to rounding, and the same to the last bit
whatever else is trained beside it: a search may ask for a mask in any company. Rounding is about 1e-7 of
a risk, more where two epochs are equally good and the other one is best, or under BatchNorm, where AdamW
makes a step of a bias's slope that is nothing but rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from medprune.model import RiskModel
from medprune.network import frozen
from medprune.stack import Stack, padded, views
from medprune.training import Prepared, Schedule, batches, few_threads, retrain

# Networks with fewer parameters are stacked, larger ones retrained one by one. Processor time of
# retraining one by one / stacked, on one thread, by how many networks are asked for:
#
#                                          1      2      4     16     64
#   breast cancer, 4,130 parameters      0.9    1.5    1.9    4.1    5.6
#   NHEFS, 6,434 parameters              1.0    1.2    2.1    3.1    4.2
#   breast cancer, 12,354 parameters     1.0           1.9    2.3
#   breast cancer, 41,090 parameters     1.0           1.5    2.1
#   breast cancer, 147,714 parameters    1.0           1.0    1.2
#
# So size decides, and never how many are asked for together: alone or in company a mask gives the same.
STACKED_BELOW = 100_000
MOST_MEMBERS = 64  # in one stack; twice as many were no faster, half as many a fifth slower
MOST_NUMBERS = 1 << 24  # activations of one layer for all tuning patients of a stack: bounds its memory


@dataclass(frozen=True)
class Patients:
    """Columns (N, padded inputs) and class indices (N,)."""

    x: Tensor
    y: Tensor

    @classmethod
    def of(cls, data: Prepared) -> Patients:
        rows, columns = data.columns.shape
        x = torch.zeros(rows, padded(columns))
        x[:, :columns] = torch.from_numpy(data.columns)
        return cls(x, torch.from_numpy(data.outcome))


@dataclass(eq=False)
class Best:
    """The weights of each model at its lowest tuning loss; ``since`` counts the epochs from there."""

    rows: Tensor
    statistics: Tensor
    loss: Tensor
    since: Tensor

    def update(self, who: Tensor, stack: Stack, losses: Tensor) -> None:
        """Take on what has improved among the members of the stack, which are the models at ``who``."""
        better = losses < self.loss[who]
        self.since[who] = torch.where(better, 0, self.since[who] + 1)
        self.loss[who[better]] = losses[better]
        self.rows[who[better]] = stack.rows[better]
        self.statistics[who[better]] = stack.statistics[better]


def retrain_many(
    models: Sequence[RiskModel],
    train_data: Prepared,
    tuning_data: Prepared,
    *,
    schedule: Schedule,
    seeds: Sequence[int],
) -> list[RiskModel]:
    """Each model as :func:`retrain` gives it with its seed, up to rounding; all are of one shape."""
    if not models:
        return []
    if models[0].network.stored() < STACKED_BELOW:
        return retrain_stacked(models, train_data, tuning_data, schedule=schedule, seeds=seeds)
    return [
        retrain(model, train_data, tuning_data, schedule=schedule, seed=seed)
        for model, seed in zip(models, seeds, strict=True)
    ]


def retrain_stacked(
    models: Sequence[RiskModel],
    train_data: Prepared,
    tuning_data: Prepared,
    *,
    schedule: Schedule,
    seeds: Sequence[int],
) -> list[RiskModel]:
    """As :func:`retrain_many`, all in stacks of a bounded size."""
    widest = max(padded(width) for width in models[0].network.spec.widths)
    most = max(1, min(MOST_MEMBERS, MOST_NUMBERS // (widest * len(tuning_data.outcome))))
    train, tuning = Patients.of(train_data), Patients.of(tuning_data)
    finished: list[RiskModel] = []
    for start in range(0, len(models), most):
        chunk = slice(start, start + most)
        with few_threads(models[0].network), torch.no_grad():
            finished += _retrained(models[chunk], train, tuning, schedule, seeds[chunk])
    return finished


def _retrained(
    models: Sequence[RiskModel], train: Patients, tuning: Patients, schedule: Schedule, seeds: Sequence[int]
) -> list[RiskModel]:
    stack = Stack.of(models, seeds, schedule.shrink if schedule.epochs else 1.0)
    who = torch.arange(len(stack.rows))
    losses = _losses(stack, tuning)
    best = Best(stack.rows.clone(), stack.statistics.clone(), losses, torch.zeros_like(who))
    optimizer = _optimizer(stack.rows, schedule)
    for _ in range(schedule.epochs):
        _one_epoch(stack, train, schedule, optimizer)
        best.update(who, stack, _losses(stack, tuning))
        stay = torch.nonzero(best.since[who] < schedule.patience)[:, 0]
        if not len(stay):
            break
        if len(stay) < len(who):
            smaller = stack.only(stay)
            optimizer = _carried_on(optimizer, stack.rows, smaller.rows, stay, schedule)
            stack, who = smaller, who[stay]
    return [
        _model(model, stack, rows, statistics)
        for model, rows, statistics in zip(models, best.rows, best.statistics, strict=True)
    ]


def _optimizer(rows: Tensor, schedule: Schedule) -> torch.optim.AdamW:
    """AdamW works number by number: on all members as on one."""
    rate, decay = schedule.learning_rate, schedule.weight_decay
    return torch.optim.AdamW([rows], lr=rate, weight_decay=decay, fused=True)


def _carried_on(
    optimizer: torch.optim.AdamW, old: Tensor, new: Tensor, members: Tensor, schedule: Schedule
) -> torch.optim.AdamW:
    """The optimizer of the members that stay, with what it knows of them."""
    smaller, known = _optimizer(new, schedule), optimizer.state[old]
    smaller.state[new] = {name: value[members] if value.dim() else value for name, value in known.items()}
    return smaller


def _one_epoch(stack: Stack, data: Patients, schedule: Schedule, optimizer: torch.optim.AdamW) -> None:
    places = stack.layout.parameters
    leaves = {name: view.detach().requires_grad_() for name, view in views(stack.rows, places).items()}
    orders = [batches(len(data.y), schedule.batch_size, generator) for generator in stack.generators]
    for batch in zip(*orders, strict=True):
        patients = torch.stack(batch)
        with torch.enable_grad():
            logits = stack.logits(data.x[patients], leaves, training=True)
            loss = _mean_loss(logits, data.y[patients]).sum()
        slopes = torch.autograd.grad(loss, list(leaves.values()))
        stack.rows.grad = torch.cat([slope.flatten(1) for slope in slopes], dim=1).mul_(stack.free)
        optimizer.step()


def _losses(stack: Stack, data: Patients) -> Tensor:
    """The mean loss over these patients of every member (members,)."""
    logits = stack.logits(data.x, views(stack.rows, stack.layout.parameters))
    return _mean_loss(logits, data.y.expand(len(logits), -1))


def _mean_loss(logits: Tensor, y: Tensor) -> Tensor:
    each = functional.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none")
    return each.view(y.shape).mean(dim=1)


def _model(model: RiskModel, stack: Stack, rows: Tensor, statistics: Tensor) -> RiskModel:
    network = frozen(model.network)
    state = dict(network.named_parameters()) | dict(network.named_buffers())
    for places, values in ((stack.layout.parameters, rows), (stack.layout.buffers, statistics)):
        for name, view in views(values[None], places).items():
            state[name].copy_(view[0][tuple(slice(size) for size in state[name].shape)])
    return replace(model, network=network)
