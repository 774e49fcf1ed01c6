"""Recalibration gives back risks that a known distortion took, and class weights never come without it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medprune import (
    MLP,
    BadInput,
    Cohort,
    RiskModel,
    Schedule,
    Validation,
    cli,
    compact,
    cross_validate,
    export,
    load_bundle,
    load_cohort,
    load_model,
    prune,
    save_model,
    train,
)
from medprune.batch_training import Training, retrain_all, retrain_many
from medprune.candidate import Problem
from medprune.cross_validation import like
from medprune.kinds.recipes import ResidualMLP
from medprune.model import Recalibration, logits_of, softmax
from medprune.onnx_graph import onnx_bytes
from medprune.onnx_run import onnx_risks
from medprune.path import acting_at
from medprune.performance import auroc, performance
from medprune.recalibration import FOR_A_SLOPE, SLOPES, fit_recalibration, fitted
from medprune.review.calibration import calibration
from medprune.training import prepare, retrain
from tests.makers import patient_cohort, patient_table, untrained_model

WEIGHTED = Schedule(epochs=25, patience=10, class_weights="balanced")
SHORT = Schedule(epochs=6, patience=3, shrink=0.7, weight_decay=0.3)


def rare_cohort(rows: int = 400, share: float = 0.15) -> Cohort:
    table = patient_table(rows)
    rng = np.random.default_rng(1)
    keep = (table["stage"] == 0) | (rng.random(rows) < share / (1 - share))
    return load_cohort(table[keep].reset_index(drop=True), outcome="stage")


def in_the_large(model: RiskModel, cohort: Cohort) -> np.ndarray:
    """Mean risk minus share of every class, on tuning."""
    risks = model.risks_of(model.prepared(cohort.tuning))
    shares = np.bincount(cohort.tuning.outcome, minlength=len(cohort.classes)) / len(cohort.tuning)
    return risks.mean(axis=0) - shares


def tuning_auroc(model: RiskModel, cohort: Cohort) -> float:
    return auroc(cohort.tuning.outcome, model.risks_of(model.prepared(cohort.tuning)))


# --- the fit ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_a_known_distortion_is_found(classes: int) -> None:
    """Outcomes are drawn from the true risks; logits are what a distorted model says of them."""
    rng = np.random.default_rng(classes)
    true = rng.normal(0, 1.5, (40_000, classes))
    outcome = np.array([rng.choice(classes, p=p) for p in softmax(true)])
    shift = np.linspace(0, 2, classes)
    found = fitted((true - shift) / 0.6, outcome)
    assert found.slope == pytest.approx(0.6, abs=0.03)
    np.testing.assert_allclose(found.intercepts, shift - shift[0], atol=0.06)
    np.testing.assert_allclose(softmax(found((true - shift) / 0.6)), softmax(true), atol=0.03)


def test_binary_is_logistic_regression_of_platts_targets_on_the_logit() -> None:
    """Every patient stands for two, one with the outcome and one without, weighted by Platt's targets."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (500, 2))
    outcome = (rng.random(500) < softmax(0.5 * logits)[:, 1]).astype(np.int64)
    found = fitted(logits, outcome)
    assert found.slope != 1.0
    score, events = logits[:, 1:] - logits[:, :1], int(outcome.sum())
    target = np.where(outcome == 1, (events + 1) / (events + 2), 1 / (500 - events + 2))
    plain = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    plain.fit(np.tile(score, (2, 1)), np.repeat([1, 0], 500), np.concatenate([target, 1 - target]))
    assert found.slope == pytest.approx(plain.coef_[0, 0], abs=1e-5)
    likeliest = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(score, outcome)
    assert 0 < likeliest.coef_[0, 0] - found.slope < 0.02  # of so many patients, hardly another one
    at_that_slope = softmax(found.slope * logits + found.intercepts)[:, 1]
    assert at_that_slope.mean() == pytest.approx(outcome.mean(), abs=1e-9)


def test_timid_risks_get_the_slope_that_they_need() -> None:
    """A hard cut leaves logits a tenth as large: no bound may keep them there."""
    rng = np.random.default_rng(3)
    true = rng.normal(0, 1.5, (4_000, 2))
    outcome = (rng.random(4_000) < softmax(true)[:, 1]).astype(np.int64)
    assert fitted(true / 10, outcome).slope == pytest.approx(10, rel=0.06)


def test_logits_that_tell_nobody_apart_get_the_shares() -> None:
    outcome = np.repeat([0, 1], (70, 30))
    found = fitted(np.tile([0.3, -0.2], (100, 1)), outcome)
    assert softmax(found(np.array([[0.3, -0.2]])))[0, 1] == pytest.approx(0.3, abs=1e-9)


@pytest.mark.parametrize("events", [1, 5, FOR_A_SLOPE - 1, FOR_A_SLOPE, 60])
@pytest.mark.parametrize("classes", [2, 3])
def test_the_mean_risk_is_the_share_whatever_is_fitted(events: int, classes: int) -> None:
    rng = np.random.default_rng(events)
    outcome = np.repeat([0, 1], (200, events)) if classes == 2 else np.repeat([0, 1, 2], (200, events, 3))
    logits = rng.normal(0, 1, (len(outcome), classes)) + 2 * np.eye(classes)[outcome]
    found = fitted(logits, outcome)
    if len(outcome) - 200 < FOR_A_SLOPE:
        assert found.slope == 1.0
    shares = np.bincount(outcome) / len(outcome)
    np.testing.assert_allclose(softmax(found(logits)).mean(axis=0), shares, atol=1e-7)


def test_a_slope_needs_evidence() -> None:
    """Of 100 small tuning splits of a model whose slope is right, about 5 get another one."""
    rng = np.random.default_rng(7)
    slopes = []
    for _ in range(100):
        logits = rng.normal(0, 1, (150, 2))
        outcome = (rng.random(150) < softmax(logits)[:, 1]).astype(np.int64)
        slopes.append(fitted(logits, outcome).slope)
        assert fitted(6 * logits, outcome).slope < 1 / 3  # over-confident sixfold: plain to see
    assert 1 <= sum(slope != 1.0 for slope in slopes) <= 12


@pytest.mark.parametrize("sign", [-1, 1], ids=["worse than chance", "separable"])
def test_no_fit_turns_the_order_round_or_runs_away(sign: int) -> None:
    outcome = np.repeat([0, 1], (60, 60))
    score = np.linspace(-1, 1, 120) * sign
    logits = np.stack((-score, score), axis=1)
    found = fitted(logits, outcome)
    assert np.isfinite(found.intercepts).all()
    if sign < 0:
        assert found.slope == SLOPES[0]
    else:  # no patient's risk is taken for certain, as the largest likelihood would have it
        assert 1 < found.slope < SLOPES[1]
        assert softmax(found(logits))[outcome == 0, 1].mean() > 0.01


def test_a_class_that_tuning_lacks_keeps_a_small_risk() -> None:
    found = fitted(np.random.default_rng(0).normal(size=(100, 3)), np.repeat([0, 1], (90, 10)))
    risks = softmax(found(np.zeros((1, 3))))[0]
    assert 0 < risks[2] < 0.02
    assert np.isfinite(found.intercepts).all()


# --- the model --------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 3])
def test_a_recalibrated_model(classes: int) -> None:
    cohort = patient_cohort(300, classes)
    model = untrained_model(cohort)
    again = fit_recalibration(model, cohort)
    assert model.recalibration.is_identity
    assert not again.recalibration.is_identity
    assert again.network is model.network
    assert np.abs(in_the_large(model, cohort)).max() > 0.01
    np.testing.assert_allclose(in_the_large(again, cohort), 0, atol=1e-7)
    assert fit_recalibration(again, cohort).recalibration == again.recalibration
    if classes == 2:
        before, after = (m.risks_of(m.prepared(cohort.test)) for m in (model, again))
        assert auroc(cohort.test.outcome, after) == auroc(cohort.test.outcome, before)


@pytest.mark.parametrize("classes", [2, 3])
def test_file_and_onnx_compute_the_recalibrated_risks(classes: int, tmp_path: Path) -> None:
    cohort = patient_cohort(300, classes)
    model = fit_recalibration(untrained_model(cohort), cohort)
    frame = patient_table(60, classes, seed=5).drop(columns="stage")
    risks = model.predict_proba(frame)
    saved = load_model(save_model(model, tmp_path / "m.safetensors"))
    np.testing.assert_allclose(saved.predict_proba(frame), risks, atol=1e-7)
    np.testing.assert_allclose(onnx_risks(onnx_bytes(model), model.preparation, frame), risks, atol=1e-5)


def test_an_external_table_has_no_tuning_patients() -> None:
    cohort = patient_cohort(200)
    model = untrained_model(cohort)
    other = load_cohort(
        patient_table(100, seed=4), outcome="stage", external=True, classes=model.classes,
        features=model.preparation.features,
    )  # fmt: skip
    with pytest.raises(BadInput, match="Recalibration takes tuning patients"):
        fit_recalibration(model, other)


# --- class weights ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rare() -> Cohort:
    return rare_cohort()


@pytest.fixture(scope="module")
def weighted(rare: Cohort) -> RiskModel:
    return train(rare, MLP((8, 4)), schedule=WEIGHTED)


def test_weights_distort_and_the_model_comes_recalibrated(rare: Cohort, weighted: RiskModel) -> None:
    raw = replace(weighted, recalibration=Recalibration())
    assert in_the_large(raw, rare)[1] > 0.1  # the rare outcome's risks are far too high
    np.testing.assert_allclose(in_the_large(weighted, rare), 0, atol=1e-7)
    assert tuning_auroc(raw, rare) == tuning_auroc(weighted, rare)


def test_without_weights_the_dense_model_is_raw_and_what_is_pruned_recalibrated(rare: Cohort) -> None:
    plain = train(rare, MLP((8, 4)), schedule=replace(WEIGHTED, class_weights="none"))
    assert plain.recalibration.is_identity
    path = prune(plain, rare, sparsities=(0.5,))
    assert path.dense.model is plain
    assert not path.dense.is_recalibrated
    assert not path.candidates[1].model.recalibration.is_identity
    without = prune(plain, rare, sparsities=(0.5,), recalibrate=False)
    assert all(candidate.model.recalibration.is_identity for candidate in without)


# --- every candidate --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(rare: Cohort) -> RiskModel:
    return train(rare, MLP((6, 4)), schedule=Schedule(epochs=25, patience=10))


def test_acting_at_another_risk_keeps_the_recalibration(rare: Cohort, plain: RiskModel) -> None:
    path = prune(plain, rare, sparsities=(0.5, 0.9), schedule=SHORT)
    again = acting_at(path, rare, 0.2)
    assert again.dense.model.recalibration.is_identity
    assert again.recalibrated
    for before, after in zip(path, again, strict=True):
        assert after.model.recalibration == before.model.recalibration
        assert after.raw.recalibration == before.raw.recalibration
        assert after.performance.brier == before.performance.brier
        assert after.raw_performance.brier == before.raw_performance.brier
        assert after.raw.act_at == after.model.act_at == 0.2
    tuning = rare.tuning.outcome
    last = again.candidates[-1]
    risks = last.raw.risks_of(last.raw.prepared(rare.tuning))
    assert last.raw_performance == performance(tuning, risks, 0.2)


def test_what_leaves_computes_the_recalibrated_risks(rare: Cohort, plain: RiskModel, tmp_path: Path) -> None:
    candidate = prune(plain, rare, sparsities=(0.9,), schedule=Schedule(epochs=0)).candidates[1]
    assert not candidate.model.recalibration.is_identity
    bundle = export(candidate, None, tmp_path / "b")
    frame = patient_table(50, seed=9).drop(columns="stage")
    risks = candidate.model.predict_proba(frame)
    assert np.abs(risks - candidate.raw.predict_proba(frame)).max() > 0.01
    np.testing.assert_allclose(bundle.predict_proba(frame), risks, atol=1e-5)
    onnx = (tmp_path / "b" / "model.onnx").read_bytes()
    np.testing.assert_allclose(onnx_risks(onnx, candidate.model.preparation, frame), risks, atol=1e-5)
    assert compact(candidate.model).recalibration == candidate.model.recalibration


def test_a_hard_cut_gets_its_slope_back() -> None:
    """Half of the weights gone without retraining, the logits are shrunk: on patients who had no say too."""
    cohort = patient_cohort(3_000)
    model = train(cohort, MLP((12,)), schedule=Schedule(epochs=30))
    path = prune(model, cohort, "magnitude", sparsities=(0.9,), schedule=Schedule(epochs=0))
    candidate, test = path.candidates[1], cohort.test
    event = test.outcome == 1
    raw, right = (
        calibration(event, one.risks_of(one.prepared(test))[:, 1]) for one in (candidate.raw, candidate.model)
    )
    assert raw.slope.value > 1.3
    assert abs(np.log(right.slope.value)) < abs(np.log(raw.slope.value)) / 2
    assert abs(right.in_the_large.value) < abs(raw.in_the_large.value)


def test_a_regression_has_nothing_of_the_dense_models_recalibration(
    rare: Cohort, weighted: RiskModel
) -> None:
    path = prune(weighted, rare, "l1_logistic", penalties=4)
    assert not weighted.recalibration.is_identity
    for candidate in path.candidates[1:]:
        assert candidate.raw.recalibration.is_identity
        assert candidate.is_recalibrated
        np.testing.assert_allclose(in_the_large(candidate.model, rare), 0, atol=1e-7)


def test_raw_is_the_dense_ones_recalibration_where_that_came_with_one(
    rare: Cohort, weighted: RiskModel
) -> None:
    path = prune(weighted, rare, sparsities=(0.5,), schedule=SHORT)
    assert path.dense.raw is not None
    assert not path.dense.is_recalibrated
    assert path.candidates[1].raw.recalibration == weighted.recalibration


def test_folds_fit_on_their_own_tuning_never_on_who_is_scored(
    rare: Cohort, plain: RiskModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def watched(model: RiskModel, cohort: Cohort, *args: Any, **how: Any) -> Any:
        path = prune(model, cohort, *args, **how)
        seen.append((cohort, path))
        return path

    monkeypatch.setattr("medprune.cross_validation.prune", watched)
    how = Validation(folds=2, schedule=SHORT, processes=1)
    fixed = {"how": how, "sparsities": (0.5, 0.9), "schedule": SHORT}
    found = cross_validate(plain, rare, **fixed)
    assert len(seen) == 2
    for cohort, path in seen:
        assert path.dense.model.recalibration.is_identity
        for candidate in path.candidates[1:]:
            np.testing.assert_allclose(in_the_large(candidate.model, cohort), 0, atol=1e-7)
            held_out = candidate.model.risks_of(candidate.model.prepared(cohort.test))[:, 1].mean()
            assert held_out != pytest.approx(cohort.test.outcome.mean(), abs=1e-4)
    raw = cross_validate(plain, rare, recalibrate=False, **fixed)
    assert all(one.model.recalibration.is_identity for _, path in seen[2:] for one in path)
    same, other = raw.table, found.table
    np.testing.assert_allclose(same["mean"], other["mean"], atol=1e-12)  # AUROC of two classes
    assert not np.allclose(raw.held_out["brier"], found.held_out["brier"])


def test_no_recalibration_at_the_shell(
    rare: Cohort, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    everyone = rare.all()
    everyone.frame.assign(stage=everyone.outcome).to_csv(tmp_path / "p.csv", index=False)
    asked = (
        "prune", str(tmp_path / "p.csv"), "--outcome", "stage", "--hidden", "6", "--sparsity", "0.9",
        "--out", str(tmp_path / "b"),
    )  # fmt: skip
    assert cli.main([*asked]) == 0
    assert "Its risks were set right on tuning patients (slope" in capsys.readouterr().out
    assert not load_bundle(tmp_path / "b").model.recalibration.is_identity
    assert cli.main([*asked, "--no-recalibration", "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["recalibration"] == {"fitted": False, "slope": 1.0, "intercepts": []}
    assert found["pruned_raw"] == found["pruned"]
    assert load_bundle(tmp_path / "b").model.recalibration.is_identity
    record = json.loads((tmp_path / "b" / "provenance.json").read_text())
    assert record["recalibrate"] is False
    assert record["recalibration"] == found["recalibration"]


# --- class weights and paths ------------------------------------------------------------------------

WALKS: dict[str, dict[str, Any]] = {
    "contribution": {"sparsities": (0.5, 0.9)},
    "genetic": {"population": 4, "generations": 1},
    "gradient": {},
    "greedy": {},
    "performance": {},
    "small_network": {"sparsities": (0.5,), "starts": 1},
    "random_search": {"models": 4},
}


@pytest.mark.parametrize("strategy", WALKS)
def test_whatever_is_pruned_from_a_weighted_model_is_recalibrated(
    strategy: str, rare: Cohort, weighted: RiskModel
) -> None:
    path = prune(weighted, rare, strategy, granularity="neuron", schedule=SHORT, **WALKS[strategy])
    assert path.dense.model.recalibration == weighted.recalibration
    smaller = path.candidates[1:]
    assert smaller
    for candidate in smaller:
        assert candidate.model.recalibration != weighted.recalibration
        np.testing.assert_allclose(in_the_large(candidate.model, rare), 0, atol=1e-6)


def test_a_recalibrated_model_stays_so_on_a_path_without_weights(rare: Cohort) -> None:
    model = fit_recalibration(untrained_model(rare), rare)
    path = prune(model, rare, sparsities=(0.5, 0.9), schedule=SHORT)
    for candidate in path.candidates[1:]:
        assert candidate.model.recalibration != model.recalibration
        np.testing.assert_allclose(in_the_large(candidate.model, rare), 0, atol=1e-6)


def test_weights_may_be_asked_for_on_the_path_alone(rare: Cohort) -> None:
    model = untrained_model(rare)
    how = replace(SHORT, class_weights="balanced")
    path = prune(model, rare, sparsities=(0.5,), schedule=how)
    assert path.dense.model.recalibration.is_identity
    np.testing.assert_allclose(in_the_large(path.candidates[1].model, rare), 0, atol=1e-6)


def test_folds_train_as_the_model_was_trained(rare: Cohort, weighted: RiskModel) -> None:
    fold = like(weighted, rare, SHORT, seed=3)
    assert not fold.recalibration.is_identity
    assert like(untrained_model(rare), rare, SHORT, seed=3).recalibration.is_identity


@pytest.mark.parametrize("norm", ["none", "layer"])
def test_a_stack_weighs_as_training_alone_does(norm: str, rare: Cohort) -> None:
    model = untrained_model(rare, MLP((9, 5), "gelu", norm, 0.1))
    data = prepare(model.preparation, rare.train), prepare(model.preparation, rare.tuning)
    how = replace(SHORT, class_weights="balanced")
    stacked = retrain_many([model] * 3, *data, schedule=how, seeds=range(3))
    for seed, one in enumerate(stacked):
        alone = retrain(model, *data, schedule=how, seed=seed)
        np.testing.assert_allclose(
            logits_of(one.network, data[1].columns, None),
            logits_of(alone.network, data[1].columns, None),
            atol=1e-4,
        )
        assert one.recalibration.slope == pytest.approx(alone.recalibration.slope, rel=1e-3)
        plain = retrain(model, *data, schedule=SHORT, seed=seed)
        assert not torch.equal(plain.network.layers[0].weight, alone.network.layers[0].weight)


def test_weighted_and_plain_members_share_a_stack(rare: Cohort, weighted: RiskModel) -> None:
    """Company changes not a bit: who is weighted is each member's own matter."""
    model = replace(weighted, origin=replace(weighted.origin, training=None), recalibration=Recalibration())
    data = prepare(model.preparation, rare.train), prepare(model.preparation, rare.tuning)
    alone = [retrain_many([one], *data, schedule=SHORT, seeds=[1])[0] for one in (model, weighted)]
    [together] = retrain_all([Training([model, weighted], *data, SHORT, [1, 1])])
    for one, other in zip(alone, together, strict=True):
        assert torch.equal(one.network.layers[0].weight, other.network.layers[0].weight)
        assert one.recalibration == other.recalibration
    assert alone[0].recalibration.is_identity
    assert not alone[1].recalibration.is_identity


def test_the_weights_are_the_models_own_matter_after_saving(
    weighted: RiskModel, rare: Cohort, tmp_path: Path
) -> None:
    loaded = load_model(save_model(weighted, tmp_path / "m.safetensors"), rare)
    problem = Problem.of(loaded, rare, "weight", seed=0)
    [again] = problem.evaluator.retrained([loaded], SHORT)
    np.testing.assert_allclose(in_the_large(again, rare), 0, atol=1e-6)


def test_weights_without_recalibration_cannot_be_had(rare: Cohort) -> None:
    with pytest.raises(BadInput, match="only together with a recalibration"):
        train(rare, ResidualMLP(), schedule=WEIGHTED)
    with pytest.raises(BadInput, match="Class weights must be none or balanced"):
        Schedule(class_weights="heavy")  # type: ignore[arg-type]
    for seed in range(3):
        made = train(rare, MLP((4,)), schedule=replace(WEIGHTED, epochs=seed), seed=seed)
        assert not made.recalibration.is_identity


# --- the shell --------------------------------------------------------------------------------------


def test_class_weights_at_the_shell(rare: Cohort, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    everyone = rare.all()
    table = everyone.frame.assign(stage=everyone.outcome)
    table.to_csv(tmp_path / "p.csv", index=False)
    on = (str(tmp_path / "p.csv"), "--outcome", "stage", "--class-weights", "balanced")
    model, bundle = str(tmp_path / "m.safetensors"), str(tmp_path / "bundle")
    assert cli.main(["train", *on, "--hidden", "6", "--out", model]) == 0
    assert "recalibrated on tuning patients" in capsys.readouterr().out
    weighted = load_model(model)
    assert not weighted.recalibration.is_identity
    again = ("--model", model, "--strategy", "contribution", "--sparsity", "0.5")
    assert cli.main(["prune", *on[:3], *again, "--out", bundle, "--quiet"]) == 0
    pruned = load_bundle(bundle).model
    assert not pruned.recalibration.is_identity
    assert pruned.recalibration != weighted.recalibration
    capsys.readouterr()
    logistic = ("--strategy", "l1_logistic", "--granularity", "feature", "--out", bundle)
    assert cli.main(["prune", *on, *logistic, "--quiet"]) == 2
    assert "trains no network, so it takes no class weights" in capsys.readouterr().err


def test_class_weights_for_the_path_of_a_plain_model(rare: Cohort, tmp_path: Path) -> None:
    everyone = rare.all()
    everyone.frame.assign(stage=everyone.outcome).to_csv(tmp_path / "p.csv", index=False)
    on = (str(tmp_path / "p.csv"), "--outcome", "stage")
    model, bundle = str(tmp_path / "m.safetensors"), str(tmp_path / "bundle")
    assert cli.main(["train", *on, "--hidden", "6", "--out", model, "--quiet"]) == 0
    assert load_model(model).recalibration.is_identity
    more = ("--model", model, "--class-weights", "balanced", "--sparsity", "0.5", "--out", bundle, "--quiet")
    assert cli.main(["prune", *on, *more]) == 0
    assert not load_bundle(bundle).model.recalibration.is_identity
