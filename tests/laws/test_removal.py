"""Laws of keeping exactly what is asked for, and of what is worth a look."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from medprune import MLP, compact
from medprune.pareto import front
from medprune.removal import alive_groups, keep_exactly, keep_groups, mask_of, mean_activations
from tests.makers import patient_cohort, untrained_model

COHORT = patient_cohort()
MODEL = untrained_model(COHORT, MLP(hidden=(5, 4), dropout=0.0))
COLUMNS = MODEL.prepared(COHORT.train)
MEANS = mean_activations(MODEL, COLUMNS)
bits = st.integers(0, 2**20)


def some(seed: int, *sizes: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.random(size) < 0.6 for size in sizes]


@given(bits)
def test_what_is_kept_is_what_was_asked_for(seed: int) -> None:
    features, first, second, layers = some(seed, len(MODEL.features), 5, 4, 2)
    kept = keep_exactly(MODEL, features, (first, second), layers, MEANS)
    reaches = features.any() and (first.any() or not layers[0]) and (second.any() or not layers[1])
    assert (kept is not None) == reaches  # every weight is there, so that only an empty layer cuts it off
    if kept is None:
        return
    mask = mask_of(kept)
    np.testing.assert_array_equal(alive_groups(kept, "feature")[0], features)
    np.testing.assert_array_equal(mask.layers.numpy(), layers)
    for asked, units, stays, constants, mean in zip(
        (first, second), mask.units, layers, mask.unit_constants, MEANS, strict=True
    ):
        np.testing.assert_array_equal(units.numpy(), asked if stays else np.ones_like(asked))
        assert torch.equal(constants[~units], mean[~units])
    np.testing.assert_allclose(
        kept.risks_of(COLUMNS), compact(kept).predict_proba(COHORT.train.frame), atol=1e-5
    )


def test_keeping_everything_changes_no_risk() -> None:
    kept = keep_exactly(MODEL, None, None, None, MEANS)
    assert kept is not None
    np.testing.assert_array_equal(kept.risks_of(COLUMNS), MODEL.risks_of(COLUMNS))


@given(bits)
def test_what_is_gone_stays_gone(seed: int) -> None:
    for granularity in ("weight", "neuron", "feature"):
        alive = alive_groups(MODEL, granularity)
        parts = [
            part.reshape(a.shape) for part, a in zip(some(seed, *(a.size for a in alive)), alive, strict=True)
        ]
        smaller = keep_groups(MODEL, granularity, tuple(parts), MEANS)
        if smaller is None:
            continue
        again = keep_groups(smaller, granularity, alive, MEANS)
        assert again is not None
        assert mask_of(again).same_as(mask_of(smaller))
        for left, asked in zip(alive_groups(smaller, granularity), parts, strict=True):
            assert (left <= asked).all()


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_the_front_is_what_nothing_dominates(points: list[tuple[int, int]]) -> None:
    found = front([metric for metric, _ in points], [size for _, size in points])
    expected = [
        place
        for place, (metric, size) in enumerate(points)
        if not any(
            (m >= metric and s <= size) and ((m, s) != (metric, size) or other < place)
            for other, (m, s) in enumerate(points)
        )
    ]
    assert found == expected


def test_a_point_without_a_metric_is_not_on_the_front() -> None:
    assert front([float("nan"), 0.5], [1, 2]) == [1]
