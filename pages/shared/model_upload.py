"""A model from elsewhere: read in a process of its own, completed by its user, then accepted."""

from __future__ import annotations

import json
from typing import Any

import streamlit as st

from medprune import BadInput, Cohort, RiskModel
from medprune.errors import listed
from medprune.intake import read_model_safely
from medprune.intake.adopt import (
    SCALINGS,
    Adoption,
    adopt_model,
    constants_from,
    inferred_widths,
    known_activations,
    known_classes,
)
from medprune.intake.completion import (
    described_model,
    for_cohort,
    is_described,
    is_foreign,
    numbered_columns,
    numbers_classes,
    refuses_missing,
)
from medprune.intake.tensor_file import TensorFile
from medprune.model_file import check_columns, check_fits, model_from
from medprune.network import ACTIVATIONS
from medprune.treatments import of_the_table
from pages.shared import guide
from pages.shared.guide import plain
from pages.shared.session import ModelDraft, Study

TYPES = ["safetensors", "pt", "pth", "onnx", "skops"]
SCALING_NAMES = {
    "fitted": "scale them here, on train",
    "scaled": "the table is scaled already",
    "constants": "by the constants I upload",
}


def upload(study: Study, cohort: Cohort) -> None:
    """The field for a file, and what there is to say about the one that was taken last."""
    file = st.file_uploader(
        "A safetensors file, a PyTorch state_dict (.pt, .pth), an ONNX model or a skops file",
        type=TYPES,
        key=f"model_upload_{study.uploads}",
    )
    st.caption(
        "Pickles, joblib files, TorchScript and .pt2 can run code and are never opened: `medprune converter` "
        "prints a script that turns them into safetensors or skops on your own machine."
    )
    if file is not None:
        take(study, file)
    draft = study.model_draft
    if draft is None:
        return
    st.markdown(f"**{plain(draft.name)}**")
    if draft.file is None:
        st.error(guide.on_screen(draft.sentence), icon=":material/error:")
        return
    with guide.sentences():
        accept(study, cohort, draft.file)


def take(study: Study, file: Any) -> None:
    """Read the upload in the child, and let go of the field; a refusal is kept as its sentence."""
    study.uploads += 1
    try:
        with st.spinner("Reading the model…", show_time=True):
            tensors = read_model_safely(file.getvalue(), name=str(file.name))
        study.model_draft = ModelDraft(str(file.name), tensors)
    except BadInput as error:
        study.model_draft = ModelDraft(str(file.name), None, error.sentence)
    st.rerun()


def accept(study: Study, cohort: Cohort, file: TensorFile) -> None:
    """Ask what the file leaves open; nothing of it is used before someone says so."""
    for note in file.notes:
        st.caption(guide.on_screen(note))
    if not is_described(file):
        ready = confirm(file, cohort)
    elif is_foreign(file):
        cohort, ready = completed(study, cohort, file)
    else:
        ready = model_from(file)
        cohort = with_its_split(study, cohort, ready)
        check_fits(ready, cohort)
        st.markdown(f"It fits these patients: {len(ready.features)} features.")
    if st.button("Use this model", type="primary", key="use_model"):
        study.use_model_with(cohort, ready)
        st.rerun()


def with_its_split(study: Study, cohort: Cohort, model: RiskModel) -> Cohort:
    """The cohort dealt as it was when the model was trained: nobody it has seen may test it."""
    seen = model.origin.split
    if seen is None or seen.table_hash != cohort.table_hash or study.table is None:
        st.warning(guide.UNKNOWN, icon=":material/help:")
        return cohort
    if seen == cohort.record():
        return cohort
    st.info("The patients are dealt again as when this model was trained.", icon=":material/shuffle:")
    return study.table.again(cohort, split=seen, classes=model.classes)


# --- a file that describes itself in part -----------------------------------------------------------


def completed(study: Study, cohort: Cohort, file: TensorFile) -> tuple[Cohort, RiskModel]:
    """A scikit-learn or ONNX model on these patients, whose columns are read as the model reads them."""
    names = tuple(feature.name for feature in cohort.features)
    columns = tuple(ask_columns(list(names), numbered_columns(file))) if numbered_columns(file) else ()
    model = described_model(file, columns, offered=names)
    cohort = read_as(model, cohort, study)
    unlike = sorted(model.classes) != sorted(cohort.classes)
    classes = ask_classes(cohort.classes) if numbers_classes(file) or unlike else ()
    ready = for_cohort(model, cohort, file, classes)
    st.warning(guide.UNKNOWN, icon=":material/help:")
    holes = [name for name in refuses_missing(file, ready) if cohort.all().frame[name].isna().any()]
    if holes:
        st.caption(plain(f"Missing values of {listed(holes)} are replaced by the median of train."))
    agreement(ready, cohort)
    return cohort, ready


def read_as(model: RiskModel, cohort: Cohort, study: Study) -> Cohort:
    """The same patients in the same splits, with the columns that the model reads, in its own way."""
    kinds = {feature.name: feature.kind for feature in cohort.features}
    if all(kinds.get(feature.name) == feature.kind for feature in model.preparation.features):
        return cohort
    assert study.table is not None
    left_out = [name for name in model.features if name in cohort.exclude]
    if left_out:
        raise BadInput(
            f"The model reads {listed(left_out)}, which you left out of the table; choose the patients "
            "again and leave it in."
        )
    check_columns(model, [str(name) for name in study.table.frame.columns if name != cohort.outcome])
    return study.table.again(
        cohort,
        features=model.preparation.features,
        treatments=of_the_table(cohort.treatments, cohort.outcome),
    )


# --- a file that only has weights -------------------------------------------------------------------


def confirm(file: TensorFile, cohort: Cohort) -> RiskModel:
    """What the file cannot say: asked, applied, and shown on a few patients."""
    widths = inferred_widths(file)
    st.markdown(f"Found a network of widths **{' → '.join(map(str, widths))}**. Please confirm the rest.")
    left, right = st.columns(2)
    activation = "relu"
    if known_activations(file):
        left.markdown(f"Activation between the layers, as the file says: {listed(known_activations(file))}.")
    else:
        activation = left.selectbox(
            "Activation between the layers", list(ACTIVATIONS), key="adopt_activation"
        )
    scaling = right.selectbox("Its inputs", SCALINGS, format_func=SCALING_NAMES.get, key="adopt_scaling")
    columns = ask_columns([feature.name for feature in cohort.features])
    classes = ask_classes(cohort.classes, known_classes(file))
    constants = ask_constants() if scaling == "constants" else None
    norm_first = st.toggle("Normalisation comes before the activation", True, key="adopt_norm_first")
    model = adopt_model(
        file, cohort, Adoption(activation, scaling, tuple(columns), tuple(classes), norm_first, constants)
    )
    st.warning(guide.UNKNOWN, icon=":material/help:")
    agreement(model, cohort)
    return model


def ask_columns(names: list[str], count: int = 0) -> list[str]:
    """The columns of the table in the order of the network's inputs (``count`` of them, where known)."""
    if count:
        st.markdown(f"The file numbers its **{count} inputs** and does not name them.")
    chosen: list[str] = st.multiselect(
        "Its input columns, in its order",
        names,
        default=names[: count or None],
        key="adopt_columns",
        help="Take out what the model does not use; the order of choosing is the network's order.",
    )
    return chosen


def ask_classes(classes: tuple[str, ...], known: tuple[str, ...] = ()) -> list[str]:
    """The outcome's labels in the order of the model's risks."""
    usual = known if sorted(known) == sorted(classes) else classes
    chosen: list[str] = st.multiselect(
        "Its classes, in its order", classes, default=usual, key="adopt_classes"
    )
    return chosen


def ask_constants() -> dict[str, tuple[float, float]] | None:
    file = st.file_uploader(
        "Scaling constants (JSON: mean and scale by column)", type=["json"], key="constants"
    )
    if file is None:
        st.info('Upload a JSON file such as {"age": {"mean": 50, "scale": 12}}.')
        st.stop()
    try:
        return constants_from(json.loads(file.getvalue()))
    except (ValueError, RecursionError):
        return constants_from(None)


def agreement(model: RiskModel, cohort: Cohort) -> None:
    """Risks of the first patients, to be held against what the model gave elsewhere."""
    first = cohort.tuning.frame.head(5)
    risks = model.predict_proba(first)
    shown = first[list(model.features)].reset_index(drop=True)
    for place, label in enumerate(model.classes):
        shown.insert(place, f"risk of {label}", risks[:, place].round(4))
    st.markdown("Compare these risks with what your model gives for the same patients:")
    guide.table(shown, key="sample_risks")
