"""The eighteen mistakes that a statistician would pounce on: each is impossible here, or is flagged.

One test a mistake, numbered; untrained networks and simulated risks, as nothing here depends on skill.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from statsmodels.stats.proportion import proportion_confint

from medprune import MLP, BadInput, Cohort, Limits, Review, RiskModel, load_cohort, review, train
from medprune.compaction import compact
from medprune.cross_validation import like, seed_of
from medprune.onnx_graph import onnx_bytes
from medprune.onnx_run import onnx_risks
from medprune.preparation import fit_preparation
from medprune.recalibration import finished
from medprune.report import card_md, report_html
from medprune.report.facts import Known
from medprune.review import checks
from medprune.review.calibration import SMOOTHER, smoothed
from medprune.review.comparator import comparators
from medprune.review.discrimination import paired_auroc
from medprune.review.evidence import Evidence, Fidelity
from medprune.review.flips import Flips, flips
from medprune.review.floor import Floor, floor_steps
from medprune.review.gate import FAIL, NOT_ASSESSABLE, PASS, WARN, Check
from medprune.review.group_check import group_check
from medprune.review.groups import Group, groups_of
from medprune.review.influence import share
from medprune.review.observed import Observed
from medprune.review.shift import input_check
from medprune.review.side_by_side import FIGURES, SideBySide, side_by_side
from medprune.review.subgroups import GroupReview, subgroup_changes
from medprune.size import size_of
from medprune.training import Schedule
from tests.makers import followed_table, patient_cohort, patient_table, random_mask, untrained_model
from tests.report.made import found

NO_FLIPS = Flips(1_000, 0, 0, 0, 0)


def ill(count: int = 4_000, seed: int = 0, shift: float = -1.0) -> tuple[Observed, np.ndarray]:
    """Patients, one row each, and the true risk of each."""
    rng = np.random.default_rng(seed)
    risk = 1 / (1 + np.exp(-rng.normal(shift, 1, count)))
    return Observed(rng.random(count) < risk, np.arange(count, dtype=np.uint64)), risk


def side(observed: Observed, dense: np.ndarray, pruned: np.ndarray, act_at: float = 0.3) -> SideBySide:
    return side_by_side(observed, dense, pruned, act_at)


@cache
def calm() -> SideBySide:
    """A calibrated model beside itself."""
    observed, risk = ill()
    return side(observed, risk, risk)


def check(made: Review, name: str) -> Check:
    return next(each for each in made.checks if each.id == name)


def told(row: Check) -> str:
    return " ".join((row.sentence, *row.details))


def quiet(cohort: Cohort, model: RiskModel, smaller: RiskModel, **how: object) -> Review:
    return review(model, smaller, cohort.test, act_at=0.5, **{"refits": 0, **how})


def test_1_no_significant_difference_is_no_equivalence_and_margins_come_first() -> None:
    few, _ = ill(120, 3)
    noise = np.random.default_rng(1).random((2, 120))
    first, second, change = (
        getattr(paired_auroc(few.event, *noise), n) for n in ("first", "second", "difference")
    )
    assert change.low < 0 < change.high  # "p > .05"
    assert checks.ranking(first, second, change, 40, Limits()).state == WARN
    with pytest.raises(BadInput, match="AUROC"):
        Limits(auroc_loss=0.06)
    sides = [calm()]
    before = Evidence(0, 1, locked="hash")
    assert checks.evidence_fit(sides, before, Limits()).state == PASS
    assert checks.evidence_fit(sides, replace(before, loosened=True), Limits()).state == FAIL
    none = checks.evidence_fit(sides, replace(before, locked=None), Limits())
    assert none.state == WARN
    assert none.sentence.count("no limits are on record") == 1


def test_2_test_patients_that_were_chosen_or_tuned_on_are_told() -> None:
    cohort = patient_cohort(300)
    model = untrained_model(cohort)
    assert check(review(model, model, cohort.tuning, act_at=0.5), "G0").state == FAIL
    seen = replace(model, origin=replace(model.origin, test_openings=40))
    assert check(quiet(cohort, model, seen), "G8").state == FAIL
    moved = Evidence(0, 1, locked="hash", moved=True)
    assert "another risk is acted on" in checks.evidence_fit([calm()], moved, Limits()).sentence


def test_3_intervals_are_paired_and_rows_of_a_patient_count_as_one() -> None:
    observed, risk = ill(600)
    other = np.clip(risk + np.random.default_rng(2).normal(0, 0.02, 600), 0.001, 0.999)
    once = side(observed, risk, other)
    apart = once.change["auroc"].high - once.change["auroc"].low
    alone = once.dense["auroc"].high - once.dense["auroc"].low
    assert apart < 0.5 * alone  # two unpaired intervals would give more than one alone
    twice = np.repeat(np.arange(600), 2)
    again = side(Observed(observed.event[twice], observed.patients[twice]), risk[twice], other[twice])
    for name in FIGURES:
        wide, narrow = (each.high - each.low for each in (once.change[name], again.change[name]))
        assert narrow == pytest.approx(wide, rel=0.3), name  # rows as patients would give 0.7
    assert again.events == once.events
    row = checks.changed_decisions(again.flips, None, Limits(), by_row=True)
    assert row.sentence.startswith("Of 1,000 rows")
    assert "several rows" in row.sentence


def test_4_auroc_alone_gives_no_green() -> None:
    observed, risk = ill()
    timid = 1 / (1 + np.exp(-0.4 * np.log(risk / (1 - risk))))
    made = side(observed, risk, timid)
    change = paired_auroc(observed.event, risk, timid)
    assert checks.ranking(change.first, change.second, change.difference, 900, Limits()).state == PASS
    row = checks.calibrated([made], Limits())
    assert row.state == FAIL
    assert "too timid" in row.sentence


def test_5_a_threshold_that_nobody_chose_and_nobody_reaches_is_no_pass() -> None:
    observed, risk = ill(shift=-4.0)
    rare = side(observed, risk, np.minimum(risk, 0.49), 0.5)
    row = checks.worth([rare], 0.5, Limits())
    assert row.state != PASS
    assert "acts on nobody" in row.sentence
    assert "nobody has set a threshold" in told(row)
    assert "nobody has set" not in told(checks.worth([calm()], 0.3, Limits()))
    assert not {"accuracy", "f1"} & set(FIGURES)  # no headline of the review


def test_6_flips_stand_against_a_floor_and_are_parted_into_good_and_bad() -> None:
    some = Flips(1_000, caught=5, missed=9, alarmed=20, spared=6)
    unknown = checks.changed_decisions(some, None, Limits())
    assert unknown.state == NOT_ASSESSABLE
    for part in ("5 newly flagged with the event", "9 with the event no longer", "20 newly", "6 spared"):
        assert part in unknown.sentence
    assert checks.changed_decisions(some, Floor((0.05,)), Limits()).state == PASS
    assert checks.changed_decisions(some, Floor((0.05,)), Limits(missed_per_1000=8)).state == FAIL
    moves = checks.changed_decisions(Flips(1_000, 5, 9, 0, 0), Floor((0.05,)), Limits(), binary=False)
    assert "another class" in moves.sentence
    assert "newly flagged" not in moves.sentence
    assert "No limit was set" in told(checks.changed_decisions(some, Floor((0.05,)), Limits()))


def test_6_the_interval_of_the_changed_share_is_its_own_not_the_floors() -> None:
    made = found()
    row, floor = check(made, "G4"), made.floor
    assert floor is not None
    assert row.estimate == pytest.approx(made.flips.rate)
    assert row.low < row.estimate < row.high
    assert (row.low, row.high) != (floor.low, floor.high)
    who = np.arange(400) < 60
    alone = np.arange(400, dtype=np.uint64)
    wilson = proportion_confint(60, 400, method="wilson")
    one = share(who, np.ones(400), alone)
    assert (one.low, one.high) == pytest.approx(wilson, rel=0.005)
    twice = share(np.repeat(who, 2), np.ones(800), np.repeat(alone, 2))
    assert (twice.low, twice.high) == pytest.approx((one.low, one.high), rel=0.005)
    none = share(np.zeros(400, dtype=bool), np.ones(400), alone)
    assert none.low == 0
    assert none.high == pytest.approx(proportion_confint(0, 400, method="wilson")[1])
    risks = made.dense_risks.copy()
    risks[:3] = risks[:3, ::-1]  # three decisions change
    three = (np.arange(len(risks)) < 3) & (made.dense_risks[:, 1] != 0.5)
    counted = flips(made.split.outcome == 1, made.dense_risks[:, 1], risks[:, 1], made.act_at)
    assert counted.total == three.sum()
    few = replace(made, pruned_risks=risks, flips=counted)
    assert np.isfinite([getattr(check(few, "G4"), name) for name in ("estimate", "low", "high")]).all()
    shown = next(each for each in Known(few).checks if each.id == "G4")
    assert not np.isfinite([shown.estimate, shown.low, shown.high]).any()  # no small count follows


def test_7_the_smoother_is_named_and_not_robust_and_slope_and_intercept_are_apart() -> None:
    observed, risk = ill(1_000)
    curve = smoothed(observed.event, np.full(1_000, 0.2) + 0.1 * risk)
    assert curve.mean() == pytest.approx(observed.event.mean(), abs=0.02)  # it=3 would lose the rarer outcome
    assert SMOOTHER in report_html(found(), {})
    assert not [name for name in FIGURES if name in ("ece", "hosmer_lemeshow", "intercept")]
    shifted = 1 / (1 + np.exp(-(np.log(risk / (1 - risk)) + 0.5)))
    made = side(observed, risk, shifted)
    assert made.change["in_the_large"].value == pytest.approx(-0.5, abs=0.01)
    assert made.change["slope"].value == pytest.approx(0, abs=1e-6)


def test_8_few_events_are_never_green_and_the_missing_are_a_group() -> None:
    observed, risk = ill(2_000)
    few = np.flatnonzero(observed.event)[:9]
    small = np.isin(np.arange(2_000), few) | (np.arange(2_000) % 20 == 0)
    groups = [Group("small", ("g",), small & (np.arange(2_000) < 200)), Group("rest", ("g",), ~small)]
    made = subgroup_changes(observed, risk, risk, groups, 0.3)
    assert made.groups[0].state == NOT_ASSESSABLE
    assert group_check([made], NO_FLIPS, Limits()).state == NOT_ASSESSABLE
    assert group_check([], Flips(10, 1, 0, 0, 0), Limits()).state == NOT_ASSESSABLE
    many = [Group(f"g = {k}", ("g",), np.arange(2_000) % 4 == k) for k in range(4)]
    noisy = np.clip(risk + np.random.default_rng(0).normal(0, 0.1, 2_000), 0.001, 0.999)
    banded = subgroup_changes(observed, risk, noisy, many, 0.3)
    alone: list[GroupReview] = []
    for group in many:
        alone += subgroup_changes(observed, risk, noisy, [group], 0.3).groups
    for one, other in zip(banded.groups, alone, strict=True):
        of_all, own = (each.changes["net_benefit"].band for each in (one, other))
        assert of_all.high - of_all.low > own.high - own.low
    cohort = load_cohort(patient_table(300), outcome="stage", subgroups=["ward", "sex"])
    names = [group.name for group in groups_of(cohort.test, train=cohort.train).groups]
    assert any("missing" in name for name in names)
    assert any("ward" in name and "sex" in name for name in names)


def test_9_no_reclassification_index_is_computed() -> None:
    keys = json.dumps(found().to_json()).lower()
    for index in ('"nri"', '"idi"', "net_reclassification", "integrated_discrimination"):
        assert index not in keys


def test_10_class_weights_are_followed_by_recalibration() -> None:
    cohort = patient_cohort(400)
    table = cohort.tuning
    far_off = untrained_model(cohort)
    columns = far_off.prepared(table)
    mended = finished(far_off, columns, table.outcome, weighted=True)
    assert not mended.recalibration.is_identity
    assert mended.predict_proba(table.frame)[:, 1].mean() == pytest.approx(table.outcome.mean(), abs=1e-3)


def test_11_preparation_knows_train_alone_and_leaves_with_the_model() -> None:
    cohort = patient_cohort(300)
    model = untrained_model(cohort)
    spoilt = cohort.test.frame.assign(age=1e6)
    assert fit_preparation(cohort.train.frame, cohort.features) == model.preparation
    assert cohort.outcome not in [feature.name for feature in model.preparation.features]
    gaps = cohort.test.frame.assign(age=np.nan)
    assert cohort.test.frame["lactate"].isna().any()  # test is no complete-case table
    file = onnx_bytes(compact(model))
    for frame in (gaps, spoilt):
        expected = model.predict_proba(frame)
        assert np.abs(onnx_risks(file, compact(model).preparation, frame) - expected).max() < 1e-5


def test_12_a_part_of_the_same_table_is_not_called_external() -> None:
    page = report_html(found(), {})
    assert "by one random split: internal, not external validation" in page
    assert "not a clinical validation" in page.lower()


def test_13_censored_patients_are_weighted_neither_dropped_nor_well() -> None:
    table = followed_table(300)
    with pytest.raises(BadInput):
        load_cohort(table, outcome="died", time="days")  # a horizon has to be said
    cohort = load_cohort(table, outcome="died", time="days", horizon=8)
    lost = int(((table["days"] < 8) & (table["died"] == 0)).sum())
    parts = (cohort.train, cohort.tuning, cohort.test)
    assert sum(len(each) for each in parts) == 300
    assert sum(int((~each.known).sum()) for each in parts) == lost > 0
    assert Observed.of(cohort.test).others == int((cohort.test.known & (cohort.test.outcome == 0)).sum())


def test_14_a_test_that_goes_is_to_be_confirmed_and_no_cause_is_meant() -> None:
    gone = input_check(None, ["lactate"], Limits())
    assert "confirm" in gone.sentence
    assert "how ill the patient seemed" in told(gone)
    assert "no cause" in told(gone)
    assert "how ill" not in told(input_check(None, [], Limits()))


def test_15_another_prevalence_holds_for_every_figure_alike() -> None:
    cohort = patient_cohort(450)
    model = untrained_model(cohort)
    smaller = replace(model, mask=random_mask(model.network, 3, 0.6))
    made = quiet(cohort, model, smaller, prevalence=0.1)
    [one] = made.sides
    assert made.flips == one.flips
    assert made.flips.total > 0
    assert made.flips.change_in_net_benefit(0.5) == pytest.approx(one.change["net_benefit"].value)
    assert made.pruned[0].net_benefit == pytest.approx(one.pruned["net_benefit"].value)
    assert made.pruned[0].brier == pytest.approx(one.pruned["brier"].value)
    beside = comparators(model, cohort.train, cohort.test, 0.5, 0.1)[0].figures
    plain = comparators(model, cohort.train, cohort.test, 0.5)[0].figures
    assert beside["auroc"].value == pytest.approx(plain["auroc"].value)
    assert beside["observed_over_expected"].value < plain["observed_over_expected"].value
    three = patient_cohort(300, classes=3)
    with pytest.raises(BadInput, match="3 classes"):
        quiet(three, untrained_model(three), untrained_model(three, seed=1), prevalence=0.1)


def test_15_the_floor_counts_patients_as_the_flips_do() -> None:
    cohort = patient_cohort(300)
    model = replace(train(cohort, MLP(hidden=(4,)), schedule=Schedule(epochs=2)), act_at=0.5)
    [step] = [s for s in floor_steps(model, cohort, cohort.test, 0.5, refits=1, prevalence=0.1) if s.floor]
    again = like(model, cohort, Schedule(epochs=2), seed_of(0, model.origin.seed, 0, 2))
    before, after = (m.predict_proba(cohort.test.frame)[:, 1] >= 0.5 for m in (model, again))
    weight = Observed.of(cohort.test, prevalence=0.1).weight
    assert step.floor is not None
    assert step.floor.rate == pytest.approx(np.average(before != after, weights=weight))
    assert step.floor.rate != pytest.approx((before != after).mean())


def test_16_net_benefit_has_no_p_and_stands_beside_treating_all_and_none() -> None:
    row = checks.worth([calm()], 0.3, Limits(act_range=(0.2, 0.4)))
    for part in ("acting on everybody", "on nobody 0", "The chance of a loss"):
        assert part in told(row)
    assert " p " not in told(row)
    low, high = calm().curves.range
    assert f"from {low:.0%} to {high:.0%}" in told(row)
    observed, risk = ill()
    worse = side(observed, risk, np.full(4_000, 0.31))  # everybody is acted on
    assert checks.worth([worse], 0.3, Limits()).state != PASS


def test_16_a_warning_about_net_benefit_says_why() -> None:
    observed, risk = ill(400)
    noisy = np.clip(risk + np.random.default_rng(5).normal(0, 0.03, 400), 0.001, 0.999)
    made = side(observed, risk, noisy)
    row = checks.worth([made], 0.3, Limits(benefit_doubt=0.0))
    assert row.state in (WARN, FAIL)
    assert ";" in row.sentence
    assert "95% CI" in row.sentence


def test_17_the_gate_runs_the_file_and_size_is_that_of_the_file() -> None:
    assert checks.same_as_file(None, Limits()).state == NOT_ASSESSABLE
    for file, state in (
        (Fidelity(1e-7, 0), PASS),
        (Fidelity(1e-4, 0), WARN),
        (Fidelity(1e-4, 1), FAIL),
        (Fidelity(1e-7, 0, 5e-4, 0), WARN),
        (Fidelity(1e-7, 0, 5e-4, 2), FAIL),
    ):
        assert checks.same_as_file(file, Limits()).state == state
    assert "int8" in checks.same_as_file(Fidelity(1e-7, 0, 5e-4, 2), Limits()).sentence
    cohort = patient_cohort(200)
    model = untrained_model(cohort, MLP(hidden=(32, 32), dropout=0.0))
    full = model.network.full_mask()
    units = tuple(torch.arange(len(each)) < 4 for each in full.units[:-1])
    smaller = replace(model, mask=replace(full, units=(*units, full.units[-1])))
    size = size_of(smaller)
    assert size.bytes == len(onnx_bytes(compact(smaller)))
    assert size.bytes < size_of(model).bytes


def test_18_a_logistic_regression_stands_beside_both() -> None:
    made = found()
    cohort = load_cohort(patient_table(450), outcome="stage", subgroups=("sex", "age"))
    beside = comparators(made.pruned_model, cohort.train, made.split, made.act_at)
    told_of = card_md(replace(made, comparators=beside), {})
    assert "Logistic regression on the same inputs" in told_of
    assert "little to say for itself" in told_of  # of an untrained network it has to be said
    assert "Logistic regression" in report_html(replace(made, comparators=beside), {})
