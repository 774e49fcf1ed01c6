"""Laws of the review's figures: pairs counted one by one, identities, and what cannot be known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from medprune.errors import BadInput
from medprune.review.calibration import calibration, scaled_brier, smoothed
from medprune.review.discrimination import auroc_interval, paired_auroc
from medprune.review.flips import flips, foretold, margin, noise_floor
from medprune.review.utility import change_in_net_benefit, decision_curve, net_benefit, treat_all

Floats = NDArray[np.float64]
SEEDS = st.integers(0, 10_000)


def patients(
    seed: int, count: int = 60
) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
    """Who has the event, and two models' risks with ties among them."""
    rng = np.random.default_rng(seed)
    first = rng.beta(1, 3, count).round(2)
    event = rng.random(count) < first
    event[:4] = [True, True, False, False]
    return event, first, np.clip(first + rng.normal(0, 0.1, count), 0, 1).round(2)


@given(SEEDS)
def test_delong_by_midranks_is_delong_by_pairs(seed: int) -> None:
    event, first, second = patients(seed)

    def wins(risk: Floats) -> Floats:
        a, b = risk[event][:, None], risk[~event][None]
        return (a > b) + 0.5 * (a == b)

    one, other = wins(first), wins(second)
    m, n = one.shape
    placed = (
        np.cov(np.stack([one.mean(1), other.mean(1)])) / m
        + np.cov(np.stack([one.mean(0), other.mean(0)])) / n
    )
    variance = placed[0, 0] + placed[1, 1] - 2 * placed[0, 1]
    found = paired_auroc(event, first, second)
    assert found.first.value == pytest.approx(one.mean())
    assert found.difference.value == pytest.approx(other.mean() - one.mean())
    width = found.difference.high - found.difference.low
    assert width == pytest.approx(2 * 1.959963984540054 * math.sqrt(variance), abs=1e-9)


def test_identical_models_differ_by_nothing_for_sure() -> None:
    event, first, _ = patients(1)
    found = paired_auroc(event, first, first)
    assert (found.z, found.p) == (0.0, 1.0)
    assert (found.difference.value, found.difference.low, found.difference.high) == (0, 0, 0)


def test_a_large_p_is_not_non_inferiority() -> None:
    event, first, second = patients(2, count=30)
    found = paired_auroc(event, first, second)
    assert found.p > 0.05
    assert not found.difference.exceeds(-0.02)


@given(SEEDS, st.floats(0.02, 0.9))
def test_flips_and_net_benefit_are_one_identity(seed: int, act_at: float) -> None:
    event, first, second = patients(seed)
    found = flips(event, first, second, act_at)
    apart = net_benefit(event, second, act_at).value - net_benefit(event, first, act_at).value
    assert found.change_in_net_benefit(act_at) == pytest.approx(apart, abs=1e-12)
    assert change_in_net_benefit(event, first, second, act_at).value == pytest.approx(apart, abs=1e-12)


@given(SEEDS)
def test_flips_the_other_way_round_change_places(seed: int) -> None:
    event, first, second = patients(seed)
    there, back = flips(event, first, second, 0.2), flips(event, second, first, 0.2)
    assert (there.caught, there.missed, there.alarmed, there.spared) == (
        back.missed,
        back.caught,
        back.spared,
        back.alarmed,
    )


def test_whoever_lies_nearest_flips_first() -> None:
    rng = np.random.default_rng(0)
    dense = rng.beta(1, 3, 2_000)
    logit = np.log(dense / (1 - dense)) + rng.normal(0, 0.3, 2_000)
    pruned = 1 / (1 + np.exp(-logit))
    assert margin(np.array([0.2, 0.9]), 0.2)[0] == pytest.approx(0)
    assert foretold(dense, pruned, 0.2) > 0.9
    assert math.isnan(foretold(dense, dense, 0.2))
    assert noise_floor(dense, [dense, pruned], 0.2)[0] == 0


def test_acting_on_everybody_is_a_model_that_gives_everybody_a_risk_of_one() -> None:
    event, first, _ = patients(3)
    curve = decision_curve(event, np.ones(len(event)), (0.1, 0.3))
    assert [point.value for point in curve.model] == pytest.approx(curve.everybody)
    assert treat_all(event, 0.1) == pytest.approx(curve.everybody[0])
    with pytest.raises(BadInput, match="between 0 and 1"):
        net_benefit(event, first, 1.0)


def test_risks_that_are_too_extreme_have_a_slope_below_one() -> None:
    rng = np.random.default_rng(0)
    lp = rng.normal(-1, 1, 20_000)
    event = rng.random(20_000) < 1 / (1 + np.exp(-lp))
    right = calibration(event, 1 / (1 + np.exp(-lp)))
    assert right.slope.low < 1 < right.slope.high
    assert right.in_the_large.low < 0 < right.in_the_large.high
    assert right.observed_over_expected.low < 1 < right.observed_over_expected.high
    assert right.ici < 0.02
    extreme = calibration(event, 1 / (1 + np.exp(-2 * lp)))
    assert extreme.slope.high < 0.6
    assert extreme.ici > 3 * right.ici
    high = calibration(event, 1 / (1 + np.exp(-lp - 1)))
    assert high.in_the_large.value == pytest.approx(-1, abs=0.1)
    assert high.observed_over_expected.high < 1


def test_robust_reweighting_would_lose_the_rarer_outcome() -> None:
    rng = np.random.default_rng(1)
    risk = rng.beta(1, 9, 3_000)
    event = rng.random(3_000) < risk
    assert smoothed(event, risk).mean() == pytest.approx(event.mean(), abs=0.01)


def test_what_nobody_can_know_is_said_to_be_unknown() -> None:
    event, risk = np.zeros(10, dtype=bool), np.linspace(0, 1, 10)
    found = calibration(event, risk)
    assert not found.slope.is_known
    assert found.clipped == 2
    assert not auroc_interval(event, risk).is_known
    assert math.isnan(scaled_brier(event, risk))
    parted = calibration(risk > 0.5, risk)  # a line parts them: no slope is large enough
    assert not parted.slope.is_known
