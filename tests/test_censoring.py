"""Outcomes at a horizon with censored follow-up: the weights, against definitions by hand and the truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medprune import MLP, BadInput, load_cohort, train
from medprune.censoring import BEYOND, EARLY, EVENT, FollowUp, Times, not_censored
from medprune.performance import performance
from tests.makers import followed_table


def times(time: list[float], event: list[int], horizon: float) -> Times:
    return Times(np.array(time, dtype=float), np.array(event, dtype=bool), horizon)


# Ten patients; G by hand. At 1 one of ten is censored: 9/10. At 2 one event (first), then one of the other
# eight is censored: 9/10 * 7/8 = 63/80. At 3 an event. At 4 two of six are censored: 63/80 * 4/6 = 21/40.
# At 5 one event; three are left, one of them censored at the horizon 6 itself.
BY_HAND = times([1, 2, 2, 3, 4, 4, 5, 6, 7, 8], [0, 1, 0, 1, 0, 0, 1, 0, 1, 0], 6)


def test_weights_by_hand() -> None:
    status = [EARLY, EVENT, EARLY, EVENT, EARLY, EARLY, EVENT, BEYOND, BEYOND, BEYOND]
    assert BY_HAND.status.tolist() == status
    assert BY_HAND.outcome.tolist() == [0, 1, 0, 1, 0, 0, 1, 0, 0, 0]
    g = {2: 9 / 10, 3: 63 / 80, 5: 21 / 40, 6: 21 / 40}
    wanted = [0, 1 / g[2], 0, 1 / g[3], 0, 0, 1 / g[5], 1 / g[6], 1 / g[6], 1 / g[6]]
    assert BY_HAND.weights() == pytest.approx(wanted, abs=1e-14)
    assert BY_HAND.weights().sum() == pytest.approx(10, abs=1e-12)


def test_the_curve_by_hand() -> None:
    """As lifelines 0.30.3 has it (KaplanMeierFitter of the censorings) once the tie at 2 is broken, the event
    first; left tied, it takes the event out last and gives 0.8 instead of 63/80."""
    at, free = not_censored(BY_HAND.time, BY_HAND.event)
    assert at.tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    after_six = 21 / 40 * 2 / 3
    wanted = [1, 9 / 10, 63 / 80, 63 / 80, 21 / 40, 21 / 40, after_six, after_six, 0]
    assert free == pytest.approx(wanted, abs=1e-14)


def test_where_the_study_ends_for_all_at_the_horizon() -> None:
    """All who are left are censored at 5: G(5) is 0, and yet everybody's status at 5 is known."""
    ended = times([1, 3, 5, 5, 5], [0, 1, 0, 0, 0], 5)
    assert ended.status.tolist() == [EARLY, EVENT, BEYOND, BEYOND, BEYOND]
    assert ended.weights() == pytest.approx([0, 1.25, 1.25, 1.25, 1.25])


def kaplan_meier(time: np.ndarray, event: np.ndarray, at: float) -> float:
    """The share without the event at a time, by the definition: a product over the times of events."""
    left = 1.0
    for when in np.unique(time[event & (time <= at)]):
        left *= 1 - (event & (time == when)).sum() / (time >= when).sum()
    return left


@given(st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=3, max_size=60), st.integers(1, 11))
def test_weights_sum_to_the_rows_and_give_kaplan_meier(rows: list[tuple[int, bool]], horizon: int) -> None:
    followed = times([*(float(t) for t, _ in rows), 20.0], [*(int(e) for _, e in rows), 0], horizon)
    weight = followed.weights()
    assert weight.sum() == pytest.approx(len(weight), abs=1e-9)
    assert ((weight > 0) == (followed.status != EARLY)).all()
    free = kaplan_meier(followed.time, followed.event, horizon)
    assert weight @ followed.outcome / len(weight) == pytest.approx(1 - free, abs=1e-9)


def test_median_follow_up_is_that_of_reverse_kaplan_meier() -> None:
    """1 - share is the survival at 6 by lifelines 0.30.3 (KaplanMeierFitter of the events), .571429."""
    told = FollowUp.of("time", BY_HAND, BY_HAND.weights())
    assert (told.events, told.beyond, told.early) == (3, 3, 4)
    assert told.median == 6  # 21/40 is left until 6, then 7/20
    assert told.share == pytest.approx(1 - kaplan_meier(BY_HAND.time, BY_HAND.event, 6))
    assert 1 - told.share == pytest.approx(0.571429, abs=5e-7)


# --- against the truth -----------------------------------------------------------------------------------


def simulated(rng: np.random.Generator, n: int = 400) -> tuple[Times, np.ndarray, np.ndarray]:
    """Patients with exponential times; the truth at the horizon, their risk, and what is seen of them."""
    score = rng.normal(size=n)
    rate = 0.1 * np.exp(score)
    until, leaves = rng.exponential(1 / rate), rng.exponential(7.2, n)
    risk = 1 - np.exp(-rate * 6)
    seen = Times(np.minimum(until, leaves), until <= leaves, 6.0)
    return seen, (until <= 6).astype(np.int64), np.stack([1 - risk, risk], axis=1)


METRICS = ("auroc", "brier", "net_benefit", "sensitivity", "specificity")


def test_weighted_figures_agree_with_the_uncensored_truth_and_the_shortcuts_do_not() -> None:
    """300 cohorts of 400 patients, on average 42 % censored before the horizon, against complete follow-up.

    Means, and in brackets the mean difference from the truth in its standard errors:

    |          | share with the event | AUROC | Brier | net benefit at .4 | sensitivity | specificity |
    |---|---|---|---|---|---|---|
    | truth    | .486 | .800 | .181 | .258 | .782 | .646 |
    | weighted | .486 (0.6) | .802 (1.7) | .181 (-1.5) | .260 (1.4) | .782 (0.6) | .649 (1.4) |
    | dropped  | .618 (110) | .813 (12) | .180 (-4) | .403 (98) | .796 (14) | .649 (1.4) |
    | filled   | .360 (-131) | .763 (-38) | .203 (44) | .103 (-115) | .796 (14) | .570 (-80) |
    """
    rng = np.random.default_rng(0)
    found: dict[str, list[list[float]]] = {"truth": [], "weighted": [], "dropped": [], "filled": []}
    early = []
    for _ in range(300):
        seen, truth, risks = simulated(rng)
        known = seen.status != EARLY
        early.append((~known).mean())
        weight = seen.weights()
        ways = {
            "truth": (truth, risks, None),
            "weighted": (seen.outcome, risks, weight),
            "dropped": (seen.outcome[known], risks[known], None),
            "filled": (seen.outcome, risks, None),
        }
        for way, (outcome, of, w) in ways.items():
            got = performance(outcome, of, 0.4, w)
            found[way].append([np.average(outcome, weights=w), *(got[metric] for metric in METRICS)])
    assert 0.35 < np.mean(early) < 0.45
    truth = np.array(found["truth"])
    off = {}
    for way in ("weighted", "dropped", "filled"):
        difference = np.array(found[way]) - truth
        off[way] = difference.mean(axis=0) / (difference.std(axis=0, ddof=1) / np.sqrt(len(difference)))
    names = ("share", *METRICS)
    told = {way: dict(zip(names, values.round(1).tolist(), strict=True)) for way, values in off.items()}
    assert (np.abs(off["weighted"]) < 3.5).all(), told
    for way in ("dropped", "filled"):
        wrong = dict(zip(names, np.abs(off[way]), strict=True))
        assert min(wrong[name] for name in ("share", "net_benefit", "sensitivity", "auroc")) > 8, told


# --- the cohort ------------------------------------------------------------------------------------------


def test_nobody_is_dropped_and_everybody_is_counted() -> None:
    table = followed_table(400)
    cohort = load_cohort(table, outcome="died", time="days", horizon=8)
    everyone = cohort.all()
    assert len(everyone) == len(table) == sum(len(getattr(cohort, n)) for n in ("train", "tuning", "test"))
    record = cohort.record()
    assert len(record.train) + len(record.tuning) + len(record.test) == len(table)
    early = (table["died"] == 0) & (table["days"] < 8)
    assert (everyone.known == ~early).all()
    assert (everyone.outcome[everyone.known] == ((table["died"] == 1) & (table["days"] <= 8))[~early]).all()
    assert cohort.follow_up is not None
    assert cohort.follow_up.early == early.sum() > 50
    assert "days" not in [feature.name for feature in cohort.features]
    assert any(f"{early.sum()} (" in note and "are censored before" in note for note in cohort.notes)
    for split in (cohort.train, cohort.tuning, cohort.test):
        assert split.weight is not None
        assert split.weight.sum() == pytest.approx(len(split))
        mine = table.iloc[split.rows]
        followed = Times(mine["days"].to_numpy(), mine["died"].to_numpy() == 1, 8)
        assert split.weight == pytest.approx(followed.weights())  # from its own rows alone


def test_splits_are_dealt_by_status() -> None:
    cohort = load_cohort(followed_table(500), outcome="died", time="days", horizon=8)
    counts = np.array(
        [np.bincount(cohort.group_of(s), minlength=3) for s in (cohort.train, cohort.tuning, cohort.test)]
    )
    wanted = counts.sum(axis=0) * np.array([[0.6], [0.2], [0.2]])
    assert (np.abs(counts - wanted) <= 2).all()
    assert cohort.groups == ("0 at 8", "1 at 8", "unknown at 8 (censored)")


def test_external_patients_are_weighed_by_their_own_censoring() -> None:
    made = load_cohort(followed_table(300), outcome="died", time="days", horizon=8)
    other = followed_table(200, seed=1)
    cohort = load_cohort(other, outcome="died", time="days", horizon=8, split=made.record(), external=True)
    mine = Times(other["days"].to_numpy(), other["died"].to_numpy() == 1, 8)
    assert cohort.test.weight == pytest.approx(mine.weights())


def refusals() -> list[tuple[str, pd.DataFrame, dict[str, object], str]]:
    table = followed_table(200)
    gone = table.assign(days=table["days"].where(table.index != 3))
    negative = table.assign(days=table["days"].where(table.index > 4, -1.0))
    three = table.assign(died=np.where(table.index % 7 == 0, 2, table["died"]))
    short = table.assign(days=table["days"].clip(upper=5), died=0).assign(
        died=lambda t: (table["died"] == 1) & (table["days"] <= 5)
    )
    both = {"time": "days", "horizon": 8}
    return [
        ("horizon alone", table, {"horizon": 8}, "--time"),
        ("time alone", table, {"time": "days"}, "--horizon"),
        ("not above 0", table, both | {"horizon": 0}, "above 0"),
        ("nan", table, both | {"horizon": float("nan")}, "above 0"),
        ("no such column", table, both | {"time": "dayz"}, "no follow-up time column 'dayz'"),
        ("is the outcome", table, both | {"time": "died"}, "cannot be the outcome"),
        ("is text", table, both | {"time": "ward"}, "must be numbers"),
        ("missing", gone, both, "1 rows have no follow-up time"),
        ("negative", negative, both, "5 rows have a negative follow-up time"),
        ("competing", three, both, "competing events"),
        ("competing, one named", three, both | {"positive": "1"}, "competing events"),
        (
            "beyond follow-up",
            table,
            both | {"horizon": 1e6},
            "followed up to it without the event; choose an earlier",
        ),
        ("nobody that long", short, both, "choose an earlier --horizon"),
        ("before any event", table, both | {"horizon": 0.05}, "have the event by then; choose a later"),
    ]


@pytest.mark.parametrize(("table", "how", "why"), [r[1:] for r in refusals()], ids=[r[0] for r in refusals()])
def test_refused_in_one_sentence(table: pd.DataFrame, how: dict[str, object], why: str) -> None:
    with pytest.raises(BadInput, match=why) as error:
        load_cohort(table, outcome="died", **how)  # type: ignore[arg-type]
    assert error.value.sentence.count(". ") == 0


def test_a_horizon_beyond_the_follow_up_of_external_patients() -> None:
    made = load_cohort(followed_table(300), outcome="died", time="days", horizon=8)
    other = followed_table(200, seed=1).query("days < 8")
    how = {"time": "days", "horizon": 8, "split": made.record(), "external": True}
    with pytest.raises(BadInput, match="followed up to the horizon of 8"):
        load_cohort(other, outcome="died", **how)  # type: ignore[arg-type]


def test_without_censoring_it_is_a_plain_outcome() -> None:
    table = followed_table(300)
    plain = table.assign(by_then=(table["days"] <= 8).astype(int)).drop(columns=["died", "days"])
    seen = table.assign(died=(table["days"] <= 8).astype(int), days=table["days"].clip(upper=8))
    cohort = load_cohort(seen, outcome="died", time="days", horizon=8)
    same = load_cohort(plain, outcome="by_then")
    assert cohort.all().weight == pytest.approx(np.ones(300))
    assert (cohort.all().outcome == same.all().outcome).all()


# --- the quality report ----------------------------------------------------------------------------------


def test_checks_of_the_outcome_look_at_those_whose_status_is_known() -> None:
    """What a column tells alone is that of a table without the unknown; nothing else is about fewer rows."""
    table = followed_table(400)
    cohort = load_cohort(table, outcome="died", time="days", horizon=8)
    early = (table["died"] == 0) & (table["days"] < 8)
    known = table[~early].assign(died=lambda t: ((t["died"] == 1) & (t["days"] <= 8)).astype(int))
    plain = load_cohort(known, outcome="died", exclude=("days",))
    ours, theirs = dict(cohort.quality.alone), dict(plain.quality.alone)
    for name in ("age", "visit", "noise"):  # of categories it depends on chance which half judges which
        assert ours[name] == pytest.approx(theirs[name])
    [missing] = [p for p in cohort.quality.problems if p.kind == "missing" and p.column == "lactate"]
    assert missing.count == table["lactate"].isna().sum()


def test_imbalance_is_told_among_the_known() -> None:
    table = followed_table(600)
    table = table.assign(days=table["days"].where(table["age"] > 75, table["days"] + 9))
    cohort = load_cohort(table, outcome="died", time="days", horizon=8)
    [problem] = [p for p in cohort.quality.problems if p.kind == "imbalance"]
    known = int(cohort.all().known.sum())
    events = int((cohort.all().outcome[cohort.all().known] == 1).sum())
    assert f"{events} of {known} known rows ({events / known:.1%})" in problem.message


# --- a model trained on them -----------------------------------------------------------------------------


def test_trained_risks_are_those_of_complete_follow_up() -> None:
    """4,000 patients, 42 % censored before the horizon; mean risk told, and mean distance from the true risk.

    Measured: true mean risk .482; weighted .481 (.032 away), the censored left out .562 (.088 away), counted
    as no event .337 (.145 away).
    """
    rng = np.random.default_rng(1)
    seen, _, risks = simulated(rng, 4_000)
    true = risks[:, 1]
    rate = -np.log(1 - true) / 6
    table = pd.DataFrame({"score": np.log(rate / 0.1), "noise": rng.normal(size=len(rate))})
    followed = table.assign(days=seen.time, died=seen.event.astype(int))
    plain = table.assign(died=seen.outcome)
    ways = {
        "weighted": load_cohort(followed, outcome="died", time="days", horizon=6),
        "dropped": load_cohort(plain[seen.status != EARLY], outcome="died"),
        "filled": load_cohort(plain, outcome="died"),
    }
    told = {
        way: train(cohort, MLP(hidden=(8,)), seed=0).predict_proba(table)[:, 1]
        for way, cohort in ways.items()
    }
    away = {way: float(np.abs(risk - true).mean()) for way, risk in told.items()}
    assert told["weighted"].mean() == pytest.approx(true.mean(), abs=0.03)
    assert away["weighted"] < 0.05, away
    assert away["dropped"] > 2 * away["weighted"], away
    assert away["filled"] > 3 * away["weighted"], away
