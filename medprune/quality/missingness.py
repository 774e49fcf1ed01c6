"""What is missing: by column, by patient, in patterns, and whether that depends on the outcome."""

from __future__ import annotations

import numpy as np

from medprune.quality.table import Finding, Findings, Table

HALF = 0.5
SHARED = 0.02  # of the rows: columns that are missing together in fewer are not told as a pattern
LIKE = 0.98  # of either column's missing rows that are the other's too
DIFFERENCE = 0.05  # between the classes, of the share that is missing
CERTAIN = 5.0  # standard errors
MOSTLY = 0.5


def missing(table: Table) -> Findings:
    """Features with missing values; one that is mostly missing may be left out."""
    counts = table.missing.sum()
    for name, count in counts[counts > 0].items():
        mostly = count > MOSTLY * len(table)
        yield Finding(str(name), int(count), {}, (f"drop:{name}",) if mostly else ())


def missing_rows(table: Table) -> Findings:
    """Rows in which more than half of the features are missing."""
    if table.missing.shape[1] < 2:  # noqa: PLR2004 - half of one column says nothing
        return
    count = int((table.missing.mean(axis=1) > HALF).sum())
    if count:
        yield Finding(None, count, {"features": table.missing.shape[1]})


def missing_together(table: Table) -> Findings:
    """Groups of columns that are missing in the same rows: one test was not taken, not several."""
    holes = table.missing.to_numpy()[table.some]
    holes = holes[:, share_of(holes) >= SHARED]
    names = table.missing.columns[share_of(table.missing.to_numpy()[table.some]) >= SHARED]
    if len(names) < 2:  # noqa: PLR2004 - together takes two
        return
    numbers = holes.astype(np.float32)
    both, alone = numbers.T @ numbers, numbers.sum(axis=0)
    alike = both / np.maximum(alone[:, None], alone[None, :]) >= LIKE
    taken: set[int] = set()
    for place in range(len(names)):
        group = [other for other in np.flatnonzero(alike[place]).tolist() if other not in taken]
        taken.update(group)
        if len(group) > 1:
            rows = int(table.missing[[names[other] for other in group]].all(axis=1).sum())
            yield Finding(None, rows, {"names": [str(names[other]) for other in group]})


def share_of(holes: np.ndarray) -> np.ndarray:
    """The share of rows (N, columns) that is True, by column."""
    share: np.ndarray = holes.mean(axis=0)
    return share


def missing_by_outcome(table: Table) -> Findings:
    """Features that are missing more often in one class than in another, beyond chance."""
    table = table.judged
    sizes = np.bincount(table.outcome, minlength=len(table.classes)).astype(np.float64)
    holes = table.missing.to_numpy()
    by_class = np.stack([holes[table.outcome == place].sum(axis=0) for place in range(len(sizes))])
    shares = by_class / np.maximum(sizes, 1)[:, None]
    overall = holes.mean(axis=0)
    for place, name in enumerate(table.missing.columns):
        low, high = int(shares[:, place].argmin()), int(shares[:, place].argmax())
        spread = overall[place] * (1 - overall[place])
        error = np.sqrt(spread * (1 / max(sizes[low], 1) + 1 / max(sizes[high], 1)))
        difference = shares[high, place] - shares[low, place]
        if difference > max(DIFFERENCE, CERTAIN * error):
            facts = {
                "most": shares[high, place],
                "least": shares[low, place],
                "high": table.classes[high],
                "low": table.classes[low],
            }
            yield Finding(str(name), int(by_class[:, place].sum()), facts, (f"drop:{name}",))
