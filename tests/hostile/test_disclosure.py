"""Small counts that are kept back cannot be found again, by subtraction or by any other sum."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from medprune.disclosure import FLOOR, HIDDEN, Counts, left_open, protected, safe_count

TABLES = st.tuples(st.integers(1, 4), st.integers(2, 4)).flatmap(
    lambda shape: arrays(np.int64, shape, elements=st.one_of(st.integers(0, 15), st.integers(0, 300)))
)


def by_subtraction(counts: Counts) -> np.ndarray:
    """What a reader with pencil and paper finds: a line with one cell missing gives that cell away."""
    known = ~counts.hidden
    changed = True
    while changed:
        changed = False
        for lines in (known, known.T):
            for line in lines:
                if (~line).sum() == 1:
                    line[:] = True
                    changed = True
    return known & counts.hidden


def determined(counts: Counts) -> np.ndarray:
    """Cells that the sums fix, found by linear algebra: no free direction moves them."""
    from medprune.disclosure import _sums

    equations, _ = _sums(counts.cells.shape)
    missing = np.flatnonzero(counts.hidden.ravel())
    if not len(missing):
        return np.zeros(0, bool)
    _, values, directions = np.linalg.svd(equations[:, missing])
    free = directions[int((values > 1e-9).sum()) :]
    return np.abs(free).max(axis=0, initial=0.0) < 1e-9


@settings(max_examples=60)
@given(TABLES)
def test_nothing_kept_back_is_found_again(table: np.ndarray) -> None:
    counts = protected(table)
    small = (counts.cells > 0) & (counts.cells <= FLOOR)
    assert counts.hidden[small].all()
    assert not (by_subtraction(counts) & small).any()
    places = counts.hidden.ravel().nonzero()[0]
    assert not small.ravel()[places][determined(counts)].any()
    for row, column in np.argwhere(small):
        low, high = left_open(counts, row, column)
        assert low <= counts.cells[row, column] <= high
        assert high - low >= FLOOR - 1e-6


@given(TABLES)
def test_without_small_counts_all_is_shown(table: np.ndarray) -> None:
    assert not protected(table + FLOOR + 1).any_hidden
    assert not protected(table, floor=0).any_hidden


def test_keeping_back_small_counts_alone_would_give_them_away() -> None:
    """What the further counts are kept back for."""
    table = protected([[3, 100], [50, 60]])
    alone = Counts(table.cells, (table.cells > 0) & (table.cells <= FLOOR))
    assert by_subtraction(alone)[0, 0]
    assert not by_subtraction(table)[0, 0]
    assert table.hidden[0, 1]
    assert table.hidden[1, 0]


def test_two_that_share_a_small_rest_are_not_told_by_it() -> None:
    """Both of a row are kept back, yet their sum, 2, would say that each is at most 2."""
    counts = protected([[1, 1, 200], [80, 90, 100]])
    assert left_open(counts, 0, 0)[1] >= FLOOR


def test_a_share_is_kept_back_with_its_count() -> None:
    counts = protected([[3, 100, 200]])
    assert [counts.share(0, column) for column in range(2)] == [HIDDEN, HIDDEN]
    assert counts.count(0, 0) == HIDDEN
    assert protected([[30, 10]], floor=0).share(0, 1) == "25.0%"


@pytest.mark.parametrize(("count", "said"), [(0, "0"), (1, "1 to 10"), (10, "1 to 10"), (11, "11")])
def test_a_count_alone(count: int, said: str) -> None:
    assert safe_count(count, FLOOR) == said
    assert safe_count(count, 0) == str(count)
