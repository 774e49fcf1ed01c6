"""Who is in the data."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from medprune.cohort import Cohort
from medprune.figures.style import CLASSES, KEPT, SECOND, figure, label

MOST_BARS = 30


def outcome_bars(cohort: Cohort, hidden: NDArray[np.bool_] | None = None) -> go.Figure:
    """Patients a class in train, tuning and test (and those censored before the horizon).

    No bar where ``hidden`` (splits, classes) says so.
    """
    shown = figure(title="Outcome in the three groups", x="", y="rows", height=300, barmode="stack")
    splits = (cohort.train, cohort.tuning, cohort.test)
    for place, name in enumerate(cohort.groups):
        counts: list[int | None] = [int((cohort.group_of(split) == place).sum()) for split in splits]
        if hidden is not None:
            counts = [None if hide else n for n, hide in zip(counts, hidden[:, place], strict=True)]
        shown.add_bar(
            x=[split.name for split in splits],
            y=counts,
            name=label(f"{cohort.outcome}: {name}"),
            marker_color=CLASSES[place % len(CLASSES)],
            hovertemplate="%{x}: %{y:,}<extra></extra>",
        )
    return shown


def missing_bars(cohort: Cohort) -> go.Figure | None:
    """The share of missing values by feature, the worst first; None when nothing is missing."""
    shares = cohort.all().frame.isna().mean().sort_values(ascending=False)
    shares = shares[shares > 0].head(MOST_BARS).iloc[::-1]
    if shares.empty:
        return None
    shown = figure(title="Missing values", x="share of rows", y="", height=110 + 22 * len(shares))
    shown.add_bar(
        x=shares.to_numpy(),
        y=np.arange(len(shares)),
        orientation="h",
        marker_color=SECOND if shares.max() > 0.5 else KEPT,  # noqa: PLR2004 - half
        hovertext=[label(name) for name in shares.index],
        hovertemplate="%{hovertext}: %{x:.1%}<extra></extra>",
        showlegend=False,
    )
    shown.update_yaxes(tickvals=list(range(len(shares))), ticktext=[label(name) for name in shares.index])
    shown.update_xaxes(tickformat=".0%", range=[0, 1])
    return shown
