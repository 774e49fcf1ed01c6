"""The chosen model's risks, raw and set right, side by side on page Threshold."""

from __future__ import annotations

import pandas as pd
from streamlit.testing.v1 import AppTest

from medprune.performance import performance
from pages.shared.guide import metric_text
from pages.shared.recalibrated import why
from tests.pages.test_pages import go, healthy, texts, trained, with_sample


def shown(app: AppTest) -> list[pd.DataFrame]:
    return [table.value for table in app.dataframe if "set right" in table.value.columns]


def test_raw_and_recalibrated_stand_side_by_side(app: AppTest) -> None:
    trained(with_sample(app))
    go(app, "4_threshold")
    healthy(app.button(key="walk").click().run())
    study = app.session_state["study"]
    study.choose(study.path.candidates[-1], study.path)
    healthy(app.run())
    chosen = study.chosen
    said = texts(app)
    assert f"intercept {chosen.model.recalibration.intercepts[1]:.2f}" in said
    assert why(chosen.model.recalibration.slope) in said
    assert "which flatters it a little" in said
    [table] = shown(app)
    columns, outcome = chosen.model.prepared(study.cohort.tuning), study.cohort.tuning.outcome
    for title, model in (("raw", chosen.raw), ("set right", chosen.model)):
        found = performance(outcome, model.risks_of(columns), model.act_at)
        rows = table.set_index("figure")[title]
        for name, label in (("brier", "Brier score"), ("net_benefit", "Net benefit"), ("auroc", "AUROC")):
            assert rows[label] == metric_text(name, found[name])
    study.choose(study.path.dense, study.path)
    healthy(app.run())
    assert not shown(app)
    assert "Its risks were set right" not in texts(app)


def test_the_slope_is_put_in_words() -> None:
    assert "timid" in why(1.3)
    assert "extreme" in why(0.7)
    assert "left alone" in why(1.0)
