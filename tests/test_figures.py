"""Figures by their data: what is drawn is what was computed, and user text is inert."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medprune import MLP, Cohort, Schedule, agreement, load_cohort, prune, score, sweep, train
from medprune.figures import (
    agreement_scatter,
    contribution_histogram,
    drop_bars,
    feature_bars,
    kept_by_layer,
    learning_curve,
    missing_bars,
    outcome_bars,
    tradeoff_curve,
)
from medprune.figures.contributions import histogram
from medprune.figures.style import KEPT, REMOVED, label
from medprune.path import Path
from medprune.training import Epoch
from tests.makers import patient_cohort, patient_table


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return patient_cohort()


@pytest.fixture(scope="module")
def path(cohort: Cohort) -> Path:
    model = train(cohort, MLP(hidden=(6,)), schedule=Schedule(epochs=10))
    return prune(model, cohort, sparsities=(0.5, 0.8), schedule=Schedule(epochs=2))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=200), st.floats(0, 1))
def test_every_score_is_in_one_bin_once(scores: list[float], threshold: float) -> None:
    values = np.array(scores)
    bins = histogram(values, threshold)
    assert bins.removed.sum() == (values < threshold).sum()
    assert bins.kept.sum() == (values >= threshold).sum()


def test_the_histogram_draws_removed_grey_and_kept_blue() -> None:
    drawn = contribution_histogram(np.array([0.0, 0.02, 0.5, 1.0]), 0.1, title="t", what="weights")
    removed, kept = drawn.data
    assert (sum(removed.y), removed.marker.color) == (2, REMOVED)
    assert (sum(kept.y), kept.marker.color) == (2, KEPT)
    assert len(removed.x) < 100, "bins, never raw scores"


def test_true_removals_are_drawn_by_score_and_change(cohort: Cohort, path: Path) -> None:
    model = path.candidates[-1].model
    table = agreement(model, cohort.train, score(model, cohort.train), sample=20).table
    table.loc[0, ["score", "name"]] = (0.0, "<b>age</b>")
    [points] = agreement_scatter(table, "risk", title="t").data
    assert list(points.y[1:]) == pytest.approx(np.maximum(table["change"][1:], 1e-5 * table["change"].max()))
    assert points.x[0] == min(points.x) > 0, "a logarithmic axis has no 0"
    assert "<" not in points.text[0]
    assert "score 0," in points.text[0]


def test_features_no_longer_needed_are_grey(cohort: Cohort, path: Path) -> None:
    features = score(path.dense.model, cohort.train).features
    drawn = feature_bars(features, ["age"], title="t")
    needed, gone = drawn.data
    assert needed.marker.color == KEPT
    assert len(needed.x) == 1
    assert gone.marker.color == REMOVED
    assert len(gone.x) == len(features) - 1
    assert drawn.layout.yaxis.ticktext[-1] == features.sort_values("score")["name"].iloc[-1]


def test_the_trade_off_has_a_line_before_and_points_after_retraining(cohort: Cohort, path: Path) -> None:
    swept = sweep(
        path.dense.model, cohort.tuning, score(path.dense.model, cohort.train), 11, train=cohort.train
    )
    drawn = tradeoff_curve(
        swept.table,
        path.candidates,
        metric="auroc",
        threshold=0.2,
        chosen=path.candidates[1],
        dense=0.8,
        what="weights",
    )
    by_name = {trace.name: trace for trace in drawn.data}
    assert by_name["before retraining (one shot)"].mode == "lines"
    points = by_name["after retraining (path)"]
    assert points.mode == "markers", "finished models are never joined by a line"
    assert list(points.y) == [candidate.performance.auroc for candidate in path.candidates[1:]]
    assert by_name["chosen"].x == (path.candidates[1].sparsity,)


def test_kept_by_layer_counts_the_mask(path: Path) -> None:
    candidate = path.candidates[-1]
    drawn = kept_by_layer(candidate.mask, candidate.model.network.layer_names(), title="t")
    kept = [int(alive.sum()) for alive in candidate.mask.alive_weights()]
    assert [text.split(" of ")[0] for text in drawn.data[0].text] == [f"{count:,}" for count in kept]


def test_the_learning_curve_marks_the_weights_that_are_kept() -> None:
    epochs = [Epoch(0, 3, 1.0, 1.0, True), Epoch(1, 3, 0.8, 0.7, True), Epoch(2, 3, 0.6, 0.9, False)]
    kept = learning_curve(epochs).data[-1]
    assert (kept.name, kept.x, kept.y) == ("kept", (1,), (0.7,))


def test_patients_are_counted_by_class_and_split(cohort: Cohort) -> None:
    drawn = outcome_bars(cohort)
    assert sum(sum(trace.y) for trace in drawn.data) == 200
    missing = missing_bars(cohort)
    assert missing is not None
    assert max(missing.data[0].x) == pytest.approx(cohort.all().frame.isna().mean().max())
    full = load_cohort(patient_table()[["age", "sex", "stage"]], outcome="stage")
    assert missing_bars(full) is None


def test_user_text_is_inert_in_labels() -> None:
    shown = label("<b>x</b> $\\href{javascript:alert(1)}{y}$")
    assert "<" not in shown
    assert "$" not in shown
    assert len(label("x" * 500)) <= 32


def test_user_text_is_inert_in_titles() -> None:
    drawn = contribution_histogram(
        np.array([0.5]), 0.1, title="patients of class <a href='x'>$y$</a>", what="weights"
    )
    assert "<" not in drawn.layout.title.text
    assert "$" not in drawn.layout.title.text


def test_drops_are_drawn_with_their_intervals_and_noise_apart() -> None:
    table = pd.DataFrame(
        {
            "name": ["<b>age</b>", "sex", "crp"],
            "drop": [0.1, 0.0, 0.02],
            "low": [0.05, -0.02, -0.01],
            "high": [0.2, 0.02, 0.04],
            "noise": [False, True, True],
        }
    )
    told, noise = drop_bars(table, title="t", metric="AUROC").data
    assert (told.name, noise.name) == ("told from chance (1)", "noise (2)")
    assert list(told.x - told.error_x.arrayminus) == pytest.approx([0.05])
    assert list(told.x + told.error_x.array) == pytest.approx([0.2])
    assert list(told.y) == [2]  # the largest drop on top
    assert "<b>" not in told.hovertext[0]
