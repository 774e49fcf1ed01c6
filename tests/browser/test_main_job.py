"""The main job as a person does it: sample, train, contributions, drag, retrain, download, use elsewhere."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, expect

from medprune import load_bundle, load_cohort, performance
from tests.browser.conftest import REPO, Server
from tests.browser.live import held

SAMPLE = REPO / "assets" / "samples" / "nhefs.csv"
PATIENCE = 60_000  # milliseconds on a busy machine; nothing here asserts a time


@pytest.fixture(autouse=True)
def stay_home(page: Page, server: Server) -> list[str]:
    """Not one request leaves this machine."""
    page.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    away: list[str] = []
    page.on(
        "request",
        lambda request: (
            away.append(request.url) if not request.url.startswith((server.url, "data:", "blob:")) else None
        ),
    )
    page.goto(server.url)
    yield away
    assert away == []


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def test_the_main_job(page: Page, tmp_path: Path) -> None:
    started = time.perf_counter()
    press(page, "Try deaths among smokers by 1992")
    expect(page.get_by_text("1,629 rows and 48 features")).to_be_visible()
    expect(page.get_by_text("National Center for Health Statistics").first).to_be_visible()
    press(page, "Next: a model")
    press(page, "Train")
    expect(page.get_by_text("tells patients apart")).to_be_visible()
    press(page, "Next: what contributes")
    expect(page.get_by_text("The features that contribute most")).to_be_visible()
    expect(page.locator(".js-plotly-plot").first).to_be_visible()
    press(page, "Next: choose a threshold")
    drag_the_threshold(page)
    press(page, "Retrain along the path")
    expect(page.get_by_text("Chosen:")).to_be_visible()
    press(page, "Next: review")
    page.get_by_role("link", name="Export").click()
    press(page, "Open test and build the bundle")
    with page.expect_download() as download:
        press(page, "Download the bundle")
    print(f"the main job took {time.perf_counter() - started:.0f} s")
    archive = tmp_path / "bundle.zip"
    download.value.save_as(archive)
    said = page.get_by_text("the smaller model reaches").inner_text()
    shown = float(re.search(r"AUROC of (0\.\d+)", said).group(1))
    the_bundle_gives_the_same_risks(archive, shown, tmp_path)


def test_strategies_side_by_side_and_a_click_takes_a_model(page: Page) -> None:
    press(page, "Try breast cancer biopsies")
    press(page, "Next: a model")
    press(page, "Train")
    expect(page.get_by_text("tells patients apart")).to_be_visible()
    page.get_by_role("link", name="Strategies").click()
    press(page, "Run the 4 methods")
    expect(page.get_by_text("What it took:")).to_be_visible()
    expect(page.get_by_text("at work for")).to_have_count(0)
    expect(page.get_by_text(": waiting")).to_have_count(0)
    points = page.locator(".js-plotly-plot .scatterlayer .points path")
    expect(points.nth(40)).to_be_visible()
    click_some_point(page)
    expect(page.get_by_text("Chosen:")).to_be_visible()
    expect(page.get_by_text("It no longer needs")).to_be_visible()


def click_some_point(page: Page) -> None:
    """Click points until one is taken: another may lie over a point, and plotly draws while we look."""
    points = page.locator(".js-plotly-plot .scatterlayer .points path")
    for place in range(3, 30):
        with contextlib.suppress(PlaywrightError):  # the chart was drawn anew meanwhile
            points.nth(place).scroll_into_view_if_needed(timeout=5_000)
            box = points.nth(place).bounding_box(timeout=5_000)
            page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.wait_for_timeout(2_000)
        if page.get_by_text("Chosen:").count():
            return


def drag_the_threshold(page: Page) -> None:
    """Drag the thumb with the mouse; the figures follow, and the server counts again."""
    removed = page.locator(".mp-tile[data-mp=sparsity] .mp-value")
    expect(removed).to_be_visible()
    before = removed.inner_text()
    with held(page) as (left, width, y):
        for step in range(1, 9):
            page.mouse.move(left + (0.6 + 0.02 * step) * width, y)
        assert removed.inner_text() != before
    expect(page.locator(".st-key-exact")).to_contain_text(f"removes {removed.inner_text()}")


def the_bundle_gives_the_same_risks(archive: Path, shown: float, folder: Path) -> None:
    """Unzipped: predict.py (onnxruntime) and the safetensors (torch) agree, and give the AUROC on screen."""
    with zipfile.ZipFile(archive) as bundle:
        bundle.extractall(folder)
    inside = next(path.parent for path in folder.rglob("model.onnx"))
    risks = folder / "risks.csv"
    subprocess.run([sys.executable, str(inside / "predict.py"), str(SAMPLE), str(risks)], check=True)
    by_onnx = pd.read_csv(risks)["risk"].to_numpy()
    cohort = load_cohort(SAMPLE, outcome="death", positive="1")
    everyone = cohort.all()
    by_torch = load_bundle(inside).predict_proba(everyone.frame)[:, 1]
    np.testing.assert_allclose(by_onnx[everyone.rows], by_torch, atol=1e-5)
    test = by_onnx[cohort.test.rows]
    auroc = performance(cohort.test.outcome, np.column_stack([1 - test, test])).auroc
    assert auroc == pytest.approx(shown, abs=6e-4)


@pytest.mark.parametrize("page", [(390, 844), (2560, 1300)], indirect=True)
def test_no_page_is_wider_than_the_screen(page: Page, server: Server) -> None:
    for name in ("patients", "model", "contributions", "threshold", "review", "export"):
        page.goto(f"{server.url}/{'' if name == 'patients' else name}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_ones_own_table_by_upload(page: Page, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    age, ward = rng.normal(60, 10, 150), rng.choice(["A", "B", ""], 150)
    died = np.where(age + 8 * (ward == "B") + rng.normal(0, 5, 150) > 63, "yes", "no")
    table = tmp_path / "mine.csv"
    pd.DataFrame({"age": age.round(1), "ward": ward, "died": died}).to_csv(table, index=False)
    page.get_by_test_id("stFileUploader").locator("input[type=file]").set_input_files(table)
    expect(page.get_by_text("150 rows, 3 columns")).to_be_visible()
    press(page, "Use these patients")
    expect(page.get_by_text("150 rows and 2 features")).to_be_visible()
