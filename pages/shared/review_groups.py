"""What becomes of each group of patients: in words, as a forest, and in full for who wants it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from medprune.figures import group_forest
from medprune.review import Review
from medprune.review.beforehand import Beforehand
from medprune.review.estimate import Estimate
from medprune.review.forecast import AtRisk
from medprune.review.gate import NOT_ASSESSABLE, PASS
from medprune.review.group_words import told_of, told_of_chance
from medprune.review.measures import MEASURES
from medprune.review.subgroups import GroupReview, SubgroupReview
from medprune.review.wording import interval, number, signed
from pages.shared import guide
from pages.shared.depth import MARKS, SCIENTIST, say
from pages.shared.guide import plain

MOST_TOLD = 6


def show(review: Review, klass: int, depth: str, floor: int) -> None:
    """The groups that were chosen before looking, or that none were."""
    st.subheader(say("groups", depth))
    if not review.groups:
        st.info(
            "No column was chosen before looking, so nothing can be said about any group of patients.",
            icon=":material/groups:",
        )
        return
    found = review.groups[0 if review.is_binary else klass]
    if floor:
        st.info(
            "Small counts are hidden, and those of groups with them: their states and changes stand here.",
            icon=":material/visibility_off:",
        )
        guide.table(changes(found), key="groups")
        return
    for group in telling(found):
        st.markdown(f"{MARKS[group.state]} {plain(told_of(group, found))}")
    if small := too_small(found):
        st.markdown(f"{MARKS[NOT_ASSESSABLE]} {plain(told_of_small(small))}")
    measure = st.selectbox(
        "Figure", list(MEASURES), list(MEASURES).index("sensitivity"), key="group_figure", width=280,
        format_func=lambda name: MEASURES[name].title,
    )  # fmt: skip
    guide.chart(
        group_forest(found, measure), key="groups_forest",
        alt=f"The change of {MEASURES[measure].title} in every group, with its interval.",
    )  # fmt: skip
    for note in review.grouping:
        st.caption(plain(note))
    if depth == SCIENTIST:
        st.markdown(plain(told_of_chance(found)))
        guide.table(in_full(found), key="groups")


def telling(found: SubgroupReview) -> list[GroupReview]:
    """The groups that are not well, the worst first."""
    order = [group for group in found.groups if group.state not in (PASS, NOT_ASSESSABLE)]
    return order[:MOST_TOLD]


def too_small(found: SubgroupReview) -> list[GroupReview]:
    """The groups by one column that are too small to assess."""
    return [g for g in found.groups if g.state == NOT_ASSESSABLE and len(g.columns) == 1]


def told_of_small(small: Sequence[GroupReview]) -> str:
    """All of them in one sentence."""
    counts = "; ".join(f"{g.name} ({g.events:,} with the event, {g.others:,} without)" for g in small)
    return f"Too few to say anything, which is not a pass: {counts}."


def changes(found: SubgroupReview) -> pd.DataFrame:
    """Every group without a count."""
    rows = []
    for group in found.groups:
        row = {"group": group.name, "state": group.state}
        for name in ("sensitivity", "net_benefit"):
            row[f"change in {MEASURES[name].told}"] = _told(group.changes[name].band)
        rows.append(row)
    return pd.DataFrame(rows)


def in_full(found: SubgroupReview) -> pd.DataFrame:
    """Every figure of every group, with the interval of its own and the band over all groups."""
    return pd.DataFrame(
        [
            {
                "group": group.name,
                "patients": group.patients,
                "events": group.events,
                "state": group.state,
                "figure": MEASURES[name].title,
                "original": number(change.measured.dense.value),
                "smaller": number(change.measured.pruned.value),
                "change (95% CI)": _told(change.measured.change),
                "change (band over all)": _told(change.band),
                "less that of the others": _told(change.apart),
                "adjusted p": number(change.p),
            }
            for group in found.groups
            for name, change in group.changes.items()
        ]
    )


def at_risk(review: Review, depth: str, floor: int) -> None:
    """Which groups the original foretold to be at risk, held against what happened."""
    found = review.beforehand
    if found is None:
        return
    told = at_risk_told(found, max(review.limits.in_a_group, floor + 1))
    if depth != SCIENTIST:
        st.caption(told)
        return
    st.subheader(say("at_risk", depth))
    st.markdown(told)
    ranked = [group for group in found.forecast.ranked if group.rows > floor]
    if not ranked:
        return
    guide.table(foretold(ranked, counts=not floor), key="at_risk")
    by = "their gradient" if math.isnan(found.forecast.distance) else "the rise foretold"
    st.caption(
        f"Of tuning patients, by {by}, the most at risk first. The rise in a group's mean loss is at most "
        "gradient times distance plus half the curvature times distance squared, but for terms of the third "
        "order (Tran et al., 2022, theorem 1); near: the share within half a logit of the risk acted on. "
        "Groups overlap, so there is no p-value, and small ones look at risk by chance."
    )


def at_risk_told(found: Beforehand, fewest: int) -> str:
    """The group that was foretold to lose most, how well the order held, and how little that is worth. Small
    groups are steep by chance: none of under ``fewest`` rows is named."""
    ranked = [group for group in found.forecast.ranked if group.rows >= fewest]
    if not ranked:
        return (
            f"Which group was at risk before pruning cannot be told: none has {fewest:,} tuning patients, "
            "and smaller ones look at risk by chance. It is a weak forecast in any case."
        )
    held = found.held
    if math.isnan(held.by_bound):
        then = "too few groups can be compared to say whether that held"
    else:
        then = (
            f"over {held.groups} groups, that order and what they then lost have a rank correlation of "
            f"{signed(held.by_bound)}"
        )
        if not math.isnan(held.by_margin):
            then += f" (the share of patients near the risk acted on: {signed(held.by_margin)})"
    return (
        f"Before pruning, the original's slopes on tuning patients foretold the most harm to "
        f"**{plain(ranked[0].name)}**; {then}. This is a weak forecast: it judges nobody and is no part of "
        "the gate."
    )


def foretold(ranked: Sequence[AtRisk], *, counts: bool) -> pd.DataFrame:
    """The forecast of every group; without the rise where it is not known how far pruning moved."""
    columns = {
        "group": [group.name for group in ranked],
        "tuning rows": [group.rows for group in ranked],
        "gradient": [number(group.gradient) for group in ranked],
        "curvature": [number(group.curvature) for group in ranked],
        "rise in loss, at most": [number(group.bound) for group in ranked],
        "near": [guide.share(group.near) for group in ranked],
    }
    if not counts:
        del columns["tuning rows"]
    if all(math.isnan(group.bound) for group in ranked):
        del columns["rise in loss, at most"]
    return pd.DataFrame(columns)


def _told(found: Estimate) -> str:
    return f"{signed(found.value)} ({interval(found)})" if found.is_known else "unknown"
