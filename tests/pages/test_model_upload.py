"""Models from elsewhere on the Model page: scikit-learn's, ONNX, our own; and what is refused."""

from __future__ import annotations

import pickle

import numpy as np
import onnx
import pandas as pd
import pytest
import skops.io
from onnx import TensorProto, helper, numpy_helper
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from streamlit.testing.v1 import AppTest

from medprune.model_file import model_bytes
from tests.pages.test_pages import go, healthy, model_uploaded, texts, trained, uploaded, with_sample


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "age": rng.normal(60, 10, 200).round(1),
            "lactate": rng.gamma(2, 1, 200).round(2),
            "ward": rng.choice(["north", "south", "west"], 200),
        }
    )
    frame.loc[::9, "lactate"] = np.nan
    ill = frame["age"] / 10 + frame["lactate"].fillna(2) + rng.normal(0, 1, 200) > 8
    return frame.assign(died=np.where(ill, "yes", "no"))


def on_the_model_page(app: AppTest, table: pd.DataFrame) -> AppTest:
    uploaded(app, table)
    app.selectbox(key="outcome_column").set_value("died").run()
    healthy(app.button(key="use_table").click().run())
    return go(app, "2_model")


def test_a_scikit_learn_pipeline_gives_the_same_risks(app: AppTest, table: pd.DataFrame) -> None:
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    columns = make_column_transformer(
        (numbers, ["age", "lactate"]), (OneHotEncoder(handle_unknown="ignore"), ["ward"])
    )
    theirs = make_pipeline(
        columns, MLPClassifier((6,), random_state=0, max_iter=500, solver="lbfgs", alpha=1.0)
    )
    theirs.fit(table.drop(columns="died"), table["died"])
    on_the_model_page(app, table)
    model_uploaded(app, skops.io.dumps(theirs), "m.skops")
    assert "Compare these risks" in texts(app)
    healthy(app.button(key="use_model").click().run())
    study = app.session_state["study"]
    assert study.model.features == ("age", "lactate", "ward")
    here = study.model.predict_proba(table.drop(columns="died"))
    there = theirs.predict_proba(table.drop(columns="died"))
    assert np.abs(here - there).max() < 1e-6
    go(app, "3_contributions")


def test_an_array_model_is_asked_for_its_columns(app: AppTest, table: pd.DataFrame) -> None:
    theirs = LogisticRegression().fit(table[["age", "lactate"]].fillna(0).to_numpy(), table["died"])
    on_the_model_page(app, table)
    model_uploaded(app, skops.io.dumps(theirs), "m.skops")
    assert "2 inputs" in texts(app)
    healthy(app.multiselect(key="adopt_columns").set_value(["age"]).run())
    assert "takes 2 columns" in " ".join(error.value for error in app.error)
    healthy(app.multiselect(key="adopt_columns").set_value(["age", "lactate"]).run())
    healthy(app.button(key="use_model").click().run())
    study = app.session_state["study"]
    assert study.model.features == ("age", "lactate")
    whole = table.dropna()
    expected = theirs.predict_proba(whole[["age", "lactate"]].to_numpy())
    assert np.abs(study.model.predict_proba(whole) - expected).max() < 1e-6


def onnx_perceptron() -> bytes:
    rng = np.random.default_rng(1)
    shapes = {"a": (2, 4), "b": (4,), "c": (4, 2), "d": (2,)}
    weights = [
        numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    nodes = [
        helper.make_node("Gemm", ["x", "a", "b"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "c", "d"], ["z"]),
        helper.make_node("Softmax", ["z"], ["p"], axis=1),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])
    p = helper.make_tensor_value_info("p", TensorProto.FLOAT, ["n", 2])
    graph = helper.make_graph(nodes, "net", [x], [p], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def test_an_onnx_perceptron_is_asked_for_what_it_does_not_say(app: AppTest, table: pd.DataFrame) -> None:
    on_the_model_page(app, table.drop(columns="ward"))
    model_uploaded(app, onnx_perceptron(), "m.onnx")
    assert not app.error
    assert app.multiselect(key="adopt_classes").value == ["no", "yes"]
    healthy(app.multiselect(key="adopt_classes").set_value(["yes", "no"]).run())
    healthy(app.button(key="use_model").click().run())
    assert app.session_state["study"].model.origin.source == "uploaded"


def test_a_model_of_ours_comes_back_with_its_split(app: AppTest) -> None:
    trained(with_sample(app))
    before = app.session_state["study"].model
    model_uploaded(app, model_bytes(before), "model.safetensors")
    healthy(app.button(key="use_model").click().run())
    after = app.session_state["study"].model
    assert (after.origin.source, after.origin.split) == ("trained here", before.origin.split)
    assert app.session_state["study"].model_draft is None


@pytest.mark.parametrize("name", ["m.skops", "m.pt", "m.onnx", "m.safetensors"])
def test_a_pickle_is_refused_whatever_it_is_called(app: AppTest, name: str) -> None:
    trained(with_sample(app))
    before = app.session_state["study"].model
    model_uploaded(app, pickle.dumps({"weights": [1, 2, 3]}), name)
    said = " ".join(error.value for error in app.error)
    assert "pickle" in said
    assert "never opened" in said
    assert app.session_state["study"].model is before
