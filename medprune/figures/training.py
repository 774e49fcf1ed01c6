"""The learning curve."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from medprune.figures.style import KEPT, SECOND, figure
from medprune.training import Epoch


def learning_curve(epochs: Sequence[Epoch]) -> go.Figure:
    """Loss on train and tuning by epoch; the star marks the weights that are kept."""
    shown = figure(title="Learning curve", x="epoch", y="loss (cross-entropy)", height=340)
    numbers = [epoch.number for epoch in epochs]
    for name, losses, colour in (
        ("train", [epoch.train_loss for epoch in epochs], SECOND),
        ("tuning", [epoch.tuning_loss for epoch in epochs], KEPT),
    ):
        shown.add_scatter(
            x=numbers, y=losses, name=name, mode="lines", line={"color": colour, "width": 2},
            hovertemplate="epoch %{x}: %{y:.4f}<extra>" + name + "</extra>",
        )  # fmt: skip
    best = [epoch for epoch in epochs if epoch.best]
    if best:
        kept = best[-1]
        shown.add_scatter(
            x=[kept.number],
            y=[kept.tuning_loss],
            name="kept",
            mode="markers",
            marker={"symbol": "star", "size": 14, "color": KEPT},
            hovertemplate="kept: epoch %{x}, %{y:.4f}<extra></extra>",
        )
    shown.update_yaxes(rangemode="tozero")
    return shown
