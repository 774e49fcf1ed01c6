"""``medprune.train`` and ``medprune.score`` for either family: the plain network, or a recipe of kinds."""

from __future__ import annotations

from typing import Any, overload

from medprune import scoring, training
from medprune.cohort import Cohort, Split
from medprune.kinds.model import KindModel, train_kind
from medprune.kinds.recipes import Recipe
from medprune.kinds.scoring import KindScores
from medprune.model import RiskModel
from medprune.network import MLP
from medprune.scoring import Contributions
from medprune.training import Schedule


@overload
def train(
    cohort: Cohort, spec: MLP | None = None, *, seed: int = 0, schedule: Schedule | None = None
) -> RiskModel: ...
@overload
def train(cohort: Cohort, spec: Recipe, *, seed: int = 0, schedule: Schedule | None = None) -> KindModel: ...
def train(
    cohort: Cohort, spec: MLP | Recipe | None = None, *, seed: int = 0, schedule: Schedule | None = None
) -> RiskModel | KindModel:
    """Train a network on the cohort's train split, stopping early by the loss on tuning.

    An MLP gives a :class:`RiskModel`; a recipe for tables (ResidualMLP, FTTransformer) a
    :class:`KindModel`, which is scored, pruned and made compact too, but has no file format. Raises
    BadInput for a recipe that takes sequences: these stay arrays, see :mod:`medprune.kinds`.
    """
    if spec is None or isinstance(spec, MLP):
        return training.train(cohort, spec, seed=seed, schedule=schedule)
    return train_kind(cohort, spec, seed=seed, schedule=schedule)


@overload
def score(
    model: RiskModel,
    split: Split,
    criterion: str = "contribution",
    *,
    balanced: bool = False,
    **settings: Any,
) -> Contributions: ...
@overload
def score(
    model: KindModel,
    split: Split,
    criterion: str = "contribution",
    *,
    balanced: bool = False,
    **settings: Any,
) -> KindScores: ...
def score(
    model: RiskModel | KindModel,
    split: Split,
    criterion: str = "contribution",
    *,
    balanced: bool = False,
    **settings: Any,
) -> Contributions | KindScores:
    """Score what :func:`train` gave on the patients of ``split`` (normally train), in evaluation mode.

    ``balanced`` gives every class the same say in the mean, however rare. Further settings are the
    criterion's own. Raises BadInput for an unknown criterion or setting.
    """
    if isinstance(model, KindModel):
        return model.score(split, criterion, balanced=balanced, **settings)
    return scoring.score(model, split, criterion, balanced=balanced, **settings)
