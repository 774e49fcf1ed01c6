"""Small counts kept back, so that nobody is recognised by being one of few, nor found again by subtraction.

The rule is that of public health statistics (in the United States, CMS's cell size suppression policy): no
count of 1 to 10 is shown, nor anything from which one follows. Zero may be shown. A count that is kept back
alone in its row is the row's total less the others, so further counts are kept back until a reader who
knows every shown count, all totals, and that no count is negative, is left with a range at least as wide as
the floor.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linprog

FLOOR = 10  # the largest count that is kept back, where small counts are
HIDDEN = "hidden"


def safe_count(count: int, floor: int) -> str:
    """A count that stands alone, with no total beside it; ``floor`` 0 shows every count.

    >>> safe_count(3, 10), safe_count(0, 10), safe_count(1200, 10), safe_count(3, 0)
    ('1 to 10', '0', '1,200', '3')
    """
    return f"1 to {floor}" if 0 < count <= floor else f"{count:,}"


def veiled(sentence: str, count: int, floor: int) -> str:
    """A sentence that tells ``count`` of patients, without it where it is small; shares go with it.

    >>> veiled("'age' lies outside 0 to 120 in 3 rows (0.5%).", 3, 10)
    "'age' lies outside 0 to 120 in 1 to 10 rows."
    """
    if not 0 < count <= floor:
        return sentence
    without = re.sub(r" \((?=[^()]*\d%)[^()]*\)", "", sentence)
    return re.sub(rf"(?<![\w.,]){count}(?![\w,]|\.\d)", safe_count(count, floor), without)


@dataclass(frozen=True)
class Counts:
    """A table of counts with its totals.

    ``cells`` (R + 1, C + 1): the last row and the last column are the totals. ``hidden`` has the same shape.
    """

    cells: NDArray[np.int64]
    hidden: NDArray[np.bool_]

    def count(self, row: int, column: int) -> str:
        return HIDDEN if self.hidden[row, column] else f"{self.cells[row, column]:,}"

    def share(self, row: int, column: int) -> str:
        """Of the row's total: it would tell the count, so it is hidden with it."""
        total = self.cells[row, -1]
        if self.hidden[row, column] or self.hidden[row, -1] or not total:
            return HIDDEN
        return f"{self.cells[row, column] / total:.1%}"

    @property
    def any_hidden(self) -> bool:
        return bool(self.hidden.any())


def protected(counts: ArrayLike, floor: int = FLOOR) -> Counts:
    """The counts (R, C) with totals, and which of them must be kept back; ``floor`` 0 keeps back none."""
    inner = np.atleast_2d(np.asarray(counts, dtype=np.int64))
    with_rows = np.hstack([inner, inner.sum(axis=1, keepdims=True)])
    cells = np.vstack([with_rows, with_rows.sum(axis=0, keepdims=True)])
    small = (cells > 0) & (cells <= floor)
    hidden = small.copy()
    while (known := _still_known(cells, hidden, small, floor)) is not None:
        further = _next_to_hide(cells, hidden, known)
        if further is None:
            break  # everything is kept back
        hidden[further] = True
    return Counts(cells, hidden)


def left_open(counts: Counts, row: int, column: int) -> tuple[float, float]:
    """The smallest and the largest value of a cell that fit everything that is shown."""
    equal, total = _sums(counts.cells.shape)
    shown = ~counts.hidden.ravel()
    bounds = [
        (float(cell), float(cell)) if seen else (0.0, None)
        for cell, seen in zip(counts.cells.ravel(), shown, strict=True)
    ]
    target = np.zeros(counts.cells.size)
    target[row * counts.cells.shape[1] + column] = 1.0
    ends = []
    for sign in (1.0, -1.0):
        found = linprog(sign * target, A_eq=equal, b_eq=total, bounds=bounds, method="highs")
        ends.append(sign * float(found.fun) if found.status == 0 else sign * -np.inf)
    return ends[0], ends[1]


def _still_known(
    cells: NDArray[np.int64], hidden: NDArray[np.bool_], small: NDArray[np.bool_], floor: int
) -> tuple[int, int] | None:
    """The first small cell that a reader can still find to within less than the floor."""
    for row, column in np.argwhere(small):
        low, high = left_open(Counts(cells, hidden), int(row), int(column))
        if high - low < floor - 1e-6:
            return int(row), int(column)
    return None


def _next_to_hide(
    cells: NDArray[np.int64], hidden: NDArray[np.bool_], known: tuple[int, int]
) -> tuple[int, int] | None:
    """The smallest count shown in the same row or column, not 0 if it can be helped, else anywhere."""
    open_ = np.argwhere(~hidden)
    if not len(open_):
        return None
    beside = (open_[:, 0] == known[0]) | (open_[:, 1] == known[1])
    values = cells[open_[:, 0], open_[:, 1]]
    last = (open_[:, 0] == cells.shape[0] - 1) | (open_[:, 1] == cells.shape[1] - 1)
    place = np.lexsort((values, last, values == 0, ~beside))[0]
    return int(open_[place, 0]), int(open_[place, 1])


def _sums(shape: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Equations that say: each row's and each column's last cell is the sum of the others."""
    rows, columns = shape
    equations = []
    for line in range(rows):
        one = np.zeros(shape)
        one[line, :-1], one[line, -1] = 1.0, -1.0
        equations.append(one.ravel())
    for line in range(columns):
        one = np.zeros(shape)
        one[:-1, line], one[-1, line] = 1.0, -1.0
        equations.append(one.ravel())
    return np.array(equations), np.zeros(rows + columns)
