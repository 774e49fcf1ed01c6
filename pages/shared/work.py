"""The engine's verbs as the pages call them: results are kept in the study, progress is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

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
    sweep,
)
from medprune.figures.tradeoff import METRIC_NAMES
from medprune.path import acting_at
from medprune.ranking import normalise
from medprune.removal import alive_groups
from medprune.runs.jobs import Job
from medprune.sweep import sweep_steps
from medprune.training import RETRAINING
from pages.components.live.payload import payload
from pages.shared.session import Run, ScoreSettings, Study, View

MANY_PATIENTS = 20_000  # of tuning: beyond, the first sweep is a sample's
SAMPLE = 5_000

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
    """The one-shot sweep under the study's settings, computed once.

    With many tuning patients the first answer is a sample's; a job counts all of them meanwhile. A sample
    would not know whom patients with censored follow-up stand for: then all are waited for.
    """
    how = study.scoring
    if how not in study.sweeps:
        asked = sweep_arguments(study, grid(study))
        if len(study.cohort.tuning) > MANY_PATIENTS and study.cohort.tuning.weight is None:
            scores = replace(asked["contributions"], squares=None)  # no second copy of the train patients
            asked |= {"contributions": scores}
            study.sharpening[how] = study.jobs.start("The exact sweep", sweep_steps, **asked)
            asked |= {"sample": SAMPLE}
        bar = st.progress(0.0, "Trying every threshold…")
        step = None
        for step in sweep_steps(**asked):
            bar.progress(step.number / step.of, f"Trying threshold {step.number} of {step.of}…")
        bar.empty()
        study.sweeps[how] = step.tradeoff
    return study.sweeps[how]


def sweep_arguments(study: Study, thresholds: list[float]) -> dict[str, Any]:
    """What a sweep of the study is asked with."""
    how, contributions = study.scoring, scored(study)
    return {
        "model": study.model,
        "split": study.cohort.tuning,
        "contributions": contributions,
        "thresholds": thresholds,
        "granularity": how.granularity,
        "scope": how.scope,
        "train": study.cohort.train,
    }


def grid(study: Study) -> list[float]:
    """Where a slider can stand: even steps of the threshold, of its logarithm, and of what it removes."""
    parts = normalised(study, scored(study).scores(study.scoring.granularity))
    scores = np.concatenate([part.ravel() for part in parts])
    removed = np.quantile(scores, np.linspace(0.01, 0.99, 50), method="higher")
    steps = (np.geomspace(1e-4, 1.0, 101), np.linspace(0.0, 1.0, 51), removed)
    return np.unique(np.concatenate(steps)).tolist()


def sharpened(study: Study, job: Job) -> bool:
    """Take up the exact sweep when the job that makes it is done."""
    if job.state != "done" or study.sharpening.get(study.scoring) is not job:
        return False
    study.sweeps[study.scoring] = job.result().tradeoff
    del study.sharpening[study.scoring]
    return True


def sharpness(job: Job) -> float:
    """How much of the exact sweep is done."""
    events = job.events()
    return events[-1]["number"] / events[-1]["of"] if events else 0.0


def place_of(study: Study, sweep: Tradeoff) -> int:
    """The swept threshold at which the study stands."""
    return int(np.abs(sweep.thresholds - study.threshold).argmin())


def exact(study: Study, threshold: float) -> tuple[pd.Series, pd.Series]:
    """The dense model and one cut, counted on all tuning patients, in the columns of the sweep."""
    table = sweep(**sweep_arguments(study, [0.0, threshold])).table
    return table.iloc[0], table.iloc[1]


def live_payload(study: Study, swept_before: Tradeoff, path: Path | None) -> dict[str, Any]:
    """What the live threshold is sent: the same for as long as nothing but the slider moves.

    The place at which it starts is the study's at the beginning of a visit to the page.
    """
    known = (study.visits, swept_before, path)
    if study.live is None or study.live[0] != known:
        contributions = scored(study)
        made = payload(
            study.model,
            swept_before,
            contributions,
            normalised(study, contributions.scores(study.scoring.granularity)),
            finished=() if path is None else path.candidates,
            outcome=study.cohort.tuning.outcome,
            weight=study.cohort.tuning.weight,
            view=view_of(study, swept_before),
        )
        study.live = (known, made | {"id": f"{study.visits}-{id(swept_before)}"})
    return study.live[1]


def view_of(study: Study, swept_before: Tradeoff) -> dict[str, Any]:
    view, act_grid = study.view, swept_before.act_grid
    risk = study.model.act_at if view.risk is None else view.risk
    odds = (1 - risk) / max(risk, act_grid[0])
    return asdict(view) | {
        "index": place_of(study, swept_before),
        "risk": int(np.abs(act_grid - risk).argmin()),
        "ratio": odds if view.ratio is None else view.ratio,
    }


def hear(study: Study, told: Mapping[str, Any]) -> None:
    """Keep where the live threshold was let go."""
    swept_before = swept(study)
    study.threshold = float(swept_before.thresholds[int(told["index"])])
    names = {field.name for field in fields(View)}
    study.view = View(**{name: told[name] for name in names})
    study.view.risk = float(swept_before.act_grid[int(told["risk"])])


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
