"""What each operator of a perceptron does to the values of :mod:`medprune.intake.onnx_values`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from medprune.intake.onnx_values import (
    Bent,
    Codes,
    Columns,
    Normed,
    Risks,
    Units,
    Unreadable,
    Value,
    units_of,
    with_scale,
)
from medprune.intake.traced import Raw, coded, filled, flag, scaled

Inputs = Sequence[Any]  # values; None for an optional input that is not there
Attributes = Mapping[str, Any]
FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE)
SQRT_HALF = math.sqrt(0.5)


def is_constant(value: Any) -> bool:
    return isinstance(value, np.ndarray | np.generic)


def _numbers(value: Any) -> NDArray[np.float64]:
    if not is_constant(value) or value.dtype.kind not in "fiub":
        raise Unreadable("it multiplies or adds values that are not constant")
    return np.asarray(value, dtype=np.float64)


def _per_unit(value: Any, width: int) -> NDArray[np.float64]:
    """A constant that is one number (), or one a unit (width,)."""
    numbers = _numbers(value)
    if numbers.size == 1:
        return numbers.reshape(())
    if numbers.size == width == numbers.shape[-1]:
        return numbers.reshape(width)
    raise Unreadable("its constants do not fit its layers")


# --- layers ----------------------------------------------------------------------------------------


def gemm(inputs: Inputs, how: Attributes) -> Value:
    if how.get("transA", 0):
        raise Unreadable("its layers are turned the other way round (Gemm with transA)")
    matrix = _numbers(inputs[1]) * how.get("alpha", 1.0)
    sums = units_of(inputs[0]).times(matrix.T if how.get("transB", 0) else matrix)
    if len(inputs) < 3 or inputs[2] is None:  # noqa: PLR2004 - the third input is the bias
        return sums
    return sums.scaled(np.array(1.0), _per_unit(inputs[2], sums.width) * how.get("beta", 1.0))


def matmul(inputs: Inputs, how: Attributes) -> Value:
    return units_of(inputs[0]).times(_numbers(inputs[1]))


def batch_norm(inputs: Inputs, how: Attributes) -> Value:
    if how.get("training_mode", 0):
        raise Unreadable("it was exported while training")
    units = units_of(inputs[0])
    scale, shift, mean, variance = (_per_unit(value, units.width) for value in inputs[1:5])
    if (variance < 0).any():
        raise Unreadable("one of its normalisations has negative variances")
    by = scale / np.sqrt(variance + how.get("epsilon", 1e-5))
    return _affine(inputs[0], by, shift - mean * by)


def layer_norm(inputs: Inputs, how: Attributes) -> Value:
    if how.get("axis", -1) not in (-1, 1):
        raise Unreadable("it normalises over patients")
    value = inputs[0]
    after = isinstance(value, Bent) and value.plain and value.activation != "erf"
    units = value.sums if after else units_of(value)
    width = units.width
    shift = np.zeros(width) if len(inputs) < 3 or inputs[2] is None else _per_unit(inputs[2], width)  # noqa: PLR2004
    norm = (
        np.broadcast_to(_per_unit(inputs[1], width), (width,)).copy(),
        np.broadcast_to(shift, (width,)).copy(),
        float(how.get("epsilon", 1e-5)),
    )
    return Normed(units, value.activation if after else None, norm)


def bend(activation: str) -> Callable[[Inputs, Attributes], Value]:
    def bent(inputs: Inputs, how: Attributes) -> Value:
        if activation == "gelu" and how.get("approximate", b"none") not in (b"none", "none"):
            raise Unreadable("its GELU is an approximation")
        return Bent(units_of(inputs[0]), activation)

    return bent


def softmax(inputs: Inputs, how: Attributes) -> Value:
    if how.get("axis", -1) not in (-1, 1):
        raise Unreadable("its softmax runs over patients")
    return Risks(units_of(inputs[0]))


# --- arithmetic ------------------------------------------------------------------------------------


def add(inputs: Inputs, how: Attributes) -> Value:
    first, second = inputs
    if is_constant(first):
        first, second = second, first
    if is_constant(second):
        return _affine(first, np.array(1.0), second)
    one, two = units_of(first), units_of(second)
    if one.basis is not two.basis or one.width != two.width:
        raise Unreadable("it adds layers to each other, as residual networks do")
    return Units(one.basis, one.full + two.full, one.bias + two.bias)


def subtract(inputs: Inputs, how: Attributes) -> Value:
    first, second = inputs
    if is_constant(second):
        return _affine(first, np.array(1.0), -_numbers(second))
    if is_constant(first):
        return _affine(second, np.array(-1.0), first)
    raise Unreadable("it subtracts layers from each other")


def multiply(inputs: Inputs, how: Attributes) -> Value:
    first, second = inputs
    if is_constant(first):
        first, second = second, first
    if is_constant(second):
        return _affine(first, second, np.array(0.0))
    if not (isinstance(second, Bent) and second.activation in ("sigmoid", "erf")):
        first, second = second, first
    return _gated(first, second)


def divide(inputs: Inputs, how: Attributes) -> Value:
    by = _numbers(inputs[1])
    if (by == 0).any():
        raise Unreadable("it divides by zero")
    return _affine(inputs[0], 1 / by, np.array(0.0))


def _affine(value: Value, by: Any, plus: Any) -> Value:
    """``by * value + plus``, each a constant for all or one a unit."""
    if isinstance(value, Columns):
        width = len(value.traced)
        factors, terms = (np.broadcast_to(_per_unit(c, width), (width,)) for c in (by, plus))
        if (factors == 0).any():
            raise Unreadable("it multiplies its inputs by zero")
        pairs = zip(value.traced, factors, terms, strict=True)
        return Columns(tuple(scaled(column, float(a), float(b)) for column, a, b in pairs))
    if isinstance(value, Bent) and _numbers(by).size == _numbers(plus).size == 1:
        return with_scale(value, float(_numbers(by).item()), float(_numbers(plus).item()))
    units = units_of(value)
    return units.scaled(_per_unit(by, units.width), _per_unit(plus, units.width))


def _gated(value: Value, gate: Value) -> Value:
    """x * sigmoid(x) is SiLU; x * (erf(x / sqrt 2) + 1) / 2 is GELU."""
    if not isinstance(gate, Bent):
        raise Unreadable("it multiplies layers with each other")
    by = units_of(value).ratio(gate.sums)
    if by is not None and gate.activation == "sigmoid" and gate.shift == 0:
        return Bent(gate.sums, "silu", by * gate.scale)
    if by is not None and gate.activation == "erf" and gate.scale == gate.shift:
        heard = gate.sums.scaled(np.array(1 / SQRT_HALF), np.array(0.0))
        return Bent(heard, "gelu", 2 * gate.scale * by * SQRT_HALF)
    raise Unreadable("it multiplies layers with each other")


# --- columns of the table --------------------------------------------------------------------------


def is_nan(inputs: Inputs, how: Attributes) -> Value:
    return Columns(tuple(flag(column) for column in _columns(inputs[0])))


def where(inputs: Inputs, how: Attributes) -> Value:
    """Only the filling of missing values."""
    missing, fill, value = inputs
    columns = _columns(value)
    if not isinstance(missing, Columns) or missing.traced != tuple(flag(column) for column in columns):
        raise Unreadable("it chooses between values other than by what is missing")
    fills = np.broadcast_to(_per_unit(fill, len(columns)), (len(columns),))
    if not np.isfinite(fills).all():
        raise Unreadable("it fills missing values by what is no number")
    return Columns(tuple(filled(c, float(by)) for c, by in zip(columns, fills, strict=True)))


def concat(inputs: Inputs, how: Attributes) -> Value:
    if how.get("axis") not in (1, -1):
        raise Unreadable("it puts patients together")
    if all(isinstance(value, Columns) for value in inputs):
        return Columns(tuple(column for value in inputs for column in value.traced))
    if len(inputs) == 2 and all(isinstance(v, Bent) and v.activation == "sigmoid" for v in inputs):  # noqa: PLR2004
        no, yes = inputs
        alike = no.sums is yes.sums and no.sums.width == 1
        if alike and yes.plain and (no.scale, no.shift) == (-1.0, 1.0):
            return Risks(yes.sums)
    raise Unreadable("it puts layers side by side")


def label_encoder(inputs: Inputs, how: Attributes) -> Value:
    [column] = _columns(inputs[0])
    keys, values = how.get("keys_strings"), how.get("values_int64s")
    if not isinstance(column, Raw) or keys is None or values is None or len(keys) != len(values):
        raise Unreadable("it encodes something else than text as whole numbers")
    known = {_text(key): int(value) for key, value in zip(keys, values, strict=True)}
    return Codes(column.source, known, int(how.get("default_int64", -1)))


def equal(inputs: Inputs, how: Attributes) -> Value:
    codes, wanted = inputs
    if not isinstance(codes, Codes):
        raise Unreadable("it compares other values than codes of categories")
    missing = codes.known.get("", codes.unseen)
    labels = {label: code for label, code in codes.known.items() if label}
    return Columns(
        tuple(
            coded(
                codes.source,
                {label: float(code == want) for label, code in labels.items()},
                float(codes.unseen == want),
                float(missing == want),
            )
            for want in _numbers(wanted).ravel().tolist()
        )
    )


def scaler(inputs: Inputs, how: Attributes) -> Value:
    """ai.onnx.ml: (x - offset) * scale."""
    by = np.array(how.get("scale", [1.0]), dtype=np.float64)
    offset = np.array(how.get("offset", [0.0]), dtype=np.float64)
    return _affine(inputs[0], by, -offset * by)


def imputer(inputs: Inputs, how: Attributes) -> Value:
    fills = np.array(how.get("imputed_value_floats", []), dtype=np.float64)
    if not math.isnan(how.get("replaced_value_float", 0.0)):
        raise Unreadable("it replaces another value than the missing one")
    return where([is_nan(inputs, how), fills, inputs[0]], how)


def array_feature_extractor(inputs: Inputs, how: Attributes) -> Value:
    columns, places = _columns(inputs[0]), _numbers(inputs[1]).ravel().astype(np.int64).tolist()
    if any(not 0 <= place < len(columns) for place in places):
        raise Unreadable("it takes columns that are not there")
    return Columns(tuple(columns[place] for place in places))


def _columns(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, Columns):
        raise Unreadable("it prepares columns after its first layer")
    return value.traced


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


# --- what changes nothing --------------------------------------------------------------------------


def same(inputs: Inputs, how: Attributes) -> Value:
    value: Value = inputs[0]
    return value


def dropout(inputs: Inputs, how: Attributes) -> Value:
    if len(inputs) > 2 and inputs[2] is not None and _numbers(inputs[2]).any():  # noqa: PLR2004
        raise Unreadable("it was exported while training")
    return same(inputs, how)


def cast(inputs: Inputs, how: Attributes) -> Value:
    if how.get("to") not in FLOATS:
        raise Unreadable("it rounds or cuts its numbers")
    return same(inputs, how)


def flatten(inputs: Inputs, how: Attributes) -> Value:
    if how.get("axis", 1) != 1:
        raise Unreadable("it mixes patients")
    return same(inputs, how)


def reshape(inputs: Inputs, how: Attributes) -> Value:
    """Only to the shape (patients, units) that the value has, or to (patients,) of one unit."""
    width, shape = width_of(inputs[0]), _numbers(inputs[1]).ravel().astype(np.int64).tolist()
    kept = shape in ([-1, width], [0, width], [0, -1]) or (shape == [-1] and width == 1)
    if not kept:
        raise Unreadable("it gives its values another shape")
    return same(inputs, how)


def squeeze(inputs: Inputs, how: Attributes) -> Value:
    axes = how.get("axes") if len(inputs) == 1 else _numbers(inputs[1]).ravel().astype(np.int64).tolist()
    if width_of(inputs[0]) != 1 or list(axes or ()) not in ([1], [-1]):
        raise Unreadable("it gives its values another shape")
    return same(inputs, how)


def zip_map(inputs: Inputs, how: Attributes) -> Value:
    """Risks by the name of their class."""
    if not isinstance(inputs[0], Risks):
        raise Unreadable("it names other values than risks")
    labels = how.get("classlabels_strings") or how.get("classlabels_int64s") or ()
    return Risks(inputs[0].logits, tuple(_text(label) for label in labels))


def width_of(value: Value) -> int:
    if isinstance(value, Columns):
        return len(value.traced)
    if isinstance(value, Risks):
        return max(value.logits.width, 2)
    return units_of(value).width


OPERATORS: dict[str, Callable[[Inputs, Attributes], Value]] = {
    "Gemm": gemm,
    "MatMul": matmul,
    "BatchNormalization": batch_norm,
    "LayerNormalization": layer_norm,
    "Relu": bend("relu"),
    "Tanh": bend("tanh"),
    "Sigmoid": bend("sigmoid"),
    "Gelu": bend("gelu"),
    "Erf": bend("erf"),
    "Softmax": softmax,
    "LogSoftmax": softmax,
    "Add": add,
    "Sub": subtract,
    "Mul": multiply,
    "Div": divide,
    "IsNaN": is_nan,
    "Where": where,
    "Concat": concat,
    "LabelEncoder": label_encoder,
    "Equal": equal,
    "Scaler": scaler,
    "Imputer": imputer,
    "ArrayFeatureExtractor": array_feature_extractor,
    "Identity": same,
    "Dropout": dropout,
    "Cast": cast,
    "Flatten": flatten,
    "Reshape": reshape,
    "Squeeze": squeeze,
    "ZipMap": zip_map,
}

# Of constants alone, and cheap: no result is larger than what goes in.
FOLDED: dict[str, Callable[[Inputs, Attributes], NDArray[Any]]] = {
    "Identity": lambda inputs, how: inputs[0],
    "Cast": lambda inputs, how: inputs[0].astype(
        {TensorProto.FLOAT: np.float32, TensorProto.DOUBLE: np.float64, TensorProto.INT64: np.int64}[
            how["to"]
        ]
    ),
    "Transpose": lambda inputs, how: np.transpose(inputs[0], how.get("perm")),
    "Reshape": lambda inputs, how: np.reshape(inputs[0], inputs[1].tolist()),
    "Unsqueeze": lambda inputs, how: np.expand_dims(inputs[0], tuple(np.ravel(_axes(inputs, how)).tolist())),
    "Squeeze": lambda inputs, how: np.squeeze(inputs[0], tuple(np.ravel(_axes(inputs, how)).tolist())),
    "Add": lambda inputs, how: inputs[0] + inputs[1],
    "Sub": lambda inputs, how: inputs[0] - inputs[1],
    "Mul": lambda inputs, how: inputs[0] * inputs[1],
    "Div": lambda inputs, how: inputs[0] / inputs[1],
}


def _axes(inputs: Inputs, how: Attributes) -> Any:
    return inputs[1] if len(inputs) > 1 else how["axes"]
