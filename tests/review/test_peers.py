"""The review's figures and their errors beside scikit-learn's and statsmodels' own, where those have them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from medprune.review import influence
from medprune.review.calibration import calibration
from medprune.review.influence import Figure
from medprune.review.logits import logits
from medprune.review.measures import side_changes
from medprune.review.observed import Observed
from medprune.review.resampled import auprc
from medprune.review.side_by_side import auroc_of_two, figures_of, side_by_side

Floats = NDArray[np.float64]
SEEDS = range(3)
ROWS, EACH, ACT_AT = 400, 2, 0.3
SAMPLES = 200


def patients(seed: int, *, each: int = 1, weighted: bool = False) -> tuple[Observed, Floats, Floats]:
    """Rows of patients with related outcomes, and the risks of two models, with ties among them."""
    rng = np.random.default_rng(seed)
    own = np.repeat(rng.normal(size=ROWS // each), each)
    lp = own + rng.normal(size=ROWS)
    event = lp + np.repeat(rng.logistic(size=ROWS // each), each) > 1
    first = (1 / (1 + np.exp(0.8 - 1.3 * lp))).round(2).clip(0.01, 0.99)
    second = (1 / (1 + np.exp(1.2 - 0.5 * lp - 0.4 * rng.normal(size=ROWS)))).round(2).clip(0.01, 0.99)
    weight = rng.choice([0.0, 1.0, 1.3, 2.0], ROWS) if weighted else None
    return Observed(event, np.repeat(np.arange(ROWS // each), each).astype(np.uint64), weight), first, second


def glm(observed: Observed, risk: Floats, *, slope: bool, **how: Any) -> Any:
    """statsmodels' own fit of the calibration model, on rows that count."""
    observed, risk = observed.take(np.flatnonzero(observed.known)), risk[observed.known]
    lp = logits(risk)[0]
    columns = sm.add_constant(lp) if slope else np.ones((len(lp), 1))
    model = sm.GLM(
        observed.event.astype(float), columns, family=sm.families.Binomial(),
        offset=None if slope else lp, var_weights=observed.weight,
    )  # fmt: skip
    return model.fit(**how)


def figure_of(observed: Observed, risk: Floats, *, slope: bool) -> Figure:
    return influence.slope(observed, risk) if slope else influence.in_the_large(observed, risk)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("slope", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.filterwarnings("ignore:cov_type not fully supported")  # they agree nevertheless
def test_calibration_has_the_error_of_the_sandwich(seed: int, slope: bool, weighted: bool) -> None:
    """HC0; ours has the n / (n - 1) of a mean beside it."""
    observed, risk, _ = patients(seed, weighted=weighted)
    theirs = glm(observed, risk, slope=slope, cov_type="HC0")
    ours = figure_of(observed, risk, slope=slope)
    assert ours.value == pytest.approx(theirs.params[-1], rel=1e-9)
    expected = theirs.bse[-1] * np.sqrt(ROWS / (ROWS - 1))
    assert ours.error(observed.patients) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("slope", [False, True])
def test_rows_of_a_patient_have_the_error_of_the_clustered_sandwich(seed: int, slope: bool) -> None:
    """By cluster, without its correction; ours has that of a mean over patients beside it."""
    observed, risk, _ = patients(seed, each=EACH)
    groups = {"groups": observed.patients.astype(int), "use_correction": False}
    theirs = glm(observed, risk, slope=slope, cov_type="cluster", cov_kwds=groups)
    ours = figure_of(observed, risk, slope=slope)
    count = ROWS // EACH
    expected = theirs.bse[-1] * np.sqrt(count / (count - 1))
    assert ours.error(observed.patients) == pytest.approx(expected, rel=1e-6)
    alone = ours.error(np.arange(ROWS).astype(np.uint64))
    assert abs(expected / alone - 1) > 0.02, "the rows of a patient must matter here"


@pytest.mark.parametrize("seed", SEEDS)
def test_one_models_calibration_is_walds(seed: int) -> None:
    observed, risk, _ = patients(seed)
    found = calibration(observed.event, risk)
    for ours, slope in ((found.in_the_large, False), (found.slope, True)):
        low, high = glm(observed, risk, slope=slope).conf_int()[-1]
        assert (ours.low, ours.high) == pytest.approx((low, high), rel=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("weighted", [False, True])
def test_figures_are_those_of_scikit_learn(seed: int, weighted: bool) -> None:
    observed, risk, _ = patients(seed, weighted=weighted)
    given = {"y_true": observed.event, "sample_weight": observed.weight}
    assert auprc(observed, risk) == pytest.approx(average_precision_score(y_score=risk, **given), rel=1e-12)
    assert influence.auroc(observed, risk).value == pytest.approx(
        roc_auc_score(y_score=risk, **given), rel=1e-12
    )
    assert influence.brier(observed, risk).value == pytest.approx(
        brier_score_loss(y_proba=risk, **given), rel=1e-12
    )


def test_average_precision_counts_ties_at_once() -> None:
    """By hand: at the risk .8 one of two has the event, at .2 two of four have."""
    observed = Observed(np.array([True, False, True, False]), np.arange(4).astype(np.uint64))
    assert auprc(observed, np.array([0.8, 0.8, 0.2, 0.2])) == pytest.approx(0.5 * 0.5 + 0.5 * 0.5)


@pytest.mark.parametrize("each", [1, EACH])
def test_the_error_of_a_change_is_that_of_patients_left_out_one_by_one(each: int) -> None:
    """The infinitesimal jackknife beside the jackknife, of every figure: a check on each influence."""
    observed, first, second = patients(0, each=each)
    before, after = (figures_of(observed, risk, ACT_AT) for risk in (first, second))
    left_out: dict[str, list[float]] = {name: [] for name in before}
    people = np.unique(observed.patients)[:: 8 // each]  # some will do
    for one in people:
        rows = np.flatnonzero(observed.patients != one)
        some = [figures_of(observed.take(rows), risk[rows], ACT_AT) for risk in (first, second)]
        for name in before:
            left_out[name].append(some[1][name].value - some[0][name].value)
    for name, values in left_out.items():
        change = after[name] - before[name]
        chosen = np.isin(observed.patients, people)
        owner = np.searchsorted(people, observed.patients[chosen])
        summed = np.bincount(owner, weights=change.influence[chosen]) / ROWS
        moved = change.value - np.array(values)
        assert np.corrcoef(summed, moved)[0, 1] > 0.999, name
        assert np.linalg.norm(moved) == pytest.approx(np.linalg.norm(summed), rel=0.03), name


def test_a_reviews_change_is_the_difference_of_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the benchmark measures the coverage of is what a review shows."""
    for few in ("DRAWS", "LEAST_DRAWS"):  # of the figures that are not looked at here
        monkeypatch.setattr(import_module("medprune.review.side_by_side"), few, 2)
    observed, first, second = patients(0)
    shown = side_by_side(observed, first, second, ACT_AT).change
    before, after = (figures_of(observed, risk, ACT_AT) for risk in (first, second))
    expected = {name: (after[name] - before[name]).estimate(observed.patients) for name in before}
    expected["auroc"] = auroc_of_two(observed, first, second)[2]
    expected |= side_changes(observed, first, second, ACT_AT)
    assert {name: shown[name] for name in expected} == expected
    values = {name: (after[name] - before[name]).value for name in before}
    assert {name: shown[name].value for name in values} == pytest.approx(values)


def test_where_nobody_changes_side_that_is_not_certain_but_between_equal_risks_it_is() -> None:
    observed, first, _ = patients(0)
    near = first + np.where(first > ACT_AT, 1e-4, 0.0)
    for name, change in side_changes(observed, first, near, ACT_AT).items():
        assert change.value == 0, name
        assert change.low < 0 < change.high, name
    for change in side_changes(observed, first, first.copy(), ACT_AT).values():
        assert (change.value, change.low, change.high) == (0, 0, 0)


def test_the_interval_of_a_change_holds_where_few_change_side() -> None:
    """Four of 500 patients change side on average, and few of them have the event: the usual interval has
    no width at all where none of those does."""
    rng, held, usual = np.random.default_rng(0), 0, 0
    for _ in range(SAMPLES):
        event, flipped = rng.random(500) < 0.2, rng.random(500) < 0.008
        first = rng.choice([0.1, 0.4], 500)
        second = np.where(flipped, 0.5 - first, first)
        observed = Observed(event, np.arange(500).astype(np.uint64))
        change = side_changes(observed, first, second, ACT_AT)["sensitivity"]
        before, after = (influence.sensitivity(observed, risk, ACT_AT) for risk in (first, second))
        plain = (after - before).estimate(observed.patients)
        held += change.low <= 0 <= change.high
        usual += plain.low <= 0 <= plain.high and plain.low < plain.high
    assert held > 0.93 * SAMPLES
    assert usual < 0.8 * SAMPLES
