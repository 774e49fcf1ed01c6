"""Contributions: what every weight, neuron and feature contributes."""

import numpy as np
import pandas as pd
import streamlit as st

from medprune import Contributions
from medprune.criteria import CRITERIA
from medprune.figures import agreement_scatter, contribution_histogram, drop_bars, feature_bars
from medprune.figures.tradeoff import METRIC_NAMES
from medprune.ranking import SCOPES
from medprune.scoring import GRANULARITIES
from pages.shared import guide, session, work
from pages.shared.guide import PLURAL, Tile, plain
from pages.shared.session import ScoreSettings, Study
from pages.shared.settings import form, in_words

EVERYONE = "all patients"
ALL_LAYERS = "all layers"
EFFECTIVE = (
    "The square of the summed scores over the sum of their squares: all patients alike make it their number, "
    "a single patient makes it 1. Scores that few patients carry would be others on other patients."
)
SPEARMAN = "Of the two rankings: 1 is the same order, 0 no agreement."
COLUMNS = {
    "effective_patients": st.column_config.NumberColumn("effective patients", format="%.1f", help=EFFECTIVE)
}


def ask(study: Study) -> None:
    """Settings of the scores; they hold on the next page too."""
    now = study.scoring
    a, b, c = st.columns([2, 1, 1])
    names = sorted(CRITERIA.names(), key=_place)
    criterion = a.selectbox(
        "Criterion", names, index=names.index(now.criterion),
        format_func=_title, key="criterion",
    )  # fmt: skip
    granularity = b.selectbox(
        "Look at", GRANULARITIES, index=GRANULARITIES.index(now.granularity),
        format_func=PLURAL.get, key="granularity",
    )  # fmt: skip
    scopes = list(SCOPES)
    scope = c.selectbox(
        "Compare scores", scopes, index=scopes.index(now.scope),
        format_func=in_words, key="scope",
    )  # fmt: skip
    st.caption(plain(CRITERIA.explanation(criterion)))
    balanced = st.toggle("Give every class the same say, however rare", now.balanced, key="balanced")
    so_far = dict(now.options) if criterion == now.criterion else {}
    options = form(CRITERIA.get(criterion), so_far, key=criterion)
    study.scoring = ScoreSettings(criterion, granularity, scope, balanced, options)


def _title(name: str) -> str:
    kind = CRITERIA.get(name)
    return kind.title if kind.needs_patients else f"{kind.title} (baseline)"


def _place(name: str) -> tuple[bool, bool, str]:
    """The document's criterion first, the baselines last."""
    return not CRITERIA.get(name).needs_patients, name != ScoreSettings.criterion, _title(name)


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
    carried(scores, how.granularity)
    features(scores, who)
    if how.granularity != "feature":
        with st.expander(f"Every {how.granularity}, as a table"):
            table = scores.table(how.granularity, by_class=True).sort_values("score", ascending=False)
            guide.table(known(table), key=f"{how.granularity}_contributions", column_config=COLUMNS)
    lost_without(study, how)
    true_removal(study, how)


@st.fragment
def cut(study: Study, scores: Contributions, who: str, layer: str) -> None:
    """The histogram, and the threshold that cuts through it."""
    how, what = study.scoring, PLURAL[study.scoring.granularity]
    grid = work.grid(study)
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
            Tile("Below it", f"{below:.1%}", help="below the threshold"),
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
            alt="Features by contribution; the most telling are " + ", ".join(ranked["name"].head(3)) + ".",
        )
    with right:
        table = scores.table("feature", by_class=True).drop(columns=["layer", "row", "column"])
        table = table.rename(columns={"name": "feature"}).sort_values("score", ascending=False)
        guide.table(known(table), key="feature_contributions", column_config=COLUMNS)


def known(table: pd.DataFrame) -> pd.DataFrame:
    """Without the effective patients of a criterion that looks at none."""
    return table.drop(columns="effective_patients") if table["effective_patients"].isna().all() else table


def carried(scores: Contributions, granularity: str) -> None:
    """How few patients stand behind the scores, in a sentence."""
    effective = scores.table(granularity)["effective_patients"]
    telling = effective[effective > 0]
    if len(telling):
        st.markdown(
            f"Half of the {PLURAL[granularity]} that contribute at all owe their score to **fewer than "
            f"{max(telling.median(), 1):,.0f} effective patients** of {scores.patients:,}.",
            help=EFFECTIVE,
        )


def lost_without(study: Study, how: ScoreSettings) -> None:
    """What the model's performance loses without each single thing, and which of that is noise."""
    what = PLURAL[how.granularity]
    st.subheader("What performance would be lost")
    st.markdown(
        f"Each of the {what} is taken away alone, without retraining, and the metric is measured again on "
        f"{study.cohort.tuning.told()}. A drop whose 95 % interval holds 0 is **noise**: on these patients "
        "it cannot be told from nothing."
    )
    row = st.container(horizontal=True, vertical_alignment="bottom")
    metric = row.selectbox(
        "Metric", list(METRIC_NAMES), format_func=METRIC_NAMES.get, key="drop_metric", width=280,
        persist_state="session",
    )  # fmt: skip
    found = work.dropped(study, metric, now=row.button(f"Measure without each of the {what}", key="drops"))
    if found is None:
        return
    noise, of = int(found.table["noise"].sum()), len(found.table)
    guide.warn_if_few(study.cohort, study.cohort.tuning)
    st.markdown(
        f"The whole model has {METRIC_NAMES[metric]} {guide.metric_text(metric, found.value)}. "
        f"**{noise:,} of {of:,} drops are noise.** Each interval is for one of the {what} alone: of many "
        "that do nothing, one in twenty is not called noise."
    )
    guide.chart(
        drop_bars(found.table, title=f"Without each of the {what}", metric=METRIC_NAMES[metric]),
        key=f"drops_{how.granularity}",
        alt=f"What {METRIC_NAMES[metric]} loses without each of the {what}; {noise} of {of} drops are noise.",
    )
    with st.expander("Every drop, as a table"):
        table = known(found.table.sort_values("drop", ascending=False))
        guide.table(table, key=f"{how.granularity}_drops")


def true_removal(study: Study, how: ScoreSettings) -> None:
    """The scores against what truly happens, on request."""
    what = PLURAL[how.granularity]
    st.subheader("Agreement with true removal")
    st.markdown(
        f"A score foretells what removing one thing does. Here up to 200 of the {what} are truly removed, "
        "one at a time and without retraining, and the change in every train patient is measured."
    )
    found = work.agreed(study, now=st.button(f"Remove {what} one at a time", key="agree"))
    if found is None:
        return
    guide.tiles(
        [
            Tile("Spearman", guide.rate(found.spearman), help=SPEARMAN),
            Tile("Truly removed", f"{found.count:,}"),
            Tile(f"{what.capitalize()} in all", f"{found.of:,}"),
        ]
    )
    guide.chart(
        agreement_scatter(found.table, found.effect, title=f"Scores of {what} against their true removal"),
        key=f"agreement_{how.granularity}",
        alt=f"{found.count} {what}, score against true change; Spearman {found.spearman:.2f}.",
    )


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
