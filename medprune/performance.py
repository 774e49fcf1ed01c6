"""How well risks sort and separate patients, and what acting on them is worth.

Risks are (N, classes). Binary outcomes act at ``act_at`` on the risk of the second class; more
classes take the largest risk, and AUROC, AUPRC, F1, sensitivity and specificity are the mean over
classes (one class against the rest). Balanced accuracy is the mean sensitivity of all classes. Brier is
the mean squared error of the positive risk, or, for more classes, the mean over patients of the summed
squared errors. Net benefit weighs who is rightly acted on against who is not.

Everywhere ``weight`` (N,) says what each patient counts, None: alike. One of weight 0 (whose outcome nobody
knows, see :mod:`medprune.censoring`) is as good as absent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from medprune.errors import BadInput

METRICS = (
    "auroc",
    "auprc",
    "accuracy",
    "balanced_accuracy",
    "f1",
    "sensitivity",
    "specificity",
    "net_benefit",
    "brier",
)
SMALLER_IS_BETTER = ("brier",)
NAMES = {"auroc": "AUROC", "auprc": "AUPRC", "f1": "F1", "brier": "Brier score"}  # in a sentence
BINARY = 2
Weight = NDArray[np.float64] | None
Counts = NDArray[np.int64 | np.float64]


@dataclass(frozen=True)
class Performance:
    """The metrics of one set of risks.

    All lie in [0, 1] except a multi-class Brier, which reaches 2, and net benefit, which is at most the
    share of patients with the outcome and has no lower end.
    """

    auroc: float
    auprc: float
    accuracy: float
    balanced_accuracy: float
    f1: float
    sensitivity: float
    specificity: float
    net_benefit: float
    brier: float

    def __getitem__(self, metric: str) -> float:
        return float(asdict(self)[check_metric(metric)])


def check_metric(metric: str) -> str:
    if metric not in METRICS:
        raise BadInput(f"Metric must be one of {', '.join(METRICS)}, got {metric!r}.")
    return metric


def metric_in_words(metric: str) -> str:
    """A metric's name within a sentence.

    >>> metric_in_words("auroc"), metric_in_words("balanced_accuracy")
    ('AUROC', 'balanced accuracy')
    """
    return NAMES.get(metric, metric.replace("_", " "))


def higher_is_better(metric: str) -> bool:
    """False for errors such as Brier; BadInput for an unknown metric."""
    return check_metric(metric) not in SMALLER_IS_BETTER


def check_share(value: float, what: str) -> float:
    """A number in [0, 1], or BadInput."""
    if not 0 <= value <= 1:
        raise BadInput(f"{what} must lie in [0, 1], got {value:g}.")
    return float(value)


def performance(
    outcome: NDArray[np.int64], risks: NDArray[np.float64], act_at: float = 0.5, weight: Weight = None
) -> Performance:
    """All metrics of risks (N, classes) against outcomes (N,), each patient counted for ``weight`` (N,).

    >>> risks = np.array([[.9, .1], [.6, .4], [.3, .7], [.2, .8]])
    >>> performance(np.array([0, 1, 0, 1]), risks).auroc
    0.75
    """
    outcome, risks, weight = _those_who_count(outcome, risks, weight)
    counts = confusion(outcome, decisions(risks, act_at), risks.shape[1], weight)
    return Performance(
        auroc=auroc(outcome, risks, weight),
        auprc=auprc(outcome, risks, weight),
        accuracy=float(np.trace(counts) / counts.sum()),
        balanced_accuracy=float(np.nanmean(_sensitivity(counts))),
        f1=_mean_over_classes(_f1(counts)),
        sensitivity=_mean_over_classes(_sensitivity(counts)),
        specificity=_mean_over_classes(_specificity(counts)),
        net_benefit=net_benefit(outcome, risks, act_at, weight),
        brier=brier(outcome, risks, weight),
    )


def _those_who_count(
    outcome: NDArray[np.int64], risks: NDArray[np.float64], weight: Weight
) -> tuple[NDArray[np.int64], NDArray[np.float64], Weight]:
    if weight is None:
        return outcome, risks, None
    there = weight > 0
    return outcome[there], risks[there], weight[there]


def decisions(risks: NDArray[np.float64], act_at: float = 0.5) -> NDArray[np.int64]:
    """The class each patient is put in (N,)."""
    binary = risks.shape[1] == BINARY
    decided: NDArray[np.int64] = (risks[:, 1] >= act_at).astype(np.int64) if binary else risks.argmax(axis=1)
    return decided


def confusion(
    outcome: NDArray[np.int64], decided: NDArray[np.int64], classes: int, weight: Weight = None
) -> Counts:
    """Counts (classes, classes), or sums of weights: row the true class, column the decision."""
    flat = np.bincount(outcome * classes + decided, weight, minlength=classes * classes)
    return flat.reshape(classes, classes)


def auroc(outcome: NDArray[np.int64], risks: NDArray[np.float64], weight: Weight = None) -> float:
    """P(risk of a patient with the class > risk of one without), ties half; the mean over classes.

    NaN when the outcome holds one class only. Formula: Mann-Whitney U by midranks.
    """
    return _one_against_the_rest(_auroc_one, *_those_who_count(outcome, risks, weight))


def auprc(outcome: NDArray[np.int64], risks: NDArray[np.float64], weight: Weight = None) -> float:
    """Average precision: the precision at every distinct risk, weighted by the recall gained there.

    The area under the precision-recall curve without interpolation, as scikit-learn has it; the mean over
    classes; NaN when the outcome holds one class only.
    """
    return _one_against_the_rest(_average_precision, *_those_who_count(outcome, risks, weight))


def _one_against_the_rest(
    one: Callable[[NDArray[np.bool_], NDArray[np.float64], Weight], float],
    outcome: NDArray[np.int64],
    risks: NDArray[np.float64],
    weight: Weight,
) -> float:
    """The positive class's value for two classes, the mean over the classes present for more."""
    if risks.shape[1] == BINARY:
        return one(outcome == 1, risks[:, 1], weight)
    present = [k for k in range(risks.shape[1]) if 0 < (outcome == k).sum() < len(outcome)]
    each = [one(outcome == k, risks[:, k], weight) for k in present]
    return float(np.mean(each)) if each else float("nan")


def _auroc_one(event: NDArray[np.bool_], risk: NDArray[np.float64], weight: Weight) -> float:
    if weight is not None:
        return _weighted_auroc(event, risk, weight)
    events, others = int(event.sum()), int((~event).sum())
    if not events or not others:
        return float("nan")
    above = rankdata(risk)[event].sum() - events * (events + 1) / 2
    return float(above / (events * others))


def _weighted_auroc(
    event: NDArray[np.bool_], risk: NDArray[np.float64], weight: NDArray[np.float64]
) -> float:
    """The share of pairs, each counted as the product of its weights, that are sorted rightly; ties half."""
    if event.all() or not event.any():
        return float("nan")
    _, place = np.unique(risk, return_inverse=True)
    events = np.bincount(place, weight * event)
    others = np.bincount(place, weight * ~event)
    below = np.cumsum(others) - others
    return float((events * (below + others / 2)).sum() / (events.sum() * others.sum()))


def _average_precision(event: NDArray[np.bool_], risk: NDArray[np.float64], weight: Weight) -> float:
    if event.all() or not event.any():
        return float("nan")
    order = np.argsort(-risk, kind="stable")
    last = np.append(np.flatnonzero(np.diff(risk[order])), len(risk) - 1)  # of the patients who share a risk
    if weight is None:
        found, called = np.cumsum(event[order])[last], last + 1
    else:
        found, called = (np.cumsum(part[order])[last] for part in (weight * event, weight))
    gained = np.diff(found, prepend=0)
    return float((gained * found / called).sum() / found[-1])


def net_benefit(
    outcome: NDArray[np.int64], risks: NDArray[np.float64], act_at: float = 0.5, weight: Weight = None
) -> float:
    """True positives minus false positives at the odds of ``act_at``, a patient (Vickers and Elkin, 2006).

    ``TP / n - FP / n * t / (1 - t)`` for acting on a risk of ``t`` or more: in units of rightly treated
    patients. The mean over classes, each acted on at ``t``, for more than two. NaN at ``t`` = 1, whose
    odds are infinite.
    """
    if act_at >= 1:
        return float("nan")
    odds = act_at / (1 - act_at)
    acted, event = acted_on(outcome, risks, act_at)
    if weight is not None:
        worth = (acted & event) - (acted & ~event) * odds
        return float(np.average(worth.mean(axis=1), weights=weight))
    return float(np.mean((acted & event).mean(axis=0) - (acted & ~event).mean(axis=0) * odds))


def acted_on(
    outcome: NDArray[np.int64], risks: NDArray[np.float64], act_at: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Who is acted on, and who has the class: (N, 1) for a binary outcome, (N, classes) for more."""
    classes = np.arange(risks.shape[1]) if risks.shape[1] > BINARY else np.array([1])
    return risks[:, classes] >= act_at, outcome[:, None] == classes


def brier(outcome: NDArray[np.int64], risks: NDArray[np.float64], weight: Weight = None) -> float:
    if risks.shape[1] == BINARY:
        return float(np.average((risks[:, 1] - (outcome == 1)) ** 2, weights=weight))
    truth = np.eye(risks.shape[1])[outcome]
    return float(np.average(((risks - truth) ** 2).sum(axis=1), weights=weight))


def log_loss(outcome: NDArray[np.int64], risks: NDArray[np.float64], weight: Weight = None) -> float:
    """Mean of -log p(true class), risks clipped at 1e-12."""
    each = -np.log(np.clip(risks[np.arange(len(outcome)), outcome], 1e-12, None))
    return float(np.average(each, weights=weight))


def _mean_over_classes(values: NDArray[np.float64]) -> float:
    """The positive class's value for two classes, the mean over the classes present for more."""
    if len(values) == BINARY:
        return float(values[1])
    return float(np.nanmean(values))


def _sensitivity(counts: Counts) -> NDArray[np.float64]:
    return _ratio(np.diag(counts), counts.sum(axis=1), empty=np.nan)


def _specificity(counts: Counts) -> NDArray[np.float64]:
    others = counts.sum() - counts.sum(axis=1)
    called = counts.sum(axis=0) - np.diag(counts)
    return _ratio(others - called, others, empty=np.nan)


def _f1(counts: Counts) -> NDArray[np.float64]:
    return _ratio(2 * np.diag(counts), counts.sum(axis=0) + counts.sum(axis=1), empty=0.0)


def _ratio(part: Counts, whole: Counts, empty: float) -> NDArray[np.float64]:
    out = np.full(len(part), empty)
    np.divide(part, whole, out=out, where=whole > 0)
    return out
