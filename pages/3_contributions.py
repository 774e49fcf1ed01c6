"""Contributions: what every weight, neuron and feature contributes."""

from dataclasses import replace

import numpy as np
import streamlit as st

from medprune import Contributions
from medprune.criteria import CRITERIA
from medprune.figures import contribution_histogram, feature_bars
from medprune.ranking import SCOPES
from medprune.scoring import GRANULARITIES
from pages.shared import guide, session, work
from pages.shared.guide import PLURAL, Tile, plain
from pages.shared.session import ScoreSettings, Study

EVERYONE = "all patients"
ALL_LAYERS = "all layers"
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
    by_true = "predicted class" if CRITERIA.get(how.criterion).classes_are_predicted else "patients of class"
    a, b = st.columns(2)
    who = a.selectbox(
        "Patients", [EVERYONE, *scores.classes],
        format_func=lambda name: name if name == EVERYONE else f"{by_true} {name}", key="who",
    )  # fmt: skip
    layer = ALL_LAYERS
    if how.granularity != "feature":
        names = scores.layer_names[: len(scores.scores(how.granularity))]
        layer = b.selectbox("Layer", [ALL_LAYERS, *names], key="layer")
    cut(study, scores, who, layer)
    features(scores, who)
    if how.granularity != "feature":
        with st.expander(f"Every {how.granularity}, as a table"):
            table = scores.table(how.granularity, by_class=True).sort_values("score", ascending=False)
            guide.table(table, key=f"{how.granularity}_contributions")


@st.fragment
def cut(study: Study, scores: Contributions, who: str, layer: str) -> None:
    """The histogram, and the threshold that cuts through it."""
    how, what = study.scoring, PLURAL[study.scoring.granularity]
    grid = [float(t) for t in work.GRID]
    threshold = st.select_slider(
        "Threshold: what scores below it would be removed", grid,
        value=min(grid, key=lambda t: abs(t - study.threshold)),
        format_func=lambda t: f"{t:.4g}", key="histogram_threshold",
    )  # fmt: skip
    study.threshold = float(threshold)
    values = shown_scores(study, scores, who, layer)
    below = float((values < threshold).mean()) if len(values) else 0.0
    guide.tiles(
        [
            Tile(f"{what.capitalize()} scored", f"{len(values):,}"),
            Tile("Below the threshold", f"{below:.1%}"),
            Tile("Rows scored", f"{scores.patients:,}"),
        ]
    )
    guide.chart(
        contribution_histogram(
            values,
            float(threshold),
            title=f"Contributions of {what}, {layer}, {who}",
            what=what,
            scope=how.scope,
        ),
        key=f"contributions_{how.granularity}",
        alt=f"Histogram of the contributions of {len(values)} {what}; {below:.0%} lie below the threshold.",
    )


def shown_scores(study: Study, scores: Contributions, who: str, layer: str) -> np.ndarray:
    """The scores in [0, 1] that were asked for: of whom, and of which layer."""
    granularity = study.scoring.granularity
    if who == EVERYONE:
        chosen = scores.scores(granularity)
    else:
        chosen = scores.scores_of_class(granularity, scores.classes.index(who))
    values = work.normalised(study, chosen)
    if layer != ALL_LAYERS:
        values = (values[scores.layer_names.index(layer)],)
    return np.concatenate([part.ravel() for part in values]) if values else np.empty(0)


def features(scores: Contributions, who: str) -> None:
    """Features in the user's own column names, as bars and as a table."""
    ranked = scores.features.sort_values("score", ascending=False)
    if who != EVERYONE:
        of_class = scores.features_by_class[scores.classes.index(who)]
        ranked = scores.features.assign(score=of_class).sort_values("score", ascending=False)
    top = ", ".join(plain(name) for name in ranked["name"].head(3))
    st.subheader("Features")
    st.markdown(f"The features that contribute most: **{top}**.")
    left, right = st.columns([3, 2])
    with left:
        guide.chart(
            feature_bars(ranked, title=f"Contribution of features, {who}"),
            key="features",
            alt=f"Features by contribution; the most telling are {top}.",
        )
    with right:
        table = scores.table("feature", by_class=True).drop(columns=["layer", "row", "column"])
        table = table.rename(columns={"name": "feature"}).sort_values("score", ascending=False)
        guide.table(table, key="feature_contributions")


study = session.study()
guide.needs_model(study, "Contributions")
guide.opening(
    "Contributions",
    "What each part of the model adds to its predictions: **the contribution of a weight is how much a "
    "patient's predicted probability moves when the weight is taken away.**",
)
with guide.sentences():
    ask(study)
    show(study, study.scoring)
guide.next_step("pages/4_threshold.py", "Next: choose a threshold")
