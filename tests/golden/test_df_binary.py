"""Our figures beside those of dcurves, mlstatkit and hand counts, on 750 simulated patients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from medprune.review.calibration import calibration
from medprune.review.discrimination import auroc_interval, paired_auroc
from medprune.review.flips import flips
from medprune.review.utility import avoided_per_100, change_in_net_benefit, net_benefit, treat_all

TABLE = pd.read_csv(Path(__file__).with_name("df_binary.csv"))
EVENT = TABLE["cancer"].to_numpy(bool)
MODEL = TABLE["cancerpredmarker"].to_numpy(float)
MARKER = TABLE["marker"].to_numpy(float)


def test_auroc_and_its_paired_difference() -> None:
    """mlstatkit 0.1.91, whose z has the other sign."""
    found = paired_auroc(EVENT, MARKER, MODEL)
    assert found.first.value == pytest.approx(0.708748616, abs=5e-10)
    assert found.second.value == pytest.approx(0.860627538, abs=5e-10)
    assert found.difference.value == pytest.approx(0.151878922, abs=5e-10)
    error = found.difference.value / found.z
    assert error == pytest.approx(0.028246145, abs=5e-10)
    assert found.z == pytest.approx(5.376978701, abs=5e-10)
    assert found.difference.low == pytest.approx(0.096517, abs=5e-7)
    assert found.difference.high == pytest.approx(0.207240, abs=5e-7)


def test_a_single_auroc_is_the_paired_ones_half() -> None:
    assert auroc_interval(EVENT, MODEL) == paired_auroc(EVENT, MARKER, MODEL).second


@pytest.mark.parametrize(
    ("act_at", "expected"),
    [(0.05, 0.105543860), (0.10, 0.087407407), (0.20, 0.067333333), (0.25, 0.064000), (0.35, 0.050153846)],
)
def test_net_benefit(act_at: float, expected: float) -> None:
    """dcurves 1.1.7, and counting."""
    assert net_benefit(EVENT, MODEL, act_at).value == pytest.approx(expected, abs=5e-10)


def test_net_benefit_of_another_predictor_and_of_treating_everybody() -> None:
    family = TABLE["famhistory"].to_numpy(float)
    assert net_benefit(EVENT, family, 0.10).value == pytest.approx(0.018518519, abs=5e-10)
    assert treat_all(EVENT, 0.10) == pytest.approx(0.044444444, abs=5e-10)
    assert treat_all(EVENT, 0.20) == pytest.approx(-0.075, abs=5e-10)
    assert avoided_per_100(EVENT, MODEL, 0.10) == pytest.approx(
        100 * (0.087407407 - 0.044444444) * 9, abs=1e-5
    )


def test_positives_at_ten_per_cent() -> None:
    acted = MODEL >= 0.10
    assert (acted & EVENT).sum() == 87
    assert (acted & ~EVENT).sum() == 193


@pytest.mark.parametrize(
    ("act_at", "counts", "change"),
    [(0.10, (7, 16, 153, 65), -0.025037037), (0.20, (4, 38, 35, 56), -0.038333333)],
)
def test_flips_to_a_logistic_model_of_the_marker(
    act_at: float, counts: tuple[int, int, int, int], change: float
) -> None:
    """Counted by hand; the change in net benefit is the same by flips and by net benefit."""
    weaker = (
        sm.GLM(EVENT.astype(float), sm.add_constant(MARKER), family=sm.families.Binomial()).fit().predict()
    )
    found = flips(EVENT, MODEL, weaker, act_at)
    assert (found.caught, found.missed, found.alarmed, found.spared) == counts
    assert found.total == sum(counts)
    assert found.change_in_net_benefit(act_at) == pytest.approx(change, abs=5e-10)
    assert change_in_net_benefit(EVENT, MODEL, weaker, act_at).value == pytest.approx(change, abs=5e-10)


def test_brier() -> None:
    assert np.mean((MODEL - EVENT) ** 2) == pytest.approx(0.084929098, abs=5e-10)


def test_a_model_fitted_on_these_patients_is_calibrated() -> None:
    """cancerpredmarker was fitted on this table: slope 1 and in the large 0, exactly."""
    found = calibration(EVENT, MODEL)
    assert found.slope.value == pytest.approx(1, abs=1e-4)
    assert found.in_the_large.value == pytest.approx(0, abs=1e-4)
    assert found.observed_over_expected.value == pytest.approx(1, abs=1e-4)
