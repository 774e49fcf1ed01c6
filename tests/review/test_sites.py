"""One site left out at a time: nobody on both sides, test closed, figures as by hand, few patients told."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from medprune import MLP, BadInput, Cohort, RiskModel, Schedule, load_cohort, prune
from medprune.cross_validation import like, seed_of
from medprune.figures import group_forest, site_forest
from medprune.figures.style import REMOVED
from medprune.folds import fold_of, learnt_from
from medprune.review.gate import NOT_ASSESSABLE
from medprune.review.groups import Group
from medprune.review.measures import MEASURES
from medprune.review.observed import Observed
from medprune.review.sites import (
    SITE_MEASURES,
    SiteReview,
    leave_one_site_out,
    leave_one_site_out_steps,
    site_names,
)
from medprune.review.subgroups import subgroup_changes
from medprune.tables import jsonable
from tests.makers import patient_table, untrained_model
from tests.test_folds import ids, locked

QUICK = Schedule(epochs=2)


def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = patient_table(400)
    frame["site"] = rng.choice(["north", "south", "tiny", None], 400, p=[0.5, 0.42, 0.04, 0.04])
    frame.loc[frame["site"] == "tiny", "stage"] = 1
    return frame


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return locked(load_cohort(table(), outcome="stage", subgroups=["site"], exclude=["site"]))


@pytest.fixture(scope="module")
def model() -> RiskModel:
    frame = load_cohort(table(), outcome="stage", exclude=["site"])
    return untrained_model(frame, MLP(hidden=(6,), dropout=0.0))


@pytest.fixture(scope="module")
def found(cohort: Cohort, model: RiskModel) -> SiteReview:
    return leave_one_site_out(
        model, cohort, "site", sparsity=0.5, sparsities=(0.5,), schedule=QUICK, seed=3, act_at=0.3
    )


def test_the_figures_of_a_site_are_those_of_doing_it_by_hand(
    cohort: Cohort, model: RiskModel, found: SiteReview
) -> None:
    everyone = learnt_from(cohort)
    here = site_names(everyone, "site") == "south"
    seed = seed_of(3, 1)  # the second largest
    fold = fold_of(cohort, everyone, here, seed)
    assert not ids(fold.test) & (ids(fold.train) | ids(fold.tuning))
    dense = like(model, fold, QUICK, seed)
    [_, candidate] = prune(dense, fold, sparsities=(0.5,), seed=seed)
    risks = [one.predict_proba(fold.test.frame)[:, 1] for one in (dense, candidate.model)]
    south = found.sites[1]
    assert (south.name, south.patients, south.learnt) == ("south", here.sum(), (~here).sum())
    assert south.sparsity == candidate.sparsity
    for name in SITE_MEASURES:
        parts = MEASURES[name].parts(Observed.of(fold.test), risks[0], risks[1], 0.3)
        assert south.measured[name] == MEASURES[name].measured(parts, fold.test.patients)


def test_small_sites_are_told_and_those_without_an_outcome_not_measured(found: SiteReview) -> None:
    assert [site.name for site in found.sites] == ["north", "south", "tiny"]
    tiny = found.sites[2]
    assert (tiny.state, tiny.measured, tiny.others) == (NOT_ASSESSABLE, {}, 0)
    assert "too few patients with the event, or without it" in tiny.why
    assert [site.is_assessable for site in found.sites[:2]] == [
        min(site.events, site.others) >= 50 for site in found.sites[:2]
    ]
    assert any("rows without a site are learnt from" in note for note in found.notes)
    assert found.models_trained == 4
    assert len(found.table()) == 2 * len(SITE_MEASURES)
    assert json.loads(json.dumps(jsonable(found.to_json())))["sites"][1]["name"] == "south"


def test_the_spread_is_over_assessable_sites(found: SiteReview) -> None:
    changes = [site.measured["auroc"].change.value for site in found.sites[:2]]
    assert all(site.is_assessable for site in found.sites[:2])
    assert found.spread("auroc") == (min(changes), max(changes))
    levels = found.levels("brier")
    assert levels is not None
    assert levels[0] < levels[1]
    assert found.spread("sensitivity") is None


def test_it_tells_how_far_it_is_and_the_same_seed_gives_the_same(
    cohort: Cohort, model: RiskModel, found: SiteReview
) -> None:
    steps = list(
        leave_one_site_out_steps(
            model, cohort, "site", sparsity=0.5, sparsities=(0.5,), schedule=QUICK, seed=3, act_at=0.3
        )
    )
    assert [step.event()["number"] for step in steps] == [0, 1, 2, 3, 3]
    assert steps[0].event() == {"number": 0, "of": 3, "models_trained": 0, "site": None}
    assert steps[-1].review is not None
    assert found.sites == steps[-1].review.sites


def test_the_stops_end_at_the_sparsity(cohort: Cohort, model: RiskModel) -> None:
    review = leave_one_site_out(model, cohort, "site", sparsity=0.6, schedule=Schedule(epochs=1))
    assert review.models_trained == 2 * (1 + 3)  # 0.3, 0.5, 0.6
    assert review.sites[0].sparsity == pytest.approx(0.6, abs=0.05)
    one_shot = leave_one_site_out(
        model, cohort, "site", sparsity=0.6, strategy="magnitude", granularity="weight", schedule=QUICK
    )
    assert one_shot.sites[0].sparsity == pytest.approx(0.6, abs=0.05)


def test_a_patient_of_two_sites_teaches_nothing(model: RiskModel) -> None:
    frame = table().assign(who=np.arange(400))
    visits = frame.assign(site=np.where(np.arange(400) < 20, "south", frame["site"]))
    both = pd.concat([visits.assign(site="north").iloc[:20], visits], ignore_index=True)
    cohort = load_cohort(both, outcome="stage", patient="who", subgroups=["site"], exclude=["site"])
    review = leave_one_site_out(model, cohort, "site", sparsity=0.5, sparsities=(0.5,), schedule=QUICK)
    everyone = learnt_from(cohort)
    names = site_names(everyone, "site")
    for site in review.sites:
        here = set(everyone.patients[names == site.name].tolist())
        assert site.patients == len(here)
        assert site.learnt == len(ids(everyone) - here)


def test_what_is_no_site_is_refused(cohort: Cohort, model: RiskModel) -> None:
    with pytest.raises(BadInput, match=r"did you mean 'site'\?"):
        leave_one_site_out(model, cohort, "sites", sparsity=0.5)
    one = load_cohort(table().assign(site="here"), outcome="stage", subgroups=["site"], exclude=["site"])
    with pytest.raises(BadInput, match="fewer than two sites"):
        leave_one_site_out(model, one, "site", sparsity=0.5)
    reading = untrained_model(load_cohort(table(), outcome="stage"), MLP(hidden=(4,)))
    whole = load_cohort(table(), outcome="stage", subgroups=["site"])
    review = leave_one_site_out(reading, whole, "site", sparsity=0.5, sparsities=(0.5,), schedule=QUICK)
    assert any("it knows no label" in note for note in review.notes)


# --- figures -----------------------------------------------------------------------------------------


def test_the_forest_of_sites_draws_what_was_measured(found: SiteReview) -> None:
    drawn = site_forest(found, "auroc")
    points = {place: x for trace in drawn.data for place, x in zip(trace.y, trace.x, strict=True)}
    assert points[1] == found.sites[1].measured["auroc"].change.value
    assert points[2] is None
    assert "not measured" in drawn.layout.yaxis.ticktext[2]
    both = site_forest(found, "brier", change=False)
    assert len(both.layout.yaxis.ticktext) == 5
    assert {trace.name for trace in both.data} == {"original", "smaller", NOT_ASSESSABLE}


def test_the_forest_of_groups_greys_what_is_not_assessable_and_user_text_is_inert() -> None:
    rng = np.random.default_rng(0)
    risk = rng.beta(1, 2, 900)
    observed = Observed(rng.random(900) < risk, np.arange(900, dtype=np.uint64))
    harmed = np.where(np.arange(900) < 400, 0.05, risk)
    groups = [
        Group("<b>ward</b> = $A$", ("ward",), np.arange(900) < 400),
        Group("ward = B", ("ward",), np.arange(900) >= 400),
        Group("ward missing", ("ward",), np.arange(900) < 30),
    ]
    review = subgroup_changes(observed, risk, harmed, groups, 0.3)
    drawn = group_forest(review)
    by_name = {trace.name: trace for trace in drawn.data}
    assert set(by_name) == {"fail", "pass", NOT_ASSESSABLE}
    assert by_name[NOT_ASSESSABLE].marker.color == REMOVED
    assert "not assessable" in drawn.layout.yaxis.ticktext[2]
    assert "<b>" not in drawn.layout.yaxis.ticktext[0]
    assert "$" not in drawn.layout.yaxis.ticktext[0]
    band = review.groups[0].changes["sensitivity"].band
    assert by_name["fail"].x == (band.value,)
    assert by_name["fail"].x[0] - by_name["fail"].error_x.arrayminus[0] == pytest.approx(band.low)
    lines = [shape.x0 for shape in drawn.layout.shapes]
    assert lines == [0, -review.allowed]
    assert [shape.x0 for shape in group_forest(review, "auroc").layout.shapes] == [0]
    many = [Group(f"a{k}, b", ("a", "b"), groups[2].members) for k in range(90)]
    crowded = group_forest(subgroup_changes(observed, risk, harmed, [*groups, *many], 0.3, measures=()))
    assert len(crowded.layout.yaxis.ticktext) == 60
    assert crowded.layout.xaxis.title.text.endswith("60 of 93 groups")
    assert math.isfinite(crowded.layout.height)
