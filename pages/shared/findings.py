"""What is wrong with a table, by kind of trouble: what, how many, why it matters, one click to mend it.

Every click loads the same table again with one treatment more or fewer: nothing is changed for good.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from medprune import Cohort, load_cohort
from medprune.censoring import again
from medprune.cohort import TREATED
from medprune.disclosure import safe_count, veiled
from medprune.quality import WHY_RESAMPLING_HARMS, Problem
from medprune.table_one import table_one
from medprune.treatments import Treatment, treatments_of
from pages.shared import guide
from pages.shared.guide import plain, share
from pages.shared.session import Study

KINDS = {
    "leakage": "Columns that may give the outcome away",
    "repeated_patient": "Repeated patients",
    "duplicate": "Duplicate rows",
    "sentinel": "Codes that may mean missing",
    "impossible": "Impossible values",
    "mixed_units": "Mixed units",
    "encoding": "One category written in several ways",
    "missing": "Missing values",
    "imbalance": "Rare outcome",
    "few_rows": "Few patients for so many inputs",
    "identical": "Identical columns",
    "collinear": "Columns that say the same",
    "constant": "Constant or nearly constant columns",
    "rare_category": "Rare categories",
    "identifier": "Identifiers",
}
SINGLE = 3  # remedies of one finding that get a button each; more share one by their kind


def show(study: Study, cohort: Cohort) -> None:
    """Notes, the treatments in force, the findings by kind, Table 1, and every column."""
    st.subheader("What to know about this table")
    for note in notes_of(cohort, study.floor):
        if not note.startswith(TREATED):  # these stand below, each with its way back
            st.markdown(f":material/info: {guide.on_screen(note)}")
    in_force(study, cohort)
    suggestions(study, cohort)
    problems = cohort.quality.problems
    if not problems:
        st.success("No trouble was found.", icon=":material/check:")
    if cohort.quality.sampled is not None:
        st.caption(
            f"Correlations, patterns of missing values and leaks were looked for in "
            f"{cohort.quality.sampled:,} rows drawn at random; everything else was counted in all rows."
        )
    for kind, title in KINDS.items():
        members = [problem for problem in problems if problem.kind == kind]
        if members:
            with st.expander(f"{title} ({len(members)})", icon=":material/warning:"):
                of_kind(study, cohort, members)
    if problems:
        found = pd.DataFrame([_flat(problem, study.floor) for problem in problems])
        guide.csv_button(found, key="data_problems", label="All findings as CSV")
    st.markdown(f":material/balance: **Why nothing is resampled.** {plain(WHY_RESAMPLING_HARMS)}")
    described(cohort, study.floor)
    columns(cohort, study.floor)


def of_kind(study: Study, cohort: Cohort, members: Sequence[Problem]) -> None:
    """The findings of one kind; why they matter, and a click that several offer, stand there once."""
    before: set[str] = set()
    for problem in members:
        message = veiled(problem.message, problem.count, study.floor)
        st.markdown(f"- {guide.on_screen(message)}")
        last = problem is members[-1]
        if problem.why and (last or members[members.index(problem) + 1].why != problem.why):
            st.caption(f"Why it matters: {guide.on_screen(problem.why)}")
        if len(problem.columns) > 1:
            st.caption("Columns: " + ", ".join(plain(name) for name in problem.columns))
        fresh = [each for each in problem.remedies if each not in before]
        before.update(fresh)
        buttons(study, cohort, treatments_of(fresh), problem.kind)


def buttons(study: Study, cohort: Cohort, remedies: Sequence[Treatment], why: str) -> None:
    """One click a remedy; many of one kind share a click. ``why`` tells apart the same in two places."""
    offered = [each for each in remedies if each.id not in cohort.treatments]
    if len(offered) <= SINGLE:
        groups = [(guide.plain(each.told), [each]) for each in offered]
    else:
        kinds = dict.fromkeys(each.kind for each in offered)
        alike = [[each for each in offered if each.kind == kind] for kind in kinds]
        groups = [(f"In all {len(group)} columns: {plain(group[0].told)}", group) for group in alike]
    for label, group in groups:
        if st.button(label, icon=":material/healing:", key=_key(f"treat_{why}", group)):
            change(study, cohort, [*cohort.treatments, *(each.id for each in group)])


def suggestions(study: Study, cohort: Cohort) -> None:
    """All that the report suggests, in one click."""
    suggested = [each for each in cohort.quality.suggested if each not in cohort.treatments]
    if study.model is not None and any(problem.remedies for problem in cohort.quality.problems):
        st.caption("A treatment changes what a model reads: the one you have is forgotten and trained anew.")
    if suggested and st.button(
        f"Apply the {len(suggested)} suggested treatments"
        if len(suggested) > 1
        else "Apply what is suggested",
        icon=":material/healing:",
        key="treat_suggested",
        help="Codes become missing values, impossible values too, units and spellings are made one, exact "
        "repeats and certain leaks are left out. Each can be undone.",
    ):
        change(study, cohort, [*cohort.treatments, *suggested])


def notes_of(cohort: Cohort, floor: int) -> tuple[str, ...]:
    """The cohort's notes; those on its follow-up without counts where any beside them is kept back."""
    follow_up = cohort.follow_up
    if follow_up is None or not guide.counted(cohort, floor).hidden.any():
        return cohort.notes
    others = tuple(note for note in cohort.notes if note not in follow_up.notes())
    return (*others, *follow_up.notes(counts=False))


def in_force(study: Study, cohort: Cohort) -> None:
    """The treatments in force, each with its way back."""
    treatments = treatments_of(cohort.treatments)
    if not treatments:
        return
    with st.expander(f"Treatments in force ({len(treatments)})", icon=":material/healing:", expanded=True):
        st.caption(
            "What is fitted for them is fitted on train patients. They are exported with the model, which "
            "treats a new patient's row in the same way; your table stays as it is."
        )
        if st.button("Undo all", icon=":material/undo:", key="undo_all"):
            change(study, cohort, [])
        kinds = dict.fromkeys(each.kind for each in treatments)
        for kind in kinds:
            alike = [each for each in treatments if each.kind == kind]
            groups = [[each] for each in alike] if len(alike) <= SINGLE else [alike]
            for group in groups:
                more = f" And {len(group) - 1} more of this kind." if len(group) > 1 else ""
                left, right = st.columns([5, 1], vertical_alignment="center")
                left.markdown(f"{plain(group[0].told)}{more}")
                if right.button("Undo", icon=":material/undo:", key=_key("undo", group)):
                    gone = {each.id for each in group}
                    change(study, cohort, [each for each in cohort.treatments if each not in gone])


def change(study: Study, cohort: Cohort, treatments: Sequence[str]) -> None:
    """The same table and choices with these treatments; what was made from the old cohort is forgotten."""
    if study.table is None:
        return
    with guide.sentences():
        with st.spinner("Sorting the patients…", show_time=True):
            fresh = treated(study.table.frame, cohort, treatments)
        study.use_cohort(study.table.noted(fresh))
        st.rerun()


def treated(frame: pd.DataFrame, cohort: Cohort, treatments: Sequence[str]) -> Cohort:
    """The cohort loaded again from its table, with these treatments in place of those in force."""
    old = treatments_of(cohort.treatments)
    dropped = {each.column for each in old if each.kind == "drop"}
    named = {each.column for each in old if each.to == "rows"}
    return load_cohort(
        frame,
        outcome=cohort.outcome,
        patient=None if cohort.patient in named else cohort.patient,
        positive=cohort.positive,
        exclude=tuple(name for name in cohort.exclude if name not in dropped),
        seed=cohort.seed,
        treatments=tuple(dict.fromkeys(treatments)),
        survey=True,
        **again(cohort.follow_up),
    )


def described(cohort: Cohort, floor: int) -> None:
    """Table 1."""
    with st.expander("Table 1: the patients by outcome", icon=":material/table_chart:"):
        st.caption(
            "SMD is the standardised mean difference: 0.1 is small, 0.5 is plain. No p-values: with many "
            "patients every difference is significant, with few hardly any."
        )
        table = table_one(cohort, floor=floor)
        smd = table["SMD"].astype(float)
        table["SMD"] = smd.map("{:.2f}".format).where(smd.notna(), "")
        guide.table(table, key="table_one")


def columns(cohort: Cohort, floor: int) -> None:
    """Every column, whether it is used, and why not."""
    with st.expander(f"All columns ({len(cohort.features)} used, {len(cohort.kept_out)} kept out)"):
        frame = cohort.all().frame
        used = pd.DataFrame(
            {
                "column": [feature.name for feature in cohort.features],
                "kind": [feature.kind for feature in cohort.features],
                "different values": [int(frame[feature.name].nunique()) for feature in cohort.features],
                "missing": [_missing(frame[feature.name], floor) for feature in cohort.features],
                "use": "feature",
            }
        )
        out = pd.DataFrame(
            [{"column": name, "use": f"kept out: {reason}"} for name, reason in cohort.kept_out]
        )
        together = pd.concat([used.astype(str), out], ignore_index=True).fillna("")
        guide.table(together, key="columns")


def _missing(values: pd.Series, floor: int) -> str:
    """The share of missing values, or of few how many they are at the most."""
    count = int(values.isna().sum())
    return f"{safe_count(count, floor)} rows" if 0 < count <= floor else share(count / max(len(values), 1))


def _flat(problem: Problem, floor: int) -> dict[str, object]:
    """One finding as a row of a CSV."""
    value = problem.to_json() | {
        "column": problem.column or "",
        "count": safe_count(problem.count, floor),
        "message": veiled(problem.message, problem.count, floor),
    }
    return {name: ", ".join(each) if isinstance(each, list) else each for name, each in value.items()}


def _key(what: str, group: Sequence[Treatment]) -> str:
    """A widget's key: an id may hold any text, so it is hashed."""
    ids = "\x1f".join(each.id for each in group).encode("utf-8", "surrogatepass")
    return f"{what}_{hashlib.blake2b(ids, digest_size=8).hexdigest()}"
