"""Table 1: who the patients are, by outcome. No p-values: with many patients every difference is significant.

How far the classes lie apart is told by the standardised mean difference, which does not grow with the
number of patients. Of numbers: the difference of the means over the pooled standard deviation; of categories:
Yang and Dalton's multivariate form of it (SAS Global Forum 2012, paper 335). Of several classes, the largest
of any two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medprune.cohort import Cohort
from medprune.disclosure import HIDDEN, Counts, protected

SKEWED = 1.0  # the skewness from which on a median tells more than a mean
FEW_CODES = 6
MOST_LEVELS = 10  # of a category that are listed
FEW = 5  # rows: rarer levels are taken together, so that nobody is described alone
REST = "(other)"


def table_one(cohort: Cohort, *, floor: int = 0) -> pd.DataFrame:
    """All rows in use, described by class: one row a number, one a level of a category.

    Columns: ``variable``, ``shown as``, ``n`` (known), ``missing``, ``all``, one a class (headed with its
    label and size; those whose outcome was censored in one of their own, which the SMD does not compare), and
    ``SMD``. Values are text; the SMD is a number, NaN where nothing varies. Counts up to
    ``floor`` are kept back, and others from which they would follow, see :mod:`medprune.disclosure`.
    """
    everyone = cohort.all()
    frame, outcome = everyone.frame, cohort.group_of(everyone)
    sizes = np.bincount(outcome, minlength=len(cohort.groups))
    told = protected(sizes, floor)
    heads = [f"{label} (n={told.count(0, place)})" for place, label in enumerate(cohort.groups)]
    groups = len(heads), len(cohort.classes)
    rows: list[dict[str, object]] = []
    for feature in cohort.features:
        values = frame[feature.name]
        if feature.kind == "number" and _are_codes(values):
            values = values.map(lambda code: f"{code:g}", na_action="ignore")
        missing = protected([int(values.notna().sum()), int(values.isna().sum())], floor)
        if values.dtype.kind == "f":
            described = _number(values, outcome, groups, floor)
        else:
            described = _category(values, outcome, groups, floor)
        for shown, cells, smd in described:
            rows.append(
                {
                    "variable": feature.name,
                    "shown as": shown,
                    "n": missing.count(0, 0),
                    "missing": _counted(missing, 0, 1),
                    "all": cells[0],
                    **dict(zip(heads, cells[1:], strict=True)),
                    "SMD": smd,
                }
            )
    return pd.DataFrame(rows)


def _are_codes(values: pd.Series) -> bool:
    """Whether these numbers are so few different whole ones that shares tell more than a mean."""
    distinct = values.dropna().unique()
    return len(distinct) <= FEW_CODES and bool((distinct % 1 == 0).all())


Row = tuple[str, list[str], float]  # what is shown, for all and by class, and the SMD


def _counted(counts: Counts, row: int, column: int) -> str:
    """A count and its share of the row."""
    if counts.hidden[row, column]:
        return HIDDEN
    total = counts.cells[row, -1]
    return f"{counts.count(row, column)} ({counts.cells[row, column] / max(total, 1):.1%})"


def _number(
    values: pd.Series, outcome: NDArray[np.int64], groups: tuple[int, int], floor: int
) -> Iterator[Row]:
    """``groups``: how many there are, and how many of the first of them are compared."""
    classes, compared = groups
    x = values.to_numpy(np.float64)
    parts = [x, *(x[outcome == place] for place in range(classes))]
    known = [part[~np.isnan(part)] for part in parts]
    skewed = abs(_skewness(known[0])) > SKEWED
    shown = "median [IQR]" if skewed else "mean (SD)"
    tell = _median if skewed else _mean
    cells = [HIDDEN if 0 < len(group) <= floor else tell(group) for group in known]
    yield shown, cells, _largest(known[1 : 1 + compared], apart)


def _skewness(x: NDArray[np.float64]) -> float:
    spread = x.std() if len(x) else 0.0
    return float((((x - x.mean()) / spread) ** 3).mean()) if spread > 0 else 0.0


def _mean(x: NDArray[np.float64]) -> str:
    return f"{x.mean():.4g} ({x.std(ddof=1):.3g})" if len(x) > 1 else "n/a"


def _median(x: NDArray[np.float64]) -> str:
    if not len(x):
        return "n/a"
    low, middle, high = np.quantile(x, (0.25, 0.5, 0.75))
    return f"{middle:.4g} [{low:.4g}, {high:.4g}]"


def apart(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """The standardised mean difference of two groups of numbers."""
    if min(len(x), len(y)) < 2:  # noqa: PLR2004 - a spread takes two
        return np.nan
    pooled = np.sqrt((x.var(ddof=1) + y.var(ddof=1)) / 2)
    return float(abs(x.mean() - y.mean()) / pooled) if pooled > 0 else np.nan


def _category(
    values: pd.Series, outcome: NDArray[np.int64], groups: tuple[int, int], floor: int
) -> Iterator[Row]:
    classes, compared = groups
    counts = values.value_counts()
    levels = [str(label) for label in counts.index[counts >= FEW][:MOST_LEVELS]]
    known = values.notna().to_numpy()
    of_row = values.where(values.isin(levels), REST).to_numpy()
    names = [*levels, *([REST] if (of_row[known] == REST).any() else [])]
    table = np.array(
        [
            [int((known & (of_row == name) & (outcome == place)).sum()) for place in range(classes)]
            for name in names
        ],
        dtype=np.int64,
    ).reshape(len(names), classes)
    smd = _largest(list(table.T)[:compared], shares_apart)
    by_class = protected(table.T, floor)  # a row a class, the last all; shares are of a class
    for place, name in enumerate(names):
        told = [_counted(by_class, row, place) for row in (classes, *range(classes))]
        yield f"{name}, n (%)", told, smd if place == 0 else np.nan


def shares_apart(x: NDArray[np.int64], y: NDArray[np.int64]) -> float:
    """The standardised difference of the shares of all levels but the last, of two groups of counts."""
    if not x.sum() or not y.sum() or len(x) < 2:  # noqa: PLR2004 - one level does not differ
        return np.nan
    p, q = (x / x.sum())[:-1], (y / y.sum())[:-1]
    spread = (np.diag(p) - np.outer(p, p) + np.diag(q) - np.outer(q, q)) / 2
    squared = float((p - q) @ np.linalg.pinv(spread) @ (p - q))
    return float(np.sqrt(max(squared, 0.0)))


Group = TypeVar("Group")


def _largest(groups: Sequence[Group], apart: Callable[[Group, Group], float]) -> float:
    """The largest difference of any two groups that can be told; NaN where none can."""
    found = [apart(one, other) for one, other in combinations(groups, 2)]
    return max((value for value in found if not np.isnan(value)), default=np.nan)
