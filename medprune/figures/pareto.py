"""All methods on one chart: what a model needs against what it reaches on tuning patients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from medprune.candidate import Candidate
from medprune.comparison import Resampled, intervals_of, labels, resampled_path
from medprune.errors import BadInput
from medprune.figures.style import CLASSES, KEPT, figure, inert
from medprune.figures.tradeoff import METRIC_NAMES
from medprune.path import COUNTS, Path
from medprune.performance import check_metric

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "star")
AXES = {"parameters": "parameters", "features": "features needed", "price": "price of the features needed"}


def pareto_chart(
    paths: Sequence[Path],
    *,
    metric: str = "auroc",
    x: str = "parameters",
    chosen: Candidate | None = None,
    resampled: Resampled | None = resampled_path,
) -> go.Figure:
    """``metric`` on tuning against parameters (log), features or price; a point is a finished model.

    A colour and a symbol a method; the thin steps are its own front: the best it has with so much or
    less. ``resampled`` gives each point's 95 % bootstrap interval (None: none is drawn); it may remember what
    :func:`resampled_path` gives. ``customdata`` of a point is (place of
    its path, place of its candidate), so that a click can take it up. The dense model of the first path
    is the dashed line.
    """
    check_metric(metric)
    if x not in COUNTS:
        raise BadInput(f"Size must be counted in one of {', '.join(COUNTS)}, got {x!r}.")
    title = METRIC_NAMES[metric]
    unit = paths[0].prices.unit if paths and x == "price" else ""
    shown = figure(
        title=f"{title} against {AXES[x]}, on tuning patients",
        x=AXES[x] + (f" ({inert(unit)})" if unit else ""),
        y=title,
        height=460,
    )
    for place, name in enumerate(labels(paths)):
        _add_method(shown, paths[place], place, inert(name), metric=metric, x=x, resampled=resampled)
    if chosen is not None:
        shown.add_scatter(
            x=[getattr(chosen, x)],
            y=[chosen.performance[metric]],
            name="chosen",
            mode="markers",
            marker={"size": 18, "color": KEPT, "symbol": "circle-open", "line": {"width": 3}},
            hoverinfo="skip",
        )
    if paths:
        shown.add_hline(
            y=paths[0].dense.performance[metric],
            line_dash="dash",
            line_width=1,
            annotation_text="dense",
            annotation_position="top left",
        )
    shown.update_xaxes(type="log" if x == "parameters" else "linear")
    return shown


def _add_method(
    shown: go.Figure, path: Path, place: int, name: str, *, metric: str, x: str, resampled: Resampled | None
) -> None:
    """The finished models of one path, and behind them the steps of its front."""
    if len(path) == 1:
        return
    colour, finished = CLASSES[place % len(CLASSES)], path.candidates[1:]
    steps = _front(path, metric, x)
    shown.add_scatter(
        x=[getattr(path.candidates[step], x) for step in steps],
        y=[path.candidates[step].performance[metric] for step in steps],
        customdata=[(place, step) for step in steps],
        name=name,
        legendgroup=name,
        showlegend=False,
        mode="lines",
        line={"color": colour, "width": 1, "shape": "hv"},
        hoverinfo="skip",
    )
    shown.add_scatter(
        x=[getattr(candidate, x) for candidate in finished],
        y=[candidate.performance[metric] for candidate in finished],
        error_y=None if resampled is None else _error_bars(path, metric, colour, resampled),
        customdata=[(place, step) for step in range(1, len(path))],
        text=[_told(candidate, path) for candidate in finished],
        name=name,
        legendgroup=name,
        mode="markers",
        marker={"size": 9, "color": colour, "symbol": SYMBOLS[place % len(SYMBOLS)]},
        hovertemplate=f"%{{text}}: %{{y:.3f}}<extra>{name}</extra>",
    )


def _front(path: Path, metric: str, x: str) -> list[int]:
    """Places of the candidates, dense apart, that no other of their size or less equals; smallest first."""
    sign = -1 if metric == "brier" else 1
    worth = [(getattr(c, x), -sign * c.performance[metric], place) for place, c in enumerate(path)][1:]
    front: list[int] = []
    lowest = np.inf
    for _, loss, place in sorted(worth):
        if loss < lowest:
            front.append(place)
            lowest = loss
    return front


def _error_bars(path: Path, metric: str, colour: str, resampled: Resampled) -> dict[str, object]:
    finished = path.candidates[1:]
    low, high = intervals_of(resampled(path, metric)[1:]).T
    values = np.array([candidate.performance[metric] for candidate in finished])
    return {
        "type": "data",
        "symmetric": False,
        "array": np.maximum(high - values, 0),
        "arrayminus": np.maximum(values - low, 0),
        "thickness": 0.7,
        "width": 0,
        "color": colour,
    }


def _told(candidate: Candidate, path: Path) -> str:
    price = f", {candidate.price:g} {inert(path.prices.unit)}".rstrip() if path.prices else ""
    return f"{candidate.parameters:,} parameters, {candidate.features:,} features{price}"
