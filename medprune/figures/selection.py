"""Cross-validation: every stop on held-out patients, fold by fold, and the thresholds the folds found."""

from __future__ import annotations

import plotly.graph_objects as go

from medprune.figures.style import BAND, KEPT, REMOVED, SECOND, figure
from medprune.figures.tradeoff import METRIC_NAMES
from medprune.fold_selection import BAND as DOCUMENT_BAND
from medprune.fold_selection import RUN, Selection

LIMIT_NAMES = {
    "one-se": "within one standard error of the best",
    "non-inferior": "not inferior to dense",
}


def selection_curve(selection: Selection) -> go.Figure:
    """The metric on held-out patients against the share removed: mean ± one standard error, and every fold.

    A mean on the better side of the dotted line is allowed by the rule. Settings, which have no order, are
    points alone.
    """
    how, table = selection.how, selection.table
    title, what = METRIC_NAMES[how.metric], f"{selection.granularity}s"
    shown = figure(title=f"{title} against size, on held-out patients", x=f"share of {what} removed", y=title)
    _folds(shown, selection)
    shown.add_scatter(
        x=table["sparsity"],
        y=table["mean"],
        error_y={"array": table["se"], "thickness": 1.5, "width": 3},
        customdata=table[["parameters", "threshold", "se"]],
        name="mean ± one standard error",
        mode="markers",
        marker={"size": 10, "color": KEPT},
        hovertemplate="%{x:.1%} removed, %{customdata[0]:,.0f} parameters, threshold %{customdata[1]:.3g}: "
        "%{y:.3f} ± %{customdata[2]:.3f}<extra>mean</extra>",
    )
    if how.rule in LIMIT_NAMES:
        shown.add_scatter(
            x=table["sparsity"],
            y=table["limit"],
            name=LIMIT_NAMES[how.rule],
            mode="markers" if selection.searched else "lines",
            marker={"size": 9, "color": SECOND, "symbol": "line-ew-open"},
            line={"color": SECOND, "width": 2, "dash": "dot"},
            hovertemplate="%{y:.3f} is needed<extra></extra>",
        )
    chosen = selection.chosen
    shown.add_scatter(
        x=[chosen["sparsity"]],
        y=[chosen["mean"]],
        name="chosen",
        mode="markers",
        marker={"size": 18, "color": KEPT, "symbol": "circle-open", "line": {"width": 3}},
        hoverinfo="skip",
    )
    shown.update_xaxes(tickformat=".0%", range=[-0.02, 1.02])
    return shown


def _folds(shown: go.Figure, selection: Selection) -> None:
    """Every fold of every repeat as a thin grey line."""
    for first, (_, run) in enumerate(selection.held_out.groupby(RUN)):
        shown.add_scatter(
            x=run["sparsity"],
            y=run[selection.how.metric],
            name="one fold",
            legendgroup="folds",
            showlegend=first == 0,
            mode="markers" if selection.searched else "lines",
            marker={"size": 4, "color": REMOVED},
            line={"color": REMOVED, "width": 0.8},
            opacity=0.6,
            hoverinfo="skip",
        )


def threshold_spread(selection: Selection) -> go.Figure:
    """The threshold of the chosen option in every fold, their median, and the document's band."""
    runs, spread = selection.runs, selection.threshold
    shown = figure(title="Threshold of the choice, fold by fold", x="threshold", y="", height=220)
    low, high = DOCUMENT_BAND
    shown.add_vrect(x0=low, x1=high, fillcolor=BAND, line_width=0, annotation_text=f"{low:g} to {high:g}")
    shown.add_scatter(
        x=runs["threshold"],
        y=[""] * len(runs),
        customdata=runs[RUN] + 1,
        name="one fold",
        mode="markers",
        marker={"size": 12, "color": REMOVED, "symbol": "line-ns-open", "line": {"width": 2}},
        hovertemplate="%{x:.3g}<extra>fold %{customdata[1]}, repeat %{customdata[0]}</extra>",
    )
    shown.add_scatter(
        x=[spread.median],
        y=[""],
        error_x={
            "array": [spread.quartile_high - spread.median],
            "arrayminus": [spread.median - spread.quartile_low],
        },
        name="median and quartiles",
        mode="markers",
        marker={"size": 10, "color": KEPT},
        hovertemplate="%{x:.3g}<extra>median</extra>",
    )
    shown.update_xaxes(range=[-0.02, max(1.2 * high, 1.1 * spread.high)])
    return shown
