"""Baselines: the contract of all of them, and what each claims to be."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import combinations, islice
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from medprune import MLP, BadInput, Cohort, RiskModel, Schedule, compact, export, prune, train
from medprune.baselines import BASELINES
from medprune.baselines.features import counts_to, with_only
from medprune.baselines.grouped import GroupedLogistic, codes_of
from medprune.baselines.logistic import barely_empty
from medprune.baselines.regression import Regressions
from medprune.baselines.sequential import SequentialSelection
from medprune.baselines.small_network import SIZES, size, smaller
from medprune.candidate import Candidate, Problem, features_needed
from medprune.path import Path, acting_at
from medprune.performance import log_loss
from tests.makers import patient_cohort, untrained_model

QUICK = Schedule(epochs=2, patience=2)
PLACES = [(name, place) for name in BASELINES.names() for place in BASELINES.get(name).granularities]


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return patient_cohort(classes=3)


@pytest.fixture(scope="module")
def model(cohort: Cohort) -> RiskModel:
    return train(cohort, MLP(hidden=(12, 8)), schedule=Schedule(epochs=5))


@pytest.fixture(scope="module")
def binary() -> tuple[Cohort, RiskModel]:
    cohort = patient_cohort()
    return cohort, untrained_model(cohort, MLP(hidden=(12, 8)))


def quick(name: str) -> dict[str, Any]:
    known = {field.name for field in fields(BASELINES.get(name))}  # type: ignore[arg-type]
    few = {"schedule": QUICK, "starts": 1, "sparsities": (0.5, 0.8), "penalties": 5, "most": 3}
    return {key: value for key, value in few.items() if key in known}


def kept_columns(model: RiskModel) -> np.ndarray:
    assert model.mask is not None
    return model.mask.inputs.numpy()


@pytest.fixture(scope="module", params=PLACES, ids="-".join)
def path(request: pytest.FixtureRequest, cohort: Cohort, model: RiskModel) -> Path:
    """The path of every baseline at every granularity that it has."""
    name, granularity = request.param
    return prune(model, cohort, name, granularity=granularity, **quick(name))


def test_it_starts_with_the_dense_model_and_grows_no_bigger(path: Path, model: RiskModel) -> None:
    assert path.dense.model is model
    assert len(path) > 2
    shares = [candidate.sparsity for candidate in path]
    assert shares == sorted(shares)
    assert shares[0] == 0.0
    assert shares[-1] <= 1.0


def test_its_candidates_are_finished_models(path: Path, cohort: Cohort) -> None:
    for candidate in path:
        small = compact(candidate.model)
        np.testing.assert_allclose(
            small.predict_proba(cohort.tuning.frame), candidate.tuning_risks, atol=1e-5
        )
        assert small.network.nonzero() == candidate.parameters
        assert 1 <= candidate.features == len(candidate.needed) <= 6


def test_its_smallest_candidate_can_leave(path: Path, cohort: Cohort, tmp_path: FilePath) -> None:
    bundle = export(path.candidates[-1], None, tmp_path / "bundle")  # compares with onnxruntime
    np.testing.assert_allclose(
        bundle.predict_proba(cohort.tuning.frame), path.candidates[-1].tuning_risks, atol=1e-5
    )


def test_it_can_be_counted_for_acting_at_another_risk(path: Path, cohort: Cohort) -> None:
    again = acting_at(path, cohort, 0.3)
    assert [c.sparsity for c in again] == [c.sparsity for c in path]


def test_it_says_what_it_is_and_what_it_cost(path: Path) -> None:
    assert path.settings.title
    assert path.settings.label.startswith(path.settings.title)
    assert path.models_trained >= len(path) - 1


@pytest.mark.parametrize(("name", "granularity"), PLACES)
def test_the_same_seed_gives_the_same_and_nothing_given_changes(
    cohort: Cohort, model: RiskModel, name: str, granularity: str
) -> None:
    before = {key: value.clone() for key, value in model.network.state_dict().items()}
    frame = cohort.train.frame.copy()
    drawn = np.random.get_state()
    how = BASELINES.make(name, **quick(name))
    first, second = (
        list(islice(filter(None, how.candidates(Problem.of(model, cohort, granularity, seed=3))), 2))
        for _ in range(2)
    )
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.tuning_risks, other.tuning_risks)
    assert len(first) <= how.planned(Problem.of(model, cohort, granularity, seed=3))
    assert all(torch.equal(value, before[key]) for key, value in model.network.state_dict().items())
    assert cohort.train.frame.equals(frame)
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), drawn, strict=True))


@pytest.mark.parametrize("classes", [2, 3])
def test_a_regression_is_a_network_that_gives_the_same_risks(classes: int) -> None:
    """Across tables, penalties and numbers of classes, scikit-learn and the model agree to 1e-6."""
    cohort = patient_cohort(classes=classes)
    problem = Problem.of(untrained_model(cohort), cohort, "weight", 0)
    regressions = Regressions.of(problem)
    columns = (problem.tuning.columns - regressions.means) / regressions.spreads
    everything = np.arange(columns.shape[1])
    for penalised in (
        regressions.ridge(everything),
        LogisticRegression(l1_ratio=1.0, C=0.1, solver="saga", random_state=0).fit(
            regressions.columns, regressions.outcome
        ),
    ):
        model = regressions.model(penalised, everything)
        np.testing.assert_allclose(
            model.predict_proba(cohort.tuning.frame), penalised.predict_proba(columns), atol=1e-6
        )
        coefficients = int(np.count_nonzero(penalised.coef_)) + (1 if classes == 2 else classes)
        assert compact(model).network.nonzero() == coefficients


def test_the_l1_path_goes_from_a_feature_to_nearly_all(binary: tuple[Cohort, RiskModel]) -> None:
    cohort, model = binary
    problem = Problem.of(model, cohort, "weight", 0)
    train_columns = Regressions.of(problem).columns
    edge = barely_empty(train_columns, problem.train.outcome)
    counts = []
    for inverse in (edge * 0.99, edge * 1.1):
        regression = LogisticRegression(l1_ratio=1.0, C=inverse, solver="saga", tol=1e-6, max_iter=5000)
        counts.append(np.count_nonzero(regression.fit(train_columns, problem.train.outcome).coef_))
    assert counts[0] == 0 < counts[1]
    path = prune(model, cohort, "l1_logistic")
    assert path.candidates[-1].features <= 2
    assert path.candidates[1].features == 6
    weights = model.network.full_mask().total_weights()
    for candidate in path.candidates[1:]:  # an intercept is no weight, as on any path
        assert candidate.sparsity == pytest.approx(1 - (candidate.parameters - 1) / weights)


@pytest.mark.parametrize("name", ["l1_logistic", "rfe", "sequential_selection"])
def test_regressions_do_not_look_at_tuning(binary: tuple[Cohort, RiskModel], name: str) -> None:
    cohort, model = binary
    turned = replace(cohort, tuning=replace(cohort.tuning, outcome=1 - cohort.tuning.outcome))
    paths = [
        prune(model, which, name, granularity="feature", recalibrate=False) for which in (cohort, turned)
    ]
    for one, other in zip(*paths, strict=True):
        np.testing.assert_array_equal(one.tuning_risks, other.tuning_risks)
    assert paths[0].candidates[1].performance.auroc == pytest.approx(
        1 - paths[1].candidates[1].performance.auroc
    )


def test_small_networks_are_as_small_as_asked(cohort: Cohort, model: RiskModel) -> None:
    dense = model.network.spec
    total = size(dense, "weight")
    path = prune(model, cohort, "small_network", schedule=QUICK, starts=1)
    for candidate in path.candidates[1:]:
        spec = candidate.model.network.spec
        assert candidate.requested in SIZES
        assert size(spec, "weight") <= (1 - candidate.requested) * total
        bigger = [s for s in smaller(dense) if size(s, "weight") > size(spec, "weight")]
        assert min(size(s, "weight") for s in bigger) > (1 - candidate.requested) * total
        assert candidate.sparsity == pytest.approx(1 - size(spec, "weight") / total)
    units = prune(model, cohort, "small_network", granularity="neuron", sparsities=(0.5,), schedule=QUICK)
    assert units.candidates[1].sparsity == 0.5
    assert units.candidates[1].model.network.spec.widths[1:-1] == (6, 4)
    assert units.models_trained == 3  # starts


def test_of_several_starts_the_best_on_tuning_is_kept(cohort: Cohort, model: RiskModel) -> None:
    asked = {"sparsities": (0.5,), "schedule": Schedule(epochs=8)}
    few, many = (
        prune(model, cohort, "small_network", starts=starts, **asked).candidates[1] for starts in (1, 4)
    )
    loss = [log_loss(cohort.tuning.outcome, candidate.tuning_risks) for candidate in (few, many)]
    assert loss[1] < loss[0]


def test_without_a_hidden_layer_there_is_nothing_to_shrink(cohort: Cohort) -> None:
    model = untrained_model(cohort, MLP(hidden=()))
    with pytest.raises(BadInput, match="no hidden layer"):
        prune(model, cohort, "small_network")


@pytest.mark.parametrize("network", [False, True])
@pytest.mark.parametrize("name", ["rfe", "sequential_selection"])
def test_selections_keep_whole_features_in_nested_sets(
    cohort: Cohort, model: RiskModel, name: str, network: bool
) -> None:
    path = prune(model, cohort, name, granularity="feature", network=network, schedule=QUICK)
    assert [candidate.features for candidate in path] == [6, 6, 5, 4, 3, 2, 1]
    owner = model.preparation.feature_of_column
    for before, after in zip(path.candidates[1:-1], path.candidates[2:], strict=True):
        assert set(after.needed) < set(before.needed)
        kept = kept_columns(after.model)
        assert set(owner[kept]).isdisjoint(owner[~kept]), "its columns come and go with a feature"
        assert bool(after.model.network.tails) == network
    assert path.settings.label.endswith("(network)" if network else "(logistic regression)")


def test_elimination_drops_the_smallest_group_of_coefficients(cohort: Cohort, model: RiskModel) -> None:
    path = prune(model, cohort, "rfe", granularity="feature")
    problem = Problem.of(model, cohort, "feature", 0)
    train_table = Regressions.of(problem)
    left = list(range(6))
    for candidate in path.candidates[1:]:
        assert candidate.needed == tuple(model.features[place] for place in left)
        places = train_table.columns_of(left)
        coefficients = train_table.ridge(places).coef_
        owner = train_table.feature_of_column[places]
        norms = [np.linalg.norm(coefficients[:, owner == feature]) for feature in left]
        left.pop(int(np.argmin(norms)))


def test_sequential_selection_adds_what_helps_most(binary: tuple[Cohort, RiskModel]) -> None:
    """Every step is the best of all that could be added, by our own cross-validation over the same folds."""
    cohort, model = binary
    problem = Problem.of(model, cohort, "feature", 0)
    table, how = Regressions.of(problem), SequentialSelection()
    folds = how._folds(problem, codes_of(table, np.arange(6)))
    path = prune(model, cohort, "sequential_selection", granularity="feature")

    def loss(features: tuple[int, ...]) -> float:
        places = table.columns_of(features)
        each = [
            log_loss(
                table.outcome[judge],
                table.ridge(places, learn).predict_proba(table.columns[judge][:, places]),
            )
            for learn, judge in folds
        ]
        return float(np.mean(each))

    chosen: set[int] = set()
    for candidate in path.candidates[:0:-1]:
        tried = [c for c in combinations(range(6), len(chosen) + 1) if chosen < set(c)]
        chosen = set(min(tried, key=loss))
        assert set(candidate.needed) == {model.features[place] for place in chosen}


def test_sequential_selection_is_bounded(cohort: Cohort, model: RiskModel) -> None:
    path = prune(model, cohort, "sequential_selection", granularity="feature", most=2)
    assert [candidate.features for candidate in path] == [6, 2, 1]
    assert path.models_trained == 3 * (6 + 5) + 2  # folds x tries, and two that stay


def test_folds_are_patients() -> None:
    cohort = patient_cohort()
    twins = replace(cohort, train=replace(cohort.train, patients=cohort.train.patients // 2**58))
    problem = Problem.of(untrained_model(twins), twins, "feature", 0)
    folds = SequentialSelection()._folds(problem, codes_of(Regressions.of(problem), np.arange(6)))
    for learn, judge in folds:
        assert set(twins.train.patients[learn]).isdisjoint(twins.train.patients[judge])


def test_a_slice_of_the_codes_tells_its_features_and_rows(cohort: Cohort, model: RiskModel) -> None:
    table = Regressions.of(Problem.of(model, cohort, "feature", 0))
    codes = codes_of(table, np.arange(6))
    rows, features = np.arange(0, 100, 3), [1, 4]
    asked = GroupedLogistic(table, []).fit(codes[rows][:, features])
    places = table.columns_of(features)
    direct = table.ridge(places, rows)
    np.testing.assert_array_equal(
        asked.predict_proba(codes[:, features]), direct.predict_proba(table.columns[:, places])
    )
    assert asked.tried == [frozenset(features)]


def test_a_model_pruned_before_keeps_its_features_gone(cohort: Cohort, model: RiskModel) -> None:
    smaller_model = with_only(model, np.array([0, 1, 4]))
    needed = set(features_needed(smaller_model))
    for name in ("rfe", "sequential_selection", "l1_logistic"):
        path = prune(smaller_model, cohort, name, granularity="feature", **quick(name))
        for candidate in path:
            assert set(candidate.needed) <= needed
            assert candidate.sparsity >= 0.5


def test_one_feature_needs_no_selection(cohort: Cohort, model: RiskModel) -> None:
    alone = with_only(model, np.array([0]))
    for name in ("rfe", "sequential_selection"):
        path = prune(alone, cohort, name, granularity="feature")
        assert [candidate.features for candidate in path] == [1, 1]


def test_paths_of_magnitude_and_chance_are_nested(cohort: Cohort, model: RiskModel) -> None:
    def share(candidate: Candidate) -> float:
        return candidate.sparsity

    for name in ("magnitude", "random"):
        assert BASELINES.get(name).nested
        path = prune(model, cohort, name, sparsities=(0.5, 0.8), schedule=QUICK)
        assert path.candidates[2].mask.within(path.candidates[1].mask)
        assert share(path.candidates[2]) > share(path.candidates[1])
    same = prune(model, cohort, criterion="magnitude", scope="adaptive", sparsities=(0.5,), schedule=QUICK)
    lamp = prune(model, cohort, "magnitude", sparsities=(0.5,), schedule=QUICK)
    np.testing.assert_array_equal(same.candidates[1].tuning_risks, lamp.candidates[1].tuning_risks)


def test_many_features_are_counted_in_at_most_24_steps() -> None:
    assert counts_to(6) == [6, 5, 4, 3, 2, 1]
    assert len(counts_to(500)) <= 24
    assert (counts_to(500)[0], counts_to(500)[-1]) == (500, 1)
