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

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.optim.adamw import adamw

from medprune.model import RiskModel
from medprune.network import frozen
from medprune.recalibration import finished
from medprune.stack import Stack, padded, sees_padding, views
from medprune.stack_slopes import Batch, losses, slopes
from medprune.training import (
    BALANCED,
    NONE,
    Prepared,
    Schedule,
    batch_sizes,
    class_weights,
    few_threads,
    like_trained,
    patient_weights,
    retrain,
)

# Networks with fewer parameters are stacked, larger ones retrained one by one. Processor time of
# retraining one by one / stacked, on one thread, by how many networks are asked for:
#
#                                          1      2      4     16     64
#   breast cancer, 4,130 parameters      2.2    3.0    4.2    5.0    4.4
#   NHEFS, 6,434 parameters              2.2    2.9    3.5    4.0    3.3
#   breast cancer, 12,354 parameters     1.9    2.5    3.0    3.3
#   breast cancer, 41,090 parameters     1.6    1.8    1.9    1.7
#   breast cancer, 147,714 parameters    1.2    1.3    1.4    1.2
#
# So size decides, and never how many are asked for together: alone or in company a mask gives the same.
STACKED_BELOW = 100_000
MOST_MEMBERS = 64  # in one stack; twice as many were no faster, half as many a fifth slower
MOST_DRAWN = 1 << 20  # random numbers of a layer drawn ahead
MOST_NUMBERS = 1 << 24  # activations of one layer for all tuning patients of a stack: bounds its memory


@dataclass(frozen=True)
class Training:
    """What is asked for: ``models`` of one shape, each with its seed, retrained on the same patients."""

    models: Sequence[RiskModel]
    train: Prepared
    tuning: Prepared
    schedule: Schedule
    seeds: Sequence[int]

    @property
    def company(self) -> tuple[object, ...]:
        """Trainings with the same may share a stack: what is padded to a common size is so for each alone."""
        spec, rows = self.models[0].network.spec, len(self.train.outcome)
        batched = batch_sizes(rows, self.schedule.batch_size)
        steps = rows if sees_padding(spec) else (len(batched), padded(batched[0]))
        return spec, self.schedule, steps, padded(len(self.tuning.outcome))


@dataclass(frozen=True)
class Patients:
    """Of each data set: columns (data sets, N, padded inputs), classes (data sets, N), patients (data sets,).

    Rows are padded to the same N. ``weight`` (data sets, N) is what each counts, 1 on average; None: alike.
    """

    x: Tensor
    y: Tensor
    counts: list[int]
    weight: Tensor | None = None

    @classmethod
    def of(cls, several: Sequence[Prepared]) -> Patients:
        counts = [len(data.outcome) for data in several]
        rows, columns = padded(max(counts)), several[0].columns.shape[1]
        x = torch.zeros(len(several), rows, padded(columns))
        y = torch.zeros(len(several), rows, dtype=torch.int64)
        for place, (data, count) in enumerate(zip(several, counts, strict=True)):
            x[place, :count, :columns] = torch.from_numpy(data.columns)
            y[place, :count] = torch.from_numpy(data.outcome)
        return cls(x, y, counts, _weights_of(several, rows))

    @property
    def say(self) -> Tensor:
        """What a patient's loss counts (data sets, N): the mean over those there are."""
        say = torch.zeros(self.y.shape)
        for place, count in enumerate(self.counts):
            say[place, :count] = 1 / count
        return say if self.weight is None else say * self.weight


def _weights_of(several: Sequence[Prepared], rows: int) -> Tensor | None:
    """What each patient counts (data sets, rows); None where all of all data sets count alike."""
    if all(data.weight is None for data in several):
        return None
    weight = torch.ones(len(several), rows)
    for place, data in enumerate(several):
        mine = patient_weights(data, None)
        if mine is not None:
            weight[place, : len(mine)] = mine
    return weight


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
    [found] = retrain_all([Training(models, train_data, tuning_data, schedule, seeds)])
    return found


def retrain_all(asked: Sequence[Training]) -> list[list[RiskModel]]:
    """The models of each training; trainings of one company share stacks."""
    found: list[list[RiskModel]] = [[] for _ in asked]
    companies: dict[tuple[object, ...], list[int]] = {}
    for place, training in enumerate(asked):
        if training.models and training.models[0].network.stored() < STACKED_BELOW:
            companies.setdefault(training.company, []).append(place)
        else:
            found[place] = _one_by_one(training)
    for places in companies.values():
        trained = retrain_stacked([asked[place] for place in places])
        for place, models in zip(places, trained, strict=True):
            found[place] = models
    return found


def _one_by_one(asked: Training) -> list[RiskModel]:
    return [
        retrain(model, asked.train, asked.tuning, schedule=asked.schedule, seed=seed)
        for model, seed in zip(asked.models, asked.seeds, strict=True)
    ]


def retrain_stacked(asked: Sequence[Training]) -> list[list[RiskModel]]:
    """As :func:`retrain_all` for trainings of one company, in stacks of a bounded size."""
    spec, schedule = asked[0].models[0].network.spec, asked[0].schedule
    tuning = max(len(training.tuning.outcome) for training in asked)
    most = max(1, min(MOST_MEMBERS, MOST_NUMBERS // (max(map(padded, spec.widths)) * padded(tuning))))
    members = [
        Member(model, seed, place, like_trained(schedule, model).class_weights)
        for place, training in enumerate(asked)
        for model, seed in zip(training.models, training.seeds, strict=True)
    ]
    data = Patients.of([training.train for training in asked]), Patients.of([t.tuning for t in asked])
    done: list[list[RiskModel]] = [[] for _ in asked]
    for start in range(0, len(members), most):
        chunk = members[start : start + most]
        with few_threads(chunk[0].model.network), torch.no_grad():
            for member, model in zip(chunk, _retrained(chunk, *data, schedule), strict=True):
                tuned, weighted = asked[member.data].tuning, member.class_weights == BALANCED
                done[member.data].append(
                    finished(model, tuned.columns, tuned.outcome, weighted=weighted, weight=tuned.weight)
                )
    return done


@dataclass(frozen=True, eq=False)
class Member:
    """A model, its seed, the place of its data set, and whether the classes there are weighted."""

    model: RiskModel
    seed: int
    data: int
    class_weights: str


def _retrained(
    members: Sequence[Member], train: Patients, tuning: Patients, schedule: Schedule
) -> list[RiskModel]:
    models = [member.model for member in members]
    stack = Stack.of(models, [member.seed for member in members], schedule.shrink if schedule.epochs else 1.0)
    own = torch.tensor([member.data for member in members])  # the data set of each that is still in the stack
    who = torch.arange(len(members))
    weights = _class_weights(members, train)
    judge, plan, optimizer = (
        Judge.of(stack, tuning, own, weights),
        Plan.of(stack, train, own, schedule, weights),
        AdamW.of(stack),
    )
    best = Best(stack.rows.clone(), stack.statistics.clone(), judge.losses(stack), torch.zeros_like(who))
    for _ in range(schedule.epochs):
        _one_epoch(stack, train, plan, schedule, optimizer)
        best.update(who, stack, judge.losses(stack))
        stay = torch.nonzero(best.since[who] < schedule.patience)[:, 0]
        if not len(stay):
            break
        if len(stay) < len(who):
            stack, who, own = stack.only(stay), who[stay], own[stay]
            judge, optimizer = judge.only(stay), optimizer.only(stay)
            weights = None if weights is None else weights[stay]
            plan = Plan.of(stack, train, own, schedule, weights)
    return [
        _model(model, stack, rows, statistics)
        for model, rows, statistics in zip(models, best.rows, best.statistics, strict=True)
    ]


def _class_weights(members: Sequence[Member], train: Patients) -> Tensor | None:
    """What a patient of each class counts (members, classes); None when all count the same."""
    if all(member.class_weights == NONE for member in members):
        return None
    found = []
    for member in members:
        classes, count = member.model.network.spec.outputs, train.counts[member.data]
        of_train = Prepared(
            np.empty((0, 0), dtype=np.float32),
            train.y[member.data, :count].numpy(),
            None if train.weight is None else train.weight[member.data, :count].double().numpy(),
        )
        mine = class_weights(of_train, classes, member.class_weights)
        found.append(torch.ones(classes) if mine is None else mine)
    return torch.stack(found)


def _weighed(say: Tensor, y: Tensor, weights: Tensor | None) -> Tensor:
    """What a patient's loss counts (..., members, N), as its class (..., members, N) is weighted."""
    if weights is None:
        return say
    return say * weights.expand(*y.shape[:-1], -1).gather(-1, y)


@dataclass(frozen=True)
class Judge:
    """The tuning patients of every member: what the first layer hears, classes, what a loss counts."""

    heard: Tensor
    y: Tensor
    say: Tensor

    @classmethod
    def of(cls, stack: Stack, data: Patients, own: Tensor, weights: Tensor | None) -> Judge:
        y = data.y[own]
        return cls(stack.heard(data.x[own]), y, _weighed(data.say[own], y, weights))

    def only(self, members: Tensor) -> Judge:
        return Judge(self.heard[members], self.y[members], self.say[members])

    def losses(self, stack: Stack) -> Tensor:
        """The mean loss of every member (members,)."""
        return losses(stack.logits(self.heard, stack.values), self.y, self.say)


@dataclass(frozen=True)
class AdamW:
    """Of all members as of one, as it works number by number: means of the slopes and of their squares."""

    means: Tensor
    squares: Tensor
    steps: Tensor

    @classmethod
    def of(cls, stack: Stack) -> AdamW:
        return cls(torch.zeros_like(stack.rows), torch.zeros_like(stack.rows), torch.zeros(()))

    def only(self, members: Tensor) -> AdamW:
        return AdamW(self.means[members], self.squares[members], self.steps)

    def step(self, rows: Tensor, slope: Tensor, schedule: Schedule) -> None:
        """torch's own step, without the book-keeping of its optimizers, which takes longer."""
        adamw(
            [rows],
            [slope],
            [self.means],
            [self.squares],
            [],
            [self.steps],
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=schedule.learning_rate,
            weight_decay=schedule.weight_decay,
            eps=1e-8,
            maximize=False,
        )


@dataclass(frozen=True)
class Plan:
    """The batches of an epoch, all members side by side: they are dealt anew, and never differ in size.

    ``sizes[k]`` are those of member k, ``rows`` at most; ``slots[k]`` (N,) are the places of its patients in
    (batches, members, rows); ``say`` (batches, members, rows) is what the loss of each counts in its batch;
    ``noise`` are buffers for the batches that are drawn ``ahead``; ``weights`` (members, classes) are the
    classes'.
    """

    own: Tensor
    sizes: list[tuple[int, ...]]
    rows: int
    slots: list[Tensor]
    say: Tensor
    ahead: int
    noise: list[Tensor]
    weights: Tensor | None

    @classmethod
    def of(
        cls, stack: Stack, data: Patients, own: Tensor, schedule: Schedule, weights: Tensor | None
    ) -> Plan:
        sizes = [batch_sizes(data.counts[place], schedule.batch_size) for place in own.tolist()]
        rows = sizes[0][0] if stack.sees_padding else padded(max(mine[0] for mine in sizes))
        say = torch.zeros(len(sizes[0]), len(sizes), rows)
        for member, mine in enumerate(sizes):
            for batch, size in enumerate(mine):
                say[batch, member, :size] = 1 / size
        slots = [torch.nonzero(_of_member(say, member).flatten())[:, 0] for member in range(len(sizes))]
        widest = max(map(padded, stack.layout.spec.widths))
        ahead = max(1, min(len(say), MOST_DRAWN // (len(own) * rows * widest)))
        noise = [torch.ones(ahead, len(own), rows, keep.shape[-1]) for keep in stack.keep[1:]]
        return cls(own, sizes, rows, slots, say, ahead, noise, weights)

    def patients(self, generators: Sequence[torch.Generator]) -> Tensor:
        """Who is in which batch (batches, members, rows); the first patient where there is padding."""
        found = torch.zeros(self.say.numel(), dtype=torch.int64)
        for slots, generator in zip(self.slots, generators, strict=True):
            found[slots] = torch.randperm(len(slots), generator=generator)
        return found.view(self.say.shape)


def _of_member(say: Tensor, member: int) -> Tensor:
    alone = torch.zeros_like(say)
    alone[:, member] = say[:, member]
    return alone


def _one_epoch(stack: Stack, data: Patients, plan: Plan, schedule: Schedule, optimizer: AdamW) -> None:
    patients = plan.patients(stack.generators)
    for start in range(0, len(patients), plan.ahead):
        some = slice(start, start + plan.ahead)
        at = plan.own[:, None], patients[some]
        y = data.y[at]
        said = plan.say[some] if data.weight is None else plan.say[some] * data.weight[at]
        say = _weighed(said, y, plan.weights)[..., None]
        aim = functional.one_hot(y, stack.layout.spec.outputs) * -say
        noise = stack.noise([mine[some] for mine in plan.sizes], plan.noise)
        parts = (stack.heard(data.x[at]), y, say, aim, *noise)
        for size, *batch in zip(plan.sizes[0][some], *(part.unbind() for part in parts), strict=True):
            # BatchNorm would see padding: all its members have batches of one size
            seen = [part[:, :size] for part in batch] if stack.sees_padding else batch
            heard, classes, counts, less, *kept = seen
            optimizer.step(stack.rows, slopes(stack, Batch(heard, classes, counts, less, kept)), schedule)


def _model(model: RiskModel, stack: Stack, rows: Tensor, statistics: Tensor) -> RiskModel:
    network = frozen(model.network)
    state = dict(network.named_parameters()) | dict(network.named_buffers())
    for places, values in ((stack.layout.parameters, rows), (stack.layout.buffers, statistics)):
        for name, view in views(values[None], places).items():
            state[name].copy_(view[0][tuple(slice(size) for size in state[name].shape)])
    return replace(model, network=network)
