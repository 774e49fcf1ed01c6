"""G3 of the gate: the worst subgroup, and what the groups say as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from medprune.review.flips import Flips
from medprune.review.gate import FAIL, NOT_ASSESSABLE, PASS, Check, worst
from medprune.review.group_words import told_of, told_of_chance
from medprune.review.limits import Limits
from medprune.review.side_by_side import estimates_json
from medprune.review.subgroups import JUDGED_BY, GroupReview, SubgroupReview

NAMED = 8  # further groups in one sentence; the table has them all


def group_check(found: Sequence[SubgroupReview], flips: Flips, limits: Limits) -> Check:
    """G3: the worst group of all classes, by the band over all groups.

    Without groups nothing is known of them, unless nobody's decision changes at all.
    """
    if not found:
        if not flips.total:
            return Check("G3", PASS, "Nobody's decision changes, so nobody's does in any subgroup.", 0.0)
        sentence = "No subgroups were chosen, so nothing is known of them: this is not a pass."
        return Check("G3", NOT_ASSESSABLE, sentence, margin=-limits.group_loss)
    state = worst([each.state for each in found])
    review = next(each for each in found if each.state == state)
    group = _told_about(review, state)
    counted = sum(len(each.groups) for each in found)
    few = sum(not each.is_assessable for one in found for each in one.groups)
    details = (
        f"{counted} groups were looked at, {few} of them too small to assess; intervals hold for all.",
        *_others(found, state, group),
        *(told_of_chance(each) for each in found),
    )
    if group is None:
        sentence = "No group of patients could be made of these columns: this is not a pass."
        return Check("G3", state, sentence, margin=-limits.group_loss, details=details)
    change = group.changes[_judging(group)].band
    sentence = told_of(group, review)
    return Check("G3", state, sentence, change.value, change.low, change.high, -limits.group_loss, details)


def _told_about(review: SubgroupReview, state: str) -> GroupReview | None:
    """The one group that the check is about: the worst of those in its state."""
    if state != NOT_ASSESSABLE:
        return review.worst
    small = [each for each in review.groups if not each.is_assessable]
    return next((each for each in small if len(each.columns) == 1), small[0] if small else None)


def _judging(group: GroupReview) -> str:
    """The figure that gives a group its state: of both, the one whose band reaches furthest down."""
    return min(JUDGED_BY, key=lambda name: _reach(group, name))


def _reach(group: GroupReview, name: str) -> tuple[float, float]:
    """Which band decides: for one that fails its upper end, else its lower one; the unknown come last."""
    band = group.changes[name].band
    if not band.is_known:
        return math.inf, math.inf
    return (band.high if group.state == FAIL else band.low), band.value


def _others(found: Sequence[SubgroupReview], state: str, told: GroupReview | None) -> tuple[str, ...]:
    """The groups that fail, or warn, with the one that the sentence names; the small ones are counted."""
    if state in (PASS, NOT_ASSESSABLE):
        return ()
    alike = [each.name for one in found for each in one.groups if each.state == state and each is not told]
    names = list(dict.fromkeys(alike))
    more = f"; and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return (f"So do others ({state}): {'; '.join(names[:NAMED])}{more}.",) if names else ()


def groups_json(found: SubgroupReview) -> list[dict[str, Any]]:
    """One object a group: counts, state, and every figure with its intervals."""
    rows: list[dict[str, Any]] = []
    for group in found.groups:
        figures = {
            name: estimates_json(
                {
                    "dense": change.measured.dense,
                    "pruned": change.measured.pruned,
                    "change": change.measured.change,
                    "band": change.band,
                    "apart": change.apart,
                }
            )
            | {"p": change.p}
            for name, change in group.changes.items()
        }
        rows.append(
            {
                "name": group.name,
                "columns": list(group.columns),
                "patients": group.patients,
                "events": group.events,
                "non_events": group.others,
                "missed": group.missed,
                "caught": group.caught,
                "flips": group.flips.total,
                "state": group.state,
                "sentence": told_of(group, found),
                "figures": figures,
            }
        )
    return rows
