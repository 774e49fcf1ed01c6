"""The one-shot sweep: what every threshold would remove, and what that does before any retraining."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medprune.cohort import Split
from medprune.errors import BadInput
from medprune.model import RiskModel
from medprune.nest import Lasts, Nest
from medprune.nest_size import NestSizes, there
from medprune.nested import NestedPass, Part, Patients, gathered
from medprune.performance import METRICS, check_share
from medprune.ranked import ACT_GRID, Measures, Sampled, aurocs, measures
from medprune.ranking import USUAL_SCOPE
from medprune.removal import Cut, mask_of
from medprune.sampling import drawn
from medprune.scoring import Contributions
from medprune.size import SIZES, size_of
from medprune.training import Prepared

COLUMNS = ("threshold", "sparsity", *METRICS, *SIZES, "gap")


def _no_lasts() -> Lasts:
    return Lasts((), (), np.empty(0, dtype=np.int64))


@dataclass(frozen=True, eq=False)
class Tradeoff:
    """One row a threshold: threshold, sparsity, the metrics on the split, the sizes, the gap.

    Before retraining. ``gap`` is AUROC on the reference split (train) minus AUROC on the split, NaN
    when there is none. ``table`` has the columns in :data:`COLUMNS`, and the 95 % interval of AUROC
    (``auroc_low``, ``auroc_high``): that of the whole split when the figures come from a sample of it,
    else AUROC itself. For T thresholds, K classes, D risks acted at, C looked at (the positive class of two,
    else every class against the rest):

    - ``confusion`` (T, K, K): row the true class, column the decision;
    - ``act_grid`` (D,) and ``acted`` (T, D, C, 2): how many are rightly and wrongly acted on at each risk;
    - ``lasts``: at how many of the leading thresholds every weight, unit and feature is alive, counted in
      ascending order of thresholds;
    - ``by_class`` (T, K, 3): sensitivity, specificity and AUROC of a class against the rest, NaN where
      undefined;
    - where follow-up was censored all figures are weighted (:mod:`medprune.censoring`), and counts are sums
      of weights, rounded;
    - ``patients`` rows of the split, of which ``sampled`` were looked at (None: all). Counts of a sample
      are scaled up to the split, class by class.
    """

    table: pd.DataFrame
    granularity: str
    scope: str
    split: str
    confusion: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 0, 0), dtype=np.int64))
    act_grid: NDArray[np.float64] = field(default_factory=ACT_GRID.copy)
    acted: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 0, 0, 2), dtype=np.int64))
    lasts: Lasts = field(default_factory=_no_lasts)
    by_class: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 0, 3)))
    patients: int = 0
    sampled: int | None = None

    @property
    def thresholds(self) -> NDArray[np.float64]:
        thresholds: NDArray[np.float64] = self.table["threshold"].to_numpy()
        return thresholds

    def at(self, threshold: float) -> pd.Series:
        """The row of the swept threshold nearest to ``threshold``."""
        return self.table.iloc[int(np.abs(self.thresholds - threshold).argmin())]

    def to_json(self) -> dict[str, Any]:
        """Lists, one entry a threshold; the interval of AUROC only where the figures come from a sample."""
        names = COLUMNS[1:] if self.sampled is None else (*COLUMNS[1:], "auroc_low", "auroc_high")
        lists = {name: self.table[name].tolist() for name in names}
        more = {"confusion": self.confusion.tolist(), "by_class": self.by_class.tolist()}
        return {"thresholds": self.thresholds.tolist(), **lists, **more}


@dataclass(frozen=True)
class SweepStep:
    """What :func:`sweep_steps` yields: thresholds done, and at the end the whole."""

    number: int
    of: int
    tradeoff: Tradeoff | None = None

    def event(self) -> dict[str, Any]:
        """How far it is."""
        return {"number": self.number, "of": self.of}


def threshold_grid(thresholds: int | NDArray[np.float64] | list[float]) -> NDArray[np.float64]:
    """A count of even steps from 0 to 1, or given thresholds, each checked to lie in [0, 1]."""
    if isinstance(thresholds, int):
        if thresholds < 2:  # noqa: PLR2004 - both ends
            raise BadInput(f"A sweep needs at least 2 thresholds, got {thresholds}.")
        return np.linspace(0.0, 1.0, thresholds)
    return np.array([check_share(float(t), "The threshold") for t in thresholds])


def sweep(
    model: RiskModel,
    split: Split,
    contributions: Contributions,
    thresholds: int | NDArray[np.float64] | list[float] = 101,
    *,
    granularity: str = "weight",
    scope: str = USUAL_SCOPE,
    train: Split | None = None,
    sample: int | None = None,
    seed: int = 0,
) -> Tradeoff:
    """Performance on ``split`` (normally tuning) at every threshold, one shot, before retraining.

    ``train`` gives removed neurons their mean activation and the gap its reference; without it
    ``split`` does the former. ``sample`` looks at so many rows only, drawn within every class with
    ``seed`` (rare classes are drawn more densely, see :mod:`medprune.sampling`). Raises BadInput for
    a threshold outside [0, 1] or a sample that is too small.
    """
    steps = sweep_steps(
        model,
        split,
        contributions,
        thresholds,
        granularity=granularity,
        scope=scope,
        train=train,
        sample=sample,
        seed=seed,
    )
    *_, last = steps
    assert last.tradeoff is not None
    return last.tradeoff


def sweep_steps(
    model: RiskModel,
    split: Split,
    contributions: Contributions,
    thresholds: int | NDArray[np.float64] | list[float] = 101,
    *,
    granularity: str = "weight",
    scope: str = USUAL_SCOPE,
    train: Split | None = None,
    sample: int | None = None,
    seed: int = 0,
) -> Iterator[SweepStep]:
    """The steps of :func:`sweep`, some thresholds each; the last one carries the whole."""
    here, stands_for = drawn(model, split, sample, seed)
    reference = None if train is None else drawn(model, train, sample, seed)[0]
    means_on = here.columns
    if train is not None and granularity == "neuron":  # the cut is the same, whoever is looked at
        means_on = model.prepared(train)
    cut = Cut.of(model, contributions, granularity, scope, means_on)
    count = Count.of(cut, threshold_grid(thresholds), here.outcome, stands_for, here.weight)
    passes = NestedPass(count.nest)
    parts = passes.risks(Patients.of(here.columns), count.steps)
    step = SweepStep(0, len(count.asked))
    for done in count.through(parts, _gap(passes, reference)):
        step = replace(step, number=done)
        yield step
    yield replace(step, tradeoff=count.tradeoff(scope, split.name, len(split)))


def _gap(passes: NestedPass, reference: Prepared | None) -> Callable[[NDArray[np.intp]], NDArray[np.float64]]:
    """AUROC on the reference (S,) at some steps, NaN without one."""
    if reference is None:
        return lambda steps: np.full(len(steps), np.nan)
    patients, outcome = Patients.of(reference.columns), reference.outcome

    def measured(steps: NDArray[np.intp]) -> NDArray[np.float64]:
        parts = gathered(passes.risks(patients, steps))
        return np.concatenate([aurocs(outcome, part.risks, reference.weight) for part in parts])

    return measured


@dataclass(frozen=True, eq=False)
class _Found:
    """What was found at some thresholds (S,), in ascending order."""

    thresholds: NDArray[np.float64]
    sparsity: NDArray[np.float64]
    measures: Measures
    sizes: dict[str, NDArray[np.int64]]
    gap: NDArray[np.float64]

    def at(self, places: NDArray[np.intp]) -> _Found:
        return _Found(
            self.thresholds[places],
            self.sparsity[places],
            self.measures.at(places),
            {name: values[places] for name, values in self.sizes.items()},
            self.gap[places],
        )

    @classmethod
    def joined(cls, parts: list[_Found]) -> _Found:
        return cls(
            np.concatenate([part.thresholds for part in parts]),
            np.concatenate([part.sparsity for part in parts]),
            Measures.joined([part.measures for part in parts]),
            {name: np.concatenate([part.sizes[name] for part in parts]) for name in SIZES},
            np.concatenate([part.gap for part in parts]),
        )


class _Sizes:
    """The sizes at each threshold."""

    def __init__(self, cut: Cut, nest: Nest, thresholds: NDArray[np.float64]) -> None:
        self.cut, self.thresholds = cut, thresholds
        self.nest = NestSizes(nest) if bool(mask_of(cut.model).layers.all()) else None

    def of(self, part: Part) -> dict[str, NDArray[np.int64]]:
        if self.nest is not None:
            return self.nest.at(part.steps, part.biases)
        # A removed layer is multiplied into the next: the product must be made to be counted.
        each = [size_of(self.cut.at(float(threshold))) for threshold in self.thresholds[part.steps]]
        return {name: np.array([getattr(size, name) for size in each]) for name in SIZES}


@dataclass(frozen=True, eq=False)
class Count:
    """A sweep as it is counted: cuts in ascending order, the outcomes (N,), what was found so far."""

    cut: Cut
    nest: Nest
    asked: NDArray[np.float64]
    outcome: NDArray[np.int64]
    stands_for: Sampled | None
    weight: NDArray[np.float64] | None = None  # (N,) what each patient counts; None: alike
    done: list[_Found] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        cut: Cut,
        asked: NDArray[np.float64],
        outcome: NDArray[np.int64],
        stands_for: Sampled | None = None,
        weight: NDArray[np.float64] | None = None,
    ) -> Count:
        return cls(cut, Nest.of_cut(cut, np.sort(asked)), asked, outcome, stands_for, weight)

    @cached_property
    def steps(self) -> NDArray[np.intp]:
        """The places of the ascending thresholds that need a pass: between two of them masks are the same."""
        return self.nest.changes()

    def through(
        self, parts: Iterator[Part], on_reference: Callable[[NDArray[np.intp]], NDArray[np.float64]]
    ) -> Iterator[int]:
        """Measure the risks at all steps, some at a time; yields how many thresholds are done."""
        steps, ends = self.steps, np.append(self.steps[1:], self.nest.steps)
        thresholds = np.sort(self.asked)
        sizes = _Sizes(self.cut, self.nest, thresholds)
        for part in gathered(parts):
            act_at = self.cut.model.act_at
            measured = measures(self.outcome, part.risks, act_at, self.stands_for, self.weight)
            gap = on_reference(part.steps) - measured.metrics["auroc"]
            found = _Found(thresholds[part.steps], self.removed[part.steps], measured, sizes.of(part), gap)
            which = np.searchsorted(steps, part.steps)
            again = np.repeat(np.arange(len(which)), ends[which] - part.steps)
            rows = slice(int(part.steps[0]), int(ends[which[-1]]))
            self.done.append(replace(found.at(again), thresholds=thresholds[rows]))
            yield rows.stop

    @cached_property
    def removed(self) -> NDArray[np.float64]:
        """The share removed at every step (T,), as :func:`medprune.removal.removed_share` has it."""
        lasts, granularity = self.nest.lasts, self.cut.granularity
        each = {"weight": lasts.weights, "neuron": lasts.units, "feature": (lasts.features,)}[granularity]
        left = np.zeros(self.nest.steps)
        for part in each:
            left += there(self.nest, part)
        return 1.0 - left / self.cut.groups if self.cut.groups else left

    def tradeoff(self, scope: str, split: str, patients: int) -> Tradeoff:
        """The whole, its rows in the order that was asked for."""
        back = np.argsort(np.argsort(self.asked, kind="stable"), kind="stable")
        found = _Found.joined(self.done).at(back)
        measured = found.measures
        columns = {"threshold": found.thresholds, "sparsity": found.sparsity, **measured.metrics}
        interval = {"auroc_low": measured.auroc_low, "auroc_high": measured.auroc_high}
        return Tradeoff(
            table=pd.DataFrame({**columns, **found.sizes, "gap": found.gap, **interval}, copy=False),
            granularity=self.cut.granularity,
            scope=scope,
            split=split,
            confusion=measured.confusion,
            acted=measured.acted,
            lasts=self.nest.lasts,
            by_class=measured.by_class,
            patients=patients,
            sampled=None if self.stands_for is None else len(self.outcome),
        )
