"""What a smaller model does to patients: calibration, decision curves, risks, changed decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from medprune.disclosure import protected
from medprune.figures.style import BAND, HARM, KEPT, REMOVED, SECOND, figure, label
from medprune.review.curves import Curves
from medprune.review.floor import Floor

NAMES = ("original", "smaller model")
COLOURS = (REMOVED, KEPT)
DASHES = ("dash", "solid")  # told apart without colour too
LINE = "#8B95A1"  # seen on light and on dark
COARSE = 4  # bins taken together where small counts are hidden
MOST_FEATURES = 15
SIDES = {
    "missed": "with the event, no longer flagged",
    "caught": "with the event, newly flagged",
    "alarmed": "without it, newly flagged",
    "spared": "without it, no longer flagged",
    "moved": "in another wrong class",
}
HARMS = ("missed", "alarmed", "moved")


def calibration_plot(curves: Curves, raw: Curves | None = None) -> go.Figure:
    """How often the event happened against the risk that was given, both models; the diagonal is what a
    well-calibrated model shows. ``raw`` adds the smaller model before its recalibration."""
    shown = figure(title="Risk given and what happened", x="risk given", y="share with the event")
    top = float(max(curves.risks.max(), np.nanmax(curves.shares), 0.05))
    shown.add_scatter(
        x=[0, top],
        y=[0, top],
        mode="lines",
        name="as it should be",
        line={"color": REMOVED, "width": 1, "dash": "dot"},
        hoverinfo="skip",
    )
    lines = [(NAMES[k], curves.risks[k], curves.shares[k], COLOURS[k], DASHES[k]) for k in (0, 1)]
    if raw is not None:
        lines.append(("smaller, before recalibration", raw.risks[1], raw.shares[1], SECOND, "dashdot"))
    for name, risks, shares, colour, dash in lines:
        shown.add_scatter(
            x=risks,
            y=shares,
            mode="lines",
            name=name,
            line={"color": colour, "width": 2.5, "dash": dash},
            hovertemplate="given %{x:.1%}, happened %{y:.1%}<extra>" + name + "</extra>",
        )
    _act_line(shown, curves.at)
    shown.update_xaxes(tickformat=".0%", rangemode="tozero")
    shown.update_yaxes(tickformat=".0%", rangemode="tozero")
    return shown


def decision_curves(
    curves: Curves, elsewhere: float | None = None, benefit: Sequence[float] = ()
) -> go.Figure:
    """Net benefit against the risk acted on: both models, acting on everybody, on nobody; the range of risks
    that somebody may act on is shaded. ``elsewhere`` marks another risk, with both models' ``benefit``."""
    shown = figure(title="Worth of acting on the risks", x="risk acted on", y="net benefit")
    top = float(np.nanmax([curves.benefit.max(), curves.everybody.max(), 0.01]))
    shown.add_vrect(x0=curves.range[0], x1=curves.range[1], fillcolor=BAND, line_width=0)
    lines = [
        ("act on everybody", curves.everybody, SECOND, "dot"),
        ("act on nobody", np.zeros(len(curves.act_at)), "#6B7280", "dot"),
        *((NAMES[k], curves.benefit[k], COLOURS[k], DASHES[k]) for k in (0, 1)),
    ]
    for name, values, colour, dash in lines:
        shown.add_scatter(
            x=curves.act_at,
            y=values,
            mode="lines",
            name=name,
            line={"color": colour, "width": 2, "dash": dash},
            hovertemplate="acting at %{x:.0%}: %{y:.3f}<extra>" + name + "</extra>",
        )
    if elsewhere is not None and elsewhere != curves.at:
        shown.add_scatter(
            x=[elsewhere] * len(benefit),
            y=list(benefit),
            mode="markers",
            name=f"at {elsewhere:.0%}",
            marker={"size": 12, "color": SECOND, "symbol": "diamond", "line": {"width": 1}},
            hovertemplate="%{y:.3f}<extra>at %{x:.0%}</extra>",
        )
    _act_line(shown, curves.at)
    shown.update_xaxes(tickformat=".0%", range=[0, float(curves.act_at.max())])
    shown.update_yaxes(range=[-0.4 * top, 1.1 * top])
    return shown


def _act_line(shown: go.Figure, at: float) -> None:
    shown.add_vline(
        x=at,
        line_width=1,
        line_dash="dash",
        line_color=LINE,
        annotation_text=f"act at {at:.0%}",
        annotation_position="top right",
    )


def risk_distribution(curves: Curves, floor: int = 0) -> go.Figure:
    """How many patients without (left) and with the event (right) were given which risk, by either model.

    With a ``floor`` bins are wide, and those with 1 to ``floor`` patients are left out, with what they would
    follow from.
    """
    edges, counts = curves.edges, curves.histogram.astype(np.int64)
    if floor:
        edges = edges[::COARSE]
        counts = counts.reshape(*counts.shape[:2], -1, COARSE).sum(axis=3)
    shown = make_subplots(cols=2, subplot_titles=("without the event", "with the event"))
    shown.update_layout(
        figure(title="Risks by outcome", x="", y="").layout.to_plotly_json() | {"barmode": "overlay"}
    )
    middles = (edges[:-1] + edges[1:]) / 2
    for model in (0, 1):
        hidden = protected(counts[model], floor).hidden[:-1, :-1] if floor else np.zeros(counts[model].shape)
        for event in (0, 1):
            bars = [None if h else int(n) for n, h in zip(counts[model, event], hidden[event], strict=True)]
            shown.add_scatter(
                x=middles,
                y=bars,
                mode="lines",
                name=NAMES[model],
                legendgroup=NAMES[model],
                showlegend=event == 0,
                line={"color": COLOURS[model], "dash": DASHES[model], "width": 2, "shape": "hvh"},
                fill="tozeroy" if model else None,
                fillcolor="rgba(0, 114, 178, 0.15)",
                hovertemplate="risk about %{x:.0%}: %{y:,}<extra>" + NAMES[model] + "</extra>",
                row=1,
                col=event + 1,
            )
    shown.update_xaxes(tickformat=".0%", range=[0, 1], title_text="risk given", automargin=True)
    shown.update_yaxes(rangemode="tozero", automargin=True)
    shown.update_yaxes(title_text="patients", row=1, col=1)
    shown.update_layout(annotations=[{"font": {"size": 13}} for _ in range(2)], margin={"t": 75})
    return shown


def flip_bars(per_1000: Mapping[str, float], floor: Floor | None) -> go.Figure:
    """Of a thousand patients, who is handled differently, by what that does; the diamond is how many a
    retraining of the original changes anyway."""
    total = sum(per_1000.values())
    rows = [*per_1000.items(), ("all", total)][::-1]
    names = SIDES | {"all": "handled differently in all"}
    shown = figure(title="Changed decisions, of 1,000 patients", x="of 1,000 patients", y="", height=330)
    for name, value in rows:
        colour = "#6B7280" if name == "all" else HARM if name in HARMS else KEPT
        shown.add_bar(
            x=[value],
            y=[names[name]],
            orientation="h",
            marker_color=colour,
            text=[f"{value:.0f}"],
            textposition="outside",
            cliponaxis=False,
            showlegend=False,
            hovertemplate=f"%{{x:.1f}}<extra>{names[name]}</extra>",
        )
    if floor is not None:
        rate, low, high = (1000 * value for value in (floor.rate, floor.low, floor.high))
        shown.add_scatter(
            x=[rate],
            y=["retraining the original"],
            mode="markers",
            name=f"retraining: mean, least and most ({rate:.0f}, {low:.0f} to {high:.0f})",
            error_x={"array": [high - rate], "arrayminus": [rate - low], "thickness": 2, "width": 8},
            marker={"size": 11, "symbol": "diamond", "color": SECOND},
            hovertemplate="%{x:.0f}<extra>retraining the original</extra>",
        )
    shown.update_yaxes(
        categoryorder="array", categoryarray=["retraining the original", *(names[n] for n, _ in rows)]
    )
    shown.update_xaxes(rangemode="tozero")
    return shown


def patient_bars(features: pd.DataFrame) -> go.Figure:
    """By how much one patient's risk falls without each test, by both models; the columns of ``WhatIf``."""
    top = features[(features["dense"] != 0) | (features["pruned"] != 0)].head(MOST_FEATURES).iloc[::-1]
    shown = figure(
        title="What each value does to this patient's risk",
        x="points of risk that the value adds",
        y="",
        height=150 + 38 * len(top),
        barmode="group",
    )
    names = [label(name) for name in top["feature"]]
    places = list(range(len(top)))
    for column, name, colour in zip(("dense", "pruned"), NAMES, COLOURS, strict=True):
        shown.add_bar(
            x=100 * top[column].to_numpy(),
            y=places,
            orientation="h",
            name=name,
            marker_color=colour,
            hovertext=names,
            hovertemplate="%{hovertext}: %{x:+.1f} points<extra>" + name + "</extra>",
        )
    shown.update_yaxes(tickvals=places, ticktext=names)
    shown.update_layout(legend={"traceorder": "reversed"})
    return shown
