"""The essential four as pictures, both models in one: AUROC, calibration, net benefit, risks by outcome.

Van Calster et al. (Lancet Digital Health 2025) for which; each has a sentence for whoever cannot see it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from medprune.report import svg
from medprune.report.held_back import Bar, bars
from medprune.review import Check, Review
from medprune.review.curves import Curves
from medprune.review.estimate import Estimate
from medprune.review.side_by_side import SideBySide
from medprune.review.wording import interval, number

ORIGINAL, SMALLER, RAW = "original", "smaller", "smaller, not recalibrated"


def calibration_chart(side: SideBySide, name: str) -> Markup:
    """How often the event happened among patients given a risk, smoothed, for each model."""
    curves = side.curves
    drawn = [(curves.risks[1], curves.shares[1], "pruned", SMALLER)]
    drawn.append((curves.risks[0], curves.shares[0], "dense", ORIGINAL))
    if side.raw_curves is not None:
        drawn.append((side.raw_curves.risks[1], side.raw_curves.shares[1], "raw", "not recalibrated"))
    top = _round_up(max(float(np.nanmax(each)) for risks, shares, *_ in drawn for each in (risks, shares)))
    made = svg.Chart(
        name,
        "Calibration plot",
        _calibration_words(curves),
        (0, top),
        (0, top),
        "Risk that the model gives",
        "Share with the event",
        height=350,
        x_percent=True,
        y_percent=True,
        top=44,
    )
    made.curve([0, top], [0, top], "ideal")
    if curves.at < top:
        made.upright_at(curves.at, f"act at {curves.at:.0%}")
    for risks, shares, kind, label in reversed(drawn):
        made.curve(risks, shares, kind, label)
    made.key.reverse()
    return made.drawn()


def _calibration_words(curves: Curves) -> str:
    told = []
    for which, label in ((1, "the smaller model"), (0, "the original")):
        place = int(np.abs(curves.risks[which] - curves.at).argmin())
        risk, share = float(curves.risks[which][place]), float(curves.shares[which][place])
        told.append(f"Where {label} gives a risk of {risk:.0%}, {share:.0%} had the event.")
    return f"{' '.join(told)} A model on the diagonal says what happens."


def _round_up(value: float) -> float:
    return min(1.0, max(0.1, math.ceil(value * 10 - 1e-9) / 10))


def decision_chart(side: SideBySide, name: str) -> Markup:
    """Net benefit over the risks somebody may act on, beside acting on everybody and on nobody."""
    curves = side.curves
    highest = max(float(curves.benefit.max()), side.prevalence)
    made = svg.Chart(
        name,
        "Decision curves",
        _decision_words(side),
        (0, float(curves.act_at.max())),
        (-0.25 * highest, 1.08 * highest),
        "Risk that is acted on",
        "Net benefit",
        width=420,
        height=350,
        x_percent=True,
        top=44,
    )
    made.band(*curves.range)
    made.upright_at(curves.at, f"act at {curves.at:.0%}")
    made.curve(curves.act_at, curves.everybody, "all", "everybody")
    made.curve([0, float(curves.act_at.max())], [0, 0], "none", "nobody")
    if side.raw_curves is not None:
        made.curve(side.raw_curves.act_at, side.raw_curves.benefit[1], "raw", "not recalibrated")
    made.curve(curves.act_at, curves.benefit[0], "dense", ORIGINAL)
    made.curve(curves.act_at, curves.benefit[1], "pruned", SMALLER)
    made.key.sort(key=lambda each: ("pruned", "dense", "raw", "all", "none").index(each[0]))
    return made.drawn()


def _decision_words(side: SideBySide) -> str:
    low, high = side.curves.range
    return (
        f"At {side.curves.at:.0%} the net benefit of the smaller model is "
        f"{number(side.pruned['net_benefit'].value)}, of the original "
        f"{number(side.dense['net_benefit'].value)}, of acting on everybody {number(side.treat_all)}, on "
        f"nobody 0. The shaded range is {low:.0%} to {high:.0%}."
    )


def risks_chart(side: SideBySide, which: int, name: str, floor: int) -> Markup:
    """The risks of one model (0 the original, 1 the smaller): with the event upwards, without downwards."""
    curves = side.curves
    without, having = (bars(curves.edges, curves.histogram[which][event], floor) for event in (0, 1))
    top = max([0.1, *(bar.density for bar in (*without, *having))]) * 1.12
    label = (ORIGINAL, SMALLER)[which]
    made = svg.Chart(
        name,
        f"Risks by outcome, {label} model",
        _risks_words(label, without, having),
        (0, 1),
        (-top, top),
        f"Risk that the {label} model gives",
        "Patients per 10 points of risk",
        width=400,
        height=260,
        x_percent=True,
        y_both_ways=True,
        y_percent=True,
        top=14,
    )
    for shape, up, kind in ((having, 1, "event"), (without, -1, "other")):
        for bar in shape:
            y = made.py(bar.density) if up > 0 else made.py(0)
            height = abs(made.py(bar.density) - made.py(0))
            made.body.append(
                svg.rectangle(made.px(bar.low), y, made.px(bar.high) - made.px(bar.low), height, kind)
            )
    made.upright_at(curves.at)
    made.above.append(svg.words(made.width - made.right - 4, made.top + 12, "with the event", "note", "end"))
    below = made.height - made.bottom - 6
    made.above.append(svg.words(made.width - made.right - 4, below, "without", "note", "end"))
    if not having or not without:
        shown = "kept back: too few patients"
        y = made.py(top / 2) if not having else made.py(-top / 2)
        made.above.append(svg.words(made.px(0.5), y, shown, "note", "middle"))
    return made.drawn()


def _risks_words(label: str, without: Sequence[Bar], having: Sequence[Bar]) -> str:
    told = []
    for shape, who in ((having, "with"), (without, "without")):
        if shape:
            most = max(shape, key=lambda bar: bar.density)
            told.append(f"Most patients {who} the event are given {most.low:.0%} to {most.high:.0%}.")
    return f"The risks that the {label} model gives. {' '.join(told)}"


@dataclass(frozen=True)
class Row:
    """One line of a forest: a label, an estimate, how it is drawn."""

    label: str
    estimate: Estimate
    kind: str = "pruned"


def forest(
    rows: Sequence[Row], name: str, title: str, x_name: str, *, margin: float | None = None, digits: int = 3
) -> Markup:
    """Estimates with their intervals, one below the other; ``margin`` is a limit, drawn dashed."""
    known = [row for row in rows if row.estimate.is_known]
    ends = [e for row in known for e in (row.estimate.value, row.estimate.low, row.estimate.high)]
    ends += [] if margin is None else [margin]
    ends = [end for end in ends if math.isfinite(end)] or [0.0, 1.0]
    room = (max(ends) - min(ends) or 1.0) * 0.08
    said = "; ".join(f"{row.label} {number(row.estimate.value, digits)}" for row in rows)
    made = svg.Chart(
        name,
        title,
        f"{said}." + ("" if margin is None else f" The limit is {number(margin, digits)}."),
        (min(ends) - room, max(ends) + room),
        (0, 1),
        x_name,
        "",
        width=560,
        height=58 + 24 * len(rows),
        left=150,
        right=150,
        top=8,
    )
    return svg.picture(name, title, made.says, (made.width, made.height), _forest(made, rows, margin, digits))


def _forest(made: svg.Chart, rows: Sequence[Row], margin: float | None, digits: int) -> Iterable[str]:
    floor = made.height - made.bottom
    for value in svg.ticks(*made.x, most=5):
        yield svg.line(made.px(value), made.top, made.px(value), floor, "grid")
        yield svg.words(made.px(value), floor + 16, svg.told(value), "tick", "middle")
    yield svg.line(made.left, floor, made.width - made.right, floor, "axis")
    yield svg.words(
        (made.left + made.width - made.right) / 2, made.height - 8, made.x_name, "axis-name", "middle"
    )
    if margin is not None:
        yield svg.line(made.px(margin), made.top, made.px(margin), floor, "mark")
    for place, row in enumerate(rows):
        y, found = made.top + 14 + 24 * place, row.estimate
        label = row.label if len(row.label) <= 24 else f"{row.label[:23]}…"  # noqa: PLR2004 - what fits
        yield svg.words(made.left - 10, y + 4, label, "key", "end")
        if not found.is_known:
            yield svg.words(made.left + 6, y + 4, "not assessable", "note")
            continue
        if math.isfinite(found.low) and math.isfinite(found.high):
            yield svg.line(made.px(found.low), y, made.px(found.high), y, f"whisker {row.kind}")
        yield svg.circle(made.px(found.value), y, 4, f"dot {row.kind}")
        words = number(found.value, digits)
        words += f" ({interval(found, digits)})" if math.isfinite(found.low) else ""
        yield svg.words(made.width - made.right + 10, y + 4, words, "key")


def auroc_chart(review: Review, name: str) -> Markup:
    dense, pruned, _ = review.auroc
    rows = [Row(SMALLER, pruned), Row(ORIGINAL, dense, "dense")]
    return forest(rows, name, "AUROC of both models", "AUROC, with its 95% interval")


def floor_chart(review: Review, name: str) -> Markup | None:
    """How many decisions change, against how many change when the original is trained again."""
    if review.floor is None:
        return None
    floor = review.floor
    rate = review.flips.rate
    rows = [
        Row("pruning", Estimate(100 * rate, math.inf, math.inf)),
        Row("training again", Estimate(100 * floor.rate, 100 * floor.low, 100 * floor.high), "dense"),
    ]
    title = "Decisions that change, of 100"
    return forest(rows, name, title, f"Of 100 patients; range of {len(floor.rates)} trainings", digits=1)


def check_bar(check: Check, name: str) -> Markup | None:
    """A check's estimate and interval against its limit, as a small bar; None where it has no interval."""
    values = (check.estimate, check.low, check.high, check.margin)
    if not all(math.isfinite(value) for value in values) or check.id == "G4":
        return None
    low, high = min(values), max(values)
    room = (high - low or 1.0) * 0.1
    made = svg.Chart(
        name,
        f"{check.title}: estimate, interval and limit",
        f"{number(check.estimate)} ({number(check.low)} to {number(check.high)}), limit "
        f"{number(check.margin)}.",
        (low - room, high + room),
        (0, 1),
        "",
        "",
        width=170,
        height=26,
        left=4,
        right=4,
        top=2,
        bottom=2,
    )
    body = [
        svg.line(made.px(check.margin), 2, made.px(check.margin), 24, "mark"),
        svg.line(made.px(check.low), 13, made.px(check.high), 13, "whisker pruned"),
        svg.circle(made.px(check.estimate), 13, 4, "dot pruned"),
    ]
    return svg.picture(name, made.title, made.says, (made.width, made.height), body)
