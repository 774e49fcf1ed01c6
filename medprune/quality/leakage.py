"""Columns that give the outcome away: by what they hold, or by what they are called."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medprune.quality.table import FEW_VALUES, Finding, Findings, Table, spellings

LEAK = 0.985  # AUROC of one column alone
PURE = 0.9  # of the rows with one value that belong to one class
LIFT = 3.0  # times the share of that class elsewhere
PURE_ROWS = 20
CERTAIN = 1e-9  # the chance that so many rows would agree by themselves
RULED = 0.995  # the same for a class that is common anyway
COMMON = 0.75

# What is written down when the outcome is known, or after it.
AFTER = (
    r"discharge\w*|\w*_?discharged?|disposition\w*|(died|dead|death|deceased|expired?|mortality)(_?(date|time|dt))?(_\w+)?"
    r"|\w+_(death|died|dead|deceased|mortality|expired|expire_flag)|dod|surviv\w+|\w*complication\w*"
    r"|(\w+_)?outcomes?(_\w+)?|(\w+_)?endpoint\w*|(\w+_)?follow_?up\w*|(\w+_)?after(_\w+)?|post_?op\w*"
    r"|autopsy\w*|cause_of_death|(icd|drg|diagnosis|dx)\w*_(at_)?discharge|final_diagnos\w+|\w*readmi\w+"
    r"|relapse\w*|recurren\w+|hospice\w*|(\w+_)?lethal\w*|los(_\w+)?|(\w+_)?length_of_stay\w*"
    r"|(time|days)_in_(hospital|icu)"
)
BEFORE = r"(^|_)(prior|previous|prev|past|history|hist|hx|family|fam|pre|before|since_last|last)(_|$)"
# Complications and later days of the stay in the codebook of the infarction-complications table (UCI 579).
CODEBOOK = (
    r"fibr_preds|preds_tah|jelud_tah|fibr_jelud|a_v_blok|otek_lanc|razriv|dressler|zsn|rec_im|p_im_sten|let_is"
    r"|(r_ab|na_r|not_na)_[23]_n"
)


def leakage(table: Table) -> Findings:
    """A column, or whether it is missing, that alone separates a class from the rest. On sampled rows."""
    for name, best in table.alone.items():
        if best > LEAK:
            measured = table.ranges.of(name) is not None  # such a test may define the disease
            yield Finding(name, len(table), {"auroc": best}, (f"drop:{name}",), suggested=not measured)


def tells(table: Table) -> Findings:
    """A value whose rows nearly all have one outcome, although the column as a whole says little."""
    table = table.judged
    shares = np.bincount(table.outcome, minlength=len(table.classes)) / len(table)
    known = {finding.column for finding in leakage(table)}
    for name in table.frame.columns:
        if name in known or len(table.counts[name]) > FEW_VALUES:
            continue
        codes, distinct = pd.factorize(table.frame[name])  # a missing value has code -1
        counts = np.zeros((len(distinct), len(table.classes)))
        np.add.at(counts, (codes[codes >= 0], table.outcome[codes >= 0]), 1)
        best = _purest(counts, shares)
        if best is not None:
            rows, place, share = best
            facts = {"label": table.classes[place], "pure": share, "base": shares[place]}
            yield Finding(name, rows, facts, (f"drop:{name}",))


def _purest(counts: NDArray[np.float64], shares: NDArray[np.float64]) -> tuple[int, int, float] | None:
    """The value with the most rows that nearly all have one class: rows, the class, and its share there."""
    rows = counts.sum(axis=1)
    found: list[tuple[int, int, float]] = []
    for value in np.flatnonzero((rows >= PURE_ROWS) & (rows < rows.sum() / 2)):
        place = int((counts[value] / rows[value] / np.maximum(shares, 1e-12)).argmax())
        share, base = counts[value, place] / rows[value], shares[place]
        rare = share >= PURE and share >= LIFT * base
        common = share >= RULED and base <= COMMON
        if (rare or common) and base ** (share * rows[value]) < CERTAIN:
            found.append((int(rows[value]), place, float(share)))
    return max(found, default=None)


def after_outcome(table: Table) -> Findings:
    """A column whose name says that it is written down when the outcome is known, or after it."""
    for name in (*table.frame.columns, *table.dates.columns):
        codebook = any(re.fullmatch(CODEBOOK, plain) for plain in spellings(str(name)))
        if codebook or _sounds_late(str(name)):
            out = name in table.dates.columns
            remedy = () if out else (f"drop:{name}",)
            yield Finding(str(name), len(table), {}, remedy, suggested=codebook and not out)


def _sounds_late(name: str) -> bool:
    plain = spellings(name)
    return any(re.fullmatch(AFTER, each) for each in plain) and not any(re.search(BEFORE, e) for e in plain)


def late_dates(table: Table) -> Findings:
    """Dates that lie after the date of the outcome."""
    ends = [name for name in table.dates.columns if _sounds_late(str(name))]
    if not ends or table.dates.shape[1] == len(ends):
        return
    dates = {name: _dates(table.dates[name]) for name in table.dates.columns}
    for name, when in dates.items():
        if name in ends:
            continue
        for end in ends:
            late = int((when > dates[end]).sum())
            if late:
                yield Finding(str(name), late, {"end": end})
                break


def _dates(values: pd.Series) -> pd.Series:
    return pd.to_datetime(values, errors="coerce", format="mixed", dayfirst=False)
