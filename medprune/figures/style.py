"""What all figures share: the colour-blind-safe palette (Okabe and Ito), fonts, inert labels."""

from __future__ import annotations

import html
from typing import Any

import plotly.graph_objects as go

from medprune.markup import seen

KEPT = "#0072B2"  # blue
REMOVED = "#9AA0A6"  # grey: gone, not bad
HARM = "#D55E00"  # vermilion
SECOND = "#E69F00"  # orange
THIRD = "#009E73"  # green
CLASSES = (KEPT, SECOND, THIRD, "#CC79A7", "#56B4E9", HARM, "#F0E442", "#6A3D9A")
BAND = "rgba(230, 159, 0, 0.15)"
LONGEST_LABEL = 32


def inert(text: object) -> str:
    """User text without markup or MathJax."""
    return html.escape(seen(text), quote=False).replace("$", "&#36;")


def label(text: object) -> str:
    """User text as a label: inert, and not too long."""
    plain = str(text)
    return inert(plain if len(plain) <= LONGEST_LABEL else plain[: LONGEST_LABEL - 1] + "…")


def figure(*, title: str, x: str, y: str, height: int = 380, **layout: Any) -> go.Figure:
    """An empty figure with the house layout; ``uirevision`` keeps the user's zoom over updates."""
    made = go.Figure()
    made.update_layout(
        title={"text": inert(title), "x": 0, "xanchor": "left", "font": {"size": 16}},
        xaxis_title=x,
        yaxis_title=y,
        height=height,
        margin={"l": 10, "r": 10, "t": 45, "b": 10},
        legend={"orientation": "h", "yanchor": "bottom", "yref": "container", "y": 0, "x": 0},
        uirevision="keep",
        bargap=0.05,
        **layout,
    )
    made.update_xaxes(automargin=True)
    made.update_yaxes(automargin=True)
    return made
