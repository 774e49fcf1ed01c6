"""The metrics of :mod:`medprune.performance` for many sets of risks at once, from one sort of each.

Everything that ranks patients (AUROC with ties, average precision, who is acted on at any risk) is read off
the sorted risks and a running count of those with the class. A risk in [0, 1] keeps its order as the whole
number that its bits are, with two bits to spare: one takes the outcome along, so that sorting whole numbers
sorts both, without an index and without rounding anything.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from medprune.performance import BINARY, METRICS

Array = NDArray[np.float64]
Counts = NDArray[np.float64] | NDArray[np.int64]
ACT_GRID: Array = np.arange(1, 100) / 100
Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, eq=False)
class Measures:
    """Of S sets of risks: ``metrics`` (S,) by name, and what :class:`medprune.sweep.Tradeoff` says more.

    ``confusion`` (S, K, K), ``acted`` (S, D, C, 2), ``by_class`` (S, K, 3), ``auroc_low`` and
    ``auroc_high`` (S,).
    """

    metrics: dict[str, Array]
    confusion: NDArray[np.int64]
    acted: NDArray[np.int64]
    by_class: Array
    auroc_low: Array
    auroc_high: Array

    def at(self, places: NDArray[np.intp]) -> Measures:
        """Those of some sets, in this order."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        metrics = {name: values[places] for name, values in parts.pop("metrics").items()}
        return Measures(metrics, **{name: values[places] for name, values in parts.items()})

    @classmethod
    def joined(cls, parts: list[Measures]) -> Measures:
        names = [field.name for field in fields(cls) if field.name != "metrics"]
        return cls(
            {name: np.concatenate([part.metrics[name] for part in parts]) for name in METRICS},
            **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names},
        )


@dataclass(frozen=True, eq=False)
class Sampled:
    """Whom the measured patients stand for: ``of`` (K,) patients of each class in the whole split."""

    of: NDArray[np.int64]


def measures(
    outcome: NDArray[np.int64],
    risks: Array,
    act_at: float = 0.5,
    sampled: Sampled | None = None,
    weight: Array | None = None,
) -> Measures:
    """Measure risks (S, K, N) against outcomes (N,): exact, or estimates for whom a sample stands for.

    A sample's counts are scaled to the whole split, class by class, and its AUROC gets an interval of 95 %
    (see :func:`_interval`); without one both ends are the AUROC. ``weight`` (N,), where there is no sample,
    is what each patient counts, and counts are sums of weights.
    """
    if weight is not None:
        outcome, risks, weight = outcome[weight > 0], risks[:, :, weight > 0], weight[weight > 0]
    classes = risks.shape[1]
    sizes = np.bincount(outcome, minlength=classes)
    say = np.ones(classes) if sampled is None else sampled.of / np.maximum(sizes, 1)
    each_say = say[outcome] if weight is None else weight
    alike = sampled is None and weight is None
    ranked = _against_the_rest(outcome, risks, None if alike else each_say)
    acted: Array = np.stack([each.acted(np.append(ACT_GRID, act_at)) for each in ranked], axis=2)
    counts = _confusion(outcome, risks, act_at, None if alike else each_say)
    by_class = np.stack([each.auroc() for each in ranked], axis=1)
    auroc = _over_classes(by_class)
    low, high = (auroc, auroc) if sampled is None else _interval(outcome, ranked, auroc, say)
    patients = (say * sizes).sum() if weight is None else weight.sum()
    metrics = {
        "auroc": auroc,
        "auprc": _over_classes(np.stack([each.auprc() for each in ranked], axis=1)),
        **_by_decision(counts),
        "net_benefit": _net_benefit(acted[:, -1], act_at, patients),
        "brier": _brier(outcome, risks, each_say / patients),
    }
    return Measures(
        metrics={name: metrics[name] for name in METRICS},
        confusion=_whole(counts),
        acted=np.rint(acted[:, :-1]).astype(np.int64),
        by_class=np.stack(
            [*_sensitivity_specificity(counts), np.broadcast_to(by_class, (len(risks), classes))], axis=2
        ),
        auroc_low=low,
        auroc_high=high,
    )


def aurocs(outcome: NDArray[np.int64], risks: Array, weight: Array | None = None) -> Array:
    """AUROC (S,) of risks (S, K, N), the mean over classes for more than two, as in ``performance``."""
    ranked = _against_the_rest(outcome, risks, weight)
    return _over_classes(np.stack([each.auroc() for each in ranked], axis=1))


def _against_the_rest(outcome: NDArray[np.int64], risks: Array, say: Array | None) -> list[_Ranked]:
    """The positive class of two, every class of more."""
    classes = risks.shape[1]
    looked_at = range(classes) if classes > BINARY else (1,)
    return [_Ranked.of(outcome == k, risks[:, k], say) for k in looked_at]


@dataclass(frozen=True, eq=False)
class _Ranked:
    """S sets of risks, sorted: the patients with the class and without it up to every distinct risk.

    ``keys`` (S, N) are the sorted risks as whole numbers; ``events`` and ``others`` (S, N + 1) count those
    among the first n patients. Of the groups of patients who share a risk, all sets' one after the other:
    ``row`` is their set, ``ends`` and ``starts`` are places in the flat counts.
    """

    keys: NDArray[np.int64]
    events: Counts
    others: Counts
    row: NDArray[np.intp]
    starts: NDArray[np.intp]
    ends: NDArray[np.intp]
    order: NDArray[np.intp] | None

    @classmethod
    def of(cls, event: NDArray[np.bool_], risk: Array, say: Array | None) -> _Ranked:
        """Of risks (S, N) of the patients with the class (N,), each of whom counts for ``say`` (N,)."""
        # + 0.0 makes a negative zero positive, whose bits would come last.
        bits = (np.ascontiguousarray(risk) + 0.0).view(np.int64) << 1
        order = None
        if say is None:
            keys = bits | event
            keys.sort(axis=1)
            carried = keys & 1
            keys ^= carried
            events = _running(carried)
            others = np.arange(events.shape[1]) - events
        else:
            order = np.argsort(bits, axis=1, kind="stable")
            keys = np.take_along_axis(bits, order, axis=1)
            events, others = _running((say * event)[order]), _running((say * ~event)[order])
        row, starts, ends = _groups(keys)
        return cls(keys, events, others, row, starts, ends, order)

    def auroc(self) -> Array:
        """Mann-Whitney U by ties: all others below count one, those of the same risk a half."""
        events, others = self.events.ravel(), self.others.ravel()
        here = events[self.ends] - events[self.starts]
        twice = here * (others[self.starts] + others[self.ends])
        both = self.events[:, -1] * self.others[:, -1]
        return _share(self._sum(twice), 2 * both)

    def auprc(self) -> Array:
        """Average precision: the precision at every distinct risk, weighted by the recall gained there."""
        events, others = self.events.ravel(), self.others.ravel()
        all_events, all_others = self.events[self.row, -1], self.others[self.row, -1]
        found = all_events - events[self.starts]
        called = found + all_others - others[self.starts]
        gained = events[self.ends] - events[self.starts]
        whole = np.where(self.others[:, -1] > 0, self.events[:, -1], 0)
        return _share(self._sum(gained * (found / called)), whole)

    def acted(self, at: Array) -> Array:
        """Who is rightly and who wrongly acted on at each risk or above: (S, D, 2)."""
        bounds = at.view(np.int64) << 1
        below = np.stack([np.searchsorted(keys, bounds) for keys in self.keys])
        above = [
            counts[:, -1:] - np.take_along_axis(counts, below, axis=1)
            for counts in (self.events, self.others)
        ]
        return np.stack(above, axis=2).astype(np.float64)

    def placements(self) -> tuple[Array, Array]:
        """For every patient (S, N): the share of others below, and of events above, ties half."""
        assert self.order is not None
        n = self.keys.shape[1]
        mid = [
            (counts.ravel()[self.starts] + counts.ravel()[self.ends]) / 2
            for counts in (self.others, self.events)
        ]
        sizes = self.ends - self.starts
        below, events_below = (np.repeat(each, sizes).reshape(-1, n) for each in mid)
        below = below / self.others[:, -1:]
        above = 1 - events_below / self.events[:, -1:]
        found = np.empty_like(below), np.empty_like(above)
        for into, value in zip(found, (below, above), strict=True):
            np.put_along_axis(into, self.order, value, axis=1)
        return found

    def _sum(self, of_groups: Counts) -> Array:
        sums = np.bincount(self.row, weights=of_groups, minlength=len(self.keys))
        return sums.astype(np.float64, copy=False)


def _running(values: Counts) -> Counts:
    """Sums (S, N + 1) of the first n values."""
    sums = np.zeros((values.shape[0], values.shape[1] + 1), dtype=values.dtype)
    np.cumsum(values, axis=1, out=sums[:, 1:])
    return sums


def _groups(keys: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Of the runs of equal keys: their rows, and where they start and end in flat sums (S, N + 1)."""
    sets, n = keys.shape
    last = np.ones((sets, n + 1), dtype=bool)
    np.not_equal(keys[:, 1:], keys[:, :-1], out=last[:, 1:-1])
    bounds = np.flatnonzero(last)  # 0, the ends of runs, N, and so for every set
    row = bounds // (n + 1)
    within = row[1:] == row[:-1]
    return row[1:][within], bounds[:-1][within], bounds[1:][within]


def _share(part: Array, whole: Counts) -> Array:
    share = np.full(len(part), np.nan)
    np.divide(part, whole, out=share, where=whole > 0)
    return share


def _over_classes(values: Array) -> Array:
    """The mean (S,) over the classes present, of (S, classes); NaN where none is."""
    present = ~np.isnan(values)
    return _share(np.where(present, values, 0.0).sum(axis=1), present.sum(axis=1))


def _confusion(outcome: NDArray[np.int64], risks: Array, act_at: float, say: Array | None) -> Array:
    """Counts (S, K, K), each patient for what it stands for, ``say`` (N,)."""
    sets, classes, _ = risks.shape
    decided = (risks[:, 1] >= act_at).astype(np.int64) if classes == BINARY else risks.argmax(axis=1)
    flat = decided + outcome * classes + np.arange(sets)[:, None] * classes * classes
    each = None if say is None else np.broadcast_to(say, flat.shape).ravel()
    counts = np.bincount(flat.ravel(), each, minlength=sets * classes * classes)
    return counts.reshape(sets, classes, classes).astype(np.float64, copy=False)


def _whole(counts: Array) -> NDArray[np.int64]:
    """Whole patients whose sums over decisions stay what they are."""
    ends = np.rint(counts.cumsum(axis=2))
    whole: NDArray[np.int64] = np.diff(ends, axis=2, prepend=0).astype(np.int64)
    return whole


def _sensitivity_specificity(counts: Array) -> tuple[Array, Array]:
    """(S, K) each, one class against the rest; NaN where there is no patient to count."""
    right = np.diagonal(counts, axis1=1, axis2=2)
    of_class, called = counts.sum(axis=2), counts.sum(axis=1)
    others = of_class.sum(axis=1, keepdims=True) - of_class
    left_alone = others - (called - right)
    each = (_ratios(right, of_class, np.nan), _ratios(left_alone, others, np.nan))
    return each


def _ratios(part: Array, whole: Array, empty: float) -> Array:
    ratios = np.full(part.shape, empty)
    np.divide(part, whole, out=ratios, where=whole > 0)
    return ratios


def _by_decision(counts: Array) -> dict[str, Array]:
    sensitivity, specificity = _sensitivity_specificity(counts)
    right = np.diagonal(counts, axis1=1, axis2=2)
    f1 = _ratios(2 * right, counts.sum(axis=1) + counts.sum(axis=2), 0.0)
    binary = counts.shape[1] == BINARY

    def told(values: Array) -> Array:
        return values[:, 1] if binary else _over_classes(values)

    return {
        "accuracy": right.sum(axis=1) / counts.sum(axis=(1, 2)),
        "balanced_accuracy": _over_classes(sensitivity),
        "f1": told(f1),
        "sensitivity": told(sensitivity),
        "specificity": told(specificity),
    }


def _net_benefit(acted: Array, act_at: float, patients: float) -> Array:
    """From who is acted on (S, C, 2): the mean over classes."""
    if act_at >= 1:
        return np.full(len(acted), np.nan)
    odds = act_at / (1 - act_at)
    benefit: Array = (acted[:, :, 0] / patients - acted[:, :, 1] / patients * odds).mean(axis=1)
    return benefit


def _brier(outcome: NDArray[np.int64], risks: Array, share: Array) -> Array:
    if risks.shape[1] == BINARY:
        error = np.square(risks[:, 1] - (outcome == 1))
    else:
        truth = np.eye(risks.shape[1])[:, outcome]
        error = np.square(risks - truth).sum(axis=1)
    brier: Array = error @ share
    return brier


def _interval(
    outcome: NDArray[np.int64], ranked: list[_Ranked], auroc: Array, say: Array
) -> tuple[Array, Array]:
    """95 % interval of the whole split's AUROC from a sample stratified by class, on the logit scale.

    The variance is that of DeLong, DeLong and Clarke-Pearson (Biometrics 1988) by its influence values: what
    a patient adds to the mean AUROC over classes, so that the covariance of the classes' curves is in it;
    within every class it is corrected for the share of the class that was drawn. Where no value differs
    (all sorted rightly), the end is Wilson's for the smallest class.
    """
    classes = len(say)
    sizes = np.bincount(outcome, minlength=classes)
    present = [k for k in range(classes) if 0 < sizes[k] < len(outcome)]
    looked_at = [1] if classes == BINARY else present
    influence = np.zeros(ranked[0].keys.shape)
    for k in looked_at:
        event = outcome == k
        below, above = ranked[0 if classes == BINARY else k].placements()
        each = say[outcome]
        influence += np.where(event, below * each / each[event].sum(), above * each / each[~event].sum())
    influence /= len(looked_at)
    variance = np.zeros(len(auroc))
    for k in present:
        mine = influence[:, outcome == k]
        spread = mine.var(axis=1, ddof=1) if sizes[k] > 1 else np.zeros(len(auroc))
        variance += max(0.0, 1 - 1 / say[k]) * sizes[k] * spread
    smallest = min((int(sizes[k]) for k in present), default=1)
    whole = all(say[k] <= 1 for k in present)
    return _on_logits(auroc, np.sqrt(variance), 0.0 if whole else Z**2 / (smallest + Z**2))


def _on_logits(value: Array, error: Array, margin: float) -> tuple[Array, Array]:
    inside = (value > 0) & (value < 1) & (error > 0)
    safe = np.where(inside, value, 0.5)
    logit = np.log(safe / (1 - safe))
    reach = Z * error / (safe * (1 - safe))
    low, high = (1 / (1 + np.exp(-(logit + side * reach))) for side in (-1, 1))
    return (
        np.where(inside, low, np.clip(value - margin, 0, 1)),
        np.where(inside, high, np.clip(value + margin, 0, 1)),
    )
