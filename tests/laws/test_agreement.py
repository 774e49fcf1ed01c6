"""Scores against true removal: the law of the method's section 5, and how it is measured."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from medprune import MLP, BadInput, Cohort, RiskModel, Schedule, agreement, score, train
from medprune.removal import mask_of, mean_activations
from tests.makers import patient_cohort, random_mask, untrained_model


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return patient_cohort(rows=400)


@pytest.fixture(scope="module")
def model(cohort: Cohort) -> RiskModel:
    return train(cohort, MLP(hidden=(8, 6), dropout=0.0), seed=1)


def own(model: RiskModel, cohort: Cohort, effect: str) -> np.ndarray:
    """Every patient's risk of the true class, or loss."""
    outcome = cohort.train.outcome
    risk = model.predict_proba(cohort.train.frame)[np.arange(len(outcome)), outcome]
    return risk if effect == "risk" else -np.log(risk)


@pytest.mark.parametrize("criterion", ["contribution", "taylor"])
def test_scores_agree_with_true_ablation_on_a_trained_network(
    cohort: Cohort, model: RiskModel, criterion: str
) -> None:
    """Against the mean absolute change of each patient's own probability (or loss), not of the mean loss."""
    scored = score(model, cohort.train, criterion)
    every = agreement(model, cohort.train, scored, sample=10_000)
    assert every.count == every.of == mask_of(model).total_weights()
    assert every.spearman >= 0.95
    sampled = agreement(model, cohort.train, scored, sample=80)
    assert sampled.count == 80
    assert sampled.spearman >= 0.95
    assert sampled.effect == {"contribution": "risk", "taylor": "loss"}[criterion]


def test_chance_agrees_with_nothing(cohort: Cohort, model: RiskModel) -> None:
    found = agreement(model, cohort.train, score(model, cohort.train, "random"))
    assert abs(found.spearman) < 0.3


@pytest.mark.parametrize("criterion", ["contribution", "taylor"])
def test_a_weights_change_is_that_of_a_network_without_it(
    cohort: Cohort, model: RiskModel, criterion: str
) -> None:
    found = agreement(model, cohort.train, score(model, cohort.train, criterion), sample=12)
    names = list(model.network.layer_names())
    before = own(model, cohort, found.effect)
    for at in found.table.itertuples():
        other = copy.deepcopy(model.network)
        with torch.no_grad():
            other.layers[names.index(at.layer)].weight[at.row, at.column] = 0.0
        after = own(replace(model, network=other), cohort, found.effect)
        assert at.change == pytest.approx(np.abs(after - before).mean(), rel=1e-2, abs=1e-6)


def test_neurons_and_features_are_removed_as_pruning_removes_them(cohort: Cohort, model: RiskModel) -> None:
    scored, before = score(model, cohort.train), own(model, cohort, "risk")
    neurons = agreement(model, cohort.train, scored, granularity="neuron")
    assert neurons.count == 14
    means = mean_activations(model, model.prepared(cohort.train))
    at = neurons.table.iloc[3]
    mask = mask_of(model)
    units = tuple(part.clone() for part in mask.units)
    units[0][at["row"]] = False
    without = replace(model, mask=replace(mask, units=units, unit_constants=tuple(means)))
    change = np.abs(own(without, cohort, "risk") - before).mean()
    assert at["change"] == pytest.approx(change, rel=1e-3, abs=1e-7)
    features = agreement(model, cohort.train, scored, granularity="feature")
    for at in features.table.itertuples():
        unknown = cohort.train.frame.assign(**{at.name: None if at.name in ("sex", "ward") else np.nan})
        risks = model.predict_proba(unknown)[np.arange(len(unknown)), cohort.train.outcome]
        assert at.change == pytest.approx(np.abs(risks - before).mean(), rel=1e-3, abs=1e-6)


def test_the_sample_is_spread_over_the_scores_and_comes_from_the_seed(
    cohort: Cohort, model: RiskModel
) -> None:
    scored = score(model, cohort.train)
    dull = tuple(np.where(s < np.quantile(s, 0.8), 0.0, s) for s in scored.weight_scores)
    scored = replace(scored, weight_scores=dull)
    first, again, other = (
        agreement(model, cohort.train, scored, sample=20, seed=seed).table for seed in (0, 0, 1)
    )
    assert first.equals(again)
    assert not first["name"].equals(other["name"])
    assert first["name"].is_unique
    assert (first["score"] > 0).sum() == 18, "most of the scores are 0, few of the sample"


def test_what_is_removed_already_is_not_removed_again(cohort: Cohort) -> None:
    model = untrained_model(cohort)
    mask = replace(random_mask(model.network, 1, 0.6), layers=torch.ones(2, dtype=torch.bool))
    masked = replace(model, mask=mask)
    for granularity in ("weight", "neuron", "feature"):
        found = agreement(masked, cohort.train, score(masked, cohort.train), granularity=granularity)
        assert found.count <= found.of
        if granularity == "weight":
            alive = [part.numpy() for part in mask.alive_weights()]
            names = list(model.network.layer_names())
            for at in found.table.itertuples():
                assert alive[names.index(at.layer)][at.row, at.column]


def test_balanced_scores_are_held_against_balanced_changes(cohort: Cohort, model: RiskModel) -> None:
    rare = replace(cohort.train, outcome=np.where(np.arange(len(cohort.train)) < 12, 1, 0))
    plain, balanced = (
        agreement(model, rare, score(model, rare, balanced=how), sample=10_000) for how in (False, True)
    )
    assert not np.allclose(plain.table["change"], balanced.table["change"])
    assert min(plain.spearman, balanced.spearman) >= 0.95


def test_bad_requests_are_told(cohort: Cohort, model: RiskModel) -> None:
    scored = score(model, cohort.train)
    other = train(cohort, MLP(hidden=(4,)), schedule=Schedule(epochs=1))
    flat = train(cohort, MLP(hidden=()), schedule=Schedule(epochs=1))
    with pytest.raises(BadInput, match="another model"):
        agreement(other, cohort.train, scored)
    with pytest.raises(BadInput, match="at least 3"):
        agreement(model, cohort.train, scored, sample=2)
    with pytest.raises(BadInput, match="Granularity"):
        agreement(model, cohort.train, scored, granularity="layer")
    with pytest.raises(BadInput, match="no hidden layer"):
        agreement(flat, cohort.train, score(flat, cohort.train), granularity="neuron")
