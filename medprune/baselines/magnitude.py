"""The baseline everyone knows: small weights go first."""

from __future__ import annotations

from dataclasses import dataclass

from medprune.baselines.by_criterion import PathByCriterion
from medprune.strategies.base import BASELINES


@BASELINES.register("magnitude")
@dataclass(frozen=True)
class Magnitude(PathByCriterion):
    """Remove the smallest weights in rounds with retraining between them, layers made comparable.

    The magnitude criterion in the adaptive scope: LAMP (Lee et al., ICLR 2021), in rounds.
    """

    criterion = "magnitude"
    scope = "adaptive"
    name = "magnitude"
    title = "Magnitude path"
