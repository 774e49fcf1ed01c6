"""The Model page with files from elsewhere: it asks for what the file does not say, and for nothing else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from streamlit.testing.v1 import AppTest

from tests.hostile.onnx_files import mlp
from tests.makers import patient_table
from tests.pages.test_pages import app, go, healthy, texts, uploaded

__all__ = ["app"]  # a fixture
NUMBERS = ["age", "visit", "noise"]


def on_the_model_page(app: AppTest, frame: pd.DataFrame) -> None:
    uploaded(app, frame)
    healthy(app.selectbox(key="outcome_column").set_value("stage").run())
    healthy(app.button(key="use_table").click().run())
    go(app, "2_model")


@pytest.mark.parametrize("named", [True, False])
def test_a_scikit_learn_model_is_used(app: AppTest, named: bool) -> None:
    frame = patient_table(120)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    pipeline.fit(frame[NUMBERS] if named else frame[NUMBERS].to_numpy(), frame["stage"])
    on_the_model_page(app, frame)
    file = ("theirs.skops", skops.io.dumps(pipeline), "application/octet-stream")
    app.file_uploader(key="model_upload").set_value(file)
    healthy(app.run())
    asked = [select.key for select in app.multiselect]
    assert ("complete_columns" in asked) == (not named)
    assert "complete_classes" not in asked
    if not named:
        healthy(app.multiselect(key="complete_columns").set_value(NUMBERS).run())
    healthy(app.button(key="use_model").click().run())
    model = app.session_state["study"].model
    rows = frame[NUMBERS] if named else frame[NUMBERS].to_numpy()
    np.testing.assert_allclose(model.predict_proba(frame), pipeline.predict_proba(rows), atol=1e-6)


def test_an_onnx_model_is_asked_for_its_scaling_and_not_its_activation(app: AppTest) -> None:
    on_the_model_page(app, patient_table(120))
    app.file_uploader(key="model_upload").set_value(("m.onnx", mlp(classes=2), "application/octet-stream"))
    healthy(app.run())
    healthy(app.multiselect(key="adopt_columns").set_value([*NUMBERS, "lactate"]).run())
    assert "Activations as in the file" in texts(app)
    assert "adopt_scaling" in [select.key for select in app.selectbox]
    assert "adopt_activation" not in [select.key for select in app.selectbox]
    healthy(app.button(key="use_model").click().run())
    assert app.session_state["study"].model.origin.source == "uploaded"
