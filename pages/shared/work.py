"""The engine's verbs as the pages call them: results are kept in the study, progress is shown."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from medprune import Agreement, Contributions, Path, Schedule, Tradeoff, agreement, prune_steps, score
from medprune.ranking import normalise
from medprune.removal import alive_groups
from medprune.sweep import COLUMNS, sweep_rows
from medprune.training import RETRAINING
from pages.shared.session import ScoreSettings, Study

# The document's thresholds live between 0.01 and 0.1: even steps on a logarithmic scale show them.
GRID = np.concatenate([[0.0], np.geomspace(1e-4, 1.0, 101)])


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
    schedule = Schedule(
        epochs=epochs,
        patience=min(RETRAINING.patience, max(epochs, 1)),
        learning_rate=RETRAINING.learning_rate,
        weight_decay=RETRAINING.weight_decay,
        batch_size=RETRAINING.batch_size,
    )
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
