"""The whole model as one ONNX graph: raw columns with missing values in, risks out.

One input a source column, shape (N, 1), named as in the table: numbers are double (NaN is missing),
text is string (the empty string is missing). Imputing and scaling run in double and are cast to
float32 afterwards, as in the preparation. The only output, ``risks`` (N, classes), is double.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from medprune.compaction import compact
from medprune.intake.described import CLASSES_KEY
from medprune.model import RiskModel
from medprune.network import Tail
from medprune.preparation import CategoryCode, NumberCode, Preparation

OPSET = 17
ML_OPSET = 3
IR_VERSION = 8  # read by every onnxruntime since 1.13


class _Graph:
    """Collects nodes and constants; every helper returns the name of its result.

    Columns keep their names in the graph, so whatever is named here must differ from all ``columns``.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = frozenset(columns)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def free(self, name: str) -> str:
        """The name, with underscores at its end when a column is called so."""
        while name in self.columns:
            name += "_"
        return name

    def constant(self, value: NDArray[Any]) -> str:
        name = self.free(f"medprune/constant_{len(self.constants)}")
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, op: str, inputs: Sequence[str], *, domain: str = "", **attributes: Any) -> str:
        name = self.free(f"medprune/{op.lower()}_{len(self.nodes)}")
        self.nodes.append(helper.make_node(op, list(inputs), [name], domain=domain, **attributes))
        return name

    def cast(self, value: str, to: int) -> str:
        return self.add("Cast", [value], to=to)


def onnx_bytes(model: RiskModel) -> bytes:
    """The compacted model as a serialized ONNX file."""
    data: bytes = onnx_model(model).SerializeToString()
    return data


def onnx_model(model: RiskModel) -> onnx.ModelProto:
    """The compacted model as an ONNX graph of standard operators."""
    small = compact(model)
    graph = _Graph(small.features)
    prepared = _prepare(graph, small.preparation)
    logits = _network(graph, small, graph.cast(prepared, TensorProto.FLOAT))
    graph.add("Softmax", [_recalibrate(graph, small, graph.cast(logits, TensorProto.DOUBLE))], axis=1)
    graph.nodes[-1].output[0] = output = graph.free("risks")
    proto = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "medprune",
            [_input(feature.name, feature.kind) for feature in small.preparation.features],
            [helper.make_tensor_value_info(output, TensorProto.DOUBLE, ["patients", len(small.classes)])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)],
        producer_name="medprune",
    )
    proto.ir_version = IR_VERSION
    helper.set_model_props(proto, {CLASSES_KEY: json.dumps(list(small.classes))})
    return proto


def _input(name: str, kind: str) -> onnx.ValueInfoProto:
    of = TensorProto.DOUBLE if kind == "number" else TensorProto.STRING
    return helper.make_tensor_value_info(name, of, ["patients", 1])


def _prepare(graph: _Graph, preparation: Preparation) -> str:
    """Prepared columns in double, in the order of the preparation: values, flags, categories."""
    parts: list[str] = []
    if preparation.numbers:
        parts += _numbers(graph, preparation)
    for code in preparation.categories:
        wanted = [c.code for c in preparation.columns if c.role == "category" and c.feature == code.name]
        parts.append(_category(graph, code, wanted))
    return _side_by_side(graph, parts)


def _numbers(graph: _Graph, preparation: Preparation) -> list[str]:
    """Values and flags, each from its own columns: removing a column never adds an operator."""
    codes = {code.name: code for code in preparation.numbers}
    values = [codes[column.feature] for column in preparation.columns if column.role == "value"]
    flags = [column.feature for column in preparation.columns if column.role == "flag"]
    parts: list[str] = []
    cleaned = {
        name: _cleaned(graph, codes[name]) for name in dict.fromkeys([*(v.name for v in values), *flags])
    }
    if values:
        raw = _side_by_side(graph, [cleaned[code.name] for code in values])
        fill, mean, scale = (
            graph.constant(np.array([[getattr(code, what) for code in values]]))
            for what in ("fill", "mean", "scale")
        )
        filled = graph.add("Where", [graph.add("IsNaN", [raw]), fill, raw])
        parts.append(graph.add("Div", [graph.add("Sub", [filled, mean]), scale]))
    if flags:
        missing = graph.add("IsNaN", [_side_by_side(graph, [cleaned[name] for name in flags])])
        parts.append(graph.cast(missing, TensorProto.DOUBLE))
    return parts


def _cleaned(graph: _Graph, code: NumberCode) -> str:
    """The raw column after the steps of :meth:`medprune.intake.clean.Clean.numbers`, in the same order."""
    how, value = code.clean, code.name

    def number(of: float) -> str:
        return graph.constant(np.array(of, dtype=np.float64))

    def emptied(where: str, value: str) -> str:
        return graph.add("Where", [where, number(math.nan), value])

    def without_codes(value: str) -> str:
        for each in how.codes:
            value = emptied(graph.add("Equal", [value, number(each)]), value)
        return value

    value = without_codes(value)
    if how.convert is not None:
        low, high, factor = (number(of) for of in (how.convert.low, how.convert.high, how.convert.factor))
        above, below = graph.add("GreaterOrEqual", [value, low]), graph.add("LessOrEqual", [value, high])
        other_unit = graph.add("And", [above, below])
        value = without_codes(graph.add("Where", [other_unit, graph.add("Mul", [value, factor]), value]))
    if how.low is not None:
        value = emptied(graph.add("Less", [value, number(how.low)]), value)
    if how.high is not None:
        value = emptied(graph.add("Greater", [value, number(how.high)]), value)
    return value


def _side_by_side(graph: _Graph, names: list[str]) -> str:
    return names[0] if len(names) == 1 else graph.add("Concat", names, axis=1)


def _category(graph: _Graph, code: CategoryCode, wanted: Sequence[int]) -> str:
    known, unknown = code.raw
    encoded = graph.add(
        "LabelEncoder",
        [code.name],
        domain="ai.onnx.ml",
        keys_strings=["", *known],
        values_int64s=[code.fill, *known.values()],
        default_int64=unknown,
    )
    same = graph.add("Equal", [encoded, graph.constant(np.array([wanted], dtype=np.int64))])
    return graph.cast(same, TensorProto.DOUBLE)


def _network(graph: _Graph, model: RiskModel, value: str) -> str:
    for index, layer in enumerate(model.network.layers):
        weight, bias = (p.detach().numpy() for p in (layer.weight, layer.bias))
        value = graph.add("Gemm", [value, graph.constant(weight), graph.constant(bias)], transB=1)
        if index < len(model.network.tails):
            value = _tail(graph, model.network.tails[index], value)
    return value


def _tail(graph: _Graph, tail: Tail, value: str) -> str:
    activate = _ACTIVATIONS[tail.spec.activation]
    if tail.spec.norm_first:
        return activate(graph, _normalise(graph, tail, value))
    return _normalise(graph, tail, activate(graph, value))


def _normalise(graph: _Graph, tail: Tail, value: str) -> str:
    norm = tail.norm
    if isinstance(norm, nn.LayerNorm):
        scale, shift = (graph.constant(p.detach().numpy()) for p in (norm.weight, norm.bias))
        return graph.add("LayerNormalization", [value, scale, shift], axis=-1, epsilon=norm.eps)
    if isinstance(norm, nn.BatchNorm1d):
        assert norm.running_mean is not None
        assert norm.running_var is not None
        spread = np.sqrt(norm.running_var.double().numpy() + norm.eps)
        scale_by = norm.weight.detach().double().numpy() / spread
        shift_by = norm.bias.detach().double().numpy() - norm.running_mean.double().numpy() * scale_by
        scaled = graph.add("Mul", [value, graph.constant(scale_by.astype(np.float32))])
        return graph.add("Add", [scaled, graph.constant(shift_by.astype(np.float32))])
    return value


def _gelu(graph: _Graph, value: str) -> str:
    """x * (1 + erf(x / sqrt 2)) / 2, exact as in torch; the Gelu operator is younger than our opset."""
    inner = graph.add("Erf", [graph.add("Mul", [value, _scalar(graph, 1 / math.sqrt(2))])])
    outer = graph.add("Mul", [value, graph.add("Add", [inner, _scalar(graph, 1.0)])])
    return graph.add("Mul", [outer, _scalar(graph, 0.5)])


def _scalar(graph: _Graph, value: float) -> str:
    return graph.constant(np.array(value, dtype=np.float32))


_ACTIVATIONS: dict[str, Callable[[_Graph, str], str]] = {
    "relu": lambda graph, value: graph.add("Relu", [value]),
    "tanh": lambda graph, value: graph.add("Tanh", [value]),
    "sigmoid": lambda graph, value: graph.add("Sigmoid", [value]),
    "silu": lambda graph, value: graph.add("Mul", [value, graph.add("Sigmoid", [value])]),
    "gelu": _gelu,
    "identity": lambda graph, value: value,
}


def _recalibrate(graph: _Graph, model: RiskModel, logits: str) -> str:
    """The two operators are there without a recalibration too: a file that is pruned further never grows."""
    how = model.recalibration
    shift = np.array([how.intercepts or [0.0] * len(model.classes)], dtype=np.float64)
    sloped = graph.add("Mul", [logits, graph.constant(np.array(how.slope, dtype=np.float64))])
    return graph.add("Add", [sloped, graph.constant(shift)])
