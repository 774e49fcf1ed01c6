"""Methods side by side: equal size, paired intervals, and sentences that claim no more than these."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medprune import BadInput, Cohort, prune
from medprune.comparison import Comparison, best_at, compare, intervals_of, labels, resampled_path
from medprune.figures import pareto_chart
from medprune.figures.style import CLASSES
from medprune.path import Path
from medprune.performance import performance
from medprune.prices import Prices
from medprune.training import Schedule
from tests.makers import patient_cohort, untrained_model

QUICK = Schedule(epochs=1, patience=1)


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return patient_cohort(400)


@pytest.fixture(scope="module")
def paths(cohort: Cohort) -> list[Path]:
    """An untrained network pruned by chance, so that a regression must win; and the same again."""
    model = untrained_model(cohort)
    prices = Prices.of({"age": 1, "lactate": 20}, unit="<b>EUR</b>")
    poor = prune(model, cohort, "random", sparsities=(0.5, 0.8, 0.9), schedule=QUICK, prices=prices)
    return [poor, prune(model, cohort, "l1_logistic", prices=prices), poor]


def test_a_method_is_held_against_the_first_at_its_best_of_that_size(paths: list[Path]) -> None:
    compared = compare(paths, stops=(0.5, 0.8))
    assert [duel.stop for duel in compared.duels] == [0.5, 0.5, 0.8, 0.8]
    for duel in compared.duels:
        for path, candidate in ((paths[0], duel.first), (paths[1], duel.candidate)):
            if duel.method != compared.duels[0].method:
                continue
            small = [c for c in path if 1 - c.sparsity <= (1 - duel.stop) * 1.05]
            assert candidate in small
            assert candidate.performance.auroc == max(c.performance.auroc for c in small)


def test_the_same_path_ties_with_itself(paths: list[Path]) -> None:
    own = [duel for duel in compare(paths).duels if duel.candidate is duel.first]
    assert own
    for duel in own:
        assert (duel.difference, duel.low, duel.high, duel.verdict) == (0.0, 0.0, 0.0, "tie")


def test_the_interval_is_that_of_the_paired_difference(paths: list[Path]) -> None:
    """Against a bootstrap of our own: patients drawn within their outcome."""
    [duel, _] = compare(paths, stops=(0.8,)).duels
    outcome, rng = paths[0].tuning_outcome, np.random.default_rng(1)
    drawn = []
    for _ in range(1000):
        rows = np.concatenate(
            [rng.choice(np.flatnonzero(outcome == k), (outcome == k).sum()) for k in (0, 1)]
        )
        each = [performance(outcome[rows], c.tuning_risks[rows]).auroc for c in (duel.candidate, duel.first)]
        drawn.append(each[0] - each[1])
    np.testing.assert_allclose([duel.low, duel.high], np.quantile(drawn, [0.025, 0.975]), atol=0.03)
    assert duel.low < duel.difference < duel.high


@pytest.mark.parametrize("metric", ["auroc", "brier"])
def test_a_win_is_told_with_its_numbers_and_a_tie_as_a_tie(paths: list[Path], metric: str) -> None:
    compared = compare(paths, metric=metric, stops=(0.8,))
    win, tie = compared.sentences()
    duel = compared.duels[0]
    assert duel.verdict == "better"
    assert "80 % of the weights removed, the L1 logistic regression" in win
    assert "does better than the random path" in win
    for number in (duel.candidate.performance[metric], duel.first.performance[metric]):
        assert f"{number:.3f}" in win
    assert f"{duel.low:+.3f} to {duel.high:+.3f}" in win
    assert "cannot tell" in tie
    assert "better" not in tie


@pytest.mark.parametrize("metric", ["auroc", "brier"])
def test_a_loss_is_told_as_a_loss(paths: list[Path], metric: str) -> None:
    none, loss = compare([paths[1], paths[0]], metric=metric, stops=(0.8,)).sentences()
    assert "is another method shown to do better" in none
    assert "the L1 logistic regression (" in loss
    assert "does better on tuning patients than the random path" in loss


def test_sizes_can_be_counted_in_features_or_money(paths: list[Path]) -> None:
    by_features = compare(paths[:2], counted="features", stops=(3,))
    assert by_features.duels[0].candidate.features <= 3
    assert "With at most 3 features" in " ".join(by_features.sentences())
    by_price = compare(paths[:2], counted="price", stops=(1,))
    assert all(duel.candidate.price <= 1 >= duel.first.price for duel in by_price.duels)


def test_a_size_that_only_one_method_has_is_not_compared(paths: list[Path]) -> None:
    compared = compare(paths[:2], counted="parameters", stops=(0,))
    assert compared.duels == ()
    assert compared.sentences() == []


def test_nothing_is_claimed_at_the_edge() -> None:
    empty = Comparison("Contribution path", "auroc", "sparsity", "weight", ())
    assert empty.sentences() == []


def test_what_cannot_be_compared_is_refused(cohort: Cohort, paths: list[Path]) -> None:
    with pytest.raises(BadInput, match="two paths"):
        compare(paths[:1])
    with pytest.raises(BadInput, match="counted in one of"):
        compare(paths, counted="colour")
    with pytest.raises(BadInput, match="different things"):
        compare([paths[0], replace(paths[1], granularity="feature")])
    with pytest.raises(BadInput, match="different tuning patients"):
        compare([paths[0], replace(paths[1], tuning_patients=paths[1].tuning_patients[::-1])])
    with pytest.raises(BadInput, match="share removed"):
        compare(paths, stops=(80,))


def test_two_of_a_name_are_told_apart(paths: list[Path]) -> None:
    assert labels(paths) == ["Random path 1", "L1 logistic regression", "Random path 2"]


def test_the_best_of_equals_is_the_smallest(paths: list[Path]) -> None:
    found = best_at(paths[1], "sparsity", 0.0, "auroc")
    assert found is not None
    equals = [c for c in paths[1] if c.performance.auroc == found.performance.auroc]
    assert found.parameters == min(c.parameters for c in equals)


class TestParetoChart:
    @pytest.mark.parametrize("x", ["parameters", "features", "price"])
    def test_points_are_finished_models_that_a_click_can_take_up(self, paths: list[Path], x: str) -> None:
        drawn = pareto_chart(paths[:2], metric="auroc", x=x, chosen=paths[1].candidates[3])
        points = [trace for trace in drawn.data if trace.mode == "markers" and trace.customdata is not None]
        assert [trace.name for trace in points] == ["Random path", "L1 logistic regression"]
        assert [trace.marker.color for trace in points] == list(CLASSES[:2])
        assert len({trace.marker.symbol for trace in points}) == 2
        for trace in points:
            for at, value, (method, candidate) in zip(trace.x, trace.y, trace.customdata, strict=True):
                found = paths[method].candidates[candidate]
                assert (at, value) == (getattr(found, x), found.performance.auroc)
        assert drawn.layout.xaxis.type == ("log" if x == "parameters" else "linear")
        [ring] = [trace for trace in drawn.data if trace.name == "chosen"]
        assert ring.x == (getattr(paths[1].candidates[3], x),)
        assert drawn.layout.shapes[0].y0 == paths[0].dense.performance.auroc

    @pytest.mark.parametrize("metric", ["auroc", "brier"])
    def test_only_a_methods_own_front_is_joined_in_steps(self, paths: list[Path], metric: str) -> None:
        drawn = pareto_chart(paths[:2], metric=metric, x="parameters")
        lines = [trace for trace in drawn.data if trace.mode == "lines"]
        assert [line.line.shape for line in lines] == ["hv", "hv"]
        for place, line in enumerate(lines):
            sign = -1 if metric == "brier" else 1
            for at, value in zip(line.x, line.y, strict=True):
                rivals = [c for c in paths[place].candidates[1:] if c.parameters <= at]
                assert sign * value == max(sign * c.performance[metric] for c in rivals)

    def test_error_bars_are_the_bootstrap_interval(self, paths: list[Path]) -> None:
        drawn = pareto_chart(paths[:1], metric="auroc", x="parameters")
        [points] = [trace for trace in drawn.data if trace.mode == "markers"]
        expected = intervals_of(resampled_path(paths[0], "auroc")[1:])
        np.testing.assert_allclose(points.y + points.error_y.array, expected[:, 1])
        np.testing.assert_allclose(points.y - points.error_y.arrayminus, expected[:, 0])
        bare = pareto_chart(paths[:1], metric="auroc", x="parameters", resampled=None)
        assert all(trace.error_y.array is None for trace in bare.data)

    def test_what_was_resampled_once_serves_chart_and_comparison(self, paths: list[Path]) -> None:
        kept: dict[Path, np.ndarray] = {}

        def remembered(path: Path, metric: str) -> np.ndarray:
            if path not in kept:
                kept[path] = resampled_path(path, metric)
            return kept[path]

        drawn = pareto_chart(paths, metric="auroc", resampled=remembered)
        assert drawn == pareto_chart(paths, metric="auroc")
        once = dict(kept)
        told = compare(paths, resampled=remembered).sentences()
        assert told == compare(paths).sentences()
        assert kept == once
        assert set(kept) == set(paths)

    def test_labels_are_inert_and_a_lone_dense_model_is_no_point(self, paths: list[Path]) -> None:
        drawn = pareto_chart(paths[:1], metric="auroc", x="price")
        assert "<" not in drawn.layout.xaxis.title.text
        assert all("<" not in text for trace in drawn.data for text in trace.text or ())
        dense = replace(paths[0], candidates=paths[0].candidates[:1])
        assert len(pareto_chart([dense], metric="auroc", x="price").data) == 0

    def test_an_unknown_size_is_refused(self, paths: list[Path]) -> None:
        with pytest.raises(BadInput, match="Size must be counted"):
            pareto_chart(paths, metric="auroc", x="colour")
