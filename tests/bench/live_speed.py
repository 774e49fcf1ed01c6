"""The live threshold in headless Chromium: from a move to its paint, and from a release to exact figures."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
from playwright.sync_api import Page, sync_playwright

from tests.bench.report import grid
from tests.browser.conftest import QUIET, dashboard
from tests.browser.live import CLOCK, Sent, held, to_the_threshold

SAMPLE = "Try deaths among smokers by 1992"
MOVES = 60
RELEASES = 20
FRAME = 1000 / 60
GOALS = (("drag to paint, p50", FRAME), ("drag to paint, p95", 2 * FRAME), ("release to exact, p95", 250.0))


def live_speed() -> Iterator[str]:
    """The part of the report."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    yield "## The live threshold\n"
    if chromium is None:
        yield "Not measured: no chromium on the PATH.\n"
        return
    with (
        tempfile.TemporaryDirectory() as home,
        dashboard(Path(home)) as server,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium, args=QUIET) as browser,
    ):
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(60_000)
        sent = Sent()
        sent.watch(page)
        page.goto(server.url)
        to_the_threshold(page, SAMPLE)
        page.wait_for_timeout(2_000)
        page.evaluate(CLOCK)
        paints, calls = drag(page, sent)
        yield told(paints, calls, releases(page), browser.version)


def drag(page: Page, sent: Sent) -> tuple[list[float], int]:
    """Milliseconds to paint of each move of one long drag, and how often the server was called."""
    with held(page) as (left, width, y):
        sent.frames.clear()
        for move in range(MOVES):
            page.mouse.move(left + (0.05 + 0.9 * move / MOVES) * width, y)
            page.wait_for_timeout(FRAME)
        calls = len(sent.frames)
    page.wait_for_timeout(1_000)
    paints: list[float] = page.evaluate("window.mpPaints")
    return paints, calls


def releases(page: Page) -> list[float]:
    """Milliseconds from letting go to the exact figures of that threshold on screen."""
    found = []
    for place in np.random.default_rng(0).permutation(RELEASES):
        with held(page) as (left, width, y):
            page.mouse.move(left + (0.25 + 0.7 * float(place) / RELEASES) * width, y)
        page.wait_for_function("window.mpExact !== null")
        found.append(float(page.evaluate("window.mpExact")))
        page.wait_for_timeout(500)
    return found


def told(paints: list[float], calls: int, exact: list[float], chromium: str) -> str:
    """Each figure beside its goal."""
    reached = (np.quantile(paints, 0.5), np.quantile(paints, 0.95), np.quantile(exact, 0.95))
    rows = [
        [
            name,
            f"{value:.1f} ms",
            f"at most {goal:.0f} ms",
            "yes" if value <= goal else f"{value / goal:.2f}x of it",
        ]
        for (name, goal), value in zip(GOALS, reached, strict=True)
    ]
    rows.append(["server calls while dragging", str(calls), "0", "yes" if not calls else "no"])
    return (
        f"NHEFS mortality, {MOVES} moves ({len(paints)} painted), {RELEASES} releases (median "
        f"{np.median(exact):.0f} ms, slowest {max(exact):.0f} ms); Chromium {chromium}, "
        f"streamlit {version('streamlit')}.\n\n" + grid(["what", "reached", "goal", "met"], rows) + "\n"
    )
