"""What tests and the benchmark do with the live threshold: get there, drag it, and read its clock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from playwright.sync_api import Page, WebSocket, expect

# In the page: from an input event to the first moment after the frame that shows it, in milliseconds; and
# from the end of a drag to the exact figures of the threshold where it ended.
CLOCK = """
window.mpPaints = [];
window.mpExact = null;
const slider = document.querySelector(".mp-threshold");
slider.addEventListener("input", (event) => {
  const began = event.timeStamp;
  requestAnimationFrame(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => window.mpPaints.push(performance.now() - began);
    channel.port2.postMessage(null);
  });
});
slider.addEventListener("change", () => {
  const began = performance.now();
  const threshold = document.querySelector(".mp-now").value.split(" ")[0];
  const panel = document.querySelector(".st-key-exact");
  const there = () => panel.innerText.includes(`threshold ${threshold} removes`);
  const watch = new MutationObserver(() => {
    if (!there()) return;
    watch.disconnect();
    window.mpExact = performance.now() - began;
  });
  window.mpExact = null;
  watch.observe(panel, { subtree: true, childList: true, characterData: true });
});
"""


@dataclass
class Sent:
    """What the page has sent to the server over its socket."""

    frames: list[object] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        """Before the page is loaded."""
        page.on("websocket", self._listen)

    def _listen(self, socket: WebSocket) -> None:
        socket.on("framesent", self._keep)

    def _keep(self, frame: object) -> None:  # playwright cannot mark a list's own method
        self.frames.append(frame)


def to_the_threshold(page: Page, sample: str) -> None:
    """A sample, the usual network, and the page with the live threshold, set up."""
    for name in (sample, "Next: a model", "Train", "Next: what contributes", "Next: choose a threshold"):
        page.get_by_role("button", name=name, exact=True).click()
    expect(page.locator(".mp-tile").first).to_be_visible()
    expect(page.locator(".st-key-exact table")).to_be_visible()


@contextmanager
def held(page: Page) -> Iterator[tuple[float, float, float]]:
    """The thumb of the threshold held by the mouse: where its track begins, how wide it is, its height."""
    box = page.locator(".mp-threshold").bounding_box()
    assert box is not None
    thumb = 8.0  # half of it
    left, width, y = box["x"] + thumb, box["width"] - 2 * thumb, box["y"] + box["height"] / 2
    place = float(page.locator(".mp-threshold").input_value()) / 1000
    page.mouse.move(left + place * width, y)
    page.mouse.down()
    yield left, width, y
    page.mouse.up()


def shown(page: Page) -> dict[str, str]:
    """The figures on the tiles of the live picture."""
    tiles: dict[str, str] = page.evaluate(
        "Object.fromEntries([...document.querySelectorAll('.mp-tile')].map("
        "(tile) => [tile.dataset.mp, tile.querySelector('.mp-value').textContent]))"
    )
    return tiles


def exact(page: Page) -> dict[str, str]:
    """The figures of one cut that the server has counted again, by their title."""
    rows: list[list[str]] = page.evaluate(
        "[...document.querySelectorAll('.st-key-exact table tbody tr')].map("
        "(row) => [...row.querySelectorAll('th, td')].map((cell) => cell.innerText.trim()))"
    )
    return {title: one_cut for title, _, one_cut, *_ in rows}
