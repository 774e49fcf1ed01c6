"""Patients: who is in the data, and what is wrong with it."""

from dataclasses import asdict

import numpy as np
import pandas as pd
import streamlit as st

from medprune import Cohort, Split, load_cohort
from medprune.figures import missing_bars, outcome_bars
from medprune.intake.columns import NUMBER_MISSING
from medprune.intake.table_file import read_table
from medprune.performance import BINARY
from pages.shared import cache, guide, session
from pages.shared.guide import Tile, plain, share
from pages.shared.session import Study, Table

MOST_LABELS = 20
CUT = "\0cut"  # no label of a table
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
OUTCOME_HINTS = ("outcome", "target", "label", "class", "death", "died", "diagnosis", "y")


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
    everyone, counts = cohort.all(), guide.counted(cohort, study.floor)
    told = ", ".join(
        f"{plain(name)} in {counts.share(-1, place)}" for place, name in enumerate(cohort.classes)
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
