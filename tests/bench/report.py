"""The results of a table as text that is Markdown too: mean and spread, and a sentence on who is best."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from tests.bench.data import Table
from tests.bench.methods import CRITERIA, DENSE, LEVELS, LOGISTIC, PATH, RETRAINED, Result

PRUNED = tuple(f"{criterion}, {how}" for criterion in CRITERIA for how in ("rounds", "one shot"))
CLOSE = 0.01  # a loss of AUROC that is called small


def report(table: Table, results: list[Result]) -> str:
    frame = pd.DataFrame(results)
    dense, logistic = _by_seed(frame, DENSE), _by_seed(frame, LOGISTIC)
    parts = [
        f"## {table.name}",
        f"sha256 of {table.path.name}: {table.sha256()}",
        "\n".join(f"- {name}: {_spread(_by_seed(frame, name))}" for name in (DENSE, RETRAINED, LOGISTIC)),
        grid(["removed", *(f"{level:.0%}" for level in LEVELS)], _rows(frame)),
        "\n".join(f"- {_who_is_best(frame, level)}" for level in LEVELS),
        f"{LOGISTIC} minus {DENSE}: {_difference(logistic - dense)}.",
        "\n".join(_against_dense(frame, dense)),
    ]
    return "\n\n".join(parts) + "\n"


def grid(head: list[str], rows: list[list[str]]) -> str:
    """A table with its columns in line."""
    widths = [max(len(cell) for cell in column) for column in zip(head, *rows, strict=True)]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in lines
    )


def _rows(frame: pd.DataFrame) -> list[list[str]]:
    return [[name, *(_cell(frame, name, level) for level in LEVELS)] for name in PRUNED]


def _cell(frame: pd.DataFrame, method: str, level: float) -> str:
    """AUROC with its spread, and the share that is really gone."""
    here = frame[(frame.method == method) & (frame.level == level)]
    return f"{_spread(_by_seed(frame, method, level))} ({here.achieved.mean():.1%})"


def _by_seed(frame: pd.DataFrame, method: str, level: float | None = None) -> pd.Series:
    here = frame.method == method
    if level is not None:
        here &= frame.level == level
    return frame[here].set_index("seed").auroc


def _who_is_best(frame: pd.DataFrame, level: float) -> str:
    """A difference lies within the spread when its mean over seeds is at most its standard deviation."""
    scores = {name: _by_seed(frame, name, level) for name in PRUNED}
    best = max(scores, key=lambda name: scores[name].mean())
    behind = {name: scores[best] - score for name, score in scores.items() if name != best}
    tied = [name for name, gap in behind.items() if _within_spread(gap)]
    sentence = f"{level:.0%}: {best} is best"
    if len(tied) == len(behind):
        return f"{sentence}, but all others lie within the spread of seeds."
    if not tied:
        return f"{sentence}, by more than the spread of seeds."
    return f"{sentence}; within the spread of seeds: {'; '.join(tied)}."


def _within_spread(differences: pd.Series) -> bool:
    return bool(abs(differences.mean()) <= differences.std())


def _against_dense(frame: pd.DataFrame, dense: pd.Series) -> Iterator[str]:
    yield f"{PATH} minus {DENSE}:\n"
    for level in LEVELS:
        change = _by_seed(frame, PATH, level) - dense
        close = int((change >= -CLOSE).sum())
        seeds = f"no more than {CLOSE} lower in {close} of {len(change)} seeds"
        yield f"- {level:.0%}: {_difference(change)}; {seeds}."


def _difference(change: pd.Series) -> str:
    verdict = "within" if _within_spread(change) else "beyond"
    return f"{change.mean():+.3f} ± {change.std():.3f}, {verdict} the spread of seeds"


def _spread(scores: pd.Series) -> str:
    return f"{np.mean(scores):.3f} ± {scores.std():.3f}"
