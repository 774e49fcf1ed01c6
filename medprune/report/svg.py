"""A small writer of charts as SVG: no script, no font, no address; colours come from the page's style sheet.

What a line stands for is told by its dashes as well as by its colour, so that a black and white print says
the same. Every number is written with a fixed number of digits: the same chart gives the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape

from markupsafe import Markup

from medprune.report.words import shown

Point = tuple[float, float]


def text_of(words: object) -> str:
    """Anybody's words, escaped, in one line."""
    return escape(" ".join(shown(words).split("\n")), quote=True)


def at(value: float) -> str:
    """A coordinate."""
    told = f"{value:.1f}"
    return told.removesuffix(".0").replace("-0", "0") if told in ("-0.0", "0.0") else told.removesuffix(".0")


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{at(x1)}" y1="{at(y1)}" x2="{at(x2)}" y2="{at(y2)}"/>'


def rectangle(x: float, y: float, width: float, height: float, kind: str) -> str:
    size = f'width="{at(max(width, 0))}" height="{at(max(height, 0))}"'
    return f'<rect class="{kind}" x="{at(x)}" y="{at(y)}" {size}/>'


def circle(x: float, y: float, radius: float, kind: str) -> str:
    return f'<circle class="{kind}" cx="{at(x)}" cy="{at(y)}" r="{at(radius)}"/>'


def words(x: float, y: float, said: object, kind: str = "", anchor: str = "start") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text{style} x="{at(x)}" y="{at(y)}" text-anchor="{anchor}">{text_of(said)}</text>'


def upright(x: float, y: float, said: object) -> str:
    """Words that run upwards, for the name of a vertical axis."""
    return (
        f'<text class="axis-name" transform="translate({at(x)} {at(y)}) rotate(-90)" text-anchor="middle">'
        + (f"{text_of(said)}</text>")
    )


def polyline(points: Iterable[Point], kind: str) -> str:
    """A line through the points that are finite."""
    told = " ".join(f"{at(x)},{at(y)}" for x, y in points if math.isfinite(x) and math.isfinite(y))
    return f'<polyline class="{kind}" points="{told}"/>'


def picture(name: str, title: object, says: object, size: tuple[float, float], body: Iterable[str]) -> Markup:
    """A whole SVG. ``name`` is its id on the page; ``title`` and ``says`` are read out instead of it."""
    width, height = size
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="{name}-t {name}-d" '
        f'viewBox="0 0 {at(width)} {at(height)}" width="{at(width)}" height="{at(height)}">'
        f'<title id="{name}-t">{text_of(title)}</title><desc id="{name}-d">{text_of(says)}</desc>'
    )
    return Markup(head + "".join(body) + "</svg>")  # every word in it went through text_of


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from ``low`` to ``high``, both included where they are round.

    >>> ticks(0, 1), ticks(0.13, 0.38, 4)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.2, 0.3])
    """
    if not high > low:
        return [low]
    rough = (high - low) / max(most - 1, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * each for each in (1, 2, 5, 10) if power * each >= rough - 1e-12)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


@dataclass
class Chart:
    """Axes with what is drawn in them; data outside the axes are cut off. Call :meth:`drawn` last."""

    name: str
    title: str
    says: str
    x: tuple[float, float]
    y: tuple[float, float]
    x_name: str
    y_name: str
    width: float = 420
    height: float = 300
    x_percent: bool = False
    y_percent: bool = False
    y_both_ways: bool = False  # downwards is counted from 0 too
    left: float = 56
    right: float = 20
    top: float = 34
    bottom: float = 44
    body: list[str] = field(default_factory=list)
    above: list[str] = field(default_factory=list)  # drawn last, and not cut off
    key: list[tuple[str, str]] = field(default_factory=list)

    def px(self, value: float) -> float:
        low, high = self.x
        return self.left + (value - low) / (high - low) * (self.width - self.left - self.right)

    def py(self, value: float) -> float:
        low, high = self.y
        room = self.height - self.top - self.bottom
        return self.height - self.bottom - (value - low) / (high - low) * room

    def curve(self, x: Iterable[float], y: Iterable[float], kind: str, label: str = "") -> None:
        pairs = zip(x, y, strict=True)
        self.body.append(polyline(((self.px(a), self.py(b)) for a, b in pairs), f"curve {kind}"))
        if label:
            self.key.append((kind, label))

    def upright_at(self, value: float, label: str = "") -> None:
        """A dashed line at a value of x, such as the risk that is acted on."""
        self.body.append(line(self.px(value), self.top, self.px(value), self.height - self.bottom, "mark"))
        if label:
            self.above.append(words(self.px(value) + 3, self.top + 10, label, "note"))

    def band(self, low: float, high: float) -> None:
        """A shaded range of x."""
        room = self.height - self.top - self.bottom
        self.body.insert(0, rectangle(self.px(low), self.top, self.px(high) - self.px(low), room, "band"))

    def drawn(self) -> Markup:
        area = (
            f'<clipPath id="{self.name}-c">'
            + rectangle(
                self.left,
                self.top,
                self.width - self.left - self.right,
                self.height - self.top - self.bottom,
                "",
            )
            + "</clipPath>"
        )
        inside = f'<g clip-path="url(#{self.name}-c)">{"".join(self.body)}</g>'
        parts = [area, *self._axes(), inside, *self.above, *self._key()]
        return picture(self.name, self.title, self.says, (self.width, self.height), parts)

    def _axes(self) -> Iterable[str]:
        floor, right = self.height - self.bottom, self.width - self.right
        for value in ticks(*self.x):
            yield line(self.px(value), self.top, self.px(value), floor, "grid")
            yield words(self.px(value), floor + 16, told(value, self.x_percent), "tick", "middle")
        for value in ticks(*self.y):
            yield line(self.left, self.py(value), right, self.py(value), "grid")
            said = told(abs(value) if self.y_both_ways else value, self.y_percent)
            yield words(self.left - 6, self.py(value) + 4, said, "tick", "end")
        yield line(self.left, floor, right, floor, "axis")
        yield line(self.left, self.top, self.left, floor, "axis")
        yield words((self.left + right) / 2, self.height - 8, self.x_name, "axis-name", "middle")
        yield upright(14, (self.top + floor) / 2, self.y_name)

    def _key(self) -> Iterable[str]:
        """What each line stands for, above the axes, in as many rows as it takes; see :attr:`top`."""
        x, y = self.left, 12.0
        for kind, label in self.key:
            wide = 44 + 6.4 * len(label)
            if x + wide > self.width and x > self.left:
                x, y = self.left, y + 15
            yield line(x, y, x + 26, y, f"curve {kind}")
            yield words(x + 31, y + 4, label, "key")
            x += wide


def told(value: float, percent: bool = False) -> str:
    """The number at a tick.

    >>> told(0.2, True), told(-0.05), told(0.0)
    ('20%', '-0.05', '0')
    """
    whole = math.isclose(value * 100, round(value * 100), abs_tol=1e-9)
    return f"{value:.0%}" if percent and whole else f"{value:g}"
