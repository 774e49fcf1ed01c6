"""What a cross-validation found: every option on held-out patients, the one chosen, and how sure that is.

An option is a stop of the path (a share removed) or a set of settings. Folds are matched by option, never
by threshold: the scores of two networks have no common scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from medprune.candidate import Candidate
from medprune.errors import BadInput
from medprune.fold_statistics import FOLD_RULES, Array, Estimate, estimate, pick, standard_error
from medprune.path import COUNTS, Path
from medprune.performance import METRICS, check_share, metric_in_words
from medprune.settings import check_settings, setting
from medprune.training import Schedule

BAND = (0.01, 0.1)  # where the founding document looks for the threshold
SLACK = 0.005  # of a share removed
DISAGREEMENT = 4.0  # times as much kept by one quarter of the folds as by another
RUN = ["repeat", "fold"]
SIZES = ("sparsity", "parameters", "features", "price")

T = TypeVar("T")


@dataclass(frozen=True)
class Validation:
    """How to cross-validate and how to choose. ``schedule`` trains the dense network of every fold.

    ``processes``: how many folds at a time; None takes as many as this machine gives us.
    """

    folds: int = setting(5, "Folds", "patients are held out a fold at a time", low=2, high=20)
    repeats: int = setting(1, "Repeats", "with other folds and other networks", low=1, high=100)
    nested: bool = setting(False, "Nested", "the reported patients have no say in the choice")
    rule: str = setting("one-se", "Rule", "which is the smallest allowed", choices=tuple(FOLD_RULES))
    margin: float = setting(0.02, "Margin", "of the rule non-inferior", low=0.0, high=1.0)
    metric: str = setting("auroc", "Metric", "on held-out patients", choices=METRICS)
    smallest: str = setting("parameters", "Smallest in", "what is to be small", choices=COUNTS)
    schedule: Schedule = field(default_factory=Schedule)
    processes: int | None = None

    def __post_init__(self) -> None:
        check_settings(self)
        check_share(self.margin, "The margin")  # NaN too
        if self.processes is not None and self.processes < 1:
            raise BadInput(f"The work needs at least one process, got {self.processes}.")

    @property
    def sign(self) -> float:
        return -1.0 if self.metric == "brier" else 1.0

    @property
    def runs(self) -> int:
        return self.folds * self.repeats


@dataclass(frozen=True, order=True)
class Place:
    """A run: ``fold`` of ``repeat``; with ``inner``, that fold of what the fold learns from."""

    repeat: int
    fold: int
    inner: int | None = None


@dataclass(frozen=True, eq=False)
class Curve:
    """The candidates of one run, dense first, measured on its held-out patients.

    ``rows``: requested (the option asked for, or NaN), the sizes, threshold, ``tuning`` (the metric there,
    larger is better), ``alone`` (True for the one that this fold would choose without the others) and
    the metrics on held-out patients.
    """

    place: Place
    rows: pd.DataFrame
    models_trained: int


@dataclass(frozen=True)
class Spread:
    """A number over the runs."""

    median: float
    low: float
    quartile_low: float
    quartile_high: float
    high: float

    @classmethod
    def of(cls, values: Array) -> Spread:
        low, first, median, third, high = np.quantile(values, [0, 0.25, 0.5, 0.75, 1])
        return cls(float(median), float(low), float(first), float(third), float(high))


@dataclass(frozen=True, eq=False)
class Selection:
    """The result of :func:`medprune.cross_validate` and :func:`medprune.search_settings`.

    ``table``: an option a row, dense first: sizes and ``threshold`` (the median over runs), ``mean`` and
    ``se`` of the metric on held-out patients, ``change`` from dense with its ``change_se``, and ``limit``
    (how good it had to be to be allowed). ``held_out``: a run and option a row, with every metric.
    ``alone``: what each run would have chosen by itself. ``outer``: where nested, what the inner folds
    chose, measured on patients who had no say in it. ``settings``: what to walk the path with.
    """

    how: Validation
    strategy: str
    granularity: str
    seed: int
    patients: int
    table: pd.DataFrame
    held_out: pd.DataFrame
    alone: pd.DataFrame
    outer: pd.DataFrame | None
    option: float
    settings: Mapping[str, Any]
    searched: tuple[Mapping[str, Any], ...]  # what was searched, by option - 1; empty for stops
    models_trained: int
    seconds: float

    @property
    def chosen(self) -> pd.Series:
        """The row of the table that was chosen."""
        return self.table.loc[self.option]

    @property
    def runs(self) -> pd.DataFrame:
        """The chosen option in every run."""
        return self.held_out[self.held_out["option"] == self.option]

    @property
    def thresholds(self) -> Array:
        """The threshold of the chosen option in every run."""
        values: Array = self.runs["threshold"].to_numpy(np.float64)
        return values

    @property
    def threshold(self) -> Spread:
        """The threshold of the chosen option over the runs: within the scores of its round."""
        return Spread.of(self.thresholds)

    @property
    def cuts(self) -> bool:
        """Whether the choice was made by a threshold at all: a search has none."""
        return bool((self.thresholds > 0).any())

    @property
    def in_band(self) -> int:
        """In how many runs it lies where the founding document looks for it."""
        return int(((self.thresholds >= BAND[0]) & (self.thresholds <= BAND[1])).sum())

    @property
    def figure(self) -> Estimate:
        """The metric to report, the outer one where nested; its interval ends where the metric does."""
        reported = self.runs if self.outer is None else self.outer
        found = estimate(reported[self.how.metric].to_numpy(np.float64), self.how.folds)
        most = 2.0 if self.how.metric == "brier" else 1.0
        return replace(found, low=max(found.low, 0.0), high=min(found.high, most))

    def comparison(self) -> pd.DataFrame:
        """Dense against chosen on held-out patients, a metric a row: dense, chosen, change, low, high.

        ``low`` and ``high``: the 95 % t interval of the change, paired run by run.
        """
        dense = self.held_out[self.held_out["option"] == 0].sort_values(RUN)
        chosen = (self.runs if self.outer is None else self.outer).sort_values(RUN)
        rows = {}
        for metric in METRICS:
            a, b = (runs[metric].to_numpy(np.float64) for runs in (dense, chosen))
            change = estimate(b - a, self.how.folds)
            rows[metric] = (a.mean(), b.mean(), change.mean, change.low, change.high)
        return pd.DataFrame.from_dict(
            rows, orient="index", columns=["dense", "chosen", "change", "low", "high"]
        )

    def candidate(self, path: Path) -> Candidate:
        """The candidate of a path over the whole of train and tuning that answers the choice."""
        if self.searched:
            return path.candidates[-1]
        requested = [np.nan if c.requested is None else c.requested for c in path]
        tuning = [self.how.sign * c.performance[self.how.metric] for c in path]
        place = at_stop(self.option, requested, [c.sparsity for c in path], tuning)
        return path.nearest(float(self.chosen["sparsity"])) if place is None else path.candidates[place]

    @property
    def warnings(self) -> tuple[str, ...]:
        """Why not to trust the choice too much, a sentence each."""
        found = []
        kept = Spread.of(1 - self.alone["sparsity"].to_numpy(np.float64))
        if kept.quartile_high > DISAGREEMENT * kept.quartile_low:
            found.append(
                f"The folds disagree: by itself one in four would keep {kept.quartile_low:.1%} of the "
                f"{self.granularity}s or less, another one in four {kept.quartile_high:.1%} or more; add "
                "repeats, or keep more than was chosen."
            )
        change = self.comparison().loc[self.how.metric]
        worst = change["low"] if self.how.sign > 0 else -change["high"]
        if worst < -self.how.margin:
            found.append(
                f"The folds cannot rule out a loss of more than {self.how.margin:g}: the 95 % interval of "
                f"the change of {metric_in_words(self.how.metric)} from dense reaches from "
                f"{change['low']:+.3f} to {change['high']:+.3f}; add repeats or patients, or keep more."
            )
        if not self.chosen["allowed"]:
            found.append(
                f"Nothing that was tried passes the rule {self.how.rule!r}; the best of it was taken."
            )
        return tuple(found)

    @property
    def sentence(self) -> str:
        """What was found, in one sentence with its counts."""
        figures = self.comparison().loc[self.how.metric]
        times = f"{self.how.folds} folds" + (f", {self.how.repeats} times" if self.how.repeats > 1 else "")
        where = "outer held-out" if self.outer is not None else "held-out"
        change = f"95 % interval of the change {figures['low']:+.3f} to {figures['high']:+.3f}"
        threshold = (
            f", threshold {self.threshold.median:.3g} ({self.threshold.low:.3g} to {self.threshold.high:.3g})"
            if self.cuts
            else ""
        )
        return (
            f"In {times}, on {self.patients:,} patients of train and tuning, {self._what()} was chosen: "
            f"{metric_in_words(self.how.metric)} {figures['chosen']:.3f} on {where} patients "
            f"(dense {figures['dense']:.3f}, {change}), {self.chosen['parameters']:,.0f} parameters"
            f"{threshold}; {self.models_trained:,} models were trained."
        )

    def _what(self) -> str:
        removed = f"{self.chosen['sparsity']:.1%} of the {self.granularity}s removed"
        if not self.searched:
            return removed
        return f"{told(self.searched[int(self.option) - 1])} ({removed})"

    def to_json(self) -> dict[str, Any]:
        """Plain values: the choice, its figures, the whole table."""
        return {
            **{name: value for name, value in asdict(self.how).items() if name != "processes"},
            "patients": self.patients,
            "seed": self.seed,
            "option": self.option,
            "sparsity": float(self.chosen["sparsity"]),
            "settings": plain(self.settings),
            "threshold": asdict(self.threshold)
            | {"band": list(BAND), "in_band": self.in_band, "runs": len(self.thresholds)},
            "reported_on": "held out" if self.outer is None else "outer held out",
            "figure": self.figure.to_json(),
            "held_out": self.comparison().to_dict(orient="index"),
            "table": self.table.reset_index().to_dict(orient="records"),
            "searched": [plain(settings) for settings in self.searched],
            "outer": None if self.outer is None else self.outer.to_dict(orient="records"),
            "alone": self.alone.to_dict(orient="records"),
            "warnings": list(self.warnings),
            "sentence": self.sentence,
            "models_trained": self.models_trained,
            "seconds": self.seconds,
        }


def plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: asdict(v) if is_dataclass(v) and not isinstance(v, type) else v
            for name, v in settings.items()}  # fmt: skip


def told(settings: Mapping[str, Any]) -> str:
    """Settings in words: rounds 5, scope layer."""
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in settings.items())


# --- from curves to a choice -------------------------------------------------------------------------


def at_stop(
    stop: float, requested: Sequence[float], sparsity: Sequence[float], tuning: Sequence[float]
) -> int | None:
    """The place of the candidate that answers a stop; None when there is no model so small.

    The one that was asked for exactly this. A path that was asked for stops, but had removed as much
    already: the largest that is small enough. A search, which is not asked for stops: the best on tuning
    of those that are small enough.
    """
    asked = np.asarray(requested, dtype=np.float64)
    exact = np.flatnonzero(np.isclose(asked, stop, atol=1e-9))
    if len(exact):
        return int(exact[0])
    removed = np.asarray(sparsity, dtype=np.float64)
    enough = removed >= stop - SLACK
    if not enough.any():
        return None
    if np.isfinite(asked[1:]).any():
        return int(np.where(enough, removed, np.inf).argmin())
    return int(np.where(enough, np.asarray(tuning, dtype=np.float64), -np.inf).argmax())


def matched(curves: Sequence[Curve], usual: Sequence[float]) -> pd.DataFrame:
    """A row a run and option that every run can answer. The options are what was asked for, or ``usual``."""
    asked = np.unique(np.concatenate([curve.rows["requested"].dropna().round(9) for curve in curves]))
    options = asked.tolist() if (asked > 0).any() else [0.0, *usual]
    rows = [_answers(curve, options).assign(run=run) for run, curve in enumerate(curves)]
    table = pd.concat(rows, ignore_index=True)
    answered = table.groupby("option")["run"].transform("size")
    return table[answered == len(curves)].reset_index(drop=True)


def _answers(curve: Curve, options: Sequence[float]) -> pd.DataFrame:
    rows = curve.rows
    columns = [rows[name].to_numpy(np.float64) for name in ("requested", "sparsity", "tuning")]
    places = {option: at_stop(option, *columns) for option in options}
    found = [(option, place) for option, place in places.items() if place is not None]
    answers = rows.iloc[[place for _, place in found]].copy()
    answers.insert(0, "option", [option for option, _ in found])
    return answers


def compared(held_out: pd.DataFrame, how: Validation, *, dense_too: bool) -> pd.DataFrame:
    """The table of a :class:`Selection`, and in ``allowed`` and ``picked`` what the rule says of each row."""
    scores = how.sign * held_out.pivot(index="option", columns="run", values=how.metric)
    values: Array = scores.to_numpy(np.float64)
    dense = values[0]
    table = held_out.groupby("option")[list(SIZES)].mean()
    table["threshold"] = held_out.groupby("option")["threshold"].median()
    table["mean"] = how.sign * values.mean(axis=1)
    table["se"] = standard_error(values, how.folds)
    table["change"] = how.sign * (values - dense).mean(axis=1)
    table["change_se"] = standard_error(values - dense, how.folds)
    eligible = np.arange(len(values)) >= (0 if dense_too else 1)
    limits = np.full(len(values), np.inf)
    limits[eligible] = FOLD_RULES[how.rule](values[eligible], dense, how.folds, how.margin)
    table["limit"] = how.sign * limits
    table["allowed"] = values.mean(axis=1) >= limits
    sizes = table[how.smallest].to_numpy(np.float64)
    place = np.flatnonzero(eligible)[pick(values[eligible].mean(axis=1), limits[eligible], sizes[eligible])]
    table["picked"] = np.arange(len(table)) == place
    return table
