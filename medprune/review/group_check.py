"""G3 of the gate: the worst subgroup, and what the groups say as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from medprune.review.flips import Flips
from medprune.review.gate import NOT_ASSESSABLE, PASS, Check, worst
from medprune.review.group_words import told_of, told_of_chance
from medprune.review.limits import Limits
from medprune.review.side_by_side import estimates_json
from medprune.review.subgroups import SubgroupReview


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
    counted = sum(len(each.groups) for each in found)
    few = sum(not group.is_assessable for each in found for group in each.groups)
    details = (
        f"{counted} groups were looked at, {few} of them too small to assess; intervals hold for all.",
        *(told_of_chance(each) for each in found),
    )
    group = review.worst
    told = [told_of(each, review) for each in review.groups if each.state == state]
    if group is None or state == NOT_ASSESSABLE:
        small = [each for each in review.groups if each.state == NOT_ASSESSABLE]
        told = [told_of(each, review) for each in small]
    sentence = told[0] if group is None or group.state != state else told_of(group, review)
    change = None if group is None else group.changes["sensitivity"].band
    if change is None:
        return Check("G3", state, sentence, margin=-limits.group_loss, details=details)
    return Check("G3", state, sentence, change.value, change.low, change.high, -limits.group_loss, details)


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
