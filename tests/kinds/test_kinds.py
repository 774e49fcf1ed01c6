"""What single kinds and the engine around them promise beyond the contract."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import nn

from medprune.criteria import CRITERIA
from medprune.errors import BadInput
from medprune.kinds import (
    Arrays,
    Groups,
    Keeping,
    KindNetwork,
    KindSpec,
    LayerKind,
    Parts,
    Place,
    Stream,
    check_untied,
    compact_kind,
    fit_kind,
    initial,
    logits_of,
    prune_kind,
    risks_of,
    score_kind,
    tied,
)
from medprune.kinds.compaction import alive_weights
from medprune.kinds.scoring import sum_scores as sum_kind
from medprune.network import MLP
from medprune.performance import auroc
from medprune.scoring import sum_scores
from medprune.training import Prepared, Schedule
from tests.kinds import simulate
from tests.kinds.makers import EXAMPLES, layer, random_mask
from tests.makers import patient_cohort, untrained_model

HEAD = layer("linear", width=2, activation="identity")
SHORT = Schedule(epochs=25, patience=10, learning_rate=1e-2, weight_decay=0.01)


@pytest.mark.parametrize("criterion", ["contribution", "class_contribution", "taylor"])
def test_plain_layers_score_as_the_plain_network_does(criterion: str) -> None:
    """Per-patient gradients and the outer-product identity are two ways to the same numbers."""
    cohort = patient_cohort()
    model = untrained_model(cohort, MLP(hidden=(5, 4), activation="tanh", dropout=0.0))
    columns, outcome = model.prepared(cohort.train), cohort.train.outcome
    layers = [layer("linear", width=width, activation="tanh") for width in (5, 4)]
    network = KindNetwork(KindSpec("columns", columns.shape[1], (*layers, HEAD)))
    values = [value for old in model.network.layers for value in (old.weight, old.bias)]
    network.load_state_dict(dict(zip(network.state_dict(), values, strict=True)))
    np.testing.assert_allclose(risks_of(network, columns), model.risks_of(columns), atol=1e-6)
    found = score_kind(network, Arrays(columns, outcome), criterion)
    sums = sum_scores(model, Prepared(columns, outcome), CRITERIA.make(criterion))
    patients = float(sums.patients.sum())
    for mine, old in zip(found.weights.values(), sums.scores.weights, strict=True):
        np.testing.assert_allclose(mine, old.sum(dim=0).numpy() / patients, rtol=1e-4, atol=1e-7)
    for place, old in enumerate(sums.scores.units, start=1):
        mine = found.groups[f"linear_{place}.units"]
        np.testing.assert_allclose(mine, old.sum(dim=0).numpy() / patients, rtol=1e-4, atol=1e-7)


def test_the_gru_is_torchs_own() -> None:
    network = KindNetwork(KindSpec("sequence", 3, (layer("gru", width=4), layer("pool", how="last"), HEAD)))
    theirs = nn.GRU(3, 4, batch_first=True)
    hears, recalls = network.gru_1["hears"], network.gru_1["recalls"]
    with torch.no_grad():
        for mine, other in (
            (hears.weight, theirs.weight_ih_l0),
            (hears.bias, theirs.bias_ih_l0),
            (recalls.weight, theirs.weight_hh_l0),
            (recalls.bias, theirs.bias_hh_l0),
        ):
            mine.copy_(other)
    x = torch.randn(5, 9, 3)
    kind, place, parts = network.rows()[0]
    torch.testing.assert_close(kind.run(place, parts, x, Keeping()), theirs(x)[0])


def test_attention_is_torchs_own() -> None:
    example = EXAMPLES["transformer of numbers"]
    network = example.network()
    kind, place, parts = network.rows()[1]
    theirs = nn.MultiheadAttention(4, 2, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([parts[name].weight for name in ("query", "key", "value")]))
        theirs.in_proj_bias.copy_(torch.cat([parts[name].bias for name in ("query", "key", "value")]))
        theirs.out_proj.load_state_dict(parts["back"].state_dict())
    x = torch.randn(5, 6, 4)
    h = parts["norm"](x)
    torch.testing.assert_close(
        kind.run(place, parts, x, Keeping()), x + theirs(h, h, h, need_weights=False)[0]
    )


def test_a_closed_gate_is_removal() -> None:
    """A gate of 0 gives what the mask gives, for tokens too: the slope is of the path that leads there."""
    for name in ("transformer", "gru", "conv1d", "embeddings"):
        network, data = EXAMPLES[name].network(), EXAMPLES[name].patients(0, 5)
        x, full = torch.from_numpy(data.inputs), network.full_mask()
        inputs = torch.ones_like(full.groups["inputs"])
        inputs[1] = False
        removed = full.keeping_groups({"inputs": inputs}, {})
        gates = {key: kept.float() for key, kept in removed.groups.items()}
        torch.testing.assert_close(network(x, Keeping(full, gates=gates)), network.logits(x, removed))


def test_channels_behind_zeros_go_only_for_zero() -> None:
    layers = (layer("conv1d", channels=4), layer("conv1d", channels=3, padding="zeros"), layer("pool"), HEAD)
    network, data = initial(KindSpec("sequence", 4, layers), 0), simulate.vital_signs(60)
    full = network.full_mask()
    kept = torch.tensor([True, False, True, True])
    bad = full.keeping_groups({"conv1d_1.channels": kept}, {"conv1d_1.channels": torch.ones(4)})
    with pytest.raises(BadInput, match="'conv1d_2' pads with zeros"):
        compact_kind(network, bad)
    good = full.keeping_groups({"conv1d_1.channels": kept}, {"conv1d_1.channels": torch.zeros(4)})
    small = compact_kind(network, good)
    torch.testing.assert_close(
        logits_of(small.network, data.inputs), logits_of(network, data.inputs, good), atol=1e-5, rtol=1e-5
    )
    path = list(prune_kind(network, data, data, granularity="neuron", sparsities=(0.5,), schedule=SHORT))
    assert path[-1].refused is None  # its own constants are such that it can be proven
    assert path[-1].stored < path[0].stored


def test_tied_weights_are_refused_with_the_layers_names() -> None:
    shared = nn.Linear(3, 3)
    assert tied(nn.Sequential(shared, nn.ReLU(), shared)) == [
        ("0.weight", "2.weight"),
        ("0.bias", "2.bias"),
    ]
    check_untied(nn.Sequential(shared, nn.Linear(3, 3)))
    layers = (layer("linear", width=4), layer("linear", width=4), layer("linear", width=4), HEAD)
    network, data = initial(KindSpec("columns", 5, layers), 0), simulate.numbers(20)
    network.linear_3["linear"].weight = network.linear_2["linear"].weight
    sentence = "'linear_2.linear.weight' and 'linear_3.linear.weight'"
    for work in (
        lambda: score_kind(network, data),
        lambda: fit_kind(network, data, data),
        lambda: list(prune_kind(network, data, data)),
        lambda: compact_kind(network, network.full_mask()),
    ):
        with pytest.raises(BadInput, match=sentence):
            work()
    network.linear_3["linear"].weight = nn.Parameter(network.linear_2["linear"].weight.data)  # same memory
    with pytest.raises(BadInput, match=sentence):
        score_kind(network, data)


@pytest.mark.parametrize(
    ("shape", "layers", "sentence"),
    [
        ("columns", (layer("conv1d"), HEAD), "'conv1d_1' takes sequence, but columns comes in"),
        ("columns", (layer("residual"), HEAD), "'residual_1' would add to the patients' own values"),
        (
            "columns",
            (layer("embeddings", categories=(3,)), layer("residual"), HEAD),
            "'residual_2' would add to the patients' own values",
        ),
        ("columns", (layer("linear"), layer("tokenizer"), HEAD), "'tokenizer_2' reads the inputs one by one"),
        ("columns", (layer("embeddings", categories=(2,) * 9), HEAD), "'embeddings_1' has 9 code columns"),
        ("sequence", (layer("conv1d"), HEAD), "'linear_2' is the last one and gives sequence"),
        ("columns", (HEAD, layer("residual")), "'residual_2' is the last one and only adds"),
        ("images", (HEAD,), "A network takes columns or a sequence"),
        ("columns", (), "needs from 1 to 256 layers"),
    ],
)
def test_layers_that_do_not_fit_are_named(shape: str, layers: tuple, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        KindSpec(shape, 5, layers)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({}, "A network's spec needs"),
        ({"shape": "columns", "inputs": 3, "layers": [{"width": 2}]}, "A network's spec needs"),
        ({"shape": "columns", "inputs": 3, "layers": [{"kind": "lineer"}]}, "did you mean 'linear'"),
        ({"shape": "columns", "inputs": 3, "layers": [{"kind": "linear", "widht": 2}]}, "does not take"),
        ({"shape": "columns", "inputs": 3, "layers": [{"kind": "linear", "width": "2"}]}, "Width"),
        ({"shape": "columns", "inputs": 3, "layers": [{"kind": "linear", "width": 0}]}, "Width"),
        ({"shape": "columns", "inputs": 3, "layers": [{"kind": "linear", "dropout": 2.0}]}, "Dropout"),
        ({"shape": "columns", "inputs": 3, "layers": [{"kind": "linear", "norm": "x"}]}, "Normalisation"),
        ({"shape": "columns", "inputs": True, "layers": [{"kind": "linear"}]}, "inputs"),
        (
            {"shape": "columns", "inputs": 3, "layers": [{"kind": "embeddings", "categories": [0]}]},
            "Categories",
        ),
        (
            {
                "shape": "columns",
                "inputs": 3,
                "layers": [{"kind": "embeddings", "categories": [3], "widths": [1, 2]}],
            },
            "as many widths",
        ),
    ],
)
def test_a_bad_spec_is_one_sentence(value: dict, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        KindSpec.from_json(value)


def test_bad_arrays_are_one_sentence() -> None:
    network, data = EXAMPLES["embeddings"].network(), simulate.table(20)
    too_many, missing, odd = (data.inputs.copy() for _ in range(3))
    too_many[3, 4], missing[0, 0], odd[0, 3] = 3, np.nan, 0.5
    for inputs, sentence in (
        (data.inputs[:, :4], "with 5 columns, got one of 20 x 4"),
        (data.inputs[:0], "no patient"),
        (missing, "not finite"),
        (too_many, "codes in 'column 5'"),
        (odd, "codes in 'column 4'"),
    ):
        with pytest.raises(BadInput, match=sentence):
            risks_of(network, inputs)
    with pytest.raises(BadInput, match="from 0 to 1"):
        score_kind(network, replace(data, outcome=data.outcome + 1))
    with pytest.raises(BadInput, match="whole numbers, one a patient"):
        score_kind(network, replace(data, outcome=data.outcome[:5]))
    with pytest.raises(BadInput, match="cannot be scored by 'lrp'"):
        score_kind(network, data, "lrp")
    windows = KindSpec("sequence", 2, (layer("conv1d", kernel=9, padding="none"), layer("pool"), HEAD))
    with pytest.raises(BadInput, match="'conv1d_1' needs at least 9 points in time, got 6"):
        risks_of(initial(windows, 0), np.zeros((3, 6, 2), dtype=np.float32))


def test_the_path_finds_the_channels_that_matter() -> None:
    """Of four vital signs two carry the outcome; a path over channels keeps those to the end."""
    data = simulate.vital_signs(300, time=12)
    train, tuning = simulate.part(data, 0, 200), simulate.part(data, 200, 300)
    layers = (layer("conv1d", channels=6), layer("pool", how="max"), HEAD)
    network = fit_kind(initial(KindSpec("sequence", 4, layers), 0), train, tuning, schedule=SHORT)
    path = list(prune_kind(network, train, tuning, granularity="feature", schedule=SHORT))
    two_left = next(candidate for candidate in path if candidate.inputs == 2)
    assert two_left.mask.groups["inputs"].tolist() == [True, True, False, False]
    assert two_left.performance.auroc > 0.85
    assert path[-1].inputs == 1


def test_sums_of_two_hospitals_merge() -> None:
    network, data = EXAMPLES["gru"].network(), EXAMPLES["gru"].patients(0, 12)
    full = network.full_mask()
    parts = [simulate.part(data, 0, 5), simulate.part(data, 5, 12)]
    first, second = (sum_kind(network, part, "contribution", full, torch.arange(4)) for part in parts)
    merged, whole = first.merge(second).scores("contribution"), score_kind(network, data)
    for name, value in whole.weights.items():
        np.testing.assert_allclose(merged.weights[name], value, rtol=1e-5, atol=1e-9)
    for name, value in whole.groups_by_class.items():
        np.testing.assert_allclose(merged.groups_by_class[name], value, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("name", ["conv1d", "gru", "transformer"])
def test_training_learns_what_decides_the_outcome(name: str) -> None:
    example = EXAMPLES[name]
    data = example.data(patients=300)
    train, tuning = simulate.part(data, 0, 200), simulate.part(data, 200, 300)
    network = fit_kind(initial(example.spec, 0), train, tuning, schedule=SHORT)
    assert auroc(tuning.outcome, risks_of(network, tuning.inputs)) > 0.8


def test_masks_tell_each_other_apart() -> None:
    network = EXAMPLES["conv1d"].network()
    one, other = random_mask(network, 0), random_mask(network, 1)
    assert one.same_as(random_mask(network, 0))
    assert one.digest() == random_mask(network, 0).digest() != other.digest()
    assert one.within(network.full_mask())
    assert not network.full_mask().within(one)


@pytest.mark.parametrize("name", ["linear", "transformer of numbers"])
def test_inputs_of_one_feature_go_together(name: str) -> None:
    network, data = EXAMPLES[name].network(), EXAMPLES[name].patients(0, 40)
    features = np.array([0, 1, 1, 2, 1])
    alone = score_kind(network, data, features=np.arange(5)).groups["inputs"]
    together = score_kind(network, data, features=features).groups["inputs"]
    np.testing.assert_allclose(together[[0, 2]], alone[[0, 3]], rtol=1e-5)
    assert together[1] < alone[[1, 2, 4]].sum()  # their slopes are added before their size is taken
    path = list(
        prune_kind(network, data, data, granularity="feature", features=features, schedule=Schedule(epochs=1))
    )
    assert [round(candidate.sparsity * 3) for candidate in path] == [0, 1, 2]
    for candidate in path:
        kept = candidate.mask.groups["inputs"].numpy()
        assert kept[1] == kept[2] == kept[4]
    for wrong, sentence in ((np.zeros(4, dtype=int), "one an input"), (np.array([0, 2, 2, 0, 3]), "gap")):
        with pytest.raises(BadInput, match=sentence):
            score_kind(network, data, features=wrong)


def test_a_path_goes_on_from_what_is_gone() -> None:
    network, data = EXAMPLES["gru"].network(), EXAMPLES["gru"].patients(0, 60)
    quick = Schedule(epochs=1)
    *_, units = prune_kind(network, data, data, granularity="neuron", sparsities=(0.4,), schedule=quick)
    *_, weights = prune_kind(units.network, data, data, mask=units.mask, sparsities=(0.8,), schedule=quick)
    assert weights.mask.within(units.mask)
    assert weights.stored <= units.stored < network.stored()
    assert weights.parameters < units.parameters
    # What the removed units' constants say to the others is no weight any more, and stays.
    full = network.full_mask()
    gone = full.keeping_groups(units.mask.groups, {})
    alive = alive_weights(network, gone)
    assert not alive["gru_1.recalls.weight"][:, ~units.mask.groups["gru_1.units"]].any()
    assert weights.mask.weights["gru_1.recalls.weight"][:, ~units.mask.groups["gru_1.units"]].all()


@dataclass(frozen=True)
class Scale(LayerKind):
    """A new kind in its shortest form: one learned factor a unit. It does not say how it becomes compact."""

    name = "scale"

    def out(self, place: Place) -> Stream:
        return replace(place.stream, groups=place.own("units"), raw=False)

    def groups(self, place: Place) -> tuple[Groups, ...]:
        return (Groups(place.own("units"), place.stream.width),)

    def weights(self) -> tuple[str, ...]:
        return ("factors.weight",)

    def build(self, place: Place) -> Parts:
        return Parts({"factors": nn.Embedding(1, place.stream.width)})

    def run(self, place: Place, parts: Parts, x: torch.Tensor, keep: Keeping) -> torch.Tensor:
        return keep.or_constant(place.own("units"), torch.tanh(x * parts["factors"].weight[0]))


def test_a_kind_without_compaction_works_and_is_refused_by_name() -> None:
    data = simulate.numbers(120)
    spec = KindSpec("columns", 5, (layer("linear", width=6), Scale(), HEAD))
    network = fit_kind(initial(spec, 0), data, data, schedule=SHORT)
    full = network.full_mask()
    assert auroc(data.outcome, risks_of(network, data.inputs)) > 0.75
    scores = score_kind(network, data)
    assert scores.weights["scale_2.factors.weight"].shape == (1, 6)
    assert (scores.groups["scale_2.units"] > 0).any()
    same = compact_kind(network, full)  # nothing is removed from it
    torch.testing.assert_close(logits_of(same.network, data.inputs), logits_of(network, data.inputs))
    dense, *path = prune_kind(network, data, data, granularity="neuron", sparsities=(0.5,), schedule=SHORT)
    assert dense.refused is None
    assert path[0].refused is not None
    assert "'scale_2'" in path[0].refused
    assert path[0].stored == network.stored()
    with pytest.raises(
        BadInput, match="Layer 'scale_2' is of the kind 'scale', which cannot be made compact"
    ):
        compact_kind(path[0].network, path[0].mask)
