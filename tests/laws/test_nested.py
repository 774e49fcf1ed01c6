"""Laws of the sweep engine: many nested cuts at once are what each cut is by itself, ties included."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from medprune import MLP, RiskModel, load_cohort, score, sweep
from medprune.cohort import Cohort
from medprune.mask import Mask
from medprune.model import Recalibration, softmax
from medprune.nest import Nest
from medprune.nested import LANES, Patients, nested_risks
from medprune.performance import METRICS, acted_on, confusion, decisions, performance
from medprune.ranked import ACT_GRID
from medprune.removal import Cut, alive_groups, removed_share
from medprune.size import SIZES, size_of
from medprune.sweep import sweep_steps
from tests.makers import patient_cohort, random_mask, untrained_model

GRID = np.linspace(0, 1, 15)
KINDS = [
    ("none", "relu"),
    ("none", "tanh"),
    ("none", "sigmoid"),
    ("batch", "gelu"),
    ("batch", "identity"),
    ("layer", "silu"),
]
GRANULARITIES = ("weight", "neuron", "feature")


def tied_cohort(rows: int, classes: int = 2) -> Cohort:
    """Whole numbers 0 to 3 and yes or no: hardly two patients differ, and none once most is gone."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({f"grade {k}": rng.integers(0, 4, rows) for k in range(3)})
    frame = frame.assign(**{f"sign {k}": rng.integers(0, 2, rows) for k in range(3)}).astype(float)
    worth = frame.sum(axis=1) + rng.normal(size=rows)
    return load_cohort(frame.assign(y=pd.qcut(worth, classes, labels=False)), outcome="y", seed=0)


def cut_of(cohort: Cohort, model: RiskModel, granularity: str) -> Cut:
    scored = score(model, cohort.train, "taylor")
    return Cut.of(model, scored, granularity, "global", model.prepared(cohort.train))


def exact_risks(model: RiskModel, columns: np.ndarray) -> np.ndarray:
    """The network in double precision, rounded once at the end: what ties in truth is tied."""
    exact = copy.deepcopy(model.network).double()
    with torch.no_grad():
        logits = exact(torch.from_numpy(columns).double(), model.mask).float().double().numpy()
    return softmax(model.recalibration(logits))


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize(("norm", "activation"), KINDS)
def test_lasts_are_the_masks(norm: str, activation: str, granularity: str) -> None:
    cohort = patient_cohort(classes=3)
    model = untrained_model(cohort, MLP((7, 6, 5), activation, norm, 0.0), seed=3)
    if norm != "layer":  # a network that was cut before, whole layers too
        model = replace(model, mask=random_mask(model.network, seed=4, keep=0.8))
    cut = cut_of(cohort, model, granularity)
    lasts = Nest.of_cut(cut, GRID).lasts
    for step, threshold in enumerate(GRID):
        pruned = cut.at(float(threshold))
        mask = pruned.mask
        assert mask is not None
        for last, alive in zip(lasts.weights, mask.alive_weights(), strict=True):
            np.testing.assert_array_equal(last > step, alive.numpy())
        for last, alive in zip(lasts.units, alive_groups(pruned, "neuron"), strict=True):
            np.testing.assert_array_equal(last > step, alive)
        np.testing.assert_array_equal(lasts.features > step, alive_groups(pruned, "feature")[0])


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize(("norm", "activation"), KINDS)
def test_risks_are_those_of_each_model(norm: str, activation: str, granularity: str) -> None:
    cohort = patient_cohort(classes=3)
    model = untrained_model(cohort, MLP((9, 8, 5), activation, norm, 0.0), seed=3)
    model = replace(model, recalibration=Recalibration(0.7, (0.2, 0.0, -0.1)))
    cut = cut_of(cohort, model, granularity)
    models = [cut.at(float(threshold)) for threshold in GRID]
    models = [models[place] for place in np.random.default_rng(0).permutation(len(models))]
    columns = model.prepared(cohort.train)
    # A layer normalised over two units or one divides by next to nothing, and float32 shows.
    near = 2e-5 if norm == "layer" else 1e-6
    for risks, one in zip(nested_risks(models, columns), models, strict=True):
        np.testing.assert_allclose(risks, one.risks_of(columns), atol=near, rtol=0)


def test_masks_that_are_not_nested_take_a_pass_each() -> None:
    cohort = patient_cohort()
    model = untrained_model(cohort)
    models = [replace(model, mask=random_mask(model.network, seed)) for seed in range(3)]
    columns = model.prepared(cohort.tuning)
    for risks, one in zip(nested_risks(models, columns), models, strict=True):
        np.testing.assert_array_equal(risks, one.risks_of(columns))
    assert list(nested_risks([], columns)) == []


def test_a_cut_that_leaves_nothing_is_a_constant() -> None:
    cohort = patient_cohort()
    model = untrained_model(cohort)
    nothing: Mask = model.network.full_mask()
    nothing = replace(nothing, weights=tuple(torch.zeros_like(part) for part in nothing.weights))
    models = [model, replace(model, mask=nothing)]
    columns = model.prepared(cohort.tuning)
    for risks, one in zip(nested_risks(models, columns), models, strict=True):
        np.testing.assert_allclose(risks, one.risks_of(columns), atol=1e-6)


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize(("norm", "activation"), KINDS)
@pytest.mark.parametrize("rows", [317, 1001])
def test_patients_who_are_alike_stay_alike(rows: int, norm: str, activation: str, granularity: str) -> None:
    """To the bit, wherever in the table they stand: else noise sorts them, and AUROC believes it."""
    cohort = tied_cohort(rows)
    model = untrained_model(cohort, MLP((40, 20), activation, norm, 0.0), seed=2)
    cut = cut_of(cohort, model, granularity)
    columns = model.prepared(cohort.train)
    models = [cut.at(float(threshold)) for threshold in GRID]
    for risks, one in zip(nested_risks(models, columns), models, strict=True):
        assert one.mask is not None
        _, who = np.unique(columns[:, one.mask.inputs.numpy()], axis=0, return_inverse=True)
        of_first = risks[np.unique(who, return_index=True)[1]]
        np.testing.assert_array_equal(risks, of_first[who])


def test_patients_lie_in_whole_lanes() -> None:
    assert Patients.of(np.zeros((LANES + 1, 3), dtype=np.float32)).columns.shape == (3, 2 * LANES)


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize(("norm", "activation", "classes"), [("none", "relu", 2), ("batch", "gelu", 3)])
@pytest.mark.parametrize("tied", [False, True])
def test_a_sweep_is_every_cut_measured_by_itself(
    norm: str, activation: str, classes: int, granularity: str, *, tied: bool
) -> None:
    cohort = tied_cohort(300, classes) if tied else patient_cohort(300, classes)
    model = replace(untrained_model(cohort, MLP((9, 7), activation, norm, 0.0), seed=3), act_at=0.3)
    scored = score(model, cohort.train)
    swept = sweep(model, cohort.tuning, scored, GRID, granularity=granularity, train=cohort.train)
    cut = Cut.of(model, scored, granularity, "global", model.prepared(cohort.train))
    outcome, columns = cohort.tuning.outcome, model.prepared(cohort.tuning)
    looked_at = list(range(classes)) if classes > 2 else [1]
    for place, threshold in enumerate(GRID):
        pruned = cut.at(float(threshold))
        risks, row = exact_risks(pruned, columns), swept.table.iloc[place]
        expected, size = performance(outcome, risks, 0.3), size_of(pruned)
        on_train = performance(cohort.train.outcome, exact_risks(pruned, model.prepared(cohort.train)))
        np.testing.assert_allclose([row[m] for m in METRICS], [expected[m] for m in METRICS], atol=1e-6)
        assert [row[name] for name in SIZES] == [getattr(size, name) for name in SIZES]
        assert row["sparsity"] == pytest.approx(removed_share(pruned, granularity))
        assert row["gap"] == pytest.approx(on_train.auroc - expected.auroc, abs=1e-6)
        assert row["auroc_low"] == row["auroc"] == row["auroc_high"]
        np.testing.assert_array_equal(
            swept.confusion[place], confusion(outcome, decisions(risks, 0.3), classes)
        )
        for at in (0, 28, 98):
            acted, event = acted_on(outcome, risks, ACT_GRID[at])
            found = np.stack([(acted & event).sum(axis=0), (acted & ~event).sum(axis=0)], axis=1)
            np.testing.assert_array_equal(swept.acted[place, at], found)
        for k in looked_at:
            of_class = performance((outcome == k).astype(int), np.stack([1 - risks[:, k], risks[:, k]], 1))
            assert swept.by_class[place, k, 2] == pytest.approx(of_class.auroc, abs=1e-6)
            decided = decisions(risks, 0.3) == k
            assert swept.by_class[place, k, 0] == pytest.approx(decided[outcome == k].mean())
            assert swept.by_class[place, k, 1] == pytest.approx((~decided[outcome != k]).mean())
    assert swept.patients == len(outcome)
    assert swept.sampled is None


def test_thresholds_in_any_order_and_some_at_a_time() -> None:
    cohort = patient_cohort()
    model = untrained_model(cohort)
    scored = score(model, cohort.train)
    mixed = [0.5, 0.1, 0.1, 0.0, 0.9]
    swept, sorted_ = (sweep(model, cohort.tuning, scored, t) for t in (mixed, sorted(mixed)))
    for place, threshold in enumerate(mixed):
        pd.testing.assert_series_equal(swept.table.iloc[place], sorted_.at(threshold), check_names=False)
    np.testing.assert_array_equal(swept.confusion[2], sorted_.confusion[1])
    np.testing.assert_array_equal(swept.lasts.features, sorted_.lasts.features)
    steps = list(sweep_steps(model, cohort.tuning, scored, 31))
    assert [step.number for step in steps] == sorted(step.number for step in steps)
    assert (steps[-1].number, steps[-1].of) == (31, 31)
    assert [step.tradeoff is None for step in steps] == [True] * (len(steps) - 1) + [False]


def test_whole_layers_that_are_gone_are_counted_as_compaction_leaves_them() -> None:
    cohort = patient_cohort()
    model = untrained_model(cohort, MLP((6, 5), dropout=0.0))
    mask = replace(model.network.full_mask(), layers=torch.tensor([True, False]))
    model = replace(model, mask=mask)
    scored = score(model, cohort.train)
    swept = sweep(model, cohort.tuning, scored, [0.0, 0.3])
    cut = Cut.of(model, scored, "weight", "global", model.prepared(cohort.tuning))
    for row, threshold in zip(swept.table.itertuples(), (0.0, 0.3), strict=True):
        size = size_of(cut.at(threshold))
        assert (row.parameters, row.stored, row.bytes) == (size.parameters, size.stored, size.bytes)
