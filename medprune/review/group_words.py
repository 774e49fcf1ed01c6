"""What is said about groups: counts first, never that a model does no harm."""

from __future__ import annotations

from medprune.review.gate import FAIL, NOT_ASSESSABLE, PASS
from medprune.review.measures import MEASURES
from medprune.review.subgroups import CHANCE, JUDGED_BY, GroupReview, SubgroupReview
from medprune.review.wording import interval, number, signed


def told_of(group: GroupReview, review: SubgroupReview) -> str:
    """One or two sentences for a clinician on what becomes of a group."""
    limit = number(review.allowed, 2)
    if group.state == NOT_ASSESSABLE:
        return f"{group.name}: {_too_few(group, review.fewest)}"
    counts = f"{group.name}: {_moved(group)}."
    if group.state == PASS:
        return f"{counts} In these data the loss stays within your limit ({limit})."
    if group.state == FAIL:
        return f"{counts} {_which(group, review.allowed)} by more than your limit ({limit}), beyond chance."
    if any(group.changes[name].band.high < 0 for name in JUDGED_BY):
        return f"{counts} This is more than chance; whether it exceeds your limit ({limit}) is open."
    only = f"Only {group.events} such patients"
    if any(group.changes[name].band.value < 0 for name in JUDGED_BY):
        return f"{counts} {only}, so this could be chance, or a loss above your limit ({limit})."
    return f"{counts} {only}, so a loss above your limit ({limit}) cannot be ruled out."


def told_of_chance(review: SubgroupReview, measure: str = "sensitivity") -> str:
    """Whether any group's change differs from that of all others by more than chance, in numbers."""
    title = MEASURES[measure].told
    furthest = review.furthest(measure)
    if furthest is None:
        return f"No group is large enough to hold its change in {title} against that of the others."
    group, p = furthest
    compared = sum(each.changes[measure].apart.is_known for each in review.groups)
    apart = group.changes[measure].apart
    how = (
        f"{group.name}, {signed(apart.value)} against the others (95% band over {compared} groups "
        f"{interval(apart)}, adjusted p {_p(p)})"
    )
    if p < CHANCE:
        return f"The change in {title} differs between groups beyond chance: {how}."
    return (
        f"No group's change in {title} differs from that of the others beyond chance; the furthest is {how}. "
        "That is no proof that all groups fare alike."
    )


def _too_few(group: GroupReview, fewest: int) -> str:
    few = []
    if group.events < fewest:
        few.append(f"{group.events} event{'' if group.events == 1 else 's'}")
    if group.others < fewest:
        few.append(f"{group.others} patient{'' if group.others == 1 else 's'} without the event")
    counted = f" ({' and '.join(few)})" if few else ""
    return f"Too few{counted} to say anything — this is not a pass."


def _moved(group: GroupReview) -> str:
    caught = f", {group.caught} newly caught" if group.caught else ""
    verb = "is" if group.missed == 1 else "are"
    return f"{group.missed} of {group.events} with the event {verb} newly missed{caught}"


def _which(group: GroupReview, allowed: float) -> str:
    lost = [MEASURES[name].told for name in JUDGED_BY if group.changes[name].band.high < -allowed]
    return f"{' and '.join(lost).capitalize()} {'falls' if len(lost) == 1 else 'fall'}"


def _p(p: float) -> str:
    return "< .001" if p < 0.001 else number(p)  # noqa: PLR2004 - as p-values are printed
