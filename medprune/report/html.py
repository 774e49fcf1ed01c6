"""report.html: the whole review in one file that needs nothing else, for a screen and for paper."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from medprune.disclosure import FLOOR
from medprune.report import charts, fields, groups, sections, svg, verdict
from medprune.report.about import About
from medprune.report.card import answers_to
from medprune.report.facts import (
    Known,
    kind_of_test,
    limits,
    override,
    reviewed,
    search_burden,
    settings_rows,
)
from medprune.report.held_back import NOTE, too_few
from medprune.report.network import network_svg, summary
from medprune.report.scorecard import Curve, Scorecard, scorecard
from medprune.report.tables import Table
from medprune.report.words import NOT_PROVIDED, shown
from medprune.review import Review
from medprune.review.calibration import SMOOTHER
from medprune.review.resampled import BY_SPLINES
from medprune.review.side_by_side import DRAWN_ROWS, DRAWS, LEAST_DRAWS, SideBySide

TEMPLATE, STYLE = "report.html.txt", "report.css.txt"
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
TOLERABLE = 0.05  # of risk: a card that is further off is told not to be used


def report_html(
    review: Review, provenance: Mapping[str, Any], about: About | None = None, *, floor: int = FLOOR
) -> str:
    """The report as one HTML file: no script, no request, charts inside; the same input, the same bytes.

    ``provenance`` as :func:`medprune.flow.provenance` has it; ``floor`` is the largest count of patients
    that is kept back, 0 keeps back none.
    """
    known = Known(review, provenance, About() if about is None else about, floor)
    return _environment().get_template(TEMPLATE).render(**_context(known)) + "\n"


@cache
def _environment() -> Environment:
    """Everything that is put into the page is escaped, and shown as text that came from elsewhere."""
    folder = resources.files("medprune").joinpath("templates")
    loader = DictLoader(
        {name: folder.joinpath(name).read_text(encoding="utf-8") for name in (TEMPLATE, STYLE)}
    )
    return Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_seen,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _seen(value: object) -> object:
    return value if hasattr(value, "__html__") else shown(value)


def _context(known: Known) -> dict[str, Any]:
    review = known.review
    state = review.gate
    done, of = fields.filled(known)
    return {
        "policy": POLICY,
        "style": Markup(_environment().get_template(STYLE).render()),
        "title": known.title,
        "event": known.event_words,
        "version": known.about.version,
        "developer": known.about.developer,
        "reviewed": reviewed(known),
        "state": {
            "kind": state.replace(" ", "-"),
            "icon": verdict.ICONS[state],
            "name": verdict.NAMES[state],
            "found": verdict.FOUND[state],
            "counted": verdict.counted(known),
        },
        "override": override(known) if review.override is not None else "",
        "everybody": verdict.everybody(known),
        "thousand": verdict.of_a_thousand(known),
        "steps": verdict.next_steps(known),
        "needed": known.small.features,
        "removed": review.removed,
        "required": review.limits.required,
        "shift": sections.shift_table(known),
        "checks": sections.check_rows(known),
        "auroc": charts.auroc_chart(review, "auroc"),
        "sides": [_side(known, side, place) for place, side in enumerate(review.sides)],
        "flips": sections.flips_table(known),
        "floor_chart": charts.floor_chart(review, "floor") if known.flips.total_shown else None,
        "flips_notes": [t for t in (sections.raw_flips_told(known), sections.forecast_told(known)) if t],
        "groups": groups.group_tables(known),
        "group_charts": [groups.group_chart(known, place) for place in range(len(review.groups))],
        "grouping": review.grouping,
        "sites": groups.sites_table(known),
        "site_notes": () if review.sites is None else review.sites.notes,
        "forecast": groups.forecast_table(known),
        "pairs": sections.pairs_table(known),
        "pooled": [_pooled(known, side) for side in review.pooled],
        "draws": draws_of(len(review.split)),
        "smoother": BY_SPLINES if review.split.weight is not None or review.prevalence else SMOOTHER,
        "kind_of_test": kind_of_test(known),
        "limits": sections.limits_table(review.limits),
        "limits_told": limits(known),
        "burden": search_burden(known),
        "path": sections.path_table(known),
        "network": network_svg(review.pruned_model),
        "layers": summary(review.pruned_model),
        "card": _scorecard(known),
        "settings": settings_rows(known),
        "problems": sections.problems_told(known),
        "groups_of_fields": [
            {"title": group.title, "answers": answers_to(group), "lines": fields.lines(group, known)}
            for group in fields.GROUPS
        ],
        "filled": f"{done} of {of}",
        "notes": (fields.TRIPOD_NOTE, fields.HTI_NOTE, fields.CHANGE_NOTE),
        "not_provided": NOT_PROVIDED,
        "small_counts": NOTE.format(floor=known.floor) if known.floor else "No count was kept back.",
        "footer": verdict.footer(known),
    }


def draws_of(rows: int) -> int:
    """Bootstrap draws of a side-by-side review of so many rows."""
    return max(LEAST_DRAWS, min(DRAWN_ROWS // rows, DRAWS))


def _side(known: Known, side: SideBySide, place: int) -> dict[str, Any]:
    """The figures and charts of one class; none where they would tell of a few patients."""
    told: dict[str, Any] = {"label": side.label if len(known.review.sides) > 1 else "", "kept_back": False}
    if too_few(side, known.floor):
        return told | {"kept_back": True}
    logistic = next((c.figures for c in known.review.comparators if c.label == side.label), None)
    return told | {
        "table": sections.figures_table(side, logistic),
        "logistic": logistic is not None,
        "calibration": charts.calibration_chart(side, f"calibration-{place}"),
        "decision": charts.decision_chart(side, f"decision-{place}"),
        "risks": [charts.risks_chart(side, which, f"risks-{place}-{which}", known.floor) for which in (0, 1)],
        "raw": sections.raw_table(side),
        "clipped": known.count(side.clipped) if side.clipped else "",
    }


def _pooled(known: Known, side: SideBySide) -> Table | None:
    """The figures of the procedure out of fold; None where there are few patients in it too."""
    if too_few(side, known.floor):
        return None
    made = sections.figures_table(side)
    counted = f"{side.events:,} with and {side.others:,} without the event"
    label = f"{side.label}: " if len(known.review.pooled) > 1 else ""
    return Table(f"{label}out of fold, {counted}", made.head, made.rows)


def _scorecard(known: Known) -> dict[str, Any] | None:
    made = scorecard(known.review.pruned_model, known.review.split, known.floor)
    if made is None:
        return None
    error = made.error
    return {
        "card": made,
        "curves": [_curve(curve, f"curve-{place}") for place, curve in enumerate(made.curves)],
        "lookup": [(f"{risk:.0%}", f"{total:.0f}", risk == made.act_at) for risk, total in made.lookup],
        "points": [_points(made, place) for place in range(len(made.inputs))],
        "formula": f"risk = 1 / (1 + 2^(({made.zero:g} - total) / 10))",
        "measured": (
            f"On the {known.count(error.patients)} reviewed patients the card's risk and the model's lie at "
            f"most {_apart(error.largest)} percentage points apart, {_apart(error.nearly_all)} in 95 of 100 "
            f"patients, {_apart(error.usual)} on average. Of 1,000, "
            f"{1000 * error.decided_otherwise:.0f} would be decided otherwise."
        ),
        "warn": not made.exact and error.largest > TOLERABLE,
    }


def _apart(distance: float) -> str:
    """A distance of two risks in percentage points.

    >>> _apart(0.3712), _apart(0.00002)
    ('37.1', '0.0')
    """
    return f"{100 * distance:.1f}"


def _points(card: Scorecard, place: int) -> dict[str, Any]:
    made = card.inputs[place]
    lines = [(line.finding, _signed(line.points)) for line in made.lines]
    if made.per_unit is not None:
        lines.insert(0, ("for each 1", _signed(made.per_unit)))
    return {"name": made.name, "lines": lines}


def _signed(points: float) -> str:
    return f"{points:+g}" if points else "0"


def _curve(curve: Curve, name: str) -> Markup:
    top = min(1.0, max(0.05, 1.15 * max(curve.risks)))
    chart = svg.Chart(
        name,
        f"Mean risk by {curve.name}",
        f"From {curve.risks[0]:.0%} at {curve.values[0]:.3g} to {curve.risks[-1]:.0%} at "
        f"{curve.values[-1]:.3g}.",
        (curve.values[0], curve.values[-1]),
        (0, top),
        curve.name if len(curve.name) <= 28 else f"{curve.name[:27]}…",  # noqa: PLR2004 - what fits
        "",
        width=250,
        height=150,
        left=40,
        top=10,
        bottom=38,
        y_percent=True,
    )
    chart.curve(curve.values, curve.risks, "pruned")
    return chart.drawn()
