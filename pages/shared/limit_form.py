"""The limits of the gate as a form: the few that a clinician sets, and all others behind a fold."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pandas as pd
import streamlit as st

from medprune.markup import seen
from medprune.performance import BINARY
from medprune.review import Limits
from medprune.review.curves import AT_MOST, usual_range
from medprune.review.groups import Cut
from medprune.review.limits import LAXEST_AUROC
from pages.shared import guide, reviewing
from pages.shared.group_columns import column_of, cut, cut_text, offered, told
from pages.shared.guide import plain
from pages.shared.session import Study

WIDTH = 250
FEW = ("auroc_loss", "missed_per_1000", "act_range", "required")
NAMES = {
    "auroc_loss": "Largest loss of AUROC",
    "missed_per_1000": "Newly missed, at most, of 1,000",
    "act_range": "Risks that somebody may act on",
    "required": "Inputs that must stay",
    "observed_over_expected": "Observed over expected: passes",
    "observed_over_expected_warn": "Observed over expected: warns",
    "slope": "Calibration slope: passes",
    "slope_warn": "Calibration slope: warns",
    "ici_rise": "Rise of the ICI: passes",
    "ici_rise_warn": "Rise of the ICI: warns",
    "group_loss": "Largest loss in a subgroup",
    "floor_warn": "Changed decisions: times a retraining's, warns",
    "benefit_loss": "Loss of net benefit: passes",
    "benefit_warn": "Loss of net benefit: warns",
    "benefit_doubt": "Chance of a larger loss: passes",
    "stability": "Stability index of an input: passes",
    "stability_warn": "Stability index of an input: warns",
    "imputed": "Share of rows with a missing input",
    "fidelity": "Difference of the file's risks: passes",
    "fidelity_warn": "Difference of the file's risks: warns",
    "configurations": "Models scored on test: passes",
    "configurations_warn": "Models scored on test: warns",
    "assessable": "Patients on either side: at least",
    "comfortable": "Patients on either side: passes",
    "in_a_group": "Patients on either side of a subgroup",
}


def act_at(study: Study, key: str) -> float:
    """The risk that is acted on, carried over from where Threshold let it go."""
    carried = study.model.act_at if study.view.risk is None else study.view.risk
    several = len(study.model.classes) > BINARY
    percent = st.slider(
        "Act on a risk of at least", 0.1, 99.9, min(max(100 * carried, 0.1), 99.9), 0.1, format="%.1f %%",
        key=f"{key}_act_at_{carried:g}", persist_state="session",
        help="Of several classes the largest risk decides; net benefit acts on each class at this risk."
        if several
        else "It comes from what a needless action costs beside a missed patient, never from the data.",
    )  # fmt: skip
    return round(float(percent) / 100, 6)


def ask(study: Study, now: Limits, acted_on: float, key: str) -> Limits:
    """The form, filled in with ``now``; gives what is asked for. Raises BadInput for what cannot be."""
    asked = few(study, now, acted_on, key)
    with st.expander("More limits", icon=":material/tune:"):
        st.caption("MedPrune defaults, unless the gate names a source. Shares and risks lie between 0 and 1.")
        with st.container(horizontal=True, vertical_alignment="bottom"):
            for field in fields(Limits):
                if field.name not in FEW:
                    asked[field.name] = one(field.name, getattr(now, field.name), key)
    return replace(now, **asked)


def few(study: Study, now: Limits, acted_on: float, key: str) -> dict[str, Any]:
    """What a clinician sets."""
    same = {"persist_state": "session", "width": WIDTH}
    usual = usual_range(acted_on)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        loss = st.number_input(
            NAMES["auroc_loss"], 0.001, LAXEST_AUROC, now.auroc_loss, 0.005, format="%.3f",
            key=f"{key}_auroc_loss", help="Against its own parent; never above 0.05.", **same,
        )  # fmt: skip
        missed = st.number_input(
            NAMES["missed_per_1000"], 0.0, 1000.0, now.missed_per_1000, 1.0, format="%g",
            key=f"{key}_missed_per_1000", placeholder="no limit",
            help="Patients with the event whom the original flags and the smaller model does not.", **same,
        )  # fmt: skip
        low, high = st.slider(
            NAMES["act_range"], 0.1, 99.0, tuple(round(100 * r, 1) for r in now.act_range or usual), 0.1,
            format="%.1f %%", key=f"{key}_act_range_{acted_on:g}", **same,
        )  # fmt: skip
    required = st.multiselect(
        NAMES["required"], list(study.model.features), [n for n in now.required if n in study.model.features],
        key=f"{key}_required", placeholder="none", format_func=seen, persist_state="session",
        help="A model that does without one of them fails.",
    )  # fmt: skip
    unmoved = [low, high] == [round(100 * risk, 1) for risk in usual]
    chosen = None if unmoved else (low / 100, min(high / 100, AT_MOST))
    return {"auroc_loss": loss, "missed_per_1000": missed, "act_range": chosen, "required": tuple(required)}


def one(name: str, value: Any, key: str) -> Any:
    """A field for one of the other limits."""
    same: dict[str, Any] = {"persist_state": "session", "width": WIDTH}
    if isinstance(value, tuple):
        low = st.number_input(f"{NAMES[name]}, from", 0.0, None, value[0], 0.05, format="%g",
                              key=f"{key}_{name}_low", **same)  # fmt: skip
        high = st.number_input(f"{NAMES[name]}, to", 0.0, None, value[1], 0.05, format="%g",
                               key=f"{key}_{name}_high", **same)  # fmt: skip
        return low, high
    if isinstance(value, int):
        return int(st.number_input(NAMES[name], 0, None, value, 1, key=f"{key}_{name}", **same))
    return st.number_input(
        NAMES[name], 0.0, None, value, value / 2 or 0.1, format="%g", key=f"{key}_{name}", **same
    )


def groups(study: Study, key: str) -> tuple[str | Cut, ...]:
    """Columns whose groups are looked at, and where numbers are cut: chosen now, or not at all."""
    columns = {each.name: each for each in offered(study)}
    before = {column_of(each): each for each in study.subgroups}
    chosen = st.multiselect(
        "Groups of patients to look at, by", list(columns), [name for name in before if name in columns],
        key=f"{key}_groups", placeholder="no column", format_func=seen, persist_state="session",
        help="Any column, also one that the model does not read, such as a site. Chosen before looking: a "
        "group that is found afterwards proves nothing.",
    )  # fmt: skip
    numbers = [name for name in chosen if columns[name].is_number]
    if not numbers:
        return tuple(chosen)
    asked = {}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        for name in numbers:
            asked[name] = st.text_input(
                f"Cut {plain(name)} at", cut_text(before.get(name, "")), key=f"{key}_cut_{name}", width=WIDTH,
                max_chars=200, placeholder="the usual places", persist_state="session",
                help="Numbers that rise, such as 40, 65. Blank: ages at 40, 65 and 75, few codes as they "
                "are, other numbers at the tertiles of train patients.",
            )  # fmt: skip
    return tuple(cut(name, asked.get(name, "")) for name in chosen)


def in_words(value: Any) -> str:
    """A limit as the page tells it."""
    if value is None:
        return "none set"
    if isinstance(value, tuple):
        return ", ".join(plain(each) for each in value) if value and isinstance(value[0], str) else (
            " to ".join(f"{each:g}" for each in value) or "none"
        )  # fmt: skip
    return f"{value:g}"


def table(limits: Limits, locked: Limits) -> pd.DataFrame:
    """All limits in force, beside those that were set before."""
    rows = [
        {
            "limit": NAMES[field.name],
            "set before": in_words(getattr(locked, field.name)),
            "in force": in_words(getattr(limits, field.name)),
        }
        for field in fields(Limits)
    ]
    return pd.DataFrame(rows)


def locked(study: Study) -> None:
    """What was set before test patients were opened: its time, its hash, and what has become of it."""
    set_before = study.locked
    with st.expander("The limits that were set before looking", icon=":material/lock:"):
        st.markdown(
            f"Set and hashed on **{set_before.time}**, before the first test patient was opened: "
            f"`{set_before.limits.sha256[:16]}…`, acting on a risk of {set_before.act_at:.1%} or more, "
            f"groups by {', '.join(plain(told(n)) for n in set_before.subgroups) or 'no column'}."
        )
        guide.table(table(study.limits, set_before.limits), key="limits")
        st.markdown(
            "They can be changed still. **What allows more than was set fails check G0**, and is written in "
            "the review: a limit that is loosened after looking limits nothing."
        )
        with guide.sentences():
            asked = ask(study, study.limits, set_before.act_at, f"later_{study.cohort.table_hash[:8]}")
            row = st.container(horizontal=True)
            if row.button("Hold the review against these limits", key="use_limits"):
                reviewing.use_limits(study, asked)
                st.rerun()
            if study.limits != set_before.limits and row.button("Back to those set before", key="old_limits"):
                reviewing.use_limits(study, set_before.limits)
                st.rerun()


def loosened(study: Study) -> None:
    """Said above everything else."""
    if study.locked is not None and not study.limits.within(study.locked.limits):
        st.error(
            "The limits were loosened after test patients were opened: check G0 fails for it.",
            icon=":material/lock_open:",
        )
