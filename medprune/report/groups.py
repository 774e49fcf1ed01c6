"""The subgroups of a review on paper: counts as far as they may be told, changes with the band over all."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import groupby
from typing import Any

import numpy as np
from markupsafe import Markup

from medprune.disclosure import HIDDEN, protected
from medprune.report import charts
from medprune.report.facts import Known
from medprune.report.held_back import KEPT_BACK
from medprune.report.tables import Table
from medprune.report.verdict import ICONS, NAMES
from medprune.review.estimate import Estimate
from medprune.review.measures import Measured
from medprune.review.subgroups import GroupReview, SubgroupReview
from medprune.review.wording import interval, number, signed

HEAD = (
    "Group",
    "Patients",
    "With the event",
    "Newly missed",
    "State",
    "Change in sensitivity",
    "Change in net benefit",
    "Sensitivity, apart from the others",
)


def group_tables(known: Known) -> list[Table]:
    """One table a class and number of columns; none where no groups were chosen."""
    made = []
    for found in known.review.groups:
        of = _of_class(known, found)
        for title, single in (("by one column", True), ("where two columns meet", False)):
            groups = [group for group in found.groups if (len(group.columns) == 1) == single]
            if groups:
                rows = tuple(row for part in _parts(groups) for row in _rows(part, found, known.floor))
                made.append(Table(f"Groups {title}{of}", HEAD, rows))
    return made


def group_chart(known: Known, place: int) -> Markup | None:
    """The change of sensitivity in every group by one column, with the band over all groups."""
    found = known.review.groups[place]
    groups = [group for group in found.groups if len(group.columns) == 1]
    rows = [charts.Row(group.name, group.changes["sensitivity"].band) for group in groups]
    if not any(row.estimate.is_known for row in rows):
        return None
    return charts.forest(
        rows,
        f"groups-{place}",
        f"Change in sensitivity by group{_of_class(known, found)}",
        "Smaller less original, with the band over all groups",
        margin=-found.allowed,
    )


def _of_class(known: Known, found: SubgroupReview) -> str:
    if len(known.review.groups) == 1:
        return ""
    place = next(at for at, each in enumerate(known.review.groups) if each is found)
    return f", {known.review.sides[place].label} against all others"


def _parts(groups: Iterable[GroupReview]) -> list[list[GroupReview]]:
    """Groups by the same columns, which share all patients among them."""
    return [list(part) for _, part in groupby(groups, key=lambda group: group.columns)]


def _rows(part: list[GroupReview], found: SubgroupReview, floor: int) -> Iterable[tuple[str, ...]]:
    counted, missed = _counts(part, floor), _missed(part, floor)
    for group, (patients, events), lost in zip(part, counted, missed, strict=True):
        few = floor > 0 and 0 < min(group.events, group.others) <= floor
        changes = {name: change.measured.change for name, change in group.changes.items()}
        yield (
            group.name,
            patients,
            events,
            KEPT_BACK if few and group.missed else lost,
            f"{ICONS[group.state]} {NAMES[group.state]}",
            KEPT_BACK if few else _told(group.changes["sensitivity"].band, changes["sensitivity"]),
            KEPT_BACK if few else _told(group.changes["net_benefit"].band, changes["net_benefit"]),
            _apart(group.changes["sensitivity"]),
        )


def _counts(part: list[GroupReview], floor: int) -> list[tuple[str, str]]:
    """Patients and events of groups that share all patients among them.

    Of groups by two columns the totals are those of groups by one, so one small count keeps all back.
    """
    table = np.array([[group.events, group.others] for group in part], dtype=np.int64)
    if len(part[0].columns) > 1:
        if ((table > 0) & (table <= floor)).any():
            return [(KEPT_BACK, KEPT_BACK)] * len(part)
        return [(f"{group.patients:,}", f"{group.events:,}") for group in part]
    shown = protected(table, floor)
    told = [(shown.count(row, 2), shown.count(row, 0)) for row in range(len(part))]
    return [tuple(KEPT_BACK if each == HIDDEN else each for each in row) for row in told]  # type: ignore[misc]


def _missed(part: list[GroupReview], floor: int) -> list[str]:
    """One small count keeps all of the same columns back, as their sum may be told elsewhere."""
    if any(0 < group.missed <= floor for group in part):
        return [KEPT_BACK] * len(part)
    return [f"{group.missed:,}" for group in part]


def _told(band: Estimate, alone: Estimate) -> str:
    """The change with its band, or with its own interval where it has no band."""
    if band.is_known:
        return f"{signed(band.value)} ({interval(band)})"
    return f"{signed(alone.value)} (alone: {interval(alone)})" if alone.is_known else "unknown"


def _apart(change: Any) -> str:
    if not change.apart.is_known:
        return "not assessable"
    return f"{signed(change.apart.value)} ({interval(change.apart)}); p {number(change.p)}"


def sites_table(known: Known) -> Table | None:
    """The procedure with each site left out; None where that was not done."""
    found = known.review.sites
    if found is None:
        return None
    counts = protected(np.array([[site.events, site.others] for site in found.sites]), known.floor)
    rows = []
    for place, site in enumerate(found.sites):
        few = known.floor > 0 and 0 < min(site.events, site.others) <= known.floor
        told = [
            KEPT_BACK if each == HIDDEN else each for each in (counts.count(place, 2), counts.count(place, 0))
        ]
        figures = [
            KEPT_BACK if few else _change(site.measured.get(name))
            for name in ("auroc", "slope", "net_benefit")
        ]
        rows.append((site.name, *told, f"{ICONS.get(site.state, '')} {site.state}".strip(), *figures))
    head = (
        "Site left out",
        "Patients",
        "With the event",
        "State",
        "AUROC",
        "Calibration slope",
        "Net benefit",
    )
    return Table(
        f"Each {found.column} left out: smaller model, and change from the original", head, tuple(rows)
    )


def _change(found: Measured | None) -> str:
    if found is None or not found.pruned.is_known:
        return "unknown"
    return f"{number(found.pruned.value)}, {signed(found.change.value)} ({interval(found.change)})"


def forecast_table(known: Known) -> Table | None:
    """Which groups the original foretold to be at risk, the most first; None where that was not looked at."""
    found = known.review.beforehand
    if found is None:
        return None
    rows = tuple(
        (group.name, number(group.gradient), number(group.curvature), number(group.bound))
        for group in found.forecast.ranked
        if group.rows > known.floor
    )
    head = ("Group", "Gradient", "Curvature", "Foretold rise in loss, at most")
    told = "Groups at risk before pruning, told by tuning patients"
    if not math.isnan(found.held.by_bound):
        told += f"; rank correlation with what then happened {number(found.held.by_bound, 2)}"
    return Table(told, head, rows) if rows else None
