"""An exported model under onnxruntime: what it is fed with, the risks it gives, rows to try it on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
from numpy.typing import NDArray

from medprune.intake.clean import Clean
from medprune.intake.columns import typed_for
from medprune.preparation import Preparation

PROBES = 256
AT_EDGES = 0.3  # of the values of a number that is cleaned


def feed_of(preparation: Preparation, frame: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """One array (N, 1) a source column, as the graph takes it: double, or text with "" where missing."""
    raw = [
        replace(feature, clean=Clean(text_missing=feature.clean.text_missing))
        for feature in preparation.features
    ]
    typed = typed_for(frame, raw)  # the graph cleans the cells itself
    return {
        f.name: (
            typed[f.name].to_numpy(np.float64)
            if f.kind == "number"
            else typed[f.name].where(typed[f.name].notna(), "").to_numpy(dtype=object)
        ).reshape(-1, 1)
        for f in preparation.features
    }


def session_of(model: bytes) -> onnxruntime.InferenceSession:
    """The model in one thread, as every measurement here runs it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def onnx_risks(model: bytes, preparation: Preparation, frame: pd.DataFrame) -> NDArray[np.float64]:
    """Risks (N, classes) from an ONNX model under onnxruntime, fed with raw columns."""
    risks: NDArray[np.float64] = session_of(model).run(None, feed_of(preparation, frame))[0]
    return risks


def probe_rows(preparation: Preparation, rows: int = PROBES, seed: int = 0) -> pd.DataFrame:
    """Made-up raw rows that reach every code: values far and near, missing ones, rare and unseen labels."""
    rng = np.random.default_rng(seed)
    table: dict[str, Any] = {}
    for number in preparation.numbers:
        values = number.mean + number.scale * rng.standard_t(4, rows)
        values = np.where(rng.random(rows) < 0.2, np.nan, values)  # noqa: PLR2004 - a fifth missing
        if edges := _edges(number.clean):
            values = np.where(rng.random(rows) < AT_EDGES, rng.choice(edges, rows), values)
        table[number.name] = values
    for category in preparation.categories:
        labels = np.array([*category.raw[0], "label never seen", None], dtype=object)
        table[category.name] = rng.choice(labels, rows)
    return pd.DataFrame(table, index=range(rows))


def _edges(clean: Clean) -> list[float]:
    """Values at which the cleaning of a number changes what it does."""
    low, high = (None, None) if clean.convert is None else (clean.convert.low, clean.convert.high)
    bounds = [bound for bound in (clean.low, clean.high, low, high) if bound is not None]
    around = [float(np.nextafter(bound, to)) for bound in bounds for to in (-np.inf, np.inf)]
    middle = [] if low is None or high is None else [(low + high) / 2]
    return [*clean.codes, *bounds, *around, *middle]
