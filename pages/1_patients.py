"""Patients: who is in the data, and what is wrong with it."""

from dataclasses import asdict

import numpy as np
import pandas as pd
import streamlit as st

from medprune import Cohort, Split, load_cohort
from medprune.figures import missing_bars, outcome_bars
from pages.shared import cache, guide, session, upload
from pages.shared.guide import Tile, plain, share
from pages.shared.session import Study, Table

KINDS = {
    "missing": "Missing values",
    "imbalance": "Rare outcome",
    "duplicate": "Duplicate rows",
    "repeated_patient": "Repeated patients",
    "identical": "Identical columns",
    "collinear": "Columns that say the same",
    "constant": "Constant or nearly constant columns",
    "rare_category": "Rare categories",
    "sentinel": "Codes that may mean missing",
    "impossible": "Impossible values",
    "mixed_units": "Mixed units",
    "encoding": "One category written in several ways",
    "leakage": "Columns that may give the outcome away",
    "identifier": "Identifiers",
    "few_rows": "Few patients for so many inputs",
}


def start(study: Study) -> None:
    """Nothing chosen yet: samples first, then one's own table."""
    guide.opening(
        "Patients",
        "MedPrune makes a neural network trained on patient data smaller, and shows what that does. "
        "**Start with a sample, or bring your own table.**",
    )
    if study.table is not None and st.button(
        f"Back to {plain(study.table.name)}", icon=":material/arrow_back:", key="back_to_table"
    ):
        study.choosing = False
        study.drop_draft()
        st.rerun()
    with st.container(horizontal=True):
        for sample in cache.samples():
            with st.container(border=True, width=400):
                st.markdown(f"**{sample.title}**  \n{sample.about}")
                st.caption(f"{sample.source}. Licence: {sample.licence}.")
                if st.button(f"Try {sample.title.lower()}", type="primary", key=f"sample_{sample.file}"):
                    with guide.sentences():
                        use_sample(study, sample)
                        st.rerun()
    upload.upload(study)


def use_sample(study: Study, sample: cache.Sample) -> None:
    table = sample.table()
    cohort = load_cohort(table.frame, outcome=sample.outcome, positive=sample.positive)
    study.use_table(table, cohort)


def show(study: Study, cohort: Cohort, table: Table) -> None:
    """The cohort: counts first, then troubles, then every column."""
    everyone = cohort.all()
    shares = [float((everyone.outcome == place).mean()) for place in range(len(cohort.classes))]
    told = ", ".join(
        f"{plain(name)} in {share(part)}" for name, part in zip(cohort.classes, shares, strict=True)
    )
    guide.opening(
        "Patients",
        f"**{len(everyone):,} rows and {len(cohort.features)} features** predict "
        f"**{plain(cohort.outcome)}** ({told}). {cohort.test.told()} stay locked until the choice is made.",
    )
    if table.source:
        st.caption(f"{table.about} Source: {table.source}. Licence: {table.licence}.")
    guide.tiles(
        [
            Tile(
                "Train",
                f"{len(cohort.train):,}",
                patients_in(cohort.train),
                help="fit, score, prune, retrain",
            ),
            Tile(
                "Tuning",
                f"{len(cohort.tuning):,}",
                patients_in(cohort.tuning),
                help="choose the threshold, stop training early",
            ),
            Tile(
                "Test",
                f"{len(cohort.test):,}",
                patients_in(cohort.test),
                help="locked until the choice is made",
            ),
            Tile("Features", f"{len(cohort.features)}"),
            Tile("Missing cells", share(float(everyone.frame.isna().to_numpy().mean()))),
        ]
    )
    with st.container(horizontal=True):
        guide.next_step("pages/2_model.py", "Next: a model")
        if st.button("Choose other patients", icon=":material/swap_horiz:", key="other_patients"):
            study.choosing = True
            st.rerun()
    left, right = st.columns(2)
    with left:
        guide.chart(
            outcome_bars(cohort), key="outcome", alt=f"Rows a class in train, tuning and test. {told}"
        )
    missing = missing_bars(cohort)
    with right:
        if missing is None:
            st.success("No value is missing.", icon=":material/check:")
        else:
            guide.chart(missing, key="missing", alt="Share of missing values by feature, the worst first.")
    troubles(cohort)
    columns(cohort)


def patients_in(split: Split) -> str | None:
    """How many patients a split's rows belong to, where patients have several."""
    patients = len(np.unique(split.patients))
    return None if patients == len(split) else f"of {patients:,} patients"


def troubles(cohort: Cohort) -> None:
    """What the reader should know, one line a kind of trouble; the sentences open on request."""
    st.subheader("What to know about this table")
    for note in cohort.notes:
        st.markdown(f":material/info: {guide.on_screen(note)}")
    problems = cohort.quality.problems
    for kind in dict.fromkeys(problem.kind for problem in problems):
        members = [problem for problem in problems if problem.kind == kind]
        title = f"{KINDS.get(kind, kind.replace('_', ' ').capitalize())} ({len(members)})"
        with st.expander(title, icon=":material/warning:", expanded=len(members) == 1):
            for problem in members:
                st.markdown(f"- {guide.on_screen(problem.message)}")
    if problems:
        found = pd.DataFrame([asdict(problem) for problem in problems]).fillna("")
        guide.csv_button(found, key="data_problems", label="All findings as CSV")


def columns(cohort: Cohort) -> None:
    with st.expander(f"All columns ({len(cohort.features)} used, {len(cohort.kept_out)} kept out)"):
        frame = cohort.all().frame
        used = pd.DataFrame(
            {
                "column": [feature.name for feature in cohort.features],
                "kind": [feature.kind for feature in cohort.features],
                "different values": [int(frame[feature.name].nunique()) for feature in cohort.features],
                "missing": [share(float(frame[feature.name].isna().mean())) for feature in cohort.features],
                "use": "feature",
            }
        )
        out = pd.DataFrame(
            [{"column": name, "use": f"kept out: {reason}"} for name, reason in cohort.kept_out]
        )
        together = pd.concat([used.astype(str), out], ignore_index=True).fillna("")
        guide.table(together, key="columns")


study = session.study()
if study.cohort is None or study.table is None or study.choosing:
    start(study)
else:
    show(study, study.cohort, study.table)
