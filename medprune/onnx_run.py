"""An exported model under onnxruntime: what it is fed with, the risks it gives, rows to try it on."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
from numpy.typing import NDArray

from medprune.preparation import Preparation

PROBES = 256


def feed_of(preparation: Preparation, frame: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """One array (N, 1) a source column, as the graph takes it: double, or text with "" where missing."""
    typed = preparation.typed(frame)
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
        table[number.name] = np.where(rng.random(rows) < 0.2, np.nan, values)  # noqa: PLR2004 - a fifth missing
    for category in preparation.categories:
        labels = np.array([*category.labels, "label never seen", None], dtype=object)
        table[category.name] = rng.choice(labels, rows)
    return pd.DataFrame(table, index=range(rows))
