"""Take the README's screenshots from a running dashboard (for maintainers).

make run                                  # in one terminal
python scripts/make_screenshots.py        # in another; needs the test extra and Debian's chromium
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

FOLDER = Path(__file__).resolve().parents[1] / "assets" / "screenshots"
URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8501"
SIZE = {"width": 1280, "height": 1300}
STEPS = (
    ("Try deaths among smokers by 1992", "Next: a model"),
    ("Next: a model", "Train"),
    ("Train", "Next: what contributes"),
    ("Next: what contributes", "Next: choose a threshold"),
    ("Next: choose a threshold", "Retrain along the path"),
    ("Retrain along the path", "Next: review"),
)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        page.goto(URL)
        for press, then in STEPS:
            page.get_by_role("button", name=press, exact=True).click()
            page.get_by_role("button", name=then, exact=True).wait_for(timeout=120_000)
        shoot(page, "threshold")
        browser.close()


def shoot(page: Page, name: str) -> None:
    page.wait_for_timeout(3_000)  # charts are drawn after their data has arrived
    page.locator(".mp-live").evaluate("(live) => live.scrollIntoView()")
    page.wait_for_timeout(500)
    page.screenshot(path=FOLDER / f"{name}.png")


if __name__ == "__main__":
    main()
