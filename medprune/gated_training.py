"""Training with gates under a rising price: weights and gates learn together."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medprune.candidate import Problem
from medprune.gates import Openings, chance_open, folded, gated_logits, sampled, settled
from medprune.model import RiskModel
from medprune.performance import log_loss
from medprune.removal import Cut, alive_groups, mean_activations
from medprune.training import (
    Schedule,
    batches,
    class_weights,
    cross_entropy,
    few_threads,
    like_trained,
    patient_weights,
)

OPEN = 2.0  # log_alpha at the start: open with a probability of 0.97
GATE_RATE = 0.05  # learning rate of log_alpha: it takes about a hundred steps to close a gate
FIRST_PRICE = 0.1  # of all gates together, in units of the loss without any model
LAST_PRICE = 50.0  # of a single gate, in the same units: more than any is worth
LOWEST_LOSS = 1e-3  # of no model: an outcome that hardly ever happens still gives prices that rise
LEARNING = Schedule()  # the rates and the decay at which the dense network was trained


class GatedTraining:
    """A network in training whose gates, one a group that is still there, cost their price when open.

    The price of being open is on the probability that a gate is (the L0 price); prices are in units of
    the loss without any model, which is the entropy of the outcome, so that a rare outcome and a table
    of any width meet prices of the same meaning.
    """

    def __init__(self, problem: Problem) -> None:
        model, granularity = problem.model, problem.granularity
        self.problem = problem
        self.alive = [torch.from_numpy(part) for part in alive_groups(model, granularity)]
        self.prices = [part * price for part, price in zip(self.alive, _prices(problem), strict=True)]
        self.means = mean_activations(model, problem.train.columns) if granularity == "neuron" else []
        self.open = Openings.of(model, granularity, self.means)
        self.feature_of_column = torch.from_numpy(model.preparation.feature_of_column)
        self.log_alphas = [torch.full(part.shape, OPEN, requires_grad=True) for part in self.alive]
        how = like_trained(LEARNING, model).class_weights
        of_classes = class_weights(problem.train, len(model.classes), how)
        self.say = patient_weights(problem.train, of_classes)
        self.noise = torch.Generator().manual_seed(problem.seed)
        self.network = copy.deepcopy(model.network).requires_grad_(True)
        for tail in self.network.tails:
            tail.noise = self.noise
        weights: dict[str, Any] = {"params": list(self.network.parameters())}
        gates: dict[str, Any] = {"params": self.log_alphas, "lr": GATE_RATE, "weight_decay": 0.0}
        self.optimizer = torch.optim.AdamW(
            [weights, gates], lr=LEARNING.learning_rate, weight_decay=LEARNING.weight_decay, fused=True
        )

    def down(self, stops: Sequence[float], steps: int) -> Iterator[float]:
        """Train while the price rises tenfold in ``steps`` steps; yield each stop when it is reached.

        A stop is a share of the price of all gates together. Several stops passed in one step count as
        the last of them; the end comes with the last stop, or with a price that no gate is worth.
        """
        whole, unit = self._cost_of_open(), _loss_of_no_model(self.problem)
        left = [stop * whole for stop in stops]
        price = FIRST_PRICE * unit / max(whole, 1e-12)
        patients = self._patients()
        while left and price <= LAST_PRICE * unit:
            self._step(*next(patients), price)
            price *= 10 ** (1 / steps)
            cost, reached = self._cost_of_open(), 0.0
            while left and cost <= left[0]:
                reached = left.pop(0)
            if reached:
                yield reached / whole

    @torch.no_grad()
    def smaller(self) -> tuple[RiskModel, RiskModel]:
        """The mask of the gates that are open now on the dense weights, and on those trained with the gates.

        A gate is open when it is above 0 without noise; a way to the outcome always stays. Neither
        model is retrained.
        """
        alive = tuple(part.numpy() for part in self.alive)
        shares = [torch.sigmoid(log_alpha) for log_alpha in self.log_alphas]
        order = tuple((share * part).double().numpy() for share, part in zip(shares, self.alive, strict=True))
        gates = [settled(log_alpha) for log_alpha in self.log_alphas]
        kept = tuple((gate > 0).numpy() & part for gate, part in zip(gates, alive, strict=True))
        dense = self.problem.model
        learnt = replace(dense, network=folded(self.network, self._behind(gates)))
        of_dense, of_learnt = (
            Cut(model, self.problem.granularity, alive, order, self.means).keep(kept)
            for model in (dense, learnt)
        )
        return of_dense, of_learnt

    def _behind(self, gates: Sequence[Tensor]) -> Openings:
        """What is open behind gates; what is gone already has none, the mask takes care of it."""
        gates = [torch.where(alive, gate, 1.0) for alive, gate in zip(self.alive, gates, strict=True)]
        if self.problem.granularity == "weight":
            return self.open.behind_weights(gates)
        if self.problem.granularity == "neuron":
            return self.open.behind_units(gates)
        return self.open.behind_columns(gates[0][self.feature_of_column])

    @torch.no_grad()
    def _cost_of_open(self) -> float:
        pairs = zip(self.prices, self.log_alphas, strict=True)
        return sum(float((price * (settled(log_alpha) > 0)).sum()) for price, log_alpha in pairs)

    def _step(self, x: Tensor, y: Tensor, say: Tensor | None, price: float) -> None:
        self.network.train()
        self.optimizer.zero_grad(set_to_none=True)
        with few_threads(self.network):
            noisy = self._behind([sampled(log_alpha, self.noise) for log_alpha in self.log_alphas])
            loss = cross_entropy(gated_logits(self.network, x, noisy), y, say)
            for each, log_alpha in zip(self.prices, self.log_alphas, strict=True):
                loss = loss + price * (each * chance_open(log_alpha)).sum()
            loss.backward()
            self.optimizer.step()

    def _patients(self) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        """Random batches without end, of the size that training takes, and what each patient counts."""
        data = self.problem.train
        x, y = torch.from_numpy(data.columns), torch.from_numpy(data.outcome)
        while True:
            for batch in batches(len(y), LEARNING.batch_size, self.noise):
                yield x[batch], y[batch], None if self.say is None else self.say[batch]


def _prices(problem: Problem) -> list[Tensor]:
    """The price of every gate, 1 on average: that of its feature where features have prices."""
    groups = alive_groups(problem.model, problem.granularity)
    if problem.granularity != "feature" or not problem.prices:
        return [torch.ones(part.shape) for part in groups]
    [alive] = groups
    each = np.array([problem.prices.price(feature) for feature in problem.model.features])
    mean = each[alive].mean()
    return [torch.from_numpy(each / mean if mean > 0 else np.ones(len(each))).float()]


def _loss_of_no_model(problem: Problem) -> float:
    """The entropy of the outcome on train, in nats: the loss of a risk that is the same for everyone."""
    outcome, weight = problem.train.outcome, problem.train.weight
    counts = np.bincount(outcome, weight, minlength=len(problem.model.classes))
    shares = counts / counts.sum()
    each = np.broadcast_to(shares, (len(outcome), len(shares)))
    return max(log_loss(outcome, each, weight), LOWEST_LOSS)
