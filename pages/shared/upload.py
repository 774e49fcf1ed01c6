"""One's own table: taken off the browser at once, read in a process of its own, looked at, then accepted."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx

from medprune import BadInput, load_cohort
from medprune.intake import ChoiceNeeded, TableChoices, read_table_safely
from medprune.intake.missing import NUMBER_MISSING, TEXT_MISSING
from medprune.intake.roles import LOOKED_AT, MOST_LABELS, Suggestion, suggested_roles
from medprune.intake.table_choices import DECIMALS, DELIMITERS, ENCODINGS
from medprune.performance import BINARY
from medprune.quality import usual_ranges
from pages.shared import guide
from pages.shared.guide import plain, share
from pages.shared.session import Draft, Study, Table

FIRST_ROWS = 5
CUT = "\0cut"  # no label of a table
TYPES = ["csv", "tsv", "txt", "parquet", "pq", "xlsx"]
TEXT_ENDINGS = (".csv", ".tsv", ".txt")
FOUND_OUT = "found out"


def upload(study: Study) -> None:
    """The field for a file, and what there is to say about the one that was taken last."""
    st.subheader("Your own table")
    key = f"table_upload_{study.uploads}" if study.uploads else "table_upload"
    file = st.file_uploader("One row a patient or visit; CSV, TSV, Parquet or Excel", type=TYPES, key=key)
    st.caption(
        "The first line names the columns. Empty cells, NA and ? are missing values and stay in: no row is "
        "dropped without saying so. Nothing leaves this machine."
    )
    if file is not None:
        take(study, file)
    if study.draft is not None:
        show(study, study.draft)


def take(study: Study, file: Any) -> None:
    """Copy the upload to a file without a name, and let go of the field, which holds it in memory."""
    study.drop_draft()
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the draft
    shutil.copyfileobj(file, copy)
    let_go(file)
    study.uploads += 1
    study.draft = Draft(str(file.name), copy, study.uploads)
    weakref.finalize(study.draft, copy.close)  # also when the session ends before anyone decides
    read(study.draft, TableChoices())
    st.rerun()


def let_go(file: Any) -> None:
    """Have Streamlit forget the bytes at once, as its own chat field does; else they stay."""
    context = get_script_run_ctx()
    if context is not None and isinstance(context.uploaded_file_mgr, MemoryUploadedFileManager):
        context.uploaded_file_mgr.remove_file(session_id=context.session_id, file_id=file.file_id)


def read(draft: Draft, choices: TableChoices) -> None:
    """Read the upload as the choices say; a refusal is kept as its sentence."""
    draft.choices, draft.read, draft.roles, draft.sentence = choices, None, [], ""
    try:
        with st.spinner("Reading the table…", show_time=True):
            draft.read = read_table_safely(draft.file, name=draft.name, choices=choices)
            draft.roles = suggested_roles(draft.read.frame)
        draft.sheets = tuple(draft.read.manifest.get("sheets", ()))
    except ChoiceNeeded as needed:
        draft.sentence, draft.sheets = needed.sentence, needed.options
    except BadInput as error:
        draft.sentence = error.sentence


def show(study: Study, draft: Draft) -> None:
    """What was read and how; nothing of it is used before someone says so."""
    if draft.sentence:
        st.error(guide.on_screen(draft.sentence), icon=":material/error:")
    choose(draft)
    if draft.read is None:
        return
    frame = draft.read.frame
    st.markdown(f"**{plain(draft.name)}**: {len(frame):,} rows, {len(frame.columns)} columns.")
    for note in draft.read.notes:
        st.markdown(f":material/info: {guide.on_screen(note)}")
    st.dataframe(frame.head(FIRST_ROWS), hide_index=True, key="upload_preview")
    roles(draft)
    configure(study, draft)


# --- how it is read -------------------------------------------------------------------------------


def choose(draft: Draft) -> None:
    """Ask how the file is to be read, where that is a question; another answer reads it again."""
    kind = "" if draft.read is None else draft.read.manifest["kind"]
    asked: dict[str, str | None] = {}
    with st.container(horizontal=True):
        if len(draft.sheets) > 1:
            asked["sheet"] = ask(draft, "sheet", "Sheet", {name: name for name in draft.sheets})
        if kind == "text" or (not kind and PurePosixPath(draft.name).suffix.lower() in TEXT_ENDINGS):
            asked["delimiter"] = ask(draft, "delimiter", "Columns are separated by", DELIMITERS)
            asked["decimal"] = ask(draft, "decimal", "Decimal mark", DECIMALS)
            asked["encoding"] = ask(draft, "encoding", "Encoding", ENCODINGS)
    wanted = replace(draft.choices, **asked)
    if wanted != draft.choices:
        read(draft, wanted)
        st.rerun()


def ask(draft: Draft, choice: str, label: str, options: Mapping[str, str]) -> str | None:
    """One choice; the first answer is what was found out."""
    found = None if draft.read is None else draft.read.manifest.get(choice)
    first = "choose one" if choice == "sheet" and found is None else FOUND_OUT
    told = f"{options[found]} ({FOUND_OUT})" if found in options else first
    chosen: str | None = st.selectbox(
        label,
        [None, *options],
        format_func=lambda option: told if option is None else options[option],
        key=f"{choice}_{draft.number}",
        width=260,
    )
    return chosen


def roles(draft: Draft) -> None:
    """Every column: how it is read, what it seems to be for, and why some are no features."""
    out = sum(role.role == "left out" for role in draft.roles)
    title = f"What the columns seem to be ({len(draft.roles) - out} of use, {out} left out)"
    with st.expander(title, expanded=len(draft.roles) <= MOST_LABELS):
        table = pd.DataFrame(
            {
                "column": [role.name for role in draft.roles],
                "read as": [role.kind for role in draft.roles],
                "unit": [unit(draft, role) for role in draft.roles],
                "missing": [share(role.missing) for role in draft.roles],
                "different values": [role.different for role in draft.roles],
                "suggested role": [role.role for role in draft.roles],
                "why, or what is done": [role.reason or becomes_of(role) for role in draft.roles],
            }
        )
        guide.table(table, key="suggested_roles")
        if draft.read is not None and len(draft.read.frame) > LOOKED_AT:
            st.caption(f"Judged on the first {LOOKED_AT:,} rows.")


def unit(draft: Draft, role: Suggestion) -> str:
    """The unit that the values seem to be in, of a measurement whose plausible ranges are known."""
    entry = usual_ranges().of(role.name) if role.kind == "number" else None
    if entry is None or draft.read is None:
        return ""
    numbers = pd.to_numeric(draft.read.frame[role.name].head(LOOKED_AT), errors="coerce")
    bounds = entry.bounds_for(numbers.dropna().to_numpy(np.float64))
    return "" if bounds is None or bounds[2] == "1" else f"{bounds[2]}?"


def becomes_of(role: Suggestion) -> str:
    """How a feature goes into the network; what that needs is fitted on train."""
    if role.role != "feature":
        return ""
    if role.kind == "category":
        return "an input for each category" + (", and one for missing" if role.missing else "")
    return "scaled" + ("; missing values are filled in and marked" if role.missing else "")


# --- what it is used for --------------------------------------------------------------------------


def configure(study: Study, draft: Draft) -> None:
    """Ask what the table cannot say itself: the outcome, whose rows these are, what to leave out."""
    if draft.read is None:
        return
    frame = draft.read.frame
    names = list(frame.columns)
    suggested = {role.role: role.name for role in draft.roles}
    left, right = st.columns(2)
    outcome = left.selectbox(
        "Outcome: the column to predict",
        names,
        index=names.index(suggested["outcome"]),
        key="outcome_column",
    )
    nobody = [None, *(name for name in names if name != outcome)]
    proposed = suggested.get("patient")
    patient = right.selectbox(
        "Patient column, when a patient has several rows",
        nobody,
        index=nobody.index(proposed) if proposed in nobody else 0,
        format_func=lambda name: "each row is one patient" if name is None else name,
        key="patient_column",
    )
    positive = ask_positive(frame[outcome])
    time, horizon = ask_follow_up([name for name in names if name not in (outcome, patient)])
    exclude = st.multiselect(
        "Columns to leave out (known only after the outcome, or not allowed)",
        [name for name in names if name not in (outcome, patient, time)],
        key="exclude_columns",
    )
    if st.button("Use these patients", type="primary", key="use_table"):
        with guide.sentences():
            with st.spinner("Sorting the patients…", show_time=True):
                cohort = load_cohort(
                    frame,
                    outcome=outcome,
                    patient=patient,
                    positive=positive,
                    exclude=tuple(exclude),
                    time=time,
                    horizon=horizon,
                    survey=True,
                )
            table = Table(draft.name, frame, str(draft.number), notes=draft.read.notes)
            study.use_table(table, table.noted(cohort))
            st.rerun()


def ask_follow_up(names: list[str]) -> tuple[str | None, float | None]:
    """The column of follow-up times and the horizon, where the outcome takes time; both None without."""
    with st.expander("The outcome takes time, and some left before", icon=":material/timer:"):
        st.caption(
            "Then the outcome says whether the event was seen, or follow-up ended without it, and another "
            "column says when. What is predicted is the event by the horizon. Who left before then stays "
            "among the patients and counts 0, and the others stand for them."
        )
        left, right = st.columns(2)
        time: str | None = left.selectbox(
            "Follow-up time",
            [None, *names],
            format_func=lambda name: "everybody's outcome is known" if name is None else name,
            key="time_column",
        )
        horizon = right.number_input(
            "Horizon, in the unit of that column", min_value=0.0, value=None, key="horizon"
        )
    return time, horizon


def ask_positive(values: pd.Series) -> str | None:
    """Which label counts as the outcome, or which cut-point; None leaves it to the table."""
    present = values.dropna().astype(str).str.strip()
    labels = sorted(label for label in present.unique() if label and label not in TEXT_MISSING)
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
            mapping(present, labels, choice)
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


def mapping(present: pd.Series, labels: list[str], positive: str | None) -> None:
    """Each label of the outcome, in how many rows it stands, and what it becomes."""
    becomes = [
        "a class of its own" if positive is None else "what is predicted" if label == positive else "the rest"
        for label in labels
    ]
    rows = [int((present == label).sum()) for label in labels]
    guide.table(pd.DataFrame({"label": labels, "rows": rows, "becomes": becomes}), key="outcome_labels")
    if positive is None and len(labels) == BINARY:
        st.caption(
            "Of two labels, which one is predicted is told on the next view; choose it here to be sure."
        )
