"""Strategies: the three families and the baselines side by side, on one chart."""

import pandas as pd
import streamlit as st

from medprune import Candidate, Path, Selection, Validation, cross_validate_steps
from medprune.baselines import BASELINES
from medprune.comparison import compare
from medprune.figures import pareto_chart, selection_curve, threshold_spread
from medprune.figures.tradeoff import METRIC_NAMES
from medprune.fold_selection import BAND
from medprune.path import COUNTS, explanation, member, method
from medprune.prices import Prices
from medprune.scoring import GRANULARITIES
from medprune.strategies import STRATEGIES
from pages.shared import cache, guide, session, work
from pages.shared.guide import PLURAL, plain, rate, share
from pages.shared.recalibrated import risks_set_right
from pages.shared.session import Run, Study
from pages.shared.settings import form, settings_in_words

Given = dict[str, dict[str, object]]  # what was changed, by method

FAMILIES = {
    "Contribution": ("contribution",),
    "Structure search": ("genetic", "gradient", "exhaustive", "greedy"),
    "Performance": ("performance",),
    "Baselines": BASELINES.names(),
}
FIRST = ("contribution", "magnitude", "l1_logistic", "rfe")  # quick, and they say most
COUNT_NAMES = {"parameters": "Parameters", "features": "Features", "price": "Price"}
NO_PRICES = "each feature counts 1, as no prices are given"


def title_of(name: str) -> str:
    return member(name).title


# --- what to run -------------------------------------------------------------------------------------


def ask(study: Study) -> tuple[str, Given]:
    """Which methods, with which settings, and the button that starts them; gives granularity and settings."""
    granularity = st.segmented_control(
        "Remove", GRANULARITIES, default="feature", format_func=PLURAL.get, key="strategy_granularity",
        persist_state="session",
    ) or "feature"  # fmt: skip
    chosen: list[str] = []
    for family, names in FAMILIES.items():
        offered = [name for name in names if granularity in member(name).granularities]
        if offered:
            picked = st.pills(
                family, offered, selection_mode="multi", format_func=title_of,
                key=f"family_{family}_{granularity}", persist_state="session",
                default=[name for name in offered if name in FIRST],
            )  # fmt: skip
            chosen += picked
    given = settings(chosen)
    prices(study)
    row = st.container(horizontal=True, vertical_alignment="bottom")
    seed = int(
        row.number_input("Seed", 0, 2**31 - 1, 0, key="strategy_seed", persist_state="session", width=160)
    )
    label = "Run " + ("the method" if len(chosen) == 1 else f"the {len(chosen)} methods")
    kind = "secondary" if study.runs else "primary"
    if row.button(label, type=kind, disabled=not chosen, icon=":material/play_arrow:", key="run"):
        with guide.sentences():
            for name in chosen:
                work.start(study, title_of(name), name, granularity, seed, given[name])
            st.rerun()
    return granularity, given


def settings(chosen: list[str]) -> Given:
    """What the user changed of each chosen method."""
    given: Given = {}
    with st.expander("Settings of the methods", icon=":material/tune:"):
        for name in chosen:
            st.markdown(f"**{title_of(name)}**")
            given[name] = settings_of_one(name)
    return given


def settings_of_one(name: str) -> dict[str, object]:
    st.caption(plain(explanation(name)))
    return dict(form(member(name), {}, key=f"strategy_{name}"))


def prices(study: Study) -> None:
    """A price for each feature: money, minutes, millilitres of blood."""
    with st.expander("What does each test cost?", icon=":material/payments:"):
        st.caption(
            "In one unit of your choice: money, minutes, millilitres of blood. A test without a price is "
            "free. Feature paths and searches then look for what is cheap, not for what is few."
        )
        unit = st.text_input("Unit", study.prices.unit, max_chars=20, placeholder="EUR", key="price_unit")
        table = pd.DataFrame(
            {
                "feature": study.model.features,
                "price": [study.prices.price(name) for name in study.model.features],
            }
        )
        edited = st.data_editor(
            table, hide_index=True, height=guide.table_height(table), disabled=["feature"], key="price_table",
            column_config={"price": st.column_config.NumberColumn(min_value=0.0, format="%.2f")},
        )  # fmt: skip
        if st.button("Use these prices", key="use_prices"):
            known = edited[edited["price"].fillna(0) > 0]
            with guide.sentences():
                study.prices = Prices.of(
                    dict(zip(known["feature"], known["price"], strict=True)), unit.strip()
                )
                st.rerun()
        total = study.prices.total(study.model.features)
        if study.prices:
            st.markdown(f"All tests together cost **{total:,.2f} {plain(study.prices.unit)}** a patient.")


# --- while it runs -----------------------------------------------------------------------------------


def watch(study: Study) -> None:
    """How far each method is; the page is drawn again as soon as one is done."""

    @st.fragment(run_every=1.0 if study.jobs.busy else None)
    def bars() -> None:
        before = [run.path is None for run in study.runs]
        work.collect(study)
        for run in study.runs:
            told(run)
        if study.jobs.busy and st.button("Stop", icon=":material/stop_circle:", key="stop"):
            study.jobs.stop()
            st.rerun()
        if before != [run.path is None for run in study.runs] or not study.jobs.busy:
            st.rerun()

    if study.jobs.busy:
        bars()
    else:
        work.collect(study)
        for run in study.runs:
            if run.path is None:
                st.warning(plain(run.job.trouble()), icon=":material/error:")


def told(run: Run) -> None:
    """One line a method: waiting, at work, done, or why not."""
    name = f"{run.title}, {PLURAL[run.granularity]}"
    if run.job.state == "waiting":
        st.progress(0.0, f"{name}: waiting")
    elif run.job.state == "running":
        events = run.job.events()
        done = events[-1]["number"] / max(events[-1]["of"], 1) if events else 0.0
        so_far = f", {len(events)} models so far" if events else ""
        st.progress(min(done, 1.0), f"{name}: at work for {run.job.seconds:.0f} s{so_far}")
    elif run.path is None:
        st.warning(plain(run.job.trouble()), icon=":material/error:")


# --- what came out -----------------------------------------------------------------------------------


def show(study: Study, runs: list[Run]) -> None:
    """The chart, what it says in words, and every candidate in a table."""
    paths = [run.path for run in runs if run.path is not None]
    row = st.container(horizontal=True)
    metric = row.selectbox(
        "Metric", list(METRIC_NAMES), format_func=METRIC_NAMES.get, key="strategy_metric",
        persist_state="session", width=280,
    )  # fmt: skip
    count = row.segmented_control(
        "Against", COUNTS, default=default_count(paths), format_func=COUNT_NAMES.get, key="strategy_count",
        persist_state="session", help=None if study.prices else f"Price: {NO_PRICES}.",
    ) or "parameters"  # fmt: skip
    event = guide.chart(
        pareto_chart(paths, metric=metric, x=count, chosen=study.chosen, resampled=cache.resampled),
        key="pareto",
        alt=f"{METRIC_NAMES[metric]} on tuning patients against {count}, one colour a method.",
        select=True,
    )
    take_clicked(study, paths, event)
    in_words_of(paths, metric, count)
    st.markdown("What it took: " + "; ".join(burden(path) for path in paths) + ".")
    take(study, paths)
    with st.expander("Every finished model, as a table"):
        guide.table(work.table_of_paths(paths), key="strategies")


def burden(path: Path) -> str:
    """What a method had to train: the more a search has tried, the more its best figure flatters it."""
    return f"{plain(path.settings.label)} {path.models_trained:,} models in {path.seconds:.0f} s"


def in_words_of(paths: list[Path], metric: str, count: str) -> None:
    """Where another method does better than the first; no more is said than the interval carries."""
    if len(paths) == 1:
        return
    first = next((path for path in paths if path.strategy == "contribution"), paths[0])
    ordered = [first, *(path for path in paths if path is not first)]
    compared = compare(
        ordered, metric=metric, counted=count, stops=stops(first, count), resampled=cache.resampled
    )
    for sentence in compared.sentences():
        st.markdown(f"- {plain(sentence)}")
    st.caption(
        "Intervals are of one comparison each, on the patients that the models were chosen on. On them the "
        "risks of all but the dense model were set right too: the AUROC of two classes cannot gain by that, "
        "Brier score and net benefit can."
    )


def stops(path: Path, count: str) -> list[float]:
    """A half, a tenth and a twentieth of what the dense model takes, rounded."""
    whole = getattr(path.dense, count)
    return sorted({float(max(1, round(part * whole))) for part in (0.5, 0.1, 0.05)}, reverse=True)


def default_count(paths: list[Path]) -> str:
    return "features" if all(path.granularity == "feature" for path in paths) else "parameters"


def take_clicked(study: Study, paths: list[Path], event: object) -> None:
    """A click on a point picks its model."""
    points = event.selection.points if event is not None else []
    if not points or "customdata" not in points[0]:
        return
    which, place = (int(value) for value in points[0]["customdata"][:2])
    if (which, place) != study.clicked:
        study.clicked = (which, place)
        study.choose(paths[which].candidates[place], paths[which])
        st.rerun()


def take(study: Study, paths: list[Path]) -> None:
    """Without a mouse: a method and a size."""
    row = st.container(horizontal=True, vertical_alignment="bottom")
    names = [f"{path.settings.label}, {PLURAL[path.granularity]}" for path in paths]
    which = row.selectbox(
        "Method", range(len(paths)), format_func=names.__getitem__, key="take_method", width=360
    )
    path = paths[which]
    place = row.selectbox(
        "Model", range(len(path)), index=len(path) - 1, format_func=lambda i: in_words(path.candidates[i]),
        key=f"take_model_{which}", width=420,
    )  # fmt: skip
    if row.button("Take this model", icon=":material/check:", key="take_strategy"):
        study.choose(path.candidates[place], path)
        st.rerun()


def in_words(candidate: Candidate) -> str:
    features = "1 feature" if candidate.features == 1 else f"{candidate.features} features"
    return f"{features}, {candidate.parameters:,} parameters, AUROC {rate(candidate.performance.auroc)}"


# --- how much to remove ------------------------------------------------------------------------------


def select(study: Study, granularity: str, given: Given) -> None:
    """Cross-validation: how small, judged on patients who are held out in turn."""
    st.subheader("How small can it be?")
    st.markdown(
        "Cross-validation prepares, trains, prunes and retrains anew in every fold, and measures on patients "
        "who are held out in turn. **The locked test patients stay closed.**"
    )
    everything = (*STRATEGIES.names(), *BASELINES.names())
    names = [name for name in everything if granularity in member(name).granularities]
    name = st.selectbox(
        "Method to cross-validate", names, index=names.index("contribution"), format_func=title_of,
        key=f"cross_method_{granularity}",
    )  # fmt: skip
    if name in given:
        own = given[name]
        st.caption(f"With the settings above: {plain(settings_in_words(member(name), own))}.")
    else:
        with st.expander(f"Settings of {title_of(name)}", icon=":material/tune:"):
            own = settings_of_one(name)
    how = Validation(**dict(form(Validation, {}, key="cross")))
    waiting = study.selecting is not None and study.selecting.state in ("waiting", "running")
    label = f"Cross-validate: {how.folds} folds" + (f", {how.repeats} times" if how.repeats > 1 else "")
    if st.button(label, icon=":material/fact_check:", key="cross_validate", disabled=waiting):
        study.selecting = study.jobs.start(
            "The cross-validation", cross_validate_steps, study.model, study.cohort, name, how=how,
            granularity=granularity, prices=study.prices, **own,
        )  # fmt: skip
        st.rerun()
    if waiting:
        folding(study)
    elif study.selecting is not None:
        found(study, study.selecting.result().selection)


@st.fragment(run_every=1.0)
def folding(study: Study) -> None:
    """How many folds are done; the page is drawn again when all are."""
    job = study.selecting
    if job is None or job.state not in ("waiting", "running"):
        st.rerun()
        return
    events = job.events()
    last = events[-1] if events else {"number": 0, "of": 1, "models_trained": 0, "planned_models": 0}
    st.progress(
        last["number"] / max(last["of"], 1),
        f"{last['number']} of {last['of']} folds, {last['models_trained']:,} of about "
        f"{last['planned_models']:,} models, {job.seconds:.0f} s",
    )
    if st.button("Stop", icon=":material/stop_circle:", key="stop_folds"):
        study.jobs.stop()
        st.rerun()


def found(study: Study, selection: Selection) -> None:
    """The choice in words, what to be wary of, and the curve behind it."""
    st.success(plain(selection.sentence), icon=":material/fact_check:")
    for warning in selection.warnings:
        st.warning(plain(warning), icon=":material/warning:")
    used = settings_in_words(member(selection.strategy), selection.settings)
    st.caption(f"{title_of(selection.strategy)}, with {plain(used)}.")
    guide.chart(
        selection_curve(selection), key="selection",
        alt=f"{METRIC_NAMES[selection.how.metric]} on held-out patients against the share removed.",
    )  # fmt: skip
    if selection.cuts:
        thresholds(selection)
    paths = [run.path for run in study.runs if run.path is not None]
    asked = (selection.strategy, selection.granularity, method(selection.strategy, **selection.settings))
    same = [path for path in paths if (path.strategy, path.granularity, path.settings) == asked]
    if not same:
        st.caption(
            f"Run {title_of(selection.strategy)} with these settings above to take its model of this size."
        )
    elif st.button("Take the model of this size", icon=":material/check:", key="take_selected"):
        study.choose(selection.candidate(same[-1]), same[-1])
        st.rerun()
    with st.expander("Every size, as a table"):
        guide.table(selection.table.reset_index().round(4), key="selection_table")


def thresholds(selection: Selection) -> None:
    """Where the choice cut, fold by fold; a search cuts at no threshold."""
    low, high = BAND
    st.markdown(
        f"The threshold of the choice lies between {low:g} and {high:g}, where one usually looks for it, in "
        f"**{selection.in_band} of {len(selection.thresholds)} folds**. Thresholds of different rounds are "
        "not comparable: what is chosen is the share removed."
    )
    guide.chart(threshold_spread(selection), key="thresholds", alt="Thresholds of the choice, fold by fold.")


def chosen(study: Study, candidate: Candidate, path: Path) -> None:
    """The model that was taken, in words: what it keeps, and what the next patient is spared."""
    dense = path.dense
    st.success(
        f"Chosen: **{share(candidate.sparsity)} of the {PLURAL[path.granularity]} removed**, AUROC "
        f"{rate(candidate.performance.auroc)} on tuning patients (dense {rate(dense.performance.auroc)}), "
        f"{candidate.parameters:,} of {dense.parameters:,} parameters.",
        icon=":material/check_circle:",
    )
    guide.no_longer_needed(dense, candidate, path.prices)
    risks_set_right(candidate)
    guide.next_step("pages/6_review.py", "Next: review")


study = session.study()
guide.needs_model(study, "Strategies")
guide.opening(
    "Strategies",
    "Which way of pruning keeps most at the same size? **Three families and what a statistician would do "
    "instead, on one chart.** All figures are on tuning patients.",
)
guide.warn_if_few(study.cohort, study.cohort.tuning)
granularity, given = ask(study)
watch(study)
finished = [run for run in study.runs if run.path is not None]
with guide.sentences():
    if finished:
        show(study, finished)
    elif not study.runs:
        st.info(
            "Nothing has run yet. The chosen methods run in processes of their own: you can go on meanwhile.",
            icon=":material/info:",
        )
    select(study, granularity, given)
    if study.chosen is not None and study.chosen_path is not None:
        chosen(study, study.chosen, study.chosen_path)
