"""Law of the ablation: all removals together give what one removal at a time gives, whatever the network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medprune import MLP, RiskModel, ablation
from medprune.ablation import removals, risks_with_all
from medprune.mask import Mask
from medprune.model import Recalibration
from medprune.network import ACTIVATIONS, NORMS, NetworkSpec
from medprune.removal import alive_groups, mask_of, mean_activations
from medprune.scoring import GRANULARITIES
from tests.makers import patient_cohort, random_mask, random_network, tails, untrained_model

COHORTS = {classes: patient_cohort(80, classes) for classes in (2, 3)}
MODELS = {classes: untrained_model(cohort) for classes, cohort in COHORTS.items()}
COLUMNS = {
    classes: MODELS[classes].prepared(cohort.tuning).astype(float) for classes, cohort in COHORTS.items()
}


def without(model: RiskModel, granularity: str, layer: int, place: int, means: list[torch.Tensor]) -> Mask:
    """The mask without one group, by the definition of removal."""
    mask = mask_of(model)
    if granularity == "weight":
        weights = [part.clone() for part in mask.weights]
        weights[layer].view(-1)[place] = False
        return replace(mask, weights=tuple(weights))
    if granularity == "neuron":
        units, constants = ([part.clone() for part in parts] for parts in (mask.units, mask.unit_constants))
        units[layer][place] = False
        constants[layer][place] = means[layer][place]
        return replace(mask, units=tuple(units), unit_constants=tuple(constants))
    mine = torch.from_numpy(model.preparation.feature_of_column == place) & mask.inputs
    missing = torch.from_numpy(model.preparation.reference)
    return replace(
        mask,
        inputs=mask.inputs & ~mine,
        input_constants=torch.where(mine, missing, mask.input_constants),
    )


def made(
    seed: int, classes: int, widths: list[int], norm: str, activation: str, first: bool, kept: float
) -> RiskModel:
    """In double precision, so that a LayerNorm over two like units does not blow rounding up."""
    model = MODELS[classes]
    inputs = len(model.preparation.columns)
    spec = NetworkSpec(inputs, tails(*widths, activation=activation, norm=norm, norm_first=first), classes)
    network = random_network(spec, seed % 1_000).double()
    mask = None if kept == 1 else random_mask(network, seed, kept)
    return replace(model, network=network, mask=mask, recalibration=Recalibration(0.9, (0.2,) * classes))


models = st.builds(
    made,
    seed=st.integers(0, 2**31),
    classes=st.sampled_from([2, 3]),
    widths=st.lists(st.integers(1, 6), max_size=3),
    norm=st.sampled_from(NORMS),
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    first=st.booleans(),
    kept=st.sampled_from([0.5, 0.9, 1]),
)


def each(model: RiskModel, columns: np.ndarray, granularity: str) -> Iterator[tuple[int, int, np.ndarray]]:
    means = mean_activations(model, columns)
    for found in removals(model, columns, granularity, means):
        for place, risks in zip(found.places, found.risks, strict=True):
            yield found.layer, int(place), risks


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("chunk", [1, 1_000, 1_000_000])
@given(model=models)
@settings(max_examples=12)
def test_removals_together_equal_removals_one_by_one(model: RiskModel, granularity: str, chunk: int) -> None:
    columns = COLUMNS[len(model.classes)]
    means = mean_activations(model, columns)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ablation, "CHUNK", chunk)
        found = {(layer, place): risks for layer, place, risks in each(model, columns, granularity)}
    living = [
        (layer, int(place))
        for layer, alive in enumerate(alive_groups(model, granularity))
        for place in np.flatnonzero(alive)
    ]
    assert sorted(found) == living
    for layer, place in living:
        one = replace(model, mask=without(model, granularity, layer, place, means))
        np.testing.assert_allclose(found[layer, place], one.risks_of(columns), atol=1e-9, rtol=0)


@given(model=models)
@settings(max_examples=12)
def test_a_permuted_feature_is_that_of_other_patients(model: RiskModel) -> None:
    columns = COLUMNS[len(model.classes)]
    order = np.random.default_rng(5).permutation(len(columns))
    for found in removals(model, columns, "feature", permute=5):
        for place, risks in zip(found.places, found.risks, strict=True):
            mine = model.preparation.feature_of_column == place
            shuffled = np.where(mine, columns[order], columns)
            np.testing.assert_allclose(risks, model.risks_of(shuffled), atol=1e-9, rtol=0)


@given(model=models)
@settings(max_examples=12)
def test_the_risks_with_all_are_the_models(model: RiskModel) -> None:
    columns = COLUMNS[len(model.classes)]
    np.testing.assert_allclose(risks_with_all(model, columns), model.risks_of(columns), atol=1e-12)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_in_single_precision_they_agree_to_a_millionth(granularity: str, norm: str) -> None:
    cohort = COHORTS[2]
    model = untrained_model(cohort, MLP(hidden=(16, 12), norm=norm, dropout=0.0))
    columns = model.prepared(cohort.tuning)
    means = mean_activations(model, columns)
    for layer, place, risks in each(model, columns, granularity):
        one = replace(model, mask=without(model, granularity, layer, place, means))
        np.testing.assert_allclose(risks, one.risks_of(columns), atol=1e-6, rtol=0)


def test_a_unit_that_says_nothing_changes_nothing() -> None:
    cohort = patient_cohort()
    model = untrained_model(cohort)
    columns = model.prepared(cohort.tuning)
    silent = replace(model, network=random_network(model.network.spec, 1))
    with torch.no_grad():
        silent.network.layers[1].bias[2] = -1e6  # a ReLU that never fires
    for layer, place, risks in each(silent, columns, "neuron"):
        same = np.array_equal(risks, risks_with_all(silent, columns))
        assert same == (layer == 1 and (place == 2 or not _fires(silent, columns, place)))


def _fires(model: RiskModel, columns: np.ndarray, unit: int) -> bool:
    return bool((model.network.trace(torch.from_numpy(columns)).inputs[2][:, unit] > 0).any())
