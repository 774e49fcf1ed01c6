"""One patient under both models: risks, what each feature does to them, and what the smaller one misses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medprune.ablation import removals, risks_with_all
from medprune.compaction import compact
from medprune.errors import BadInput
from medprune.model import RiskModel
from medprune.performance import decisions

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class WhatIf:
    """A patient's risks (classes,) by the dense and the pruned model, and the class that each decides on.

    ``features`` has a row for every feature of the dense model: ``feature``, ``value``, ``seen`` (whether the
    pruned model reads it), and in ``dense`` and ``pruned`` by how much the risk would fall if that one test
    had not been taken: a positive number is a value that raises the risk. Largest first.
    """

    dense: Floats
    pruned: Floats
    decided: tuple[int, int]
    features: pd.DataFrame

    @property
    def unseen(self) -> pd.DataFrame:
        """What the pruned model no longer sees of this patient: ``feature``, ``value``, ``dense``."""
        gone = self.features[~self.features["seen"]]
        return gone[["feature", "value", "dense"]].reset_index(drop=True)


def what_if(
    dense: RiskModel, pruned: RiskModel, patient: pd.DataFrame, klass: int = 1, *, act_at: float | None = None
) -> WhatIf:
    """Both models on one patient (a frame of one row, typed as a split's), and every feature taken away once.

    Removal means "the test was not taken", as everywhere in MedPrune. It says what the model makes of the
    value, and not what treating it would do. Raises BadInput unless there is just one row.
    """
    if len(patient) != 1:
        raise BadInput(f"A what-if looks at one patient, got {len(patient)} rows.")
    dense, pruned = compact(dense), compact(pruned)
    at = dense.act_at if act_at is None else act_at
    rows = [model.preparation.transform(patient) for model in (dense, pruned)]
    risks = [risks_with_all(model, row)[0] for model, row in zip((dense, pruned), rows, strict=True)]
    own = _falls(pruned, rows[1], risks[1], klass)
    falls = _falls(dense, rows[0], risks[0], klass)
    table = pd.DataFrame(
        {
            "feature": list(dense.features),
            "value": [_or_none(patient[name].iloc[0]) for name in dense.features],
            "seen": [name in own for name in dense.features],
            "dense": [falls.get(name, 0.0) for name in dense.features],
            "pruned": [own.get(name, 0.0) for name in dense.features],
        }
    )
    order = np.argsort(-table[["dense", "pruned"]].abs().max(axis=1).to_numpy(), kind="stable")
    decided = [int(decisions(risk[None, :], at)[0]) for risk in risks]
    return WhatIf(risks[0], risks[1], (decided[0], decided[1]), table.iloc[order].reset_index(drop=True))


def _falls(model: RiskModel, row: NDArray[np.float32], risk: Floats, klass: int) -> dict[str, float]:
    """By how much the risk falls without each feature that the model reads."""
    return {
        model.features[place]: float(risk[klass] - without[0, klass])
        for part in removals(model, row, "feature")
        for place, without in zip(part.places, part.risks, strict=True)
    }


def _or_none(value: object) -> object:
    """A cell, None where it is missing."""
    return None if pd.isna(value) else value
