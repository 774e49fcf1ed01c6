"""Threshold: size against performance, before and after retraining."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from medprune import Candidate, Path, Tradeoff
from medprune.figures import feature_bars, kept_by_layer, tradeoff_curve
from medprune.figures.tradeoff import METRIC_NAMES
from medprune.selection import RULES
from medprune.training import RETRAINING
from pages.shared import guide, session, work
from pages.shared.guide import Tile, plain, rate, share, size_text
from pages.shared.session import Study

PLURAL = {"weight": "weights", "neuron": "neurons", "feature": "features"}
RULE_NAMES = {"one-se": "smallest within one standard error", "non-inferior": "smallest that is non-inferior"}
SHARES = ("accuracy", "sensitivity", "specificity")


@st.fragment
def slide(study: Study, sweep: Tradeoff, path: Path | None) -> None:
    """The slider, and everything that moves with it."""
    grid = [float(t) for t in work.GRID]
    nearest = min(grid, key=lambda t: abs(t - study.threshold))
    threshold = float(
        st.select_slider(
            "Pruning threshold", grid, value=nearest, format_func=lambda t: f"{t:.4g}", key="threshold"
        )
    )
    study.threshold = threshold
    row = sweep.at(threshold)
    dense = sweep.table.iloc[0]
    st.markdown(f"**Before retraining**, at threshold {threshold:.4g}: {share(row['sparsity'])} removed")
    guide.tiles(tiles_of(row, dense))
    finished = None if path is None else path.nearest(float(row["sparsity"]))
    if finished is None:
        st.info(
            "Retrain along the path (below) to see what finished, retrained models of these sizes can do.",
            icon=":material/route:",
        )
    else:
        st.markdown(f"**After retraining**, the nearest finished model: {share(finished.sparsity)} removed")
        guide.tiles(tiles_of(row_of(finished), dense))
    metric = st.segmented_control(
        "Metric", list(METRIC_NAMES), default="auroc", format_func=METRIC_NAMES.get, key="metric"
    )
    metric = metric or "auroc"
    guide.chart(
        tradeoff_curve(
            sweep.table,
            () if path is None else path.candidates,
            metric=metric,
            threshold=threshold,
            chosen=study.chosen if path is not None and path is study.chosen_path else None,
            dense=float(dense[metric]),
            what=PLURAL[sweep.granularity],
        ),
        key="tradeoff",
        alt=f"{METRIC_NAMES[metric]} on tuning patients against the share removed.",
    )
    if finished is not None and st.button(
        f"Take this model: {share(finished.sparsity)} removed", key="take", icon=":material/check:"
    ):
        study.choose(finished, path)
        st.rerun()


def tiles_of(row: pd.Series, dense: pd.Series) -> list[Tile]:
    """Performance and size, each with its change from the dense model."""
    made = []
    for name, title in METRIC_NAMES.items():
        show = share if name in SHARES else rate
        change = row[name] - dense[name]
        made.append(
            Tile(title, show(row[name]), f"{100 * change:+.1f} pp" if name in SHARES else f"{change:+.3f}")
        )
    made.append(Tile("Train-tuning gap", rate(row["gap"]), f"{row['gap'] - dense['gap']:+.3f}", help="AUROC"))
    for name, show in (
        ("parameters", "{:,.0f}".format),
        ("features", "{:,.0f}".format),
        ("bytes", size_text),
    ):
        left = row[name] / dense[name] - 1 if dense[name] else 0.0
        made.append(Tile(name.capitalize(), show(row[name]), f"{left:+.1%}"))
    return made


def row_of(candidate: Candidate) -> pd.Series:
    """A finished candidate in the columns of the sweep."""
    scores = {name: candidate.performance[name] for name in METRIC_NAMES}
    size = candidate.size
    return pd.Series(
        {
            "sparsity": candidate.sparsity,
            "threshold": candidate.threshold,
            **scores,
            "gap": candidate.train_performance.auroc - candidate.performance.auroc,
            "parameters": size.parameters,
            "stored": size.stored,
            "features": size.features,
            "bytes": size.bytes,
        }
    )


def retrain(study: Study) -> None:
    """Walk the path; explain what it is."""
    st.subheader("After retraining")
    st.markdown(
        "A threshold alone breaks a network: it has to be pruned in rounds, scored again and retrained "
        "between. Every point of this path is a finished model."
    )
    left, middle, right = st.columns([1, 1, 2], vertical_alignment="bottom")
    epochs = left.number_input("Epochs a round", 0, 500, RETRAINING.epochs, key="path_epochs")
    seed = middle.number_input("Seed", 0, 2**31 - 1, 0, key="path_seed")
    if right.button("Retrain along the path", type="primary", icon=":material/route:", key="walk"):
        with guide.sentences():
            path = work.walk(study, int(epochs), int(seed))
            study.choose(path.choose("one-se"), path)
            st.rerun()


def choose(study: Study, path: Path) -> None:
    """Rules that choose, and all candidates as a table."""
    left, middle, right = st.columns([2, 1, 1], vertical_alignment="bottom")
    rule = left.selectbox("Choose for me", list(RULES), format_func=RULE_NAMES.get, key="rule")
    margin = middle.number_input("Margin (AUROC)", 0.0, 0.5, 0.02, 0.005, format="%.3f", key="margin")
    if right.button("Choose", key="choose"):
        study.choose(path.choose(rule, margin=float(margin)), path)
        st.rerun()
    guide.table(table_of(path, study.chosen), key="path")


def table_of(path: Path, chosen: Candidate | None) -> pd.DataFrame:
    rows = pd.DataFrame([row_of(candidate) for candidate in path])
    rows.insert(0, "chosen", ["✓" if candidate is chosen else "" for candidate in path])
    counts = ["parameters", "stored", "features", "bytes"]
    return rows.astype(dict.fromkeys(counts, "int64")).round(4)


def chosen_model(study: Study, chosen: Candidate, path: Path) -> None:
    """The chosen candidate in words, and what it no longer asks for."""
    gone = no_longer_needed(path.dense.model.features, chosen)
    st.success(
        f"Chosen: **{share(chosen.sparsity)} removed**, AUROC {rate(chosen.performance.auroc)} on tuning "
        f"patients (dense {rate(path.dense.performance.auroc)}), "
        f"{chosen.parameters:,} of {path.dense.parameters:,} parameters, {chosen.features} of {path.dense.features} features.",
        icon=":material/check_circle:",
    )
    if gone:
        listed = ", ".join(plain(name) for name in gone)
        st.markdown(f"**This model no longer needs:** {listed}.")
    guide.next_step("pages/7_export.py", "Next: export")
    left, right = st.columns(2)
    with left:
        guide.chart(
            feature_bars(
                work.scored(study).features,
                [name for name in path.dense.model.features if name not in gone],
                title="Features: blue is still needed",
            ),
            key="features_needed",
            alt=f"{chosen.features} features are still needed, {len(gone)} are not.",
        )
    with right:
        guide.chart(
            kept_by_layer(chosen.mask, chosen.model.network.layer_names(), title="Weights kept, by layer"),
            key="kept_by_layer",
            alt="Share of weights kept in each layer.",
        )


def no_longer_needed(features: Sequence[str], chosen: Candidate) -> list[str]:
    used = chosen.model.preparation.feature_of_column[chosen.mask.inputs.numpy()]
    kept = {chosen.model.features[place] for place in used}
    return [name for name in features if name not in kept]


study = session.study()
guide.needs_model(study)
guide.opening(
    "Threshold",
    "How much can go before the model gets worse? **Move the threshold; grey is one cut without retraining, "
    "blue points are finished models.** All figures are on tuning patients.",
)
how = study.scoring
st.caption(
    f"{PLURAL[how.granularity].capitalize()} by {how.criterion}, scope {how.scope}; "
    "change it on Contributions."
)
with guide.sentences():
    sweep = work.swept(study)
    slide(study, sweep, study.path)
    retrain(study)
    if study.path is not None:
        choose(study, study.path)
    if study.chosen is not None and study.chosen_path is not None:
        chosen_model(study, study.chosen, study.chosen_path)
