"""The shell with models from elsewhere: scikit-learn and ONNX files in every verb that takes a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medprune import load_cohort, load_model
from medprune.onnx_graph import onnx_bytes
from tests.hostile.onnx_files import mlp
from tests.test_cli import Shell, place, shell

__all__ = ["place", "shell"]  # fixtures


DROPPED = ("sex", "ward", "noise")


def scikit(frame: pd.DataFrame, *, named: bool = True) -> Any:
    """A Pipeline on numbers with missing values, as a hospital's data scientist would have it."""
    numbers = frame[["age", "lactate", "visit"]]
    steps = (SimpleImputer(strategy="median", add_indicator=True), StandardScaler(), LogisticRegression())
    return make_pipeline(*steps).fit(numbers if named else numbers.to_numpy(), frame["stage"])


@pytest.mark.parametrize("named", [True, False])
def test_a_scikit_learn_model_in_every_verb(shell: Shell, place: Path, tmp_path: Path, named: bool) -> None:
    frame = pd.read_csv(place / "patients.csv")
    pipeline = scikit(frame, named=named)
    path = tmp_path / "theirs.skops"
    skops.io.dump(pipeline, path)
    common = (place / "patients.csv", "--outcome", "stage", "--model", path)
    if not named:
        assert "takes 3 columns and only numbers them" in shell.refused("score", *common)
        common += ("--columns", "age,lactate,visit")
    scored = shell.json("score", *common)
    assert {feature["name"] for feature in scored["features"]} == {"age", "lactate", "visit"}
    assert shell.json("sweep", *common)["thresholds"]
    pruned = shell.json("prune", *common, "--sparsity", "0.5", "--out", tmp_path / "bundle")
    assert pruned["dense"]["features"] == 3
    model = load_model(path, load_cohort(place / "patients.csv", outcome="stage", exclude=DROPPED))
    numbers = frame[["age", "lactate", "visit"]]
    theirs = pipeline.predict_proba(numbers if named else numbers.to_numpy())
    np.testing.assert_allclose(model.predict_proba(frame), theirs, atol=1e-6)


def test_an_onnx_model_in_every_verb(shell: Shell, place: Path, tmp_path: Path) -> None:
    """Our own export says everything; a plain perceptron does not say how its inputs are made."""
    path = tmp_path / "ours.onnx"
    model = load_model(place / "m.safetensors")
    path.write_bytes(onnx_bytes(model))
    table = (place / "patients.csv", "--outcome", "stage")
    ours = shell.json("score", *table, "--model", path)
    assert len(ours["features"]) == len(model.features)
    plain = tmp_path / "theirs.onnx"
    plain.write_bytes(mlp(classes=2))
    how = ("--columns", "age,lactate,visit,noise")
    assert "add --scaling" in shell.refused("score", *table, "--model", plain, *how)
    theirs = shell.json("score", *table, "--model", plain, *how, "--scaling", "fitted")
    assert len(theirs["features"]) == 4
