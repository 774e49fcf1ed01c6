"""Training and retraining: mini-batches on train, early stopping on tuning, best weights put back.

The document's loop: the weights with the lowest validation loss are kept and put back. A mask, when
there is one, stays: removed weights are zero in every forward pass and take no gradient.
"""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from medprune.cohort import Cohort, Split
from medprune.errors import BadInput
from medprune.mask import Mask
from medprune.model import Origin, RiskModel
from medprune.network import MLP, Network, frozen, initial_network
from medprune.preparation import Preparation, fit_preparation
from medprune.recalibration import finished

SMALL = 200_000  # parameters
MOST_STEPS = 200  # an epoch
NONE: Literal["none"] = "none"
BALANCED: Literal["balanced"] = "balanced"
CLASS_WEIGHTS = (NONE, BALANCED)


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train. ``patience`` is in epochs without a lower tuning loss.

    The weight decay is AdamW's, decoupled from the gradient: strong, because patient tables are small.
    Against 0.01 it lowered the loss on test patients of all four tables of the benchmark.
    With ``class_weights`` "balanced" every class counts the same in the loss, however rare. That distorts the
    risks, so the model is recalibrated at the end (:mod:`medprune.recalibration`), always.
    """

    epochs: int = 200
    patience: int = 25
    learning_rate: float = 2e-3
    weight_decay: float = 1.0
    batch_size: int = 64
    shrink: float = 1.0  # what the weights and biases at the start are multiplied by
    class_weights: Literal["none", "balanced"] = "none"

    def __post_init__(self) -> None:
        if self.epochs < 0 or self.patience < 1 or self.batch_size < 1:
            raise BadInput("Epochs must be 0 or more; patience and batch size must be 1 or more.")
        if not 0 < self.learning_rate <= 1 or self.weight_decay < 0:
            raise BadInput("The learning rate must lie in (0, 1] and the weight decay must not be negative.")
        if not 0 < self.shrink <= 1:
            raise BadInput(f"The weights can be shrunk by a factor in (0, 1], got {self.shrink:g}.")
        if self.class_weights not in CLASS_WEIGHTS:
            raise BadInput(f"Class weights must be {' or '.join(CLASS_WEIGHTS)}, got {self.class_weights!r}.")


# Pruning by contribution harms so little that retraining from the weights as they are would leave an
# overfitted network where it was; shrunk towards zero (Ash and Adams, NeurIPS 2020) it learns again.
RETRAINING = Schedule(epochs=40, patience=10, weight_decay=0.3, shrink=0.7)


@dataclass(frozen=True)
class Prepared:
    """A split as the network sees it: columns (N, inputs) float32, class indices (N,), and what each counts.

    ``weight`` (N,): None, all alike; 0, the outcome is unknown.
    """

    columns: NDArray[np.float32]
    outcome: NDArray[np.int64]
    weight: NDArray[np.float64] | None = None

    @property
    def say(self) -> NDArray[np.float64]:
        """What each patient counts (N,): 1 where all count alike."""
        return np.ones(len(self.outcome)) if self.weight is None else self.weight


@dataclass(frozen=True)
class Epoch:
    """One step of training; ``best`` says that these weights are the best so far."""

    number: int
    of: int
    train_loss: float
    tuning_loss: float
    best: bool


@dataclass(frozen=True)
class TrainStep:
    """What :func:`train_steps` yields: an epoch and, at the end, the model."""

    epoch: Epoch
    model: RiskModel | None = None


def train(
    cohort: Cohort, spec: MLP | None = None, *, seed: int = 0, schedule: Schedule | None = None
) -> RiskModel:
    """Train a network on the cohort's train split, stopping early by the loss on tuning."""
    *_, last = train_steps(cohort, spec, seed=seed, schedule=schedule)
    assert last.model is not None
    return last.model


def train_steps(
    cohort: Cohort, spec: MLP | None = None, *, seed: int = 0, schedule: Schedule | None = None
) -> Iterator[TrainStep]:
    """The steps of :func:`train`: one a (training) epoch; the last one carries the model."""
    preparation = fit_preparation(cohort.train.frame, cohort.features)
    recipe = MLP() if spec is None else spec
    how = Schedule() if schedule is None else schedule
    network = initial_network(recipe.network_spec(len(preparation.columns), len(cohort.classes)), seed)
    tuning = prepare(preparation, cohort.tuning)
    fitted = fit(network, prepare(preparation, cohort.train), tuning, schedule=how, seed=seed)
    training: dict[str, Any] = {"spec": asdict(recipe), "schedule": asdict(how), "seed": seed}
    if cohort.follow_up is not None:
        training["follow_up"] = {"time": cohort.follow_up.time, "horizon": cohort.follow_up.horizon}
    last = (Epoch(0, 0, math.nan, math.nan, best=False), network)
    for last in fitted:
        yield TrainStep(last[0])
    model = _model(cohort, preparation, last[1], seed, training)
    weighted = is_weighted(model)
    model = finished(model, tuning.columns, tuning.outcome, weighted=weighted, weight=tuning.weight)
    yield TrainStep(last[0], model)


def _model(
    cohort: Cohort, preparation: Preparation, network: Network, seed: int, training: Mapping[str, Any]
) -> RiskModel:
    return RiskModel(
        preparation=preparation,
        network=frozen(network),
        outcome=cohort.outcome,
        classes=cohort.classes,
        positive=cohort.positive,
        origin=Origin(split=cohort.record(), seed=seed, training=training, treatments=cohort.treatments),
    )


def prepare(preparation: Preparation, split: Split) -> Prepared:
    return Prepared(preparation.transform(split.frame), split.outcome, split.weight)


def retrain(
    model: RiskModel, train_data: Prepared, tuning_data: Prepared, *, schedule: Schedule, seed: int
) -> RiskModel:
    """The model with its mask kept and its remaining weights trained on; the given one is untouched."""
    how = like_trained(schedule, model)
    steps = fit(model.network, train_data, tuning_data, mask=model.mask, schedule=how, seed=seed)
    *_, (_, best) = steps
    model = replace(model, network=frozen(best))
    weighted = how.class_weights == BALANCED
    tuned = tuning_data
    return finished(model, tuned.columns, tuned.outcome, weighted=weighted, weight=tuned.weight)


def is_weighted(model: RiskModel) -> bool:
    """Whether the dense model was trained with class weights: what comes of it is trained so too."""
    schedule = (model.origin.training or {}).get("schedule")
    return isinstance(schedule, Mapping) and schedule.get("class_weights") == BALANCED


def like_trained(schedule: Schedule, model: RiskModel) -> Schedule:
    """The schedule, with class weights where the dense model was trained with them."""
    return replace(schedule, class_weights=BALANCED) if is_weighted(model) else schedule


def class_weights(data: Prepared, classes: int, how: str) -> torch.Tensor | None:
    """What a patient of each class counts (classes,), 1 on average over patients; None: all the same."""
    if how == NONE:
        return None
    counts = np.bincount(data.outcome, data.weight, minlength=classes)
    smallest = 1.0 if data.weight is None else np.finfo(np.float64).tiny
    return torch.from_numpy(counts.sum() / (classes * np.maximum(counts, smallest))).float()


def patient_weights(data: Prepared, weights: torch.Tensor | None) -> torch.Tensor | None:
    """What each patient's loss counts (N,): its own weight, 1 on average, times its class's (classes,).

    None where all count alike.
    """
    own = None if weights is None else weights[torch.from_numpy(data.outcome)]
    if data.weight is None:
        return own
    mine = torch.from_numpy(data.weight / data.weight.mean()).float()
    return mine if own is None else own * mine


def cross_entropy(logits: torch.Tensor, y: torch.Tensor, say: torch.Tensor | None) -> torch.Tensor:
    """The mean loss over patients, each counted as ``say`` (N,) says."""
    if say is None:
        return functional.cross_entropy(logits, y)
    return (functional.cross_entropy(logits, y, reduction="none") * say).mean()


def fit(
    network: Network,
    train_data: Prepared,
    tuning_data: Prepared,
    *,
    schedule: Schedule,
    seed: int,
    mask: Mask | None = None,
) -> Iterator[tuple[Epoch, Network]]:
    """Yield (epoch, best network so far), epoch 0 first, until the epochs or the patience run out.

    The weights at the start, shrunk as the schedule says, count as the first best.
    """
    work = copy.deepcopy(network).requires_grad_(True)
    _zero_removed(work, mask)
    if schedule.epochs:
        _shrink(work, schedule.shrink)
    optimizer = torch.optim.AdamW(
        work.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay, fused=True
    )
    generator = torch.Generator().manual_seed(seed)
    weights = class_weights(train_data, network.spec.outputs, schedule.class_weights)
    best, lowest, since = copy.deepcopy(work), _loss(work, tuning_data, mask, weights), 0
    for tail in work.tails:
        tail.noise = generator
    yield Epoch(0, schedule.epochs, _loss(work, train_data, mask, weights), lowest, best=True), best
    for number in range(1, schedule.epochs + 1):
        order = batches(len(train_data.outcome), schedule.batch_size, generator)
        with few_threads(work):
            train_loss = _one_epoch(work, train_data, mask, weights, optimizer, order)
            tuning_loss = _loss(work, tuning_data, mask, weights)
        improved = tuning_loss < lowest
        since = 0 if improved else since + 1
        if improved:
            lowest = tuning_loss
            best.load_state_dict(work.state_dict())
        yield Epoch(number, schedule.epochs, train_loss, tuning_loss, improved), best
        if since >= schedule.patience:
            return


@contextlib.contextmanager
def few_threads(network: Network) -> Iterator[None]:
    """One thread for a small network: its products are too short to share.

    Waiting for a second thread on a busy machine made a path of 3 seconds take 80.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1 if network.stored() < SMALL else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _one_epoch(
    network: Network,
    data: Prepared,
    mask: Mask | None,
    weights: torch.Tensor | None,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[torch.Tensor],
) -> float:
    """One pass over train; the mean loss over patients."""
    network.train()
    x, y, say = torch.from_numpy(data.columns), torch.from_numpy(data.outcome), patient_weights(data, weights)
    total = 0.0
    for batch in batches:
        optimizer.zero_grad(set_to_none=True)
        loss = cross_entropy(network(x[batch], mask), y[batch], None if say is None else say[batch])
        loss.backward()
        optimizer.step()
        total += float(loss.detach()) * len(batch)
    return total / len(x)


def batches(n: int, size: int, generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    """The patients in random batches."""
    order = torch.randperm(n, generator=generator)
    return tuple(torch.split(order, list(batch_sizes(n, size))))


def batch_sizes(n: int, size: int) -> tuple[int, ...]:
    """Batches of about ``size``, larger ones for a big table, none more than one larger than another.

    The larger ones come first. Never a last one of a single patient, which BatchNorm cannot take.
    """
    count = max(1, n // max(size, n // MOST_STEPS))
    return tuple(n // count + (place < n % count) for place in range(count))


@torch.no_grad()
def _loss(network: Network, data: Prepared, mask: Mask | None, weights: torch.Tensor | None) -> float:
    network.eval()
    logits = network(torch.from_numpy(data.columns), mask)
    return float(cross_entropy(logits, torch.from_numpy(data.outcome), patient_weights(data, weights)))


@torch.no_grad()
def _zero_removed(network: Network, mask: Mask | None) -> None:
    """Removed weights are stored as zeros, so that counting non-zero weights counts what is left."""
    if mask is None:
        return
    for weight, kept in zip(network.weights(), mask.weights, strict=True):
        weight.mul_(kept)


@torch.no_grad()
def _shrink(network: Network, factor: float) -> None:
    for layer in network.layers:
        layer.weight.mul_(factor)
        layer.bias.mul_(factor)
