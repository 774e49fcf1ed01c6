"""Both models' risks on the reviewed patients, and every figure that comes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medprune.cohort import Split
from medprune.errors import BadInput
from medprune.performance import BINARY, decisions
from medprune.review.estimate import Estimate
from medprune.review.flips import Flips, flips, foretold, moves
from medprune.review.groups import Grouping
from medprune.review.limits import Limits
from medprune.review.multiclass import macro_auroc, pairs
from medprune.review.observed import Observed
from medprune.review.side_by_side import SideBySide, side_by_side
from medprune.review.subgroups import SubgroupReview, subgroup_changes

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Seen:
    """The risks (N, classes) of the dense and the pruned model on a split, and of the latter before its
    recalibration."""

    split: Split
    classes: tuple[str, ...]
    act_at: float
    dense: Floats
    pruned: Floats
    raw: Floats | None

    @property
    def is_binary(self) -> bool:
        return len(self.classes) == BINARY

    def figures(
        self, grouping: Grouping, limits: Limits, prevalence: float | None, seed: int
    ) -> dict[str, Any]:
        """Everything that a review takes from the risks alone, by the names of its fields."""
        sides = self.sides(limits, prevalence, seed)
        return {
            "dense_risks": self.dense,
            "pruned_risks": self.pruned,
            "sides": sides,
            "auroc": self.auroc(sides),
            "flips": self.flips(prevalence),
            "foretold": self.foretold(),
            "groups": self.groups(grouping, limits, prevalence, seed),
            "pairs": () if self.is_binary else pairs(self.split, self.classes, self.dense, self.pruned),
        }

    def sides(self, limits: Limits, prevalence: float | None, seed: int) -> tuple[SideBySide, ...]:
        return tuple(self._side(klass, limits, prevalence, seed) for klass in self._looked_at())

    def _side(self, klass: int, limits: Limits, prevalence: float | None, seed: int) -> SideBySide:
        return side_by_side(
            self._observed(klass, prevalence),
            self.dense[:, klass],
            self.pruned[:, klass],
            self.act_at,
            raw=None if self.raw is None else self.raw[:, klass],
            label=self.classes[klass],
            act_range=limits.act_range,
            seed=seed,
        )

    def groups(
        self, grouping: Grouping, limits: Limits, prevalence: float | None, seed: int
    ) -> tuple[SubgroupReview, ...]:
        """What becomes of each group, by class as in :meth:`sides`."""
        if not len(grouping):
            return ()
        return tuple(
            subgroup_changes(
                self._observed(klass, prevalence),
                self.dense[:, klass],
                self.pruned[:, klass],
                grouping.groups,
                self.act_at,
                allowed=limits.group_loss,
                fewest=limits.in_a_group,
                seed=seed,
            )
            for klass in self._looked_at()
        )

    def _looked_at(self) -> list[int]:
        """One against the others: the positive of two classes, each of more."""
        return [1] if self.is_binary else list(range(len(self.classes)))

    def _observed(self, klass: int, prevalence: float | None) -> Observed:
        if prevalence is not None and not self.is_binary:
            raise BadInput(
                "A prevalence weights patients with the event against those without, and this outcome has "
                f"{len(self.classes)} classes; do without the prevalence."
            )
        return Observed.of(self.split, klass, prevalence)

    def auroc(self, sides: tuple[SideBySide, ...]) -> tuple[Estimate, Estimate, Estimate]:
        """Of the dense model, the pruned one, and the change: the mean over more than two classes."""
        if self.is_binary:
            [side] = sides
            return side.dense["auroc"], side.pruned["auroc"], side.change["auroc"]
        patients = self.split.patients
        before, after = (macro_auroc(self.split, each) for each in (self.dense, self.pruned))
        return before.estimate(patients), after.estimate(patients), (after - before).estimate(patients)

    def flips(self, prevalence: float | None = None) -> Flips:
        """Who is handled differently, weighted as the figures are, so that both tell of the same patients."""
        if self.is_binary:
            weight = self._observed(1, prevalence).weight
            event = self.split.outcome == 1
            return flips(event, self.dense[:, 1], self.pruned[:, 1], self.act_at, weight)
        return moves(self.split.outcome, decisions(self.dense), decisions(self.pruned))

    def foretold(self) -> float:
        if not self.is_binary:
            return float("nan")
        return foretold(self.dense[:, 1], self.pruned[:, 1], self.act_at)
