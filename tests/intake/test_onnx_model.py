"""Perceptrons in ONNX give the risks that onnxruntime gives; what is none is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from medprune import BadInput, load_cohort
from medprune.description import KEY
from medprune.intake.adopt import Adoption, adopt_model, known_activations, known_classes
from medprune.intake.completion import described_model, numbered_columns, numbers_classes
from medprune.intake.onnx_model import read_onnx
from medprune.intake.tensor_file import TensorFile
from medprune.model import RiskModel, softmax
from medprune.model_file import model_from
from medprune.network import ACTIVATIONS, MLP, NORMS
from medprune.onnx_graph import onnx_bytes
from medprune.onnx_run import onnx_risks, probe_rows
from tests.hostile.onnx_files import Maker, gemm, mlp, numbers
from tests.makers import patient_cohort, untrained_model

NAMES = ("a", "b", "c", "d")


@settings(max_examples=25)
@given(
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    norm=st.sampled_from(NORMS),
    hidden=st.lists(st.integers(1, 6), max_size=3),
    classes=st.integers(2, 3),
    seed=st.integers(0, 99),
)
def test_our_own_exports_are_read_back(
    activation: str, norm: str, hidden: list[int], classes: int, seed: int
) -> None:
    cohort = patient_cohort(120, classes)
    model = untrained_model(cohort, MLP(tuple(hidden), activation, norm), seed)
    data = onnx_bytes(model)
    file = read_onnx(data, "The file")
    again = model_from(file)
    rows = probe_rows(model.preparation)
    np.testing.assert_allclose(
        again.predict_proba(rows), onnx_risks(data, model.preparation, rows), atol=1e-5
    )
    assert again.classes == model.classes
    assert again.features == model.features
    assert not numbered_columns(file)
    assert not numbers_classes(file)


def by_runtime(data: bytes, rows: Any) -> Any:
    """Risks of an ONNX model of one input, whatever it ends in."""
    out = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, {"x": rows})[0]
    return np.asarray(out, dtype=np.float64).reshape(len(rows), -1)


def adopted(file: TensorFile, classes: int) -> RiskModel:
    frame = pd.DataFrame(numbers(120, 4, seed=3).astype(float), columns=list(NAMES))
    cohort = load_cohort(frame.assign(y=np.arange(120) % classes), outcome="y")
    return adopt_model(file, cohort, Adoption(scaling="scaled", columns=NAMES))


def raw_risks(model: RiskModel, rows: Any) -> Any:
    return model.predict_proba(pd.DataFrame(rows.astype(float), columns=list(NAMES)))


BODIES: dict[str, Callable[[Maker, str], str]] = {
    "relu": lambda make, x: make.add("Relu", x),
    "tanh": lambda make, x: make.add("Tanh", x),
    "sigmoid": lambda make, x: make.add("Sigmoid", x),
    "gelu": lambda make, x: make.add("Gelu", x),
    "gelu by erf": lambda make, x: make.add(
        "Mul",
        make.add(
            "Mul",
            x,
            make.add(
                "Add",
                make.add("Erf", make.add("Div", x, make.constant(np.sqrt(2.0)))),
                make.constant(1.0),
            ),
        ),
        make.constant(0.5),
    ),
    "gelu by half": lambda make, x: make.add(
        "Mul",
        make.add("Mul", x, make.constant(0.5)),
        make.add("Add", make.constant(1.0), make.add("Erf", make.add("Mul", make.constant(np.sqrt(0.5)), x))),
    ),
    "silu": lambda make, x: make.add("Mul", make.add("Sigmoid", x), x),
    "batch norm, relu": lambda make, x: make.add("Relu", batch_norm(make, x)),
    "relu, batch norm": lambda make, x: batch_norm(make, make.add("Relu", x)),
    "layer norm, silu": lambda make, x: gate(make, layer_norm(make, x)),
    "tanh, layer norm": lambda make, x: layer_norm(make, make.add("Tanh", x)),
    "odds and ends": lambda make, x: make.add(
        "Flatten",
        make.add(
            "Cast",
            make.add("Identity", make.add("Reshape", make.add("Relu", x), make.constant([-1, 6], np.int64))),
            to=TensorProto.FLOAT,
        ),
    ),
    "dropout": lambda make, x: make.add("Dropout", make.add("Relu", x)),
}


def gate(make: Maker, x: str) -> str:
    return make.add("Mul", x, make.add("Sigmoid", x))


def batch_norm(make: Maker, x: str) -> str:
    parts = (numbers(6, seed=k) for k in (21, 22, 23))
    return make.add(
        "BatchNormalization", x, *(make.constant(part) for part in parts), make.constant(np.full(6, 0.7)),
        epsilon=1e-3,
    )  # fmt: skip


def layer_norm(make: Maker, x: str) -> str:
    return make.add(
        "LayerNormalization", x, make.constant(numbers(6, seed=31)), make.constant(numbers(6, seed=32))
    )


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("head", ["Softmax", "LogSoftmax", "", "one logit", "sigmoid", "squeezed"])
def test_every_part_of_a_perceptron_is_read(body: str, head: str) -> None:
    make = Maker()
    hidden = BODIES[body](make, gemm(make, "x", 4, 6))
    one = head in ("one logit", "sigmoid", "squeezed")
    end = gemm(make, hidden, 6, 1 if one else 3)
    if head in ("Softmax", "LogSoftmax"):
        end = make.add(head, end, axis=-1)
    elif head in ("sigmoid", "squeezed"):
        end = make.add("Sigmoid", end)
        if head == "squeezed":
            end = make.add("Squeeze", end, make.constant([1], np.int64))
    data = make.model(end, rank=1 if head == "squeezed" else 2).SerializeToString()
    rows = numbers(50, 4, seed=5)
    out = by_runtime(data, rows)
    if one:
        out = np.concatenate([np.zeros_like(out), out], axis=1) if head == "one logit" else out
        expected = softmax(out) if head == "one logit" else np.concatenate([1 - out, out], axis=1)
    else:
        expected = out if head == "Softmax" else softmax(out)
    file = read_onnx(data, "The file")
    assert KEY not in file.metadata
    assert len(known_activations(file)) >= 1
    np.testing.assert_allclose(raw_risks(adopted(file, expected.shape[1]), rows), expected, atol=1e-5)
    assert any("logits" in note for note in file.notes) == (head in ("", "one logit"))


@pytest.mark.parametrize("how", [{"transB": 0}, {"transB": 1, "alpha": 0.5, "beta": 2.0}, {"matmul": True}])
def test_layers_in_every_form(how: dict[str, Any]) -> None:
    make = Maker()
    if how.pop("matmul", False):
        product = make.add("MatMul", "x", make.add("Transpose", make.constant(numbers(6, 4)), perm=[1, 0]))
        hidden = make.add("Add", make.constant(numbers(6)), product)
    else:
        hidden = gemm(make, "x", 4, 6, **how)
    data = make.model(make.add("Softmax", gemm(make, make.add("Relu", hidden), 6, 3))).SerializeToString()
    rows = numbers(50, 4, seed=6)
    file = read_onnx(data, "The file")
    np.testing.assert_allclose(raw_risks(adopted(file, 3), rows), by_runtime(data, rows), atol=1e-5)


def test_scaling_in_the_file_describes_it() -> None:
    """Sub, Div and a fill for missing values before the first layer: nothing is left to ask but names."""
    make = Maker()
    filled = make.add("Where", make.add("IsNaN", "x"), make.constant([[60, 2, 0, 1]]), "x")
    centred = make.add("Sub", filled, make.constant([60, 2, 0, 1]))
    scaled = make.add("Div", centred, make.constant([12, 1, 2, 4]))
    model = make.model(make.add("Softmax", gemm(make, make.add("Tanh", gemm(make, scaled, 4, 6)), 6, 2)))
    helper.set_model_props(model, {"medprune.classes": '["alive", "dead"]'})
    data = model.SerializeToString()
    file = read_onnx(data, "The file")
    assert numbered_columns(file) == 4
    assert not numbers_classes(file)
    ready = described_model(file, NAMES)
    assert ready.classes == ("alive", "dead")
    assert [(code.fill, code.mean, code.scale) for code in ready.preparation.numbers] == [
        (60, 60, 12),
        (2, 2, 1),
        (0, 0, 2),
        (1, 1, 4),
    ]
    rows = 60 * numbers(50, 4, seed=7)
    rows[::5, 1] = np.nan
    np.testing.assert_allclose(raw_risks(ready, rows), by_runtime(data, rows), atol=1e-5)


def test_what_scikit_learn_exporters_write_is_read() -> None:
    """ai.onnx.ml operators around the network, and a second output with labels."""
    make = Maker()
    scaled = make.add(
        "Scaler", "x", domain="ai.onnx.ml", offset=[1.0, 2.0, 3.0, 4.0], scale=[0.5, 1.0, 2.0, 0.1]
    )
    chosen = make.add("ArrayFeatureExtractor", scaled, make.constant([2, 0], np.int64), domain="ai.onnx.ml")
    yes = make.add("Sigmoid", gemm(make, make.add("Relu", gemm(make, chosen, 2, 5)), 5, 1))
    both = make.add("Concat", make.add("Sub", make.constant([1.0]), yes), yes, axis=1)
    label = make.add("ArgMax", both, axis=1)
    model = make.model(label, both)
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    data = model.SerializeToString()
    file = read_onnx(data, "The file")
    ready = described_model(file, NAMES)
    assert ready.features == ("a", "c")
    rows = numbers(50, 4, seed=8)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(raw_risks(ready, rows), session.run(None, {"x": rows})[1], atol=1e-5)
    assert numbers_classes(file)


def test_classes_in_the_metadata_of_a_plain_file() -> None:
    make = Maker()
    model = make.model(gemm(make, make.add("Relu", gemm(make, "x", 4, 6)), 6, 3))
    helper.set_model_props(model, {"medprune.classes": '["2", "0", "1"]'})
    file = read_onnx(model.SerializeToString(), "The file")
    assert known_classes(file) == ("2", "0", "1")
    rows = numbers(50, 4, seed=9)
    expected = softmax(by_runtime(model.SerializeToString(), rows))[:, [1, 2, 0]]
    np.testing.assert_allclose(raw_risks(adopted(file, 3), rows), expected, atol=1e-5)


def residual(make: Maker) -> str:
    first = gemm(make, "x", 4, 6)
    return gemm(make, make.add("Add", make.add("Relu", first), first), 6, 2)


REFUSED: dict[str, tuple[Callable[[Maker], str], str]] = {
    "residual": (residual, "adds layers to each other"),
    "convolution": (lambda make: make.add("Conv", "x", make.constant(numbers(2, 4))), "operator 'Conv'"),
    "a sigmoid a class": (lambda make: make.add("Sigmoid", gemm(make, "x", 4, 3)), "risk of its own"),
    "softmax over patients": (
        lambda make: make.add("Softmax", gemm(make, "x", 4, 3), axis=0),
        "softmax runs over patients",
    ),
    "tanh at the end": (lambda make: make.add("Tanh", gemm(make, "x", 4, 3)), "neither risks nor logits"),
    "turned": (
        lambda make: make.add("Gemm", make.constant(numbers(4, 2)), "x", transA=1, transB=1),
        "constant|turned|valid",
    ),
    "approximate": (
        lambda make: gemm(make, make.add("Gelu", gemm(make, "x", 4, 6), approximate="tanh"), 6, 2),
        "GELU is an approximation",
    ),
    "erf alone": (lambda make: gemm(make, make.add("Erf", gemm(make, "x", 4, 6)), 6, 2), "order of a perc"),
    "product of layers": (
        lambda make: make.add("Mul", gemm(make, "x", 4, 3), gemm(make, "x", 4, 3)),
        "multiplies layers",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_perceptron_is_told(name: str) -> None:
    build, says = REFUSED[name]
    make = Maker()
    with pytest.raises(BadInput, match=says):
        read_onnx(make.model(build(make)).SerializeToString(), "The file")


def test_constants_are_computed_within_a_budget() -> None:
    make = Maker(8_000)
    large = make.add("Add", make.constant(np.zeros((8_000, 1))), make.constant(np.zeros((1, 8_000))))
    with pytest.raises(BadInput, match="more constants than a network has"):
        read_onnx(make.model(make.add("MatMul", "x", large)).SerializeToString(), "The file")


def test_the_maker_of_hostile_files_makes_a_good_one() -> None:
    assert read_onnx(mlp(), "The file").tensors
