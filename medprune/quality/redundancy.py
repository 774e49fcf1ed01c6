"""What says the same twice: rows, patients, columns."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd

from medprune.quality.table import Finding, Findings, Table

COLLINEAR = 0.98
CONSTANT_SPREAD = 1e-9  # relative to the largest value: less is rounding
SPARE_BITS = 10.0  # what a row must tell beyond twice its number, for a repeat not to be chance


def repeated_patient(table: Table) -> Findings:
    """Patients with several rows, where a patient column is named."""
    if table.patient_name is None:
        return
    _, counts = np.unique(table.patients, return_counts=True)
    several = int((counts > 1).sum())
    if several:
        facts = {"patients": len(counts), "rows_of": int(counts[counts > 1].sum())}
        yield Finding(table.patient_name, several, facts, ("one-row-per-patient",))


def duplicate(table: Table) -> Findings:
    """Rows that are equal in everything but identifiers."""
    surplus = len(table) - len(np.unique(table.rows))
    if surplus:
        chance = _may_be_chance(table)
        facts = {
            "whether": "With so few different answers a row, some may be other people who answered alike"
            if chance
            else "Rows this detailed hardly repeat by chance"
        }
        yield Finding(None, surplus, facts, ("drop-duplicates",), suggested=not chance)


def _may_be_chance(table: Table) -> bool:
    """True when a row tells so little that two patients may well agree in all of it.

    Entropies of the columns are added as if they were independent, so a row tells this much at most.
    """
    shares = [counts.to_numpy() / len(table) for counts in table.counts.values()]
    bits = sum(float(-(share * np.log2(share)).sum()) for share in shares if len(share))
    return bool(bits < 2 * np.log2(max(len(table), 2)) + SPARE_BITS)


def identical(table: Table) -> Findings:
    """Features that are equal to an earlier one in every row."""
    first: dict[tuple[str, bytes], str] = {}
    for name in table.frame.columns:
        words = pd.util.hash_array(table.frame[name].to_numpy())
        content = table.frame[name].dtype.kind, hashlib.blake2b(words.tobytes()).digest()
        twin = first.setdefault(content, name)
        if twin != name:
            yield Finding(name, len(table), {"twin": twin}, (f"drop:{name}",), suggested=True)


def collinear(table: Table) -> Findings:
    """Numbers that correlate with an earlier one; missing values count as the mean. On sampled rows."""
    names = table.numbers
    x = table.frame[names].to_numpy(np.float64)[table.some]
    known = ~np.isnan(x)
    x[~known] = 0.0
    x /= np.maximum(np.abs(x).max(axis=0, initial=0.0), np.finfo(np.float64).tiny)  # squares cannot overflow
    x = np.where(known, x - x.sum(axis=0) / np.maximum(known.sum(axis=0), 1), 0.0)
    length = np.sqrt((x * x).sum(axis=0))
    x /= np.where(length > CONSTANT_SPREAD * np.sqrt(len(x)), length, np.inf)
    correlation = np.tril(np.abs(x.T @ x), k=-1)
    for place in np.flatnonzero((correlation > COLLINEAR).any(axis=1)):
        twin = names[int(correlation[place].argmax())]
        count = int((correlation[place] > COLLINEAR).sum())
        also = f" and {count - 1} more" if count > 1 else ""
        facts = {"twin": twin, "also": also, "least": COLLINEAR}
        yield Finding(names[place], count, facts, (f"drop:{names[place]}",))
