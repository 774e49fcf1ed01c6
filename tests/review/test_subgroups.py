"""Groups: their figures by definition, bands that cover, harm that is found, small groups that never pass."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import norm

from medprune.errors import BadInput
from medprune.review.discrimination import paired_auroc
from medprune.review.flips import Flips
from medprune.review.gate import FAIL, NOT_ASSESSABLE, PASS, WARN
from medprune.review.group_check import group_check
from medprune.review.group_words import told_of, told_of_chance
from medprune.review.groups import Group
from medprune.review.influence import band
from medprune.review.limits import Limits
from medprune.review.measures import MEASURES
from medprune.review.observed import Observed
from medprune.review.subgroups import (
    FEWEST,
    JUDGED_BY,
    subgroup_changes,
)
from medprune.review.within import alone, with_imagined

Floats = NDArray[np.float64]
Z = float(norm.ppf(0.975))
ACT_AT = 0.3
FLIPS = Flips(10, 1, 1, 1, 1)
FORBIDDEN = ("safe", "validated", "no difference", "bias-free")


def risk_of(lp: Floats) -> Floats:
    risk: Floats = 1 / (1 + np.exp(-lp))
    return risk


def patients(seed: int, count: int = 1_500, noise: float = 0.4) -> tuple[Observed, Floats, Floats]:
    """Two models that err alike: nothing changes for any group, but for chance."""
    rng = np.random.default_rng(seed)
    lp = rng.normal(-1, 1, count)
    event = rng.random(count) < risk_of(lp)
    dense, pruned = (risk_of(lp + rng.normal(0, noise, count)) for _ in range(2))
    return Observed(event, np.arange(count, dtype=np.uint64)), dense, pruned


def parts(count: int, of: int) -> list[Group]:
    return [Group(f"part = {k}", ("part",), np.arange(count) % of == k) for k in range(of)]


# --- definitions -------------------------------------------------------------------------------------


@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 60))
def test_a_paired_change_has_the_interval_of_agresti_and_min(caught: int, missed: int, same: int) -> None:
    n = caught + missed + same
    moved = np.repeat([1.0, -1.0, 0.0], [caught, missed, same])
    found = alone(
        with_imagined(moved, np.ones(n), np.arange(n, dtype=np.uint64), ((1, 0.5), (-1, 0.5), (0, 1))),
        np.arange(n, dtype=np.uint64),
    )
    more, b, c = n + 2, caught + 0.5, missed + 0.5
    error = math.sqrt((b + c) - (b - c) ** 2 / more) / more
    assert found.value == pytest.approx((caught - missed) / n)
    assert found.low == pytest.approx((b - c) / more - Z * error)
    assert found.high == pytest.approx((b - c) / more + Z * error)
    assert found.high - found.low > 0.03, "nobody is certain of anything"


def test_the_figures_of_a_group_are_those_of_the_group_alone() -> None:
    observed, dense, pruned = patients(0)
    groups = parts(1_500, 4)
    review = subgroup_changes(observed, dense, pruned, groups, ACT_AT)
    rows = np.flatnonzero(groups[2].members)
    event = observed.event[rows]
    told = review.groups[2].changes
    by_delong = paired_auroc(event, dense[rows], pruned[rows])
    assert told["auroc"].measured.dense.value == pytest.approx(by_delong.first.value)
    assert told["auroc"].measured.change.low == pytest.approx(by_delong.difference.low, abs=5e-4)
    moved = (pruned[rows] - event) ** 2 - (dense[rows] - event) ** 2
    reach = Z * moved.std(ddof=1) / math.sqrt(len(rows))
    assert told["brier"].measured.change.value == pytest.approx(moved.mean())
    assert told["brier"].measured.change.high == pytest.approx(moved.mean() + reach)
    ratio = event.mean() / dense[rows].mean()
    assert told["observed_over_expected"].measured.dense.value == pytest.approx(ratio)
    before, after = dense[rows] >= ACT_AT, pruned[rows] >= ACT_AT
    assert told["sensitivity"].measured.change.value == pytest.approx(
        after[event].mean() - before[event].mean()
    )
    worth = np.where(event, 1.0, -ACT_AT / (1 - ACT_AT))
    assert told["net_benefit"].measured.pruned.value == pytest.approx((worth * after).mean())
    assert review.groups[2].missed == int((event & before & ~after).sum()) == review.groups[2].flips.missed
    alone_ = subgroup_changes(observed.take(rows), dense[rows], pruned[rows], parts(len(rows), 1), ACT_AT)
    for name in MEASURES:
        for part in ("dense", "pruned", "change"):
            one = getattr(told[name].measured, part)
            other = getattr(alone_.groups[0].changes[name].measured, part)
            assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high))


def test_the_difference_in_differences_is_inside_less_outside() -> None:
    observed, dense, pruned = patients(1)
    [group] = parts(1_500, 3)[:1]
    [told] = subgroup_changes(observed, dense, pruned, [group], ACT_AT).groups
    moved = (pruned - observed.event) ** 2 - (dense - observed.event) ** 2
    inside, outside = moved[group.members], moved[~group.members]
    error = math.sqrt(inside.var(ddof=1) / len(inside) + outside.var(ddof=1) / len(outside))
    apart = told.changes["brier"].apart
    assert apart.value == pytest.approx(inside.mean() - outside.mean())
    assert apart.high - apart.low == pytest.approx(2 * Z * error, rel=0.03)  # one group: no adjustment
    expected = 2 * norm.sf(abs(apart.value) / error)
    assert told.changes["brier"].p == pytest.approx(expected, abs=0.015)


def test_a_band_is_wider_than_an_interval_and_p_goes_with_it() -> None:
    observed, dense, pruned = patients(2)
    pruned = np.where(np.arange(1_500) % 5 == 0, pruned * 0.7, pruned)
    for group in subgroup_changes(observed, dense, pruned, parts(1_500, 5), ACT_AT).groups:
        for name, change in group.changes.items():
            own = change.measured.change
            assert change.band.high - change.band.low > 1.15 * (own.high - own.low)
            # The intervals of JUDGED_BY have a centre of their own: near the edge only do they disagree.
            if name not in JUDGED_BY:
                assert (change.p < 0.05) == (not change.apart.low <= 0 <= change.apart.high)


# --- laws --------------------------------------------------------------------------------------------


@given(st.integers(0, 1_000))
@settings(max_examples=5)
def test_weights_are_patients_told_several_times(seed: int) -> None:
    rng = np.random.default_rng(seed)
    observed, dense, pruned = patients(seed, 900)
    times = rng.integers(0, 3, 900)
    weighted = Observed(observed.event, observed.patients, times.astype(float))
    rows = np.repeat(np.arange(900), times)
    groups = parts(900, 2)
    again = [Group(g.name, g.columns, g.members[rows]) for g in groups]
    one = subgroup_changes(weighted, dense, pruned, groups, ACT_AT)
    other = subgroup_changes(observed.take(rows), dense[rows], pruned[rows], again, ACT_AT)
    for a, b in zip(one.groups, other.groups, strict=True):
        assert (a.events, a.others, a.missed, a.state) == (b.events, b.others, b.missed, b.state)
        for name in MEASURES:
            x, y = a.changes[name], b.changes[name]
            for this, that in ((x.band, y.band), (x.apart, y.apart), (x.measured.change, y.measured.change)):
                ends = (that.value, that.low, that.high)
                assert (this.value, this.low, this.high) == pytest.approx(ends, rel=5e-3, abs=2e-4)


def test_a_patient_told_twice_is_one_patient() -> None:
    observed, dense, pruned = patients(3, 800)
    once = subgroup_changes(observed, dense, pruned, parts(800, 2), ACT_AT)
    twice = subgroup_changes(
        observed.take(np.tile(np.arange(800), 2)),
        np.tile(dense, 2),
        np.tile(pruned, 2),
        [Group(g.name, g.columns, np.tile(g.members, 2)) for g in parts(800, 2)],
        ACT_AT,
    )
    for a, b in zip(once.groups, twice.groups, strict=True):
        assert (a.patients, a.events, a.missed) == (b.patients, b.events, b.missed)
        for name in MEASURES:
            assert a.changes[name].band.low == pytest.approx(b.changes[name].band.low, rel=5e-3, abs=2e-4)


def test_neither_the_order_of_rows_nor_of_groups_plays_a_part() -> None:
    observed, dense, pruned = patients(4)
    rng = np.random.default_rng(0)
    rows = rng.permutation(1_500)
    groups = parts(1_500, 4)
    turned = [Group(g.name, g.columns, g.members[rows]) for g in reversed(groups)]
    one = subgroup_changes(observed, dense, pruned, groups, ACT_AT)
    other = subgroup_changes(observed.take(rows), dense[rows], pruned[rows], turned, ACT_AT)
    by_name = {group.name: group for group in other.groups}
    for group in one.groups:
        for name, change in group.changes.items():
            found = by_name[group.name].changes[name]
            assert change.measured.change.low == pytest.approx(found.measured.change.low)
            assert change.band.low == pytest.approx(found.band.low, rel=0.03, abs=1e-3)  # other draws
    assert one.worst is not None
    assert other.worst is not None
    assert one.worst.name == other.worst.name


def test_bands_cover_all_groups_at_once_and_chance_is_not_called_harm() -> None:
    """120 times: models that err alike, six groups that overlap; every band should hold 0 in 95 %."""
    hits, alarms, runs = dict.fromkeys(JUDGED_BY, 0), 0, 120
    for seed in range(runs):
        observed, dense, pruned = patients(seed)
        groups = [*parts(1_500, 4), Group("low", ("x",), np.arange(1_500) < 700)]
        groups.append(Group("high", ("x",), np.arange(1_500) >= 700))
        review = subgroup_changes(observed, dense, pruned, groups, ACT_AT, measures=(), seed=seed)
        for name in JUDGED_BY:
            bands = [group.changes[name].band for group in review.groups]
            hits[name] += all(each.low <= 0 <= each.high for each in bands)
        found = review.furthest("sensitivity")
        alarms += found is not None and found[1] < 0.05
    for name in JUDGED_BY:
        assert 0.89 <= hits[name] / runs <= 0.995, name
    assert alarms / runs <= 0.11


# --- what it says ------------------------------------------------------------------------------------


def test_harm_to_one_group_on_purpose_fails_and_names_it() -> None:
    observed, dense, _ = patients(5, 4_000)
    groups = parts(4_000, 4)
    harmed = np.where(groups[1].members, 0.1, dense)  # the model no longer sees what tells them apart
    review = subgroup_changes(observed, dense, harmed, groups, ACT_AT)
    assert [group.state for group in review.groups] == [PASS, FAIL, PASS, PASS]
    assert review.state == FAIL
    assert review.worst is not None
    assert review.worst.name == "part = 1"
    sentence = told_of(review.worst, review)
    missed = int((observed.event & groups[1].members & (dense >= ACT_AT)).sum())
    assert sentence.startswith(f"part = 1: {missed} of {review.worst.events} with the event are newly missed")
    assert "beyond chance: part = 1, -" in told_of_chance(review)
    check = group_check([review], FLIPS, Limits())
    assert (check.id, check.state, check.margin) == ("G3", FAIL, -0.05)
    assert check.sentence == sentence
    assert check.high < -0.05
    unharmed = subgroup_changes(observed, dense, dense, groups, ACT_AT)
    assert group_check([unharmed, review], FLIPS, Limits()).state == FAIL


def test_the_same_model_passes_without_claiming_certainty() -> None:
    observed, dense, _ = patients(6, 4_000)
    review = subgroup_changes(observed, dense, dense, parts(4_000, 3), ACT_AT)
    assert review.state == PASS
    for group in review.groups:
        for name in JUDGED_BY:
            assert group.changes[name].band.low < 0 < group.changes[name].band.high
    assert "No group's change" in told_of_chance(review)
    few = subgroup_changes(*(observed.take(np.arange(300)), dense[:300], dense[:300]), parts(300, 1), ACT_AT)
    assert few.groups[0].state in (WARN, PASS)
    assert few.groups[0].changes["sensitivity"].band.low < -0.02


def test_a_few_events_never_pass() -> None:
    observed, dense, _ = patients(7)
    ill = np.flatnonzero(observed.event)
    members = np.isin(np.arange(1_500), ill[: FEWEST - 1]) | ~observed.event
    better = np.where(observed.event, 0.99, 0.01)  # a perfect model
    small = Group("small = 1", ("small",), members)
    review = subgroup_changes(observed, dense, better, [small], ACT_AT)
    [group] = review.groups
    assert (group.events, group.state, review.state) == (49, NOT_ASSESSABLE, NOT_ASSESSABLE)
    assert not group.changes["sensitivity"].band.is_known
    assert group.changes["sensitivity"].measured.change.is_known
    assert told_of(group, review) == ("small = 1: Too few (49 events) to say anything — this is not a pass.")
    pair = Group("small = 1, x = 1", ("small", "x"), members)
    everybody = Group("all", ("all",), np.ones(1_500, dtype=bool))
    both = subgroup_changes(observed, dense, better, [everybody, pair], ACT_AT)
    assert both.state == PASS, "a pair that is too small is shown, and its patients are in other groups"
    assert both.groups[1].state == NOT_ASSESSABLE
    assert not both.groups[0].changes["auroc"].apart.is_known, "there is nobody outside"
    assert both.furthest("auroc") is None
    assert "No group is large enough" in told_of_chance(both)
    assert group_check([both], FLIPS, Limits()).state == PASS
    assert group_check([review], FLIPS, Limits()).state == NOT_ASSESSABLE
    few = subgroup_changes(observed, dense, better, [small], ACT_AT, fewest=40)
    assert few.groups[0].is_assessable


def test_an_uncertain_loss_warns() -> None:
    observed, dense, _ = patients(8, 1_000)
    acted = np.flatnonzero(observed.event & (dense >= ACT_AT))
    pruned = dense.copy()
    pruned[acted[: round(0.05 * observed.events)]] = 0.0
    review = subgroup_changes(observed, dense, pruned, parts(1_000, 1), ACT_AT)
    assert review.groups[0].state == WARN
    sentence = told_of(review.groups[0], review)
    assert "with the event are newly missed" in sentence
    for word in FORBIDDEN:
        assert word not in sentence.lower()


def test_patients_whose_outcome_is_unknown_are_not_counted() -> None:
    observed, dense, pruned = patients(9, 600)
    weight = np.where(np.arange(600) < 200, 0.0, 1.3)
    lost = Observed(observed.event, observed.patients, weight)
    told = subgroup_changes(lost, dense, pruned, parts(600, 1), ACT_AT).groups[0]
    assert told.patients == 400
    assert told.flips.patients == pytest.approx(400 * 1.3)
    assert told.events == int(observed.event[200:].sum())


def test_the_table_has_a_row_a_group_and_figure() -> None:
    observed, dense, pruned = patients(10, 600)
    table = subgroup_changes(observed, dense, pruned, parts(600, 2), ACT_AT).table()
    assert len(table) == 2 * len(MEASURES)
    assert {"group", "events", "state", "figure", "band_low", "apart_high", "p"} <= set(table.columns)


def test_arrays_that_do_not_go_together_are_refused() -> None:
    observed, dense, pruned = patients(11, 100)
    with pytest.raises(BadInput, match="100 rows but pruned risks of shape"):
        subgroup_changes(observed, dense, pruned[:50], parts(100, 1), ACT_AT)
    with pytest.raises(BadInput, match="risks, not logits"):
        subgroup_changes(observed, dense, pruned * 3, parts(100, 1), ACT_AT)
    with pytest.raises(BadInput, match="of other rows"):
        subgroup_changes(observed, dense, pruned, parts(99, 1), ACT_AT)
    with pytest.raises(BadInput, match="must lie between 0 and 1"):
        subgroup_changes(observed, dense, pruned, parts(100, 1), ACT_AT, allowed=0)
    with pytest.raises(BadInput, match="got 'f1'"):
        subgroup_changes(observed, dense, pruned, parts(100, 1), ACT_AT, measures=["f1"])
    assert band([], observed.patients) == ()


def test_the_checks_numbers_are_those_of_the_group_that_its_sentence_names() -> None:
    """A small group that is not assessable beside a large one: no number of the one in a row of the other."""
    observed, dense, pruned = patients(9, 1_500)
    few = np.arange(1_500) < 60
    groups = [Group("few", ("size",), few), Group("many", ("size",), ~few)]
    found = subgroup_changes(observed, dense, pruned, groups, ACT_AT)
    check = group_check([found], FLIPS, Limits())
    assert check.state == NOT_ASSESSABLE
    assert check.sentence.startswith("few: ")
    assert math.isnan(check.estimate)
    assert math.isnan(check.low)
    assert math.isnan(check.high)


def test_the_checks_numbers_are_of_the_figure_that_fails() -> None:
    """Whoever is well is all flagged by the smaller model: net benefit falls, sensitivity does not."""
    observed, dense, _ = patients(10, 4_000, noise=0.1)
    [group] = parts(4_000, 1)
    found = subgroup_changes(observed, dense, np.ones(4_000), [group], 0.5)
    check = group_check([found], FLIPS, Limits())
    [only] = found.groups
    assert only.changes["sensitivity"].band.value > 0
    assert check.state == FAIL
    assert "net benefit" in check.sentence.lower()
    band = only.changes["net_benefit"].band
    assert (check.estimate, check.low, check.high) == (band.value, band.low, band.high)


def test_all_groups_that_fail_are_named() -> None:
    observed, dense, _ = patients(11, 4_000, noise=0.1)
    found = subgroup_changes(observed, dense, np.zeros(4_000), parts(4_000, 2), ACT_AT)
    check = group_check([found], FLIPS, Limits())
    told = " ".join((check.sentence, *check.details))
    assert check.state == FAIL
    assert "part = 0" in told
    assert "part = 1" in told
