"""Plausible ranges and units of common labs and vitals: a small dictionary that everybody may edit.

``ranges.csv`` beside this file has one measurement a row: ``names`` (a regular expression for the column's
name, words in lower case between underscores), ``what``, ``unit``, ``low`` and ``high`` (wide enough for the
sickest patient: a value outside is a mistake), ``other_unit`` and ``factor`` (other unit times factor plus
``offset`` gives the unit), and ``source``.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medprune.errors import BadInput

COLUMNS = ("names", "what", "unit", "low", "high", "other_unit", "factor", "offset", "source")
OTHER_SCALE = 0.2  # where more values lie outside, the column is on another scale (standardised, say)
MOST_BYTES = 2**20
MOST_NAME = 200  # characters of a column's name that are compared: patterns may be anyone's


@dataclass(frozen=True)
class Range:
    """One measurement: the plausible range in its unit, and another unit that it is given in."""

    names: str
    what: str
    unit: str
    low: float
    high: float
    other_unit: str = ""
    factor: float = 1.0  # other unit * factor + offset = unit
    offset: float = 0.0
    source: str = ""

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(self.names)

    @property
    def in_other(self) -> tuple[float, float]:
        """The plausible range in the other unit, to three digits."""
        low, high = ((end - self.offset) / self.factor for end in (self.low, self.high))
        return float(f"{low:.3g}"), float(f"{high:.3g}")

    def bounds_for(self, values: NDArray[np.float64]) -> tuple[float, float, str] | None:
        """The range in the unit that most of these known values are in; None when they fit neither.

        Where they fit both, as wide ranges overlap, it is the unit whose middle is nearer to their median.
        """
        if not len(values):
            return None
        offered = [(self.low, self.high, self.unit)]
        if self.other_unit:
            offered.append((*self.in_other, self.other_unit))
        inside = [float(((values >= low) & (values <= high)).mean()) for low, high, _ in offered]
        best = int(np.argmax(inside))
        middle = float(np.median(values))
        if min(inside) >= 1 - OTHER_SCALE and min(middle, self.low, *self.in_other[:1]) > 0:
            apart = [abs(np.log(middle / np.sqrt(low * high))) for low, high, _ in offered]
            best = int(np.argmin(apart))
        return offered[best] if inside[best] >= 1 - OTHER_SCALE else None


@dataclass(frozen=True)
class Ranges:
    """The dictionary."""

    entries: tuple[Range, ...]

    def of(self, column: str) -> Range | None:
        """The first entry whose pattern is the whole of the column's name, plainly spelt."""
        names = spellings(column)
        found = (e for e in self.entries if any(e.pattern.fullmatch(name) for name in names))
        return next(found, None)


def spellings(column: str) -> tuple[str, ...]:
    """A column's name for comparison: words in lower case between underscores, with camelCase as two or one.

    >>> spellings("Age (in years)"), spellings("SpO2.1")
    (('age_in_years',), ('sp_o2_1', 'spo2_1'))
    """
    name = column[:MOST_NAME]
    spread = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    words = (re.sub(r"[^\w%]+|_+", " ", each.lower()).split() for each in (spread, name))
    return tuple(dict.fromkeys("_".join(each) for each in words))


def read_ranges(path: str | Path) -> Ranges:
    """A dictionary of one's own. Raises BadInput naming the line that cannot be read."""
    place = Path(path)
    try:
        if place.stat().st_size > MOST_BYTES:
            raise BadInput(f"The ranges in {place.name!r} are over 1 MB; keep one measurement a line.")
        text = place.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise BadInput(
            f"The ranges in {place.name!r} cannot be read; give a CSV in UTF-8 with the columns "
            f"{', '.join(COLUMNS)}."
        ) from error
    return _parsed(text.splitlines(), repr(place.name))


@lru_cache(maxsize=1)
def usual_ranges() -> Ranges:
    """The dictionary that ships with MedPrune."""
    text = resources.files("medprune.quality").joinpath("ranges.csv").read_text(encoding="utf-8")
    return _parsed(text.splitlines(), "the usual ranges")


def _parsed(lines: Sequence[str], title: str) -> Ranges:
    rows = csv.DictReader(lines, skipinitialspace=True)
    absent = [name for name in COLUMNS[:5] if name not in (rows.fieldnames or ())]
    if absent:
        raise BadInput(f"The ranges in {title} lack the column {absent[0]!r}; give {', '.join(COLUMNS)}.")
    entries = []
    for row in rows:
        try:
            entries.append(_entry({name: (row.get(name) or "").strip() for name in COLUMNS}))
        except (ValueError, re.error, OverflowError):
            raise BadInput(
                f"Line {rows.line_num} of the ranges in {title} cannot be read; names must be a regular "
                "expression, low, high and factor numbers, and low must lie below high."
            ) from None
    return Ranges(tuple(entries))


def _entry(row: dict[str, str]) -> Range:
    entry = Range(
        names=row["names"].lower(),
        what=row["what"],
        unit=row["unit"],
        low=float(row["low"]),
        high=float(row["high"]),
        other_unit=row["other_unit"],
        factor=float(row["factor"] or 1),
        offset=float(row["offset"] or 0),
        source=row["source"],
    )
    numbers = (entry.low, entry.high, entry.factor, entry.offset)
    if not (np.isfinite(numbers).all() and entry.low < entry.high and entry.factor > 0 and entry.names):
        raise ValueError("no range")
    assert entry.pattern is not None  # a wrong pattern is told here, not when a table is read
    return entry
