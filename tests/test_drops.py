"""What a metric loses without each single group: the definition, its interval, and what is noise."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from medprune import BadInput, Cohort, RiskModel, drops, performance
from medprune.mask import Mask
from medprune.performance import METRICS
from medprune.removal import mean_activations
from medprune.scoring import GRANULARITIES
from tests.makers import patient_cohort, untrained_model


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return patient_cohort(400)


@pytest.fixture(scope="module")
def model(cohort: Cohort) -> RiskModel:
    """A network made by hand: all that it looks at is age; its second hidden unit says nothing."""
    made = untrained_model(cohort)
    age = [column.feature for column in made.preparation.columns].index("age")
    with torch.no_grad():
        for layer in made.network.layers:
            layer.weight.zero_()
            layer.bias.zero_()
        first, second, last = made.network.layers
        first.weight[0, age], first.bias[0] = 1.0, 3.0
        second.weight[0, 0] = 1.0
        last.weight[1, 0], last.bias[1] = 1.0, -3.0
    return made


def test_only_the_feature_that_is_used_is_missed(cohort: Cohort, model: RiskModel) -> None:
    found = drops(model, cohort.tuning, metric="auroc", granularity="feature")
    table = found.table.set_index("name")
    auroc = performance(cohort.tuning.outcome, model.risks_of(model.prepared(cohort.tuning))).auroc
    assert found.value == pytest.approx(auroc)
    assert table["drop"]["age"] == pytest.approx(auroc - 0.5)
    assert 0 < table["low"]["age"] <= table["drop"]["age"] <= table["high"]["age"]
    assert not table["noise"]["age"]
    others = table.drop(index="age")
    assert (others[["drop", "low", "high", "change"]] == 0).all(axis=None)
    assert others["noise"].all()


@pytest.mark.parametrize("metric", METRICS)
def test_a_drop_is_the_metric_with_less_the_metric_without(
    cohort: Cohort, model: RiskModel, metric: str
) -> None:
    """Positive is worse without, for errors too."""
    columns = model.prepared(cohort.tuning)
    mean = mean_activations(model, model.prepared(cohort.train))[0][0]
    full = Mask.full(model.network.spec.widths)
    units, constants = full.units[0].clone(), full.unit_constants[0].clone()
    units[0], constants[0] = False, mean
    mask = replace(full, units=(units, *full.units[1:]), unit_constants=(constants, *full.unit_constants[1:]))
    before, after = (
        performance(cohort.tuning.outcome, one.risks_of(columns), model.act_at)[metric]
        for one in (model, replace(model, mask=mask))
    )
    found = drops(model, cohort.tuning, metric=metric, granularity="neuron", train=cohort.train)
    sign = -1 if metric == "brier" else 1
    assert found.value == pytest.approx(before)
    assert found.table["drop"][0] == pytest.approx(sign * (before - after))
    assert (found.table["drop"][1:5] == 0).all()


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_what_is_gone_has_no_row(cohort: Cohort, model: RiskModel, granularity: str) -> None:
    full = model.network.full_mask()
    first = full.weights[0].clone()
    first[2] = False
    units, inputs = full.units[0].clone(), full.inputs.clone()
    units[1] = inputs[0] = False
    masked = replace(
        model,
        mask=replace(full, weights=(first, *full.weights[1:]), units=(units, full.units[1]), inputs=inputs),
    )
    before, after = (drops(one, cohort.tuning, granularity=granularity).table for one in (model, masked))
    gone = set(before["name"]) - set(after["name"])
    expected = {"neuron": {"hidden 1 unit 2"}, "feature": {"age"}}
    if granularity == "weight":
        assert len(before) - len(after) == int((~masked.mask.alive(0)).sum()) + 5  # and what unit 2 said
    else:
        assert gone == expected[granularity]
    assert list(after.index) == list(range(len(after)))


def test_a_permuted_feature_is_missed_too(cohort: Cohort, model: RiskModel) -> None:
    table = drops(model, cohort.tuning, permute=True, seed=3).table.set_index("name")
    again = drops(model, cohort.tuning, permute=True, seed=3).table.set_index("name")
    other = drops(model, cohort.tuning, permute=True, seed=4).table.set_index("name")
    assert table.equals(again)
    assert table["drop"]["age"] != other["drop"]["age"]
    assert table["drop"]["age"] > 0.1
    assert (table["drop"].drop("age") == 0).all()


def test_measuring_leaves_the_model_as_it_was(cohort: Cohort, model: RiskModel) -> None:
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    state = torch.get_rng_state()
    drops(model, cohort.tuning, granularity="weight")
    assert all(torch.equal(value, before[name]) for name, value in model.network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_unknown_names_are_named(cohort: Cohort, model: RiskModel) -> None:
    with pytest.raises(BadInput, match="Metric must be one of"):
        drops(model, cohort.tuning, metric="auc")
    with pytest.raises(BadInput, match="Granularity must be one of"):
        drops(model, cohort.tuning, granularity="layer")
