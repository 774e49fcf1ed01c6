"""Size against performance: the one-shot sweep as a line, the path's finished models as points."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from medprune.candidate import Candidate
from medprune.figures.style import KEPT, REMOVED, SECOND, figure

METRIC_NAMES = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "f1": "F1",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "net_benefit": "Net benefit",
    "brier": "Brier score",
}


def tradeoff_curve(
    sweep: pd.DataFrame,
    candidates: Sequence[Candidate],
    *,
    metric: str,
    threshold: float,
    chosen: Candidate | None,
    dense: float,
    what: str,
) -> go.Figure:
    """``metric`` on tuning patients against the share removed; points are finished models, never joined."""
    title = METRIC_NAMES[metric]
    shown = figure(title=f"{title} against size, on tuning patients", x=f"share of {what} removed", y=title)
    shown.add_scatter(
        x=sweep["sparsity"],
        y=sweep[metric],
        customdata=sweep[["threshold", "parameters"]],
        name="before retraining (one shot)",
        mode="lines",
        line={"color": REMOVED, "width": 2},
        hovertemplate="threshold %{customdata[0]:.4f}, %{x:.1%} removed, %{customdata[1]:,} parameters: "
        "%{y:.3f}<extra>before retraining</extra>",
    )
    here = sweep.iloc[(sweep["threshold"] - threshold).abs().argmin()]
    shown.add_scatter(
        x=[here["sparsity"]],
        y=[here[metric]],
        name=f"at threshold {threshold:.4g}",
        mode="markers",
        marker={"size": 15, "color": SECOND, "symbol": "diamond", "line": {"width": 1}},
        hovertemplate=f"%{{x:.1%}} removed: %{{y:.3f}}<extra>threshold {threshold:.4g}</extra>",
    )
    finished = [candidate for candidate in candidates if candidate.sparsity > 0]
    if finished:
        shown.add_scatter(
            x=[candidate.sparsity for candidate in finished],
            y=[candidate.performance[metric] for candidate in finished],
            customdata=[candidate.parameters for candidate in finished],
            name="after retraining (path)",
            mode="markers",
            marker={"size": 10, "color": KEPT},
            hovertemplate="%{x:.1%} removed, %{customdata:,} parameters: %{y:.3f}"
            "<extra>after retraining</extra>",
        )
    if chosen is not None and finished:
        shown.add_scatter(
            x=[chosen.sparsity],
            y=[chosen.performance[metric]],
            name="chosen",
            mode="markers",
            marker={"size": 18, "color": KEPT, "symbol": "circle-open", "line": {"width": 3}},
            hoverinfo="skip",
        )
    shown.add_hline(
        y=dense, line_dash="dash", line_width=1, annotation_text="dense", annotation_position="top left"
    )
    shown.update_xaxes(tickformat=".0%", range=[-0.02, 1.02])
    return shown
