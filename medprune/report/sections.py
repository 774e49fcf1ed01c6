"""The report's tables and lists as data: what the page shows, in the words it shows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from medprune.report import charts, facts
from medprune.report.facts import Known
from medprune.report.held_back import KEPT_BACK, is_few, shown_flips, too_few
from medprune.report.tables import Table
from medprune.report.verdict import ICONS, NAMES, all_nine
from medprune.review import Check, Limits
from medprune.review.estimate import Estimate
from medprune.review.side_by_side import FIGURES, SideBySide
from medprune.review.wording import interval, number, signed

TWO_DIGITS = ("observed_over_expected", "slope", "in_the_large")


@dataclass(frozen=True)
class Row:
    """One check as the page shows it."""

    id: str
    title: str
    state: str
    icon: str
    kind: str  # of its style
    sentence: str
    estimate: str
    limit: str
    details: tuple[str, ...]
    ground: str
    bar: Markup | None


def check_rows(known: Known) -> tuple[Row, ...]:
    return tuple(_row(check, known) for check in all_nine(known))


def _row(check: Check, known: Known) -> Row:
    return Row(
        check.id,
        check.title,
        NAMES[check.state],
        ICONS[check.state],
        check.state.replace(" ", "-"),
        check.sentence,
        _estimate(check),
        _limit(check, known.review.limits),
        check.details,
        check.ground,
        charts.check_bar(check, f"bar-{check.id}"),
    )


def _estimate(check: Check) -> str:
    if not math.isfinite(check.estimate):
        return "not known or kept back"
    if check.id in ("G0", "G8"):
        return f"{check.estimate:,.0f}"
    if check.id == "G7":
        return f"{check.estimate:.1g}"
    if check.id == "G4":
        told = f"{check.estimate:.1%} of decisions"
        known = math.isfinite(check.low)
        return f"{told} (95% CI {check.low:.1%} to {check.high:.1%})" if known else told
    told = f"{'slope ' if check.id == 'G2' else ''}{number(check.estimate)}"
    if math.isfinite(check.low) and math.isfinite(check.high):
        told += f" (95% CI {interval(Estimate(check.estimate, check.low, check.high))})"
    return told


def _limit(check: Check, limits: Limits) -> str:
    """What the check was held against, in words."""
    if check.id == "G0":
        return f"at least {limits.assessable} with and without the event; {limits.comfortable} to pass"
    if check.id == "G2":
        slope, ratio = limits.slope, limits.observed_over_expected
        return (
            f"slope {slope[0]:g} to {slope[1]:g}, O/E {ratio[0]:g} to {ratio[1]:g}, ICI risen by at most "
            f"{limits.ici_rise:g}; held against the estimates"
        )
    if check.id == "G4":
        floor = "unknown" if math.isnan(check.margin) else f"{check.margin:.1%}"
        return f"as many as training the original again changes ({floor})"
    if check.id == "G6":
        return (
            f"stability index up to {limits.stability:g}, {limits.imputed:.0%} of rows with a missing input"
        )
    if check.id in ("G7", "G8"):
        return f"at most {limits.fidelity if check.id == 'G7' else limits.configurations:g}"
    if not math.isfinite(check.margin):
        return "none"
    if check.margin >= 0:
        return number(check.margin)
    what = "whole interval" if check.id in ("G1", "G3") else "estimate"
    return f"a loss of at most {number(abs(check.margin))}; held against the {what}"


def figures_table(side: SideBySide, logistic: Mapping[str, Estimate] | None = None) -> Table:
    """Every figure of both models with the paired change, and of a logistic regression on the inputs left."""
    head = ["Figure", "Original", "Smaller", "Change"]
    if logistic:
        head.append("Logistic regression")
    rows = []
    for name, title in FIGURES.items():
        digits = 2 if name in TWO_DIGITS else 3
        row = [title, _told(side.dense[name], digits), _told(side.pruned[name], digits)]
        row.append(_changed(side.change[name], digits))
        if logistic:
            row.append(_told(logistic[name], digits) if name in logistic else "not computed")
        rows.append(tuple(row))
    caption = "Figures with 95% intervals; changes are smaller less original, paired on the same patients"
    return Table(caption, tuple(head), tuple(rows))


def raw_table(side: SideBySide) -> Table | None:
    """The smaller model before and after its recalibration, side by side; None where it has none."""
    if side.raw is None or side.raw_change is None:
        return None
    rows = []
    for name, title in FIGURES.items():
        digits = 2 if name in TWO_DIGITS else 3
        values = (_told(side.raw[name], digits), _told(side.pruned[name], digits))
        changes = (_changed(side.raw_change[name], digits), _changed(side.change[name], digits))
        rows.append((title, *values, *changes))
    head = ("Figure", "Raw", "Recalibrated", "Change from the original, raw", "Recalibrated")
    return Table("The smaller model before and after its recalibration", head, tuple(rows))


def _told(found: Estimate, digits: int) -> str:
    return f"{number(found.value, digits)} ({interval(found, digits)})" if found.is_known else "unknown"


def _changed(found: Estimate, digits: int) -> str:
    return f"{signed(found.value, digits)} ({interval(found, digits)})" if found.is_known else "unknown"


def flips_table(known: Known) -> Table:
    """Who is handled differently, with what a retraining would change, and before recalibration."""
    review = known.review
    titles = {
        "caught": "With the event, newly flagged",
        "missed": "With the event, no longer flagged (missed)",
        "alarmed": "Without it, newly flagged",
        "spared": "Without it, no longer flagged (spared)",
        "moved": "From one wrong class to another",
    }
    if not review.is_binary:
        titles |= {"caught": "Now in the class they belong to", "missed": "No longer in it"}
    told = known.flips
    rows = [(titles[name], told.counts[name], told.per_1000[name]) for name in titles if name in told.counts]
    rows.append(("All", told.total, told.total_per_1000))
    if review.floor is not None:
        floor = review.floor
        rows.append(
            (
                f"Training the original again ({len(floor.rates)} times)",
                "",
                f"{1000 * floor.rate:.0f} ({1000 * floor.low:.0f} to {1000 * floor.high:.0f})",
            )
        )
    else:
        rows.append(("Training the original again", "", "unknown"))
    return Table("Decisions that change", ("Patients", "Reviewed patients", "Of 1,000"), tuple(rows))


def raw_flips_told(known: Known) -> str:
    """How many decisions would change without recalibration."""
    side = known.review.sides[0]
    if side.raw_flips is None or not known.review.is_binary:
        return ""
    told = shown_flips(side.raw_flips, side.raw_flips, known.floor)
    if not told.total_shown:
        return ""
    return (
        f"Before its recalibration, the smaller model would have changed {told.total_per_1000} of 1,000 "
        f"decisions; with it, {known.flips.total_per_1000}."
    )


def forecast_told(known: Known) -> str:
    """How well the original alone foretold whose decision would change."""
    value = known.review.foretold
    if math.isnan(value) or not known.flips.total_shown:
        return ""
    return (
        f"How near a patient's risk by the original lies to {known.review.act_at:.0%} foretold who would "
        f"change with an AUROC of {number(value)}."
    )


def pairs_table(known: Known) -> Table | None:
    """Every two classes apart, of more than two; None for two."""
    if not known.review.pairs:
        return None
    few = {side.label for side in known.review.sides if too_few(side, known.floor)}
    rows = []
    for pair in known.review.pairs:
        values = (_told(pair.dense, 3), _told(pair.pruned, 3), _changed(pair.change, 3))
        rows.append((f"{pair.first} from {pair.second}", *values))
        if few & {pair.first, pair.second}:
            rows[-1] = (rows[-1][0], KEPT_BACK, KEPT_BACK, KEPT_BACK)
    head = ("Classes", "Original", "Smaller", "Change")
    return Table("AUROC of every two classes (Hand and Till)", head, tuple(rows))


def shift_table(known: Known) -> Table | None:
    """How far the inputs lie from those of train; None where that was not looked at."""
    found, rows, floor = known.review.shift, len(known.review.split), known.floor
    if found is None or not found.features:
        return None

    def share(value: float) -> str:
        return KEPT_BACK if is_few(value, rows, floor) else "unknown" if math.isnan(value) else f"{value:.1%}"

    lines = tuple(
        (
            each.name,
            number(each.psi),
            number(each.by_chance),
            number(each.smd),
            share(each.missing),
            share(each.outside),
        )
        for each in found.features
    )
    head = ("Input", "Stability index", "up to this by chance", "Difference of means, in SDs")
    return Table("Inputs against those of train", (*head, "Missing here", "Outside train's range"), lines)


def limits_table(limits: Limits) -> Table:
    """Every limit in force, and whether it is the usual one."""
    usual = Limits().to_json()
    rows = tuple(
        (
            name.replace("_", " "),
            facts.flat(value),
            "MedPrune default" if value == usual[name] else "set by you",
        )
        for name, value in limits.to_json().items()
    )
    return Table("Limits of the gate", ("Limit", "Value", "Whose"), rows)


def path_table(known: Known) -> Table | None:
    """The candidates that this one was chosen among, on tuning patients."""
    points = known.of("path_on_tuning")
    if not isinstance(points, Sequence) or not points:
        return None
    rows = tuple(
        (
            f"{point['sparsity']:.1%}",
            f"{point['parameters']:,}",
            f"{point['features']:,}",
            number(point["auroc"]),
        )
        for point in points
    )
    head = ("Weights removed", "Parameters", "Inputs", "AUROC on tuning")
    return Table("The path it was chosen from", head, rows)


def problems_told(known: Known) -> tuple[str, ...]:
    """What was found to be wrong with the table."""
    found = known.of("data_problems")
    return tuple(facts.problem_told(known, each) for each in found) if isinstance(found, list | tuple) else ()
