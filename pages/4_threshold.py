"""Threshold: size against performance, before and after retraining."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from medprune import Candidate, Path, Tradeoff
from medprune.figures import feature_bars, kept_by_layer, tradeoff_curve
from medprune.figures.tradeoff import METRIC_NAMES
from medprune.performance import BINARY
from medprune.selection import RULES
from medprune.training import RETRAINING
from pages.components.live import live
from pages.components.live.payload import TILES, changed, label, text_of
from pages.shared import guide, session, work
from pages.shared.guide import PLURAL, Tile, metric_text, plain, rate, share, size_text
from pages.shared.recalibrated import risks_set_right
from pages.shared.session import Study

WORTH_SAYING = 0.05  # a fall of sensitivity or specificity
RULE_NAMES = {"one-se": "smallest within one standard error", "non-inferior": "smallest that is non-inferior"}


@st.fragment
def slide(study: Study, sweep: Tradeoff, path: Path | None) -> None:
    """The slider, and everything that moves with it."""
    if st.toggle(
        "Plain slider",
        key="plain",
        persist_state="session",
        help="moves when it is let go; for browsers in which the live picture does not come up",
    ):
        plain_slider(study, sweep)
        guide.tiles(headline(sweep, work.place_of(study, sweep)))
        draw(study, sweep, path)
    else:
        moved(study, *live(work.live_payload(study, sweep, path), key="live"))
    with st.container(key="exact"):
        exact(study, sweep, path)


def moved(study: Study, told: Mapping[str, Any] | None, act_at: float | None) -> None:
    """What the live picture has told: where it was let go, or a risk to act at from here on."""
    if told is not None:
        work.hear(study, told)
    if act_at is not None:
        study.use_act_at(float(act_at))
        st.rerun()


def plain_slider(study: Study, sweep: Tradeoff) -> None:
    grid = sweep.thresholds.tolist()
    study.threshold = st.select_slider(
        "Pruning threshold: what scores below it is removed, and what then leads nowhere",
        grid,
        value=grid[work.place_of(study, sweep)],
        format_func=lambda t: f"{t:.4g}",
        key="threshold",
    )


def headline(sweep: Tradeoff, place: int) -> list[Tile]:
    """The figures of the live picture, as plain tiles."""
    row, dense = sweep.table.iloc[place], sweep.table.iloc[0]
    what = PLURAL[sweep.granularity]
    return [
        Tile(label(name, what), text_of(name, row[name]), changed(name, row[name], dense[name]) or None)
        for name in TILES
    ]


def exact(study: Study, sweep: Tradeoff, path: Path | None) -> None:
    """The threshold that was let go, counted again on all tuning patients, beside the finished models."""
    shown = sweep.table.iloc[work.place_of(study, sweep)]
    dense, row = work.exact(study, float(shown["threshold"]))
    same = all(text_of(name, row[name]) == text_of(name, shown[name]) for name in TILES)
    was = "the picture said the same" if same else f"the picture said AUROC {rate(shown['auroc'])}"
    was += f" from a sample of {sweep.sampled:,}" if sweep.sampled else ""
    acting = f", acting at a risk of {study.model.act_at:.0%}" if len(study.model.classes) == BINARY else ""
    st.markdown(
        f":material/done_all: **Exact**, counted again on {study.cohort.tuning.told()}: threshold "
        f"{row['threshold']:.4g} removes {share(row['sparsity'])} and leaves AUROC at {rate(row['auroc'])}"
        f"{acting}; {was}."
    )
    finished = None if path is None else path.nearest(float(row["sparsity"]))
    figures = side_by_side(dense, row, finished)
    left, right = st.columns([3, 2], vertical_alignment="top")
    with left:
        st.table(figures)
        guide.csv_button(figures.reset_index(names="figure"), key="side_by_side", label="Table as CSV")
    with right:
        if finished is None:
            st.caption("Retrain along the path to see what finished models of that size reach.")
        elif st.button(
            f"Take the finished model: {share(finished.sparsity)} removed",
            key="take",
            icon=":material/check:",
        ):
            study.choose(finished, path)
            st.rerun()


def side_by_side(dense: pd.Series, row: pd.Series, finished: Candidate | None) -> pd.DataFrame:
    """Dense, one cut, and the nearest finished model: every figure of the three."""
    columns = {"dense": dense, "one cut": row}
    if finished is not None:
        columns["retrained"] = work.row_of(finished)
    text = {
        "Removed": ("sparsity", share),
        **{title: (name, partial(metric_text, name)) for name, title in METRIC_NAMES.items()},
        "Train-tuning gap": ("gap", rate),
        "Parameters": ("parameters", "{:,.0f}".format),
        "Features": ("features", "{:,.0f}".format),
        "Bytes": ("bytes", size_text),
    }
    table = {
        title: {column: show(values[name]) for column, values in columns.items()}
        for title, (name, show) in text.items()
    }
    return pd.DataFrame(table).T


def sample_first(study: Study, sweep: Tradeoff) -> None:
    """Say that the figures are a sample's; take the exact ones as soon as they are there."""
    sample = (
        f"These figures come from a sample of {sweep.sampled:,} of {len(study.cohort.tuning):,} tuning "
        "patients; AUROC is drawn with its 95 % interval."
    )
    job = study.sharpening[study.scoring]
    if job.state in ("failed", "stopped"):
        st.warning(f"{sample} {plain(job.trouble())}", icon=":material/error:")
        if st.button("Count all patients", key="count_all"):
            del study.sweeps[study.scoring]
            st.rerun()
        return

    @st.fragment(run_every=1.0)
    def sharpening() -> None:
        if work.sharpened(study, job) or job.state in ("failed", "stopped"):
            st.rerun()
        st.info(
            f"{sample} All patients are being counted: {work.sharpness(job):.0%}.",
            icon=":material/hourglass_top:",
        )

    sharpening()


def draw(study: Study, sweep: Tradeoff, path: Path | None) -> None:
    metric = st.segmented_control(
        "Metric",
        list(METRIC_NAMES),
        default="auroc",
        format_func=METRIC_NAMES.get,
        key="metric",
        persist_state="session",
    )
    metric = metric or "auroc"
    guide.chart(
        tradeoff_curve(
            sweep.table,
            () if path is None else path.candidates,
            metric=metric,
            threshold=study.threshold,
            chosen=study.chosen if path is not None and path is study.chosen_path else None,
            dense=float(sweep.table.iloc[0][metric]),
            what=PLURAL[sweep.granularity],
        ),
        key="tradeoff",
        alt=f"{METRIC_NAMES[metric]} on tuning patients against the share removed.",
    )


def retrain(study: Study) -> None:
    """Walk the path; explain what it is."""
    path = study.path
    if path is not None:
        st.markdown(
            f":material/check_circle: **{path.models_trained} finished models** on the path, pruned in "
            f"rounds, retrained between, their risks set right on tuning patients, in {path.seconds:.1f} s. "
            "A new walk starts over."
        )
    else:
        st.markdown(
            "One cut breaks a network sooner or later. Pruned in rounds, scored again and retrained between, "
            "it holds: **every point of the path is a finished model.**"
        )
    left, middle, right = st.columns([1, 1, 2], vertical_alignment="bottom")
    epochs = left.number_input(
        "Epochs a round, at most", 0, 500, RETRAINING.epochs, key="path_epochs", persist_state="session"
    )
    seed = middle.number_input("Seed", 0, 2**31 - 1, 0, key="path_seed", persist_state="session")
    kind = "primary" if path is None else "secondary"
    if right.button("Retrain along the path", type=kind, icon=":material/route:", key="walk"):
        walked = work.walk(study, int(epochs), int(seed))
        study.choose(walked.choose("one-se"), walked)
        st.rerun()


def choose(study: Study, path: Path) -> None:
    """Rules that choose, and all candidates as a table."""
    st.subheader("All finished models")
    left, middle, right = st.columns([2, 1, 1], vertical_alignment="bottom")
    rule = left.selectbox(
        "Choose for me", list(RULES), format_func=RULE_NAMES.get, key="rule", persist_state="session"
    )
    margin = middle.number_input(
        "Margin (AUROC)", 0.0, 0.5, 0.02, 0.005, format="%.3f", key="margin", persist_state="session"
    )
    if right.button("Choose", key="choose"):
        study.choose(path.choose(rule, margin=float(margin)), path)
        st.rerun()
    guide.table(table_of(path, study.chosen), key="path")


def table_of(path: Path, chosen: Candidate | None) -> pd.DataFrame:
    rows = pd.DataFrame([work.row_of(candidate) for candidate in path])
    rows.insert(0, "chosen", ["✓" if candidate is chosen else "" for candidate in path])
    counts = ["parameters", "stored", "features", "bytes"]
    return rows.astype(dict.fromkeys(counts, "int64")).round(4)


def told(chosen: Candidate, path: Path) -> None:
    """The chosen candidate in words, and the next step."""
    st.success(
        f"Chosen: **{share(chosen.sparsity)} of the {PLURAL[path.granularity]} removed**, AUROC "
        f"{rate(chosen.performance.auroc)} on tuning patients (dense {rate(path.dense.performance.auroc)}), "
        f"{chosen.parameters:,} of {path.dense.parameters:,} parameters, "
        f"{chosen.features} of {path.dense.features} features.",
        icon=":material/check_circle:",
    )
    for name in ("sensitivity", "specificity"):
        change = chosen.performance[name] - path.dense.performance[name]
        if change < -WORTH_SAYING:
            st.warning(
                f"{METRIC_NAMES[name]} falls from {share(path.dense.performance[name])} to "
                f"{share(chosen.performance[name])} at the risk acted on ({chosen.model.act_at:.0%}).",
                icon=":material/trending_down:",
            )
    with st.container(horizontal=True):
        guide.next_step("pages/6_review.py", "Next: review")
        if st.button("Compare other strategies", icon=":material/compare_arrows:", key="to_strategies"):
            st.switch_page("pages/5_strategies.py")


def pictured(study: Study, chosen: Candidate, path: Path) -> None:
    """Where the chosen candidate kept its weights and features."""
    st.subheader("The chosen model")
    guide.no_longer_needed(path.dense, chosen, path.prices)
    risks_set_right(chosen)
    gone = len(path.dense.needed) - len(chosen.needed)
    left, right = st.columns(2)
    with left:
        guide.chart(
            feature_bars(
                work.scored(study).features,
                list(chosen.needed),
                title="Features: blue is still needed",
            ),
            key="features_needed",
            alt=f"{chosen.features} features are still needed, {gone} are not.",
        )
    with right:
        guide.chart(
            kept_by_layer(chosen.mask, chosen.model.network.layer_names(), title="Weights kept, by layer"),
            key="kept_by_layer",
            alt="Share of weights kept in each layer.",
        )


study = session.study()
guide.needs_model(study, "Threshold")
guide.opening(
    "Threshold",
    "How much can go before the model gets worse? **Grey is one cut without retraining, blue points are "
    "finished models.** All figures are on tuning patients.",
)
how = study.scoring
st.caption(
    f"{PLURAL[how.granularity].capitalize()} by {how.criterion}, scope {how.scope}; "
    "change it on Contributions."
)
with guide.sentences():
    sweep = work.swept(study)
    retrain(study)
    if study.chosen is not None and study.chosen_path is not None:
        told(study.chosen, study.chosen_path)
    if sweep.sampled is not None:
        sample_first(study, sweep)
    slide(study, sweep, study.path)
    if study.path is not None:
        choose(study, study.path)
    if study.chosen is not None and study.chosen_path is not None:
        pictured(study, study.chosen, study.chosen_path)
