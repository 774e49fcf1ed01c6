"""All removals of single units of a hidden layer, beside as many forward passes in plain PyTorch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from medprune import MLP, RiskModel, Schedule, train
from medprune.ablation import removals, risks_with_all
from medprune.removal import mean_activations
from tests.bench.race import HEAD, Race, seconds, simulated
from tests.bench.report import grid

PATIENTS, COLUMNS, WIDTH, THREADS, GOES = 5_000, 50, 256, 2, 3
LAYERS = {"an earlier layer": (0, 3.0), "the last hidden layer": (1, 20.0)}


def ablation_speed() -> Iterator[str]:
    """The part of the report."""
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        duel = Duel.made()
        yield _conditions(duel.largest_difference())
        goes = [
            (duel.ours(), [duel.peer_seconds(layer) for layer, _ in LAYERS.values()]) for _ in range(GOES)
        ]
    finally:
        torch.set_num_threads(before)
    ours, peer = np.array(goes).transpose(1, 2, 0)
    rows = [Race(ours[at], peer[at]).row(what, goal) for what, (at, goal) in LAYERS.items()]
    yield grid([*HEAD], rows) + "\n"


@dataclass(frozen=True)
class Duel:
    """A network with two hidden layers, and the patients (N, columns) it is measured on."""

    model: RiskModel
    columns: np.ndarray

    @classmethod
    def made(cls) -> Duel:
        cohort = simulated(PATIENTS, COLUMNS)
        model = train(cohort, MLP((WIDTH, WIDTH)), schedule=Schedule(epochs=3))
        return cls(model, model.preparation.transform(cohort.all().frame))

    @cached_property
    def means(self) -> list[Tensor]:
        return mean_activations(self.model, self.columns)

    def ours(self) -> list[float]:
        """Seconds of the earlier and of the last layer; each has the one forward pass to itself."""
        forward = seconds(lambda: risks_with_all(self.model, self.columns))
        started = time.perf_counter()
        done = {
            found.layer: time.perf_counter()
            for found in removals(self.model, self.columns, "neuron", self.means)
        }
        return [done[0] - started, done[1] - done[0] + forward]

    def peer_seconds(self, layer: int) -> float:
        return seconds(lambda: [self.peer(layer, unit) for unit in range(WIDTH)])

    @torch.no_grad()
    def peer(self, layer: int, unit: int) -> Tensor:
        """The risks (N, classes) of one forward pass with the unit at its mean."""
        h = torch.from_numpy(self.columns)
        *hidden, last = self.model.network.layers
        for place, linear in enumerate(hidden):
            h = torch.relu(linear(h))
            if place == layer:
                h[:, unit] = self.means[layer][unit]
        return torch.softmax(last(h), dim=1)

    def largest_difference(self) -> float:
        """Between their risks and ours."""
        return max(
            float(np.abs(risks - self.peer(found.layer, int(place)).numpy()).max())
            for found in removals(self.model, self.columns, "neuron", self.means)
            for place, risks in zip(found.places, found.risks, strict=True)
        )


def _conditions(difference: float) -> str:
    before = 2 * (COLUMNS * WIDTH + WIDTH * WIDTH + 2 * WIDTH) / 1e3
    return f"""## All removals of single units

- {COLUMNS}-{WIDTH}-{WIDTH}-2, {PATIENTS:,} patients, {THREADS} threads, {GOES} goes in turn. The peer: torch
  {torch.__version__}, {WIDTH} forward passes, each with one unit's activation replaced by its mean.
- Largest difference between their risks and ours: {difference:.1g}.
- For each patient and unit a forward pass takes {before:.0f} thousand floating point operations. In an
  earlier layer ours takes {8 * WIDTH / 1e3:.0f} thousand: {WIDTH} sums, to each an addition in double
  precision, rounding, ReLU and two weights. It is bound by reading and writing the sums, 40 bytes each,
  in the cache. In the last hidden layer it takes 4, and the risks' exponentials.
"""
