"""Small counts: none leaves the house, nor follows from what does."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medprune.report import card_md, papers, report_html
from medprune.report.facts import Known
from medprune.report.groups import forecast_table, group_tables, sites_table
from medprune.report.held_back import (
    KEPT_BACK,
    bars,
    shown_checks,
    shown_flips,
    too_few,
    without_small_counts,
)
from medprune.report.sections import shift_table
from medprune.review.beforehand import Beforehand
from medprune.review.estimate import Estimate
from medprune.review.flips import Flips
from medprune.review.forecast import AtRisk, Forecast, Foretold
from medprune.review.measures import Measured
from medprune.review.shift import FeatureShift, Shift
from medprune.review.sites import SiteResult, SiteReview
from tests.report.made import PROVENANCE, found

COUNTS = st.integers(0, 60)


@given(st.lists(COUNTS, min_size=40, max_size=40))
def test_no_bar_stands_for_a_few_patients(counts: list[int]) -> None:
    edges = np.linspace(0, 1, 41)
    made = bars(edges, np.array(counts, dtype=float))
    total = sum(counts)
    if total <= 10:
        assert made == []
        return
    held = [bar.density * (bar.high - bar.low) * 10 * total for bar in made]
    assert all(each == 0 or each > 10 - 1e-6 for each in held)
    assert sum(held) == pytest.approx(total)
    assert [bar.high for bar in made[:-1]] == [bar.low for bar in made[1:]]


@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_no_small_count_of_flips_is_told_or_follows(
    caught: int, missed: int, alarmed: int, spared: int
) -> None:
    rows = Flips(500, caught, missed, alarmed, spared)
    told = shown_flips(rows, rows)
    for name, text in told.counts.items():
        assert text in (KEPT_BACK, f"{getattr(rows, name)}")
        assert not 0 < getattr(rows, name) <= 10 or text == KEPT_BACK
        assert (told.per_1000[name] == KEPT_BACK) == (text == KEPT_BACK)
    hidden = [text for text in told.counts.values() if text == KEPT_BACK]
    assert len(hidden) != 1  # one alone would be the total less the others
    if told.total_shown and hidden:
        net, spare = caught - missed, spared - alarmed
        fits = [m for m in range(501) if m + net >= 0 and rows.total - 2 * m - net - abs(spare) >= 0]
        assert max(fits) - min(fits) >= 10 or not 0 < missed <= 10


def test_nothing_is_kept_back_without_a_floor() -> None:
    rows = Flips(500, 1, 2, 3, 4)
    assert set(shown_flips(rows, rows, 0).counts.values()) == {"1", "2", "3", "4"}
    assert shown_checks(found(), 0) == found().checks


def test_large_counts_are_told() -> None:
    rows = Flips(500, 20, 30, 40, 50)
    told = shown_flips(rows, rows)
    assert told.all_shown
    assert told.total == "140"
    assert told.per_1000["missed"] == "60"


def small_flips() -> Flips:
    return Flips(200, caught=4, missed=3, alarmed=17, spared=16)


def test_the_check_of_changed_decisions_is_told_again_without_them() -> None:
    review = found()
    few = replace(
        review,
        flips=small_flips(),
        dense_risks=_risks(review, 0.4, 0.6),
        pruned_risks=_risks(review, 0.4, 0.6, change=3),
    )
    check = next(check for check in shown_checks(few) if check.id == "G4")
    plain = next(check for check in few.checks if check.id == "G4")
    assert plain.sentence != check.sentence
    assert "kept back" in check.sentence
    assert check.sentence.endswith("Retraining the original would change about 60 anyway.")
    assert check.state == plain.state
    for paper in (report_html(few, PROVENANCE), card_md(few, PROVENANCE)):
        assert "15 with the event no longer flagged" not in paper


def _risks(review, low: float, high: float, change: int = 0):  # type: ignore[no-untyped-def]
    """Everybody on the right side, but for the first of either outcome."""
    event = review.split.outcome == 1
    risk = np.where(event, high, low)
    for who in (event, ~event):
        places = np.flatnonzero(who)[:change]
        risk[places] = np.where(event[places], low, high)
    return np.stack([1 - risk, risk], axis=1)


def test_a_class_with_few_patients_shows_no_figures() -> None:
    review = found()
    few = replace(review, sides=tuple(replace(side, events=8) for side in review.sides))
    assert too_few(few.sides[0])
    assert not too_few(few.sides[0], 0)
    brier = few.sides[0].pruned["brier"]
    told = f"{brier.value:.3f}".lstrip("0")
    report = report_html(few, PROVENANCE)
    assert "Kept back: too few patients" in report
    assert f">{told} (" not in report
    assert "8 reviewed patients" not in report
    assert "1 to 10 reviewed patients" in report
    for name in ("card.md", "card.chai.xml"):
        assert f"{told} (" not in papers(few, PROVENANCE)[name]


def test_sentences_about_groups_lose_their_small_counts() -> None:
    told = "sex = male: 3 of 61 with the event are newly missed, 2 newly caught. Only 61 such patients."
    assert without_small_counts(told, 10) == (
        "sex = male: 1 to 10 of 61 with the event are newly missed, 1 to 10 newly caught. "
        "Only 61 such patients."
    )
    assert without_small_counts("Too few (7 events) to say anything.", 10) == (
        "Too few (1 to 10 events) to say anything."
    )
    kept = "23 groups were looked at, 2 of them too small to assess; 95% of 120 with it."
    assert without_small_counts(kept, 10) == kept
    assert without_small_counts("3 of 61 newly missed", 0) == "3 of 61 newly missed"


def test_groups_show_no_small_count() -> None:
    review = found()
    known = Known(review, PROVENANCE)
    tables = group_tables(known)
    assert len(tables) == 2
    small = {g.name for f in review.groups for g in f.groups if 0 < min(g.events, g.others) <= 10}
    assert small  # else the test says nothing
    for table in tables:
        for row in table.rows:
            for cell in row[1:4]:
                assert cell == KEPT_BACK or not re.fullmatch(r"[1-9]|10", cell)
            if row[0] in small:
                assert row[2] == KEPT_BACK
                assert row[5] == KEPT_BACK
    shown = group_tables(Known(review, PROVENANCE, floor=0))
    assert KEPT_BACK not in {cell for table in shown for row in table.rows for cell in row}


def test_the_report_says_that_counts_were_kept_back() -> None:
    assert "Counts of 1 to 10 patients are kept back" in report_html(found(), PROVENANCE)
    assert "Counts of 1 to 10 patients are kept back" in card_md(found(), PROVENANCE)
    assert "No count was kept back" in report_html(found(), PROVENANCE, floor=0)


def site(name: str, events: int, others: int) -> SiteResult:
    figure = Measured(Estimate(0.8, 0.7, 0.9), Estimate(0.75, 0.65, 0.85), Estimate(-0.05, -0.1, 0.0))
    measured = dict.fromkeys(("auroc", "slope", "net_benefit"), figure)
    return SiteResult(name, events + others, events, others, 300, 0.9, measured, "assessable")


def test_sites_show_no_small_count_nor_one_that_follows() -> None:
    sites = SiteReview(
        (site("<North>", 60, 90), site("South", 4, 80), site("West", 70, 55)), "hospital", 0.9, 0.5, 6, 1.0
    )
    review = replace(found(), sites=sites)
    table = sites_table(Known(review, PROVENANCE))
    assert table is not None
    by_name = {row[0]: row for row in table.rows}
    assert by_name["South"][2] == KEPT_BACK
    assert by_name["South"][4] == KEPT_BACK
    assert [row[2] for row in table.rows].count(KEPT_BACK) + [row[1] for row in table.rows].count(
        KEPT_BACK
    ) > 1
    assert by_name["West"][4] == ".750, -.050 (-.100 to .000)"
    html = report_html(review, PROVENANCE)
    assert "&lt;North&gt;" in html
    assert "<North>" not in html


def test_a_forecast_leaves_out_groups_of_a_few() -> None:
    at_risk = (AtRisk("many", 80, 0.5, 1.25, 0.75, 0.1), AtRisk("few", 9, 0.9, 2.5, 1.5, 0.2))
    found_ = Beforehand(Forecast(at_risk, 1.0), Foretold(2, float("nan"), float("nan")))
    table = forecast_table(Known(replace(found(), beforehand=found_), PROVENANCE))
    assert table is not None
    assert table.rows == (("many", ".500", "1.250", ".750"),)


def test_shares_of_a_few_rows_out_of_range_are_kept_back() -> None:
    feature = FeatureShift("age", "number", 0.05, 0.08, 0.1, 0.0, 0.5, 2 / 90)
    review = replace(found(), shift=Shift((feature,), 0.5, 2 / 90))
    assert len(review.split) == 90
    table = shift_table(Known(review, PROVENANCE))
    assert table is not None
    assert table.rows == (("age", ".050", ".080", ".100", "50.0%", KEPT_BACK),)
    [check] = [each for each in shown_checks(review) if each.id == "G6"]
    assert not any("outside" in detail for detail in check.details)
    [plain] = [each for each in review.checks if each.id == "G6"]
    assert any("outside" in detail for detail in plain.details)
