"""Pooled out-of-fold estimates: where test patients are few, what the same procedure does on all others.

In every fold a network is trained and pruned anew, in the same way and to the same size, and gives risks for
patients whom it has not seen; all of them together are looked at as one. These are figures of the procedure,
not of the model that leaves, and their intervals leave out that folds share patients: they stand beside the
test patients' figures, never in their place. The locked test patients stay out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medprune.cohort import Cohort
from medprune.cross_validation import like, seed_of
from medprune.errors import BadInput
from medprune.folds import folds, learnt_from
from medprune.model import RiskModel
from medprune.path import member, prune
from medprune.performance import BINARY
from medprune.review.floor import is_trainable, schedule_of
from medprune.review.observed import Observed
from medprune.review.side_by_side import SideBySide, side_by_side
from medprune.settings import settings_of
from medprune.strategies.contribution import STOPS

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Procedure:
    """How the smaller model came about: a strategy with its settings, walked to a share removed."""

    strategy: str
    granularity: str
    sparsity: float
    settings: Mapping[str, Any]
    folds: int = 5

    @classmethod
    def of(cls, provenance: Mapping[str, Any], *, folds: int = 5) -> Procedure | None:
        """The procedure in a bundle's provenance; None when it does not say."""
        try:
            strategy, sparsity = str(provenance["strategy"]), provenance["sparsity"]
            known = settings_of(member(strategy))
            given = provenance["settings"]
            own = {name: given[name] for name in known if name in given}
            own = {name: tuple(value) if isinstance(value, list) else value for name, value in own.items()}
            share = float(sparsity["achieved"] if sparsity["requested"] is None else sparsity["requested"])
            return cls(strategy, str(provenance["granularity"]), share, own, folds)
        except (KeyError, TypeError, ValueError, BadInput):
            return None


@dataclass(frozen=True)
class PooledStep:
    """How many folds are done; the last step carries the figures, a class each as in a review."""

    number: int
    of: int
    sides: tuple[SideBySide, ...] = ()


def pooled_steps(
    dense: RiskModel,
    cohort: Cohort,
    how: Procedure,
    act_at: float,
    *,
    prevalence: float | None = None,
    seed: int = 0,
) -> Iterator[PooledStep]:
    """The figures of :func:`side_by_side` from out-of-fold risks of train and tuning patients.

    ``prevalence`` weights them as the figures beside which they stand. Nothing for a model that was not
    trained here. Raises BadInput when the folds cannot be dealt.
    """
    if not is_trainable(dense, cohort):
        yield PooledStep(0, 0)
        return
    everyone, parts = learnt_from(cohort), folds(cohort, how.folds, seed)
    risks = np.full((2, len(everyone), len(dense.classes)), np.nan)
    place = {int(row): at for at, row in enumerate(everyone.rows)}
    for number, fold in enumerate(parts):
        yield PooledStep(number, len(parts))
        rows = [place[int(row)] for row in fold.test.rows]
        for which, model in enumerate(_pair(dense, fold, how, seed_of(seed, number, 3))):
            risks[which, rows] = model.risks_of(model.prepared(fold.test))
    looked_at = [1] if len(dense.classes) == BINARY else list(range(len(dense.classes)))
    sides = tuple(
        side_by_side(
            Observed.of(everyone, klass, prevalence),
            risks[0, :, klass],
            risks[1, :, klass],
            act_at,
            label=dense.classes[klass],
            seed=seed,
        )
        for klass in looked_at
    )
    yield PooledStep(len(parts), len(parts), sides)


def _pair(dense: RiskModel, fold: Cohort, how: Procedure, seed: int) -> tuple[RiskModel, RiskModel]:
    """The dense and the pruned model of a fold."""
    again = replace(like(dense, fold, schedule_of(dense), seed), act_at=dense.act_at)
    settings = dict(how.settings)
    if "sparsities" in {field.name for field in fields(member(how.strategy))}:  # type: ignore[arg-type]
        settings["sparsities"] = (*(stop for stop in STOPS if stop < how.sparsity), how.sparsity)
    path = prune(again, fold, how.strategy, granularity=how.granularity, seed=seed, **settings)
    return again, path.smallest_needed(how.sparsity).model
