"""Codes among measurements, impossible values, and one category written in several ways."""

from __future__ import annotations

import numpy as np
import pandas as pd

from medprune.quality.table import MANY, Finding, Findings, Table
from medprune.quality.units import in_other_unit

SENTINELS = (
    -1, -2, -7, -8, -9, -77, -88, -99, -888, -999, -9999, 0, 9, 77, 88, 97, 98, 99, 777, 888, 997, 998, 999,
    7777, 8888, 9998, 9999, 65535, 99999, 999999,
)  # fmt: skip
SENTINEL_SHARE = 0.005
SENTINEL_DISTINCT = 10  # with fewer distinct values a code is hard to tell from a value
ALIKE = 3  # columns in which a negative code is plain, for it to be one in columns of few values too
UNKNOWN_WORDS = frozenset((
    "unknown", "unk", "not known", "not available", "not recorded", "not applicable", "missing", "na", "n/a",
    "unknown/invalid", "invalid", "not mapped", "undetermined", "no data", "nd", "not done", "refused",
    "don't know", "dont know", "unspecified", "not stated",
))  # fmt: skip
BROKEN_TEXT = r".*(\ufffd|Ã[\u0080-\u00bf]|â€).*"
SEXES = (("f", "female", "woman", "w", "fem"), ("m", "male", "man", "masc"))
ANSWERS = (
    ("y", "yes", "true", "t", "1", "positive", "pos", "+"),
    ("n", "no", "false", "0", "negative", "neg", "-"),
)
PLAIN_WORDS = tuple({word: words[0] for words in groups for word in words} for groups in (SEXES, ANSWERS))


def sentinel(table: Table) -> Findings:
    """Codes for 'missing' among numbers: a known code, frequent, at the end of the range and set apart.

    A negative code that is plain in several columns is one in columns of few values too.
    """
    at_least = max(MANY, SENTINEL_SHARE * len(table))
    found: dict[str, list[tuple[float, int]]] = {}
    for name in table.numbers:
        values = table.counts[name][table.counts[name].index.notna()].sort_index()
        while len(values) > SENTINEL_DISTINCT:
            end = next((end for end in (0, -1) if _is_sentinel(values, end, at_least)), None)
            if end is None:
                break
            code, count = float(values.index[end]), int(values.iloc[end])
            values = values.drop(values.index[end])
            found.setdefault(name, []).append((code, count))
    everywhere = _everywhere(found)
    for name in table.numbers:
        codes = found.get(name) or _negative_code(table.counts[name], everywhere)
        for code, count in codes:
            remedy = f"sentinel-missing:{name}:{code:g}"
            yield Finding(name, count, {"code": code}, (remedy,), suggested=True)


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


def _everywhere(found: dict[str, list[tuple[float, int]]]) -> set[float]:
    """Negative codes that several columns have."""
    codes = [code for codes in found.values() for code, _ in codes if code < 0]
    return {code for code in codes if codes.count(code) >= ALIKE}


def _negative_code(counts: pd.Series, codes: set[float]) -> list[tuple[float, int]]:
    """The one negative value of a column, when it is such a code."""
    known = counts[counts.index.notna()]
    negative = known[known.index < 0]
    if len(negative) == 1 and len(known) > 1 and float(negative.index[0]) in codes:
        return [(float(negative.index[0]), int(negative.iloc[0]))]
    return []


def unknown_word(table: Table) -> Findings:
    """Words for 'missing' among categories."""
    for name in table.categories:
        counts = table.frame[name].value_counts()
        for label, count in counts.items():
            if str(label).strip().casefold() in UNKNOWN_WORDS and len(counts) > 1:
                remedy = f"sentinel-missing:{name}:{label}"
                yield Finding(name, int(count), {"word": str(label)}, (remedy,))


def impossible(table: Table) -> Findings:
    """Values that no patient has, where the column's name tells what was measured.

    Codes for 'missing' and values in another unit are told as such, not here.
    """
    codes = [(finding.column, finding.facts["code"]) for finding in sentinel(table)]
    for name in table.numbers:
        entry = table.ranges.of(name)
        if entry is None:
            continue
        x = table.frame[name].to_numpy(np.float64)
        x = x[~np.isnan(x) & ~np.isin(x, [code for column, code in codes if column == name])]
        x = x[~in_other_unit(x, entry)]
        bounds = entry.bounds_for(x)
        if bounds is None:
            continue
        low, high, unit = bounds
        count = int(((x < low) | (x > high)).sum())
        if count:
            facts = {"low": low, "high": high, "unit": unit if unit != "1" else "", "what": entry.what}
            yield Finding(name, count, facts, (f"impossible-missing:{name}",), suggested=True)


def spelling(table: Table) -> Findings:
    """The same category in two spellings, or in full and by its letter."""
    for name in table.categories:
        counts = table.frame[name].value_counts()  # the commonest spelling comes first
        variants = same_category(counts.index).duplicated()
        if variants.any():
            facts = {"labels": int(variants.sum())}
            remedy = (f"merge-categories:{name}",)
            yield Finding(name, int(counts.to_numpy()[variants].sum()), facts, remedy, suggested=True)


def same_category(labels: pd.Index) -> pd.Series:
    """What each label says once case, spaces and usual short forms are set aside.

    Short forms are used where all of the labels are such words for one thing: an "m" among letters means
    itself.

    >>> same_category(pd.Index(["Male", "female", "M", "F "])).tolist()
    ['m', 'f', 'm', 'f']
    >>> same_category(pd.Index(["ward m", "Ward  M", "male"])).tolist()
    ['ward m', 'ward m', 'male']
    """
    plain = pd.Series(labels.astype("str")).str.strip().str.casefold().str.replace(r"\s+", " ", regex=True)
    words = plain[~plain.isin(UNKNOWN_WORDS | {"other"})]
    for short in PLAIN_WORDS:
        if len(words) > 1 and words.isin(short).all():
            return plain.map(lambda word, short=short: short.get(word, word))
    return plain


def encoding(table: Table) -> Findings:
    """Categories with letters that were read in the wrong encoding."""
    for name in table.categories:
        counts = table.frame[name].value_counts()
        broken = counts.index.astype("str").str.fullmatch(BROKEN_TEXT)
        if broken.any():
            yield Finding(name, int(counts.to_numpy()[broken].sum()), {"labels": int(broken.sum())})
