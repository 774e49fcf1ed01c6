"""Classes that are small, and outcomes with a long tail of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from medprune.quality.table import Finding, Findings, Table

SMALL_CLASS = 0.10
TAIL = 0.01  # of the rows: smaller classes make a tail


def imbalance(table: Table) -> Findings:
    """A class with less than a tenth of the rows, and less than half of its even share."""
    judged = table.judged
    counts = np.bincount(judged.outcome, minlength=len(table.classes))
    rarest = int(counts.argmin())
    count = int(counts[rarest])
    if count < min(SMALL_CLASS, 0.5 / len(table.classes)) * len(judged):
        facts: dict[str, Any] = {"label": table.classes[rarest]}
        if judged is not table:
            facts |= {"rows": f"{len(judged)} known", "share": count / len(judged)}
        yield Finding(table.outcome_name, count, facts)


def rare_classes(table: Table) -> Findings:
    """Several classes of less than a hundredth of the rows each."""
    counts = np.bincount(table.judged.outcome, minlength=len(table.classes))
    rare = counts < TAIL * len(table.judged)
    if rare.sum() > 1 and len(counts) - rare.sum() > 0:
        facts = {"classes": int(rare.sum()), "of": len(counts)}
        yield Finding(
            table.outcome_name, int(counts[rare].sum()), facts, (f"group-rare:{table.outcome_name}",)
        )
