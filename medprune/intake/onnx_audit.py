"""Look through an ONNX file before anything in it is used: its operators, its tensors, its sizes.

Nothing outside the file is ever opened: external data is refused wherever it stands, before any tensor is
turned into an array.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import onnx
from google.protobuf.message import Message  # type: ignore[import-untyped]
from onnx import TensorProto

from medprune.errors import BadInput, listed

MOST_BYTES = 200 * 1024**2
MOST_PARTS = 100_000
ONNX_HINT = "export a perceptron of Gemm or MatMul layers with Relu, Tanh, Sigmoid or Gelu between them"

# What a perceptron and its preparation are made of. Everything else is refused by name.
OPERATORS = {
    "": frozenset(
        [
            "Add",
            "ArgMax",
            "BatchNormalization",
            "Cast",
            "Concat",
            "Constant",
            "Div",
            "Dropout",
            "Equal",
            "Erf",
            "Flatten",
            "Gelu",
            "Gemm",
            "Identity",
            "IsNaN",
            "LayerNormalization",
            "LogSoftmax",
            "MatMul",
            "Mul",
            "Relu",
            "Reshape",
            "Sigmoid",
            "Softmax",
            "Squeeze",
            "Sub",
            "Tanh",
            "Transpose",
            "Unsqueeze",
            "Where",
        ]
    ),
    "ai.onnx.ml": frozenset(["ArrayFeatureExtractor", "Imputer", "LabelEncoder", "Scaler", "ZipMap"]),
}
DOMAINS = {"": "", "ai.onnx": "", "ai.onnx.ml": "ai.onnx.ml"}

# Bytes an element takes in raw_data, and the field that holds it otherwise.
ELEMENT = {
    TensorProto.FLOAT: (4, "float_data"),
    TensorProto.DOUBLE: (8, "double_data"),
    TensorProto.FLOAT16: (2, "int32_data"),
    TensorProto.INT64: (8, "int64_data"),
    TensorProto.INT32: (4, "int32_data"),
    TensorProto.BOOL: (1, "int32_data"),
}


def audit(data: bytes, title: str) -> onnx.ModelProto:
    """The parsed model, when all of it is of a kind that is read. Raises BadInput."""
    if len(data) > MOST_BYTES:
        raise BadInput(
            f"{title} is an ONNX model of {len(data) / 1024**2:,.0f} MB; at most "
            f"{MOST_BYTES // 1024**2} MB are "
            "read."
        )
    model = parsed(data)
    if model is None:
        raise BadInput(f"{title} is a damaged or incomplete ONNX model; copy or upload it again.")
    parts = list(_parts(model, title))
    _check_data_inside(parts, title)
    _check_operators(parts, title)
    for part in parts:
        if isinstance(part, TensorProto):
            _check_tensor(part, title)
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # the checker and the shape inference raise many kinds
        raise BadInput(f"{title} is not a valid ONNX model; export it again.") from error
    return model


def parsed(data: bytes) -> onnx.ModelProto | None:
    """The model in these bytes; None when they hold none. Reads no other file."""
    try:
        model = onnx.load_model_from_string(data)
    except Exception:  # protobuf raises many kinds
        return None
    return model if model.ir_version > 0 and model.graph.node else None


def _parts(model: onnx.ModelProto, title: str) -> Iterator[Message]:
    """Every message in the model, whatever field it stands in."""
    waiting: list[Message] = [model]
    count = 0
    while waiting:
        part = waiting.pop()
        count += 1
        if count > MOST_PARTS:
            raise BadInput(f"{title} has more parts than any network here; {ONNX_HINT}.")
        yield part
        for field, value in part.ListFields():
            if field.message_type is not None:
                waiting += [value] if isinstance(value, Message) else list(value)


def _check_data_inside(parts: list[Message], title: str) -> None:
    for part in parts:
        if isinstance(part, TensorProto) and (
            part.data_location == TensorProto.EXTERNAL or len(part.external_data)
        ):
            raise BadInput(
                f"{title} keeps its weights in another file (external data), which is never opened; "
                "export it "
                "as one file."
            )


def _check_operators(parts: list[Message], title: str) -> None:
    kinds: tuple[type[Message], ...] = (onnx.FunctionProto, onnx.TrainingInfoProto, onnx.SparseTensorProto)
    if any(isinstance(part, kinds) for part in parts):
        raise BadInput(
            f"{title} holds functions of its own, training steps or sparse tensors, which are not read; "
            f"{ONNX_HINT}."
        )
    unknown = []
    for part in parts:
        if isinstance(part, onnx.NodeProto):
            domain = DOMAINS.get(part.domain)
            if domain is None or part.op_type not in OPERATORS[domain]:
                unknown.append(f"{part.domain}.{part.op_type}" if part.domain else part.op_type)
    if unknown:
        names = list(dict.fromkeys(unknown))
        what = "operator" if len(names) == 1 else "operators"
        raise BadInput(f"{title} uses the {what} {listed(names)}, which cannot be read; {ONNX_HINT}.")
    graphs = sum(isinstance(part, onnx.GraphProto) for part in parts)
    if graphs != 1:
        raise BadInput(f"{title} holds graphs inside of its graph, which cannot be read; {ONNX_HINT}.")


def _check_tensor(tensor: Any, title: str) -> None:
    """As many elements as its shape says, of a kind that a network is made of."""
    count = math.prod(tensor.dims)
    if any(length < 0 for length in tensor.dims):
        raise _mismatch(tensor, title)
    if tensor.data_type == TensorProto.STRING:
        if len(tensor.string_data) != count:
            raise _mismatch(tensor, title)
        return
    if tensor.data_type not in ELEMENT:
        raise BadInput(
            f"{title}: the tensor {tensor.name!r} is of a type that no network here has; export it in "
            "float32."
        )
    size, field = ELEMENT[tensor.data_type]
    has = len(tensor.raw_data) if tensor.HasField("raw_data") else size * len(getattr(tensor, field))
    if has != count * size:
        raise _mismatch(tensor, title)


def _mismatch(tensor: Any, title: str) -> BadInput:
    return BadInput(
        f"{title}: the tensor {tensor.name!r} does not hold as many numbers as its shape says (a size "
        "mismatch); "
        "export it again."
    )
