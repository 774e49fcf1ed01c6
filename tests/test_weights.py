"""No figure, score or training ignores that patients count by weights, or hears an outcome nobody knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import medprune
from medprune import (
    MLP,
    BadInput,
    Cohort,
    Contributions,
    Path,
    RiskModel,
    Schedule,
    Selection,
    Split,
    Validation,
    cross_validate,
    drops,
    fit_recalibration,
    load_cohort,
    performance,
    prune,
    review,
    score,
    search_settings,
    site_sums,
    sweep,
    table_one,
    train,
)
from medprune.agreement import agreement
from medprune.candidate import Problem
from medprune.comparison import compare
from medprune.compression import compression
from medprune.criteria import CRITERIA
from medprune.folds import folds
from medprune.gated_training import GatedTraining
from medprune.path import method
from medprune.performance import METRICS, log_loss
from medprune.ranked import measures
from medprune.recalibration import fitted
from medprune.scoring import GRANULARITIES
from medprune.selection import bootstrap_weights, weighted_metric
from medprune.strategies import BASELINES, STRATEGIES
from medprune.training import RETRAINING, Prepared, prepare
from tests.makers import followed_table

SHORT = Schedule(epochs=3, patience=3)
QUICK: dict[str, Any] = {
    "schedule": replace(RETRAINING, epochs=2, patience=2),
    "models": 4,
    "population": 4,
    "generations": 1,
    "steps": 20,
    "starts": 1,
    "penalties": 4,
    "most": 3,
    "sparsities": (0.4, 0.7),
}
FOLDS = Validation(folds=2, schedule=SHORT, processes=1)


@cache
def cohort() -> Cohort:
    return load_cohort(followed_table(220), outcome="died", time="days", horizon=8, exclude=("visit",))


@cache
def model() -> RiskModel:
    return medprune.train(cohort(), MLP(hidden=(4,)), schedule=Schedule(epochs=8))


def with_splits(change: Callable[[Split], Split]) -> Cohort:
    here = cohort()
    return replace(here, train=change(here.train), tuning=change(here.tuning), test=change(here.test))


@cache
def flipped() -> Cohort:
    """The outcome nobody knows is the other one: that must change nothing."""
    return with_splits(lambda split: replace(split, outcome=np.where(split.known, split.outcome, 1)))


@cache
def reweighed() -> Cohort:
    """Other weights for those who count: that must change what they are counted in."""
    rng = np.random.default_rng(0)

    def change(split: Split) -> Split:
        assert split.weight is not None
        return replace(split, weight=split.weight * rng.uniform(0.2, 3.0, len(split)))

    return with_splits(change)


@cache
def alike() -> Cohort:
    """Everybody counts the same, as if weights were not there."""
    return with_splits(lambda split: replace(split, weight=None))


# --- what each verb gives, as plain values ---------------------------------------------------------------


def _of_model(found: RiskModel) -> list[Any]:
    return [[p.numpy() for p in found.network.state_dict().values()], found.recalibration.to_json()]


def _of_scores(found: Contributions) -> list[Any]:
    effective = [found.effective_patients(granularity) for granularity in GRANULARITIES]
    by_class = [found.weights_by_class, found.units_by_class, found.features_by_class]
    return [found.weight_scores, found.unit_scores, found.feature_scores, by_class, effective]


def _of_path(found: Path) -> list[Any]:
    candidates = [
        [_of_model(c.model), asdict(c.performance), asdict(c.train_performance), c.sparsity] for c in found
    ]
    chosen = [
        [found.candidates.index(found.choose(rule, metric=metric)) for metric in METRICS]
        for rule in ("one-se", "non-inferior")
    ]
    return [candidates, chosen]


def _of_selection(found: Selection) -> list[Any]:
    told = found.to_json()
    return [{key: told[key] for key in told if key not in ("seconds", "sentence")}]


def _measured(here: Cohort) -> list[Any]:
    split = here.test
    return [asdict(performance(split.outcome, model().risks_of(model().prepared(split)), 0.4, split.weight))]


def _swept(here: Cohort, granularity: str) -> list[Any]:
    scored = score(model(), cohort().train)
    found = sweep(model(), here.tuning, scored, 11, granularity=granularity, train=here.train)
    return [found.table.to_dict(orient="list"), found.confusion, found.acted, found.by_class]


def _reviewed(here: Cohort) -> list[Any]:
    smaller = replace(model(), recalibration=replace(model().recalibration, slope=0.5))
    told = review(model(), smaller, here.test, act_at=0.4, subgroups=["sex"], cohort=here, refits=1).to_json()
    return [{key: told[key] for key in told if key not in ("limits", "evidence")}]


def _compared(here: Cohort) -> list[Any]:
    paths = [
        prune(model(), here, name, sparsities=(0.5,), schedule=SHORT) for name in ("contribution", "random")
    ]
    duels = compare(paths, stops=(0.4,)).duels
    return [[duel.difference, duel.low, duel.high] for duel in duels]


def _gated(here: Cohort) -> list[Any]:
    training = GatedTraining(Problem.of(model(), here, "weight", seed=0))
    next(training.down((0.8,), 20))
    return [[p.detach().numpy() for p in (*training.network.parameters(), *training.log_alphas)]]


def quick(name: str) -> dict[str, Any]:
    known = {field.name for field in fields(type(method(name)))}  # type: ignore[arg-type]
    return {key: value for key, value in QUICK.items() if key in known}


def _pruned(name: str, granularity: str, **more: Any) -> Callable[[Cohort], list[Any]]:
    how = quick(name) | more
    return lambda here: _of_path(prune(model(), here, name, granularity=granularity, seed=3, **how))


def _granularity(name: str) -> str:
    """The cheapest it has."""
    return next(g for g in ("feature", "neuron", "weight") if g in method(name).granularities)


LOOKS_AT_NOBODY = ("magnitude", "random")
VERBS: Mapping[str, Callable[[Cohort], Any]] = {
    "train": lambda here: _of_model(train(here, MLP(hidden=(4,)), schedule=SHORT)),
    "train, balanced": lambda here: _of_model(
        train(here, MLP(hidden=(4,)), schedule=replace(SHORT, class_weights="balanced"))
    ),
    "train, BatchNorm": lambda here: _of_model(train(here, MLP(hidden=(4,), norm="batch"), schedule=SHORT)),
    **{
        f"score, {name}{', balanced' * balanced}": lambda here, name=name, balanced=balanced: _of_scores(
            score(model(), here.train, name, balanced=balanced)
        )
        for name in CRITERIA.names()
        for balanced in (False, True)
        if name not in LOOKS_AT_NOBODY
    },
    **{f"sweep, {g}": lambda here, g=g: _swept(here, g) for g in GRANULARITIES},
    **{
        f"prune, {name}": _pruned(name, _granularity(name))
        for name in (*STRATEGIES.names(), *BASELINES.names())
    },
    "prune, balanced": _pruned(
        "contribution", "weight", schedule=replace(QUICK["schedule"], class_weights="balanced"), balanced=True
    ),
    "prune, at a threshold": _pruned("contribution", "weight", threshold=0.05, rounds=2),
    "prune, sequential_selection, network": _pruned("sequential_selection", "feature", network=True),
    "training of gates": _gated,
    "compare": _compared,
    "cross_validate": lambda here: _of_selection(
        cross_validate(model(), here, how=FOLDS, sparsities=(0.5, 0.8), schedule=QUICK["schedule"])
    ),
    "search_settings": lambda here: _of_selection(
        search_settings(model(), here, 0.05, how=FOLDS, draws=2, schedule=QUICK["schedule"])
    ),
    "drops": lambda here: [drops(model(), here.tuning).table.drop(columns="name").to_dict(orient="list")],
    "agreement": lambda here: [
        agreement(model(), here.train, score(model(), cohort().train), granularity="feature").table["change"]
    ],
    "fit_recalibration": lambda here: fit_recalibration(model(), here).recalibration.to_json(),
    "performance": _measured,
    "review": _reviewed,
}
REFUSE: Mapping[str, Callable[[Cohort], Any]] = {
    "sweep, a sample": lambda here: sweep(model(), here.tuning, score(model(), cohort().train), 5, sample=30),
    "compression": lambda here: compression(model(), here),
    "site_sums": lambda here: site_sums(model(), here.train),
    "train, of kinds": lambda here: train(here, medprune.kinds.ResidualMLP()),
}
# The public functions that look at no outcome, at their result alone, or at files.
NO_OUTCOME = {
    "compact", "export", "load_bundle", "load_cohort", "load_model", "load_scores", "load_sums", "merge_sums",
    "quantise", "save_model", "save_sums", "too_good", "treatment",
}  # fmt: skip
ELSEWHERE = {
    "table_one": "test_table_one_has_a_column_of_its_own_for_the_unknown",
    "large_patients": "tests/test_censoring_shell.py: refused", "predict_large": "looks at no outcome",
    "score_large": "refused with large_patients", "sweep_large": "refused with large_patients",
    "cross_validate_steps": "as cross_validate", "prune_steps": "as prune", "train_steps": "as train",
    "review_steps": "as review", "read_limits": "looks at no outcome",
}  # fmt: skip


def test_every_public_verb_is_walked_over() -> None:
    verbs = {name for name in medprune.__all__ if name.islower() and callable(getattr(medprune, name))}
    walked = {name.split(",")[0] for name in (*VERBS, *REFUSE)}
    assert verbs <= walked | NO_OUTCOME | set(ELSEWHERE), verbs - walked - NO_OUTCOME - set(ELSEWHERE)


def flat(value: Any) -> list[float]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, np.ndarray) or hasattr(value, "to_numpy"):
        return np.asarray(value, dtype=float).ravel().tolist()
    if isinstance(value, list | tuple):
        return [number for part in value for number in flat(part)]
    return [float(value)] if isinstance(value, bool | int | float | np.generic) else []


@pytest.mark.parametrize("verb", VERBS)
def test_an_outcome_nobody_knows_changes_nothing(verb: str) -> None:
    """To the last bit: the label of a patient who was censored before the horizon is never looked at."""
    before, after = flat(VERBS[verb](cohort())), flat(VERBS[verb](flipped()))
    assert len(before) > 0
    np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize("verb", VERBS)
def test_other_weights_change_the_result(verb: str) -> None:
    before = flat(VERBS[verb](cohort()))
    for other in (reweighed(), alike()):
        after = flat(VERBS[verb](other))
        assert len(after) != len(before) or not np.allclose(after, before, rtol=1e-6, equal_nan=True)


@pytest.mark.parametrize("verb", REFUSE)
def test_what_cannot_weigh_refuses(verb: str) -> None:
    with pytest.raises(BadInput, match="cannot weigh patients by their censored follow-up"):
        REFUSE[verb](cohort())


def test_table_one_has_a_column_of_its_own_for_the_unknown() -> None:
    table = table_one(cohort())
    assert table.equals(table_one(flipped()))
    early = int((~cohort().all().known).sum())
    assert f"unknown at 8 (censored) (n={early})" in table.columns
    known = table_one(load_cohort(known_alone(), outcome="died", exclude=("visit", "days")))
    ours, theirs = (t.set_index(["variable", "shown as"])["SMD"].dropna() for t in (table, known))
    shared = ours.index.intersection(theirs.index)
    assert len(shared) > 2
    assert ours[shared].to_numpy() == pytest.approx(theirs[shared].to_numpy())


def known_alone() -> Any:
    """Those whose status at 8 days is known, as a plain outcome."""
    table = followed_table(220)
    table = table[(table["died"] == 1) | (table["days"] >= 8)]
    return table.assign(died=((table["died"] == 1) & (table["days"] <= 8)).astype(int))


def test_folds_keep_everybody_and_their_weights() -> None:
    learnt = len(cohort().train) + len(cohort().tuning)
    held_out = folds(cohort(), 3)
    assert sum(len(fold.test) for fold in held_out) == learnt
    for fold in held_out:
        assert len(fold.train) + len(fold.tuning) + len(fold.test) == learnt
        for split in (fold.train, fold.tuning, fold.test):
            assert split.weight is not None
            assert 0.2 < 1 - split.known.mean() < 0.5  # the unknown are dealt like a class
    again = folds(flipped(), 3)
    assert all((a.test.rows == b.test.rows).all() for a, b in zip(held_out, again, strict=True))


# --- a whole weight is so many patients alike ------------------------------------------------------------

ROWS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 6), st.integers(0, 3)), min_size=4, max_size=40)


def twice(rows: list[tuple[int, int, int]]) -> tuple[Any, ...]:
    """Outcomes, risks and weights (N,), and the same with as many rows as the weights say."""
    rows = [*rows, (0, 1, 1), (1, 4, 2), (1, 0, 0)]
    outcome, tenths, times = (np.array(part) for part in zip(*rows, strict=True))
    risk = tenths / 7 + 0.05
    risks = np.stack([1 - risk, risk], axis=1)
    place = np.repeat(np.arange(len(rows)), times)
    return outcome, risks, times.astype(float), outcome[place], risks[place]


@given(ROWS)
def test_a_weight_of_two_is_two_patients_in_every_figure(rows: list[tuple[int, int, int]]) -> None:
    outcome, risks, weight, outcomes, repeated = twice(rows)
    weighted, counted = (
        performance(outcome, risks, 0.4, weight),
        performance(outcomes, repeated, 0.4),
    )
    assert asdict(weighted) == pytest.approx(asdict(counted), abs=1e-12)
    assert log_loss(outcome, risks, weight) == pytest.approx(log_loss(outcomes, repeated))
    for metric in METRICS:
        [value] = weighted_metric(metric, outcome, risks, weight[None], 0.4)
        assert value == pytest.approx(counted[metric], abs=1e-12)
    one = measures(outcome, risks.T[None], 0.4, weight=weight)
    other = measures(outcomes, repeated.T[None], 0.4)
    for metric in METRICS:
        assert one.metrics[metric] == pytest.approx(other.metrics[metric], abs=1e-12, nan_ok=True)
    for name in ("confusion", "acted"):
        assert (getattr(one, name) == getattr(other, name)).all()


def test_a_weight_of_two_is_two_patients_in_scores_and_recalibration() -> None:
    rng = np.random.default_rng(3)
    split = replace(cohort().train, weight=rng.integers(0, 4, len(cohort().train)).astype(float))
    assert split.weight is not None
    place = np.repeat(np.arange(len(split)), split.weight.astype(int))
    repeated = replace(split.take("train", place), weight=None)
    for name in CRITERIA.names():
        for balanced in (False, True):
            one, other = (score(model(), s, name, balanced=balanced) for s in (split, repeated))
            for granularity in GRANULARITIES:
                for a, b in zip(one.scores(granularity), other.scores(granularity), strict=True):
                    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-8)
    data = prepare(model().preparation, split)
    logits = rng.normal(size=(len(split), 2)) + 0.7 * np.eye(2)[data.outcome]
    weighted, counted = fitted(logits, data.outcome, data.weight), fitted(logits[place], data.outcome[place])
    assert weighted.intercepts == pytest.approx(counted.intercepts, abs=1e-6)
    assert weighted.slope == pytest.approx(counted.slope, abs=1e-6)


def test_draws_keep_every_status_and_carry_the_weights() -> None:
    split = cohort().tuning
    assert split.weight is not None
    drawn = bootstrap_weights(split.outcome, split.patients, 50, np.random.default_rng(0), split.weight)
    assert (drawn[:, ~split.known] == 0).all()
    for klass in (0, 1):
        mine = split.known & (split.outcome == klass)
        times = drawn[:, mine] / split.weight[mine]
        assert times.sum(axis=1) == pytest.approx(mine.sum())


def test_prepared_says_what_each_counts() -> None:
    plain = Prepared(np.zeros((3, 1), dtype=np.float32), np.array([0, 1, 1]))
    assert plain.say.tolist() == [1, 1, 1]
    assert prepare(model().preparation, cohort().train).say == pytest.approx(cohort().train.weight)
