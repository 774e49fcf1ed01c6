"""Patients: who is in the data, and what is wrong with it."""

import numpy as np
import pandas as pd
import streamlit as st

from medprune import Cohort, Split, load_cohort
from medprune.figures import missing_bars, outcome_bars
from medprune.intake.columns import NUMBER_MISSING
from medprune.intake.table_file import read_table
from medprune.performance import BINARY
from pages.shared import cache, findings, guide, session
from pages.shared.guide import Tile, plain, share
from pages.shared.session import Study, Table

MOST_LABELS = 20
CUT = "\0cut"  # no label of a table
OUTCOME_HINTS = ("outcome", "target", "label", "class", "death", "died", "diagnosis", "y")


def start(study: Study) -> None:
    """Nothing chosen yet: samples first, then one's own table."""
    guide.opening(
        "Patients",
        "MedPrune makes a neural network trained on patient data smaller, and shows what that does. "
        "**Start with a sample, or bring your own table.**",
    )
    if study.table is not None and st.button(
        f"Back to {study.table.name}", icon=":material/arrow_back:", key="back_to_table"
    ):
        study.choosing, study.draft = False, None
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
    upload(study)


def use_sample(study: Study, sample: cache.Sample) -> None:
    table = sample.table()
    cohort = load_cohort(table.frame, outcome=sample.outcome, positive=sample.positive)
    study.use_table(table, cohort)


def upload(study: Study) -> None:
    st.subheader("Your own table")
    file = st.file_uploader(
        "One row a patient or visit; CSV, TSV or Parquet",
        type=["csv", "tsv", "txt", "parquet", "pq"],
        key="table_upload",
    )
    st.caption(
        "The first line names the columns. Empty cells, NA and ? are missing values and stay in: no row is "
        "dropped without saying so. Nothing leaves this machine."
    )
    if file is None:
        return
    with guide.sentences():
        if study.draft is None or study.draft.key != file.file_id:
            with st.spinner("Reading the table…", show_time=True):
                study.draft = Table(file.name, read_table(file.getvalue(), name=file.name), file.file_id)
        configure(study, study.draft)


def configure(study: Study, table: Table) -> None:
    """Ask what the table cannot say itself: the outcome, whose rows these are, what to leave out."""
    frame = table.frame
    names = list(frame.columns)
    st.markdown(f"**{plain(table.name)}**: {len(frame):,} rows, {len(names)} columns.")
    st.dataframe(frame.head(5), hide_index=True, key="upload_preview")
    left, right = st.columns(2)
    outcome = left.selectbox(
        "Outcome: the column to predict", names, index=guessed_outcome(frame), key="outcome_column"
    )
    patient = right.selectbox(
        "Patient column, when a patient has several rows",
        [None, *(name for name in names if name != outcome)],
        format_func=lambda name: "each row is one patient" if name is None else name,
        key="patient_column",
    )
    positive = ask_positive(frame[outcome])
    exclude = st.multiselect(
        "Columns to leave out (known only after the outcome, or not allowed)",
        [name for name in names if name not in (outcome, patient)],
        key="exclude_columns",
    )
    if st.button("Use these patients", type="primary", key="use_table"):
        with st.spinner("Sorting the patients…", show_time=True):
            cohort = load_cohort(
                frame, outcome=outcome, patient=patient, positive=positive, exclude=tuple(exclude)
            )
        study.use_table(table, cohort)
        st.rerun()


def guessed_outcome(frame: pd.DataFrame) -> int:
    """The first column that is called like an outcome, else the last one with a few values, else the last."""
    names = list(frame.columns)
    called = [place for place, name in enumerate(names) if name.lower() in OUTCOME_HINTS]
    few = [place for place in range(len(names)) if BINARY <= frame.iloc[:, place].nunique() <= MOST_LABELS]
    return [*called[:1], *few[-1:], len(names) - 1][0]


def ask_positive(values: pd.Series) -> str | None:
    """Which label counts as the outcome, or which cut-point; None leaves it to the table."""
    present = values.dropna().astype(str).str.strip()
    labels = sorted(label for label in present.unique() if label)
    numbers = pd.to_numeric(present.where(~present.isin(NUMBER_MISSING)), errors="coerce").dropna()
    numeric = len(numbers) >= (~present.isin(NUMBER_MISSING)).sum()
    if len(labels) <= MOST_LABELS:
        choice = st.selectbox(
            "What to predict",
            [None, *labels, *([CUT] if numeric and len(labels) > BINARY else [])],
            format_func=lambda label: {None: "every label, as it stands", CUT: "a cut-point"}.get(
                label, f"{label} against the rest"
            ),
            key="positive_label",
        )
        if choice != CUT:
            return None if choice is None else str(choice)
    elif not numeric:
        return None
    else:
        st.info(
            f"The outcome has {len(labels):,} different values: choose a cut-point.",
            icon=":material/content_cut:",
        )
    cut = st.number_input("Predict values of at least", value=float(numbers.median()), key="cut_point")
    return f">={cut:g}"


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
