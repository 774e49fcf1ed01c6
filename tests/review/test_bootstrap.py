"""Patients drawn again: whole, as many as there are, the same for the same seed; intervals that cover."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medprune.review.bootstrap import drawn_again, interval, together


@given(st.integers(0, 1_000))
def test_a_patient_comes_with_all_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    patients = rng.integers(0, 12, 40).astype(np.uint64)
    event = rng.random(40) < 0.3
    sizes = {int(k): int((patients == k).sum()) for k in np.unique(patients)}
    ill = len({int(k) for k in patients[event]})
    for rows in drawn_again(patients, event, draws=3, seed=seed):
        times = {k: int((patients[rows] == k).sum()) / size for k, size in sizes.items()}
        assert all(count == int(count) for count in times.values())
        assert sum(times.values()) == len(sizes)
        assert sum(times[k] for k in {int(k) for k in patients[event]}) == ill


def test_the_same_seed_draws_the_same() -> None:
    patients = np.arange(30, dtype=np.uint64)
    event = np.arange(30) % 3 == 0
    one, other = (list(drawn_again(patients, event, draws=4, seed=7)) for _ in range(2))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_repeated_patients_widen_the_interval_as_they_should() -> None:
    """Ten rows a patient that all say the same are no more than one."""
    rng = np.random.default_rng(0)
    one = rng.random(200)
    x, patients = np.repeat(one, 10), np.repeat(np.arange(200, dtype=np.uint64), 10)
    event = x > 0.5
    found = interval(lambda rows: float(x[rows].mean()), patients, event, draws=400)
    by_row = interval(lambda rows: float(x[rows].mean()), np.arange(2000, dtype=np.uint64), event, draws=400)
    width = found.high - found.low
    assert width == pytest.approx(2 * 1.96 * one.std() / math.sqrt(200), rel=0.15)
    assert width > 2.5 * (by_row.high - by_row.low)


def test_a_band_covers_all_figures_at_once() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(200):
        means = rng.normal(0, 0.1, 8)
        band = together(means, means + rng.normal(0, 0.1, (400, 8)))
        hits += all(each.low <= 0 <= each.high for each in band)
    assert 0.9 < hits / 200 < 0.99


def test_what_cannot_be_known_stays_unknown() -> None:
    patients, event = np.arange(9, dtype=np.uint64), np.zeros(9, dtype=bool)
    assert not interval(lambda rows: math.nan, patients, event, draws=5).is_known
    band = together(np.array([math.nan, 1.0]), np.array([[math.nan, 1.0], [math.nan, 1.2], [math.nan, 0.9]]))
    assert math.isnan(band[0].value)
    assert band[1].low < 1 < band[1].high
