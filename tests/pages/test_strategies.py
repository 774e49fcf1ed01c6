"""The Strategies page: methods side by side in processes of their own, prices, cross-validation."""

from __future__ import annotations

import time

import pytest
from streamlit.testing.v1 import AppTest

from tests.pages.test_pages import go, healthy, texts, trained, with_sample

PATIENCE = 180.0


def finished(app: AppTest) -> AppTest:
    """Wait until no job is at work, as the page does by itself in a browser."""
    end = time.monotonic() + PATIENCE
    while app.session_state["study"].jobs.busy:
        assert time.monotonic() < end
        time.sleep(0.2)
    return healthy(app.run())


@pytest.fixture
def ready(app: AppTest) -> AppTest:
    return go(trained(with_sample(app)), "5_strategies")


def pick(app: AppTest, family: str, *names: str) -> None:
    app.pills(key=f"family_{family}_feature").set_value(list(names))


def test_methods_run_side_by_side_and_one_is_taken(ready: AppTest) -> None:
    pick(ready, "Contribution", "contribution")
    pick(ready, "Baselines", "l1_logistic", "rfe")
    healthy(ready.run())
    assert "Run the 3 methods" in ready.button(key="run").label
    healthy(ready.button(key="run").click().run())
    assert ready.session_state["study"].jobs.busy or ready.session_state["study"].runs
    finished(ready)
    runs = ready.session_state["study"].runs
    assert [run.method for run in runs] == ["contribution", "l1_logistic", "rfe"]
    assert all(run.path is not None for run in runs)
    said = texts(ready)
    assert "contribution path" in said
    assert "L1 logistic regression" in said
    healthy(ready.button(key="take_strategy").click().run())
    assert "Chosen:" in texts(ready)
    assert "It no longer needs 29 of 30 features" in texts(ready)
    assert "Its risks were set right on tuning patients" in texts(ready)
    go(ready, "7_export")
    healthy(ready.button(key="build").click().run())
    assert "114 test patients" in texts(ready)


def test_a_method_that_cannot_run_is_a_sentence_and_the_others_finish(ready: AppTest) -> None:
    pick(ready, "Contribution", "contribution")
    pick(ready, "Structure search", "exhaustive")  # 30 features are too many to try every subset
    pick(ready, "Baselines")
    healthy(ready.run())
    healthy(ready.button(key="run").click().run())
    finished(ready)
    assert "16" in " ".join(warning.value for warning in ready.warning)
    assert [run.path is not None for run in ready.session_state["study"].runs] == [True, False]


def test_a_method_that_is_not_run_has_its_own_settings_for_the_folds(ready: AppTest) -> None:
    pick(ready, "Contribution", "contribution")
    pick(ready, "Baselines")
    ready.selectbox(key="cross_method_feature").set_value("genetic")
    healthy(ready.run())
    ready.number_input(key="strategy_genetic_population").set_value(4)
    ready.number_input(key="strategy_genetic_generations").set_value(0)
    ready.number_input(key="cross_folds").set_value(2)
    healthy(ready.run())
    healthy(ready.button(key="cross_validate").click().run())
    finished(ready)
    selection = ready.session_state["study"].selecting.result().selection
    assert selection.settings == {"population": 4, "generations": 0}
    assert "Population: 4; Generations: 0" in texts(ready).replace("\\", "")
    assert "threshold" not in selection.sentence  # a search cuts at none
    assert "Thresholds of different rounds" not in texts(ready)


def test_nothing_is_resampled_on_a_rerun(ready: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    pick(ready, "Contribution", "contribution")
    pick(ready, "Baselines", "rfe")
    healthy(ready.run())
    healthy(ready.button(key="run").click().run())
    finished(ready)

    def never(*_: object) -> None:
        raise AssertionError("resampled again")

    monkeypatch.setattr("pages.shared.cache.resampled_path", never)
    healthy(ready.run())
    assert "difference" in texts(ready)  # the comparison is there all the same


def test_prices_are_asked_for_and_saved(ready: AppTest) -> None:
    ready.text_input(key="price_unit").set_value("EUR")
    study = ready.session_state["study"]
    from medprune.prices import Prices

    study.prices = Prices.of({"mean radius": 3.0, "worst area": 10.0}, "EUR")
    pick(ready, "Contribution", "contribution")
    pick(ready, "Baselines")
    healthy(ready.run())
    assert "13\\.00" in texts(ready) or "13.00" in texts(ready)
    healthy(ready.button(key="run").click().run())
    finished(ready)
    path = ready.session_state["study"].runs[0].path
    assert all(one.price == 0 for one in path if one.features <= 28)  # what costs something goes first
    healthy(ready.button(key="take_strategy").click().run())
    assert "EUR" in texts(ready)


def test_cross_validation_chooses_and_its_model_is_taken(ready: AppTest) -> None:
    pick(ready, "Contribution", "contribution")
    pick(ready, "Baselines")
    ready.number_input(key="cross_folds").set_value(2)
    healthy(ready.run())
    assert "its usual settings" in texts(ready)
    ready.toggle(key="strategy_contribution_balanced").set_value(True)
    healthy(ready.run())
    healthy(ready.button(key="cross_validate").click().run())
    finished(ready)
    assert "In 2 folds" in " ".join(success.value for success in ready.success)
    assert "with Every class the same say: yes" in texts(ready).replace("\\", "")
    selection = ready.session_state["study"].selecting.result().selection
    assert selection.settings == {"balanced": True}  # what the fields above said, and what the folds did
    healthy(ready.button(key="run").click().run())
    finished(ready)
    healthy(ready.button(key="take_selected").click().run())
    study = ready.session_state["study"]
    assert study.chosen in study.runs[0].path.candidates
