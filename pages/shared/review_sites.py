"""What the same procedure is worth at a site that it has never seen: in words, as a forest, and in full."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from medprune.figures import site_forest
from medprune.review import Review
from medprune.review.measures import MEASURES
from medprune.review.sites import SITE_MEASURES, SiteReview
from medprune.review.wording import interval, number, signed
from pages.shared import guide
from pages.shared.depth import SCIENTIST, say
from pages.shared.guide import plain

TOLD = ("auroc", "net_benefit")


def show(review: Review, depth: str, floor: int) -> None:
    """Each site left out, where that was asked for."""
    found = review.sites
    if found is None:
        return
    st.subheader(say("sites", depth))
    st.markdown(told_of(found))
    if not review.is_binary:
        st.caption(f"Of {plain(review.classes[1])} against the others.")
    for site in found.sites:
        if site.why:
            st.caption(f"{plain(site.name)}: {plain(site.why)}")
    if floor:
        st.info("Small counts are hidden, and those of sites with them.", icon=":material/visibility_off:")
    else:
        measure = st.selectbox(
            "Figure at each site", list(SITE_MEASURES), key="site_figure", width=280,
            format_func=lambda name: MEASURES[name].title,
        )  # fmt: skip
        guide.chart(
            site_forest(found, measure), key="sites_forest",
            alt=f"The change of {MEASURES[measure].title} at every site left out, with its interval.",
        )  # fmt: skip
        if depth == SCIENTIST:
            guide.table(in_full(found), key="sites")
    for note in found.notes:
        st.caption(plain(note))
    st.caption(
        "This is of the procedure and not of this model: every site has models of its own, made on train and "
        "tuning patients of the others. A range and no variance: so few sites tell none. It stands beside "
        "the gate, never in it."
    )


def told_of(found: SiteReview) -> str:
    """The range over sites, and who cannot be assessed."""
    small = [site.name for site in found.sites if not site.is_assessable]
    told = (
        f"Trained and pruned anew with each of {len(found.sites)} sites ({plain(found.column)}) left out, "
        f"{found.models_trained:,} networks in all, and looked at on the patients of that site."
    )
    ranges = []
    for name in TOLD:
        level, change = found.levels(name), found.spread(name)
        if level is not None and change is not None:
            ranges.append(
                f"{MEASURES[name].title} of the smaller model runs from **{number(level[0])}** to "
                f"**{number(level[1])}**, and its change by pruning from **{signed(change[0])}** to "
                f"**{signed(change[1])}**"
            )
    told += f" {'; '.join(ranges)}." if ranges else " **Fewer than two sites are assessable: no range.**"
    if small:
        told += f" Not assessable, as too few there had the event or did not: {_listed(small)}."
    return told


def _listed(names: list[str]) -> str:
    return ", ".join(plain(name) for name in names)


def in_full(found: SiteReview) -> pd.DataFrame:
    """Every figure of every site."""
    rows = [
        {
            "site": site.name,
            "patients": site.patients,
            "events": site.events,
            "state": site.state,
            "learnt from": site.learnt,
            "removed": guide.share(site.sparsity),
            "figure": MEASURES[name].title,
            "original": number(each.dense.value),
            "smaller": number(each.pruned.value),
            "change (95% CI)": f"{signed(each.change.value)} ({interval(each.change)})"
            if each.change.is_known
            else "unknown",
        }
        for site in found.sites
        for name, each in site.measured.items()
    ]
    columns = None if rows else ["site", "patients", "events", "state", "figure"]
    return pd.DataFrame(rows, columns=columns)
