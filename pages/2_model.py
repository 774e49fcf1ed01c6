"""Model: upload, restore or train a network."""

import streamlit as st

from medprune import MLP, Cohort, RiskModel, Schedule, train_steps
from medprune.errors import listed
from medprune.figures import learning_curve
from medprune.flow import measure
from medprune.model_file import model_bytes
from medprune.network import ACTIVATIONS, NORMS, hidden_widths
from medprune.performance import BINARY
from medprune.too_good import too_good
from medprune.training import BALANCED, NONE, Epoch
from pages.shared import guide, model_upload, session
from pages.shared.guide import Tile, plain, rate, share
from pages.shared.session import Study

NORM_NAMES = {"none": "none", "batch": "batch normalisation", "layer": "layer normalisation"}
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
        meant = leaks_are_meant(cohort)
        label, icon = "Train", ":material/play_arrow:"
        if not st.button(label, type="primary", icon=icon, key="train", disabled=not meant):
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


def leaks_are_meant(cohort: Cohort) -> bool:
    """Whether there is no column that may give the outcome away, or the user wants them all the same."""
    used = {feature.name for feature in cohort.features}
    found = [p for p in cohort.quality.problems if p.kind == "leakage"]
    named = dict.fromkeys(name for p in found for name in (p.column, *p.columns))  # many share a finding
    leaks = [name for name in named if name in used]
    if not leaks:
        return True
    st.warning(
        f"{plain(listed(leaks))} may give the outcome away: a model that reads what is known only "
        "afterwards is of no use to the next patient. On the page Patients, leave out what is not known in "
        "time.",
        icon=":material/report:",
    )
    return st.checkbox(
        "These columns are known in time; train with them", key=f"leaks_{cohort.table_hash[:8]}_{len(leaks)}"
    )


def draw_live(bar: object, live: object, epochs: list[Epoch]) -> None:
    last = epochs[-1]
    bar.progress(last.number / last.of, f"Epoch {last.number} of at most {last.of}")
    if last.number % REDRAW_EVERY == 0:
        live.plotly_chart(learning_curve(epochs), key=f"live_{last.number}", alt="Live learning curve")


def show(study: Study, cohort: Cohort, model: RiskModel) -> None:
    on_tuning, on_train = (measure(model, split).performance for split in (cohort.tuning, cohort.train))
    guide.opening(
        "Model",
        f"The model tells patients apart with an **AUROC of {rate(on_tuning.auroc)}** on "
        f"{cohort.tuning.told()}, with **{model.network.nonzero():,} parameters** over "
        f"{len(model.features)} features.",
    )
    if doubt := too_good(max(on_tuning.auroc, on_train.auroc), cohort, model.features):
        st.warning(plain(doubt), icon=":material/report:")
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
    guide.warn_if_unknown(model)
    st.caption(f"On tuning patients, {cut}. Widths {widths}, {plain(model.origin.source)}.")
    with st.container(horizontal=True):
        guide.next_step("pages/3_contributions.py", "Next: what contributes")
        guide.download(
            "Model as safetensors", lambda: model_bytes(model),
            name="model.safetensors", kind="secondary", key="download_model",
        )  # fmt: skip
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
    model_upload.upload(study, cohort)
