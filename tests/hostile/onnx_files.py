"""ONNX models made by hand, as exporters write them and as nobody should."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


class Maker:
    """Collects nodes and constants of one graph; every method returns the name of its result."""

    def __init__(self, inputs: int = 4, kind: int = TensorProto.FLOAT) -> None:
        self.inputs = [helper.make_tensor_value_info("x", kind, ["patients", inputs])]
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: Any, kind: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype=kind), name))
        return name

    def add(self, op: str, *inputs: str, domain: str = "", outputs: int = 1, **how: Any) -> str:
        names = [f"v{len(self.nodes)}_{at}" if at else f"v{len(self.nodes)}" for at in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, domain=domain, **how))
        return names[0]

    def model(
        self, *outputs: str, opset: int = 20, more: Sequence[Any] = (), rank: int = 2
    ) -> onnx.ModelProto:
        ends = [
            helper.make_tensor_value_info(o, TensorProto.FLOAT, ["patients", "width"][:rank]) for o in outputs
        ]
        graph = helper.make_graph(self.nodes, "theirs", self.inputs, ends, self.constants)
        opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3), *more]
        made = helper.make_model(graph, opset_imports=opsets, producer_name="theirs")
        made.ir_version = 9
        return made


def numbers(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed + sum(shape))
    return rng.normal(size=shape).astype(np.float32)


def gemm(make: Maker, value: str, into: int, out: int, **how: Any) -> str:
    """A layer as torch writes it (transB=1), or turned and scaled."""
    turned = bool(how.get("transB", 1))
    weight = numbers(out, into) if turned else numbers(into, out)
    bias = make.constant(numbers(out, seed=9))
    return make.add("Gemm", value, make.constant(weight), bias, **{"transB": 1, **how})


def mlp(head: str = "Softmax", classes: int = 3) -> bytes:
    """4 -> 6 -> classes, with Relu."""
    make = Maker()
    hidden = make.add("Relu", gemm(make, "x", 4, 6))
    end = gemm(make, hidden, 6, classes)
    if head:
        end = make.add(head, end, **({"axis": 1} if "max" in head else {}))
    data: bytes = make.model(end).SerializeToString()
    return data


def with_external(location: str) -> bytes:
    """The good model with a weight that lies in another file."""
    made = onnx.load_model_from_string(mlp())
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    data: bytes = made.SerializeToString()
    return data


def hidden_external() -> bytes:
    """The same, where a careless reader does not look: in an attribute of a node of a subgraph."""
    make = Maker()
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "decoy.bin"
    inner = helper.make_graph(
        [helper.make_node("Constant", [], ["t"], value=tensor)],
        "inner",
        [],
        [helper.make_tensor_value_info("t", TensorProto.FLOAT, [4])],
    )
    end = make.add("If", make.constant(True, np.bool_), then_branch=inner, else_branch=inner)
    data: bytes = make.model(end).SerializeToString()
    return data


def with_node(op: str, domain: str = "", **how: Any) -> bytes:
    """The good model with one more operator."""
    made = onnx.load_model_from_string(mlp())
    made.graph.node.append(helper.make_node(op, ["x"], ["more"], domain=domain, **how))
    data: bytes = made.SerializeToString()
    return data


def huge_constant() -> bytes:
    """A hundred bytes that ask for 4 TB."""
    make = Maker()
    shape = make.constant([10**6, 10**6], np.int64)
    data: bytes = make.model(make.add("ConstantOfShape", shape)).SerializeToString()
    return data


def lying_shape() -> bytes:
    made = onnx.load_model_from_string(mlp())
    tensor = made.graph.initializer[0]
    tensor.dims[:] = [10**9, 2]
    tensor.raw_data = bytes(16)
    data: bytes = made.SerializeToString()
    return data


def outer_product() -> bytes:
    """Two thin constants whose product would take terabytes, on the way to no output that is read."""
    make = Maker()
    tall, flat = make.constant(np.zeros((10**6, 1))), make.constant(np.zeros((1, 10**6)))
    end = make.add("MatMul", "x", make.add("MatMul", tall, flat))
    data: bytes = make.model(end).SerializeToString()
    return data
