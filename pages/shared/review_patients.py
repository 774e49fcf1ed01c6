"""Single patients of a review: whose care changes, other risks acted on, and what if. On screen only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from medprune.disclosure import safe_count
from medprune.figures import decision_curves, patient_bars
from medprune.markup import seen
from medprune.review import Review
from medprune.review.counted import elsewhere
from medprune.review.nearness import Forecast, forecast
from medprune.review.what_if import WhatIf, what_if
from medprune.review.wording import interval, number, signed
from pages.shared import guide
from pages.shared.depth import say
from pages.shared.guide import Tile, plain, share
from pages.shared.review_found import side_of

WHAT_HAPPENS = {
    "missed": "newly missed",
    "caught": "newly caught",
    "alarmed": "newly flagged without the event",
    "spared": "no longer flagged, without the event",
    "moved": "to another wrong class",
}
HIDDEN_HERE = (
    "Small counts are hidden, and single patients with them. Whoever may see them can switch “Hide small "
    "counts” off, in the sidebar."
)
MISSING = "(missing)"
ANOTHER = 0  # no row has this number


@st.fragment
def other_thresholds(review: Review, klass: int, depth: str, floor: int) -> None:
    """What acting on another risk would do to these patients; the gate stays where it was set."""
    st.subheader(say("elsewhere", depth))
    whose = "" if review.is_binary else f" for {plain(review.classes[klass])} against the others"
    percent = st.slider(
        "Were acted on a risk of at least", 1.0, 99.0, min(max(round(100 * review.act_at, 1), 1.0), 99.0),
        0.5,
        format="%.1f %%", key=f"elsewhere_{review.act_at:g}_{klass}",
    )  # fmt: skip
    at = percent / 100
    st.markdown(
        f":material/lock: The gate stays at **{review.act_at:.1%}**, which was set before looking. This "
        f"shows what would change at **{at:.1%}**{whose}, from the same risks; no patient is opened anew."
    )
    found = elsewhere(review, at, klass)
    flips = found.flips
    few = any(0 < n <= floor for n in (flips.missed, flips.caught, flips.alarmed, flips.spared))
    guide.tiles(
        [
            *(
                Tile(title, "hidden" if few else f"{flips.per_1000(count):.0f}", note="of 1,000")
                for title, count in (
                    ("Newly missed", flips.missed),
                    ("Newly caught", flips.caught),
                    ("False alarms", flips.alarmed),
                    ("Spared", flips.spared),
                )
            ),
            Tile(
                "Net benefit",
                number(found.pruned.value),
                guide.SAME if (moved := signed(found.change.value)) == ".000" else moved,
                note=f"was {number(found.dense.value)}; 95% CI {interval(found.change)}",
            ),
        ]
    )
    if found.pruned.value < max(found.everybody, 0.0):
        who = "everybody" if found.everybody > 0 else "nobody"
        st.caption(f"There, acting on {who} would be worth more than acting on the smaller model.")
    guide.chart(
        decision_curves(side_of(review, klass).curves, at, (found.dense.value, found.pruned.value)),
        key="elsewhere", alt="Decision curves with the other risk marked.",
    )  # fmt: skip


def changed(review: Review, depth: str, floor: int) -> None:
    """The patients who are handled differently: on screen, and in a file only when asked twice."""
    st.subheader(say("changed", depth))
    if floor:
        st.info(HIDDEN_HERE, icon=":material/visibility_off:")
        return
    found = review.changed()
    if found.empty:
        st.markdown("Nobody among these patients is handled differently.")
        return
    found["change"] = found["change"].map(WHAT_HAPPENS)
    risks = {"original": "risk, original", "smaller": "risk, smaller"} if review.is_binary else {}
    shown = found.rename(columns=risks)
    percent = st.column_config.NumberColumn(format="%.1f %%")
    on_screen = shown.assign(**{name: 100 * shown[name] for name in risks.values()})
    st.dataframe(
        on_screen.head(guide.SMALL_TABLE), hide_index=True, key="table_changed",
        height=guide.table_height(shown), column_config=dict.fromkeys(risks.values(), percent),
    )  # fmt: skip
    st.caption(
        f"{len(found):,} rows of the table, by their number from 1, the largest change first. This list is "
        "in no bundle, report or file."
    )
    if st.checkbox("I need it as a file, which will contain patient data", key="patients_tick"):
        guide.csv_button(shown, key="changed_patients", label="These patients as CSV")


def forecast_told(found: Forecast, whose: str, floor: int) -> str:
    """Who was likely to change, in a sentence."""
    counts = (found.changed_near, found.changed_others)
    if any(0 < count <= floor for count in counts):
        near, others = (safe_count(count, floor) for count in counts)
    else:
        near, others = (f"{count:,}" for count in counts)
    told = (
        f"Of the tenth of {whose} whose risk by the original lies nearest to the one acted on "
        f"({share(found.low)} to {share(found.high)}), **{near} of {found.near:,}** change side; of all "
        f"others, {others} of {found.others:,}."
    )
    if np.isnan(found.foretold):
        return told
    return f"{told} The original's margin alone foretells this with an AUROC of {number(found.foretold)}."


def forecast_after(review: Review, depth: str, floor: int) -> None:
    """How well the dense model's margin told who would change."""
    if not review.is_binary:
        return
    st.subheader(say("forecast", depth))
    found = forecast(review.dense_risks[:, 1], review.pruned_risks[:, 1], review.act_at)
    st.markdown(forecast_told(found, "these patients", floor))
    st.caption(
        "Near 1, those who change could be told before pruning; near .5 they could not, as happens when so "
        "much is removed that everybody's risk moves."
    )


@st.fragment
def one_patient(review: Review, klass: int, depth: str, floor: int) -> None:
    """Both models on one patient, with values that can be changed."""
    st.subheader(say("what_if", depth))
    if floor:
        st.info(HIDDEN_HERE, icon=":material/visibility_off:")
        return
    place = pick(review)
    if place is None:
        return
    row = review.split.frame.iloc[[place]].reset_index(drop=True)
    edited = edit(review, row, place)
    found = what_if(review.dense_model, review.pruned_model, edited, klass, act_at=review.act_at)
    outcome(review, found, klass, place, moved(row, edited))
    left, right = st.columns([3, 2])
    with left:
        guide.chart(
            patient_bars(found.features), key="what_if",
            alt="By how much this patient's risk falls without each test, by both models.",
        )  # fmt: skip
        st.caption("Taken away one at a time, as if the test had not been taken. No cause is meant.")
    with right:
        unseen(found)


def pick(review: Review) -> int | None:
    """A patient whose decision changes, or any row of those reviewed; the place among them."""
    found = review.changed()
    rows = [int(row) for row in found["row"]]
    kinds = dict(zip(rows, found["change"].map(WHAT_HAPPENS), strict=True))
    by_row = {int(row) + 1: place for place, row in enumerate(review.split.rows)}
    line = st.container(horizontal=True, vertical_alignment="bottom")
    chosen = line.selectbox(
        "Patient", [*rows, ANOTHER], key="what_if_patient", width=360,
        format_func=lambda row: "another row of the table" if row == ANOTHER else f"row {row}: {kinds[row]}",
    )  # fmt: skip
    if chosen == ANOTHER:
        first = min(by_row)
        chosen = int(line.number_input("Row number", 1, None, first, key="what_if_row", width=180))
    if chosen not in by_row:
        st.warning(
            f"Row {chosen} is not among the reviewed patients; take one of theirs, such as {min(by_row)}.",
            icon=":material/help:",
        )
        return None
    return by_row[chosen]


def edit(review: Review, row: pd.DataFrame, place: int) -> pd.DataFrame:
    """The patient with the values of the form; it is read when it is sent off."""
    edited = row.copy()
    labels = {code.name: code.labels for code in review.dense_model.preparation.categories}
    with (
        st.expander("Change this patient's values", icon=":material/edit:"),
        st.form(f"what_if_form_{place}", border=False),
    ):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            for name in review.dense_model.features:
                key = f"what_if_{place}_{name}"
                edited[name] = _field(name, row[name].iloc[0], labels.get(name), key)
        st.form_submit_button("See both models", icon=":material/play_arrow:", key="what_if_go")
    return edited.astype(row.dtypes.to_dict())


def _field(name: str, value: Any, labels: tuple[str, ...] | None, key: str) -> Any:
    missing = bool(pd.isna(value))
    if labels is None:
        now = None if missing else float(value)
        given = st.number_input(
            plain(name), None, None, now, format="%g", key=key, width=200, placeholder=MISSING
        )
        return np.nan if given is None else given
    options = list(dict.fromkeys([*([] if missing else [str(value)]), *labels, MISSING]))
    at = options.index(MISSING) if missing else 0
    picked = st.selectbox(plain(name), options, at, format_func=seen, key=key, width=200)
    return None if picked == MISSING else picked


def moved(row: pd.DataFrame, edited: pd.DataFrame) -> list[str]:
    """The features whose value was changed."""
    before, after = row.iloc[0], edited.iloc[0]
    return [
        str(name)
        for name in row.columns
        if not (before[name] == after[name] or (pd.isna(before[name]) and pd.isna(after[name])))
    ]


def outcome(review: Review, found: WhatIf, klass: int, place: int, changed_values: list[str]) -> None:
    """Both models' risks and decisions."""
    what = plain(review.classes[klass])
    happened = plain(review.classes[review.split.outcome[place]])
    if review.is_binary:
        words = [
            f"{'acted on' if k == 1 else 'not acted on'} (at {review.act_at:.1%})" for k in found.decided
        ]
    else:
        words = [f"decides on {plain(review.classes[k])}" for k in found.decided]
    guide.tiles(
        [
            Tile("Original: risk", share(found.dense[klass]), note=words[0]),
            Tile("Smaller model: risk", share(found.pruned[klass]), note=words[1]),
        ],
        260,
    )
    said = f"Risk of {what}. What happened to this patient: {happened}."
    if changed_values:
        said += f" With other values than theirs for {', '.join(plain(n) for n in changed_values)}."
    if found.decided[0] != found.decided[1]:
        said += " **The two models decide differently.**"
    st.markdown(said)


def unseen(found: WhatIf) -> None:
    """What the smaller model is not told of this patient."""
    gone = found.unseen
    st.markdown("**What the smaller model no longer sees**")
    if gone.empty:
        st.markdown("Nothing: it reads every input of the original.")
        return
    table = pd.DataFrame(
        {
            "input": gone["feature"],
            "this patient": [_cell(value) for value in gone["value"]],
            "original": [f"{100 * v:+.1f} points" for v in gone["dense"]],
        }
    )  # fmt: skip
    st.dataframe(table, hide_index=True, key="table_unseen", height=guide.table_height(table))


def _cell(value: Any) -> str:
    if value is None:
        return "missing"
    return value if isinstance(value, str) else f"{value:g}"
