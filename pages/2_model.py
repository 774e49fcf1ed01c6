"""Model: upload, restore or train a network."""

import json

import streamlit as st

from medprune import MLP, Cohort, RiskModel, Schedule, load_cohort, performance, train_steps
from medprune.figures import learning_curve
from medprune.intake.adopt import SCALINGS, Adoption, adopt_model, constants_from, inferred_widths
from medprune.intake.tensor_file import TensorFile, read_tensors
from medprune.model_file import KEY, check_fits, model_bytes, model_from
from medprune.network import ACTIVATIONS, NORMS, hidden_widths
from medprune.performance import BINARY
from medprune.training import BALANCED, NONE, Epoch
from pages.shared import guide, session
from pages.shared.guide import Tile, plain, rate, share
from pages.shared.session import Study

NORM_NAMES = {"none": "none", "batch": "batch normalisation", "layer": "layer normalisation"}
SCALING_NAMES = {
    "fitted": "scale them here, on train",
    "scaled": "the table is scaled already",
    "constants": "by the constants I upload",
}
WHY_RECALIBRATE = (
    "Class weights distort risks, and so does resampling (over- or under-sampling, SMOTE): the network "
    "learns from a world in which the rare outcome is as common as the other. Where 5 in 100 patients have "
    "it, an average patient is then told a risk of about 50 %, while the order of the patients (AUROC) "
    "hardly changes. That is why there are no weights here without recalibration: at the end of this "
    "training, and of every retraining while pruning, the risks are fitted to how often the outcome happened "
    "among tuning patients. Without a reason, leave it off."
)
REDRAW_EVERY = 5  # epochs between two drawings of the live curve


def ask_training() -> tuple[MLP, Schedule, int]:
    """The form of a training run."""
    left, middle, right = st.columns(3)
    hidden = left.text_input(
        "Hidden layers (units, from input to output)", "64, 32", key="hidden", persist_state="session"
    )
    activation = middle.selectbox(
        "Activation",
        [name for name in ACTIVATIONS if name != "identity"],
        key="activation",
        persist_state="session",
    )
    norm = right.selectbox(
        "Normalisation", NORMS, format_func=NORM_NAMES.get, key="norm", persist_state="session"
    )
    with st.expander("More settings"):
        a, b, c, d = st.columns(4)
        dropout = a.slider("Dropout", 0.0, 0.8, 0.1, 0.05, key="dropout", persist_state="session")
        epochs = b.number_input(
            "Epochs, at most", 1, 2000, Schedule().epochs, key="epochs", persist_state="session"
        )
        rate_ = c.number_input(
            "Learning rate",
            1e-5,
            1.0,
            Schedule().learning_rate,
            format="%.4f",
            key="rate",
            persist_state="session",
        )
        seed = d.number_input("Seed", 0, 2**31 - 1, 0, key="seed", persist_state="session")
        balanced = st.toggle(
            "Count a rare class as much as a common one, and recalibrate the risks",
            key="class_weights",
            persist_state="session",
        )
        st.caption(WHY_RECALIBRATE)
    recipe = MLP(hidden=hidden_widths(hidden), activation=activation, norm=norm, dropout=dropout)
    weights = BALANCED if balanced else NONE
    schedule = Schedule(epochs=int(epochs), learning_rate=float(rate_), class_weights=weights)
    return recipe, schedule, int(seed)


def train_here(study: Study, cohort: Cohort) -> None:
    with guide.sentences():
        recipe, schedule, seed = ask_training()
        if not st.button("Train", type="primary", icon=":material/play_arrow:", key="train"):
            return
        bar, live = st.progress(0.0, "Training…"), st.empty()
        epochs: list[Epoch] = []
        model: RiskModel | None = None
        for step in train_steps(cohort, recipe, seed=seed, schedule=schedule):
            model = step.model
            if model is None:
                epochs.append(step.epoch)
                draw_live(bar, live, epochs)
        assert model is not None
        study.use_model(model, epochs)
        st.rerun()


def draw_live(bar: object, live: object, epochs: list[Epoch]) -> None:
    last = epochs[-1]
    bar.progress(last.number / last.of, f"Epoch {last.number} of at most {last.of}")
    if last.number % REDRAW_EVERY == 0:
        live.plotly_chart(learning_curve(epochs), key=f"live_{last.number}", alt="Live learning curve")


def upload(study: Study, cohort: Cohort) -> None:
    file = st.file_uploader(
        "A safetensors file, or a PyTorch state_dict (.pt, .pth)",
        type=["safetensors", "pt", "pth"],
        key="model_upload",
    )
    st.caption(
        "Whole pickled models and TorchScript can run code and are never opened: save `model.state_dict()`."
    )
    if file is None:
        return
    with guide.sentences():
        tensors = read_tensors(file.getvalue(), name=file.name)
        for note in tensors.notes:
            st.caption(plain(note))
        if KEY in tensors.metadata:
            ready = model_from(tensors)
            cohort = with_its_split(study, cohort, ready)
            check_fits(ready, cohort)
            st.markdown(f"**{plain(file.name)}** fits these patients: {len(ready.features)} features.")
        else:
            ready = confirm(tensors, cohort)
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
    return load_cohort(
        study.table.frame,
        outcome=cohort.outcome,
        patient=cohort.patient,
        positive=cohort.positive,
        exclude=cohort.exclude,
        split=seen,
        classes=model.classes,
    )


def confirm(tensors: TensorFile, cohort: Cohort) -> RiskModel:
    """What the file cannot say: asked, applied, and shown on a few patients."""
    widths = inferred_widths(tensors)
    st.markdown(f"Found a network of widths **{' → '.join(map(str, widths))}**. Please confirm the rest.")
    left, right = st.columns(2)
    activation = left.selectbox("Activation between the layers", list(ACTIVATIONS), key="adopt_activation")
    scaling = right.selectbox("Its inputs", SCALINGS, format_func=SCALING_NAMES.get, key="adopt_scaling")
    names = [feature.name for feature in cohort.features]
    columns = st.multiselect(
        "Its input columns, in its order", names, default=names, key="adopt_columns",
        help="Take out what the model does not use; the order of choosing is the network's order.",
    )  # fmt: skip
    classes = st.multiselect(
        "Its classes, in its order", cohort.classes, default=cohort.classes, key="adopt_classes"
    )
    constants = ask_constants() if scaling == "constants" else None
    norm_first = st.toggle("Normalisation comes before the activation", True, key="adopt_norm_first")
    model = adopt_model(
        tensors,
        cohort,
        Adoption(activation, scaling, tuple(columns), tuple(classes), norm_first, constants),
    )
    st.warning(guide.UNKNOWN, icon=":material/help:")
    agreement(model, cohort)
    return model


def ask_constants() -> dict[str, tuple[float, float]] | None:
    file = st.file_uploader(
        "Scaling constants (JSON: mean and scale by column)", type=["json"], key="constants"
    )
    if file is None:
        st.info('Upload a JSON file such as {"age": {"mean": 50, "scale": 12}}.')
        st.stop()
    try:
        return constants_from(json.loads(file.getvalue()))
    except ValueError:
        return constants_from(None)


def agreement(model: RiskModel, cohort: Cohort) -> None:
    """Risks of the first patients, to be held against what the model gave elsewhere."""
    first = cohort.tuning.frame.head(5)
    risks = model.predict_proba(first)
    shown = first.reset_index(drop=True)
    for place, label in enumerate(model.classes):
        shown.insert(place, f"risk of {label}", risks[:, place].round(4))
    st.markdown("Compare these risks with what your model gives for the same patients:")
    guide.table(shown, key="sample_risks")


def show(study: Study, cohort: Cohort, model: RiskModel) -> None:
    on_tuning = performance(
        cohort.tuning.outcome, model.risks_of(model.prepared(cohort.tuning)), model.act_at
    )
    on_train = performance(cohort.train.outcome, model.risks_of(model.prepared(cohort.train)), model.act_at)
    guide.opening(
        "Model",
        f"The model tells patients apart with an **AUROC of {rate(on_tuning.auroc)}** on "
        f"{cohort.tuning.told()}, with **{model.network.nonzero():,} parameters** over "
        f"{len(model.features)} features.",
    )
    cut = (
        f"acting at a risk of {model.act_at:.0%}"
        if len(model.classes) == BINARY
        else "taking the largest risk"
    )
    guide.tiles(
        [
            Tile("AUROC", rate(on_tuning.auroc), f"train {rate(on_train.auroc)}"),
            Tile("Accuracy", share(on_tuning.accuracy), help=cut),
            Tile("F1", rate(on_tuning.f1), help=cut),
            Tile("Sensitivity", share(on_tuning.sensitivity), help=cut),
            Tile("Specificity", share(on_tuning.specificity), help=cut),
            Tile("Brier score", rate(on_tuning.brier)),
        ]
    )
    widths = " → ".join(str(width) for width in model.network.spec.widths)
    st.caption(f"On tuning patients, {cut}. Widths {widths}, {model.origin.source}.")
    with st.container(horizontal=True):
        guide.next_step("pages/3_contributions.py", "Next: what contributes")
        st.download_button(
            "Model as safetensors",
            data=lambda: model_bytes(model),
            file_name="model.safetensors",
            on_click="ignore",
            icon=":material/download:",
            key="download_model",
        )
    ask_cut_off(study, model)
    if study.epochs:
        guide.chart(
            learning_curve(study.epochs), key="learning_curve", alt="Loss on train and tuning by epoch."
        )
    st.subheader("Another model")


def ask_cut_off(study: Study, model: RiskModel) -> None:
    """At which risk a doctor would act: it decides accuracy, F1, sensitivity and specificity everywhere."""
    if len(model.classes) != BINARY:
        return
    act_at = st.number_input(
        "Act on a risk of at least", 0.01, 0.99, model.act_at, 0.01, key=f"act_at_{id(model)}", width=260,
        help="Accuracy, F1, sensitivity and specificity count patients on either side of it. "
        "Finished models stay; a bundle has to be built again.",
    )  # fmt: skip
    if act_at != model.act_at:
        with st.spinner("Counting again…", show_time=True):
            study.use_act_at(float(act_at))
        st.rerun()


study = session.study()
guide.needs_cohort(study, "Model")
cohort = study.cohort
if study.model is None:
    guide.opening("Model", "**Train a network on these patients, or upload one you have.**")
else:
    show(study, cohort, study.model)
train_tab, upload_tab = st.tabs(["Train here", "Upload"])
with train_tab:
    train_here(study, cohort)
with upload_tab:
    upload(study, cohort)
