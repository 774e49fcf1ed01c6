"""Training a network of kinds: as :mod:`medprune.training`, for arrays of any shape."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from medprune.errors import BadInput
from medprune.kinds.mask import KindMask
from medprune.kinds.network import Arrays, KindNetwork, few_threads, frozen, logits_of
from medprune.training import NONE, Epoch, Schedule


def fit_kind(
    network: KindNetwork,
    train: Arrays,
    tuning: Arrays,
    *,
    schedule: Schedule | None = None,
    seed: int = 0,
    mask: KindMask | None = None,
) -> KindNetwork:
    """The network trained on ``train``, stopped early by the loss on ``tuning``, best weights put back.

    A mask stays: what is removed is removed in every pass. The network given is untouched. Raises
    BadInput when the arrays do not fit the network or its weights are tied.
    """
    *_, (_, best) = fit_steps(network, train, tuning, schedule=schedule, seed=seed, mask=mask)
    return frozen(best)


def fit_steps(
    network: KindNetwork,
    train: Arrays,
    tuning: Arrays,
    *,
    schedule: Schedule | None = None,
    seed: int = 0,
    mask: KindMask | None = None,
) -> Iterator[tuple[Epoch, KindNetwork]]:
    """The steps of :func:`fit_kind`: (epoch, best network so far), epoch 0 first.

    The weights at the start, shrunk as the schedule says, count as the first best.
    """
    train, tuning = train.checked(network), tuning.checked(network)
    schedule = Schedule() if schedule is None else schedule
    if schedule.class_weights != NONE:
        raise BadInput(
            "Class weights are offered only together with a recalibration, which networks of kinds do not "
            "have yet; train an MLP, or leave the weights out."
        )
    work = copy.deepcopy(network).requires_grad_(True).eval()
    _start(work, mask, schedule)
    optimizer = torch.optim.AdamW(
        work.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay, fused=True
    )
    generator = torch.Generator().manual_seed(seed)
    best, lowest, since = copy.deepcopy(work), _loss(work, tuning, mask), 0
    yield Epoch(0, schedule.epochs, _loss(work, train, mask), lowest, best=True), best
    for number in range(1, schedule.epochs + 1):
        with few_threads(work):
            train_loss = _one_epoch(work, train, mask, optimizer, schedule.batch_size, generator)
            tuning_loss = _loss(work, tuning, mask)
        improved = tuning_loss < lowest
        since = 0 if improved else since + 1
        if improved:
            lowest = tuning_loss
            best.load_state_dict(work.state_dict())
        yield Epoch(number, schedule.epochs, train_loss, tuning_loss, improved), best
        if since >= schedule.patience:
            return


@torch.no_grad()
def _start(network: KindNetwork, mask: KindMask | None, schedule: Schedule) -> None:
    """Removed weights become zeros, and all but the normalisation shrinks as the schedule says."""
    for name, weight in network.weights().items():
        if mask is not None:
            weight.mul_(mask.weights[name])
    if not schedule.epochs:
        return
    for module in network.modules():
        if not isinstance(module, nn.BatchNorm1d | nn.LayerNorm):
            for parameter in module.parameters(recurse=False):
                parameter.mul_(schedule.shrink)


def _one_epoch(
    network: KindNetwork,
    data: Arrays,
    mask: KindMask | None,
    optimizer: torch.optim.Optimizer,
    size: int,
    generator: torch.Generator,
) -> float:
    """One pass over train; the mean loss over patients."""
    network.train()
    x, y = torch.from_numpy(data.inputs), torch.from_numpy(data.outcome)
    total = 0.0
    for batch in _batches(len(x), size, generator):
        optimizer.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(network.logits(x[batch], mask, noise=generator), y[batch])
        loss.backward()
        optimizer.step()
        total += float(loss.detach()) * len(batch)
    network.eval()
    return total / len(x)


def _batches(n: int, size: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Random batches of about ``size``: never a last one of a single patient, which BatchNorm cannot take."""
    return tuple(torch.tensor_split(torch.randperm(n, generator=generator), max(1, n // size)))


def _loss(network: KindNetwork, data: Arrays, mask: KindMask | None) -> float:
    return float(
        functional.cross_entropy(logits_of(network, data.inputs, mask), torch.from_numpy(data.outcome))
    )
