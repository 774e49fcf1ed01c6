"""The subgroups of a review on paper: counts as far as they may be told, changes with the band over all."""

from __future__ import annotations

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
