"""The live threshold in a browser: it moves without the server, and what it shows is what is so."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Server
from tests.browser.live import Sent, exact, held, shown, to_the_threshold

PATIENCE = 60_000  # milliseconds on a busy machine; nothing here asserts a time
SAMPLE = "Try breast cancer biopsies"
TITLES = {
    "sparsity": "Removed",
    "auroc": "AUROC",
    "accuracy": "Accuracy",
    "f1": "F1",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "parameters": "Parameters",
    "features": "Features",
    "bytes": "Bytes",
}


@pytest.fixture
def sent(page: Page, server: Server) -> Sent:
    """The page with the live threshold, and what it sends from here on."""
    page.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    sent = Sent()
    sent.watch(page)
    page.goto(server.url)
    to_the_threshold(page, SAMPLE)
    page.wait_for_timeout(1_000)  # until the page has sent what it sends when it is drawn
    sent.frames.clear()
    return sent


def agree(page: Page) -> None:
    """The server has counted the threshold that is shown again, and says the same to the letter."""
    now = page.locator(".mp-now").evaluate("(output) => output.value.split(' ')[0]")
    expect(page.locator(".st-key-exact")).to_contain_text(f"threshold {now} removes")
    expect(page.locator(".st-key-exact")).to_contain_text("the picture said the same")
    for _ in range(100):  # the table comes a moment after the sentence
        counted = {name: exact(page).get(title) for name, title in TITLES.items()}
        if shown(page) == counted:
            return
        page.wait_for_timeout(100)
    assert shown(page) == counted


def test_dragging_moves_everything_and_the_server_hears_of_the_release_alone(page: Page, sent: Sent) -> None:
    looks = """() => [
        document.querySelector('.mp-here').getAttribute('transform'),
        document.querySelector('.mp-line').getAttribute('x1'),
        document.querySelectorAll('.mp-edge.mp-gone').length,
        document.querySelectorAll('.mp-features .mp-gone').length,
        document.querySelector('.mp-now').value]"""
    seen = [page.evaluate(looks)]
    with held(page) as (left, width, y):
        for place in (0.2, 0.5, 0.8, 0.97):
            page.mouse.move(left + place * width, y)
            seen.append(page.evaluate(looks))
        assert sent.frames == [], "a move has told the server"
    for before, after in pairwise(seen[1:]):
        assert before[0] != after[0], "the marker"
        assert before[1] != after[1], "the line in the histogram"
        assert before[4] != after[4], "the words"
    for part in (2, 3):  # weights and features that are gone
        gone = [row[part] for row in seen[1:]]
        assert gone == sorted(gone)
        assert gone[-1] > gone[0]
    agree(page)
    assert len(sent.frames) == 1


def test_the_picture_and_the_server_agree_wherever_it_is_let_go(page: Page, sent: Sent) -> None:
    slider = page.locator(".mp-threshold")
    for scale, place in (("linear", 0.3), ("removed", 0.62), ("logarithmic", 0.55), ("removed", 0.99)):
        page.locator(f".mp-scale input[value={scale}]").check()
        box = slider.bounding_box()
        page.mouse.click(box["x"] + 8 + place * (box["width"] - 16), box["y"] + box["height"] / 2)
        agree(page)


def test_by_keyboard_with_undo_and_words_for_who_cannot_see_it(page: Page, sent: Sent) -> None:
    slider = page.locator(".mp-threshold")
    slider.focus()
    start = slider.get_attribute("aria-valuetext")
    assert re.fullmatch(r"threshold [\d.e-]+, [\d.]+% of the weights removed, AUROC [\d.]+", start)
    page.keyboard.press("Home")
    assert "0.0% of the weights removed" in slider.get_attribute("aria-valuetext")
    agree(page)
    page.keyboard.press("End")
    assert slider.get_attribute("aria-valuetext").startswith("threshold 1, ")
    agree(page)
    last = slider.get_attribute("aria-valuetext")
    page.keyboard.press("PageDown")
    page.keyboard.press("ArrowLeft")
    assert slider.get_attribute("aria-valuetext") != last
    agree(page)
    page.locator(".mp-undo").click()
    assert slider.get_attribute("aria-valuetext") == last
    agree(page)
    slider.focus()
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    assert slider.get_attribute("aria-valuetext") == start
    agree(page)
    assert page.locator(".mp-undo").is_disabled()


def test_the_largest_cut_within_the_tolerance(page: Page, sent: Sent) -> None:
    removed = []
    for tolerance in ("0", "0.01", "0.1"):
        page.locator(".mp-tolerance").fill(tolerance)
        page.locator(".mp-fit").click()
        agree(page)
        floor = float(exact_dense(page)) - float(tolerance)
        assert float(shown(page)["auroc"]) >= floor - 0.001
        removed.append(float(shown(page)["sparsity"].rstrip("%")))
    assert removed == sorted(removed)


def exact_dense(page: Page) -> str:
    row = page.locator(".st-key-exact table tbody tr").filter(has_text="AUROC").first
    return row.locator("td").nth(-2).inner_text()


def test_missed_cases_and_false_alarms_move_with_both_sliders(page: Page, sent: Sent) -> None:
    page.locator(".mp-decide summary").click()
    cells = "document.querySelectorAll('.mp-per-thousand tbody td')"
    counts = f"[...{cells}].map((cell) => Number(cell.textContent))"
    risk = page.locator(".mp-risk")
    risk.fill("10")
    low = page.evaluate(counts)
    risk.fill("90")
    high = page.evaluate(counts)
    assert high[0] >= low[0], "acting later misses no fewer"
    assert high[2] <= low[2], "acting later alarms no more"
    page.locator(".mp-ratio").fill("20")
    page.locator(".mp-cheapest").click()
    dear = int(risk.input_value())
    page.locator(".mp-ratio").fill("0.05")
    page.locator(".mp-cheapest").click()
    assert int(risk.input_value()) > dear, "the dearer a miss, the lower the risk that is acted on"
    now = int(risk.input_value()) + 1
    page.locator(".mp-act").click()
    expect(page.locator(".st-key-exact")).to_contain_text(f"acting at a risk of {now}%")
    page.get_by_role("link", name="Model").click()
    expect(page.locator("input[aria-label='Act on a risk of at least']")).to_have_value(f"{now / 100:.2f}")


def test_a_plain_slider_stands_in(page: Page, sent: Sent) -> None:
    page.get_by_text("Plain slider", exact=True).click()
    expect(page.get_by_test_id("stSlider")).to_be_visible()
    expect(page.get_by_test_id("stMetric").first).to_be_visible()
    expect(page.locator(".mp-live")).to_have_count(0)


def test_it_starts_where_it_was_left(page: Page, sent: Sent) -> None:
    slider = page.locator(".mp-threshold")
    slider.focus()
    page.keyboard.press("PageUp")
    agree(page)
    left_at = slider.get_attribute("aria-valuetext")
    page.get_by_role("link", name="Contributions").click()
    expect(page.get_by_role("heading", name="Contributions")).to_be_visible()
    page.get_by_role("link", name="Threshold").click()
    agree(page)
    assert slider.get_attribute("aria-valuetext") == left_at


@pytest.mark.parametrize("page", [(390, 844)], indirect=True)
def test_it_fits_a_narrow_screen(page: Page, server: Server) -> None:
    page.set_default_timeout(PATIENCE)
    page.goto(server.url)
    to_the_threshold(page, SAMPLE)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    beyond = "(e) => e.getBoundingClientRect().right > window.innerWidth + 1"
    wide = f"[...document.querySelectorAll('.mp-live *')].filter({beyond}).length"
    assert page.evaluate(wide) == 0
