"""What the benchmark compares is the same network on both sides, and the toys are as they are described."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medprune import MLP, RiskModel
from tests.bench.peers import as_model, sequential
from tests.bench.toy import CLASSES, points
from tests.makers import patient_cohort, untrained_model


@pytest.fixture(scope="module")
def model() -> RiskModel:
    return untrained_model(patient_cohort(classes=3), MLP(hidden=(9, 7)))


def test_the_peer_is_given_our_network(model: RiskModel) -> None:
    x = torch.from_numpy(model.prepared(patient_cohort(classes=3).test))
    net = sequential(model.network)
    torch.testing.assert_close(net(x), model.network(x))
    net[0].weight.data.zero_()  # theirs to change, and not ours
    assert model.network.layers[0].weight.abs().sum() > 0


def test_what_the_peer_leaves_comes_back_as_it_is(model: RiskModel) -> None:
    net = sequential(model.network)
    kept = torch.tensor([0, 3, 4])
    smaller = torch.nn.Linear(net[0].in_features, 3), torch.nn.Linear(3, 7)
    smaller[0].load_state_dict({"weight": net[0].weight[kept], "bias": net[0].bias[kept]})
    smaller[1].load_state_dict({"weight": net[2].weight[:, kept], "bias": net[2].bias})
    net[0], net[2] = smaller
    back = as_model(net, model)
    assert back.network.spec.widths[1:] == (3, 7, 3)
    x = torch.from_numpy(model.prepared(patient_cohort(classes=3).test))
    torch.testing.assert_close(back.network.eval()(x), net(x))


@pytest.mark.parametrize("name", CLASSES)
def test_a_toy_has_as_many_points_of_each_class_and_a_seed_decides(name: str) -> None:
    data = points(name, 40 * CLASSES[name], seed=3)
    np.testing.assert_array_equal(np.bincount(data.outcome), [40] * CLASSES[name])
    np.testing.assert_array_equal(data.columns, points(name, 40 * CLASSES[name], seed=3).columns)
    assert (data.columns != points(name, 40 * CLASSES[name], seed=4).columns).any()
    assert np.abs(data.columns).max() < 3
