"""How big a model is: parameters that are not zero, numbers stored, features needed, bytes on disk."""

from __future__ import annotations

from dataclasses import dataclass

from medprune.compaction import compact
from medprune.model import RiskModel
from medprune.onnx_graph import onnx_bytes

SIZES = ("parameters", "stored", "features", "bytes")


@dataclass(frozen=True)
class Size:
    """All counted on the compacted model, the one that leaves.

    ``parameters``: non-zero weights and biases; ``stored``: parameters in the compact file;
    ``features``: source columns used; ``bytes``: size of model.onnx.
    """

    parameters: int
    stored: int
    features: int
    bytes: int


def size_of(model: RiskModel) -> Size:
    small = compact(model)
    return Size(
        parameters=small.network.nonzero(),
        stored=small.network.stored(),
        features=len(small.features),
        bytes=len(onnx_bytes(small)),
    )
