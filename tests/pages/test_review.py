"""The Review page: limits before looking, the whole review, two depths with the same numbers, the gate."""

from __future__ import annotations

import io
import json
import re
import time
import zipfile
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from medprune import MLP, Cohort, Path, Schedule, load_bundle, load_cohort, prune, train
from medprune.review import Review, review
from pages.shared import cache, reviewing
from pages.shared.session import Reviewed, Table
from tests.makers import patient_table
from tests.pages.test_pages import go, healthy, texts, trained, uploaded, with_sample

PATIENCE = 180.0
OPEN = "Open the test patients and review"


class Done:
    """A job that is over."""

    state = "done"


def study_of(app: AppTest):
    return app.session_state["study"]


def walked(app: AppTest) -> AppTest:
    go(trained(app), "4_threshold")
    app.number_input(key="path_epochs").set_value(3)
    return healthy(app.button(key="walk").click().run())


def finished(app: AppTest) -> AppTest:
    """Wait until the job is over, as the page does by itself in a browser."""
    end = time.monotonic() + PATIENCE
    while study_of(app).jobs.busy:
        assert time.monotonic() < end
        time.sleep(0.2)
    return healthy(app.run())


def quick(app: AppTest, refits: int = 1) -> AppTest:
    go(app, "6_review")
    app.number_input(key="review_refits").set_value(refits)
    app.number_input(key="review_folds").set_value(0)
    return healthy(app.run())


def reviewed(app: AppTest, refits: int = 1) -> AppTest:
    quick(app, refits)
    healthy(app.button(key="review").click().run())
    return finished(app)


def review_of(app: AppTest) -> Review:
    found = next(iter(study_of(app).reviews.values())).review
    assert found is not None
    return found


@pytest.fixture(scope="module")
def chosen() -> tuple[Cohort, Path, Table]:
    """A path of the sample, as the pages would walk it; trained once for all tests here."""
    sample = next(each for each in cache.samples() if each.file == "breast_cancer.csv")
    table = sample.table()
    cohort = load_cohort(table.frame, outcome=sample.outcome, positive=sample.positive)
    model = train(cohort, MLP(hidden=(8,)), schedule=Schedule(epochs=20))
    return cohort, prune(model, cohort, sparsities=(0.8, 0.95), schedule=Schedule(epochs=3)), table


@pytest.fixture
def ready(app: AppTest, chosen: tuple[Cohort, Path, Table]) -> AppTest:
    """A study that has taken the smallest model."""
    return taken(app, *chosen)


def taken(app: AppTest, cohort: Cohort, path: Path, table: Table) -> AppTest:
    """The app's study on this table, with the smallest model of the path taken."""
    study = study_of(app)
    study.use_table(table, cohort)
    study.use_model(path.dense.model, [])
    study.paths[study.scoring] = path
    study.choose(path.candidates[-1], path)
    return app


@pytest.fixture(scope="module")
def once(chosen: tuple[Cohort, Path, Table]) -> Review:
    """The review of the smallest model, made once."""
    cohort, path, _ = chosen
    how = {"cohort": cohort, "refits": 1, "subgroups": ("mean texture",)}
    return review(path.dense.model, path.candidates[-1].model, cohort.test, **how)


@pytest.fixture
def looked(ready: AppTest, once: Review) -> AppTest:
    """A study whose chosen model is reviewed."""
    study = study_of(ready)
    study.subgroups = ("mean texture",)
    opened = reviewing.open_test(study, study.chosen, study.model)
    study.reviews[reviewing.key_of(study)] = Reviewed(opened, Done(), once)
    return go(ready, "6_review")


def said(app: AppTest) -> str:
    """Every word on the page: also of tiles, charts and tables."""
    tiles = [f"{m.label} {m.value} {m.delta}" for m in app.metric]
    charts = [chart.proto.alt for chart in app.get("plotly_chart")]
    tables = [frame.value.to_csv() for frame in app.dataframe]
    return " ".join([texts(app), *(s.value for s in app.subheader), *tiles, *charts, *tables])


def numbers(text: str) -> set[str]:
    return set(re.findall(r"\d+(?:[.,]\d+)*|\.\d+", text.replace("\\", "")))


def test_without_a_candidate_it_says_what_to_do(app: AppTest) -> None:
    trained(with_sample(app))
    go(app, "6_review")
    assert "no smaller model to review yet" in texts(app)
    assert [b.key for b in app.main.button][:2] == ["next_pages/4_threshold.py", "review_to_strategies"]


def test_limits_are_set_and_hashed_before_anybody_is_opened(ready: AppTest) -> None:
    quick(ready)
    study = study_of(ready)
    assert (study.test_openings, study.locked) == (0, None)
    key = f"limits_{study.cohort.table_hash[:8]}"
    ready.number_input(key=f"{key}_auroc_loss").set_value(0.01)
    ready.number_input(key=f"{key}_missed_per_1000").set_value(5.0)
    ready.multiselect(key=f"{key}_required").set_value(["mean radius"])
    ready.multiselect(key=f"{key}_groups").set_value(["mean texture"])
    healthy(ready.run())
    assert study_of(ready).locked is None, "nothing is locked before the button"
    healthy(ready.button(key="review").click().run())
    study = study_of(ready)
    assert study.test_openings == 1
    assert (study.locked.limits.auroc_loss, study.locked.limits.missed_per_1000) == (0.01, 5.0)
    assert study.locked.limits.required == ("mean radius",)
    assert study.locked.subgroups == ("mean texture",)
    finished(ready)
    assert study_of(ready).locked.limits.sha256[:16] in texts(ready)
    assert review_of(ready).evidence.locked == study.locked.limits.sha256
    assert not review_of(ready).evidence.loosened


def test_the_whole_review(ready: AppTest) -> None:
    reviewed(ready)
    review, shown = review_of(ready), said(ready)
    assert review.floor is not None
    assert len(review.floor.rates) == 1
    for check in review.checks:
        assert check.title in shown.replace("\\", "")
        assert check.sentence in shown.replace("\\", "").replace("\u2060", "")
    assert {chart.proto.id.split("-")[-1] for chart in ready.get("plotly_chart")} >= {
        f"chart_{name}" for name in ("calibration", "decision", "risks", "flips", "elsewhere", "what_if")
    }
    assert not re.search(r"\b(safe|validated|no difference|bias-free)\b", shown, re.IGNORECASE)


def test_depth_changes_words_and_no_number(looked: AppTest) -> None:
    ready = looked
    for_clinicians = said(ready)
    healthy(ready.segmented_control(key="depth").set_value("Data scientist").run())
    for_scientists = said(ready)
    assert numbers(for_clinicians)
    assert numbers(for_clinicians) <= numbers(for_scientists)
    assert "Flips" in for_scientists or "per 1,000" in for_scientists
    assert "Ranking (AUROC)" in for_clinicians
    assert "Ranking (AUROC)" not in for_scientists
    assert len(numbers(for_scientists)) > len(numbers(for_clinicians)) + 20, "and more detail"


def test_the_same_candidate_again_is_no_further_look_and_another_one_is(ready: AppTest) -> None:
    reviewed(ready, refits=0)
    study = study_of(ready)
    first, path = study.chosen, study.chosen_path
    study.reviews.clear()
    reviewed(ready, refits=0)
    assert study_of(ready).test_openings == 1
    assert review_of(ready).evidence.configurations == 1
    other = next(c for c in path if c is not first and c.sparsity > 0)
    study_of(ready).choose(other, path)
    go(ready, "6_review")
    assert "This is another one" in texts(ready)
    healthy(ready.button(key="review").click().run())
    finished(ready)
    assert study_of(ready).test_openings == 2
    reviews = [each.review for each in study_of(ready).reviews.values()]
    assert reviews[-1].evidence.configurations == 2
    study_of(ready).choose(first, path)
    healthy(go(ready, "6_review"))
    assert study_of(ready).test_openings == 2, "chosen again, it is not opened again"
    assert reviews_of(ready)[0].evidence.configurations == 2, "but two have been scored by now"


def reviews_of(app: AppTest) -> list[Review]:
    return [each.review for each in study_of(app).reviews.values()]


def test_groups_were_chosen_before(looked: AppTest) -> None:
    assert any("every group" in chart.proto.alt for chart in looked.get("plotly_chart"))
    assert "not a pass" in texts(looked)
    study_of(looked).floor = 10
    healthy(looked.run())
    assert not any("every group" in chart.proto.alt for chart in looked.get("plotly_chart"))
    [shown] = [frame.value for frame in looked.dataframe if "group" in frame.value.columns]
    assert list(shown.columns) == ["group", "state", "change in sensitivity", "change in net benefit"]


def test_what_goes_has_to_be_agreed_to(looked: AppTest) -> None:
    assert review_of(looked).removed, "or this test says nothing"
    [box] = [each for each in looked.checkbox if each.label.startswith("Agreed")]
    assert "confirm that it may do without" in texts(looked)
    healthy(box.check().run())
    assert review_of(looked).confirmed == review_of(looked).removed
    assert "confirm that it may do without" not in texts(looked)
    [box] = [each for each in looked.checkbox if each.label.startswith("Agreed")]
    healthy(box.uncheck().run())
    assert review_of(looked).confirmed == ()


def test_loosened_limits_are_told_and_fail(looked: AppTest) -> None:
    ready = looked
    study = study_of(ready)
    key = f"later_{study.cohort.table_hash[:8]}"
    ready.number_input(key=f"{key}_auroc_loss").set_value(0.05)
    healthy(ready.run())
    healthy(ready.button(key="use_limits").click().run())
    assert "loosened after test patients were opened" in texts(ready)
    assert review_of(ready).checks[0].state == "fail"
    assert review_of(ready).evidence.loosened
    healthy(ready.button(key="old_limits").click().run())
    assert not review_of(ready).evidence.loosened


def test_another_threshold_shows_what_would_change_and_the_gate_stays(looked: AppTest) -> None:
    ready = looked
    review, openings = review_of(ready), study_of(ready).test_openings
    slider = next(each for each in ready.slider if each.key.startswith("elsewhere"))
    before = [tile.value for tile in ready.metric]
    healthy(slider.set_value(5.0).run())
    assert [tile.value for tile in ready.metric] != before
    assert "The gate stays at **50.0%**" in texts(ready)
    assert review_of(ready) is review
    assert study_of(ready).test_openings == openings


def test_patients_leave_only_when_asked_twice(looked: AppTest) -> None:
    ready = looked
    keys = [button.key for button in ready.get("download_button")] or [
        each.proto.id for each in ready.get("download_button")
    ]
    assert not [key for key in keys if "changed_patients" in str(key)]
    if review_of(ready).changed().empty:
        return
    healthy(ready.checkbox(key="patients_tick").check().run())
    assert "These patients as CSV" in [each.proto.label for each in ready.get("download_button")]


def test_single_patients_are_not_shown_where_small_counts_are_hidden(looked: AppTest) -> None:
    ready = looked
    study_of(ready).floor = 10
    healthy(ready.run())
    assert "single patients with them" in texts(ready)
    assert not [each for each in ready.dataframe if "row" in each.value.columns]
    missed = next(tile for tile in ready.metric if "missed" in tile.label.lower())
    flips = review_of(ready).flips
    assert any(0 < n <= 10 for n in (flips.missed, flips.caught, flips.alarmed, flips.spared))
    assert missed.value == "hidden"


def test_what_if_for_one_patient(looked: AppTest) -> None:
    ready = looked
    review = review_of(ready)
    row = int(review.split.rows[0]) + 1
    ready.selectbox(key="what_if_patient").set_value(0)
    healthy(ready.run())
    healthy(ready.number_input(key="what_if_row").set_value(row).run())
    risk = next(tile.value for tile in ready.metric if tile.label == "Original: risk")
    assert risk == f"{review.dense_risks[0, 1]:.1%}"
    name = review.dense_model.features[0]
    field = ready.number_input(key=f"what_if_0_{name}")
    field.set_value(float(field.value) * 3)
    healthy(ready.button(key="what_if_go").click().run())
    assert next(tile.value for tile in ready.metric if tile.label == "Original: risk") != risk
    assert "With other values than theirs" in texts(ready)
    strange = max(int(each) for each in study_of(ready).cohort.test.rows) + 2
    healthy(ready.number_input(key="what_if_row").set_value(strange).run())
    assert "not among the reviewed patients" in texts(ready)


def test_a_model_that_did_not_pass_leaves_with_a_name_only(looked: AppTest) -> None:
    ready = looked
    assert review_of(ready).gate in ("fail", "not assessable")  # 43 with the event are too few
    go(ready, "7_export")
    assert "build" not in [button.key for button in ready.button]
    healthy(ready.button(key="override").click().run())
    assert "needs the name" in texts(ready)
    ready.text_input(key="override_name").set_value("Dr <b>Ada</b>")
    ready.text_area(key="override_reason").set_value("Shadow mode only")
    healthy(ready.button(key="override").click().run())
    assert "Shadow mode only" in texts(ready)
    assert "<b>" not in texts(ready)
    healthy(ready.button(key="build").click().run())
    study = study_of(ready)
    assert study.test_openings == 1, "the review had opened them"
    assert study.finished is not None
    with zipfile.ZipFile(io.BytesIO(study.finished.zip)) as archive:
        names = {name.rpartition("/")[2]: name for name in archive.namelist()}
        assert {"model.onnx", "card.md", "report.html", "review.json"} <= set(names)
        assert "Shadow mode only" in archive.read(names["card.md"]).decode()
        told = json.loads(archive.read(names["review.json"]))
        limits = json.loads(archive.read(names["provenance.json"]))["limits"]
    assert told["override"]["reason"] == "Shadow mode only"
    assert limits["sha256"] == study.locked.limits.sha256 == told["limits"]["sha256"]
    healthy(go(ready, "6_review"))
    found = next(iter(study_of(ready).reviews.values()))
    over = replace(found.review.override, expires=found.review.override.expires.replace(year=2020))
    found.review = found.review.overridden(over)
    go(ready, "7_export")
    assert "build" not in [button.key for button in ready.button]
    assert "download_bundle" not in [str(each.key) for each in ready.get("download_button")]


def test_a_reviewed_model_cannot_slip_out_unreviewed(looked: AppTest) -> None:
    ready = looked
    study_of(ready).use_act_at(0.3)
    go(ready, "7_export")
    assert "build" not in [button.key for button in ready.button]
    assert "reviewed for another risk" in texts(ready)
    go(ready, "6_review")
    assert "another risk is told in G0" in texts(ready)
    healthy(ready.button(key="review").click().run())
    finished(ready)
    assert reviews_of(ready)[-1].evidence.moved
    assert study_of(ready).test_openings == 1


def test_a_bundle_without_a_review_locks_the_limits_too(ready: AppTest, tmp_path) -> None:
    go(ready, "7_export")
    healthy(ready.button(key="build").click().run())
    assert "Not reviewed" in texts(ready)
    study = study_of(ready)
    assert (study.test_openings, study.locked is None) == (1, False)
    archive = tmp_path / "bundle.zip"
    archive.write_bytes(study.finished.zip)
    assert load_bundle(archive).model.origin.test_openings == 1
    reviewed_later = go(ready, "6_review")
    assert "no further look" in texts(reviewed_later)


def test_several_classes(app: AppTest) -> None:
    uploaded(app, patient_table(400, classes=3))
    healthy(app.selectbox(key="outcome_column").set_value("stage").run())
    healthy(app.button(key="use_table").click().run())
    walked(app)
    reviewed(app, refits=0)
    assert len(review_of(app).sides) == 3
    assert [frame for frame in app.dataframe if "classes" in frame.value.columns]
    one = next(chart.proto.spec for chart in app.get("plotly_chart") if "Share with" in chart.proto.alt)
    healthy(app.selectbox(key="review_class").set_value(2).run())
    two = next(chart.proto.spec for chart in app.get("plotly_chart") if "Share with" in chart.proto.alt)
    assert one != two


def test_a_stopped_review_can_be_started_again(ready: AppTest) -> None:
    quick(ready, refits=200)
    healthy(ready.button(key="review").click().run())
    healthy(ready.button(key="stop_review").click().run())
    healthy(ready.run())
    assert "ended without a result" in texts(ready)
    healthy(ready.button(key="review_again").click().run())
    assert OPEN in [button.label for button in ready.button]
