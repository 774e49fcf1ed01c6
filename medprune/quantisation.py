"""Int8 after pruning: the exported network with its weights in a quarter of the bytes.

Two ways. ``weights``: the weights are stored as 8-bit integers, one scale a unit, and computed with as
numbers again; whatever int8 would not make smaller stays as it is. ``full``: onnxruntime's static
quantisation, so that the products themselves are of 8-bit integers; the ranges of the activations come
from train patients. onnxruntime's dynamic quantisation is not offered: it takes the range of each
activation from the rows that happen to be predicted together, so that a patient's risk would depend on
the other patients of the batch (by up to 0.03 on the benchmark's tables).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from medprune.compaction import compact
from medprune.errors import BadInput
from medprune.model import RiskModel
from medprune.onnx_graph import onnx_model
from medprune.onnx_run import feed_of

WAYS = ("weights", "full")
LARGEST = 127  # of a symmetric 8-bit integer
OVERHEAD = 220  # bytes that a second constant and the operator that puts weights back cost in the file
CALIBRATED_ON = 4_096  # patients, at most


def check_way(way: str) -> str:
    if way not in WAYS:
        raise BadInput(f"Int8 can be used for {' or '.join(WAYS)}, got {way!r}.")
    return way


def quantise(model: RiskModel, way: str = "weights", *, patients: pd.DataFrame | None = None) -> bytes:
    """The model as an ONNX file with int8 weights: raw columns in, risks out, as model.onnx.

    ``patients`` are raw rows of train patients; ``full`` needs them. Raises BadInput.
    """
    if check_way(way) == "weights":
        return _with_int8_weights(onnx_model(model))
    if patients is None or not len(patients):
        raise BadInput("Int8 for activations too needs train patients, to learn their ranges from.")
    return _static(onnx_model(model), _Patients(feed_of(compact(model).preparation, _some(patients))))


# --- weights ---------------------------------------------------------------------------------------


def rounded(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Integers (out, in) and one scale a unit (out,): ``integers * scales`` is within half a scale.

    >>> integers, scales = rounded(np.array([[1.27, -0.5], [0.0, 0.0]], dtype=np.float32))
    >>> integers.tolist(), scales.round(4).tolist()
    ([[127, -50], [0, 0]], [0.009999999776482582, 1.0])
    """
    largest = np.abs(weight).max(axis=1, initial=0.0)
    scales = np.where(largest > 0, largest / LARGEST, 1.0).astype(np.float32)
    return np.round(weight / scales[:, None]).astype(np.int8), scales


def _with_int8_weights(proto: onnx.ModelProto) -> bytes:
    """Every matrix that gets smaller by it as integers, each followed by the operator that scales it."""
    constants = {constant.name: constant for constant in proto.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in proto.graph.node:
        if node.op_type == "Gemm":
            nodes += _int8_weight(proto.graph, constants[node.input[1]])
        nodes.append(node)
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    data: bytes = proto.SerializeToString()
    return data


def _int8_weight(graph: onnx.GraphProto, constant: onnx.TensorProto) -> list[onnx.NodeProto]:
    weight = numpy_helper.to_array(constant)
    integers, scales = rounded(weight)
    if weight.nbytes <= integers.nbytes + scales.nbytes + OVERHEAD:
        return []
    names = [f"{constant.name}/{part}" for part in ("int8", "scales")]
    scaled = helper.make_node("DequantizeLinear", names, [constant.name], axis=0)
    graph.initializer.remove(constant)
    graph.initializer.append(numpy_helper.from_array(integers, names[0]))
    graph.initializer.append(numpy_helper.from_array(scales, names[1]))
    return [scaled]


# --- full ------------------------------------------------------------------------------------------


class _Patients:
    """Feeds onnxruntime's calibration with the patients, once."""

    def __init__(self, feed: dict[str, NDArray[Any]]) -> None:
        self.feeds: Iterator[dict[str, NDArray[Any]]] = iter([feed])

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        return next(self.feeds, None)

    def __iter__(self) -> Iterator[dict[str, NDArray[Any]]]:
        return self.feeds


def _some(patients: pd.DataFrame) -> pd.DataFrame:
    """At most so many patients, evenly over the table: ranges need no more."""
    places = np.unique(np.linspace(0, len(patients) - 1, min(len(patients), CALIBRATED_ON)).round())
    return patients.iloc[places.astype(int)]


def _static(proto: onnx.ModelProto, patients: _Patients) -> bytes:
    """onnxruntime's static quantisation of all layers but the last, which is small and decides.

    The weights take 7 of the 8 bits: products of 8 and 8 bits overflow on processors without VNNI, and
    risks must not depend on the processor.
    """
    # Here, not above: these modules take a while to load, and few users need them.
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    layers = [node for node in proto.graph.node if node.op_type == "Gemm"]
    for place, node in enumerate(layers):
        node.name = f"layer_{place}"
    add_pre_process_metadata(proto)  # our graphs are plain already; without it a warning is logged
    with tempfile.TemporaryDirectory(prefix="medprune-") as scratch:
        file = Path(scratch) / "int8.onnx"
        quantize_static(
            proto,
            file,
            patients,
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Gemm"],
            nodes_to_exclude=[node.name for node in layers[1:][-1:]],
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
        )
        return file.read_bytes()
