"""Patients: who is in the data, and what is wrong with it."""

import numpy as np
import streamlit as st

from medprune import Cohort, Split, load_cohort
from medprune.figures import missing_bars, outcome_bars
from pages.shared import cache, findings, guide, session, upload
from pages.shared.guide import Tile, plain, share
from pages.shared.session import Study, Table


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
    everyone, counts = cohort.all(), guide.counted(cohort, study.floor)
    told = ", ".join(
        f"{plain(name)} in {counts.share(-1, place)}" for place, name in enumerate(cohort.groups)
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
                counts.count(0, -1),
                patients_in(cohort.train),
                help="fit, score, prune, retrain",
            ),
            Tile(
                "Tuning",
                counts.count(1, -1),
                patients_in(cohort.tuning),
                help="choose the threshold, stop training early",
            ),
            Tile(
                "Test",
                counts.count(2, -1),
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
            outcome_bars(cohort, counts.hidden[:-1, :-1]),
            key="outcome",
            alt=f"Rows a class in train, tuning and test. {told}",
        )
    missing = missing_bars(cohort)
    with right:
        if missing is None:
            st.success("No value is missing.", icon=":material/check:")
        else:
            guide.chart(missing, key="missing", alt="Share of missing values by feature, the worst first.")
    findings.show(study, cohort)


def patients_in(split: Split) -> str | None:
    """How many patients a split's rows belong to, where patients have several."""
    patients = len(np.unique(split.patients))
    return None if patients == len(split) else f"of {patients:,} patients"


study = session.study()
if study.cohort is None or study.table is None or study.choosing:
    start(study)
else:
    show(study, study.cohort, study.table)
