"""Columns of which hardly anything can be learnt: nearly constant ones, and rare categories."""

from __future__ import annotations

import pandas as pd

from medprune.quality.table import Finding, Findings, Table

NEARLY_ALL = 0.995
RARE_PATIENTS, RARE_SHARE = 5, 0.005  # as the preparation groups them
MOST_CATEGORIES = 30


def constant(table: Table) -> Findings:
    """Features with one value in more than 99.5 % of the rows."""
    for name in table.frame.columns:
        others = len(table) - int(table.counts[name].iloc[0])
        if others and len(table) - others > NEARLY_ALL * len(table):
            yield Finding(name, others, {}, (f"drop:{name}",))


def rare_category(table: Table) -> Findings:
    """Categories too rare to be learnt by themselves."""
    for name in table.categories:
        counts = table.frame[name].value_counts()
        rare = counts[counts < enough(len(table))]
        if len(rare):
            yield Finding(name, int(rare.sum()), {"labels": len(rare)}, (f"group-rare:{name}",))


def enough(rows: int) -> float:
    """Rows that a category needs to be learnt by itself."""
    return max(RARE_PATIENTS, RARE_SHARE * rows)


def inputs_of(values: pd.Series) -> int:
    """How many inputs the preparation will make of one feature."""
    missing = int(values.isna().any())
    if values.dtype.kind == "f":
        return 1 + missing
    counts = values.value_counts()
    common = min(int((counts >= enough(len(values))).sum()), MOST_CATEGORIES)
    return common + int(len(counts) > common) + missing
