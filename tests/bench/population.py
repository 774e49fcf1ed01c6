"""A population of made-up patients in whom everything is known, and two models of their risk."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr
from scipy.stats import norm

from medprune.review.observed import Observed

Floats = NDArray[np.float64]

INTERCEPT, EFFECTS = -1.75, np.array([0.9, 0.6, -0.5, 0.4])  # a fifth has the event
ALIKE, RELATED = 0.6, 0.5  # of two rows of a patient: their inputs, and their outcomes given those
HARDLY = 0.02  # of a logit


@dataclass(frozen=True, eq=False)
class People:
    """Inputs (N, 4), the chance of the event (N,), and both models' risks (N,)."""

    x: Floats
    chance: Floats
    dense: Floats
    pruned: Floats

    def take(self, rows: NDArray[np.intp]) -> People:
        return People(self.x[rows], self.chance[rows], self.dense[rows], self.pruned[rows])

    def groups(self) -> dict[str, NDArray[np.bool_]]:
        """Two groups of one input and three of another, as sex and age bands would be."""
        sex, age = self.x[:, 2] > 0, np.digitize(self.x[:, 3], norm.ppf([1 / 3, 2 / 3]))
        return {"a": sex, "b": ~sex, **{f"band {place}": age == place for place in range(3)}}


def people(rng: np.random.Generator, count: int, each: int = 1) -> People:
    """``count`` patients with ``each`` rows, one after the other."""
    shape, share = (count, each, len(EFFECTS)), ALIKE if each > 1 else 0.0
    own = rng.standard_normal((count, 1, len(EFFECTS)))
    x = (np.sqrt(share) * own + np.sqrt(1 - share) * rng.standard_normal(shape)).reshape(-1, len(EFFECTS))
    lp = INTERCEPT + x @ EFFECTS
    noise = rng.standard_normal((2, len(lp)))
    both, alone = noise
    dense = 0.05 + 1.05 * lp + 0.35 * both
    pruned = -0.85 + 0.45 * lp + 0.2 * both + 0.3 * alone + 0.1 * x[:, 2]
    return People(x, expit(lp), expit(dense), expit(pruned))


def events(rng: np.random.Generator, of: People, each: int = 1) -> NDArray[np.bool_]:
    """Who has the event; the rows of a patient are related beyond their inputs."""
    share = RELATED if each > 1 else 0.0
    own = np.repeat(rng.standard_normal(len(of.chance) // each), each)
    drawn = np.sqrt(share) * own + np.sqrt(1 - share) * rng.standard_normal(len(of.chance))
    found: NDArray[np.bool_] = ndtr(drawn) < of.chance
    return found


def known(of: People) -> Observed:
    """Everybody with the event and without it, by the chance."""
    half = len(of.chance)
    event = np.repeat([True, False], half)
    weight = np.concatenate([of.chance, 1 - of.chance])
    return Observed(event, np.arange(2 * half).astype(np.uint64), weight)


def hardly_pruned(of: People, rng: np.random.Generator) -> People:
    """The dense model and one that differs so little that few change side."""
    logit = np.log(of.dense / (1 - of.dense))
    return replace(of, pruned=expit(0.99 * logit + HARDLY * rng.standard_normal(len(logit))))
