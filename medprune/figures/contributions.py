"""What weights, neurons and features contribute, and where the threshold cuts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from medprune.figures.style import BAND, KEPT, REMOVED, SECOND, figure, label
from medprune.mask import Mask

Array = NDArray[np.float64]
FLOOR = 1e-4  # everything below shares the first bin
BINS = 40
DOCUMENT_BAND = (0.01, 0.1)
MOST_BARS = 25
AXIS = 1e-5  # a logarithmic axis starts at this share of the largest value
SCALES = {
    "layer": "score / largest score of its layer",
    "global": "score / largest score of all",
    "adaptive": "adaptive (LAMP) score within its layer",
}


@dataclass(frozen=True)
class Histogram:
    """``edges`` (bins + 1,) over scores in [0, 1], ``counts`` (bins,) below and from the threshold on."""

    edges: Array
    removed: NDArray[np.int64]
    kept: NDArray[np.int64]


def histogram(scores: Array, threshold: float) -> Histogram:
    """Bin scores on a logarithmic scale; every score is in one bin, once.

    >>> h = histogram(np.array([0.0, 0.02, 1.0]), threshold=0.05)
    >>> int(h.removed.sum()), int(h.kept.sum())
    (2, 1)
    """
    edges = np.concatenate([[0.0], np.geomspace(FLOOR, 1.0, BINS)])
    edges[-1] = np.nextafter(1.0, 2.0)
    below = scores < threshold
    removed, _ = np.histogram(scores[below], edges)
    kept, _ = np.histogram(scores[~below], edges)
    return Histogram(edges, removed, kept)


def log_edges(edges: Array) -> Array:
    """The edges (bins + 1,) on a logarithmic axis, the first bin (0 to the floor) as wide as the second."""
    logarithms: Array = np.log10(np.maximum(edges, FLOOR * edges[1] / edges[2]))
    return logarithms


def contribution_histogram(
    scores: Array, threshold: float, *, title: str, what: str, scope: str = "layer"
) -> go.Figure:
    """How many ``what`` (weights, neurons, features) score how much; grey goes, blue stays."""
    bins = histogram(scores, threshold)
    edges = log_edges(bins.edges)
    left, right = edges[:-1], edges[1:]
    shown = figure(title=title, x=SCALES[scope], y=f"number of {what}", barmode="stack")
    for name, counts, colour in (("removed", bins.removed, REMOVED), ("kept", bins.kept, KEPT)):
        shown.add_bar(
            x=(left + right) / 2,
            width=right - left,
            y=counts,
            name=f"{name} ({counts.sum():,})",
            marker_color=colour,
            hovertext=[_range_text(a, b) for a, b in zip(bins.edges[:-1], bins.edges[1:], strict=True)],
            hovertemplate=f"%{{hovertext}}: %{{y:,}} {what}<extra></extra>",
        )
    low, high = np.log10(DOCUMENT_BAND)
    shown.add_vrect(x0=low, x1=high, fillcolor=BAND, line_width=0, layer="below")
    shown.add_annotation(
        x=(low + high) / 2, y=1, yref="paper", text="0.01 to 0.1", showarrow=False, yanchor="top"
    )
    shown.add_vline(
        x=float(np.log10(max(threshold, FLOOR))), line_dash="dash", line_width=2, line_color=SECOND
    )
    ticks = [-4, -3, -2, -1, 0]
    shown.update_xaxes(
        tickvals=ticks, ticktext=["≤ 0.0001", "0.001", "0.01", "0.1", "1"], range=[left[0], 0.02]
    )
    return shown


def _range_text(low: float, high: float) -> str:
    return f"{low:.2g} to {min(high, 1.0):.2g}"


def feature_bars(features: pd.DataFrame, needed: Sequence[str] | None = None, *, title: str) -> go.Figure:
    """Features by score, the most telling on top; those not ``needed`` any more are grey."""
    top = features.sort_values("score", ascending=False, kind="stable").head(MOST_BARS).iloc[::-1]
    wanted = set(top["name"] if needed is None else needed)
    shown = figure(title=title, x="mean contribution", y="", height=120 + 22 * len(top), barmode="overlay")
    for name, colour, members in (
        ("needed", KEPT, top["name"].isin(wanted)),
        ("no longer needed", REMOVED, ~top["name"].isin(wanted)),
    ):
        if members.any():
            shown.add_bar(
                x=top.loc[members, "score"],
                y=np.flatnonzero(members),
                orientation="h",
                name=name,
                marker_color=colour,
                hovertext=[label(feature) for feature in top.loc[members, "name"]],
                hovertemplate="%{hovertext}: %{x:.3g}<extra></extra>",
            )
    places = list(range(len(top)))
    shown.update_yaxes(tickvals=places, ticktext=[label(feature) for feature in top["name"]])
    return shown


def drop_bars(table: pd.DataFrame, *, title: str, metric: str) -> go.Figure:
    """What ``metric`` loses without each group, the largest drop on top, with intervals; noise is grey.

    ``table``: that of :class:`medprune.drops.Drops`. Of many groups those with the largest drops.
    """
    top = table.sort_values("drop", ascending=False, kind="stable").head(MOST_BARS).iloc[::-1]
    shown = figure(title=title, x=f"{metric} lost without it", y="", height=140 + 22 * len(top))
    noise = top["noise"].to_numpy(bool)
    for name, colour, members in (("told from chance", KEPT, ~noise), ("noise", REMOVED, noise)):
        part = top[members]
        shown.add_scatter(
            x=part["drop"],
            y=np.flatnonzero(members),
            error_x={
                "type": "data",
                "symmetric": False,
                "array": part["high"] - part["drop"],
                "arrayminus": part["drop"] - part["low"],
                "thickness": 1,
                "width": 0,
                "color": colour,
            },
            mode="markers",
            name=f"{name} ({len(part):,})",
            marker={"color": colour, "size": 8},
            hovertext=[label(group) for group in part["name"]],
            hovertemplate="%{hovertext}: %{x:.3f}<extra></extra>",
        )
    shown.add_vline(x=0, line_width=1, line_dash="dash")
    shown.update_yaxes(tickvals=list(range(len(top))), ticktext=[label(group) for group in top["name"]])
    return shown


def agreement_scatter(table: pd.DataFrame, effect: str, *, title: str) -> go.Figure:
    """Each part that was truly removed, by its score and by what that did; equal scores lie on one line.

    ``table`` has name, score and change. Both axes are logarithmic; nothing at all is drawn at their start.
    """
    shown = figure(title=title, x="score", y=f"mean change of {effect}")
    shown.add_scatter(
        x=_on_logarithm(table["score"]),
        y=_on_logarithm(table["change"]),
        mode="markers",
        marker={"color": KEPT, "size": 7, "opacity": 0.6},
        text=[
            f"{label(name)}: score {score:.3g}, change {change:.3g}"
            for name, score, change in zip(table["name"], table["score"], table["change"], strict=True)
        ],
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
    )
    shown.update_xaxes(type="log", exponentformat="power", dtick=1)
    shown.update_yaxes(type="log", exponentformat="power", dtick=1)
    return shown


def _on_logarithm(values: pd.Series) -> Array:
    """The values, those too small for a logarithmic axis at its start."""
    known: Array = values.to_numpy(np.float64)
    largest = known.max(initial=0.0)
    return np.maximum(known, (largest if largest > 0 else 1.0) * AXIS)


def kept_by_layer(mask: Mask, layer_names: Sequence[str], *, title: str) -> go.Figure:
    """The share of weights each layer keeps."""
    shares = [float(alive.float().mean()) for alive in mask.alive_weights()]
    counts = [f"{int(alive.sum()):,} of {alive.numel():,}" for alive in mask.alive_weights()]
    shown = figure(title=title, x="", y="weights kept", height=260)
    shown.add_bar(
        x=list(layer_names),
        y=shares,
        marker_color=KEPT,
        text=counts,
        hovertemplate="%{x}: %{text} weights<extra></extra>",
        showlegend=False,
    )
    shown.update_yaxes(tickformat=".0%", range=[0, 1.05])
    return shown
