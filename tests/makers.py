"""Made-up tables, networks and masks for the tests: small, seeded, with every kind of column."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from medprune import Cohort, Mask, RiskModel, load_cohort
from medprune.model import Origin
from medprune.network import MLP, Network, NetworkSpec, TailSpec, frozen, initial_network
from medprune.preparation import fit_preparation


def patient_table(rows: int = 200, classes: int = 2, seed: int = 0) -> pd.DataFrame:
    """Numbers with and without missing values, text with missing and rare labels, an outcome that depends."""
    rng = np.random.default_rng(seed)
    age = rng.normal(60, 12, rows).round(1)
    lactate = np.where(rng.random(rows) < 0.25, np.nan, rng.gamma(2, 1, rows).round(2))
    visit = 20200101 + rng.integers(0, 70000, rows)
    sex = rng.choice(["female", "male"], rows)
    ward = rng.choice(["A", "B", "C", None], rows, p=[0.5, 0.3, 0.1, 0.1])
    noise = rng.normal(size=rows)
    risk = 0.08 * (age - 60) + np.nan_to_num(lactate, nan=2.0) + (ward == "B") + rng.normal(size=rows)
    outcome = pd.qcut(risk, classes, labels=False)
    frame = pd.DataFrame(
        {
            "age": age,
            "lactate": lactate,
            "visit": visit.astype(float),
            "sex": sex,
            "ward": ward,
            "noise": noise,
        }
    )
    return frame.assign(stage=[f"stage {k}" for k in outcome] if classes > 2 else outcome)


def patient_cohort(rows: int = 200, classes: int = 2, seed: int = 0) -> Cohort:
    return load_cohort(patient_table(rows, classes, seed), outcome="stage", seed=seed)


def random_network(spec: NetworkSpec, seed: int = 0) -> Network:
    """Random weights, biases, and normalisation statistics that matter."""
    network = initial_network(spec, seed)
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for layer in network.layers:
            layer.bias.normal_(0, 0.5, generator=generator)
        for tail in network.tails:
            for name, value in [] if tail.norm is None else tail.norm.state_dict().items():
                if value.is_floating_point():
                    value.normal_(1.0, 0.3, generator=generator)
                    if name == "running_var":
                        value.abs_().add_(0.1)
    return frozen(network)


def random_mask(network: Network, seed: int, keep: float = 0.5) -> Mask:
    """A mask of all kinds at once: weights, units and inputs with their constants, whole layers."""
    generator = torch.Generator().manual_seed(seed)

    def some(shape: torch.Size) -> torch.Tensor:
        return torch.rand(shape, generator=generator) < keep

    full = network.full_mask()
    return replace(
        full,
        weights=tuple(some(w.shape) for w in full.weights),
        units=tuple(some(u.shape) for u in full.units),
        unit_constants=tuple(torch.randn(u.shape, generator=generator) for u in full.units),
        inputs=some(full.inputs.shape),
        input_constants=torch.randn(full.inputs.shape, generator=generator),
        layers=torch.rand(full.layers.shape, generator=generator) < (1 + keep) / 2,
    )


def untrained_model(cohort: Cohort, recipe: MLP | None = None, seed: int = 0) -> RiskModel:
    """A model with random weights: quick, and as good as a trained one for exact laws."""
    preparation = fit_preparation(cohort.train.frame, cohort.features)
    recipe = MLP(hidden=(6, 5), dropout=0.0) if recipe is None else recipe
    spec = recipe.network_spec(len(preparation.columns), len(cohort.classes))
    return RiskModel(
        preparation,
        random_network(spec, seed),
        cohort.outcome,
        cohort.classes,
        origin=Origin(split=cohort.record()),
    )


def tails(
    *widths: int, activation: str = "relu", norm: str = "none", norm_first: bool = True
) -> tuple[TailSpec, ...]:
    return tuple(TailSpec(width, activation, norm, norm_first) for width in widths)


def followed_table(rows: int = 300, seed: int = 0) -> pd.DataFrame:
    """Patients followed in days until they ``died`` or left: at 8 days about a third have left before.

    The columns of :func:`patient_table` but for its outcome; older ones and those on ward B die sooner.
    """
    rng = np.random.default_rng(seed + 1_000)
    table = patient_table(rows, seed=seed).drop(columns="stage")
    rate = 0.07 * np.exp(0.06 * (table["age"] - 60) + (table["ward"] == "B"))
    until, leaves = rng.exponential(1 / rate), rng.exponential(14.0, rows)
    seen = until <= leaves
    return table.assign(days=np.minimum(until, leaves).round(1), died=seen.astype(int))
