"""The running dashboard in a real browser: one server and one Chromium for all tests, a new page for each."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

HERE = Path(__file__).parent
REPO = HERE.parents[1]
START_UP = 90  # seconds: importing torch on a busy machine
QUIET = [
    "--no-sandbox",  # Chromium refuses to run as root with one; the only site it opens is ours
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-extensions",
    "--disable-quic",
    "--disable-sync",
    "--metrics-recording-only",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-pings",
]


@dataclass(frozen=True)
class Server:
    """The running dashboard: where it is, where it keeps its studies, what it wrote to its terminal."""

    url: str
    home: Path
    log: Path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show what the server wrote under every browser test that failed."""
    report = yield
    server = getattr(item, "funcargs", {}).get("server")
    if report.failed and server:
        report.sections.append(("dashboard's terminal", server.log.read_text(errors="replace")[-5000:]))
    return report


@pytest.fixture(scope="session")
def chromium_path() -> str:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        stop = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        stop("BROWSER TEST NOT RUN: no chromium on the PATH (Debian: apt-get install chromium)")
    return path


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with dashboard(tmp_path_factory.mktemp("home")) as server:
        yield server


@contextlib.contextmanager
def dashboard(home: Path) -> Iterator[Server]:
    """`streamlit run app.py` on a free port of this machine, with a home folder of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Server(f"http://127.0.0.1:{port}", home, home / "terminal.log")
    command = [sys.executable, "-m", "streamlit", "run", str(REPO / "app.py"), f"--server.port={port}"]
    environment = os.environ | {"HOME": str(home), "MEDPRUNE_HOME": str(home / "medprune")}
    with server.log.open("wb") as log:
        process = subprocess.Popen(
            command, cwd=REPO, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            wait_until_healthy(process, server)
            yield server
        finally:
            stop_group(process)


def wait_until_healthy(process: subprocess.Popen[bytes], server: Server) -> None:
    end = time.monotonic() + START_UP
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{server.url}/_stcore/health", timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"the dashboard did not start; its terminal says:\n{server.log.read_text(errors='replace')}")


def stop_group(process: subprocess.Popen[bytes]) -> None:
    """End the server and the workers it started: ask first, then kill."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, how)
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            process.wait(timeout=10)
            return


@pytest.fixture(scope="session")
def browser(chromium_path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page in a context of its own; ``parametrize("page", [(390, 844)], indirect=True)`` sets its size."""
    width, height = getattr(request, "param", (1280, 900))
    context = browser.new_context(
        viewport={"width": width, "height": height}, accept_downloads=True, reduced_motion="reduce"
    )
    yield context.new_page()
    context.close()
