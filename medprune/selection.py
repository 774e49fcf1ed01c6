"""Rules that choose one candidate, with the bootstrap of paired differences on tuning behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medprune.errors import BadInput
from medprune.performance import BINARY, acted_on, check_metric, decisions, higher_is_better

RESAMPLES = 1_000
CHUNK = 5_000_000  # rows times resamples held at a time
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Rule:
    """What a rule looks at: every candidate's tuning risks (N, classes) and size, dense first."""

    risks: Sequence[Array]
    sizes: Sequence[float]
    outcome: NDArray[np.int64]
    patients: NDArray[np.uint64]
    act_at: float
    metric: str
    margin: float
    weight: Array | None = None  # (N,) what each patient counts; None: alike


def one_se(rule: Rule) -> int:
    """The smallest candidate not worse than the best by more than one standard error of the difference."""
    scores, resampled = _metrics(rule)
    best = int(np.nanargmax(scores))
    errors = np.nanstd(resampled - resampled[best], axis=1)
    return _smallest(rule, scores >= scores[best] - errors)


def non_inferior(rule: Rule) -> int:
    """The smallest candidate whose 95 % interval of the change from dense stays above minus the margin."""
    _, resampled = _metrics(rule)
    low = np.nanquantile(resampled - resampled[0], 0.025, axis=1)
    allowed = low > -rule.margin
    allowed[0] = True
    return _smallest(rule, allowed)


RULES: dict[str, Callable[[Rule], int]] = {"one-se": one_se, "non-inferior": non_inferior}


def _smallest(rule: Rule, allowed: NDArray[np.bool_]) -> int:
    sizes = np.where(allowed, np.asarray(rule.sizes), np.inf)
    return int(sizes.argmin())


def _metrics(rule: Rule) -> tuple[Array, Array]:
    """The metric of every candidate (C,), larger is better, and over bootstrap resamples (C, RESAMPLES)."""
    check_metric(rule.metric)
    everyone = np.ones((1, len(rule.outcome))) if rule.weight is None else rule.weight[None]
    drawn = [_under(rule, weights) for weights in _resamples(rule)]
    return _under(rule, everyone)[:, 0], np.concatenate(drawn, axis=1)


def _resamples(rule: Rule) -> Iterator[Array]:
    """Row weights (B, N) of all resamples, a bounded number at a time."""
    rng = np.random.default_rng(0)
    most = max(1, CHUNK // len(rule.outcome))
    for start in range(0, RESAMPLES, most):
        size = min(most, RESAMPLES - start)
        yield bootstrap_weights(rule.outcome, rule.patients, size, rng, rule.weight)


def _under(rule: Rule, weights: Array) -> Array:
    """The metric of every candidate (C, B) under row weights (B, N); larger is better."""
    sign = 1.0 if higher_is_better(rule.metric) else -1.0
    rows = [weighted_metric(rule.metric, rule.outcome, risks, weights, rule.act_at) for risks in rule.risks]
    return sign * np.array(rows)


def bootstrap_weights(
    outcome: NDArray[np.int64],
    patients: NDArray[np.uint64],
    resamples: int,
    rng: np.random.Generator,
    weight: Array | None = None,
) -> Array:
    """How often each row is drawn (resamples, N), times its ``weight`` (N,): patients are drawn, not rows.

    Drawing within the outcome keeps every class in every resample; a patient with several rows
    belongs to the class of the highest of them. Rows of weight 0 have no known outcome and make a stratum of
    their own, the lowest. Weights are not estimated anew in a resample, which makes intervals a little wide.
    """
    _, owner = np.unique(patients, return_inverse=True)
    stratum = np.full(owner.max() + 1, -1, dtype=np.int64)
    np.maximum.at(stratum, owner, outcome if weight is None else np.where(weight > 0, outcome, -1))
    counts = np.zeros((resamples, len(stratum)))
    for group in np.unique(stratum):
        members = np.flatnonzero(stratum == group)
        counts[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), resamples)
    drawn: Array = counts[:, owner]
    return drawn if weight is None else drawn * weight


def weighted_metric(
    metric: str, outcome: NDArray[np.int64], risks: Array, weights: Array, act_at: float
) -> Array:
    """A metric of performance.py (B,) under row weights (B, N); equal weights give that metric.

    BadInput for the net benefit of acting at a risk of 1, which there is not.
    """
    if metric == "auroc":
        return _one_against_the_rest(_weighted_auroc_one, outcome, risks, weights)
    if metric == "auprc":
        return _one_against_the_rest(_weighted_average_precision, outcome, risks, weights)
    if metric == "net_benefit":
        return _weighted_net_benefit(outcome, risks, weights, act_at)
    if metric == "brier":
        return _weighted_brier(outcome, risks, weights)
    return _from_counts(
        metric, _weighted_confusion(outcome, decisions(risks, act_at), risks.shape[1], weights)
    )


def _one_against_the_rest(
    one: Callable[[NDArray[np.bool_], Array, Array], Array],
    outcome: NDArray[np.int64],
    risks: Array,
    weights: Array,
) -> Array:
    if risks.shape[1] == BINARY:
        return one(outcome == 1, risks[:, 1], weights)
    classes = [k for k in range(risks.shape[1]) if 0 < (outcome == k).sum() < len(outcome)]
    each = [one(outcome == k, risks[:, k], weights) for k in classes]
    mean: Array = np.mean(each, axis=0) if each else np.full(len(weights), np.nan)
    return mean


def _by_risk(event: NDArray[np.bool_], risk: Array, weights: Array) -> tuple[Array, Array]:
    """Weights of the events and of the others (B, distinct risks) at every distinct risk, rising."""
    _, place = np.unique(risk, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.diff(place[order], prepend=-1))
    events: Array = np.add.reduceat((weights * event)[:, order], starts, axis=1)
    others: Array = np.add.reduceat((weights * ~event)[:, order], starts, axis=1)
    return events, others


def _weighted_auroc_one(event: NDArray[np.bool_], risk: Array, weights: Array) -> Array:
    """P(event's risk > other's) + half the ties, from cumulative weights over the distinct risks."""
    events, others = _by_risk(event, risk, weights)
    below = np.cumsum(others, axis=1) - others
    won = (events * (below + others / 2)).sum(axis=1)
    pairs = events.sum(axis=1) * others.sum(axis=1)
    result: Array = np.divide(won, pairs, out=np.full(len(won), np.nan), where=pairs > 0)
    return result


def _weighted_average_precision(event: NDArray[np.bool_], risk: Array, weights: Array) -> Array:
    """The precision at every distinct risk, from the highest, weighted by the events gained there."""
    events, others = (part[:, ::-1] for part in _by_risk(event, risk, weights))
    found, acted = np.cumsum(events, axis=1), np.cumsum(events + others, axis=1)
    precision = np.divide(found, acted, out=np.zeros_like(found), where=acted > 0)
    one_class = (found[:, -1] == 0) | (found[:, -1] == acted[:, -1])
    with np.errstate(invalid="ignore"):
        result: Array = np.where(one_class, np.nan, (events * precision).sum(axis=1) / found[:, -1])
    return result


def _weighted_net_benefit(outcome: NDArray[np.int64], risks: Array, weights: Array, act_at: float) -> Array:
    if act_at >= 1:
        raise BadInput("There is no net benefit of acting at a risk of 1; act at a lower risk.")
    acted, event = acted_on(outcome, risks, act_at)
    gain = (acted & event) - (acted & ~event) * (act_at / (1 - act_at))
    mean: Array = weights @ gain.mean(axis=1) / weights.sum(axis=1)
    return mean


def _weighted_brier(outcome: NDArray[np.int64], risks: Array, weights: Array) -> Array:
    if risks.shape[1] == BINARY:
        errors = (risks[:, 1] - (outcome == 1)) ** 2
    else:
        errors = ((risks - np.eye(risks.shape[1])[outcome]) ** 2).sum(axis=1)
    mean: Array = weights @ errors / weights.sum(axis=1)
    return mean


def _weighted_confusion(
    outcome: NDArray[np.int64], decided: NDArray[np.int64], classes: int, weights: Array
) -> Array:
    """Counts (B, classes, classes) under row weights."""
    cells = np.eye(classes * classes)[outcome * classes + decided]
    counts: Array = (weights @ cells).reshape(-1, classes, classes)
    return counts


def _from_counts(metric: str, counts: Array) -> Array:
    hits = np.diagonal(counts, axis1=1, axis2=2)
    truth, called, total = counts.sum(axis=2), counts.sum(axis=1), counts.sum(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        if metric == "accuracy":
            mean: Array = hits.sum(axis=1) / total
            return mean
        if metric == "balanced_accuracy":
            recalls: Array = np.nanmean(hits / truth, axis=1)
            return recalls
        each = {
            "sensitivity": hits / truth,
            "specificity": 1 - (called - hits) / (total[:, None] - truth),
            "f1": np.nan_to_num(2 * hits / (truth + called)),
        }[metric]
    over_classes: Array = each[:, 1] if each.shape[1] == BINARY else np.nanmean(each, axis=1)
    return over_classes
