"""Reviews of small made-up models, some with names that try to be more than names."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any
from unittest.mock import patch

from medprune import MLP, Cohort, RiskModel, load_cohort
from medprune.model import Recalibration
from medprune.review import Review, review
from medprune.review.floor import Floor
from tests.makers import patient_table, random_mask, untrained_model

HOSTILE = (
    "<script>alert(1)</script>",
    "]]> & <b>",
    "[x](javascript:alert(1))",
    "$x$ `a` | b",
    "a\u202eb\x07",
)
PROVENANCE: dict[str, Any] = {
    "table_sha256": "0" * 64,
    "patients": {"train": 600, "tuning": 7, "test": 200},
    "outcome": "stage",
    "data_problems": [
        {
            "kind": "missing",
            "count": 3,
            "message": "'lactate' is missing in 3 rows (0.5%).",
            "column": "lactate",
        }
    ],
    "parent_model_sha256": "f" * 64,
    "split_seed": 11,
    "strategy": "contribution",
    "granularity": "weight",
    "settings": {"criterion": "taylor", "schedule": {"epochs": 40, "learning_rate": 0.002}},
    "threshold": 0.25,
    "sparsity": {"requested": 0.9, "achieved": 0.875},
    "path_on_tuning": [{"sparsity": 0.5, "parameters": 70, "features": 6, "auroc": 0.75}],
    "search_burden": {"models_trained": 17, "of_these_in_folds": 4, "candidates": 9},
    "versions": {"medprune": "0.0.test"},
}


def pruned(model: RiskModel, seed: int = 3, keep: float = 0.6) -> RiskModel:
    mask = random_mask(model.network, seed, keep)
    mask = replace(mask, layers=mask.layers | True)
    intercepts = (0.0, *(0.2 for _ in model.classes[1:]))
    return replace(model, mask=mask, recalibration=Recalibration(1.3, intercepts))


def reviewed(model: RiskModel, smaller: RiskModel, cohort: Cohort) -> Review:
    """A review with a made-up floor and few bootstrap draws, whose intervals nobody looks at here."""
    few = {"DRAWS": 20, "LEAST_DRAWS": 20}
    with patch.multiple("medprune.review.side_by_side", **few):
        made = review(model, smaller, cohort.test, act_at=0.5, refits=0)
    return replace(made, floor=Floor((0.05, 0.07)))


@cache
def found(rows: int = 450, classes: int = 2) -> Review:
    """A review with subgroups, a floor, and some decisions that change."""
    table = patient_table(rows, classes)
    cohort = load_cohort(table, outcome="stage", subgroups=("sex", "age"))
    model = untrained_model(cohort)
    return reviewed(model, pruned(model), cohort)


def hostile_cohort(rows: int = 400) -> Cohort:
    table = patient_table(rows)
    table["sex"] = table["sex"].map({"female": HOSTILE[0], "male": HOSTILE[1]})
    table["stage"] = table["stage"].map({0: "no", 1: HOSTILE[0]})
    names = dict(zip(("age", "noise", "visit"), (HOSTILE[2], HOSTILE[3], HOSTILE[1]), strict=True))
    table = table.rename(columns=names)
    return load_cohort(table, outcome="stage", positive=HOSTILE[0], subgroups=("sex",))


@cache
def hostile() -> Review:
    cohort = hostile_cohort()
    model = untrained_model(cohort, MLP(hidden=(4,), dropout=0.0))
    return reviewed(model, pruned(model, keep=0.9), cohort)
