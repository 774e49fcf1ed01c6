"""What is told from a review in memory: who changes, other risks, other limits, a forecast, one patient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from medprune import MLP, BadInput, Cohort, Path, Schedule, prune, train
from medprune.candidate import features_needed
from medprune.figures import calibration_plot, decision_curves, flip_bars, patient_bars, risk_distribution
from medprune.performance import decisions
from medprune.review import Limits, Review, review
from medprune.review.counted import changed_sides, elsewhere, per_1000, with_limits
from medprune.review.evidence import Evidence
from medprune.review.floor import Floor
from medprune.review.nearness import forecast
from medprune.review.what_if import what_if
from tests.makers import patient_cohort


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return patient_cohort(600)


@pytest.fixture(scope="module")
def path(cohort: Cohort) -> Path:
    model = train(cohort, MLP(hidden=(8,)), schedule=Schedule(epochs=15))
    return prune(model, cohort, granularity="feature", sparsities=(0.3, 0.6), schedule=Schedule(epochs=2))


@pytest.fixture(scope="module")
def found(path: Path, cohort: Cohort) -> Review:
    return review(path.dense.model, path.candidates[-1].model, cohort.test, act_at=0.4)


def test_who_changes_is_who_the_flips_count(found: Review) -> None:
    sides = changed_sides(found)
    assert {name: int(who.sum()) for name, who in sides.items()} == {
        name: getattr(found.flips, name) for name in ("missed", "caught", "alarmed", "spared")
    }
    assert found.flips.total > 0, "or this test says nothing"
    everybody = np.sum([who.astype(int) for who in sides.values()], axis=0)
    assert everybody.max() == 1, "nobody changes in two ways"


def test_counts_of_a_thousand_have_exact_intervals(found: Review) -> None:
    who = np.zeros(len(found.split), dtype=bool)
    none = per_1000(found, who)
    assert (none.value, none.low) == (0, 0)
    assert none.high == pytest.approx(1000 * (1 - 0.025 ** (1 / len(who))))  # Clopper and Pearson, of 0
    who[:7] = True
    some = per_1000(found, who)
    assert some.value == pytest.approx(1000 * 7 / len(who))
    assert some.low < some.value < some.high


def test_rows_of_one_patient_widen_the_interval(found: Review) -> None:
    rows = len(found.split)
    who = np.arange(rows) < rows // 4
    twice = replace(found.split, patients=np.repeat(np.arange(rows // 2), 2).astype(np.uint64)[:rows])
    simple, repeated = per_1000(found, who), per_1000(replace(found, split=twice), who)
    assert repeated.value == pytest.approx(simple.value)
    assert repeated.high - repeated.low > 1.2 * (simple.high - simple.low)


def test_at_its_own_risk_elsewhere_is_the_review(found: Review) -> None:
    here, side = elsewhere(found, found.act_at), found.sides[0]
    assert here.flips == found.flips
    for mine, theirs in (
        (here.pruned, side.pruned["net_benefit"]),
        (here.change, side.change["net_benefit"]),
    ):
        assert (mine.value, mine.low, mine.high) == pytest.approx((theirs.value, theirs.low, theirs.high))
    assert here.everybody == pytest.approx(side.treat_all)


def test_at_other_risks_the_identity_of_flips_and_net_benefit_holds(found: Review) -> None:
    for at in (0.05, 0.2, 0.7):
        there = elsewhere(found, at)
        assert there.change.value == pytest.approx(there.flips.change_in_net_benefit(at))
    with pytest.raises(BadInput, match="between 0 and 1"):
        elsewhere(found, 1.0)


def test_other_limits_measure_nothing_anew_but_the_range(found: Review) -> None:
    evidence = Evidence(0, 3)
    stricter = with_limits(found, Limits(auroc_loss=0.001, act_range=(0.1, 0.2)), evidence)
    assert stricter.sides[0].curves.range == (0.1, 0.2)
    assert stricter.sides[0].change is found.sides[0].change
    assert stricter.evidence is evidence
    again = review(
        found.dense_model, found.pruned_model, found.split, act_at=0.4, limits=stricter.limits,
        evidence=evidence,
    )  # fmt: skip
    assert [check.to_json()["state"] for check in again.checks] == [
        check.to_json()["state"] for check in stricter.checks
    ]
    same = with_limits(found, Limits(auroc_loss=0.001), evidence)
    assert same.sides is found.sides


def test_the_forecast_counts_everybody_once_and_knows_who_is_near() -> None:
    rng = np.random.default_rng(0)
    dense = rng.uniform(size=500)
    pruned = np.clip(dense + rng.normal(0, 0.03, 500), 0, 1)
    told = forecast(dense, pruned, 0.3)
    changed = int(((dense >= 0.3) != (pruned >= 0.3)).sum())
    assert (told.near, told.near + told.others) == (50, 500)
    assert told.changed_near + told.changed_others == changed > 0
    assert told.low < 0.3 < told.high
    assert told.changed_near / told.near > told.changed_others / told.others
    assert told.foretold > 0.9
    assert np.isnan(forecast(dense, dense, 0.3).foretold), "nobody changes"


def test_one_patient_as_the_models_see_them(found: Review) -> None:
    place = int(np.flatnonzero(changed_sides(found)["caught"] | changed_sides(found)["missed"])[0])
    row = found.split.frame.iloc[[place]]
    seen = what_if(found.dense_model, found.pruned_model, row, act_at=found.act_at)
    np.testing.assert_allclose(seen.dense, found.dense_risks[place], atol=1e-6)
    np.testing.assert_allclose(seen.pruned, found.pruned_risks[place], atol=1e-6)
    assert seen.decided[0] != seen.decided[1]
    assert seen.decided == tuple(
        int(decisions(r[None, place], found.act_at)[0]) for r in (found.dense_risks, found.pruned_risks)
    )


def test_a_feature_counts_as_much_as_the_risk_moves_without_its_test(found: Review) -> None:
    row = found.split.frame.iloc[[3]]
    seen = what_if(found.dense_model, found.pruned_model, row).features.set_index("feature")
    for name in found.dense_model.features:
        without = row.copy()
        without[name] = np.nan if row[name].dtype.kind == "f" else None
        for column, model in (("dense", found.dense_model), ("pruned", found.pruned_model)):
            fall = (model.predict_proba(row) - model.predict_proba(without))[0, 1]
            assert seen.loc[name, column] == pytest.approx(fall, abs=1e-6), (name, column)


def test_what_the_smaller_model_no_longer_sees(found: Review) -> None:
    row = found.split.frame.iloc[[0]].copy()
    kept = set(features_needed(found.pruned_model))
    seen = what_if(found.dense_model, found.pruned_model, row)
    assert set(seen.unseen["feature"]) == set(found.dense_model.features) - kept
    assert len(seen.unseen), "or this test says nothing"
    gone = seen.unseen["feature"][0]
    row[gone] = row[gone].iloc[0] * 5 if row[gone].dtype.kind == "f" else None
    other = what_if(found.dense_model, found.pruned_model, row)
    assert (other.pruned == seen.pruned).all(), "what it does not read cannot move it"
    with pytest.raises(BadInput, match="one patient"):
        what_if(found.dense_model, found.pruned_model, found.split.frame.iloc[:2])


# --- figures -----------------------------------------------------------------------------------------


def test_the_pictures_draw_what_was_found(found: Review) -> None:
    curves = found.sides[0].curves
    drawn = calibration_plot(curves)
    assert [list(trace.x) for trace in drawn.data[1:]] == curves.risks.tolist()
    drawn = decision_curves(curves, 0.1, (0.2, 0.3))
    by_name = {trace.name: trace for trace in drawn.data}
    assert list(by_name["smaller model"].y) == curves.benefit[1].tolist()
    assert list(by_name["at 10%"].y) == [0.2, 0.3]
    assert "at 40%" not in {t.name for t in decision_curves(curves, 0.4, (0.2, 0.3)).data}, (
        "that is the gate's"
    )
    shaded = drawn.layout.shapes[0]
    assert (shaded.x0, shaded.x1) == curves.range


def test_small_counts_are_not_drawn_and_do_not_follow(found: Review) -> None:
    curves = found.sides[0].curves
    whole = risk_distribution(curves)
    assert sum(sum(trace.y) for trace in whole.data) == 2 * len(found.split)
    for trace in risk_distribution(curves, 10).data:
        shown = [count for count in trace.y if count is not None]
        assert not [count for count in shown if 0 < count <= 10]
        assert len(trace.y) - len(shown) != 1, "it would be the rest of the total"


def test_flips_stand_beside_what_a_retraining_changes() -> None:
    drawn = flip_bars({"missed": 3.0, "caught": 5.0, "alarmed": 1.0, "spared": 0.0}, Floor((0.01, 0.03)))
    bars = {trace.y[0]: trace.x[0] for trace in drawn.data if trace.type == "bar"}
    assert bars["handled differently in all"] == 9
    [retraining] = [trace for trace in drawn.data if trace.type == "scatter"]
    assert retraining.x[0] == pytest.approx(20)
    assert retraining.error_x.array[0] == pytest.approx(10)


def test_a_patients_features_are_inert_labels() -> None:
    table = pd.DataFrame({"feature": ["<b>a</b>", "b"], "dense": [0.2, 0.0], "pruned": [0.1, 0.0]})
    drawn = patient_bars(table)
    assert list(drawn.layout.yaxis.ticktext) == ["&lt;b&gt;a&lt;/b&gt;"], "what moves nothing is left out"
    assert [trace.x[0] for trace in drawn.data] == pytest.approx([20, 10])
