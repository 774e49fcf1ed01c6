"""A login as a user goes through it: Chromium, the dashboard, and an OpenID Connect provider on loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from pages.shared import login
from tests.browser.provider import Provider, providing
from tests.hostile.web import REPO, Server, serving

if not login.can_log_in():
    pytest.skip("LOGIN NOT TESTED: httpx is not installed", allow_module_level=True)

SECRETS = """
[auth]
redirect_uri = "http://127.0.0.1:{{port}}/oauth2callback"
cookie_secret = "only for this test, only for this test"
client_id = "medprune"
client_secret = "only for this test"
server_metadata_url = "{url}/.well-known/openid-configuration"
"""
PATIENTS = "569 rows and 30 features"


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with providing() as provider:
        yield provider


@pytest.fixture(scope="module")
def guarded(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("guarded")
    (home / "secrets.toml").write_text(SECRETS.format(url=provider.url), encoding="utf-8")
    with serving(REPO / "app.py", home, f"--secrets.files={home / 'secrets.toml'}") as server:
        yield server


def log_in(page: Page, server: Server) -> None:
    page.goto(server.url)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("button", name="Try breast cancer biopsies")).to_be_visible(timeout=60_000)


def test_a_user_logs_in_works_and_logs_out(page: Page, provider: Provider, guarded: Server) -> None:
    provider.subject, provider.lasts = "anna", 600
    log_in(page, guarded)
    page.get_by_role("button", name="Try breast cancer biopsies").click()
    expect(page.get_by_text(PATIENTS)).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("button", name="Log in")).to_be_visible(timeout=60_000)
    expect(page.get_by_text(PATIENTS)).to_have_count(0)


def test_a_login_ends_when_its_provider_says_so(page: Page, provider: Provider, guarded: Server) -> None:
    provider.subject, provider.lasts = "anna", 20
    log_in(page, guarded)
    page.get_by_role("button", name="Try breast cancer biopsies").click()
    expect(page.get_by_text(PATIENTS)).to_be_visible(timeout=60_000)
    page.wait_for_timeout(21_000)
    page.get_by_role("link", name="Model").click()
    expect(page.get_by_role("button", name="Log in")).to_be_visible(timeout=60_000)
    expect(page.get_by_text(PATIENTS)).to_have_count(0)


def test_nobody_sees_anothers_study(
    page: Page, browser: Browser, provider: Provider, guarded: Server
) -> None:
    provider.subject, provider.lasts = "anna", 600
    log_in(page, guarded)
    page.get_by_role("button", name="Try breast cancer biopsies").click()
    expect(page.get_by_text(PATIENTS)).to_be_visible(timeout=60_000)
    provider.subject = "ben"
    other = browser.new_context()
    try:
        tab = other.new_page()
        log_in(tab, guarded)
        expect(tab.get_by_text(PATIENTS)).to_have_count(0)
    finally:
        other.close()
