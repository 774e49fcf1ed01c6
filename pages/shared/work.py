"""The engine's verbs as the pages call them: results are kept in the study, progress is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import streamlit as st

from medprune import (
    Agreement,
    BadInput,
    Candidate,
    Contributions,
    Drops,
    Path,
    Tradeoff,
    agreement,
    drops,
    prune_steps,
    score,
)
from medprune.figures.tradeoff import METRIC_NAMES
from medprune.path import acting_at
from medprune.ranking import normalise
from medprune.removal import alive_groups
from medprune.sweep import COLUMNS, sweep_rows
from medprune.training import RETRAINING
from pages.shared.session import Run, ScoreSettings, Study

# The document's thresholds live between 0.01 and 0.1: even steps on a logarithmic scale show them.
GRID = np.concatenate([[0.0], np.geomspace(1e-4, 1.0, 101)])

MOST_REMOVALS = 2_000_000  # things removed times patients: about a minute


def scored(study: Study) -> Contributions:
    """Scores on train under the study's settings, computed once."""
    key = study.scoring.scored_by
    if key not in study.scores:
        criterion, balanced, options = key
        with st.spinner("Scoring every weight…", show_time=True):
            study.scores[key] = score(
                study.model, study.cohort.train, criterion, balanced=balanced, **dict(options)
            )
    return study.scores[key]


def agreed(study: Study, *, now: bool) -> Agreement | None:
    """The scores of the study held against true removal on train, computed once, and only when asked."""
    key = (study.scoring.scored_by, study.scoring.granularity)
    if now and key not in study.agreements:
        with st.spinner("Removing one at a time…", show_time=True):
            study.agreements[key] = agreement(
                study.model, study.cohort.train, scored(study), granularity=study.scoring.granularity
            )
    return study.agreements.get(key)


def dropped(study: Study, metric: str, *, now: bool) -> Drops | None:
    """What the metric loses on tuning without each single group, computed once, and only when asked."""
    granularity = study.scoring.granularity
    if now and (granularity, metric) not in study.drops:
        groups = sum(int(part.sum()) for part in alive_groups(study.model, granularity))
        if groups * len(study.cohort.tuning) > MOST_REMOVALS:
            raise BadInput(
                f"Removing {groups:,} {granularity}s one at a time would take too long on "
                f"{study.cohort.tuning.told()}; look at neurons or features instead."
            )
        with st.spinner("Removing one at a time…", show_time=True):
            study.drops[granularity, metric] = drops(
                study.model,
                study.cohort.tuning,
                metric=metric,
                granularity=granularity,
                train=study.cohort.train,
            )
    return study.drops.get((granularity, metric))


def normalised(study: Study, scores: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """Scores in [0, 1] under the study's scope: what the threshold cuts."""
    alive = alive_groups(study.model, study.scoring.granularity)
    return normalise(scores, alive, study.scoring.scope)


def swept(study: Study) -> Tradeoff:
    """The one-shot sweep under the study's settings, computed once."""
    how = study.scoring
    if how not in study.sweeps:
        contributions = scored(study)
        bar = st.progress(0.0, "Trying every threshold…")
        rows = []
        for row in sweep_rows(
            study.model,
            study.cohort.tuning,
            contributions,
            list(GRID),
            granularity=how.granularity,
            scope=how.scope,
            train=study.cohort.train,
        ):
            rows.append(row)
            bar.progress(len(rows) / len(GRID), f"Trying threshold {len(rows)} of {len(GRID)}…")
        bar.empty()
        table = pd.DataFrame(rows, columns=list(COLUMNS))
        study.sweeps[how] = Tradeoff(table, how.granularity, how.scope, study.cohort.tuning.name)
    return study.sweeps[how]


def walk(study: Study, epochs: int, seed: int) -> Path:
    """Walk the path under the study's settings, with a bar."""
    how: ScoreSettings = study.scoring
    schedule = replace(RETRAINING, epochs=epochs)
    bar = st.progress(0.0, "Pruning and retraining…")
    step = None
    for step in prune_steps(
        study.model,
        study.cohort,
        granularity=how.granularity,
        criterion=how.criterion,
        scope=how.scope,
        balanced=how.balanced,
        options=how.options,
        schedule=schedule,
        seed=seed,
    ):
        done = step.candidate
        bar.progress(
            min(step.number / step.of, 1.0),
            f"{done.sparsity:.0%} removed: AUROC {done.performance.auroc:.3f} on tuning patients",
        )
    bar.empty()
    assert step is not None
    assert step.path is not None
    study.paths[how] = step.path
    return step.path


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


def table_of_paths(paths: Sequence[Path]) -> pd.DataFrame:
    """Every candidate of every path, one row each."""
    rows = [
        {"method": path.strategy, "removes": path.granularity, "price": candidate.price, **row_of(candidate)}
        for path in paths
        for candidate in path
    ]
    counts = ["parameters", "stored", "features", "bytes"]
    return pd.DataFrame(rows).astype(dict.fromkeys(counts, "int64")).round(4)


def start(
    study: Study, title: str, method: str, granularity: str, seed: int, settings: Mapping[str, object]
) -> None:
    """Run a strategy or a baseline in a process of its own; the same again replaces the earlier one."""
    asked = (method, granularity, seed, study.prices, tuple(sorted(settings.items())))
    job = study.jobs.start(
        title, prune_steps, study.model, study.cohort, method,
        granularity=granularity, seed=seed, prices=study.prices, **settings,
    )  # fmt: skip
    study.runs = [run for run in study.runs if run.asked != asked]
    study.runs.append(Run(title, method, granularity, asked, job))


def collect(study: Study) -> None:
    """Take up the paths of the jobs that are done, counted for the risk that is acted on now."""
    for run in study.runs:
        if run.path is None and run.job.state == "done":
            path = run.job.result().path
            now = study.model.act_at
            run.path = path if path.dense.model.act_at == now else acting_at(path, study.cohort, now)
