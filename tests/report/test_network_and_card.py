"""The drawn network is the network; the scorecard's points are the model, or say how far they are not."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from defusedxml import ElementTree

from medprune import MLP, RiskModel
from medprune.compaction import compact
from medprune.model import Recalibration
from medprune.report import report_html
from medprune.report.network import MOST_WEIGHTS, WIDEST, is_small, network_svg, summary
from medprune.report.scorecard import MOST_INPUTS, is_linear, log_odds, scorecard, totals
from tests.makers import patient_cohort, untrained_model
from tests.report.made import PROVENANCE, found, pruned, reviewed

COHORT = patient_cohort(400)


def model_of(*hidden: int, activation: str = "relu", norm: str = "none", classes: int = 2) -> RiskModel:
    cohort = COHORT if classes == 2 else patient_cohort(400, classes)
    recipe = MLP(hidden=hidden, activation=activation, norm=norm, dropout=0.0)
    return untrained_model(cohort, recipe)


@pytest.mark.parametrize("classes", [2, 3])
def test_every_weight_that_is_left_is_a_line_with_its_sign_and_size(classes: int) -> None:
    small = compact(pruned(model_of(5, 4, classes=classes)))
    drawn = network_svg(small)
    assert drawn is not None
    root = ElementTree.fromstring(str(drawn))
    lines = [e for e in root.iter() if (e.get("class") or "").startswith("weight")]
    weights = [layer.weight.detach().numpy() for layer in small.network.layers]
    if classes == 2:
        weights[-1] = weights[-1][1:] - weights[-1][:1]
    assert len(lines) == sum(int((weight != 0).sum()) for weight in weights)
    raises = sum(e.get("class") == "weight raises" for e in lines)
    assert raises == sum(int((weight > 0).sum()) for weight in weights)
    widest = max(float(e.get("stroke-width") or 0) for e in lines)
    assert widest == pytest.approx(5.0)
    texts = {e.text for e in root.iter() if e.tag.endswith("text")}
    assert {column.name for column in small.preparation.columns} <= texts


def test_a_large_network_is_told_by_layers() -> None:
    large = model_of(WIDEST + 1)
    assert network_svg(large) is None
    dense = model_of(12, 12)
    assert sum(layer.weights for layer in summary(dense)) > MOST_WEIGHTS
    assert not is_small(dense)
    told = summary(large)
    assert [layer.units for layer in told] == [WIDEST + 1, 2]
    assert sum(layer.weights for layer in told) == sum(
        int(torch.count_nonzero(layer.weight)) for layer in large.network.layers
    )


@pytest.mark.parametrize(
    "model",
    [
        model_of(),
        model_of(3, activation="identity"),
        model_of(3, activation="identity", norm="batch"),
        replace(model_of(), recalibration=Recalibration(0.7, (0.0, 0.4))),
    ],
)
def test_points_of_a_linear_network_are_the_model(model: RiskModel) -> None:
    card = scorecard(model, COHORT.test)
    assert card is not None
    assert card.exact
    total = totals(card, compact(model), COHORT.test)
    expected = model.predict_proba(COHORT.test.frame)[:, 1]
    assert np.abs(card.risk_of(total) - expected).max() < 0.01  # rounding to a tenth of a point
    assert card.error.largest == pytest.approx(np.abs(card.risk_of(total) - expected).max())
    risks = np.array([risk for risk, _ in card.lookup])
    assert card.risk_of(np.array([t for _, t in card.lookup])) == pytest.approx(risks)


def test_points_by_hand_are_the_points_of_the_card() -> None:
    model = model_of()
    card = scorecard(model, COHORT.test)
    assert card is not None
    one = COHORT.test.take("one", np.array([0]))
    patient = one.frame.iloc[0]
    total = 0.0
    for made in card.inputs:
        by_finding = {line.finding: line.points for line in made.lines}
        value = patient[made.name]
        if pd.isna(value):
            total += by_finding["not known"]
        else:
            total += made.per_unit * value if made.per_unit is not None else by_finding[str(value)]
    risk = 1 / (1 + 2 ** ((card.zero - total) / 10))
    assert risk == pytest.approx(model.predict_proba(one.frame)[0, 1], abs=0.01)


def test_points_of_any_other_network_are_an_approximation_with_its_error() -> None:
    model = model_of(5, 4)
    card = scorecard(model, COHORT.test)
    assert card is not None
    assert not card.exact
    assert not is_linear(model)
    found_risks = card.risk_of(totals(card, compact(model), COHORT.test))
    expected = model.predict_proba(COHORT.test.frame)[:, 1]
    assert card.error.largest == pytest.approx(np.abs(found_risks - expected).max())
    assert card.error.largest > 0.001
    assert card.curves


def test_each_band_of_the_card_rests_on_enough_patients() -> None:
    card = scorecard(model_of(5), COHORT.test)
    assert card is not None
    age = COHORT.test.frame["age"].to_numpy()
    cuts = [float(line.finding.split()[0]) for line in card.inputs[0].lines[1:-1]]
    assert cuts
    assert np.histogram(age, [-np.inf, *cuts, np.inf])[0].min() > 10


def test_who_has_no_card() -> None:
    assert scorecard(model_of(classes=3), patient_cohort(400, 3).test) is None
    assert MOST_INPUTS == 10
    base = log_odds(model_of(), np.zeros((1, len(model_of().preparation.columns)), dtype=np.float32))
    assert base.shape == (1,)


def test_the_report_has_the_card_and_its_error() -> None:
    model = model_of()
    review = reviewed(model, replace(model, recalibration=Recalibration(1.1, (0.0, 0.1))), COHORT)
    html = report_html(review, PROVENANCE)
    assert "Exact, but for rounding." in html
    assert re.search(r"lie at most \d+\.\d percentage points apart", html)
    assert "An approximation." in report_html(found(), PROVENANCE)
