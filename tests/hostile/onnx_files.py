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
