"""What a review found, answer first: one sentence, tiles, nine checks, four pictures, tables."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from medprune.figures import calibration_plot, decision_curves, flip_bars, risk_distribution
from medprune.markup import seen
from medprune.review import Review
from medprune.review.counted import changed_sides, per_1000
from medprune.review.estimate import Estimate
from medprune.review.gate import FAIL, NOT_ASSESSABLE, PASS, WARN
from medprune.review.side_by_side import FIGURES, SideBySide
from medprune.review.wording import interval, number, signed
from pages.shared import guide
from pages.shared.depth import FEW_FLIPS, HEADS, MARKS, SCIENTIST, few_flips, in_detail, say, shown
from pages.shared.guide import Tile, plain

AFTER = {
    PASS: "No evidence of harm beyond the limits you set, in these data. ",
    WARN: "Read what is marked before you go on. ",
    FAIL: "At least one limit is broken. ",
    NOT_ASSESSABLE: "These patients cannot answer at least one question: this is not a pass. ",
}
FOOTER = (
    "Not a clinical validation; local prospective evaluation is still required (DECIDE-AI stage). Research "
    "use only."
)


def answer(review: Review, floor: int) -> None:
    """The state of the gate, in a word and a sign, and what it means for a thousand patients."""
    decisions = next(check for check in shown(review, floor) if check.id == "G4")
    worst = [check for check in review.checks if check.state == review.gate]
    because = "" if review.gate == PASS else f" Because of: {', '.join(plain(c.title) for c in worst)}."
    st.markdown(f"### {HEADS[review.gate]}")
    st.markdown(f"**{plain(decisions.sentence)}**{because}")
    st.caption(AFTER[review.gate] + FOOTER)


def tiles(review: Review, depth: str, floor: int) -> None:
    """The figures that matter most: the smaller model's, what it was, the change and its interval."""
    dense, pruned, change = review.auroc
    row = [_tile(say("auroc", depth), dense, pruned, change)]
    side = review.sides[0]
    if review.is_binary:
        name = "net_benefit"
        row.append(_tile(say(name, depth), side.dense[name], side.pruned[name], side.change[name]))
    sides, few = changed_sides(review), few_flips(review, floor)
    for name in ("missed", "caught"):
        label = say(name if review.is_binary else f"moved_{name}", depth)
        found = per_1000(review, sides[name])
        note = f"of 1,000; 95% CI {found.low:.0f} to {found.high:.0f}"
        row.append(Tile(label, "hidden") if few else Tile(label, f"{found.value:.0f}", note=note))
    before = len(review.dense_model.features)
    row.append(Tile(say("spared", depth), f"{len(review.removed)}", note=f"of {before}"))
    guide.tiles(row)
    if review.removed:
        st.markdown(f"**It no longer needs:** {', '.join(plain(name) for name in review.removed)}.")


def _tile(label: str, dense: Estimate, pruned: Estimate, change: Estimate) -> Tile:
    note = f"was {number(dense.value)}; 95% CI {interval(change)}"
    moved = signed(change.value)
    return Tile(label, number(pruned.value), guide.SAME if moved == ".000" else moved, note=note)


def checks(review: Review, depth: str, floor: int) -> None:
    """Every check: its state, its title, its sentence; in detail for who wants it."""
    st.subheader(say("checks", depth))
    for check in shown(review, floor):
        with st.container(border=True, gap="xsmall"):
            st.markdown(f"{MARKS[check.state]} **{check.id} · {plain(check.title)}**")
            st.markdown(plain(check.sentence))
            if depth == SCIENTIST:
                for detail in check.details:
                    st.caption(plain(detail))
                st.caption(in_detail(check))


def klass_of(review: Review) -> int:
    """Which class is looked at against the others: the positive one of two, else whom the reader picks."""
    if review.is_binary:
        return 1
    picked: int = st.selectbox(
        "Class, against the others", range(len(review.classes)),
        format_func=lambda k: seen(review.classes[k]), key="review_class",
    )  # fmt: skip
    return picked


def side_of(review: Review, klass: int) -> SideBySide:
    return review.sides[0] if review.is_binary else review.sides[klass]


def pictures(review: Review, klass: int, depth: str, floor: int) -> None:
    """The essential four (Van Calster et al. 2025), AUROC being a number, and the decisions that change."""
    side = side_of(review, klass)
    left, right = st.columns(2)
    with left:
        guide.chart(
            calibration_plot(side.curves, side.raw_curves if depth == SCIENTIST else None),
            key="calibration", alt="Share with the event against the risk given, both models.",
        )  # fmt: skip
        st.caption(say("calibration", depth))
    with right:
        guide.chart(
            decision_curves(side.curves), key="decision",
            alt="Net benefit against the risk acted on: both models, everybody, nobody.",
        )  # fmt: skip
        st.caption(say("decision", depth))
    left, right = st.columns(2)
    with left:
        guide.chart(
            risk_distribution(side.curves, floor), key="risks",
            alt="How many patients were given which risk, by outcome and model.",
        )  # fmt: skip
        st.caption(say("risks", depth))
    with right:
        flips(review, depth, floor)


def flips(review: Review, depth: str, floor: int) -> None:
    if few_flips(review, floor):
        st.info(FEW_FLIPS, icon=":material/visibility_off:")
        return
    found = review.flips
    names = ("missed", "caught", "alarmed", "spared") if review.is_binary else ("missed", "caught", "moved")
    guide.chart(
        flip_bars({name: found.per_1000(getattr(found, name)) for name in names}, review.floor),
        key="flips", alt="Of 1,000 patients, how many are handled differently, by what that does.",
    )  # fmt: skip
    st.caption(say("flips", depth))


def recalibration(review: Review, klass: int, depth: str, floor: int) -> None:
    """The smaller model as it was pruned, and after its two parameters were fitted on tuning patients."""
    side = side_of(review, klass)
    if side.raw is None or side.raw_flips is None:
        return
    st.subheader(say("recalibrated", depth))
    if not few_flips(review, floor) and not 0 < side.raw_flips.total <= floor:
        st.markdown(
            "Fitting the smaller model's risks to how often the outcome happened, on tuning patients, moves "
            f"the changed decisions from **{side.raw_flips.per_1000(side.raw_flips.total):.0f}** to "
            f"**{side.flips.per_1000(side.flips.total):.0f}** of 1,000 patients."
        )
    if depth == SCIENTIST:
        guide.table(raw_table(side), key="recalibrated")


def raw_table(side: SideBySide) -> pd.DataFrame:
    """Original, raw and recalibrated, and the changes of both."""
    return pd.DataFrame(
        [
            {
                "figure": title,
                "original": number(side.dense[name].value),
                "raw": number(side.raw[name].value),
                "recalibrated": number(side.pruned[name].value),
                "raw - original (95% CI)": _with_interval(side.raw_change[name]),
                "recalibrated - original (95% CI)": _with_interval(side.change[name]),
            }
            for name, title in FIGURES.items()
        ]
    )


def figures(review: Review, klass: int) -> None:
    """Every figure of both models with its interval."""
    side = side_of(review, klass)
    with st.expander("Every figure with its 95% interval", icon=":material/table:"):
        rows = [
            {
                "figure": title,
                "original (95% CI)": _with_interval(side.dense[name], plus=False),
                "smaller (95% CI)": _with_interval(side.pruned[name], plus=False),
                "change, paired (95% CI)": _with_interval(side.change[name]),
            }
            for name, title in FIGURES.items()
        ]
        guide.table(pd.DataFrame(rows), key="figures")
        st.caption(
            "AUROC by DeLong, paired; AUPRC and ICI by bootstrap of patients; the others by influence "
            "functions, rows of a patient taken together. The ICI is smoothed by lowess, local linear, it=0. "
            f"{side.clipped} risks of 0 or 1 were clipped before their logit."
        )


def _with_interval(found: Estimate, *, plus: bool = True) -> str:
    text = signed(found.value) if plus else number(found.value)
    return f"{text} ({interval(found)})" if found.is_known else "unknown"


def pairs(review: Review) -> None:
    """How well every two of several classes are told apart."""
    if not review.pairs:
        return
    st.subheader("Every two classes")
    rows = [
        {
            "classes": f"{pair.first} / {pair.second}",
            "original": number(pair.dense.value),
            "smaller": number(pair.pruned.value),
            "change (95% CI)": _with_interval(pair.change),
        }
        for pair in review.pairs
    ]
    guide.table(pd.DataFrame(rows), key="pairs")
    st.caption("AUROC of each pair of classes (Hand and Till, 2001).")


def beside(review: Review, klass: int, depth: str) -> None:
    """What a statistician would pick instead, and what the procedure does out of fold."""
    place = 0 if review.is_binary else klass
    if review.comparators:
        logistic = review.comparators[place].figures
        st.subheader("A simpler model beside it")
        st.markdown(
            "A logistic regression on the inputs that the smaller model needs reaches an AUROC of "
            f"**{number(logistic['auroc'].value)}** and a net benefit of "
            f"**{number(logistic['net_benefit'].value)}** on the same patients."
        )
    if review.pooled:
        side = review.pooled[place]
        st.subheader("Out of fold, as these patients are few" if depth != SCIENTIST else "Pooled out-of-fold")
        st.markdown(
            f"Trained and pruned anew in folds of the other patients ({side.events:,} of {side.rows:,} "
            f"with the event), AUROC changes by **{_with_interval(side.change['auroc'])}**, net benefit by "
            f"**{_with_interval(side.change['net_benefit'])}**; the calibration slope is "
            f"**{_with_interval(side.pruned['slope'], plus=False)}**."
        )
        st.caption("This is of the procedure and not of this model. It stands beside the gate, never in it.")
