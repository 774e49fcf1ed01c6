"""Contributions: what every weight, neuron and feature contributes."""

from dataclasses import replace

import numpy as np
import streamlit as st

from medprune.criteria import CRITERIA
from medprune.figures import contribution_histogram, feature_bars
from medprune.ranking import SCOPES
from medprune.scoring import GRANULARITIES
from pages.shared import guide, session, work
from pages.shared.guide import Tile, plain
from pages.shared.session import ScoreSettings, Study

EVERYONE = "all patients"
ALL_LAYERS = "all layers"
PLURAL = {"weight": "weights", "neuron": "neurons", "feature": "features"}
CRITERION_NAMES = {
    "contribution": "contribution",
    "class_contribution": "contribution to each predicted class",
    "taylor": "Taylor (loss)",
    "magnitude": "magnitude (baseline)",
    "random": "random (baseline)",
}
SCOPE_NAMES = {"layer": "within each layer", "global": "over all layers", "adaptive": "adaptive (LAMP)"}


def ask(study: Study) -> None:
    """Settings of the scores; they hold on the next page too."""
    now = study.scoring
    a, b, c = st.columns([2, 1, 1])
    names = list(CRITERIA.names())
    names.sort(key=lambda name: list(CRITERION_NAMES).index(name) if name in CRITERION_NAMES else 99)
    criterion = a.selectbox(
        "Criterion", names, index=names.index(now.criterion),
        format_func=lambda name: CRITERION_NAMES.get(name, name), key="criterion",
    )  # fmt: skip
    granularity = b.selectbox(
        "Look at", GRANULARITIES, index=GRANULARITIES.index(now.granularity),
        format_func=PLURAL.get, key="granularity",
    )  # fmt: skip
    scopes = list(SCOPES)
    scope = c.selectbox(
        "Compare scores", scopes, index=scopes.index(now.scope),
        format_func=lambda name: SCOPE_NAMES.get(name, name), key="scope",
    )  # fmt: skip
    st.caption(plain(CRITERIA.explanation(criterion)))
    balanced = st.toggle("Give every class the same say, however rare", now.balanced, key="balanced")
    study.scoring = replace(now, criterion=criterion, granularity=granularity, scope=scope, balanced=balanced)


def show(study: Study, how: ScoreSettings) -> None:
    scores = work.scored(study)
    features = scores.features.sort_values("score", ascending=False)
    top = ", ".join(plain(name) for name in features["name"].head(3))
    what = PLURAL[how.granularity]
    a, b = st.columns(2)
    by_true = "patients of class" if not predicted(how.criterion) else "predicted class"
    who = a.selectbox(
        "Patients", [EVERYONE, *scores.classes],
        format_func=lambda name: name if name == EVERYONE else f"{by_true} {name}", key="who",
    )  # fmt: skip
    shown = scores.scores(how.granularity)
    if who != EVERYONE:
        shown = scores.scores_of_class(how.granularity, scores.classes.index(who))
    layers = [ALL_LAYERS, *scores.layer_names[: len(shown)]]
    layer = ALL_LAYERS
    if how.granularity != "feature":
        layer = b.selectbox("Layer", layers, key="layer")
    values = work.normalised(study, shown)
    picked = values if layer == ALL_LAYERS else (values[layers.index(layer) - 1],)
    flat = np.concatenate([part.ravel() for part in picked]) if picked else np.empty(0)

    grid = [float(t) for t in work.GRID]
    nearest = min(grid, key=lambda t: abs(t - study.threshold))
    threshold = st.select_slider(
        "Threshold: what scores below it would be removed", grid, value=nearest,
        format_func=lambda t: f"{t:.4g}", key="histogram_threshold",
    )  # fmt: skip
    study.threshold = float(threshold)
    below = float((flat < threshold).mean()) if len(flat) else 0.0
    guide.tiles(
        [
            Tile(f"{what.capitalize()} scored", f"{len(flat):,}"),
            Tile("Below the threshold", f"{below:.1%}"),
            Tile("Patients scored", f"{scores.patients:,}"),
        ]
    )
    st.markdown(f"The features that contribute most: **{top}**.")
    guide.chart(
        contribution_histogram(
            flat,
            float(threshold),
            title=f"Contributions of {what}, {layer}, {who}",
            what=what,
            scope=how.scope,
        ),
        key=f"contributions_{how.granularity}",
        alt=f"Histogram of the contributions of {len(flat)} {what}; {below:.0%} lie below the threshold.",
    )
    st.subheader("Features")
    shown_features = (
        features
        if who == EVERYONE
        else features.assign(
            score=scores.features_by_class[scores.classes.index(who)][features["column"].to_numpy()]
        )
    )
    left, right = st.columns([3, 2])
    with left:
        guide.chart(
            feature_bars(shown_features, title=f"Contribution of features, {who}"),
            key="features",
            alt=f"Features by contribution; the most telling are {top}.",
        )
    with right:
        table = scores.table("feature", by_class=True).drop(columns=["layer", "row", "column"])
        table = table.rename(columns={"name": "feature"}).sort_values("score", ascending=False)
        guide.table(table, key="feature_contributions")
    if how.granularity != "feature":
        with st.expander(f"Every {how.granularity}, as a table"):
            table = scores.table(how.granularity, by_class=True).sort_values("score", ascending=False)
            guide.table(table, key=f"{how.granularity}_contributions")


def predicted(criterion: str) -> bool:
    return CRITERIA.get(criterion).classes_are_predicted


study = session.study()
guide.needs_model(study)
guide.opening(
    "Contributions",
    "What each part of the model adds to its predictions: **the contribution of a weight is how much a "
    "patient's predicted probability moves when the weight is taken away.**",
)
with guide.sentences():
    ask(study)
    show(study, study.scoring)
guide.next_step("pages/4_threshold.py", "Next: choose a threshold")
