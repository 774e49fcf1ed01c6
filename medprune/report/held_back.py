"""Small counts kept back: a report leaves the house, and nobody must be found in it.

The rule is :mod:`medprune.disclosure`'s: no count of 1 to the floor, nor one from which such a count
follows. Rates and figures stay, as without them there is nothing to judge by; the report says so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medprune.disclosure import FLOOR, protected, safe_count, veiled
from medprune.performance import decisions
from medprune.review import Check, Review
from medprune.review.flips import Flips, flips, moves
from medprune.review.side_by_side import SideBySide

KEPT_BACK = "kept back"
PARTS = ("caught", "missed", "alarmed", "spared")
WORDS = {
    "caught": "newly flagged with the event",
    "missed": "with the event no longer flagged",
    "alarmed": "newly flagged without it",
    "spared": "spared",
    "moved": "in another wrong class",
}

NOTE = (
    "Counts of 1 to {floor} patients are kept back, with whatever they would follow from: they are shown as "
    "'kept back' or as a range, and bars of the risks are joined until each stands for more than {floor}. "
    "Rates, such as sensitivity and net benefit, are not kept back while more than {floor} patients are on "
    "either side; together they can tell the difference of two counts."
)


@dataclass(frozen=True)
class ShownFlips:
    """Changed decisions as text: by part the count, and what it is of 1,000 patients."""

    counts: dict[str, str]
    per_1000: dict[str, str]
    total: str
    total_per_1000: str

    @property
    def all_shown(self) -> bool:
        return KEPT_BACK not in self.counts.values() and self.total_shown

    @property
    def total_shown(self) -> bool:
        return " to " not in self.total and self.total != KEPT_BACK


def raw_flips(review: Review) -> Flips:
    """The changed decisions in whole rows, whatever they are weighted with."""
    known = review.split.known
    outcome = review.split.outcome[known]
    dense, pruned = review.dense_risks[known], review.pruned_risks[known]
    if review.is_binary:
        return flips(outcome == 1, dense[:, 1], pruned[:, 1], review.act_at)
    return moves(outcome, decisions(dense), decisions(pruned))


def shown_flips(weighted: Flips, rows: Flips, floor: int = FLOOR) -> ShownFlips:
    """What may be said of ``weighted``, of which ``rows`` counts the patients that it rests on."""
    if rows.moved or not (rows.alarmed or rows.spared):
        names: tuple[str, ...] = ("caught", "missed", "moved")
        table = [[rows.caught, rows.missed, rows.moved]]
    else:
        names, table = PARTS, [[rows.caught, rows.missed], [rows.alarmed, rows.spared]]
    if not rows.total:
        names = PARTS
        return ShownFlips(dict.fromkeys(names, "0"), dict.fromkeys(names, "0"), "0", "0")
    counts = protected(np.array(table, dtype=np.int64), floor)
    columns = len(table[0])
    hidden = {n: bool(counts.hidden[divmod(place, columns)]) for place, n in enumerate(names)}
    if floor and any(hidden.values()) and _narrow(rows, floor):
        return _nothing_shown(names, rows, weighted, floor)
    if counts.hidden[-1, -1]:
        return _nothing_shown(names, rows, weighted, floor)
    told, per = {}, {}
    for name in names:
        if hidden[name]:
            told[name] = per[name] = KEPT_BACK
        else:
            told[name] = f"{getattr(weighted, name):,.0f}"
            per[name] = f"{weighted.per_1000(getattr(weighted, name)):.0f}"
    return ShownFlips(told, per, f"{weighted.total:,.0f}", f"{weighted.per_1000(weighted.total):.0f}")


def _narrow(rows: Flips, floor: int) -> bool:
    """Whether sensitivity and specificity of both models, which tell two differences, would leave a range
    narrower than the floor once the total is known."""
    free = rows.total - abs(rows.caught - rows.missed) - abs(rows.spared - rows.alarmed)
    return free / 2 < floor


def _nothing_shown(names: tuple[str, ...], rows: Flips, weighted: Flips, floor: int) -> ShownFlips:
    kept = dict.fromkeys(names, KEPT_BACK)
    total = safe_count(int(rows.total), floor)
    if total == f"{int(rows.total):,}":
        return ShownFlips(kept, kept, KEPT_BACK, KEPT_BACK)
    most = weighted.per_1000(min(floor, rows.patients))
    return ShownFlips(kept, kept, total, f"at most {most:.0f}")


def too_few(side: SideBySide, floor: int = FLOOR) -> bool:
    """Whether a class's figures would tell of so few patients that they are kept back with them."""
    return floor > 0 and min(side.events, side.others) <= floor


def shown_checks(review: Review, floor: int = FLOOR) -> tuple[Check, ...]:
    """The checks of a review with what their sentences count kept back where it is small."""
    return tuple(_shown(check, review, floor) for check in review.checks)


def _shown(check: Check, review: Review, floor: int) -> Check:
    if floor <= 0:
        return check
    if check.id == "G0":
        return _g0(check, review, floor)
    if check.id == "G4":
        return _g4(check, review, floor)
    if check.id == "G6":
        return _g6(check, review, floor)
    if check.id == "G7":
        return _g7(check, review, floor)
    if check.id == "G3":
        details = tuple(without_small_counts(each, floor) for each in check.details)
        return replace(check, sentence=without_small_counts(check.sentence, floor), details=details)
    if any(too_few(side, floor) for side in review.sides):
        return replace(check, details=())
    return check


def _g0(check: Check, review: Review, floor: int) -> Check:
    sentence, smallest = check.sentence, check.estimate
    for side in review.sides:
        for count in (side.events, side.others):
            sentence = veiled(sentence, count, floor)
    sentence = veiled(sentence, max(review.evidence.overlap, 0), floor)
    if 0 < smallest <= floor:
        return replace(check, sentence=sentence, estimate=float("nan"))
    return replace(check, sentence=sentence)


def _g4(check: Check, review: Review, floor: int) -> Check:
    """The sentence of changed decisions, told again as far as it may be."""
    told = shown_flips(review.flips, raw_flips(review), floor)
    if told.all_shown:
        return check
    start, handled = f"Of 1,000 {'rows' if review.by_row else 'patients'}, ", "handled differently"
    parted = "had the event"
    if not review.is_binary:
        handled, parted = "put in another class", "are put in their own"
    if told.total_shown:
        start += f"{told.total_per_1000} would be {handled}"
    elif told.total == KEPT_BACK:
        start += f"how many would be {handled} is kept back, as some groups of them are small"
    else:
        start += f"{told.total_per_1000} would be {handled}"
    said = [f"{per} {WORDS[name]}" for name, per in told.per_1000.items() if per != KEPT_BACK]
    parts = f": {', '.join(said)}; the rest is kept back" if said else ""
    if not said and told.total != KEPT_BACK:
        parts = f"; how many of them {parted} is kept back, as some of these groups are small"
    _, mark, rest = check.sentence.partition(". ")
    details = check.details if told.total_shown else ()
    nothing = float("nan")
    figures = (check.estimate, check.low, check.high) if told.total_shown else (nothing,) * 3
    sentence = f"{start}{parts}.{mark[1:]}{rest}"
    estimate, low, high = figures
    return replace(check, sentence=sentence, details=details, estimate=estimate, low=low, high=high)


def _g6(check: Check, review: Review, floor: int) -> Check:
    """Without the share of rows out of range where it is that of a few."""
    few = review.shift is not None and is_few(review.shift.outside, len(review.split), floor)
    return (
        replace(check, details=tuple(each for each in check.details if "outside" not in each))
        if few
        else check
    )


def is_few(share: float, rows: int, floor: int) -> bool:
    """Whether a share of so many rows is that of a small count."""
    return 0 < round(share * rows) <= floor if math.isfinite(share) else False


def _g7(check: Check, review: Review, floor: int) -> Check:
    found = review.fidelity
    sentence = veiled(veiled(check.sentence, found.flips, floor), found.int8_flips or 0, floor)
    details = tuple(veiled(each, found.int8_flips or 0, floor) for each in check.details)
    return replace(check, sentence=sentence, details=details)


COUNTED = re.compile(
    r"(?<![\w.,<>=≥≤])([1-9]\d?)"
    r"(?= (?:of(?! them)|such|newly|patients?|events?|with|without)\b)"
)


def without_small_counts(sentence: str, floor: int) -> str:
    """A sentence about groups of patients without the small counts in it.

    >>> without_small_counts("3 of 61 with the event are newly missed. Only 61 such patients.", 10)
    '1 to 10 of 61 with the event are newly missed. Only 61 such patients.'
    """

    def one(found: re.Match[str]) -> str:
        return f"1 to {floor}" if int(found[1]) <= floor else found[1]

    return COUNTED.sub(one, sentence) if floor > 0 else sentence


@dataclass(frozen=True)
class Bar:
    """One bar of the risks by outcome: from, to, and the share of these patients a tenth of risk."""

    low: float
    high: float
    density: float


def bars(edges: NDArray[np.float64], counts: NDArray[np.float64], floor: int = FLOOR) -> list[Bar]:
    """Bars (bins,) joined with their neighbours until each stands for more than ``floor`` patients, or none.

    Nothing is shown when there are that few in all. Areas add up to 1 where risks are counted in tenths.
    """
    total = float(counts.sum())
    if total <= floor or total == 0:
        return []
    return [
        Bar(low, high, count / total / (high - low) / 10)
        for low, high, count in _joined(edges, counts, floor)
    ]


def _joined(
    edges: NDArray[np.float64], counts: NDArray[np.float64], floor: int
) -> Iterator[tuple[float, float, float]]:
    made: list[tuple[float, float, float]] = []
    start, held = float(edges[0]), 0.0
    for high, count in zip(edges[1:], counts, strict=True):
        held += float(count)
        if held > floor or (held == 0 and count == 0):
            made.append((start, float(high), held))
            start, held = float(high), 0.0
    while held and made:  # what is left over at the end joins the last bar that has patients
        low, _, before = made.pop()
        start, held = low, held + before
        if held > floor:
            made.append((start, float(edges[-1]), held))
            held = 0.0
    yield from made
