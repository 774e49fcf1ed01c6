"""The pages without a browser: the whole job, bad uploads, and what must stay when something fails."""

from __future__ import annotations

import io
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
import torch
from streamlit.testing.v1 import AppTest

from medprune import load_bundle
from medprune.criteria import CRITERIA
from medprune.figures.tradeoff import METRIC_NAMES
from tests.makers import patient_table

REPO = Path(__file__).resolve().parents[2]
PAGES = ["1_patients", "2_model", "3_contributions", "4_threshold", "5_strategies", "6_review", "7_export"]
LONG = 120


def go(app: AppTest, page: str) -> AppTest:
    return healthy(app.switch_page(f"pages/{page}.py").run())


def healthy(app: AppTest) -> AppTest:
    """Neither an exception nor the sentence that stands in for one."""
    assert not app.exception
    assert not [error for error in app.error if "our side" in error.value], app.error
    return app


def texts(app: AppTest) -> str:
    return " ".join(element.value for kind in ("markdown", "caption", "error", "info", "warning", "success")
                    for element in app.get(kind))  # fmt: skip


def with_sample(app: AppTest, name: str = "breast_cancer") -> AppTest:
    return healthy(app.button(key=f"sample_{name}.csv").click().run())


def trained(app: AppTest) -> AppTest:
    go(app, "2_model")
    app.text_input(key="hidden").set_value("8")
    app.number_input(key="epochs").set_value(20)
    return healthy(app.button(key="train").click().run())


def uploaded(app: AppTest, frame: pd.DataFrame, name: str = "mine.csv") -> AppTest:
    data = frame.to_csv(index=False).encode()
    return healthy(app.file_uploader[0].set_value((name, data, "text/csv")).run())


@pytest.mark.parametrize("page", PAGES)
def test_every_page_says_what_to_do_when_there_is_nothing(app: AppTest, page: str) -> None:
    go(app, page)
    assert app.title
    assert app.button


def test_the_listed_pages_are_the_written_ones() -> None:
    listed = (REPO / "app.py").read_text(encoding="utf-8")
    written = {path.stem for path in (REPO / "pages").glob("[0-9]*.py")}
    assert written == {page for page in PAGES if f"pages/{page}.py" in listed}


def test_the_whole_job(app: AppTest, tmp_path: Path) -> None:
    with_sample(app)
    assert "569 rows and 30 features" in texts(app)
    assert "CC BY 4.0" in texts(app)
    trained(app)
    assert "AUROC of" in texts(app)
    go(app, "3_contributions")
    assert app.metric[0].label == "Weights scored"
    for granularity in ("feature", "neuron", "weight"):
        healthy(app.selectbox(key="granularity").set_value(granularity).run())
        healthy(app.selectbox(key="who").set_value("malignant").run())
    go(app, "4_threshold")
    assert "Retrain along the path" in texts(app)
    healthy(app.button(key="walk").click().run())
    assert "Chosen:" in texts(app)
    assert "Retrain along the path" not in texts(app)
    assert [button for button in app.button if button.key == "take"]
    go(app, "7_export")
    healthy(app.button(key="build").click().run())
    assert "114 test patients" in texts(app)
    study = app.session_state["study"]
    archive = tmp_path / "bundle.zip"
    archive.write_bytes(study.finished.zip)
    bundle = load_bundle(archive)
    test = study.cohort.test
    expected = study.chosen.model.predict_proba(test.frame)
    assert abs(bundle.predict_proba(test.frame) - expected).max() < 1e-5


def test_every_criterion_is_in_the_menu_with_its_settings(app: AppTest) -> None:
    trained(with_sample(app))
    go(app, "3_contributions")
    assert len(app.selectbox(key="criterion").options) == len(CRITERIA.names())
    for name in CRITERIA.names():
        healthy(app.selectbox(key="criterion").set_value(name).run())
        assert ("effective patients" in texts(app)) is CRITERIA.get(name).needs_patients
    healthy(app.selectbox(key="criterion").set_value("lrp").run())
    before = app.session_state["study"].scoring
    healthy(app.number_input(key="lrp_epsilon").set_value(0.5).run())
    study = app.session_state["study"]
    assert before.options == ()
    assert study.scoring.options == (("epsilon", 0.5),)
    a, b = (study.scores[how.scored_by].feature_scores for how in (before, study.scoring))
    assert (a != b).any()
    healthy(app.selectbox(key="criterion").set_value("taylor").run())
    healthy(app.toggle(key="taylor_signed").set_value(True).run())
    go(app, "4_threshold")
    healthy(app.button(key="walk").click().run())
    assert app.session_state["study"].path.settings.options == (("signed", True),)


def test_scores_are_held_against_true_removal_on_request(app: AppTest) -> None:
    trained(with_sample(app))
    go(app, "3_contributions")
    assert "Spearman" not in [metric.label for metric in app.metric]
    healthy(app.button(key="agree").click().run())
    shown = {metric.label: metric.value for metric in app.metric}
    assert float(shown["Spearman"]) > 0.9
    assert shown["Truly removed"] == "200"
    healthy(app.selectbox(key="granularity").set_value("neuron").run())
    assert "Spearman" not in [metric.label for metric in app.metric]
    healthy(app.button(key="agree").click().run())
    assert {metric.label: metric.value for metric in app.metric}["Truly removed"] == "8"
    healthy(app.selectbox(key="granularity").set_value("weight").run())
    assert "Spearman" in [metric.label for metric in app.metric], "kept, not computed again"


def test_the_slider_moves_every_figure(app: AppTest) -> None:
    trained(with_sample(app))
    go(app, "4_threshold")
    healthy(app.toggle(key="plain").set_value(True).run())
    slider = app.select_slider(key="threshold")
    low = app.table[0].value["one cut"].to_dict()
    thresholds = app.session_state["study"].sweeps[app.session_state["study"].scoring].thresholds
    healthy(slider.set_value(float(thresholds[-25])).run())
    high = app.table[0].value["one cut"].to_dict()
    metrics = {*METRIC_NAMES.values(), "Train-tuning gap"}
    assert set(low) >= metrics | {"Parameters", "Features", "Bytes"}
    assert low["Parameters"] != high["Parameters"]
    assert low["Removed"] != high["Removed"]


def test_ones_own_table_with_text_missing_values_and_four_classes(app: AppTest) -> None:
    uploaded(app, patient_table(300, classes=4))
    healthy(app.selectbox(key="outcome_column").set_value("stage").run())
    healthy(app.button(key="use_table").click().run())
    assert "300 rows and 6 features" in texts(app)
    trained(app)
    go(app, "3_contributions")
    go(app, "4_threshold")
    healthy(app.button(key="walk").click().run())
    assert "Chosen:" in texts(app)


def test_an_outcome_with_many_values_asks_for_a_cut_point(app: AppTest) -> None:
    uploaded(app, patient_table())
    healthy(app.selectbox(key="outcome_column").set_value("age").run())
    assert "cut-point" in texts(app)
    healthy(app.number_input(key="cut_point").set_value(60.0).run())
    healthy(app.button(key="use_table").click().run())
    assert "200 rows" in texts(app)


def test_a_bad_table_is_a_sentence_and_the_study_stays(app: AppTest) -> None:
    with_sample(app)
    trained(app)
    go(app, "1_patients")
    study = app.session_state["study"]
    before = (study.table, study.cohort, study.model)
    app.button(key="other_patients").click().run()
    for data in (b"", b"a,b\n", b"a,a\n1,2\n", b"\x80\x04anything", b"<html>log in</html>"):
        app.file_uploader[0].set_value(("bad.csv", data or b" ", "text/csv")).run()
        assert healthy(app).error, data
    assert (study.table, study.cohort, study.model) == before
    healthy(app.button(key="back_to_table").click().run())
    assert "569 rows and 30 features" in texts(app)


def test_text_among_numbers_names_the_column_and_not_the_cell(app: AppTest) -> None:
    frame = patient_table().astype({"age": str})
    frame.loc[3, "age"] = "Jane Doe 12345"
    uploaded(app, frame)
    app.selectbox(key="outcome_column").set_value("stage").run()
    healthy(app.button(key="use_table").click().run())
    assert "'age'" in texts(app)
    assert "Jane" not in texts(app)


def model_uploaded(app: AppTest, data: bytes, name: str = "m.pt") -> AppTest:
    field = next(field for field in app.file_uploader if field.key.startswith("model_upload"))
    return healthy(field.set_value((name, data, "application/octet-stream")).run())


def state_dict_bytes(*widths: int) -> bytes:
    torch.manual_seed(0)
    layers: list[torch.nn.Module] = []
    for a, b in pairwise(widths):
        layers += [torch.nn.Linear(a, b), torch.nn.ReLU()]
    out = io.BytesIO()
    torch.save(torch.nn.Sequential(*layers[:-1]).state_dict(), out)
    return out.getvalue()


def test_a_state_dict_is_taken_once_confirmed(app: AppTest) -> None:
    with_sample(app)
    go(app, "2_model")
    model_uploaded(app, state_dict_bytes(30, 5, 1))
    assert "30 → 5 → 2" in texts(app)
    healthy(app.button(key="use_model").click().run())
    assert app.session_state["study"].model.origin.source == "uploaded"
    assert "uploaded" in texts(app)


def test_a_model_of_another_width_is_told_with_both(app: AppTest) -> None:
    trained(with_sample(app))
    before = app.session_state["study"].model
    model_uploaded(app, state_dict_bytes(12, 5, 2))
    said = " ".join(error.value for error in app.error)
    assert "12" in said
    assert "30" in said
    assert app.session_state["study"].model is before


def test_a_new_model_forgets_what_belonged_to_the_old_one(app: AppTest) -> None:
    trained(with_sample(app))
    go(app, "4_threshold")
    healthy(app.button(key="walk").click().run())
    assert app.session_state["study"].chosen is not None
    trained(app)
    study = app.session_state["study"]
    assert study.chosen is None
    assert not study.paths
    assert not study.sweeps


def test_a_wrong_width_is_told_and_nothing_is_trained(app: AppTest) -> None:
    with_sample(app)
    go(app, "2_model")
    app.text_input(key="hidden").set_value("abc")
    healthy(app.button(key="train").click().run())
    assert "whole numbers" in " ".join(error.value for error in app.error)
    assert app.session_state["study"].model is None


def test_acting_at_another_risk_counts_again_and_keeps_the_path(app: AppTest) -> None:
    trained(with_sample(app))
    go(app, "4_threshold")
    healthy(app.button(key="walk").click().run())
    study = app.session_state["study"]
    before, chosen = study.path, study.chosen
    go(app, "2_model")
    field = next(field for field in app.number_input if field.key.startswith("act_at"))
    healthy(field.set_value(0.05).run())
    study = app.session_state["study"]
    assert study.model.act_at == 0.05
    assert len(study.path) == len(before)
    assert study.chosen.model.network is chosen.model.network
    assert study.chosen.performance.sensitivity >= chosen.performance.sensitivity


def test_a_model_from_elsewhere_stays_marked_until_it_leaves(app: AppTest) -> None:
    with_sample(app)
    go(app, "2_model")
    model_uploaded(app, state_dict_bytes(30, 5, 1))
    healthy(app.button(key="use_model").click().run())
    assert "It is unknown which of these patients" in texts(app)
    go(app, "4_threshold")
    healthy(app.button(key="walk").click().run())
    go(app, "7_export")
    healthy(app.button(key="build").click().run())
    assert "It is unknown which of these patients" in texts(app)


def test_a_small_numeric_outcome_can_be_cut(app: AppTest) -> None:
    uploaded(app, patient_table(200).assign(grade=[k % 5 for k in range(200)]))
    app.selectbox(key="outcome_column").set_value("grade").run()
    options = app.selectbox(key="positive_label").options
    assert "a cut-point" in options
    healthy(app.selectbox(key="positive_label").set_value("\0cut").run())
    app.number_input(key="cut_point").set_value(2.0).run()
    healthy(app.button(key="use_table").click().run())
    assert app.session_state["study"].cohort.classes == ("grade < 2", "grade >= 2")


def test_patients_and_rows_are_told_apart(app: AppTest) -> None:
    frame = patient_table(200).assign(person=[f"p{k // 2}" for k in range(200)])
    frame["stage"] = frame.groupby("person")["stage"].transform("max")
    uploaded(app, frame)
    app.selectbox(key="outcome_column").set_value("stage").run()
    app.selectbox(key="patient_column").set_value("person").run()
    healthy(app.button(key="use_table").click().run())
    assert "20 test patients (40 rows)" in texts(app)


def test_user_text_is_never_markup() -> None:
    from medprune.markup import WORD_JOINER, plain
    from pages.shared.guide import on_screen

    escaped = plain("<img src=x> [a](http://b) $x$ :red[y]")
    assert escaped.replace(WORD_JOINER, "") == r"\<img src\=x\> \[a\]\(http\://b\) \$x\$ \:red\[y\]"
    assert "http\\:" + WORD_JOINER in escaped
    assert "--exclude" not in on_screen("leave the column out with --exclude 'age'.")


def test_performance_drops_are_measured_on_request_and_say_which_are_noise(app: AppTest) -> None:
    trained(with_sample(app))
    go(app, "3_contributions")
    for granularity in ("feature", "neuron"):
        healthy(app.selectbox(key="granularity").set_value(granularity).run())
        assert "drops are noise" not in texts(app)  # only when asked
        healthy(app.button(key="drops").click().run())
        found = app.session_state["study"].drops[granularity, "auroc"]
        noise, of = int(found.table["noise"].sum()), len(found.table)
        assert f"{noise} of {of} drops are noise" in texts(app)
        healthy(app.run())
        assert app.session_state["study"].drops[granularity, "auroc"] is found
