"""The baseline nobody should lose to: a path that looks at nothing."""

from __future__ import annotations

from dataclasses import dataclass

from medprune.baselines.by_criterion import PathByCriterion
from medprune.strategies.base import BASELINES


@BASELINES.register("random")
@dataclass(frozen=True)
class Chance(PathByCriterion):
    """Remove by chance, in rounds with retraining between them: what retraining alone makes good."""

    criterion = "random"
    name = "random"
    title = "Random path"
