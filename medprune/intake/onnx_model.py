"""A perceptron in an ONNX file: audited, followed operator by operator, compared with onnxruntime.

The graph is never turned into code. Each value is told as what :mod:`medprune.intake.onnx_values` has,
from the columns of the table to the risks; what does not fit that is refused with a sentence.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from medprune.errors import BadInput
from medprune.intake.described import (
    ACTIVATIONS_KEY,
    CLASSES_KEY,
    Layer,
    described_file,
    network_of,
    risk_model,
)
from medprune.intake.onnx_audit import ONNX_HINT, audit
from medprune.intake.onnx_operators import FOLDED, OPERATORS, is_constant
from medprune.intake.onnx_values import Bent, Columns, Hidden, Risks, Units, Unreadable, Value
from medprune.intake.tensor_file import TensorFile
from medprune.intake.traced import MOST_COLUMNS, Raw, Resolved, resolve
from medprune.model import RiskModel, softmax
from medprune.onnx_run import probe_rows, session_of

TOLERANCE = 1e-5  # between onnxruntime and the network here, in risk
MOST_FOLDED = 256 * 1024**2  # bytes that constants may become when they are computed with each other
EPS = 1e-5  # of a LayerNorm in a file without a description
OURS = "medprune"  # the producer of our own exports
TEXT_INPUT = TensorProto.STRING
NUMBER_INPUTS: dict[int, Any] = {
    TensorProto.FLOAT: np.float32,
    TensorProto.DOUBLE: np.float64,
    TensorProto.INT64: np.int64,
}
UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError, RecursionError)


@dataclass(frozen=True, eq=False)
class _Input:
    name: str
    kind: int
    width: int


@dataclass(frozen=True, eq=False)
class _End:
    """The output that tells the risks: its tensor, whether it holds risks or logits, and the logits."""

    tensor: str
    bent: bool  # softmax or sigmoid has been applied
    logits: Units
    classes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _File:
    """The audited file, its inputs, the names of their columns, its end, and the nodes that lead there."""

    model: onnx.ModelProto
    inputs: Sequence[_Input]
    names: Sequence[str]
    end: _End
    used: Sequence[int]


def read_onnx(data: bytes, title: str) -> TensorFile:
    """A perceptron, with or without its preparation. Raises BadInput."""
    model = audit(data, title)
    try:
        return _read(model, title)
    except Unreadable as reason:
        raise BadInput(f"{title} cannot be read as a perceptron: {reason}; {ONNX_HINT}.") from reason
    except UNREADABLE as error:
        raise BadInput(f"{title} is no perceptron in a form that can be read; {ONNX_HINT}.") from error


def _read(model: onnx.ModelProto, title: str) -> TensorFile:
    inputs = _inputs(model.graph)
    named = all(one.width == 1 for one in inputs) and (len(inputs) > 1 or model.producer_name == OURS)
    count = sum(one.width for one in inputs)
    names = [one.name for one in inputs] if named else [f"input {place + 1}" for place in range(count)]
    graph = _Graph(model.graph)
    _give_columns(graph, inputs)
    end = _end(graph, title)
    layers, columns = _layers(end.logits)
    resolved = resolve(columns.traced, names, title)
    classes = end.classes or _classes(model, max(len(layers[-1].weight), 2), title)
    numbered = [str(place) for place in range(max(len(layers[-1].weight), 2))]
    ready = risk_model(resolved, layers, classes or numbered, title)
    _compare(_File(model, inputs, names, end, graph.behind(end.tensor)), ready, resolved, title)
    notes = () if end.bent else ("The network's outputs were taken as logits, before softmax or sigmoid.",)
    if not named and list(columns.traced) == [Raw(place) for place in range(count)]:
        return _plain_file(layers, classes, title, notes)
    missing = [names[place] for place in resolved.unfilled]
    unsaid = {"inputs": None if named else count, "classes": not classes, "missing": missing}
    return described_file(ready, title, unsaid, notes)


def _plain_file(
    layers: Sequence[Layer], classes: Sequence[str], title: str, notes: Sequence[str]
) -> TensorFile:
    """Layers by number as in an nn.Sequential: the file does not say how its inputs are made."""
    network_of(layers, title)
    tensors: dict[str, Any] = {}
    for place, layer in enumerate(layers):
        if layer.norm is not None and layer.eps != EPS:
            raise Unreadable("one of its LayerNorms has an unusual epsilon")
        at = 3 * place  # the layer, what comes right after it, what comes after that
        parts = {f"{at}.weight": layer.weight, f"{at}.bias": layer.bias}
        if layer.norm is not None:
            norm = at + (1 if layer.norm_first else 2)
            parts |= {f"{norm}.weight": layer.norm[0], f"{norm}.bias": layer.norm[1]}
        tensors |= parts
    metadata = {ACTIVATIONS_KEY: json.dumps([layer.activation for layer in layers[:-1]])}
    if classes:
        metadata[CLASSES_KEY] = json.dumps(list(classes))
    float32 = {name: _tensor(value) for name, value in tensors.items()}
    return TensorFile(title, float32, metadata, ordered=True, notes=tuple(notes))


def _tensor(value: NDArray[np.float64]) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(value, dtype=np.float32))


def _inputs(graph: onnx.GraphProto) -> list[_Input]:
    constants = {tensor.name for tensor in graph.initializer}
    found = []
    for value in graph.input:
        if value.name in constants:
            continue
        tensor = value.type.tensor_type
        dims = tensor.shape.dim
        if tensor.elem_type != TEXT_INPUT and tensor.elem_type not in NUMBER_INPUTS:
            raise Unreadable("its inputs are neither numbers nor text")
        if len(dims) != 2 or not 0 < dims[1].dim_value <= MOST_COLUMNS:  # noqa: PLR2004 - patients, columns
            raise Unreadable(
                "its inputs are not of the shape (patients, columns), with the number of columns"
            )
        found.append(_Input(value.name, tensor.elem_type, dims[1].dim_value))
    if not found or sum(one.width for one in found) > MOST_COLUMNS:
        raise Unreadable(f"it takes no input, or more than {MOST_COLUMNS:,} columns")
    if len({one.name for one in found}) < len(found):
        raise Unreadable("two of its inputs have one name")
    return found


def _classes(model: onnx.ModelProto, count: int, title: str) -> tuple[str, ...]:
    """The names of the classes, where the file's metadata tells them."""
    texts = [prop.value for prop in model.metadata_props if prop.key == CLASSES_KEY]
    if not texts:
        return ()
    try:
        names = [str(name) for name in json.loads(texts[0])]
    except (ValueError, TypeError, RecursionError):
        names = []
    if len(set(names)) != count or len(names) != count:
        raise BadInput(
            f"{title}: its metadata {CLASSES_KEY!r} must name its {count} classes, "
            'as in ["no", "yes"]; export it again.'
        )
    return tuple(names)


# --- following the graph ---------------------------------------------------------------------------


@dataclass(eq=False)
class _Graph:
    """Values by name, computed when they are asked for."""

    proto: onnx.GraphProto
    values: dict[str, Any] = field(default_factory=dict)
    folded: int = 0

    def __post_init__(self) -> None:
        self.makers = {name: at for at, node in enumerate(self.proto.node) for name in node.output if name}
        for tensor in self.proto.initializer:
            self.values[tensor.name] = self._array(tensor)

    def value(self, name: str) -> Value:
        """The value of this name. Nodes come in the order of their use, so this needs no recursion."""
        waiting = [name]
        while waiting:
            at = waiting[-1]
            if at in self.values:
                waiting.pop()
                continue
            if at not in self.makers:
                raise Unreadable("it uses values that nothing makes")
            node = self.proto.node[self.makers[at]]
            needed = [each for each in node.input if each and each not in self.values]
            if needed:
                if len(waiting) > len(self.proto.node):
                    raise Unreadable("its operators wait for each other")
                waiting.append(needed[0])
                continue
            self.values[at] = self._computed(node, at)
        found: Value = self.values[name]
        return found

    def behind(self, name: str) -> list[int]:
        """The places of the nodes that this value is made of."""
        found: set[int] = set()
        waiting = [name]
        while waiting:
            at = self.makers.get(waiting.pop())
            if at is not None and at not in found:
                found.add(at)
                waiting += self.proto.node[at].input
        return sorted(found)

    def _computed(self, node: onnx.NodeProto, name: str) -> Value:
        if name != node.output[0]:
            raise Unreadable(f"it uses a second output of {node.op_type}")
        how = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        if node.op_type == "Constant":
            return self._constant(how)
        inputs = [self.values[each] if each else None for each in node.input]
        given = [value for value in inputs if value is not None]
        if given and all(is_constant(value) for value in given):
            return self._fold(node.op_type, given, how)
        if node.op_type not in OPERATORS:
            raise Unreadable(f"its operator {node.op_type} is not where a perceptron has one")
        return OPERATORS[node.op_type](inputs, how)

    def _constant(self, how: dict[str, Any]) -> NDArray[Any]:
        if "value" in how:
            return self._array(how["value"])
        [(name, value)] = how.items()
        if not name.startswith(("value_float", "value_int")):
            raise Unreadable("it holds constants that are no numbers")
        return np.asarray(value)

    def _fold(self, op: str, inputs: list[NDArray[Any]], how: dict[str, Any]) -> NDArray[Any]:
        """Constants computed with each other, within a budget."""
        if op not in FOLDED:
            raise Unreadable(f"it computes constants with {op}")
        largest = max(value.size for value in inputs)
        if op in ("Add", "Sub", "Mul", "Div"):
            largest = math.prod(np.broadcast_shapes(*(value.shape for value in inputs)))
        self.folded += 8 * largest
        if self.folded > MOST_FOLDED:
            raise Unreadable("it computes with more constants than a network has")
        with np.errstate(all="ignore"):
            return np.asarray(FOLDED[op](inputs, how))

    def _array(self, tensor: onnx.TensorProto) -> NDArray[Any]:
        return np.asarray(numpy_helper.to_array(tensor))  # audited: it holds its data itself


def _give_columns(graph: _Graph, inputs: Sequence[_Input]) -> None:
    place = 0
    for one in inputs:
        graph.values[one.name] = Columns(tuple(Raw(place + at) for at in range(one.width)))
        place += one.width


def _end(graph: _Graph, title: str) -> _End:
    """The first output that tells risks or logits; what other outputs would need is left alone."""
    reasons: list[Unreadable] = []
    for output in graph.proto.output:
        try:
            return _risks(graph, output.name)
        except Unreadable as reason:
            reasons.append(reason)
    raise reasons[0] if reasons else Unreadable("it has no output")


def _risks(graph: _Graph, name: str) -> _End:
    value = graph.value(name)
    maker = graph.proto.node[graph.makers[name]] if name in graph.makers else None
    if maker is not None and maker.op_type == "ZipMap":  # a dictionary a patient; the tensor goes into it
        name = maker.input[0]
    if isinstance(value, Risks):
        return _End(name, True, value.logits, value.classes)
    if isinstance(value, Bent) and value.activation == "sigmoid" and value.plain:
        if value.sums.width > 1:
            raise Unreadable(
                "it gives every class a risk of its own (a sigmoid each), not risks that sum to 1"
            )
        return _End(name, True, value.sums, ())
    if isinstance(value, Units) and isinstance(value.basis, Columns | Hidden):
        return _End(name, False, value, ())
    raise Unreadable("its outputs are neither risks nor logits")


def _layers(logits: Units) -> tuple[list[Layer], Columns]:
    """The linear layers from the columns to the logits."""
    layers = [Layer(logits.full, logits.bias)]
    basis = logits.basis
    while isinstance(basis, Hidden):
        norm = None if basis.norm is None else basis.norm[:2]
        eps = EPS if basis.norm is None else basis.norm[2]
        layers.insert(
            0, Layer(basis.sums.full, basis.sums.bias, basis.activation, norm, basis.norm_first, eps)
        )
        basis = basis.sums.basis
    return layers, basis


# --- the same risks --------------------------------------------------------------------------------


def _compare(file: _File, ready: RiskModel, resolved: Resolved, title: str) -> None:
    """BadInput when onnxruntime gives made-up patients other risks than the network here."""
    frame = probe_rows(ready.preparation)
    for place in resolved.unfilled:
        frame[file.names[place]] = frame[file.names[place]].fillna(0.0)
    feed = _feed(file, frame)
    try:
        output = session_of(_needed(file)).run(None, feed)[0]
        expected = _as_risks(np.asarray(output, dtype=np.float64), file.end)
    except Exception as error:  # onnxruntime raises kinds of its own
        raise BadInput(
            f"{title} cannot be run by onnxruntime {onnxruntime.__version__}; {ONNX_HINT}."
        ) from error
    found = ready.predict_proba(frame)
    if expected.shape != found.shape or not np.abs(expected - found).max() <= TOLERANCE:
        raise BadInput(f"{title} gives other risks here than in onnxruntime, so it is not read; {ONNX_HINT}.")


def _needed(file: _File) -> bytes:
    """The file with only the operators that were followed: onnxruntime runs nothing else."""
    copy = onnx.ModelProto()
    copy.CopyFrom(file.model)
    del copy.graph.node[:]
    copy.graph.node.extend([file.model.graph.node[at] for at in file.used])
    del copy.graph.output[:]
    copy.graph.output.append(onnx.ValueInfoProto(name=file.end.tensor))
    del copy.graph.value_info[:]
    data: bytes = copy.SerializeToString()
    return data


def _feed(file: _File, frame: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """Arrays for the file's inputs; columns that the network does not use are zero, or empty."""
    feed: dict[str, NDArray[Any]] = {}
    place = 0
    for one in file.inputs:
        mine = file.names[place : place + one.width]
        place += one.width
        text = one.kind == TEXT_INPUT
        columns = [
            frame[name] if name in frame else pd.Series(["" if text else 0.0] * len(frame)) for name in mine
        ]
        if text:
            cells = [column.where(column.notna(), "").to_numpy(dtype=object) for column in columns]
            feed[one.name] = np.stack(cells, axis=1)
        else:
            feed[one.name] = np.stack([c.to_numpy(np.float64) for c in columns], axis=1).astype(
                NUMBER_INPUTS[one.kind]
            )
    return feed


def _as_risks(output: NDArray[np.float64], end: _End) -> NDArray[np.float64]:
    output = output.reshape(len(output), -1)
    if end.logits.width == 1 and output.shape[1] == 1:
        if end.bent:
            return np.concatenate([1 - output, output], axis=1)
        return softmax(np.concatenate([np.zeros_like(output), output], axis=1))
    if end.bent and (output >= 0).all():
        return output
    return softmax(output)  # logits, or the logarithms of risks
