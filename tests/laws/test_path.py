"""Laws of the path and the sweep: same seed same path, nested masks, falling sizes, pure functions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medprune import MLP, BadInput, Cohort, RiskModel, Schedule, compact, prune, score, sweep, train
from medprune.criteria import CRITERIA
from medprune.ranking import SCOPES, at_threshold, best, normalise, strongest_paths
from medprune.removal import Cut, alive_groups, mean_activations, removed_share
from medprune.scoring import GRANULARITIES
from medprune.size import size_of
from medprune.training import fit, prepare
from tests.makers import patient_cohort, untrained_model

QUICK = Schedule(epochs=3, patience=3)


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return patient_cohort(classes=3)


@pytest.fixture(scope="module")
def model(cohort: Cohort) -> RiskModel:
    return train(cohort, MLP(hidden=(12, 8)), seed=0, schedule=Schedule(epochs=20))


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("criterion", CRITERIA.names())
def test_a_path_is_nested_and_its_sizes_fall(
    cohort: Cohort, model: RiskModel, granularity: str, criterion: str
) -> None:
    path = prune(model, cohort, granularity=granularity, criterion=criterion, schedule=QUICK)
    for before, after in zip(path.candidates[:-1], path.candidates[1:], strict=True):
        assert after.mask.within(before.mask)
        assert after.sparsity > before.sparsity
        assert after.parameters <= before.parameters
        assert after.size.stored <= before.size.stored
        # The two operators of a recalibration, which the dense model has not, are the same for all.
        assert size_of(after.raw).bytes <= size_of(before.raw).bytes
        assert after.features <= before.features


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_every_candidate_computes_the_same_when_compact(
    cohort: Cohort, model: RiskModel, granularity: str
) -> None:
    for candidate in prune(model, cohort, granularity=granularity, schedule=QUICK):
        masked = candidate.model.predict_proba(cohort.test.frame)
        np.testing.assert_allclose(
            compact(candidate.model).predict_proba(cohort.test.frame), masked, atol=1e-5
        )


def test_the_same_seed_gives_the_same_path(cohort: Cohort, model: RiskModel) -> None:
    first, second = (prune(model, cohort, schedule=QUICK, seed=7) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.tuning_risks, b.tuning_risks)
        assert a.mask.same_as(b.mask)


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_which_networks_are_on_a_path_does_not_depend_on_recalibration(
    cohort: Cohort, model: RiskModel, granularity: str
) -> None:
    """It comes last and no walk sees it: every network is the same to the last bit without."""
    how = {"granularity": granularity, "schedule": QUICK}
    with_it, without = (prune(model, cohort, recalibrate=asked, **how) for asked in (True, False))
    assert all(one.mask.same_as(other.mask) for one, other in zip(with_it, without, strict=True))
    assert not with_it.dense.is_recalibrated
    for one, other in zip(with_it.candidates[1:], without.candidates[1:], strict=True):
        assert one.is_recalibrated
        assert not other.is_recalibrated
        assert one.raw.recalibration == other.model.recalibration
        assert one.raw_performance == other.performance
        columns = model.prepared(cohort.tuning)
        np.testing.assert_array_equal(one.raw.risks_of(columns), other.tuning_risks)


def test_another_seed_gives_another_path(cohort: Cohort, model: RiskModel) -> None:
    first, second = (prune(model, cohort, schedule=QUICK, seed=seed) for seed in (1, 2))
    assert not np.array_equal(first.candidates[-1].tuning_risks, second.candidates[-1].tuning_risks)


def test_pruning_changes_neither_the_model_nor_the_cohort(cohort: Cohort, model: RiskModel) -> None:
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    frame = cohort.train.frame.copy()
    prune(model, cohort, schedule=QUICK)
    assert all(torch.equal(value, before[name]) for name, value in model.network.state_dict().items())
    assert cohort.train.frame.equals(frame)


def test_retraining_never_does_worse_than_its_start(cohort: Cohort, model: RiskModel) -> None:
    """The weights at the start, shrunk, count as the first best."""
    start = prune(model, cohort, sparsities=(0.5,), schedule=Schedule(epochs=0)).candidates[-1].model
    data = [prepare(model.preparation, split) for split in (cohort.train, cohort.tuning)]
    for shrink in (1.0, 0.7):
        steps = fit(
            start.network, *data, mask=start.mask, schedule=Schedule(epochs=30, shrink=shrink), seed=0
        )
        epochs = [epoch for epoch, _ in steps]
        lowest = min(epoch.tuning_loss for epoch in epochs)
        assert [epoch.tuning_loss for epoch in epochs if epoch.best][-1] == lowest < epochs[0].tuning_loss


def test_a_path_asks_for_what_it_was_asked(cohort: Cohort, model: RiskModel) -> None:
    path = prune(model, cohort, sparsities=(0.5, 0.9), schedule=QUICK)
    assert [candidate.requested for candidate in path] == [0.0, 0.5, 0.9]
    total = path.dense.mask.total_weights()
    for candidate in path.candidates[1:]:
        assert candidate.requested is not None
        assert candidate.sparsity >= candidate.requested - 20 / total  # the path that always stays


def test_at_a_fixed_threshold_every_round_cuts_there(cohort: Cohort, model: RiskModel) -> None:
    path = prune(model, cohort, threshold=0.1, rounds=3, schedule=QUICK)
    assert [candidate.threshold for candidate in path] == [0.0] + [0.1] * (len(path) - 1)
    assert len(path) > 1


def test_a_threshold_of_zero_removes_nothing_and_says_so(cohort: Cohort, model: RiskModel) -> None:
    path = prune(model, cohort, threshold=0.0, schedule=QUICK)
    assert len(path) == 1
    assert path.candidates[-1].sparsity == 0.0


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("scope", SCOPES)
def test_a_sweep_never_gets_bigger(cohort: Cohort, model: RiskModel, granularity: str, scope: str) -> None:
    swept = sweep(
        model,
        cohort.tuning,
        score(model, cohort.train),
        21,
        granularity=granularity,
        scope=scope,
        train=cohort.train,
    )
    assert swept.table["sparsity"].iloc[0] == 0.0
    for name in ("parameters", "stored", "features", "bytes"):
        assert (np.diff(swept.table[name]) <= 0).all(), name
    assert (np.diff(swept.table["sparsity"]) >= 0).all()


@given(seed=st.integers(0, 2**31), keep=st.floats(0, 1), scope=st.sampled_from(sorted(SCOPES)))
@settings(max_examples=50)
def test_a_layer_never_collapses(seed: int, keep: float, scope: str) -> None:
    """Whatever is asked for, a patient's values still reach the outcome."""
    cohort = patient_cohort()
    model = untrained_model(cohort, MLP(hidden=(5, 4)), seed=seed % 97)
    columns = model.prepared(cohort.train)
    rng = np.random.default_rng(seed)
    for granularity in GRANULARITIES:
        alive = alive_groups(model, granularity)
        order = normalise([rng.random(part.shape) for part in alive], alive, scope)
        total = sum(part.size for part in alive)
        kept, _ = best(order, alive, round(keep * total))
        pruned = Cut(model, granularity, alive, order, mean_activations(model, columns)).keep(kept)
        small = compact(pruned)
        assert all(width >= 1 for width in small.network.spec.widths)
        np.testing.assert_allclose(
            pruned.risks_of(columns), small.predict_proba(cohort.train.frame), atol=1e-5
        )


@given(seed=st.integers(0, 2**31), scope=st.sampled_from(sorted(SCOPES)))
def test_cuts_are_nested_and_ties_are_stable(seed: int, scope: str) -> None:
    rng = np.random.default_rng(seed)
    scores = [rng.integers(0, 4, (5, 3)) / 3, rng.integers(0, 4, (2, 5)) / 3]
    alive = tuple(rng.random(s.shape) < 0.8 for s in scores)
    order = normalise(scores, alive, scope)
    assert all(((part >= 0) & (part <= 1)).all() for part in order)
    previous = None
    for threshold in (1.0, 0.7, 0.3, 0.1, 0.0):
        kept = at_threshold(order, alive, threshold)
        if previous is not None:
            assert all((a <= b).all() for a, b in zip(previous, kept, strict=True))
        previous = kept
    for count in range(25):
        kept, _ = best(order, alive, count)
        assert sum(int(part.sum()) for part in kept) == min(count, sum(int(part.sum()) for part in alive))
        more, _ = best(order, alive, count + 1)
        assert all((a <= b).all() for a, b in zip(kept, more, strict=True))


@given(seed=st.integers(0, 2**31), classes=st.integers(2, 4))
def test_the_way_that_stays_is_the_best_bottleneck(seed: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    scores = [rng.random((3, 4)), rng.random((2, 3)), rng.random((classes, 2))]
    stay = strongest_paths(scores, [np.ones(s.shape, dtype=bool) for s in scores])
    reached = []
    for logit in range(classes):
        every = [
            min(scores[0][b, a], scores[1][c, b], scores[2][logit, c])
            for a in range(4) for b in range(3) for c in range(2)
        ]  # fmt: skip
        kept = [
            min(scores[0][b, a], scores[1][c, b], scores[2][logit, c])
            for a in range(4) for b in range(3) for c in range(2)
            if stay[0][b, a] and stay[1][c, b] and stay[2][logit, c]
        ]  # fmt: skip
        reached.append((max(kept, default=-1.0), max(every)))
    if classes == 2:
        assert max(kept for kept, _ in reached) == max(every for _, every in reached)
    else:
        assert all(kept == every for kept, every in reached)


@pytest.mark.parametrize("criterion", ["contribution", "magnitude", "random"])
def test_what_is_asked_for_is_reached(cohort: Cohort, model: RiskModel, criterion: str) -> None:
    """Not the far higher sparsity that remains when whatever leads nowhere goes too."""
    path = prune(model, cohort, criterion=criterion, sparsities=(0.5, 0.8, 0.9), schedule=QUICK)
    for candidate in path.candidates[1:]:
        assert candidate.requested is not None
        assert candidate.requested - 0.04 <= candidate.sparsity <= candidate.requested + 0.005


def test_features_go_one_at_a_time_when_there_are_few(cohort: Cohort, model: RiskModel) -> None:
    path = prune(model, cohort, granularity="feature", schedule=QUICK)
    assert [candidate.features for candidate in path] == [6, 5, 4, 3, 2, 1]


def test_a_request_within_what_is_gone_adds_no_candidate(cohort: Cohort, model: RiskModel) -> None:
    path = prune(model, cohort, sparsities=(0.9, 0.900001), schedule=QUICK)
    assert len(path) == 2
    assert removed_share(path.candidates[-1].model, "weight") >= 0.89


def test_a_criterions_own_settings_hold_on_the_path(cohort: Cohort, model: RiskModel) -> None:
    plain, signed = (
        prune(model, cohort, criterion="taylor", options=options, sparsities=(0.8,), schedule=QUICK)
        for options in ((), (("signed", True),))
    )
    assert not plain.candidates[-1].mask.same_as(signed.candidates[-1].mask)
    with pytest.raises(BadInput, match="does not take these settings"):
        prune(model, cohort, criterion="taylor", options=(("epsilon", 0.1),))
