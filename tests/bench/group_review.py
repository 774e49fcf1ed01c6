"""Groups of patients: whether bands hold, whether harm is foretold, and what a new hospital sees."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.special import expit

from medprune import load_cohort, prune, train
from medprune.review.forecast import change_in_loss, compare, forecast, moved
from medprune.review.groups import Group, groups_of
from medprune.review.observed import Observed
from medprune.review.sites import SITE_MEASURES, leave_one_site_out
from medprune.review.subgroups import JUDGED_BY, subgroup_changes
from tests.bench.data import HEART, NHEFS, Table
from tests.bench.report import grid

RUNS, SEEDS, ACT_AT = 200, range(6), 0.3
SPARSITIES = (0.5, 0.8, 0.9)
LARGE = 50  # train rows of a group whose risk is foretold
CHOSEN = {HEART.name: ("site", "sex", "age"), NHEFS.name: ("sex", "race", "age", "income")}


def group_review(processes: int) -> Iterator[str]:
    """Three tables; each is printed when it is ready."""
    yield _coverage(processes)
    yield _foretold(processes)
    if HEART.there:
        yield _sites()


def _coverage(processes: int) -> str:
    """How often the bands over six overlapping groups all hold the truth, when nothing changes for any."""
    rows = []
    for noise in (0.05, 0.2, 0.5):
        for patients in (1_000, 3_000):
            hits = Parallel(n_jobs=processes)(delayed(_once)(noise, patients, seed) for seed in range(RUNS))
            shares = np.mean(hits, axis=0)
            rows.append([f"{noise:g}", f"{patients:,}", *(f"{share:.1%}" for share in shares)])
    head = ["spread of the logit", "patients", *JUDGED_BY, "difference in differences", "p < .05"]
    return (
        f"## Bands over groups\n\nTwo models that err alike, {RUNS} simulations, six overlapping groups: how "
        f"often every band holds 0 at once (nominal 95%), and how often a group is found by chance.\n\n"
        f"{grid(head, rows)}\n"
    )


def _once(noise: float, patients: int, seed: int) -> list[bool]:
    rng, row = np.random.default_rng(seed), np.arange(patients)
    lp = rng.normal(-1, 1, patients)
    observed = Observed(rng.random(patients) < expit(lp), row.astype(np.uint64))
    dense, pruned = (expit(lp + rng.normal(0, noise, patients)) for _ in range(2))
    review = subgroup_changes(observed, dense, pruned, _six(row), ACT_AT, measures=(), seed=seed)
    able = [group.changes for group in review.groups if group.is_assessable]
    bands = [[changes[name].band for changes in able] for name in JUDGED_BY]
    bands.append([changes["sensitivity"].apart for changes in able])
    found = review.furthest("sensitivity")
    hold = [all(each.low <= 0 <= each.high for each in some) for some in bands]
    return [*hold, found is not None and found[1] < 0.05]


def _six(row: NDArray[np.int64]) -> list[Group]:
    half = row < len(row) / 2
    members = [row % 4 == 0, row % 4 == 1, row % 4 > 1, half, ~half, (row % 4 == 0) & (row < 0.7 * len(row))]
    return [Group(f"group {place}", ("group",), some) for place, some in enumerate(members)]


def _foretold(processes: int) -> str:
    """Rank correlations of the forecast, and of its baseline, with the change of each group's loss."""
    tables = [table for table in (HEART, NHEFS) if table.there]
    done = Parallel(n_jobs=processes)(delayed(_order)(table, seed) for table in tables for seed in SEEDS)
    found = pd.concat(done).groupby(["table", "sparsity"]).agg(["mean", "std"])
    columns = ("bound, train", "margin, train", "bound, test", "margin, test")
    rows = [
        [name, f"{sparsity:g}", *(f"{line[c, 'mean']:+.2f} ({line[c, 'std']:.2f})" for c in columns)]
        for (name, sparsity), line in found.iterrows()
    ]
    return (
        f"## Who is at risk, foretold\n\nSpearman's correlation over groups of {LARGE} or more rows, of "
        "gradient and curvature (Tran et al. 2022), and of the share near the threshold, with the change of "
        f"loss along the path; mean (SD) of {len(SEEDS)} seeds.\n\n"
        f"{grid(['table', 'removed', *columns], rows)}\n"
    )


def _order(table: Table, seed: int) -> pd.DataFrame:
    cohort = load_cohort(
        table.path, outcome=table.outcome, positive=table.positive, subgroups=CHOSEN[table.name], seed=seed
    )
    model = train(cohort, seed=seed)
    path = prune(model, cohort, sparsities=SPARSITIES, seed=seed)
    large = [g for g in groups_of(cohort.train, train=cohort.train) if g.members.sum() >= LARGE]
    columns = model.prepared(cohort.train)
    rows = []
    for candidate in path.candidates[1:]:
        made = forecast(model, columns, cohort.train.outcome, large, distance=moved(model, candidate.model))
        told: dict[str, object] = {"table": table.name, "sparsity": candidate.requested}
        for split in (cohort.train, cohort.test):
            risks = [one.predict_proba(split.frame) for one in (model, candidate.model)]
            there = {group.name: group for group in groups_of(split, train=cohort.train)}
            same = [there[g.name] for g in large if g.name in there]
            changes = change_in_loss(split.outcome, risks[0], risks[1], same)
            values = {group.name: change.value for group, change in zip(same, changes, strict=True)}
            found = compare(made, [values.get(group.name, np.nan) for group in large])
            told |= {f"bound, {split.name}": found.by_bound, f"margin, {split.name}": found.by_margin}
        rows.append(told)
    return pd.DataFrame(rows)


def _sites() -> str:
    """Each hospital left out in turn: the smaller model against the dense one where neither has been."""
    cohort = load_cohort(
        HEART.path, outcome=HEART.outcome, positive=HEART.positive, subgroups=["site"], exclude=["site"]
    )
    review = leave_one_site_out(train(cohort), cohort, "site", sparsity=0.9, act_at=0.5)
    rows = []
    for site in review.sites:
        for name in SITE_MEASURES:
            if name in site.measured:
                one = site.measured[name]
                change = f"{one.change.value:+.3f} ({one.change.low:+.3f} to {one.change.high:+.3f})"
                levels = [f"{each.value:.3f}" for each in (one.dense, one.pruned)]
                rows.append(
                    [site.name, f"{site.events} of {site.patients}", site.state, name, *levels, change]
                )
    head = ["left out", "events", "state", "figure", "dense", "pruned", "change (of O/E: its logarithm)"]
    return f"## A hospital that is left out\n\n{HEART.name}, 90% removed.\n\n{grid(head, rows)}\n"
