"""Cross-validation: everything inside the fold, test closed, the same everywhere; what is chosen and told."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from medprune import (
    MLP,
    BadInput,
    Cohort,
    RiskModel,
    Schedule,
    Selection,
    Validation,
    cross_validate,
    cross_validate_steps,
    load_cohort,
    prune,
    search_settings,
)
from medprune.cohort import Split
from medprune.cross_validation import PathWalk, like, seed_of
from medprune.figures import selection_curve, threshold_spread
from medprune.fold_selection import Curve, Place, Spread, at_stop, compared, matched
from medprune.folds import folds
from medprune.performance import METRICS, performance
from medprune.settings_search import GRID, drawn
from medprune.tables import jsonable
from tests.makers import patient_cohort, patient_table, untrained_model
from tests.test_folds import locked

QUICK = Schedule(epochs=3)
STOPS = (0.5, 0.8)
HOW = Validation(folds=3, schedule=QUICK, processes=1)


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return locked(patient_cohort(120))


@pytest.fixture(scope="module")
def model(cohort: Cohort) -> RiskModel:
    return untrained_model(patient_cohort(120), MLP(hidden=(6,), dropout=0.0))


@pytest.fixture(scope="module")
def selection(cohort: Cohort, model: RiskModel) -> Selection:
    return cross_validate(model, cohort, how=HOW, sparsities=STOPS, schedule=QUICK)


def quick(model: RiskModel, cohort: Cohort, how: Validation = HOW, **more: Any) -> Selection:
    return cross_validate(model, cohort, how=how, **({"sparsities": STOPS, "schedule": QUICK} | more))


# --- inside the fold ---------------------------------------------------------------------------------


def test_the_figures_are_those_of_a_fold_done_by_hand(
    cohort: Cohort, model: RiskModel, selection: Selection
) -> None:
    """The same fold, network and path, measured on its held-out patients: nothing else plays a part."""
    fold = folds(cohort, 3, seed_of(0, 0))[1]
    seed = seed_of(0, 0, 1, 1)
    dense = like(model, fold, QUICK, seed)
    path = prune(dense, fold, sparsities=STOPS, schedule=QUICK, seed=seed)
    rows = selection.held_out[selection.held_out["fold"] == 1]
    assert rows["option"].tolist() == [0.0, *STOPS]
    for (_, row), candidate in zip(rows.iterrows(), path, strict=True):
        risks = candidate.model.predict_proba(fold.test.frame)
        for metric in METRICS:
            assert row[metric] == performance(fold.test.outcome, risks)[metric]
        assert (row["sparsity"], row["threshold"]) == (candidate.sparsity, candidate.threshold)


def test_test_is_never_touched(cohort: Cohort, model: RiskModel, selection: Selection) -> None:
    with pytest.raises(AssertionError, match="test was opened"):
        _ = cohort.test.frame
    assert selection.patients == 96


def test_scaling_is_learnt_in_the_fold(cohort: Cohort, model: RiskModel) -> None:
    parts = folds(cohort, 3)
    means = set()
    for fold in parts:
        fitted = like(model, fold, QUICK, 0)
        number = next(code for code in fitted.preparation.numbers if code.name == "age")
        assert number.mean == pytest.approx(fold.train.frame["age"].mean())
        means.add(number.mean)
    assert len(means) == 3


class NamesOnly:
    """Held-out patients of whom nothing may be read but who they are."""

    def __init__(self, split: Split) -> None:
        self.patients = split.patients


@pytest.mark.parametrize("granularity", ["weight", "feature"])
def test_nothing_of_held_out_patients_is_read_before_the_models_are_finished(
    cohort: Cohort, model: RiskModel, granularity: str
) -> None:
    fold = folds(cohort, 3)[0]
    blind = replace(fold, test=NamesOnly(fold.test))  # type: ignore[arg-type]
    walk = PathWalk(HOW, "contribution", granularity, None, {"schedule": QUICK})
    seen, unseen = (walk(like(model, part, QUICK, 0), part, 0) for part in (fold, blind))
    assert len(seen.candidates) > 3
    for one, other in zip(seen.candidates, unseen.candidates, strict=True):
        np.testing.assert_array_equal(one.tuning_risks, other.tuning_risks)
    assert seen.alone == unseen.alone


def test_noise_that_is_learnt_by_heart_does_not_help_who_is_held_out() -> None:
    """Thirty columns of noise: had held-out patients been learnt from, their AUROC would be high."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({f"noise {i}": rng.normal(size=160) for i in range(30)})
    cohort = load_cohort(table.assign(stage=np.arange(160) % 2), outcome="stage")
    learns = Schedule(epochs=60, patience=60, weight_decay=0.0)
    shape = untrained_model(cohort, MLP(hidden=(12,), dropout=0.0))
    found = quick(shape, cohort, Validation(folds=4, schedule=learns, processes=1), schedule=learns)
    fold = folds(cohort, 4)[0]
    knows = like(shape, fold, learns, 0)
    learnt = performance(fold.train.outcome, knows.predict_proba(fold.train.frame)).auroc
    assert learnt > 0.75
    assert (found.table["mean"] - 0.5).abs().max() < 0.12


def test_the_network_of_a_fold_has_the_shape_of_the_model(cohort: Cohort) -> None:
    recipe = MLP(hidden=(5, 4), activation="tanh", norm="layer", dropout=0.2)
    given = replace(untrained_model(patient_cohort(120), recipe), act_at=0.3)
    fold = folds(cohort, 3)[0]
    made = like(given, fold, QUICK, 0)
    assert made.network.spec.tails == given.network.spec.tails
    assert made.act_at == 0.3
    assert made.mask is None
    assert made.origin.split is not None
    assert not set(made.origin.split.train) & set(fold.test.patients)


def test_the_given_model_and_the_global_generators_stay_as_they_are(cohort: Cohort, model: RiskModel) -> None:
    weights = [weight.clone() for weight in model.network.weights()]
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    quick(model, cohort)
    assert all(torch.equal(a, b) for a, b in zip(weights, model.network.weights(), strict=True))
    assert torch.equal(torch_state, torch.get_rng_state())
    np.testing.assert_array_equal(numpy_state, np.random.get_state()[1])


# --- the same seed, the same selection ---------------------------------------------------------------


def same(one: Selection, other: Selection) -> bool:
    def without_time(found: Selection) -> str:
        return json.dumps(jsonable(found.to_json() | {"seconds": 0}))

    return without_time(one) == without_time(other)


def test_the_same_seed_gives_the_same_selection_in_any_number_of_processes(
    cohort: Cohort, model: RiskModel, selection: Selection
) -> None:
    open_cohort = replace(cohort, test=cohort.tuning)  # the locked one cannot travel
    assert same(selection, quick(model, open_cohort))
    assert same(selection, quick(model, open_cohort, replace(HOW, processes=2)))


def test_another_seed_gives_other_folds_and_networks(
    cohort: Cohort, model: RiskModel, selection: Selection
) -> None:
    other = quick(model, cohort, seed=1)
    assert not np.array_equal(other.held_out["auroc"], selection.held_out["auroc"])


def test_repeats_deal_other_folds(cohort: Cohort, model: RiskModel, selection: Selection) -> None:
    twice = quick(model, cohort, replace(HOW, repeats=2))
    first = twice.held_out[twice.held_out["repeat"] == 0]
    np.testing.assert_array_equal(first["auroc"], selection.held_out["auroc"])
    assert len(twice.held_out) == 2 * len(selection.held_out)
    second = twice.held_out[twice.held_out["repeat"] == 1]
    assert not np.array_equal(second["auroc"], first["auroc"])
    assert twice.models_trained == 2 * selection.models_trained == 18


# --- the table and the choice ------------------------------------------------------------------------


def test_the_table_is_the_mean_over_the_folds(selection: Selection) -> None:
    table, held_out = selection.table, selection.held_out
    assert table.index.tolist() == [0.0, *STOPS]
    for option, row in table.iterrows():
        runs = held_out[held_out["option"] == option]
        assert row["mean"] == pytest.approx(runs["auroc"].mean())
        assert row["parameters"] == pytest.approx(runs["parameters"].mean())
        assert row["threshold"] == pytest.approx(runs["threshold"].median())
    assert table["picked"].sum() == 1
    assert table["allowed"].any()
    assert table["change"].iloc[0] == table["change_se"].iloc[0] == 0


def test_steps_tell_the_cost_beforehand(cohort: Cohort, model: RiskModel) -> None:
    steps = list(cross_validate_steps(model, cohort, how=HOW, sparsities=STOPS, schedule=QUICK))
    assert [(step.number, step.of) for step in steps] == [(0, 3), (1, 3), (2, 3), (3, 3), (3, 3)]
    assert steps[0].planned_models == steps[-1].models_trained == 9
    assert [step.selection is not None for step in steps] == [False, False, False, False, True]


def curve(
    fold: int, requested: list[float | None], sparsity: list[float], auroc: list[float], alone: int = 0
) -> Curve:
    """A made-up curve of one fold; what is larger in number is smaller in size."""
    rows = pd.DataFrame(
        {
            "requested": np.array([np.nan if r is None else r for r in requested]),
            "sparsity": sparsity,
            "threshold": [0.0, *(0.01 * (fold + at) for at in range(1, len(sparsity)))],
            "parameters": [1000 * (1 - share) for share in sparsity],
            "features": 5.0,
            "price": 5.0,
            "tuning": auroc,
            **{metric: auroc if metric != "brier" else [1 - a for a in auroc] for metric in METRICS},
            "repeat": 0,
            "fold": fold,
            "alone": np.arange(len(sparsity)) == alone,
        }
    )
    return Curve(Place(0, fold), rows, len(sparsity))


AUROC = ([0.80, 0.84, 0.83, 0.60], [0.82, 0.86, 0.87, 0.55], [0.81, 0.85, 0.84, 0.70])


def made_up(**how: Any) -> pd.DataFrame:
    asked, shares = [0.0, 0.5, 0.9, 0.99], [0.0, 0.5, 0.9, 0.99]
    curves = [curve(fold, asked, shares, auroc) for fold, auroc in enumerate(AUROC)]
    return compared(matched(curves, ()), Validation(folds=3, **how), dense_too=True)


@pytest.mark.parametrize(
    ("how", "stop"),
    [
        ({"rule": "one-se"}, 0.9),
        ({"rule": "non-inferior", "margin": 0.02}, 0.9),
        ({"rule": "non-inferior", "margin": 0.6}, 0.99),
        ({"rule": "smallest"}, 0.99),
        ({"rule": "one-se", "metric": "brier"}, 0.9),
        ({"rule": "non-inferior", "metric": "brier"}, 0.9),
    ],
)
def test_the_rules_on_a_known_curve(how: dict[str, Any], stop: float) -> None:
    table = made_up(**how)
    assert table.index[table["picked"]].tolist() == [stop]
    worst = table.loc[0.99]
    assert worst["change"] * (-1 if how.get("metric") == "brier" else 1) < -0.1


def test_a_stop_is_answered_by_what_was_asked_for_it() -> None:
    assert at_stop(0.5, [0, 0.5, 0.9], [0, 0.48, 0.9], [0.8, 0.7, 0.9]) == 1
    assert at_stop(0.6, [0, 0.5, 0.9], [0, 0.62, 0.9], [0.8, 0.7, 0.9]) == 1, "so much is gone already"
    assert at_stop(0.95, [0, 0.5, 0.9], [0, 0.5, 0.9], [0.8, 0.7, 0.9]) is None, "never reached"
    assert at_stop(0.0, [0, 0.5], [0, 0.5], [0.1, 0.2]) == 0


def test_a_search_answers_a_stop_with_its_best_that_is_small_enough() -> None:
    nothing = [0.0, np.nan, np.nan, np.nan]
    removed, tuning = [0.0, 0.4, 0.7, 0.9], [0.9, 0.8, 0.81, 0.85]
    assert [at_stop(stop, nothing, removed, tuning) for stop in (0.3, 0.5, 0.8)] == [3, 3, 3]
    assert at_stop(0.5, nothing, removed, [0.9, 0.8, 0.86, 0.85]) == 2
    assert at_stop(0.95, nothing, removed, tuning) is None


def test_an_option_that_one_fold_cannot_answer_is_left_out() -> None:
    curves = [
        curve(0, [0.0, 0.5, 0.9], [0.0, 0.5, 0.9], [0.8, 0.8, 0.8]),
        curve(1, [0.0, 0.5], [0.0, 0.5], [0.8, 0.8]),
    ]
    assert matched(curves, ())["option"].unique().tolist() == [0.0, 0.5]


def test_folds_of_a_search_are_matched_at_the_usual_stops() -> None:
    curves = [
        curve(0, [0.0, None, None], [0.0, 0.55, 0.93], [0.8, 0.7, 0.6]),
        curve(1, [0.0, None, None], [0.0, 0.7, 0.85], [0.8, 0.7, 0.6]),
    ]
    found = matched(curves, (0.5, 0.8, 0.9))
    assert found["option"].tolist() == [0.0, 0.5, 0.8, 0.0, 0.5, 0.8]
    assert found["sparsity"].tolist() == [0.0, 0.55, 0.93, 0.0, 0.7, 0.85]


# --- what is told ------------------------------------------------------------------------------------


def test_the_threshold_comes_with_its_spread_and_the_documents_band(selection: Selection) -> None:
    thresholds = selection.runs["threshold"].to_numpy()
    spread = selection.threshold
    assert (spread.low, spread.median, spread.high) == (
        min(thresholds),
        np.median(thresholds),
        max(thresholds),
    )
    assert spread.low <= spread.quartile_low <= spread.median <= spread.quartile_high <= spread.high
    assert selection.in_band == sum(0.01 <= threshold <= 0.1 for threshold in thresholds)
    told = selection.to_json()["threshold"]
    assert (told["band"], told["runs"]) == ([0.01, 0.1], 3)


def test_dense_against_chosen_is_paired_fold_by_fold(selection: Selection) -> None:
    comparison = selection.comparison()
    assert comparison.index.tolist() == list(METRICS)
    row = comparison.loc["auroc"]
    assert row["change"] == pytest.approx(row["chosen"] - row["dense"])
    assert row["low"] <= row["change"] <= row["high"]
    assert selection.figure.mean == pytest.approx(row["chosen"])
    nearly_one = selection.held_out.assign(auroc=np.resize([0.9, 1.0, 1.0], len(selection.held_out)))
    assert changed(selection, held_out=nearly_one).figure.high <= 1


def test_json_is_plain_and_the_sentence_has_its_counts(selection: Selection) -> None:
    told = json.loads(json.dumps(jsonable(selection.to_json()), allow_nan=False))
    assert len(told["table"]) == 3
    assert told["sentence"] == selection.sentence
    assert "In 3 folds, on 96 patients" in selection.sentence
    assert "9 models were trained" in selection.sentence
    assert told["reported_on"] == "held out"


def changed(selection: Selection, **values: Any) -> Selection:
    return replace(selection, **values)


def test_folds_that_disagree_are_a_warning(selection: Selection) -> None:
    def with_alone(kept: list[float]) -> tuple[str, ...]:
        alone = selection.alone.assign(sparsity=1 - np.array(kept))
        wide = replace(selection.how, margin=1.0)
        return changed(selection, alone=alone, how=wide).warnings

    assert with_alone([0.1, 0.1, 0.2]) == ()
    [warning] = with_alone([0.02, 0.1, 0.8])
    assert warning.startswith("The folds disagree: by itself one in four would keep 6.0% of the weights or")


def test_an_interval_that_reaches_beyond_the_margin_is_a_warning(selection: Selection) -> None:
    agreed = changed(selection, alone=selection.alone.assign(sparsity=0.5))
    low = agreed.comparison().loc["auroc", "low"]
    assert low < -0.001
    [warning] = changed(agreed, how=replace(HOW, margin=-low - 0.001)).warnings
    assert "cannot rule out a loss of more than" in warning
    assert changed(agreed, how=replace(HOW, margin=-low + 0.001)).warnings == ()


def test_a_choice_that_passes_no_rule_is_a_warning(selection: Selection) -> None:
    agreed = changed(selection, alone=selection.alone.assign(sparsity=0.5), how=replace(HOW, margin=1.0))
    [warning] = changed(agreed, table=agreed.table.assign(allowed=False)).warnings
    assert "Nothing that was tried passes the rule 'one-se'" in warning


def test_the_choice_is_found_on_the_path_over_all(
    cohort: Cohort, model: RiskModel, selection: Selection
) -> None:
    path = prune(model, cohort, sparsities=STOPS, schedule=QUICK)
    for option in (0.0, *STOPS):
        assert changed(selection, option=option).candidate(path).requested == option
    short = prune(model, cohort, sparsities=(0.3,), schedule=QUICK)
    assert changed(selection, option=0.8).candidate(short) is short.nearest(0.8)


def test_a_spread_of_one_number() -> None:
    assert Spread.of(np.array([0.3])) == Spread(0.3, 0.3, 0.3, 0.3, 0.3)


# --- nested ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nested(cohort: Cohort, model: RiskModel) -> Selection:
    return quick(model, cohort, replace(HOW, nested=True))


def test_nested_the_reported_patients_had_no_say(
    cohort: Cohort, model: RiskModel, selection: Selection, nested: Selection
) -> None:
    """The choice is that of the plain folds; the figure is of what a cross-validation inside each chose."""
    pd.testing.assert_frame_equal(nested.table, selection.table)
    assert nested.models_trained == 9 + 3 * 9
    assert nested.outer is not None
    assert nested.outer["fold"].tolist() == [0, 1, 2]
    for fold, outer in enumerate(folds(cohort, 3, seed_of(0, 0))):
        chosen = nested.outer.iloc[fold]
        row = nested.held_out[
            (nested.held_out["fold"] == fold) & (nested.held_out["option"] == chosen["option"])
        ]
        assert row["auroc"].tolist() == [chosen["auroc"]]
        inner = [ids for part in folds(outer, 3, seed_of(0, 0, fold)) for ids in part.test.patients]
        assert not set(inner) & set(outer.test.patients.tolist())
    assert nested.figure.mean == pytest.approx(nested.outer["auroc"].mean())
    assert nested.to_json()["reported_on"] == "outer held out"
    assert "outer held-out" in nested.sentence


def test_nested_the_plain_figure_flatters_and_the_outer_one_does_not() -> None:
    """Ten options that are all noise: the best of them looks good on the folds that chose it."""
    rng = np.random.default_rng(0)
    stops = [0.0, *np.linspace(0.1, 0.9, 9)]
    flattery = []
    for _ in range(40):
        curves = [curve(f, stops, stops, rng.normal(0.8, 0.05, 10).tolist()) for f in range(5)]
        table = compared(matched(curves, ()), Validation(folds=5, rule="one-se"), dense_too=True)
        best = table["mean"].idxmax()
        flattery.append(table.loc[best, "mean"] - 0.8)
    assert np.mean(flattery) > 0.02


# --- settings at a threshold -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def searched(cohort: Cohort, model: RiskModel) -> Selection:
    grid = {"rounds": (1, 2), "scope": ("layer", "global"), "epochs": (2, 3)}
    return search_settings(model, cohort, 0.05, how=HOW, grid=grid, draws=5, schedule=QUICK, rounds=2)


def test_draws_are_different_and_begin_with_the_usual() -> None:
    for draws in (1, 12, 500):
        found = drawn(GRID, {}, draws, seed=3)
        assert len({tuple(row.values()) for row in found}) == len(found) == min(draws, 4 * 3 * 3 * 3)
        assert found[0] == {"rounds": 5, "scope": "global", "learning_rate": 2e-3, "epochs": 40}
    assert drawn(GRID, {}, 12, 3) == drawn(GRID, {}, 12, 3) != drawn(GRID, {}, 12, 4)
    assert {row["scope"] for row in drawn(GRID, {"scope": "layer"}, 50, 0)} == {"layer"}


def test_the_search_cuts_at_its_threshold_in_every_fold(
    cohort: Cohort, model: RiskModel, searched: Selection
) -> None:
    assert searched.table.index.tolist() == list(range(len(searched.searched) + 1))
    assert all(settings["rounds"] == 2 for settings in searched.searched), "what is given is not searched"
    pruned = searched.held_out[searched.held_out["option"] > 0]
    assert set(pruned["threshold"]) == {0.05}
    assert searched.option > 0, "dense is no setting"
    assert searched.settings["threshold"] == 0.05
    path = prune(model, cohort, **searched.settings)
    assert searched.candidate(path) is path.candidates[-1]
    assert searched.settings["schedule"].epochs == searched.searched[int(searched.option) - 1]["epochs"]


def test_rounds_are_stages_of_one_walk(cohort: Cohort, model: RiskModel) -> None:
    """A setting of two rounds gives what a walk of two rounds gives, though three were walked."""
    grid = {"rounds": (2, 3), "scope": ("layer",), "learning_rate": (2e-3,), "epochs": (3,)}
    both = search_settings(model, cohort, 0.05, how=HOW, grid=grid, schedule=QUICK)
    one = search_settings(model, cohort, 0.05, how=HOW, grid=grid | {"rounds": (2,)}, schedule=QUICK)
    two = next(at for at, row in enumerate(both.searched, 1) if row["rounds"] == 2)
    np.testing.assert_array_equal(
        both.held_out.loc[both.held_out["option"] == two, "auroc"],
        one.held_out.loc[one.held_out["option"] == 1, "auroc"],
    )
    assert both.models_trained < one.models_trained + 3 * 3


def test_the_search_nests_too(cohort: Cohort, model: RiskModel) -> None:
    grid = {"rounds": (1,), "scope": ("layer", "global"), "learning_rate": (2e-3,), "epochs": (3,)}
    found = search_settings(
        model, cohort, 0.05, how=replace(HOW, nested=True, folds=2), grid=grid, schedule=QUICK
    )
    assert found.outer is not None
    assert len(found.outer) == 2
    assert set(found.outer["option"]) <= {1.0, 2.0}


# --- bad input, before anything is trained ------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"folds": 1}, r"Folds must be in \[2, 20\]"),
        ({"repeats": 0}, "Repeats must be in"),
        ({"rule": "best"}, "Rule must be one of one-se, non-inferior, smallest"),
        ({"metric": "auc"}, "Metric must be one of"),
        ({"margin": float("nan")}, "The margin must lie in"),
        ({"processes": 0}, "at least one process"),
    ],
)
def test_a_validation_that_makes_no_sense(how: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        Validation(**how)


def test_wrong_settings_are_told_before_training(
    cohort: Cohort, model: RiskModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trains(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr("medprune.cross_validation.trained", trains)
    with pytest.raises(BadInput, match="no strategy called"):
        cross_validate(model, cohort, "magic", how=HOW)
    with pytest.raises(BadInput, match="does not take these settings"):
        cross_validate(model, cohort, how=HOW, speed=3)
    with pytest.raises(BadInput, match="Granularity must be one of"):
        cross_validate(model, cohort, how=HOW, granularity="layer")
    with pytest.raises(BadInput, match="whole number from 0"):
        cross_validate(model, cohort, how=HOW, seed=-1)
    few = load_cohort(patient_table(50), outcome="stage")
    with pytest.raises(BadInput, match="has 19 patients in train and tuning, too few for 20 folds"):
        cross_validate(model, few, how=replace(HOW, folds=20, nested=True))
    with pytest.raises(BadInput, match="The threshold must lie in"):
        search_settings(model, cohort, 1.5, how=HOW)
    with pytest.raises(BadInput, match="The grid gives values for"):
        search_settings(model, cohort, 0.1, how=HOW, grid={"speed": (1, 2)})
    with pytest.raises(BadInput, match="At least one draw"):
        search_settings(model, cohort, 0.1, how=HOW, draws=0)


# --- figures -----------------------------------------------------------------------------------------


def test_the_curve_draws_what_the_table_says(selection: Selection) -> None:
    drawn_curve = selection_curve(selection)
    by_name = {trace.name: trace for trace in drawn_curve.data}
    means = by_name["mean ± one standard error"]
    np.testing.assert_array_equal(means.y, selection.table["mean"])
    np.testing.assert_array_equal(means.error_y.array, selection.table["se"])
    np.testing.assert_array_equal(
        by_name["within one standard error of the best"].y, selection.table["limit"]
    )
    assert by_name["chosen"].x == (selection.chosen["sparsity"],)
    assert sum(trace.name == "one fold" for trace in drawn_curve.data) == 3
    fixed = selection_curve(changed(selection, how=replace(HOW, rule="smallest")))
    assert not any("standard error of the best" in trace.name for trace in fixed.data)


def test_the_thresholds_are_drawn_with_the_band(selection: Selection) -> None:
    shown = threshold_spread(selection)
    folds_shown, median = shown.data
    assert sorted(folds_shown.x) == sorted(selection.thresholds)
    assert median.x == (selection.threshold.median,)
    band = shown.layout.shapes[0]
    assert (band.x0, band.x1) == (0.01, 0.1)


def test_settings_are_points_alone(searched: Selection) -> None:
    assert {trace.mode for trace in selection_curve(searched).data} == {"markers"}
