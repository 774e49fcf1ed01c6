"""A model in words: everything about it but its tensors, as JSON values.

``FORMAT`` goes up when an older MedPrune could misread a newer file; a reader for every older number
stays.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from medprune.cohort import Feature
from medprune.model import RiskModel

FORMAT = 1
KEY = "medprune"  # of the metadata of a safetensors file


def describe(model: RiskModel) -> dict[str, Any]:
    """Everything about a model but its tensors, as JSON values."""
    return {
        "format": FORMAT,
        "outcome": model.outcome,
        "classes": list(model.classes),
        "positive": model.positive,
        "decision_threshold": model.act_at,
        "inputs": [_input(feature) for feature in model.preparation.features],
        "preparation": model.preparation.to_json(),
        "network": model.network.spec.to_json(),
        "recalibration": model.recalibration.to_json(),
        "origin": model.origin.to_json(),
        "versions": {name: version(name) for name in ("medprune", "torch", "onnx")},
    }


def _input(feature: Feature) -> dict[str, Any]:
    """One source column in plain sight; what its cells go through first, where that is anything."""
    about: dict[str, Any] = {"name": feature.name, "kind": feature.kind}
    return about | ({"clean": feature.clean.to_json()} if feature.clean else {})
