"""Forests: one row a group or a site, its change with an interval, so that all can be seen at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from medprune.figures.style import HARM, KEPT, REMOVED, SECOND, figure, label
from medprune.review.estimate import Estimate
from medprune.review.gate import FAIL, NOT_ASSESSABLE, PASS, STATES, WARN
from medprune.review.measures import MEASURES
from medprune.review.sites import SiteResult, SiteReview
from medprune.review.subgroups import JUDGED_BY, GroupReview, SubgroupReview

MOST_ROWS = 60
ROW = 38  # pixels, for two lines
COLOURS = {
    FAIL: HARM,
    WARN: SECOND,
    PASS: KEPT,
    NOT_ASSESSABLE: REMOVED,
    "": KEPT,
    "original": REMOVED,
    "smaller": KEPT,
}
SYMBOLS = {FAIL: "diamond", WARN: "square", NOT_ASSESSABLE: "x"}
LOGARITHM = " (natural logarithm of the factor)"


@dataclass(frozen=True)
class _Row:
    """What a row shows; ``name`` is a user's text."""

    name: str
    counts: str
    estimate: Estimate
    kind: str


def group_forest(review: SubgroupReview, measure: str = "sensitivity", *, title: str = "") -> go.Figure:
    """The change of a figure in every group, with the band that holds for all of them at once.

    A group that is not assessable is grey, marked x, and shows its own interval. The dashed line is the
    largest loss that is allowed, of the figures that groups are judged by. Of more than 60 groups those by
    one column and then the worst are drawn.
    """
    shown = _most_telling(review.groups)
    rows = [
        _Row(
            group.name,
            _counts(group) + ("" if group.is_assessable else ", not assessable"),
            group.changes[measure].band if group.is_assessable else group.changes[measure].measured.change,
            group.state,
        )
        for group in shown
    ]
    axis = _axis(measure)
    if len(shown) < len(review.groups):
        axis += f"; {len(shown)} of {len(review.groups)} groups"
    drawn = _forest(rows, title=title or f"{MEASURES[measure].title} by group", x=axis)
    drawn.add_vline(x=0, line_width=1, line_color=REMOVED)
    if measure in JUDGED_BY:
        drawn.add_vline(x=-review.allowed, line_width=2, line_dash="dash", line_color=HARM)
    return drawn


def site_forest(
    review: SiteReview, measure: str = "auroc", *, change: bool = True, title: str = ""
) -> go.Figure:
    """Every site that was left out: the change of a figure, or both models' values, with their intervals."""
    rows = []
    for site in review.sites:
        if measure not in site.measured:
            rows.append(
                _Row(
                    site.name,
                    f"{_counts(site)}, not measured",
                    Estimate.unknown(),
                    NOT_ASSESSABLE,
                )
            )
            continue
        found = site.measured[measure]
        counts = _counts(site) + ("" if site.is_assessable else ", not assessable")
        if change:
            rows.append(_Row(site.name, counts, found.change, "" if site.is_assessable else NOT_ASSESSABLE))
        else:
            rows.append(_Row(site.name, f"{counts}, original", found.dense, "original"))
            rows.append(_Row(site.name, f"{counts}, smaller", found.pruned, "smaller"))
    what = _axis(measure) if change else MEASURES[measure].title
    drawn = _forest(rows, title=title or f"{MEASURES[measure].title} at a site that was left out", x=what)
    drawn.add_vline(x=0 if change else MEASURES[measure].ideal, line_width=1, line_color=REMOVED)
    return drawn


def _most_telling(groups: Sequence[GroupReview]) -> list[GroupReview]:
    """All groups where they are few; else those by one column, then by state, in the order given."""
    if len(groups) <= MOST_ROWS:
        return list(groups)
    order = sorted(
        range(len(groups)), key=lambda at: (len(groups[at].columns) > 1, STATES.index(groups[at].state), at)
    )
    return [groups[at] for at in sorted(order[:MOST_ROWS])]


def _counts(some: GroupReview | SiteResult) -> str:
    return f"{some.events:,} events of {some.patients:,}"


def _axis(measure: str) -> str:
    told = f"change in {MEASURES[measure].told}"
    return told + (LOGARITHM if measure == "observed_over_expected" else "")


def _forest(rows: Sequence[_Row], *, title: str, x: str) -> go.Figure:
    """One trace a kind, the first row on top."""
    drawn = figure(title=title, x=x, y="", height=140 + ROW * len(rows))
    places = {kind: [at for at, row in enumerate(rows) if row.kind == kind] for kind in COLOURS}
    for kind, some in places.items():
        if not some:
            continue
        found = [rows[at].estimate for at in some]
        drawn.add_scatter(
            x=[each.value if each.is_known else None for each in found],
            y=some,
            mode="markers",
            name=kind,
            showlegend=bool(kind),
            marker={"color": COLOURS[kind], "symbol": SYMBOLS.get(kind, "circle"), "size": 9},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [each.high - each.value if each.is_known else 0 for each in found],
                "arrayminus": [each.value - each.low if each.is_known else 0 for each in found],
                "color": COLOURS[kind],
                "thickness": 1.5,
            },
            hovertext=[
                f"{label(rows[at].name)}: {rows[at].counts}<br>{each.value:+.3f} ({each.low:+.3f} to "
                f"{each.high:+.3f})"
                for at, each in zip(some, found, strict=True)
            ],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    drawn.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=[f"{label(row.name)}<br>{row.counts}" for row in rows],  # two lines leave room on a phone
        range=[len(rows) - 0.5, -0.5],
        showgrid=False,
        zeroline=False,
    )
    return drawn
