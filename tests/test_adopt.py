"""A network from elsewhere gives the risks it gave in PyTorch, or a sentence says what is missing."""

from __future__ import annotations

import io
import json
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medprune import BadInput, Cohort, RiskModel, load_cohort
from medprune.intake.adopt import Adoption, adopt_model, inferred_widths, read_constants
from medprune.intake.tensor_file import TensorFile, read_tensors
from tests.makers import patient_table

COLUMNS = ("age", "visit", "noise", "lactate")
ACTIVATIONS = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "identity": nn.Identity,
}


def table(classes: int = 2) -> pd.DataFrame:
    """Numbers alone, without missing values, as a plain network needs them."""
    frame = patient_table(120, classes)
    frame["visit"] -= 20_200_000
    return frame.assign(lactate=frame["lactate"].fillna(1.5))[[*COLUMNS, "stage"]]


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return load_cohort(table(), outcome="stage")


@pytest.fixture(scope="module")
def four_classes() -> Cohort:
    return load_cohort(table(4), outcome="stage")


def trained(net: nn.Module) -> nn.Module:
    """As after training: biases, scales and running statistics that matter."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 2.0, generator=generator)
            elif name.endswith("num_batches_tracked"):
                value.fill_(7)
            elif value.dim() == 1:
                value.normal_(0.3, 0.5, generator=generator)
            else:
                value.normal_(0, 1.5 / value.shape[1] ** 0.5, generator=generator)
    return net.eval()


def as_state_dict(net: nn.Module) -> TensorFile:
    out = io.BytesIO()
    torch.save(net.state_dict(), out)
    return read_tensors(out.getvalue(), name="theirs.pt")


def as_safetensors(net: nn.Module) -> TensorFile:
    """Without a description, and with the order of the layers forgotten."""
    return read_tensors(safetensors.torch.save(dict(net.state_dict())), name="theirs.safetensors")


def torch_risks(net: nn.Module, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
    with torch.no_grad():
        logits = net(torch.from_numpy(inputs.astype(np.float32))).double()
    if logits.shape[1] == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
    return torch.softmax(logits, dim=1).numpy()


def check_same(net: nn.Module, model: RiskModel, inputs: NDArray[np.float64], cohort: Cohort) -> None:
    """The adopted model, fed with the raw table, against the network, fed with its inputs."""
    expected = torch_risks(net, inputs)
    assert np.ptp(expected[:, 0]) > 0.01
    np.testing.assert_allclose(model.predict_proba(cohort.all().frame), expected, atol=1e-6)


def standard(cohort: Cohort) -> tuple[NDArray[np.float64], dict[str, tuple[float, float]]]:
    """Scaled inputs, and the constants they were scaled by."""
    raw = cohort.all().frame[list(COLUMNS)].to_numpy()
    constants = {
        name: (float(mean), float(scale))
        for name, mean, scale in zip(COLUMNS, raw.mean(axis=0), raw.std(axis=0), strict=True)
    }
    return (raw - raw.mean(axis=0)) / raw.std(axis=0), constants


NETS: dict[str, Callable[[Callable[[], nn.Module]], nn.Module]] = {
    "plain": lambda act: nn.Sequential(nn.Linear(4, 6), act(), nn.Linear(6, 5), act(), nn.Linear(5, 2)),
    "dropout": lambda act: nn.Sequential(
        nn.Linear(4, 6), act(), nn.Dropout(0.3), nn.Linear(6, 6), act(), nn.Dropout(0.3), nn.Linear(6, 2)
    ),
    "batch norm first": lambda act: nn.Sequential(
        nn.Linear(4, 6), nn.BatchNorm1d(6), act(), nn.Dropout(), nn.Linear(6, 2)
    ),
    "batch norm after": lambda act: nn.Sequential(
        nn.Linear(4, 6), act(), nn.BatchNorm1d(6), nn.Linear(6, 5), act(), nn.BatchNorm1d(5), nn.Linear(5, 2)
    ),
    "layer norm": lambda act: nn.Sequential(
        nn.Linear(4, 6), nn.LayerNorm(6), act(), nn.Linear(6, 5), act(), nn.LayerNorm(5), nn.Linear(5, 2)
    ),
    "both norms": lambda act: nn.Sequential(
        nn.Linear(4, 6), nn.BatchNorm1d(6), act(), nn.Linear(6, 6), act(), nn.LayerNorm(6), nn.Linear(6, 2)
    ),
    "norm of the inputs": lambda act: nn.Sequential(
        nn.BatchNorm1d(4), nn.Linear(4, 6), act(), nn.BatchNorm1d(6), nn.Linear(6, 2)
    ),
    "norms that learn nothing": lambda act: nn.Sequential(
        nn.Linear(4, 6), nn.BatchNorm1d(6, affine=False), act(), nn.Linear(6, 2)
    ),
    "one logit": lambda act: nn.Sequential(nn.Linear(4, 6), act(), nn.Linear(6, 1)),
    "no bias": lambda act: nn.Sequential(nn.Linear(4, 6, bias=False), act(), nn.Linear(6, 2, bias=False)),
    "no hidden layer": lambda _: nn.Sequential(nn.Linear(4, 2)),
    "a single layer": lambda _: nn.Linear(4, 1),
    "blocks": lambda act: nn.Sequential(
        nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), act()),
        nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), act()),
        nn.Linear(6, 2),
    ),
    "more than ten": lambda act: nn.Sequential(
        *(part for _ in range(11) for part in (nn.Linear(4, 4), act())), nn.Linear(4, 2)
    ),
}


@pytest.mark.parametrize("file_of", [as_state_dict, as_safetensors])
@pytest.mark.parametrize("name", NETS)
def test_a_sequential_computes_the_same(
    name: str, file_of: Callable[[nn.Module], TensorFile], cohort: Cohort
) -> None:
    inputs, constants = standard(cohort)
    net = trained(NETS[name](nn.Tanh))
    adoption = Adoption("tanh", "constants", COLUMNS, constants=constants)
    check_same(net, adopt_model(file_of(net), cohort, adoption), inputs, cohort)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_computes_the_same(activation: str, cohort: Cohort) -> None:
    inputs, constants = standard(cohort)
    net = trained(NETS["batch norm first"](ACTIVATIONS[activation]))
    adoption = Adoption(activation, "constants", COLUMNS, constants=constants)
    check_same(net, adopt_model(as_state_dict(net), cohort, adoption), inputs, cohort)


class Named(nn.Module):
    """Modules with names, in the order in which people define them."""

    def __init__(self, *, norms_last: bool, norm_first: bool) -> None:
        super().__init__()
        self.fc1 = nn.Linear(4, 6)
        if not norms_last:
            self.bn1 = nn.BatchNorm1d(6)
        self.fc2 = nn.Linear(6, 6)
        self.bn2 = nn.LayerNorm(6)
        if norms_last:
            self.bn1 = nn.BatchNorm1d(6)
        self.out = nn.Linear(6, 2)
        self.norm_first = norm_first

    def forward(self, x: Tensor) -> Tensor:
        for layer, norm in ((self.fc1, self.bn1), (self.fc2, self.bn2)):
            x = torch.relu(norm(layer(x))) if self.norm_first else norm(torch.relu(layer(x)))
        result: Tensor = self.out(x)
        return result


@pytest.mark.parametrize("file_of", [as_state_dict, as_safetensors])
@pytest.mark.parametrize("norms_last", [False, True])
@pytest.mark.parametrize("norm_first", [False, True])
def test_named_modules_are_matched_by_their_numbers(
    norm_first: bool, norms_last: bool, file_of: Callable[[nn.Module], TensorFile], cohort: Cohort
) -> None:
    inputs, constants = standard(cohort)
    net = trained(Named(norms_last=norms_last, norm_first=norm_first))
    adoption = Adoption("relu", "constants", COLUMNS, norm_first=norm_first, constants=constants)
    check_same(net, adopt_model(file_of(net), cohort, adoption), inputs, cohort)


@pytest.mark.parametrize("file_of", [as_state_dict, as_safetensors])
def test_layers_without_numbers_are_ordered_by_their_widths(
    file_of: Callable[[nn.Module], TensorFile], cohort: Cohort
) -> None:
    inputs, constants = standard(cohort)
    parts = {
        "stem": nn.Linear(4, 6),
        "stem_norm": nn.BatchNorm1d(6),
        "act": nn.ReLU(),
        "body": nn.Linear(6, 5),
        "body_act": nn.ReLU(),
        "a_head": nn.Linear(5, 2),
    }
    net = trained(nn.Sequential(OrderedDict(parts)))
    adoption = Adoption("relu", "constants", COLUMNS, constants=constants)
    check_same(net, adopt_model(file_of(net), cohort, adoption), inputs, cohort)


def test_a_prefix_as_other_frameworks_write_it_changes_nothing(cohort: Cohort) -> None:
    inputs, constants = standard(cohort)
    net = trained(NETS["batch norm after"](nn.ReLU))
    out = io.BytesIO()
    torch.save({f"module.net.{name}": value for name, value in net.state_dict().items()}, out)
    adoption = Adoption("relu", "constants", COLUMNS, constants=constants)
    check_same(net, adopt_model(read_tensors(out.getvalue()), cohort, adoption), inputs, cohort)


# --- inputs, columns and classes -------------------------------------------------------------------


def test_inputs_that_are_scaled_already(cohort: Cohort) -> None:
    inputs, _ = standard(cohort)
    scaled = table().assign(**dict(zip(COLUMNS, inputs.T, strict=True)))
    here = load_cohort(scaled, outcome="stage")
    net = trained(NETS["plain"](nn.ReLU))
    check_same(net, adopt_model(as_state_dict(net), here, Adoption("relu", "scaled", COLUMNS)), inputs, here)


def test_inputs_that_are_scaled_here(cohort: Cohort) -> None:
    train = cohort.train.frame[list(COLUMNS)].to_numpy()
    inputs = (cohort.all().frame[list(COLUMNS)].to_numpy() - train.mean(axis=0)) / train.std(axis=0)
    net = trained(NETS["plain"](nn.ReLU))
    check_same(
        net, adopt_model(as_state_dict(net), cohort, Adoption("relu", "fitted", COLUMNS)), inputs, cohort
    )


def test_inputs_that_are_prepared_here_with_text_and_missing_values() -> None:
    cohort = load_cohort(patient_table(), outcome="stage")
    probe = Adoption("relu", "fitted")
    width = 12  # four numbers, one flag, two sexes, three wards and missing: found by asking
    with pytest.raises(BadInput, match="takes 3 inputs, the table offers 6 columns") as caught:
        adopt_model(as_state_dict(nn.Linear(3, 2)), cohort, probe)
    width = int(str(caught.value).split("which become ")[1].split()[0])
    net = trained(nn.Sequential(nn.Linear(width, 5), nn.ReLU(), nn.Linear(5, 2)))
    model = adopt_model(as_state_dict(net), cohort, probe)
    prepared = model.preparation.transform(cohort.all().frame).astype(np.float64)
    check_same(net, model, prepared, cohort)
    assert model.predict_proba(pd.DataFrame({name: [None] for name in model.features})).shape == (1, 2)


def test_the_order_of_the_columns_is_the_users(cohort: Cohort) -> None:
    inputs, constants = standard(cohort)
    net = trained(NETS["plain"](nn.ReLU))
    turned = tuple(reversed(COLUMNS))
    model = adopt_model(
        as_state_dict(net), cohort, Adoption("relu", "constants", turned, constants=constants)
    )
    assert model.features == turned
    check_same(net, model, inputs[:, ::-1].copy(), cohort)


def test_the_order_of_the_classes_is_the_users(four_classes: Cohort) -> None:
    inputs, constants = standard(four_classes)
    net = trained(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 4)))
    theirs = ("stage 2", "stage 0", "stage 3", "stage 1")
    adoption = Adoption("relu", "constants", COLUMNS, theirs, constants=constants)
    model = adopt_model(as_state_dict(net), four_classes, adoption)
    assert model.classes == four_classes.classes
    expected = torch_risks(net, inputs)[:, [theirs.index(label) for label in model.classes]]
    np.testing.assert_allclose(model.predict_proba(four_classes.all().frame), expected, atol=1e-6)


def test_one_logit_may_be_of_either_class(cohort: Cohort) -> None:
    inputs, constants = standard(cohort)
    net = trained(NETS["one logit"](nn.ReLU))
    adoption = Adoption("relu", "constants", COLUMNS, ("1", "0"), constants=constants)
    model = adopt_model(as_state_dict(net), cohort, adoption)
    expected = torch_risks(net, inputs)[:, ::-1]
    np.testing.assert_allclose(model.predict_proba(cohort.all().frame), expected, atol=1e-6)
    assert inferred_widths(as_state_dict(net)) == (4, 6, 2)


def test_missing_values_take_the_median_of_train() -> None:
    frame = table()
    frame.loc[::5, "lactate"] = np.nan
    cohort = load_cohort(frame, outcome="stage")
    net = trained(NETS["plain"](nn.ReLU))
    model = adopt_model(as_state_dict(net), cohort, Adoption("relu", "scaled", COLUMNS))
    filled = cohort.all().frame.fillna(cohort.train.frame.median())
    np.testing.assert_allclose(
        model.predict_proba(cohort.all().frame), torch_risks(net, filled.to_numpy()), atol=1e-6
    )


def test_where_the_model_comes_from_is_remembered(cohort: Cohort) -> None:
    net = NETS["plain"](nn.ReLU)
    model = adopt_model(as_state_dict(net), cohort, Adoption("relu", "fitted", COLUMNS))
    assert model.origin.source == "uploaded"
    assert model.origin.split == cohort.record()


# --- what is refused -------------------------------------------------------------------------------


def refused(
    net: nn.Module | dict[str, Tensor], cohort: Cohort, words: str, adoption: Adoption | None = None
) -> str:
    state = net.state_dict() if isinstance(net, nn.Module) else net
    out = io.BytesIO()
    torch.save(dict(state), out)
    with pytest.raises(BadInput, match=words) as caught:
        adopt_model(read_tensors(out.getvalue(), name="theirs.pt"), cohort, adoption or Adoption())
    return str(caught.value)


def test_wrong_widths_are_told_with_both(cohort: Cohort) -> None:
    refused(nn.Linear(7, 2), cohort, "takes 7 inputs, the table offers 4 columns")
    refused(nn.Linear(7, 2), cohort, "takes 7 inputs, the table offers 3 col", Adoption(columns=COLUMNS[:3]))
    refused(nn.Linear(4, 3), cohort, "tells 3 classes apart, the table's outcome has 2")
    chain = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(17, 1))
    refused(chain, cohort, "layer 2 expects 17 inputs and gets 16")


def test_text_columns_are_named() -> None:
    cohort = load_cohort(patient_table(), outcome="stage")
    sentence = refused(nn.Linear(6, 2), cohort, "offers 6 columns", Adoption(scaling="scaled"))
    assert "of which 'sex' and 'ward' are text" in sentence


@pytest.mark.parametrize(
    ("adoption", "words"),
    [
        (lambda: Adoption("softplus"), "Activation must be one of relu"),
        (lambda: Adoption(scaling="robust"), "Scaling must be one of fitted"),
        (lambda: Adoption(scaling="constants"), "scaling constants are missing"),
        (lambda: Adoption(columns=("age", "age")), "'age' is named twice"),
        (lambda: Adoption(classes=("1", "1")), "'1' is named twice"),
    ],
)
def test_what_makes_no_sense_is_refused_before_the_file_is_read(
    adoption: Callable[[], Adoption], words: str
) -> None:
    with pytest.raises(BadInput, match=words):
        adoption()


def test_wrong_columns_classes_and_constants(cohort: Cohort) -> None:
    plain = nn.Linear(4, 2)
    near = ("age", "visitt", "noise", "lactate")
    refused(
        plain,
        cohort,
        r"no column 'visitt' to predict from \(did you mean 'visit'\?\)",
        Adoption(columns=near),
    )
    refused(plain, cohort, "no column 'stage' to predict from", Adoption(columns=("stage",)))
    refused(plain, cohort, "The classes given are 'no' and 'yes'", Adoption(classes=("no", "yes")))
    lacking = Adoption(scaling="constants", columns=COLUMNS, constants={"age": (0, 1)})
    refused(plain, cohort, "constants lack column 'visit'", lacking)
    for mean, scale in ((0, 0), (float("nan"), 1), (0, float("inf"))):
        flat = Adoption(scaling="constants", columns=COLUMNS, constants=dict.fromkeys(COLUMNS, (mean, scale)))
        refused(plain, cohort, "constants of column 'age' are not finite, or its scale is 0", flat)


def test_a_column_that_is_kept_out_says_why() -> None:
    cohort = load_cohort(table().assign(flat=1), outcome="stage")
    refused(
        nn.Linear(1, 2), cohort, "'flat' cannot be used here: it has the same", Adoption(columns=("flat",))
    )


def test_weights_that_are_no_numbers_are_named(cohort: Cohort) -> None:
    net = NETS["batch norm first"](nn.ReLU)
    broken = dict(net.state_dict())
    broken["4.weight"] = torch.full((2, 6), float("nan"))
    refused(broken, cohort, "Layer 'output' of the model holds 12 weights that are not finite")
    broken = dict(net.state_dict())
    broken["1.bias"] = torch.tensor([float("inf"), 0, 0, 0, 0, 0])
    refused(broken, cohort, r"Layer 'hidden 1 \(normalisation\)' of the model holds 1 weights")
    broken["1.running_var"] = -torch.ones(6)
    refused(broken, cohort, "negative variances")


@pytest.mark.parametrize(
    "net",
    [
        nn.Sequential(nn.Conv1d(4, 3, 1), nn.Linear(3, 2)),
        nn.Sequential(nn.Linear(4, 3), nn.PReLU(3), nn.Linear(3, 2)),
        nn.Sequential(nn.Linear(4, 3), nn.RMSNorm(3), nn.Linear(3, 2)),
        nn.Sequential(nn.LSTM(4, 3), nn.Linear(3, 2)),
        nn.Sequential(nn.Bilinear(4, 4, 3), nn.Linear(3, 2)),
    ],
    ids=lambda net: type(net[0]).__name__ + type(net[1]).__name__,
)
def test_what_is_no_perceptron_is_refused(net: nn.Module, cohort: Cohort) -> None:
    refused(net, cohort, "no linear layer and no BatchNorm1d or LayerNorm")


def test_what_lies_in_an_unknown_place_is_refused(cohort: Cohort) -> None:
    linear, norm = nn.Linear(4, 2), nn.BatchNorm1d(2)
    refused(nn.Sequential(linear, norm), cohort, "normalises its output")
    refused(nn.BatchNorm1d(4), cohort, "holds no linear layer")
    refused(nn.Sequential(nn.LayerNorm(4), linear), cohort, "begins with a LayerNorm")
    twice = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.LayerNorm(3), nn.Linear(3, 2))
    refused(twice, cohort, "does not tell which layers its normalisations '1' and '2' follow")
    wide = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(5), nn.Linear(3, 2))
    refused(wide, cohort, "does not tell which layers its normalisations '1' follow")
    extra = {"weight": torch.ones(2, 4), "bias": torch.ones(2), "weight_mask": torch.ones(2, 4)}
    refused(extra, cohort, "'bias', 'weight' and 'weight_mask'")
    refused({"weight": torch.ones(2, 4), "bias": torch.ones(3)}, cohort, "is no linear layer")
    refused({f"{i}.weight": torch.ones(2, 2) for i in range(101)}, cohort, "has 101 layers")


def test_two_readings_of_the_names_are_refused(cohort: Cohort) -> None:
    square = {name: torch.eye(4) for name in ("body", "encoder")} | {"head": torch.ones(2, 4)}
    data = safetensors.torch.save({f"{name}.weight": value for name, value in square.items()})
    with pytest.raises(BadInput, match="does not tell the order of its layers 'body', 'encoder' and 'head'"):
        adopt_model(read_tensors(data), cohort, Adoption())
    many = {f"{letter}.weight": torch.eye(2) for letter in "abcdefghijkl"} | {"z.weight": torch.ones(1, 5)}
    with pytest.raises(BadInput, match="does not tell the order of its layers"):
        adopt_model(read_tensors(safetensors.torch.save(many)), cohort, Adoption())
    between = {
        "fc1": nn.Linear(4, 4),
        "fc2": nn.Linear(4, 4),
        "bn1": nn.BatchNorm1d(4),
        "out": nn.Linear(4, 2),
    }
    refused(
        nn.Sequential(OrderedDict(between)), cohort, "does not tell which layers its normalisations 'bn1'"
    )


def test_constants_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "scaling.json"
    path.write_text(json.dumps({"age": {"mean": 50, "scale": 12}}), encoding="utf-8-sig")
    assert read_constants(path) == {"age": (50.0, 12.0)}
    for text in ("", "[1, 2]", '{"age": 5}', '{"age": {"mean": "x", "scale": 1}}', "[" * 5000):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(BadInput, match=r"give a JSON object such as"):
            read_constants(path)
    with pytest.raises(BadInput, match=r"'none.json' could not be read"):
        read_constants(tmp_path / "none.json")
