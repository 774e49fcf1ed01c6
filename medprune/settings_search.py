"""At a fixed threshold: how often to cut there, among which scores, and how to retrain (document 1.4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from medprune.candidate import Candidate
from medprune.cohort import Cohort
from medprune.cross_validation import CrossStep, Walk, Walked, last_selection, walk_folds
from medprune.errors import BadInput
from medprune.fold_selection import Selection, Validation
from medprune.model import RiskModel
from medprune.path import prune
from medprune.performance import check_share
from medprune.prices import Prices
from medprune.ranking import SCOPES
from medprune.selection import RULES
from medprune.strategies.contribution import ContributionPath
from medprune.training import RETRAINING, Schedule

Grid = Mapping[str, Sequence[Any]]

GRID: Grid = {
    "rounds": (1, 3, 5, 8),
    "scope": tuple(SCOPES),
    "learning_rate": (5e-4, 2e-3, 5e-3),
    "epochs": (20, 40, 80),
}
DRAWS = 12


def search_settings(
    model: RiskModel,
    cohort: Cohort,
    threshold: float,
    *,
    how: Validation | None = None,
    grid: Grid | None = None,
    draws: int = DRAWS,
    granularity: str = "weight",
    seed: int = 0,
    prices: Prices | None = None,
    recalibrate: bool = True,
    **settings: Any,
) -> Selection:
    """Choose settings of the contribution path that cuts at ``threshold``, by cross-validation.

    ``draws`` of the ``grid`` (rounds, scope, learning rate, epochs) are tried in every fold, the usual
    settings always among them; the rule takes the smallest model it allows. A setting in ``settings`` is
    fixed and not searched. Raises BadInput.
    """
    return last_selection(
        search_settings_steps(
            model,
            cohort,
            threshold,
            how=how,
            grid=grid,
            draws=draws,
            granularity=granularity,
            seed=seed,
            prices=prices,
            recalibrate=recalibrate,
            **settings,
        )
    )


def search_settings_steps(
    model: RiskModel,
    cohort: Cohort,
    threshold: float,
    *,
    how: Validation | None = None,
    grid: Grid | None = None,
    draws: int = DRAWS,
    granularity: str = "weight",
    seed: int = 0,
    prices: Prices | None = None,
    recalibrate: bool = True,
    **settings: Any,
) -> Iterator[CrossStep]:
    """The steps of :func:`search_settings`, one a fold; the last one carries the selection."""
    how = Validation() if how is None else how
    ContributionPath(threshold=check_share(threshold, "The threshold"), **settings)
    tried = drawn(GRID if grid is None else grid, settings, draws, seed)
    walk = SettingsWalk(how, granularity, prices, threshold, settings, tried, recalibrate)
    return walk_folds(model, cohort, how, walk, seed)


def drawn(grid: Grid, fixed: Mapping[str, Any], draws: int, seed: int) -> tuple[dict[str, Any], ...]:
    """The usual settings, then others of the grid by chance; none twice. What is fixed is not searched."""
    unknown = set(grid) - set(GRID)
    if unknown or not all(grid.values()):
        raise BadInput(f"The grid gives values for {', '.join(GRID)}, and for nothing else.")
    if draws < 1:
        raise BadInput(f"At least one draw of the settings is needed, got {draws}.")
    usual = usual_settings(fixed)
    values = [[usual[name]] if name in fixed or name not in grid else grid[name] for name in GRID]
    every = [dict(zip(GRID, row, strict=True)) for row in product(*values)]
    others = [row for row in every if row != usual]
    order = np.random.default_rng(seed).permutation(len(others))
    first = [usual] if usual in every else []
    return (*first, *(others[place] for place in order))[:draws]


def usual_settings(fixed: Mapping[str, Any]) -> dict[str, Any]:
    path = ContributionPath(**fixed)
    schedule = path.schedule
    return dict(zip(GRID, (path.rounds, path.scope, schedule.learning_rate, schedule.epochs), strict=True))


@dataclass(frozen=True)
class SettingsWalk(Walk):
    """Every setting in one fold, from the same dense network; the last candidate of each counts."""

    how: Validation
    granularity: str
    prices: Prices | None
    threshold: float
    fixed: Mapping[str, Any]
    searched: tuple[Mapping[str, Any], ...]
    recalibrate: bool = True
    strategy = "contribution"

    def __call__(self, model: RiskModel, cohort: Cohort, seed: int) -> Walked:
        found: dict[int, Candidate] = {}
        trained = 0
        for together in self._walks().values():
            longest = max(together, key=self._rounds)
            path = prune(
                model,
                cohort,
                granularity=self.granularity,
                seed=seed,
                prices=self.prices,
                recalibrate=self.recalibrate,
                **self.settings(longest),
            )
            trained += path.models_trained
            last = len(path) - 1  # a walk ends early once nothing scores below the threshold
            found |= {option: path.candidates[min(self._rounds(option), last)] for option in together}
        options = tuple(range(len(self.searched) + 1))
        candidates = (path.dense, *(found[option] for option in options[1:]))
        alone = replace(path, candidates=candidates).choose(
            self.how.rule if self.how.rule in RULES else "one-se",
            margin=self.how.margin,
            metric=self.how.metric,
            smallest=self.how.smallest,
        )
        return Walked(candidates, options, candidates.index(alone), trained)

    def models(self, model: RiskModel, cohort: Cohort) -> int:
        return sum(max(self._rounds(option) for option in together) for together in self._walks().values())

    def settings(self, option: float) -> dict[str, Any]:
        chosen = self.searched[int(option) - 1]
        usual: Schedule = self.fixed.get("schedule", RETRAINING)
        schedule = replace(usual, learning_rate=chosen["learning_rate"], epochs=chosen["epochs"])
        both = {"rounds": chosen["rounds"], "scope": chosen["scope"], "schedule": schedule}
        return {**self.fixed, "threshold": self.threshold, **both}

    def _rounds(self, option: int) -> int:
        return int(self.searched[option - 1]["rounds"])

    def _walks(self) -> dict[tuple[Any, ...], list[int]]:
        """The options that differ in rounds alone are stages of one walk."""
        walks: dict[tuple[Any, ...], list[int]] = {}
        for option, settings in enumerate(self.searched, start=1):
            key = tuple(value for name, value in settings.items() if name != "rounds")
            walks.setdefault(key, []).append(option)
        return walks
