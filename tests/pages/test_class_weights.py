"""The Model page offers class weights only together with recalibration, and says why."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from tests.pages.test_pages import go, healthy, texts, trained, with_sample


def test_class_weights_come_with_recalibration_and_the_reason(app: AppTest) -> None:
    go(with_sample(app), "2_model")
    said = texts(app)
    assert "Class weights distort risks, and so does resampling" in said
    assert "no weights here without recalibration" in said
    assert not app.toggle(key="class_weights").value
    healthy(app.toggle(key="class_weights").set_value(True).run())
    trained(app)
    model = app.session_state["study"].model
    assert model.origin.training["schedule"]["class_weights"] == "balanced"
    assert not model.recalibration.is_identity


def test_without_them_the_model_is_as_it_was_trained(app: AppTest) -> None:
    trained(with_sample(app))
    assert app.session_state["study"].model.recalibration.is_identity
