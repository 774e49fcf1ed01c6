"""The study of harm as text that is Markdown too: tables of means over seeds, and what they answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from textwrap import fill

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.stats import t

from tests.bench.data import Table
from tests.bench.harm import (
    COLUMNS,
    CRITERIA,
    DENSE,
    FEWEST,
    HARM_TABLES,
    LEVELS,
    LIMITS,
    RAW,
    RECALIBRATED,
    REFIT,
    REFITS,
    RETRAINED,
    SEEDS,
    frame_of,
    harm_rows,
)
from tests.bench.report import grid
from tests.bench.study import PATH

Cell = Callable[[pd.DataFrame], str]

WIDE = 110
SINCE = 0.70  # removed: where the questions begin, as by the study that asked them
DRAWS = 10_000
CHANCE = 0.05
MARGINS = (LIMITS.auroc_loss, 0.05)
FORETELLS = 0.8  # an AUROC
ARMS = (
    *((criterion, treatment) for criterion in CRITERIA for treatment in (RAW, RECALIBRATED)),
    ("", RETRAINED),
)
TITLES = {
    **{(criterion, treatment): f"{criterion}, {treatment}" for criterion, treatment in ARMS if criterion},
    ("", RETRAINED): f"{PATH.title}, retrained",
    ("", REFIT): "dense, another seed",
    ("", DENSE): DENSE,
}


def harm(processes: int) -> Iterator[str]:
    """The part of the report."""
    here = [table for table in HARM_TABLES if table.there]
    jobs = [delayed(harm_rows)(table, seed) for table in here for seed in SEEDS]
    done = Parallel(n_jobs=processes)(jobs)
    yield from told(frame_of([row for rows in done for row in rows]), here)


def told(frame: pd.DataFrame, tables: Sequence[Table]) -> Iterator[str]:
    """Every table of figures, and every question with its answer."""
    yield conditions(frame, tables)
    for table in tables:
        yield by_table(frame[frame.table == table.name], table)
    binary = frame[frame.change.notna()]
    yield recovered(binary)
    yield groups(binary)
    yield gates(binary)
    yield margins(binary)
    yield order(binary)


def conditions(frame: pd.DataFrame, tables: Sequence[Table]) -> str:
    acted = frame[frame.change.notna()].groupby("table", sort=False).act_at.unique()
    at = {name: " or ".join(f"{each:.2f}" for each in sorted(found)) for name, found in acted.items()}
    grouped = {each.name: ", ".join(COLUMNS[each.name]) for each in tables if COLUMNS[each.name]}
    lines = [
        f"{frame.seed.nunique()} seeds; a seed deals the patients and starts the network. Figures are of "
        "locked test patients, against the dense network of the same seed: mean ± standard deviation.",
        "Raw: cut once to a sparsity, never retrained. Recalibrated: the same, two parameters fitted on "
        f"tuning. Retrained: the {PATH.title} as the product walks it, recalibrated. "
        f"{DENSE.capitalize()}: nothing is removed.",
        f"The floor is what {REFITS} networks trained from other seeds change ({TITLES['', REFIT]}).",
        "Acting at the prevalence on train, to the next twentieth, settled before any run: "
        + "; ".join(f"{name} {found}" for name, found in at.items()) + ".",
        f"Groups, by one column at a time, with {FEWEST} or more patients on either side: "
        + "; ".join(f"{name} by {found}" for name, found in grouped.items())
        + f". A review asks for {LIMITS.in_a_group}, which few groups here have: this study asks about "
        "chance, and passes nobody.",
        "Intervals are over seeds, which share a table's patients: narrower than those for new patients.",
        *(f"{table.name}: not there, and so not run." for table in HARM_TABLES if table not in tables),
    ]  # fmt: skip
    return "## What pruning does to patients\n\n" + bullets(lines) + "\n"


def paragraph(text: str) -> str:
    return fill(text, WIDE)


def bullets(lines: Iterable[str]) -> str:
    """A list, its lines as wide as a page."""
    return "\n".join(fill(f"- {line}", WIDE, subsequent_indent="  ") for line in lines)


def arms(frame: pd.DataFrame, *more: tuple[str, str]) -> Iterator[tuple[str, pd.DataFrame]]:
    for criterion, treatment in (*more, *ARMS):
        found = frame[(frame.criterion == criterion) & (frame.arm == treatment)]
        yield TITLES[criterion, treatment], found


def spread(of: str, digits: int = 3, *, sign: bool = True) -> Cell:
    """The mean and the standard deviation over seeds."""

    def cell(rows: pd.DataFrame) -> str:
        each = rows.groupby("seed")[of].mean().dropna()
        plus = "+" if sign else ""
        return f"{each.mean():{plus}.{digits}f} ± {each.std():.{digits}f}" if len(each) else "-"

    return cell


def middle(of: str) -> Cell:
    """The median, and the quartiles: for slopes, which have long tails."""

    def cell(rows: pd.DataFrame) -> str:
        low, mid, high = rows[of].quantile([0.25, 0.5, 0.75])
        return f"{mid:.2f} ({low:.2f}-{high:.2f})"

    return cell


def by_level(frame: pd.DataFrame, cell: Cell, *more: tuple[str, str], head: str = "") -> str:
    """One row an arm, one column a sparsity; ``more`` are arms that remove nothing."""
    rows = []
    for name, found in arms(frame, *more):
        none = found[found.level == 0]
        cells = [
            cell(here) if len(here) else "" for here in (found[found.level == level] for level in LEVELS)
        ]
        rows.append([name, cell(none) if len(none) else "", *cells])
    return grid([head, "none removed", *(f"{level:.0%} removed" for level in LEVELS)], rows)


def by_table(frame: pd.DataFrame, table: Table) -> str:
    unpruned = (("", REFIT), ("", DENSE))
    parts = [f"### {table.name}", by_level(frame, spread("auroc"), *unpruned, head="change of AUROC")]
    if frame.change.notna().any():
        parts.append(by_level(frame, middle("slope"), *unpruned, head="slope, median and quartiles"))
    floor = frame.groupby("seed").floor.mean()
    parts.append(
        by_level(frame, spread("flips", sign=False), *unpruned, head=f"flips (floor {floor.mean():.3f})")
    )
    if frame.change.notna().any():
        parts.append(by_level(frame, spread("change"), *unpruned, head="change of net benefit"))
    if frame.worst.notna().any():
        parts.append(by_level(frame, spread("worst"), *unpruned, head="the same, in the worst group"))
    return "\n\n".join(parts) + "\n"


# --- questions ---------------------------------------------------------------------------------------


def interval(differences: NDArray[np.float64]) -> tuple[float, float, float]:
    """The mean with its 95 % t interval over seeds."""
    n, mean = len(differences), float(differences.mean())
    half = float(t.ppf(0.975, n - 1) * differences.std(ddof=1) / np.sqrt(n)) if n > 1 else np.inf
    return mean, mean - half, mean + half


def shown(found: tuple[float, float, float], digits: int = 3) -> str:
    mean, low, high = found
    return f"{mean:+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f})"


def by_seed(frame: pd.DataFrame, criterion: str, treatment: str, of: str) -> pd.Series:
    """The mean over tables and levels, one value a seed."""
    found = frame[(frame.criterion == criterion) & (frame.arm == treatment)]
    return found.groupby(["seed", "table", "level"])[of].mean().groupby("seed").mean()


def recovered(frame: pd.DataFrame) -> str:
    """Of the net benefit that a raw cut loses, how much recalibration gives back."""
    rows, much = [], frame[frame.level >= SINCE]
    for name, here in (*frame.groupby("table", sort=False), ("all", frame)):
        for criterion in CRITERIA:
            cells = [_share(here[here.level == level], criterion) for level in LEVELS]
            rows.append([f"{name}, {criterion}", *cells])
    parts = [
        "### Does recalibration recover at least half of the lost net benefit?",
        grid(["share recovered", *(f"{level:.0%} removed" for level in LEVELS)], rows),
        paragraph(
            "With an interval of 95 % by drawing seeds again, pairs kept; no loss: the interval of the raw "
            "change does not lie below 0, so that there is nothing to recover."
        ),
        bullets(_half(much, criterion) for criterion in CRITERIA),
    ]
    return "\n\n".join(parts) + "\n"


def _share(here: pd.DataFrame, criterion: str) -> str:
    raw, again = (by_seed(here, criterion, each, "change").to_numpy() for each in (RAW, RECALIBRATED))
    if interval(raw)[2] >= 0:
        return "no loss"
    rows = np.random.default_rng(0).integers(len(raw), size=(DRAWS, len(raw)))
    drawn = 1 - again[rows].mean(axis=1) / raw[rows].mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{1 - again.mean() / raw.mean():.0%} ({low:.0%} to {high:.0%})"


def _half(much: pd.DataFrame, criterion: str) -> str:
    """The answer: what is recovered beyond half of the loss, paired by seed."""
    raw, again = (by_seed(much, criterion, each, "change").to_numpy() for each in (RAW, RECALIBRATED))
    path = by_seed(much, "", RETRAINED, "change").to_numpy()
    beyond = interval(again - raw / 2)
    answer = "yes" if beyond[1] > 0 else "no" if beyond[2] < 0 else "these seeds cannot tell"
    return (
        f"By {criterion}, from {SINCE:.0%} removed, all tables: net benefit changes by "
        f"{shown(interval(raw))} raw and {shown(interval(again))} recalibrated; beyond half of the loss "
        f"{shown(beyond)}: **{answer}**. The retrained path: {shown(interval(path))}."
    )


def groups(frame: pd.DataFrame) -> str:
    """How often some group loses more than the others do, against chance and against another seed."""
    held = frame[frame.p_benefit.notna()]

    def hits(of: str) -> Cell:
        return lambda rows: f"{(rows[of] < CHANCE).sum()}/{len(rows)}"

    parts = [
        "### Does subgroup harm exceed chance?",
        paragraph(
            "Runs (table and seed) in which some group loses more than those outside it, at an adjusted p "
            f"under {CHANCE:g}; by chance at most about {CHANCE:.0%} of runs would."
        ),
        by_level(held, hits("p_benefit"), ("", REFIT), head="net benefit"),
        by_level(held, hits("p_sensitivity"), ("", REFIT), head="sensitivity"),
        bullets(_beyond_chance(held)),
        paragraph(
            "Where raw risks all come to lie on one side of the risk acted on, a group's net benefit falls "
            "as its prevalence has it. The groups are small: a difference that is not seen may be there."
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _beyond_chance(held: pd.DataFrame) -> Iterator[str]:
    """The rates by arm, against 5 % and against the networks of another seed, paired by seed."""
    hits = held.assign(hit_b=held.p_benefit < CHANCE, hit_s=held.p_sensitivity < CHANCE)
    for of, what in (("hit_b", "net benefit"), ("hit_s", "sensitivity")):
        floor = by_seed(hits, "", REFIT, of).to_numpy(float)
        for criterion, treatment in ARMS:
            rate = by_seed(hits[hits.level >= SINCE], criterion, treatment, of).to_numpy(float)
            over, against = interval(rate - CHANCE), interval(rate - floor)
            answer = "exceeds chance" if over[1] > 0 and against[1] > 0 else "not seen to exceed chance"
            yield (
                f"{what.capitalize()}, {TITLES[criterion, treatment]}, from {SINCE:.0%} removed: "
                f"{rate.mean():.1%} of runs; less {CHANCE:.0%}: {shown(over)}; less another seed's "
                f"{floor.mean():.1%}: {shown(against)}: **{answer}**."
            )


def gates(frame: pd.DataFrame) -> str:
    """H1: a margin of AUROC lets through what flips and net benefit do not."""
    parts = [
        "### Does a margin of AUROC let harm through?",
        paragraph(
            "Runs whose AUROC passes (the lower end of the paired interval above minus the margin), and in "
            f"brackets how many of these fail by flips (over {LIMITS.floor_warn:g} times the floor) and by "
            "net benefit (below that of acting on everybody or nobody, or a fall of more than "
            f"{LIMITS.benefit_warn:g})."
        ),
    ]
    for margin in MARGINS:

        def cell(rows: pd.DataFrame, margin: float = margin) -> str:
            passed, flips, worth = _passed(rows, margin)
            return f"{passed}/{len(rows)} ({flips}, {worth})"

        parts.append(by_level(frame, cell, ("", REFIT), head=f"margin {margin:g}"))
    parts.append(bullets(_let_through(frame, margin) for margin in MARGINS))
    return "\n\n".join(parts) + "\n"


def _passed(rows: pd.DataFrame, margin: float) -> tuple[int, int, int]:
    """How many pass by AUROC, and of these fail by flips, and by net benefit."""
    passed = rows[rows.low > -margin]
    worth = (passed.benefit < passed.simplest) | (passed.change < -LIMITS.benefit_warn)
    return len(passed), int((passed.flips > LIMITS.floor_warn * passed.floor).sum()), int(worth.sum())


def _let_through(frame: pd.DataFrame, margin: float) -> str:
    told_ = []
    for arm in (RAW, RECALIBRATED, RETRAINED, REFIT):
        here = frame[(frame.arm == arm) & ((frame.level >= SINCE) | (arm == REFIT))]
        passed, flips, worth = _passed(here, margin)
        many = max(passed, 1)
        told_.append(
            f"{arm} {passed} pass, {flips / many:.0%} fail by flips, {worth / many:.0%} by net benefit"
        )
    return (
        f"Margin {margin:g}, from {SINCE:.0%} removed, both criteria: {'; '.join(told_)}. What a refit fails "
        "by is chance."
    )


def margins(frame: pd.DataFrame) -> str:
    """H3: the dense network's margin tells who will flip."""
    table = by_level(frame, spread("foretold", 2, sign=False), head="AUROC of the dense margin")
    reached = []
    for name, found in arms(frame):
        means = [found[found.level == level].foretold.mean() for level in LEVELS]
        able = [level for level, mean in zip(LEVELS, means, strict=True) if mean > FORETELLS]
        reached.append(f"{name}: {', '.join(f'{level:.0%}' for level in able) or 'nowhere'}")
    return (
        "### Does the dense margin foretell who flips?\n\n"
        f"{table}\n\n{paragraph(f'Above {FORETELLS:g} at: ' + '; '.join(reached))}.\n"
    )


def order(frame: pd.DataFrame) -> str:
    """H4: gradient and curvature on train order the groups by what they lose on test, after a raw cut."""
    rows, found, raw = [], [], frame[(frame.arm == RAW) & frame.by_bound.notna()]
    for (table, criterion), here in raw.groupby(["table", "criterion"], sort=False):
        for of, what in (("by_bound", "gradient and curvature"), ("by_margin", "share near the threshold")):
            much = here[here.level >= SINCE].groupby("seed")[of].mean().dropna().to_numpy()
            overall, name = interval(much), f"{table}, {criterion}, {what}"
            cells = [spread(of, 2)(here[here.level == level]) for level in LEVELS]
            rows.append([name, *cells, shown(overall, 2)])
            how = (
                "they are ordered"
                if overall[1] > 0
                else "the other way round"
                if overall[2] < 0
                else "no order"
            )
            found.append(f"{name}: {how}")
    head = ["Spearman's rank correlation", *(f"{level:.0%} removed" for level in LEVELS), f"from {SINCE:.0%}"]
    parts = [
        "### Does the forecast order the groups?",
        paragraph(
            "Foretold on train with the distance that the weights move; what happened is the change of mean "
            "loss on test. Tables with three groups or more."
        ),
        grid(head, rows),
        bullets(f"{each}." for each in found),
    ]
    return "\n\n".join(parts) + "\n"
