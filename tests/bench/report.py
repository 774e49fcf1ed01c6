"""The study as text that is Markdown too: means with ranks, and paired differences with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from scipy.stats import t

from tests.bench.data import Table
from tests.bench.study import DENSE, PATH, Result

WIN = 0.95


def report(title: str, granularity: str, tables: Sequence[Table], results: Sequence[Result]) -> str:
    """One granularity over some tables: who keeps most, by how much, and where it differs by table."""
    frame = pd.DataFrame([r for r in results if r.granularity == granularity])
    pruned = frame[frame.method != DENSE]
    levels = sorted(pruned.level.unique(), reverse=granularity == "feature")
    names = list(dict.fromkeys(pruned.method))
    parts = [
        f"### {title}",
        "Mean AUROC over tables and seeds, and in brackets the mean rank (1 is best):",
        grid(["method", *(_level(granularity, level) for level in levels), "models", "s"],
             [_row(pruned, name, levels) for name in names]),
        f"The {PATH.title} minus the other, paired by table and seed: mean difference, 95 % interval:",
        grid(["against", *(_level(granularity, level) for level in levels)],
             [[DENSE, *(_against_dense(frame, level) for level in levels)]]
             + [[name, *(_against(pruned, name, level) for level in levels)]
                for name in names if name != PATH.title]),
        "\n".join(_by_table(frame, granularity, table, levels) for table in tables),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def grid(head: list[str], rows: list[list[str]]) -> str:
    """A table with its columns in line."""
    widths = [max(len(cell) for cell in column) for column in zip(head, *rows, strict=True)]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in lines
    )


def _level(granularity: str, level: float) -> str:
    return f"{level:.0f} features" if granularity == "feature" else f"{level:.0%} removed"


def _scores(frame: pd.DataFrame, level: float) -> pd.DataFrame:
    """AUROC (table and seed, method) at a level."""
    here = frame[frame.level == level]
    return here.pivot_table(index=["table", "seed"], columns="method", values="auroc")


def _row(frame: pd.DataFrame, name: str, levels: Sequence[float]) -> list[str]:
    cells = []
    for level in levels:
        scores = _scores(frame, level)
        rank = scores.rank(axis=1, ascending=False)[name].mean()
        cells.append(f"{scores[name].mean():.3f} ({rank:.1f})")
    mine = frame[frame.method == name]
    return [name, *cells, f"{mine.trained.mean():.0f}", f"{mine.seconds.mean():.1f}"]


def _against(frame: pd.DataFrame, name: str, level: float) -> str:
    scores = _scores(frame, level)
    return interval(scores[PATH.title] - scores[name])


def _against_dense(frame: pd.DataFrame, level: float) -> str:
    dense = frame[frame.method == DENSE].groupby(["table", "seed"]).auroc.mean()
    path = frame[(frame.method == PATH.title) & (frame.level == level)].set_index(["table", "seed"]).auroc
    return interval((path - dense).dropna())


def interval(differences: pd.Series) -> str:
    """The mean with a t interval over all pairs; a star where it leaves zero out."""
    n, mean = len(differences), differences.mean()
    half = t.ppf((1 + WIN) / 2, n - 1) * differences.std() / np.sqrt(n) if n > 1 else np.inf
    star = "*" if abs(mean) > half else ""
    return f"{mean:+.3f} ({mean - half:+.3f} to {mean + half:+.3f}){star}"


def _by_table(frame: pd.DataFrame, granularity: str, table: Table, levels: Sequence[float]) -> str:
    here = frame[frame.table == table.name]
    dense = here[here.method == DENSE].groupby("seed").auroc.mean()
    head = f"- {table.name}: dense {dense.mean():.3f} ± {dense.std():.3f}"
    return "; ".join([head, *_best_at(here, granularity, levels)]) + "."


def _best_at(here: pd.DataFrame, granularity: str, levels: Sequence[float]) -> Iterator[str]:
    """The path and the best method at every level that the table has."""
    for level in levels:
        means = here[here.level == level].groupby("method").auroc.mean()
        if len(means):
            best = means.idxmax()
            path = f"{_level(granularity, level)}: path {means[PATH.title]:.3f}"
            yield path if best == PATH.title else f"{path}, best {best} {means[best]:.3f}"
