"""Who is at risk, before anything is pruned: groups whose loss is steep or sharply curved at the dense model.

Tran, Fioretto, Kim and Naidu (NeurIPS 2022, theorem 1): what a group's mean loss gains when the parameters
move by a distance d is at most

    gradient * d + curvature / 2 * d^2

with the norm of the group's gradient and the largest eigenvalue of its Hessian, up to terms of the third
order. The text at hand has lost the exponents; they are those of Taylor's expansion, from which it follows.
It is no bound in the strict sense: pruning moves parameters far, the third order is left out, and networks
with ReLU have no Hessian where a unit switches. It orders groups; its size means little. Beside it stands the
baseline of Iofinova, Peste and Alistarh (CVPR 2023): the share of patients near the decision threshold.

The forecast is made where pruning is chosen, on train or tuning patients: the test split stays closed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh
from scipy.stats import spearmanr
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from medprune.errors import BadInput
from medprune.mask import Mask
from medprune.model import RiskModel
from medprune.network import Network, frozen
from medprune.removal import mask_of
from medprune.review.flips import margin
from medprune.review.groups import Group
from medprune.review.influence import Figure, mean
from medprune.training import few_threads

Floats = NDArray[np.float64]
NEAR = 0.5  # of a logit, to the decision threshold; MedPrune default
PRECISION = 1e-4  # of an eigenvalue, relative
MOST_STEPS = 1_000
FEWEST_GROUPS = 3  # for an order to be compared
TINY = 1e-12  # in whose place log takes a risk of 0


@dataclass(frozen=True)
class AtRisk:
    """A group's forecast: the norm of its gradient, the largest eigenvalue of its Hessian, what both foretell
    for the distance given (NaN without one), and the share of its rows near the decision threshold."""

    name: str
    rows: int
    gradient: float
    curvature: float
    bound: float
    near: float


@dataclass(frozen=True)
class Forecast:
    """All groups in the order given; ``distance`` is how far the parameters are to move, NaN if not said."""

    groups: tuple[AtRisk, ...]
    distance: float

    @property
    def ranked(self) -> tuple[AtRisk, ...]:
        """Those most at risk first: by what is foretold, or by their gradient where no distance is given."""
        return tuple(sorted(self.groups, key=self.risk, reverse=True))

    def risk(self, group: AtRisk) -> float:
        """What the groups are ranked by; a group without patients, or without an answer, comes last."""
        found = group.gradient if math.isnan(self.distance) else group.bound
        return -math.inf if math.isnan(found) else found


@dataclass(frozen=True)
class Foretold:
    """How a forecast ordered ``groups`` groups by what then happened: Spearman's rank correlations, of the
    whole and of the baseline; NaN for fewer than three groups. Groups overlap, so there is no p-value."""

    groups: int
    by_bound: float
    by_margin: float


def forecast(
    model: RiskModel,
    columns: NDArray[np.float32],
    outcome: NDArray[np.int64],
    groups: Sequence[Group],
    *,
    weights: Floats | None = None,
    distance: float | None = None,
    klass: int = 1,
    act_at: float | None = None,
) -> Forecast:
    """Which groups of prepared patients (N, inputs) with outcomes (N,) are at risk when ``model`` is pruned.

    ``distance`` is the Euclidean norm of the change of all weights and biases, as :func:`moved` measures it
    for a candidate. ``weights`` (N,) are what rows count in the loss, 1 if not given; ``act_at`` (the
    model's own, if not given) is the risk of class ``klass`` that is acted on. Small groups are steep by
    chance: rank those that are large enough to be reviewed. Nothing is pruned and the model is left as it is.
    Raises BadInput for groups of other rows.
    """
    if any(group.members.shape != (len(outcome),) for group in groups):
        raise BadInput("The groups are of other rows than the patients; make them of the same split.")
    counted = np.ones(len(outcome)) if weights is None else weights
    near = margin(model.risks_of(columns)[:, klass], model.act_at if act_at is None else act_at) >= -NEAR
    found = []
    for group in groups:
        rows = np.flatnonzero(group.members)
        gradient, curvature = _steepness(model, columns[rows], outcome[rows], counted[rows])
        bound = math.nan if distance is None else gradient * distance + curvature / 2 * distance**2
        share = float(near[rows].mean()) if len(rows) else math.nan
        found.append(AtRisk(group.name, len(rows), gradient, curvature, bound, share))
    return Forecast(tuple(found), math.nan if distance is None else distance)


def compare(made: Forecast, changes: Sequence[float] | Floats) -> Foretold:
    """Whether the groups with the highest forecast lost most: ``changes`` (groups,) of the mean loss, in the
    order of the forecast; those that are NaN are left out."""
    happened = np.asarray(changes, dtype=float)
    if happened.shape != (len(made.groups),):
        raise BadInput(f"The forecast is of {len(made.groups)} groups; give one change for each.")
    foretold = np.array([made.risk(one) for one in made.groups])
    near = np.array([one.near for one in made.groups])
    use = ~np.isnan(happened) & ~np.isnan(near) & np.isfinite(foretold)
    return Foretold(int(use.sum()), *(_spearman(each[use], happened[use]) for each in (foretold, near)))


def change_in_loss(
    outcome: NDArray[np.int64],
    dense: Floats,
    pruned: Floats,
    groups: Sequence[Group],
    weights: Floats | None = None,
) -> tuple[Figure, ...]:
    """By how much the mean of -log(risk of the true class) grew in each group, from risks (N, classes), with
    the influence of the group's rows; ``weights`` (N,) are what rows count, 1 if not given."""
    own = np.arange(len(outcome)), outcome
    grown = np.log(np.maximum(dense[own], TINY)) - np.log(np.maximum(pruned[own], TINY))
    counted = np.ones(len(outcome)) if weights is None else weights
    return tuple(mean(grown[group.members], counted[group.members]) for group in groups)


def moved(dense: RiskModel, pruned: RiskModel) -> float:
    """The Euclidean distance of the parameters of two models of one shape, before any of it is made compact.

    A removed weight has moved to 0, and what a removed unit or input stands for has moved into the biases.
    Raises BadInput for models of different shapes, and where a whole layer was removed.
    """
    if dense.network.spec.widths != pruned.network.spec.widths:
        raise BadInput("The models differ in shape; compare with the pruned model before it is made compact.")
    if not bool(mask_of(pruned).layers.all()):
        raise BadInput("A whole layer was removed: that is no move of the parameters; give the distance.")
    pairs = zip(_effective(dense), _effective(pruned), strict=True)
    return math.sqrt(sum(float((one - other).square().sum()) for one, other in pairs))


def _effective(model: RiskModel) -> list[Tensor]:
    """The weights and biases that the model computes with, in double precision."""
    mask, found = mask_of(model), []
    for place, layer in enumerate(model.network.layers):
        weight = layer.weight.detach().double() * mask.weights[place]
        constants = torch.where(mask.sources(place), 0.0, mask.source_constants(place).double())
        alive = mask.targets(place)
        bias = layer.bias.detach().double() + weight @ constants
        found += [weight * mask.sources(place) * alive[:, None], bias * alive]
    norms = [tail.norm for tail in model.network.tails if tail.norm is not None]
    return found + [value.detach().double() for norm in norms for value in norm.parameters()]


def _spearman(one: Floats, other: Floats) -> float:
    if len(one) < FEWEST_GROUPS or np.ptp(one) == 0 or np.ptp(other) == 0:
        return math.nan
    return float(spearmanr(one, other).statistic)


# --- gradient and curvature ----------------------------------------------------------------------------


def _steepness(
    model: RiskModel, columns: NDArray[np.float32], outcome: NDArray[np.int64], weights: Floats
) -> tuple[float, float]:
    """The norm of the gradient of the mean loss over all parameters, and its Hessian's largest eigenvalue."""
    if not weights.sum() > 0:
        return math.nan, math.nan
    loss = MeanLoss(model, columns, outcome, weights)
    with few_threads(model.network):
        return float(loss.gradient().norm()), loss.curvature()


class MeanLoss:
    """The weighted mean loss of some patients as a function of all parameters, a row of double precision.

    The parameters that a mask removes play no part: their gradient and curvature are 0.
    """

    def __init__(
        self, model: RiskModel, columns: NDArray[np.float32], outcome: NDArray[np.int64], weights: Floats
    ) -> None:
        self.network: Network = frozen(model.network).double()
        self.mask: Mask | None = model.mask
        self.slope = model.recalibration.slope
        self.shift = torch.tensor(model.recalibration.intercepts or (0.0,), dtype=torch.float64)
        self.x, self.y = torch.from_numpy(columns).double(), torch.from_numpy(outcome)
        self.shares = torch.from_numpy(weights / weights.sum())
        self.shapes = [(name, value.shape) for name, value in self.network.named_parameters()]
        self.at = torch.cat([value.detach().ravel() for value in self.network.parameters()])

    def __call__(self, parameters: Tensor) -> Tensor:
        parts = parameters.split([math.prod(shape) for _, shape in self.shapes])
        named = {name: part.view(shape) for part, (name, shape) in zip(parts, self.shapes, strict=True)}
        logits = functional_call(self.network, named, (self.x, self.mask))
        each = functional.cross_entropy(self.slope * logits + self.shift, self.y, reduction="none")
        return (each * self.shares).sum()

    def gradient(self) -> Tensor:
        at = self.at.clone().requires_grad_(True)
        (found,) = torch.autograd.grad(self(at), at)
        return found

    def along(self) -> Callable[[Floats], Floats]:
        """The Hessian times a direction (parameters,): the gradient of the gradient's part along it."""
        at = self.at.clone().requires_grad_(True)
        (slope,) = torch.autograd.grad(self(at), at, create_graph=True)

        def times(direction: Floats) -> Floats:
            along = slope @ torch.from_numpy(np.ascontiguousarray(direction).ravel())
            (found,) = torch.autograd.grad(along, at, retain_graph=True)
            result: Floats = found.numpy()
            return result

        return times

    def curvature(self) -> float:
        """The largest eigenvalue, by Lanczos' refinement of the power iteration.

        The power iteration itself finds the eigenvalue farthest from 0, which may be the lowest, and is slow
        where two lie close. NaN where it does not settle.
        """
        size = len(self.at)
        operator = LinearOperator((size, size), matvec=self.along(), dtype=np.float64)
        how = {"k": 1, "which": "LA", "tol": PRECISION, "maxiter": MOST_STEPS, "return_eigenvectors": False}
        try:
            [found] = eigsh(operator, v0=np.random.default_rng(0).normal(size=size), **how)
        except ArpackNoConvergence:
            return math.nan
        return float(found)
