"""What is wrong with a table, in sentences for clinicians: what, how many, and why it matters when pruning.

A message names columns, classes and counts; a value only when at least MANY rows share it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medprune.intake.columns import ALL_MISSING, IDENTIFIES, ONE_VALUE, REPEATS

KINDS = (
    "missing", "imbalance", "duplicate", "repeated_patient", "identical", "collinear", "constant",
    "rare_category", "sentinel", "impossible", "mixed_units", "encoding", "leakage", "identifier", "few_rows",
)  # fmt: skip

# Columns that were kept out of the features for one of these reasons are problems too, of this kind.
PROBLEM_OF = {
    ALL_MISSING: "missing",
    ONE_VALUE: "constant",
    IDENTIFIES: "identifier",
    REPEATS: "repeated_patient",
}

MANY = 5  # rows that must share a value before a message may show it
SMALL_CLASS = 0.10
NEARLY_ALL = 0.995
OTHER_SCALE = 0.2
RARE_PATIENTS, RARE_SHARE = 5, 0.005  # as the preparation groups them
MOST_CATEGORIES = 30
COLLINEAR = 0.98
CONSTANT_SPREAD = 1e-9  # relative to the largest value: less is rounding
LEAK = 0.985  # AUROC of one column alone
PATIENTS_AN_INPUT = 10
FEW_VALUES = 50  # distinct numbers that are also looked at as categories

SENTINELS = (-1, -9, -99, -999, -9999, 0, 9, 88, 99, 777, 888, 999, 7777, 8888, 9999, 99999)
SENTINEL_SHARE = 0.005
SENTINEL_DISTINCT = 10  # with fewer distinct values a code is hard to tell from a value
# Plausible ranges, wide enough for the sickest; the unit must follow from the name or hardly matter.
PLAUSIBLE: tuple[tuple[str, float, float], ...] = (
    (r"age|age_?(in_?)?(years?|yrs?)|age_at_\w+", 0, 120),
    (r"bmi|body_?mass_?index", 5, 150),
    (r"spo2|sao2|o2_?sat\w*", 0, 100),
    (r"(systolic|diastolic)\w*|sbp|dbp|sysbp|diabp|trestbps|ap_?(hi|lo)", 10, 350),
    (r"heart_?rate|pulse|thalach|hr", 10, 400),
    (r"(arterial_?)?ph", 6, 8.5),
)
# mg/dl to mmol/l of glucose, cholesterol and triglycerides, creatinine to umol/l, and powers of ten.
UNIT_RATIOS = (10.0, 18.016, 38.67, 88.57, 88.42, 100.0, 1000.0)
UNIT_TOLERANCE = 0.15
UNIT_SHARE = 0.02
UNIT_GAP = 2.0  # nothing lies between the two groups over at least this factor
BROKEN_TEXT = r".*(\ufffd|Ã[\u0080-\u00bf]|â€).*"


# What each check says. {column} is quoted; {count} of {rows} is also given as {share}, and as "1 row" or
# "2 rows" in {counted}.
SENTENCES = {
    "few_rows": "The smallest class has {count} patients for about {inputs} inputs of a network; with fewer "
    "than {enough} an input it may learn by heart, and what pruning removes depends on chance.",
    "imbalance": "Class {label!r} of {column} has {count} of {rows} rows ({share:.1%}); accuracy hides what "
    "pruning does to so small a class, so watch AUROC and sensitivity.",
    "repeated_patient": "Patients with more than one row: {count}; each is kept whole in train, tuning or "
    "test, so that no model is tested on a patient it has seen.",
    "duplicate": "Exact repeats of another row: {count}; if they are the same patients, some are trained on "
    "and tested on, and a pruned model looks better than it is.",
    "leakage": "{column} alone tells the outcome almost perfectly (AUROC {auroc:.3f}); if it is known only "
    "after the outcome, leave it out with --exclude, or every pruned model will live on it.",
    "missing": "{column} is missing in {count} of {rows} rows ({share:.1%}); missing values are filled in "
    "and marked, and pruning may keep the mark rather than the value.",
    "constant": "{column} is the same in all but {counted}; its weights rest on these few.",
    "identical": "{column} equals {twin!r} in every row; their contribution is split between them, so leave "
    "one of the two out with --exclude.",
    "collinear": "{column} rises and falls with {twin!r}{also} (correlation over {least}); which of them a "
    "pruned model keeps is nearly arbitrary.",
    "rare_category": "{column} has rare categories ({labels}, in {counted}); they are taken together as one, "
    "because a network cannot learn from so few patients.",
    "spelling": "{column} has categories that differ from another only in upper and lower case or spaces "
    "({labels}, in {counted}); write them alike, or each gets weights of its own.",
    "encoding": "{column} has categories with letters that were read in the wrong encoding ({labels}, in "
    "{counted}); save the table again as UTF-8.",
    "sentinel": "{column} is {code:g} in {counted}, far from all other values; if that stands for 'missing', "
    "empty these cells, or the network takes the code for a measurement.",
    "impossible": "{column} lies outside {low:g} to {high:g} in {counted}; correct or empty these cells, "
    "because one of them can outweigh many patients when a weight is scored.",
    "mixed_units": "{column} is about {ratio:.0f} times apart from the other values in {counted}; if these "
    "are in another unit, convert them, or the network sees two kinds of patients.",
    "kept_out": "{column} is left out: {reason}.",
}


@dataclass(frozen=True)
class Problem:
    """One finding. ``count`` is of rows, or of what the message says."""

    kind: str  # one of KINDS
    column: str | None
    count: int
    message: str


@dataclass(frozen=True)
class QualityReport:
    """The size of the table as it was given, and its problems in the order of the checks."""

    rows: int
    columns: int
    problems: tuple[Problem, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"problems": [asdict(problem) for problem in self.problems]}


@dataclass(frozen=True, eq=False)
class Table:
    """What the checks look at: rows that have an outcome, features typed."""

    frame: pd.DataFrame  # (N, features), numbers float64, text object
    outcome_name: str
    outcome: NDArray[np.int64]  # (N,) class indices
    classes: tuple[str, ...]
    patients: NDArray[np.uint64]  # (N,)
    patient_name: str | None
    rows: NDArray[np.uint64]  # (N,) hash of everything in a row but identifiers
    kept_out: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        return len(self.outcome)

    @property
    def numbers(self) -> list[str]:
        return [name for name in self.frame.columns if self.frame[name].dtype.kind == "f"]

    @property
    def categories(self) -> list[str]:
        return [name for name in self.frame.columns if self.frame[name].dtype.kind != "f"]


Finding = tuple[str | None, int, dict[str, Any]]  # column, count, and what its sentence needs besides


def assess(table: Table, *, rows: int, columns: int) -> QualityReport:
    """Run every check. ``rows`` and ``columns`` are the size of the table before anything was left out."""
    found = [_problem(check.__name__, finding, len(table)) for check in CHECKS for finding in check(table)]
    kept_out = [
        replace(
            _problem("kept_out", (name, len(table), {"reason": reason}), len(table)), kind=PROBLEM_OF[reason]
        )
        for name, reason in table.kept_out
        if reason in PROBLEM_OF
    ]
    return QualityReport(rows, columns, (*found, *kept_out))


def _problem(sentence: str, finding: Finding, rows: int) -> Problem:
    column, count, facts = finding
    counted = "1 row" if count == 1 else f"{count} rows"
    always = {"column": repr(column), "count": count, "rows": rows, "share": count / rows, "counted": counted}
    kind = "encoding" if sentence == "spelling" else sentence
    return Problem(kind, column, count, SENTENCES[sentence].format(**always, **facts))


def few_rows(table: Table) -> Iterator[Finding]:
    """Too few patients in the smallest class for the inputs that a network will have."""
    inputs = sum(_inputs_of(table.frame[name]) for name in table.frame.columns)
    seen = pd.DataFrame({"patient": table.patients, "outcome": table.outcome}).drop_duplicates()
    smallest = int(np.bincount(seen["outcome"], minlength=len(table.classes)).min())
    if smallest < PATIENTS_AN_INPUT * inputs:
        yield None, smallest, {"inputs": inputs, "enough": PATIENTS_AN_INPUT}


def _inputs_of(values: pd.Series) -> int:
    """How many inputs the preparation will make of one feature."""
    missing = int(values.isna().any())
    if values.dtype.kind == "f":
        return 1 + missing
    counts = values.value_counts()
    common = min(int((counts >= _enough(len(values))).sum()), MOST_CATEGORIES)
    return common + int(len(counts) > common) + missing


def _enough(rows: int) -> float:
    """Rows that a category needs to be learnt by itself."""
    return max(RARE_PATIENTS, RARE_SHARE * rows)


def imbalance(table: Table) -> Iterator[Finding]:
    """A class with less than a tenth of the rows, and less than half of its even share."""
    counts = np.bincount(table.outcome, minlength=len(table.classes))
    rarest = int(counts.argmin())
    count = int(counts[rarest])
    if count < min(SMALL_CLASS, 0.5 / len(table.classes)) * len(table):
        yield table.outcome_name, count, {"label": table.classes[rarest]}


def repeated_patient(table: Table) -> Iterator[Finding]:
    """Patients with several rows, where a patient column is named."""
    if table.patient_name is None:
        return
    _, counts = np.unique(table.patients, return_counts=True)
    several = int((counts > 1).sum())
    if several:
        yield table.patient_name, several, {}


def duplicate(table: Table) -> Iterator[Finding]:
    """Rows that are equal in everything but identifiers."""
    surplus = len(table) - len(np.unique(table.rows))
    if surplus:
        yield None, surplus, {}


def leakage(table: Table) -> Iterator[Finding]:
    """A column, or whether it is missing, that alone separates a class from the rest."""
    half = (table.patients & np.uint64(1)).astype(np.int64)  # rates come from the other half
    for name in table.frame.columns:
        scores = _scores_of(table.frame[name], table.outcome, half, len(table.classes))
        best = max(_separation(score, table.outcome, classes) for score, classes in scores)
        if best > LEAK:
            yield name, len(table), {"auroc": best}


def _scores_of(
    values: pd.Series, outcome: NDArray[np.int64], half: NDArray[np.int64], classes: int
) -> Iterator[tuple[NDArray[np.float64], tuple[int, ...]]]:
    """Every way to make a score (N,) of one column, and the classes it may tell from the rest."""
    everyone = tuple(range(classes))
    if values.dtype.kind == "f":
        x = values.to_numpy(np.float64)
        missing = np.isnan(x)
        yield np.where(missing, -np.inf, x), everyone
        if missing.any():
            yield np.where(missing, np.inf, x), everyone
    codes, distinct = pd.factorize(values, use_na_sentinel=False)
    if values.dtype.kind == "f" and len(distinct) > FEW_VALUES:
        return
    counts = np.zeros((2, len(distinct), classes))
    np.add.at(counts, (half, codes, outcome), 1)
    share = np.bincount(outcome, minlength=classes) / len(outcome)
    rates = (counts + share) / (counts.sum(axis=2, keepdims=True) + 1)
    for place in everyone:
        yield rates[1 - half, codes, place], (place,)


def _separation(score: NDArray[np.float64], outcome: NDArray[np.int64], classes: tuple[int, ...]) -> float:
    """The largest AUROC, in either direction, of a score (N,) for one of the classes against the rest."""
    ranks = pd.Series(score).rank().to_numpy()
    best = 0.0
    for place in classes:
        inside = outcome == place
        n = int(inside.sum())
        m = len(outcome) - n
        if min(n, m) >= MANY:
            area = float(ranks[inside].sum() - n * (n + 1) / 2) / (n * m)
            best = max(best, area, 1 - area)
    return best


def missing(table: Table) -> Iterator[Finding]:
    """Features with missing values."""
    counts = table.frame.isna().sum()
    for name, count in counts[counts > 0].items():
        yield str(name), int(count), {}


def constant(table: Table) -> Iterator[Finding]:
    """Features with one value in more than 99.5 % of the rows."""
    for name in table.frame.columns:
        others = len(table) - int(table.frame[name].value_counts(dropna=False).iloc[0])
        if others and len(table) - others > NEARLY_ALL * len(table):
            yield name, others, {}


def identical(table: Table) -> Iterator[Finding]:
    """Features that are equal to an earlier one in every row."""
    first: dict[tuple[str, bytes], str] = {}
    for name in table.frame.columns:
        words = pd.util.hash_array(table.frame[name].to_numpy())
        content = table.frame[name].dtype.kind, hashlib.blake2b(words.tobytes()).digest()
        twin = first.setdefault(content, name)
        if twin != name:
            yield name, len(table), {"twin": twin}


def collinear(table: Table) -> Iterator[Finding]:
    """Numbers that correlate with an earlier one; missing values count as the mean."""
    names = table.numbers
    x = table.frame[names].to_numpy(np.float64, copy=True)
    known = ~np.isnan(x)
    x[~known] = 0.0
    x /= np.maximum(np.abs(x).max(axis=0), np.finfo(np.float64).tiny)  # so that squares cannot overflow
    x = np.where(known, x - x.sum(axis=0) / np.maximum(known.sum(axis=0), 1), 0.0)
    length = np.sqrt((x * x).sum(axis=0))
    x /= np.where(length > CONSTANT_SPREAD * np.sqrt(len(x)), length, np.inf)
    correlation = np.tril(np.abs(x.T @ x), k=-1)
    for place in np.flatnonzero((correlation > COLLINEAR).any(axis=1)):
        twin = names[int(correlation[place].argmax())]
        count = int((correlation[place] > COLLINEAR).sum())
        also = f" and {count - 1} more" if count > 1 else ""
        yield names[place], count, {"twin": twin, "also": also, "least": COLLINEAR}


def rare_category(table: Table) -> Iterator[Finding]:
    """Categories too rare to be learnt by themselves."""
    for name in table.categories:
        counts = table.frame[name].value_counts()
        rare = counts[counts < _enough(len(table))]
        if len(rare):
            yield name, int(rare.sum()), {"labels": len(rare)}


def spelling(table: Table) -> Iterator[Finding]:
    """The same category in two spellings."""
    for name in table.categories:
        counts = table.frame[name].value_counts()  # the commonest spelling comes first
        labels = counts.index.astype("str")
        variants = labels.str.casefold().str.replace(r"\s+", " ", regex=True).duplicated()
        if variants.any():
            yield name, int(counts.to_numpy()[variants].sum()), {"labels": variants.sum()}


def encoding(table: Table) -> Iterator[Finding]:
    """Categories with letters that were read in the wrong encoding."""
    for name in table.categories:
        counts = table.frame[name].value_counts()
        broken = counts.index.astype("str").str.fullmatch(BROKEN_TEXT)
        if broken.any():
            yield name, int(counts.to_numpy()[broken].sum()), {"labels": broken.sum()}


def sentinel(table: Table) -> Iterator[Finding]:
    """Codes for 'missing' among numbers: a known code, frequent, at the end of the range and set apart."""
    at_least = max(MANY, SENTINEL_SHARE * len(table))
    for name in table.numbers:
        values = table.frame[name].value_counts().sort_index()
        while len(values) > SENTINEL_DISTINCT:
            end = next((end for end in (0, -1) if _is_sentinel(values, end, at_least)), None)
            if end is None:
                break
            code, count = values.index[end], int(values.iloc[end])
            values = values.drop(code)
            yield name, count, {"code": code}


def _is_sentinel(values: pd.Series, end: int, at_least: float) -> bool:
    """Whether the lowest (0) or highest (-1) of counted, sorted values is a code."""
    code = float(values.index[end])
    if code not in SENTINELS or values.iloc[end] < at_least:
        return False
    rest = values.drop(values.index[end])
    so_far = rest.to_numpy().cumsum() / rest.sum()
    low, high = (float(rest.index[int(np.searchsorted(so_far, share))]) for share in (0.25, 0.75))
    only_negative = end == 0 and code < 0 <= float(rest.index[0])
    return only_negative or abs(float(rest.index[end]) - code) > max(high - low, 1.0)


def impossible(table: Table) -> Iterator[Finding]:
    """Values that no patient has, where the column's name tells what was measured."""
    for name in table.numbers:
        plain = re.sub(r"[\s.\-]+", "_", name.strip().lower())
        x = table.frame[name]
        for low, high in ((low, high) for pattern, low, high in PLAUSIBLE if re.fullmatch(pattern, plain)):
            count = int(((x < low) | (x > high)).sum())
            # Where many values lie outside, the column is on another scale (standardised, say).
            if 0 < count <= OTHER_SCALE * x.count():
                yield name, count, {"low": low, "high": high}


def mixed_units(table: Table) -> Iterator[Finding]:
    """A column in two groups, a usual conversion factor apart, with nothing between them."""
    for name in table.numbers:
        x = np.sort(table.frame[name].dropna().to_numpy())
        if len(x) < 2 * MANY or x[0] <= 0:
            continue
        steps = np.diff(np.log(x))
        cut = int(steps.argmax()) + 1
        ratio = float(np.exp(np.median(np.log(x[cut:])) - np.median(np.log(x[:cut]))))
        count = min(cut, len(x) - cut)
        known = any(abs(ratio / usual - 1) < UNIT_TOLERANCE for usual in UNIT_RATIOS)
        varied = min(len(np.unique(x[:cut])), len(np.unique(x[cut:]))) >= MANY  # measurements, not codes
        if known and varied and steps[cut - 1] > np.log(UNIT_GAP) and count >= max(MANY, UNIT_SHARE * len(x)):
            yield name, count, {"ratio": ratio}


# A check is called like the kind of problem it finds, and like its sentence; spelling is of kind encoding.
CHECKS: tuple[Callable[[Table], Iterator[Finding]], ...] = (
    few_rows, imbalance, repeated_patient, duplicate, leakage, missing, constant, identical, collinear,
    rare_category, spelling, encoding, sentinel, impossible, mixed_units,
)  # fmt: skip
