"""Bad files on the pages: the sentence is shown, the pages answer, and the work so far is kept.

One session takes one file after the other. `make test` offers a part of them, `make soak` all.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from pages.shared.guide import on_screen
from tests.hostile.case import CANARY, Case
from tests.hostile.harness import MARKER
from tests.hostile.model_archives import MARKER as MODEL_MARKER
from tests.hostile.models import CASES as MODELS
from tests.hostile.tables import TABLES
from tests.pages.conftest import LONG, REPO
from tests.pages.test_pages import go, healthy, trained, with_sample

EVERY = 20  # of the cases one is offered in `make test`


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[AppTest]:
    """A session with patients and a model, whose temporary files go to a folder of its own."""
    monkeypatch.chdir(REPO)
    running = AppTest.from_file(str(REPO / "app.py"), default_timeout=LONG).run()
    trained(with_sample(running))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield running
    assert not MARKER.exists()
    assert not MODEL_MARKER.exists()


def offer(app: AppTest, case: Case) -> None:
    field = next(field for field in app.file_uploader if "upload" in field.key)
    healthy(field.set_value((case.file_name, case.make(), "application/octet-stream")).run())


def shown(app: AppTest) -> str:
    kinds = ("markdown", "caption", "error", "info", "warning", "success", "subheader", "title")
    return "\n".join(str(element.value) for kind in kinds for element in app.get(kind))


def run_through(app: AppTest, cases: Sequence[Case], log: pytest.LogCaptureFixture, draft: str) -> None:
    study: Any = app.session_state["study"]
    before, sentences = (study.table, study.cohort, study.model), 0
    for case in cases:
        offer(app, case)
        study = app.session_state["study"]
        assert (study.table, study.cohort, study.model) == before, f"{case} touched the work so far"
        told = getattr(study, draft)
        if told.sentence:  # others are refused when their patients are sorted, or accepted
            assert case.outcome == "refused", f"{case}: {told.sentence}"
            assert on_screen(told.sentence) in [error.value for error in app.error], str(case)
            sentences += 1
        page = shown(app)
        assert CANARY not in page + log.text, f"{case} leaked a value"
        assert "Traceback" not in page
    assert sentences
    healthy(app.run())


def files(cases: Sequence[Case], *endings: str) -> list[Case]:
    """The cases that a browser would offer: the page's field takes files of these endings."""
    return [case for case in cases if case.file_name.lower().endswith(endings)]


BAD_TABLES = files(TABLES, "csv", "tsv", "txt", "parquet", "pq", "xlsx")
BAD_MODELS = files(MODELS, "safetensors", "pt", "pth", "onnx", "skops")


def tables(app: AppTest, cases: Sequence[Case], log: pytest.LogCaptureFixture) -> None:
    go(app, "1_patients")
    healthy(app.button(key="other_patients").click().run())
    with log.at_level(logging.INFO):
        run_through(app, cases, log, "draft")


def models(app: AppTest, cases: Sequence[Case], log: pytest.LogCaptureFixture) -> None:
    go(app, "2_model")
    with log.at_level(logging.INFO):
        run_through(app, cases, log, "model_draft")


def test_bad_tables_on_the_patients_page(app: AppTest, caplog: pytest.LogCaptureFixture) -> None:
    tables(app, BAD_TABLES[::EVERY], caplog)


def test_bad_models_on_the_model_page(app: AppTest, caplog: pytest.LogCaptureFixture) -> None:
    models(app, BAD_MODELS[::EVERY], caplog)


@pytest.mark.soak
def test_all_bad_tables_on_the_patients_page(app: AppTest, caplog: pytest.LogCaptureFixture) -> None:
    tables(app, BAD_TABLES, caplog)


@pytest.mark.soak
def test_all_bad_models_on_the_model_page(app: AppTest, caplog: pytest.LogCaptureFixture) -> None:
    models(app, BAD_MODELS, caplog)
