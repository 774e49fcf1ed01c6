"""Random Pipelines of everything that is read from scikit-learn give the same risks here, to 1e-6."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)

from medprune.errors import BadInput
from medprune.intake.skops_model import read_skops
from medprune.intake.tensor_file import TensorFile
from medprune.model_file import model_from

NUMBERS = ["age", "lactate", "visit day"]
TEXT = ["ward", "sex"]
CODES = ["grade"]  # categories written as numbers
SCALERS = [
    StandardScaler,
    lambda: StandardScaler(with_mean=False),
    lambda: StandardScaler(with_std=False),
    MinMaxScaler,
    lambda: MinMaxScaler(feature_range=(-1, 3)),
    RobustScaler,
    lambda: RobustScaler(with_centering=False),
    lambda: RobustScaler(with_scaling=False, quantile_range=(10, 90)),
    MaxAbsScaler,
    lambda: "passthrough",
]


def patients(rng: np.random.Generator, rows: int, *, holes: bool, unseen: bool = False) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "age": rng.normal(60, 12, rows),
            "lactate": rng.gamma(2, 1, rows),
            "visit day": rng.integers(-20, 300, rows).astype(float),
            "ward": rng.choice(["A", "B", "C d"], rows).astype(object),
            "sex": rng.choice(["female", "male"], rows).astype(object),
            "grade": rng.choice([1.0, 2.0, 4.5], rows),
        }
    )
    if unseen:
        frame.loc[frame.index[::7], "ward"] = "never seen"
        frame.loc[frame.index[::11], "grade"] = 9.0
    if holes:
        for column in frame.columns:
            frame.loc[rng.random(rows) < 0.2, column] = np.nan
    return frame


@st.composite
def number_steps(draw: st.DrawFn, *, holes: bool) -> Any:
    scaler = draw(st.sampled_from(SCALERS))()
    steps = [scaler] if draw(st.booleans()) else [scaler, draw(st.sampled_from(SCALERS))()]
    if holes:
        strategy = draw(st.sampled_from(["mean", "median", "most_frequent", "constant"]))
        value = 7.5 if strategy == "constant" else None
        imputer = SimpleImputer(strategy=strategy, fill_value=value, add_indicator=draw(st.booleans()))
        steps.insert(draw(st.integers(0, len(steps))), imputer)
    return make_pipeline(*steps)


@st.composite
def category_steps(draw: st.DrawFn, *, holes: bool, text: bool) -> Any:
    steps: list[Any] = []
    if holes and draw(st.booleans()):
        strategy = draw(st.sampled_from(["most_frequent", "constant"]))
        value = ("none told" if text else 4.5) if strategy == "constant" else None
        steps.append(SimpleImputer(strategy=strategy, fill_value=value))
    encoder = draw(st.sampled_from(["one-hot", "ordinal"]))
    if encoder == "one-hot":
        drop = draw(st.sampled_from([None, "first", "if_binary"]))
        steps.append(OneHotEncoder(drop=drop, handle_unknown="ignore", sparse_output=draw(st.booleans())))
    else:
        steps.append(
            OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-3, encoded_missing_value=-2)
        )
    if draw(st.booleans()):
        steps.append(draw(st.sampled_from([MaxAbsScaler, lambda: StandardScaler(with_mean=False)]))())
    return make_pipeline(*steps)


@st.composite
def nets(draw: st.DrawFn) -> Any:
    if draw(st.integers(0, 2)) == 0:
        return LogisticRegression(C=0.1, fit_intercept=draw(st.booleans()), max_iter=50)
    hidden = draw(st.lists(st.integers(1, 7), min_size=1, max_size=3))
    activation = draw(st.sampled_from(["relu", "tanh", "logistic", "identity"]))
    solver = draw(st.sampled_from(["adam", "sgd", "lbfgs"]))
    return MLPClassifier(hidden, activation=activation, solver=solver, max_iter=4, random_state=3)


@st.composite
def pipelines(draw: st.DrawFn, *, holes: bool) -> Pipeline:
    parts: list[tuple[str, Any, Any]] = [
        ("numbers", draw(number_steps(holes=holes)), NUMBERS[: draw(st.integers(1, 3))]),
        ("text", draw(category_steps(holes=holes, text=True)), TEXT),
        ("codes", draw(category_steps(holes=holes, text=False)), draw(st.sampled_from([CODES, [5], [-1]]))),
    ]
    if not holes and draw(st.booleans()):
        parts[0] = ("numbers", "passthrough", slice(0, 2))
    table = ColumnTransformer(draw(st.permutations(parts)), remainder="drop")
    steps: list[Any] = [table]
    if draw(st.booleans()):  # what leaves the encoders may be scaled too
        steps.append(StandardScaler(with_mean=False))
    return make_pipeline(*steps, draw(nets()))


def fitted(pipeline: Any, frame: Any, outcome: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pipeline.fit(frame, outcome)


def risks(pipeline: Any, frame: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pipeline.predict_proba(frame)


def read(estimator: Any) -> TensorFile:
    return read_skops(skops.io.dumps(estimator), "The file 'theirs.skops'")


@settings(max_examples=30)
@given(data=st.data())
def test_random_pipelines_give_the_same_risks(data: st.DataObject) -> None:
    holes, classes = data.draw(st.booleans(), "holes"), data.draw(st.integers(2, 4), "classes")
    rng = np.random.default_rng(data.draw(st.integers(0, 1000), "seed"))
    pipeline = data.draw(pipelines(holes=holes), "pipeline")
    labels = np.array([f"stage {k}" for k in range(classes)]) if rng.random() < 0.5 else np.arange(classes)
    outcome = labels[np.arange(80) % classes]
    pipeline = fitted(pipeline, patients(rng, 80, holes=holes), outcome)
    model = model_from(read(pipeline))
    new = patients(rng, 60, holes=holes, unseen=True)
    np.testing.assert_allclose(model.predict_proba(new), risks(pipeline, new), atol=1e-6)
    assert model.classes == tuple(str(label) for label in labels)


def test_a_number_filled_in_two_ways_keeps_both() -> None:
    rng = np.random.default_rng(1)
    frame = patients(rng, 80, holes=True)[NUMBERS]
    table = ColumnTransformer(
        [
            ("mean", make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), NUMBERS),
            ("zero", SimpleImputer(strategy="constant", fill_value=0.0), ["lactate"]),
        ]
    )
    pipeline = fitted(make_pipeline(table, LogisticRegression()), frame, np.arange(80) % 2)
    model = model_from(read(pipeline))
    assert model.features == tuple(NUMBERS)
    np.testing.assert_allclose(model.predict_proba(frame), risks(pipeline, frame), atol=1e-6)


def test_columns_chosen_by_a_selector_and_a_remainder() -> None:
    rng = np.random.default_rng(2)
    frame = patients(rng, 80, holes=False)
    table = ColumnTransformer(
        [("text", OneHotEncoder(), make_column_selector(dtype_include=object))], remainder=StandardScaler()
    )
    pipeline = fitted(make_pipeline(table, LogisticRegression()), frame, np.arange(80) % 3)
    file = read(pipeline)
    model = model_from(file)
    np.testing.assert_allclose(model.predict_proba(frame), risks(pipeline, frame), atol=1e-6)
    assert any("not made for new categories of 'sex' and 'ward'" in note for note in file.notes)
    assert any("not made for missing values" in note for note in file.notes)


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (PolynomialFeatures(), "'polynomialfeatures' holds|PolynomialFeatures"),
        (FunctionTransformer(np.log1p), "may be code|code"),
        (MinMaxScaler(clip=True), "'minmaxscaler' is a MinMaxScaler that clips"),
        (SimpleImputer(missing_values=-1.0), "'simpleimputer' is made for missing values that are written"),
        (FeatureUnion([("a", StandardScaler())]), "FeatureUnion"),
        (OneHotEncoder(max_categories=3), "groups infrequent categories"),
        (make_pipeline(StandardScaler(), OneHotEncoder(handle_unknown="ignore")), "were scaled or encoded"),
    ],
)
def test_a_step_that_cannot_be_said_is_named(step: Any, says: str) -> None:
    rng = np.random.default_rng(3)
    frame = patients(rng, 80, holes=False)[NUMBERS].abs()
    pipeline = fitted(make_pipeline(step, LogisticRegression()), frame, np.arange(80) % 2)
    with pytest.raises(BadInput, match=says):
        read(pipeline)


@pytest.mark.parametrize(
    ("estimator", "says"),
    [
        (RandomForestClassifier(2), "RandomForestClassifier"),
        (MLPRegressor(hidden_layer_sizes=(2,)), "MLPRegressor"),
        (MLPClassifier((2,)), "multi-label"),
        (StandardScaler(), "ends in a StandardScaler"),
    ],
)
def test_other_estimators_are_named(estimator: Any, says: str) -> None:
    rng = np.random.default_rng(4)
    outcome: Any = np.arange(80) % 2
    if says == "multi-label":
        outcome = rng.integers(0, 2, (80, 2))
    fit = fitted(estimator, rng.normal(size=(80, 3)), outcome)
    with pytest.raises(BadInput, match=says):
        read(fit)


def test_an_unfitted_model_is_told() -> None:
    with pytest.raises(BadInput, match="does not hold a fitted model"):
        read(MLPClassifier())


def test_a_column_read_twice_over_is_refused() -> None:
    rng = np.random.default_rng(5)
    frame = patients(rng, 80, holes=False)
    table = ColumnTransformer([("a", StandardScaler(), CODES), ("b", OneHotEncoder(), CODES)])
    pipeline = fitted(make_pipeline(table, LogisticRegression()), frame, np.arange(80) % 2)
    with pytest.raises(BadInput, match="'grade' both as numbers and as categories"):
        read(pipeline)
