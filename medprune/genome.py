"""The genome of a smaller network: one gene for each feature, unit and hidden layer that may go."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from medprune.candidate import Problem
from medprune.model import RiskModel
from medprune.nsga import Genomes
from medprune.removal import alive_groups, keep_exactly, mask_of, mean_activations

Genome = NDArray[np.bool_]  # (genes,), True is kept

LAYER_KEPT = 0.8  # of random genomes: a network that has lost all its layers is a logistic regression


@dataclass(frozen=True, eq=False)
class Genes:
    """What the places of a genome stand for: features, then the units of each hidden layer, then the layers.

    ``features`` and ``widths`` are 0 and empty where they are not searched. ``means`` stand in for the
    units that go, measured once on the dense model.
    """

    dense: RiskModel
    features: int
    widths: tuple[int, ...]
    means: tuple[Tensor, ...]

    @classmethod
    def of(cls, problem: Problem, *, features_too: bool) -> Genes:
        model = problem.model
        if problem.granularity == "feature":
            return cls(model, len(model.features), (), ())
        widths = tuple(tail.spec.width for tail in model.network.tails)
        means = tuple(mean_activations(model, problem.train.columns))
        return cls(model, len(model.features) if features_too else 0, widths, means)

    @property
    def count(self) -> int:
        return self.features + sum(self.widths) + len(self.widths)

    def model(self, genome: Genome) -> RiskModel | None:
        """The dense weights behind the genome's mask; None when nothing reaches the outcome."""
        ends = np.cumsum([self.features, *self.widths])
        features, *units, layers = np.split(genome, ends)
        return keep_exactly(
            self.dense,
            features if self.features else None,
            units if self.widths else None,
            layers if self.widths else None,
            self.means,
        )

    def genome(self, model: RiskModel) -> Genome:
        """What a model keeps; the genes of a removed layer's units do not matter and say kept."""
        [features] = alive_groups(model, "feature")
        layers = mask_of(model).layers.numpy()
        units = [
            part | (not there)
            for part, there in zip(alive_groups(model, "neuron"), layers, strict=True)
            if self.widths
        ]
        return np.concatenate([features[: self.features], *units, layers[: len(self.widths)]])

    def random(self, count: int, rng: np.random.Generator) -> Genomes:
        """Genomes (count, genes) of all densities: each keeps its genes with a chance of its own."""
        genomes: Genomes = rng.random((count, self.count)) < rng.random((count, 1))
        layers = len(self.widths)
        genomes[:, self.count - layers :] = rng.random((count, layers)) < LAYER_KEPT
        return genomes
