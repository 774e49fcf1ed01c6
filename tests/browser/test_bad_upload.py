"""A file that could take a server down, in a real one: a sentence for its user, and nobody else notices."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Server
from tests.hostile.case import CANARY, Case
from tests.hostile.model_archives import Running, pickled
from tests.hostile.tables import TABLES

PATIENCE = 60_000.0  # milliseconds, for what may take long on a busy machine
WANTED = ("58 far cell", "58 bomb", "59 long words")


def heavy() -> list[Case]:
    """The tables whose parsers would take a server down with them."""
    return [case for case in TABLES if case.name in WANTED]


def offer(page: Page, path: Path, data: bytes) -> None:
    path.write_bytes(data)
    page.get_by_test_id("stFileUploader").locator("input[type=file]").set_input_files(path)


@pytest.fixture
def other(browser: Browser, server: Server) -> Page:
    """Another session, at work already."""
    page = browser.new_context().new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(server.url)
    page.get_by_role("button", name="Try breast cancer biopsies").click()
    expect(page.get_by_text("569 rows and 30 features")).to_be_visible(timeout=PATIENCE)
    return page


def test_nobody_else_notices(page: Page, other: Page, server: Server, tmp_path: Path) -> None:
    page.set_default_timeout(PATIENCE)
    page.goto(server.url)
    cases = heavy()
    assert len(cases) == len(WANTED)
    for case in cases:
        offer(page, tmp_path / case.file_name, case.make())
        told = page.get_by_role("alert").filter(has_text=re.compile(case.says))
        expect(told).to_be_visible(timeout=PATIENCE)
    other.get_by_role("link", name="Model", exact=True).click()
    expect(other.get_by_role("button", name="Train", exact=True)).to_be_visible(timeout=PATIENCE)
    other.get_by_role("link", name="Patients", exact=True).click()
    expect(other.get_by_text("569 rows and 30 features")).to_be_visible(timeout=PATIENCE)
    page.get_by_role("button", name="Try breast cancer biopsies").click()
    expect(page.get_by_text("569 rows and 30 features")).to_be_visible(timeout=PATIENCE)
    page.get_by_role("link", name="Model", exact=True).click()
    page.get_by_role("tab", name="Upload").click()
    offer(page, tmp_path / "m.skops", pickled(Running()) + CANARY.encode())
    expect(page.get_by_text("can run code").last).to_be_visible(timeout=PATIENCE)
    assert CANARY not in server.log.read_text(errors="replace")
