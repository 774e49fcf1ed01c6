"""Laws of NSGA-II's operators, against their definitions."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from medprune.nsga import children, crowding, ranks, survivors
from medprune.pareto import front

points = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=15)


def dominates(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return a[0] <= b[0] and a[1] <= b[1] and a != b


@given(points)
def test_ranks_peel_one_front_after_the_other(found: list[tuple[int, int]]) -> None:
    left, expected, rank = set(range(len(found))), {}, 0
    while left:
        best = {i for i in left if not any(dominates(found[j], found[i]) for j in left)}
        expected |= dict.fromkeys(best, rank)
        left, rank = left - best, rank + 1
    assert ranks(np.array(found, dtype=float)).tolist() == [expected[i] for i in range(len(found))]


@given(points, st.integers(1, 15))
def test_nobody_survives_before_one_that_dominates_him(found: list[tuple[int, int]], most: int) -> None:
    kept = survivors(np.array(found, dtype=float), most).tolist()
    assert len(kept) == min(most, len(found)) == len(set(kept))
    gone = set(range(len(found))) - set(kept)
    assert not any(dominates(found[i], found[j]) for i in gone for j in kept)


@given(points)
def test_a_front_that_fits_survives_whole(found: list[tuple[int, int]]) -> None:
    best = front([-a for a, _ in found], [b for _, b in found])
    kept = survivors(np.array(found, dtype=float), int((ranks(np.array(found, dtype=float)) == 0).sum()))
    assert set(best) <= set(kept.tolist())


def test_the_ends_of_a_front_have_most_room() -> None:
    costs = np.array([[0.0, 10.0], [1.0, 9.0], [2.0, 5.0], [9.0, 1.0], [10.0, 0.0]])
    room = crowding(costs)
    assert np.isinf(room[[0, 4]]).all()
    np.testing.assert_allclose(room[1:4], [0.2 + 0.5, 0.8 + 0.8, 0.8 + 0.5])


@given(st.integers(0, 2**31))
def test_children_take_their_genes_from_parents_but_for_a_few(seed: int) -> None:
    rng = np.random.default_rng(seed)
    parents = rng.random((10, 200)) < 0.5
    parents[:, :50], parents[:, 50:100] = True, False
    born = children(parents, np.random.default_rng(seed))
    assert born.shape == parents.shape
    np.testing.assert_array_equal(born, children(parents, np.random.default_rng(seed)))
    foreign = (~born[:, :50]).sum() + born[:, 50:100].sum()
    assert foreign <= 30  # a thousand genes that all parents share, one in 200 of which flips


def test_the_fittest_have_more_children() -> None:
    parents = np.eye(40, dtype=bool)  # gene i is parent i's alone
    born = np.sum([children(parents, np.random.default_rng(seed)).sum(axis=0) for seed in range(20)], axis=0)
    assert born[:10].sum() > 1.5 * born[30:].sum()
