"""How treatments are applied to a table that was read: first the outcome and the rows, then, fitted on
train alone, the cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medprune.errors import BadInput, listed
from medprune.intake.clean import NOTHING, OTHER, Clean, Convert
from medprune.intake.columns import IDENTIFIES, REPEATS, TypedColumn, as_category, as_numbers, unfit
from medprune.quality.inconsistency import same_category
from medprune.quality.ranges import Range, Ranges
from medprune.quality.units import TOLERANCE, by_gap, by_name
from medprune.splits import cells_of, row_hashes
from medprune.treatments import Treatment

RARE_LABEL, RARE_SHARE = 20, 0.01  # what group-rare takes together: fewer rows than either
CUT = r"\s*\[[^\[\]]*\]\s*$"


@dataclass(frozen=True)
class Plan:
    """Treatments sorted by what they are done to. ``outcome`` is the column to predict."""

    all: tuple[Treatment, ...]
    outcome: str

    @property
    def drops(self) -> tuple[str, ...]:
        return tuple(each.column for each in self.all if each.kind == "drop" and each.column)

    @property
    def patient(self) -> str | None:
        named = list(dict.fromkeys(each.column for each in self.all if each.to == "rows" and each.column))
        if len(named) > 1:
            raise BadInput(f"The treatments name several patient columns, {listed(named)}; keep one.")
        return named[0] if named else None

    @property
    def cells(self) -> tuple[Treatment, ...]:
        """Of the cells of features."""
        return tuple(each for each in self.all if each.to == "cells" and each.column != self.outcome)

    @property
    def of_outcome(self) -> tuple[Treatment, ...]:
        return tuple(each for each in self.all if each.to == "cells" and each.column == self.outcome)

    def has(self, kind: str) -> bool:
        return any(each.kind == kind for each in self.all)

    def check(self, names: Sequence[str]) -> None:
        """BadInput when a treatment is of a column that the table does not have, or of the wrong one."""
        for each in self.all:
            if each.column is not None and each.column not in names:
                raise BadInput(f"The table has no column {each.column!r}, which {each.id!r} would treat.")
            if each.column == self.outcome and each.to in ("columns", "rows"):
                raise BadInput(f"{each.column!r} is the outcome, which {each.id!r} cannot treat.")
            if each.kind == "cut-brackets" and each.column != self.outcome:
                raise BadInput(f"{each.id!r} treats an outcome, and {each.column!r} is none.")


def read_again(column: TypedColumn, raw: pd.Series, kinds: Sequence[str]) -> TypedColumn:
    """A column that a treatment reads as categories, or as numbers with its text emptied."""
    none = np.empty(0, dtype=np.int64)
    if "as-category" in kinds:
        return TypedColumn(column.name, "category", as_category(raw), none)
    if "text-missing" in kinds:
        numbers, _ = as_numbers(raw)
        return TypedColumn(
            column.name, "number", pd.Series(np.where(np.isinf(numbers), np.nan, numbers)), none
        )
    return column


def treated_outcome(column: TypedColumn, treatments: Sequence[Treatment]) -> TypedColumn:
    """The outcome with its labels cut, merged or grouped; the classes are those of the whole table."""
    for each in treatments:
        labels = as_category(column.values)
        if each.kind == "cut-brackets":
            labels = (
                labels.astype("str")
                .str.replace(CUT, "", regex=True)
                .astype(object)
                .where(labels.notna(), None)
            )
        elif each.kind == "merge-categories":
            labels = Clean(merge=_merge(labels)).categories(labels)
        elif each.kind == "group-rare":
            labels = Clean(keep=_common(labels)).categories(labels)
        elif each.kind == "sentinel-missing":
            labels = Clean(words=(each.value,)).categories(labels)
        elif each.kind != "as-category":
            raise BadInput(f"{each.id!r} cannot treat an outcome.")
        column = TypedColumn(column.name, "category", labels, np.empty(0, dtype=np.int64))
    return column


def kept_rows(
    plan: Plan,
    known: NDArray[np.bool_],
    patients: NDArray[np.uint64],
    columns: Mapping[str, TypedColumn],
    no_content: Sequence[str],
) -> NDArray[np.bool_]:
    """The known rows (N,) that repeats and further rows of a patient do not take away.

    ``no_content`` are columns that do not count when rows are compared; identifiers do not either.
    """
    keep = known.copy()
    if plan.has("drop-duplicates"):
        content = [column for column in columns.values() if column.name not in no_content]
        content = [column for column in content if unfit(column, known) not in (IDENTIFIES, REPEATS)]
        keep &= _firsts(row_hashes(cells_of(content)), keep)
    if plan.has("one-row-per-patient"):
        keep &= _firsts(patients, keep)
    return keep


def _firsts(keys: NDArray[np.uint64], among: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The first row (N,) of each key among these."""
    places = np.flatnonzero(among)
    first = ~pd.Series(keys[places]).duplicated().to_numpy()
    found = np.zeros(len(keys), dtype=np.bool_)
    found[places[first]] = True
    return found


# --- cells: fitted on train alone --------------------------------------------------------------------


def fitted(
    treatments: Sequence[Treatment],
    columns: Mapping[str, TypedColumn],
    train: NDArray[np.bool_],
    ranges: Ranges,
    optional: frozenset[str] = frozenset(),
) -> tuple[dict[str, Clean], frozenset[str]]:
    """What is done to the cells of each treated column, learnt from the train rows (N,).

    Also the ids of those ``optional`` ones that could not be fitted; of others, that is BadInput. The order
    is always the same: codes for missing, units, impossible values; merging, then grouping.
    """
    found: dict[str, Clean] = {}
    unfitted = set()
    for each in sorted(treatments, key=lambda each: _ORDER.index(each.kind)):
        assert each.column is not None
        try:
            found[each.column] = _one_more(each, columns[each.column], train, found, ranges)
        except BadInput:
            if each.id not in optional:
                raise
            unfitted.add(each.id)
    return {name: clean for name, clean in found.items() if clean}, frozenset(unfitted)


def _one_more(
    each: Treatment,
    column: TypedColumn,
    train: NDArray[np.bool_],
    found: Mapping[str, Clean],
    ranges: Ranges,
) -> Clean:
    """The column's steps with one more, learnt from train after the steps before it."""
    clean = found.get(column.name, NOTHING)
    if each.kind in _OF_NUMBERS and column.kind != "number":
        raise BadInput(f"{each.id!r} treats numbers, and {each.column!r} holds none; leave it out.")
    if each.kind in _OF_CATEGORIES and column.kind != "category":
        raise BadInput(
            f"{each.id!r} treats categories, and {each.column!r} holds no categories; leave it out."
        )
    values = column.values[train]
    known = clean.categories(values) if column.kind == "category" else _numbers(values, clean)
    return _FITS[each.kind](clean, each, known, ranges.of(column.name))


def apply(clean: Clean, column: TypedColumn) -> TypedColumn:
    """The column with its cells treated."""
    if column.kind == "category":
        return replace(column, values=clean.categories(column.values))
    return replace(column, values=pd.Series(clean.numbers(column.values.to_numpy(np.float64))))


def _numbers(values: pd.Series, clean: Clean) -> pd.Series:
    return pd.Series(clean.numbers(values.to_numpy(np.float64)))


def _codes(clean: Clean, each: Treatment, known: pd.Series, entry: Range | None) -> Clean:
    if known.dtype.kind != "f":
        return replace(clean, words=(*clean.words, each.value))
    try:
        code = float(each.value)
    except ValueError:
        code = np.nan
    if not np.isfinite(code):
        raise BadInput(f"{each.id!r} needs a number as its code, as {each.column!r} holds numbers.")
    return replace(clean, codes=(*clean.codes, code))


def _unit(clean: Clean, each: Treatment, known: pd.Series, entry: Range | None) -> Clean:
    """The smaller group of train is converted into the unit of the larger one."""
    x = known.dropna().to_numpy(np.float64)
    wanted = max(float(each.value), 1 / float(each.value))
    gap = by_gap(x)
    if gap is not None and abs(gap[0] / wanted - 1) < TOLERANCE:
        _, _, cut = gap
        low_is_smaller = (x < cut).sum() < (x >= cut).sum()
        return replace(clean, convert=Convert.across(cut, wanted if low_is_smaller else 1 / wanted))
    named = by_name(x, entry)
    bounds = None if entry is None else entry.bounds_for(x)
    if named is None or bounds is None:
        raise BadInput(
            f"Train patients show no second unit in {each.column!r}, so {each.id!r} cannot be fitted; leave "
            "it out."
        )
    low, high, _ = bounds
    factor = named[0]
    cut = low if factor > 1 else float(np.nextafter(high, np.inf))
    return replace(clean, convert=Convert.across(cut, factor))


def _bounds(clean: Clean, each: Treatment, known: pd.Series, entry: Range | None) -> Clean:
    bounds = None if entry is None else entry.bounds_for(known.dropna().to_numpy(np.float64))
    if bounds is None:
        raise BadInput(
            f"No plausible range is known for {each.column!r} in its unit, so {each.id!r} cannot be applied; "
            "add the column to a file of your own and name that with --ranges."
        )
    return replace(clean, low=bounds[0], high=bounds[1])


def _merged(clean: Clean, each: Treatment, known: pd.Series, entry: Range | None) -> Clean:
    return replace(clean, merge=_merge(known))


def _merge(labels: pd.Series) -> tuple[tuple[str, str], ...]:
    """Every rarer spelling, and the commonest one of the same category."""
    counts = labels.value_counts()  # the commonest comes first
    same = same_category(counts.index)
    first = pd.Series(counts.index, dtype=object).groupby(same.to_numpy()).first()
    pairs = ((str(label), str(first[meant])) for label, meant in zip(counts.index, same, strict=True))
    return tuple((label, first) for label, first in pairs if label != first)


def _grouped(clean: Clean, each: Treatment, known: pd.Series, entry: Range | None) -> Clean:
    return replace(clean, keep=_common(known))


def _common(labels: pd.Series) -> tuple[str, ...]:
    """The labels with enough rows; OTHER where there is none."""
    counts = labels.value_counts()
    enough = max(RARE_LABEL, RARE_SHARE * len(labels))
    return tuple(sorted(str(label) for label in counts.index[counts >= enough])) or (OTHER,)


def _text(clean: Clean, each: Treatment, known: pd.Series, entry: Range | None) -> Clean:
    return replace(clean, text_missing=True)


def _as_it_is(clean: Clean, each: Treatment, known: pd.Series, entry: Range | None) -> Clean:
    return clean


_FITS: Mapping[str, Callable[[Clean, Treatment, pd.Series, Range | None], Clean]] = {
    "as-category": _as_it_is,
    "text-missing": _text,
    "sentinel-missing": _codes,
    "unit": _unit,
    "impossible-missing": _bounds,
    "merge-categories": _merged,
    "group-rare": _grouped,
}
_ORDER = tuple(_FITS)
_OF_NUMBERS = ("text-missing", "unit", "impossible-missing")
_OF_CATEGORIES = ("as-category", "merge-categories", "group-rare")
