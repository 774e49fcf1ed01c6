"""What the live threshold is sent, once: every swept threshold with its figures, texts and what it removes.

Texts are written here, by the functions that write them everywhere: what moves in the browser and what the
server says of the same threshold agree to the letter.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medprune import Candidate, Contributions, RiskModel, Tradeoff
from medprune.figures.contributions import DOCUMENT_BAND, SCALES, histogram, log_edges
from medprune.figures.tradeoff import METRIC_NAMES
from medprune.performance import BINARY, higher_is_better
from medprune.ranked import measures
from pages.shared.guide import PLURAL, change_text, metric_text, rate, share, size_text

TILES = (
    "sparsity",
    "auroc",
    "accuracy",
    "f1",
    "sensitivity",
    "specificity",
    "parameters",
    "features",
    "bytes",
)
SIZES = {"parameters": "Parameters", "features": "Features", "bytes": "Network file"}
MOST_NODES = 50  # of a layer; more cannot be read
MOST_EDGES = 1_500
Array = NDArray[np.float64]


def payload(
    model: RiskModel,
    sweep: Tradeoff,
    contributions: Contributions,
    normalised: Sequence[Array],
    *,
    finished: Sequence[Candidate],
    outcome: NDArray[np.int64],
    view: Mapping[str, Any],
    weight: Array | None = None,
) -> dict[str, Any]:
    """Everything the browser needs; ``finished`` are measured on the patients with ``outcome``, who count
    ``weight``."""
    what = PLURAL[sweep.granularity]
    dense = sweep.table.iloc[0]
    made = {
        "what": what,
        "groups": sum(part.size for part in normalised),
        "scoreTitle": SCALES[sweep.scope],
        "band": list(DOCUMENT_BAND),
        "names": METRIC_NAMES,
        "better": {name: 1 if higher_is_better(name) else -1 for name in METRIC_NAMES},
        "tiles": [{"name": name, "label": label(name, what)} for name in TILES],
        "thresholds": sweep.thresholds.tolist(),
        "sparsity": sweep.table["sparsity"].tolist(),
        "metrics": {name: _numbers(sweep.table[name]) for name in METRIC_NAMES},
        "interval": _interval(sweep),
        "text": {
            **{name: [text_of(name, value) for value in sweep.table[name]] for name in TILES},
            "threshold": [f"{threshold:.4g}" for threshold in sweep.thresholds],
            "said": [
                said(row, dense, sweep, len(contributions.feature_names)) for _, row in sweep.table.iterrows()
            ],
        },
        "change": {
            name: [changed(name, value, dense[name]) for value in sweep.table[name]] for name in TILES
        },
        "finished": _finished(finished, outcome, weight),
        "histogram": _histogram(normalised),
        "network": _network(model, sweep, contributions),
        "features": [
            {"name": name, "last": int(last)}
            for name, last in zip(contributions.feature_names, sweep.lasts.features, strict=True)
        ],
        **_decisions(model, sweep),
        "view": dict(view),
    }
    json.dumps(made, allow_nan=False)  # what is no JSON would leave the picture empty without a word
    return made


def label(name: str, what: str) -> str:
    """What a tile is called."""
    return f"{what.capitalize()} removed" if name == "sparsity" else SIZES.get(name) or METRIC_NAMES[name]


def text_of(name: str, value: float) -> str:
    """A figure as it is written everywhere."""
    if name == "sparsity":
        return share(value)
    if name == "bytes":
        return size_text(value)
    return f"{value:,.0f}" if name in SIZES else metric_text(name, value)


def changed(name: str, value: float, dense: float) -> str:
    """What the figure was, or by how much it changed."""
    if name == "sparsity":
        return "before retraining"
    if name in SIZES:
        return f"of {text_of(name, dense)}"
    return change_text(name, value - dense) or ""


def said(row: pd.Series, dense: pd.Series, sweep: Tradeoff, features: int) -> str:
    """The threshold in a sentence."""
    change = change_text("auroc", row["auroc"] - dense["auroc"]) or "unknown"
    gone = features - int(row["features"])
    whose = "" if sweep.sampled is None else f" in a sample of {sweep.sampled:,} patients"
    return (
        f"In one cut, threshold {row['threshold']:.4g} removes {share(row['sparsity'])} of the "
        f"{PLURAL[sweep.granularity]} and leaves AUROC at {rate(row['auroc'])}{whose} (dense "
        f"{rate(dense['auroc'])}, {change}); {gone} of {features} features are no longer needed."
    )


def _numbers(values: pd.Series) -> list[float | None]:
    return [None if pd.isna(value) else float(value) for value in values]


def _interval(sweep: Tradeoff) -> dict[str, list[float | None]] | None:
    if sweep.sampled is None:
        return None
    return {side: _numbers(sweep.table[f"auroc_{side}"]) for side in ("low", "high")}


def _finished(
    candidates: Sequence[Candidate], outcome: NDArray[np.int64], weight: Array | None
) -> list[dict[str, Any]]:
    """The finished models: points of their own, with who is acted on at every risk of the grid."""
    if not candidates:
        return []
    risks = np.stack([candidate.tuning_risks.T for candidate in candidates])
    acted = measures(outcome, risks, weight=weight).acted
    return [
        _point(candidate, at_risks.tolist()) for candidate, at_risks in zip(candidates, acted, strict=True)
    ]


def _point(candidate: Candidate, acted: list[Any]) -> dict[str, Any]:
    figures = {**{name: candidate.performance[name] for name in METRIC_NAMES}, "sparsity": candidate.sparsity}
    figures |= {name: getattr(candidate.size, name) for name in SIZES}
    return {
        "sparsity": candidate.sparsity,
        "metrics": {name: None if np.isnan(figures[name]) else figures[name] for name in METRIC_NAMES},
        "text": {name: text_of(name, value) for name, value in figures.items()},
        "acted": acted,
    }


def _decisions(model: RiskModel, sweep: Tradeoff) -> dict[str, Any]:
    """Counts at every risk acted on, and of each class at the one that is acted on now."""
    events = sweep.confusion[0].sum(axis=1)
    binary = len(model.classes) == BINARY
    return {
        "patients": int(events.sum()),
        "classes": list(model.classes),
        "acting": list(model.classes[1:] if binary else model.classes),
        "events": [int(count) for count in (events[1:] if binary else events)],
        "actGrid": sweep.act_grid.tolist(),
        "acted": sweep.acted.tolist(),
        "confusion": sweep.confusion.tolist(),
        "byClass": [
            [
                [share(sensitivity), share(specificity), rate(auroc)]
                for sensitivity, specificity, auroc in classes
            ]
            for classes in sweep.by_class
        ],
    }


def _histogram(normalised: Sequence[Array]) -> dict[str, list[float]]:
    scores = np.concatenate([part.ravel() for part in normalised])
    bins = histogram(scores, threshold=0.0)
    return {"edges": log_edges(bins.edges).tolist(), "counts": bins.kept.tolist()}


# --- the network picture ---------------------------------------------------------------------------------


def _network(model: RiskModel, sweep: Tradeoff, contributions: Contributions) -> dict[str, Any]:
    """Features, units and classes as nodes; the strongest weights between them as edges.

    An edge is [layer, from, to, strength, last]: all columns of a feature make one, as strong as their
    strongest.
    """
    scores, lasts = list(contributions.weight_scores), list(sweep.lasts.weights)
    of_column = model.preparation.feature_of_column
    scores[0], lasts[0] = (
        _by_feature(part, of_column, len(model.features)) for part in (scores[0], lasts[0])
    )
    ends = [sweep.lasts.features, *sweep.lasts.units, np.full(len(model.classes), len(sweep.table))]
    names = [list(model.features), *(_units(layer, len(units)) for layer, units in enumerate(ends[1:-1]))]
    shown = [_shown(part) for part in ends]
    edges = [
        edge for layer in range(len(scores)) for edge in _edges(layer, scores[layer], lasts[layer], shown)
    ]
    edges.sort(key=lambda edge: -edge[3])
    nodes = [
        [{"name": of_layer[place], "last": int(last[place])} for place in places]
        for of_layer, last, places in zip([*names, list(model.classes)], ends, shown, strict=True)
    ]
    return {"layers": nodes, "edges": edges[:MOST_EDGES], "title": _network_title(ends, shown, len(edges))}


def _by_feature(part: NDArray[Any], of_column: NDArray[np.int64], features: int) -> NDArray[Any]:
    """The largest over the columns of each feature: (out, columns) to (out, features)."""
    result = np.zeros((part.shape[0], features), dtype=part.dtype)
    np.maximum.at(result, (slice(None), of_column), part)
    return result


def _units(layer: int, width: int) -> list[str]:
    return [f"hidden {layer + 1} unit {unit + 1}" for unit in range(width)]


def _shown(lasts: NDArray[np.int64]) -> NDArray[np.intp]:
    """The places that are drawn: those that stay longest, in their own order."""
    return np.sort(np.argsort(-lasts, kind="stable")[:MOST_NODES])


def _edges(
    layer: int, scores: Array, lasts: NDArray[np.int64], shown: Sequence[NDArray[np.intp]]
) -> list[list[float]]:
    part = scores[np.ix_(shown[layer + 1], shown[layer])]
    ends = lasts[np.ix_(shown[layer + 1], shown[layer])]
    strength = np.sqrt(part / max(part.max(initial=0.0), np.finfo(float).tiny))
    rows, columns = np.nonzero(ends)
    return [
        [layer, int(column), int(row), round(float(strength[row, column]), 3), int(ends[row, column])]
        for row, column in zip(rows, columns, strict=True)
    ]


def _network_title(ends: Sequence[NDArray[Any]], shown: Sequence[NDArray[Any]], edges: int) -> str:
    hidden = " and ".join(str(len(units)) for units in ends[1:-1]) or "no"
    told = f"The network: {len(ends[0])} features, {hidden} hidden units"
    if any(len(some) < len(all_of) for some, all_of in zip(shown, ends, strict=True)):
        told += f"; at most {MOST_NODES} of a layer are drawn"
    return told if edges <= MOST_EDGES else f"{told}; the {MOST_EDGES:,} strongest of {edges:,} lines"
