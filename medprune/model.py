"""The model a patient's row goes through: preparation, network with its mask, recalibration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from medprune.cohort import Split
from medprune.errors import BadInput
from medprune.mask import Mask
from medprune.network import Network
from medprune.preparation import Preparation
from medprune.splits import SplitRecord

BATCH = 65_536  # patients in one forward pass: bounds memory on large tables


@dataclass(frozen=True)
class Recalibration:
    """Maps logits z to ``slope * z + intercepts``; the identity until it is fitted on tuning."""

    slope: float = 1.0
    intercepts: tuple[float, ...] = ()

    def __call__(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        shift = np.array(self.intercepts) if self.intercepts else 0.0
        return self.slope * logits + shift

    @property
    def is_identity(self) -> bool:
        return self.slope == 1.0 and not any(self.intercepts)

    def to_json(self) -> dict[str, Any]:
        return {"slope": self.slope, "intercepts": list(self.intercepts)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Recalibration:
        return cls(float(value["slope"]), tuple(float(shift) for shift in value["intercepts"]))


@dataclass(frozen=True)
class Origin:
    """Where a model comes from: which patients it has seen, and how often test was opened for it."""

    source: str = "trained here"  # or "uploaded"
    split: SplitRecord | None = None  # None: the patients it was trained on are unknown
    seed: int = 0
    test_openings: int = 0
    parent: str | None = None  # sha256 of the dense model's parameters
    training: Mapping[str, Any] | None = None  # how the dense model was trained; None where unknown
    treatments: tuple[str, ...] = ()  # ids of what was done to the table, see medprune.treatments

    def to_json(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "seed": self.seed,
            "test_openings": self.test_openings,
            "parent": self.parent,
            "training": None if self.training is None else dict(self.training),
            "split": None if self.split is None else self.split.to_json(),
            "treatments": list(self.treatments),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Origin:
        split = value.get("split")
        return cls(
            source=str(value["source"]),
            split=None if split is None else SplitRecord.from_json(split),
            seed=int(value["seed"]),
            test_openings=int(value["test_openings"]),
            parent=value.get("parent"),
            training=value.get("training"),
            treatments=tuple(str(each) for each in value.get("treatments", ())),
        )


@dataclass(frozen=True, eq=False)
class RiskModel:
    """A finished model. ``classes`` are the outcome's labels in the order of the risks.

    The network is frozen: nothing changes a model it was given; pruning and compaction make new ones.
    """

    preparation: Preparation
    network: Network
    outcome: str
    classes: tuple[str, ...]
    positive: str | None = None  # what was asked for as positive: a label or a cut-point such as ">0"
    mask: Mask | None = None
    recalibration: Recalibration = field(default_factory=Recalibration)
    act_at: float = 0.5
    origin: Origin = field(default_factory=Origin)

    def predict_proba(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Risks (N, classes), rows sum to 1, from raw columns; extra columns are ignored.

        Raises BadInput when a needed column is missing or holds text where numbers are expected.
        """
        return self.risks_of(self.preparation.transform(self.preparation.typed(frame)))

    def risks_of(self, prepared: NDArray[np.float32]) -> NDArray[np.float64]:
        """Risks (N, classes) from prepared columns (N, inputs)."""
        return softmax(self.recalibration(logits_of(self.network, prepared, self.mask)))

    def prepared(self, split: Split) -> NDArray[np.float32]:
        """Prepared columns (N, inputs) of a split whose frame is typed already."""
        return self.preparation.transform(split.frame)

    @property
    def features(self) -> tuple[str, ...]:
        """Source columns of the table that the preparation reads."""
        return tuple(feature.name for feature in self.preparation.features)

    @property
    def may_know_the_patients(self) -> bool:
        """True when nobody can say which patients the model was trained on: its figures may flatter it."""
        return self.origin.source != "trained here" or self.origin.split is None


def logits_of(network: Network, prepared: NDArray[np.float32], mask: Mask | None) -> NDArray[np.float64]:
    """Logits (N, classes) in double, computed in batches."""
    with torch.no_grad():
        batches = torch.from_numpy(prepared).split(BATCH)
        parts = [network(batch, mask) for batch in batches]
        result: NDArray[np.float64] = torch.cat(parts).double().numpy()
        return result


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Risks from logits along the last axis, without overflow."""
    risen = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: NDArray[np.float64] = risen / risen.sum(axis=-1, keepdims=True)
    return result


def check_finite(network: Network) -> None:
    """BadInput naming the first layer that holds NaN or infinite weights."""
    for name, values in network.state_dict().items():
        if values.is_floating_point() and not bool(torch.isfinite(values).all()):
            count = int((~torch.isfinite(values)).sum())
            raise BadInput(
                f"Layer {layer_title(name, network)!r} of the model holds {count} weights that are not "
                "finite numbers (NaN or infinity); train or export the model again."
            )


def layer_title(parameter: str, network: Network) -> str:
    """The layer a parameter such as ``layers.1.weight`` belongs to, in the user's words."""
    family, index, *_ = parameter.split(".")
    title = network.layer_names()[int(index)]
    return title if family == "layers" else f"{title} (normalisation)"
