"""Methods side by side at equal size: who does better on tuning, and whether these patients can tell.

Every method has its best candidate at a size, chosen on tuning, so that all are flattered alike. An
interval is that of one comparison: of twenty, one leaves 0 out by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medprune.candidate import Candidate
from medprune.errors import BadInput
from medprune.path import Path
from medprune.performance import check_metric, check_share, metric_in_words
from medprune.selection import CHUNK, RESAMPLES, bootstrap_weights, weighted_metric

SHARES = (0.8, 0.9, 0.95, 0.98)
COUNTED = ("sparsity", "parameters", "features", "price")
SLACK = 0.05  # of what is left: a cut does not always meet the share asked for to the last weight
TAILS = (0.025, 0.975)
Array = NDArray[np.float64]
Resampled = Callable[[Path, str], Array]


@dataclass(frozen=True, eq=False)
class Duel:
    """One method against the first at one size: their best candidates, and the paired difference.

    ``difference`` is the method's metric minus the first one's; [``low``, ``high``] its 95 % interval, by
    drawing tuning patients again.
    """

    stop: float
    method: str
    candidate: Candidate
    first: Candidate
    metric: str
    difference: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """``better``, ``worse``, or ``tie`` when the interval holds 0: then nothing can be claimed."""
        if not (self.low > 0 or self.high < 0):
            return "tie"
        return "better" if (self.low > 0) == (self.metric != "brier") else "worse"

    def told(self) -> str:
        """The method's value, and its difference with the interval."""
        return (
            f"{self.candidate.performance[self.metric]:.3f}, difference {_signed(self.difference)}, "
            f"95 % interval {_signed(self.low)} to {_signed(self.high)}"
        )


@dataclass(frozen=True, eq=False)
class Comparison:
    """``first`` is the method that the others are held against; ``duels`` in order of size, then method."""

    first: str
    metric: str
    counted: str
    granularity: str
    duels: tuple[Duel, ...]

    def sentences(self) -> list[str]:
        """Where another method wins, a sentence each; then, by size, ties and losses. Claims nothing more."""
        told = self._told_once()
        wins = [self._win(duel) for duel in told if duel.verdict == "better"]
        if told and not wins:
            wins = [f"At none of these sizes is another method shown to do better than {_the(self.first)}."]
        stops = dict.fromkeys(duel.stop for duel in told)
        rest = [self._others(told, stop, verdict) for stop in stops for verdict in ("tie", "worse")]
        return [*wins, *(sentence for sentence in rest if sentence)]

    def _told_once(self) -> list[Duel]:
        """When the same two models meet at several sizes, the last of these tells it."""
        last = {(duel.method, id(duel.candidate), id(duel.first)): duel for duel in self.duels}
        return [duel for duel in self.duels if duel in last.values()]

    def _win(self, duel: Duel) -> str:
        return (
            f"{self._at(duel.stop)}, {_the(duel.method)} ({_size(duel.candidate)}) does better than "
            f"{_the(self.first)} ({_size(duel.first)}): {self._name} {duel.told()} on tuning patients, "
            f"against {duel.first.performance[self.metric]:.3f}."
        )

    def _others(self, told: Sequence[Duel], stop: float, verdict: str) -> str:
        """One sentence on all methods with this verdict at a size; none when there are none."""
        duels = [duel for duel in told if duel.stop == stop and duel.verdict == verdict]
        if not duels:
            return ""
        own = f"{_the(self.first)} ({self._name} {duels[0].first.performance[self.metric]:.3f})"
        others = "; ".join(f"{_the(duel.method)} ({duel.told()})" for duel in duels)
        if verdict == "tie":
            return f"{self._at(stop)}, the tuning patients cannot tell {own} from {others}."
        return f"{self._at(stop)}, {own} does better on tuning patients than {others}."

    @property
    def _name(self) -> str:
        return metric_in_words(self.metric)

    def _at(self, stop: float) -> str:
        if self.counted == "sparsity":
            return f"With {100 * stop:.4g} % of the {self.granularity}s removed"
        if self.counted == "price":
            return f"With a price of at most {stop:g}"
        return f"With at most {_counted(round(stop), self.counted.removesuffix('s'))}"


def resampled_metric(path: Path, candidates: Sequence[Candidate], metric: str) -> Array:
    """The metric of every candidate (C, RESAMPLES) on the path's tuning patients, drawn again and again.

    The draws are the same for every candidate and every call, so differences are paired.
    """
    rng = np.random.default_rng(0)
    most = max(1, CHUNK // len(path.tuning_outcome))
    parts = []
    for start in range(0, RESAMPLES, most):
        drawn = bootstrap_weights(
            path.tuning_outcome, path.tuning_patients, min(most, RESAMPLES - start), rng, path.tuning_weight
        )
        parts.append(
            [
                weighted_metric(metric, path.tuning_outcome, c.tuning_risks, drawn, c.model.act_at)
                for c in candidates
            ]
        )
    return np.concatenate([np.array(part) for part in parts], axis=1)


def resampled_path(path: Path, metric: str) -> Array:
    """:func:`resampled_metric` of all candidates of a path (C, RESAMPLES), the dense model first."""
    return resampled_metric(path, path.candidates, metric)


def intervals_of(resampled: Array) -> Array:
    """The 95 % bootstrap interval (C, 2) of each row of a resampled metric (C, RESAMPLES)."""
    return np.nanquantile(resampled, TAILS, axis=1).T if len(resampled) else np.empty((0, 2))


def compare(
    paths: Sequence[Path],
    *,
    metric: str = "auroc",
    counted: str = "sparsity",
    stops: Sequence[float] = SHARES,
    resampled: Resampled = resampled_path,
) -> Comparison:
    """Hold every path against the first, at every size where both have a candidate.

    ``counted`` says what the ``stops`` are: ``sparsity`` (a share removed, or more), or the most
    ``parameters``, ``features`` or ``price``. ``resampled`` may be a function that remembers what
    :func:`resampled_path` gives. Raises BadInput when the paths cannot be compared.
    """
    check_metric(metric)
    _check_comparable(paths, counted, stops)
    first, *others = paths
    drawn = [resampled(path, metric) for path in paths]
    names = labels(paths)
    duels: list[Duel] = []
    for stop in stops:
        own = best_at(first, counted, stop, metric)
        for name, path, there in zip(names[1:], others, drawn[1:], strict=True):
            candidate = best_at(path, counted, stop, metric)
            if own is not None and candidate is not None:
                moved = there[path.candidates.index(candidate)] - drawn[0][first.candidates.index(own)]
                low, high = np.nanquantile(moved, TAILS)
                difference = candidate.performance[metric] - own.performance[metric]
                duels.append(Duel(stop, name, candidate, own, metric, difference, float(low), float(high)))
    return Comparison(names[0], metric, counted, first.granularity, tuple(duels))


def _check_comparable(paths: Sequence[Path], counted: str, stops: Sequence[float]) -> None:
    if len(paths) < 2:  # noqa: PLR2004 - one method and another
        raise BadInput("A comparison needs two paths or more.")
    if counted not in COUNTED:
        raise BadInput(f"Sizes are counted in one of {', '.join(COUNTED)}, got {counted!r}.")
    if counted == "sparsity":
        for stop in stops:
            check_share(stop, "A share removed")
        if len({path.granularity for path in paths}) > 1:
            raise BadInput(
                "Shares removed of different things cannot be compared; count parameters or features."
            )
    patients = paths[0].tuning_patients
    if not all(np.array_equal(path.tuning_patients, patients) for path in paths):
        raise BadInput("These paths were judged on different tuning patients; make them on the same split.")


def labels(paths: Sequence[Path]) -> list[str]:
    """What each path is called, told apart by a number where two are called the same."""
    names = [path.settings.label for path in paths]
    return [
        name if names.count(name) == 1 else f"{name} {names[: place + 1].count(name)}"
        for place, name in enumerate(names)
    ]


def best_at(path: Path, counted: str, stop: float, metric: str) -> Candidate | None:
    """The path's best candidate on tuning of at most this size, of equals the smallest; None without one."""
    if counted == "sparsity":
        small = [c for c in path if 1 - c.sparsity <= (1 - stop) * (1 + SLACK)]
    else:
        small = [c for c in path if getattr(c, counted) <= stop]
    sign = -1 if metric == "brier" else 1
    return max(small, key=lambda c: (sign * c.performance[metric], -c.parameters), default=None)


def _size(candidate: Candidate) -> str:
    return f"{_counted(candidate.features, 'feature')}, {_counted(candidate.parameters, 'parameter')}"


def _signed(value: float) -> str:
    """Three places and the sign; zero has none.

    >>> _signed(0.0123), _signed(-0.0001)
    ('+0.012', '0.000')
    """
    told = f"{value:+.3f}"
    return told if float(told) else "0.000"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _the(label: str) -> str:
    """A label within a sentence: the contribution path, the L1 logistic regression.

    >>> _the("Contribution path"), _the("L1 logistic regression")
    ('the contribution path', 'the L1 logistic regression')
    """
    return f"the {label[0].lower()}{label[1:]}" if label[1:2].islower() else f"the {label}"
