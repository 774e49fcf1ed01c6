"""What one column means: numbers, categories or dates, and whether it can be a feature.

:mod:`medprune.intake.table_file` gives raw columns; :func:`typed` turns one of them into numbers or
categories, and :func:`typed_for` does so for a model's features. The rules depend on the cells alone,
so a patient has the same features whether the table came as CSV, as Parquet or as a data frame.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medprune.errors import BadInput, listed, nearest
from medprune.intake.missing import NUMBER_MISSING, TEXT_MISSING
from medprune.intake.table_shape import clean_name

AT_LEAST_NUMBERS = 5  # fewer numbers among text do not make a column numeric
DATE_SHARE = 0.95
DATE = r"(?:\d{4}[-/]\d{1,2}[-/]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d{2}))(?:[ T]\d{1,2}:.*)?"
MIDNIGHT = " 00:00:00"

# Why a column is no feature.
ALL_MISSING = "every value is missing"
ONE_VALUE = "it has the same value in every row"
DATES = "it holds dates, which this version does not read"
IDENTIFIES = "it looks like an identifier"
REPEATS = "it looks like an identifier that repeats; if it numbers the patients, name it with --patient"

MANY_LABELS = 50  # text with more labels than this, nearly all of them different, identifies
NEARLY_ALL_DIFFERENT = 0.95
OFTEN_DIFFERENT = 0.5  # numbered patients have one or two rows on average
ID_TAIL = re.compile(r"(^|[\W_])(id|ids|uid|uuid|guid|seqn|mrn|nhs|ssn|nr|nbr|no|number|index|key)$")
ID_START = re.compile(
    r"^(id|patient|record|encounter|subject|person|participant|case|row|unnamed|seqn|mrn|nhs|ssn)"
)

Kind = Literal["number", "category"]


@dataclass(frozen=True)
class Feature:
    """A source column that a model reads, and whether it is read as a number or as a category."""

    name: str
    kind: Kind


@dataclass(frozen=True, eq=False)
class TypedColumn:
    """A column read as numbers (float64, NaN missing) or as text (object, None missing).

    ``text_rows`` are the 0-based rows that hold text although the column is mostly numbers. Such a
    column is kept as text here, so that it may be excluded; :meth:`usable` refuses it.
    """

    name: str
    kind: Literal["number", "category", "date"]
    values: pd.Series
    text_rows: NDArray[np.int64]
    infinite: int = 0  # cells that were infinite and count as missing

    def usable(self) -> TypedColumn:
        """The column itself; BadInput when it mixes numbers and text."""
        if len(self.text_rows):
            raise _text_among_numbers(
                self.name, self.text_rows, f", or leave the column out with --exclude {self.name!r}"
            )
        return self


def typed(column: pd.Series, name: str) -> TypedColumn:
    """Read one raw column (N,) as numbers, categories or dates.

    - A number column holds numbers, as ``pandas.to_numeric`` reads them, and NUMBER_MISSING alone.
      Integer codes stay numbers; infinite values count as missing.
    - In a text column only TEXT_MISSING and real missing values are missing: "NA" and "None" are
      categories there, and so are True and False.
    - Date types, and text of which 95 % looks like dates, are dates.
    """
    if column.dtype.kind in "mM" or isinstance(column.dtype, pd.PeriodDtype):
        return TypedColumn(name, "date", as_category(column), np.empty(0, dtype=np.int64))
    numbers, other = as_numbers(column)
    if not other.any():
        infinite = np.isinf(numbers)
        values = pd.Series(np.where(infinite, np.nan, numbers))
        return TypedColumn(name, "number", values, np.empty(0, dtype=np.int64), int(infinite.sum()))
    values = as_category(column)
    parsed = int((~np.isnan(numbers)).sum())
    mixed = parsed >= max(AT_LEAST_NUMBERS, int(other.sum()))
    kind: Literal["category", "date"] = "date" if _looks_like_dates(values) else "category"
    return TypedColumn(name, kind, values, np.flatnonzero(other & mixed))


def unfit(column: TypedColumn, rows: NDArray[np.bool_]) -> str | None:
    """Why a column is no feature, judged on these rows (a mask (N,)); None when it is one."""
    values = column.values[rows]
    known = values.dropna()
    distinct = known.nunique()
    if not distinct:
        return ALL_MISSING
    if distinct == 1 and len(known) == len(values):
        return ONE_VALUE
    if column.kind == "date":
        return DATES
    return _identifies(column, known, distinct)


def _identifies(column: TypedColumn, known: pd.Series, distinct: int) -> str | None:
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", column.name).lower()
    tail = ID_TAIL.search(name) is not None
    whole = column.kind == "category" or bool((known % 1 == 0).all())
    if whole and distinct == len(known) and (tail or ID_START.search(name)):
        return IDENTIFIES
    text = column.kind == "category" and not len(column.text_rows)
    if text and distinct > max(MANY_LABELS, NEARLY_ALL_DIFFERENT * len(known)):
        return IDENTIFIES
    if whole and tail and distinct > max(MANY_LABELS, OFTEN_DIFFERENT * len(known)):
        return REPEATS
    return None


def typed_for(frame: pd.DataFrame, features: Sequence[Feature], *, first: int = 0) -> pd.DataFrame:
    """Exactly these features of a raw or typed frame: float64 numbers, object text; others are dropped.

    ``first`` is the number of the frame's first row in its table, for messages. Raises BadInput naming
    every missing column, or the number column that holds text.
    """
    names = [clean_name(name) for name in frame.columns]
    places = {name: place for place, name in enumerate(names)}
    absent = [feature.name for feature in features if feature.name not in places]
    if absent:
        hints = "".join(nearest(name, names) for name in absent[:1])
        raise BadInput(
            f"The table lacks {listed(absent)}{hints}, which the model reads; add the missing columns, or "
            "rename those that are called something else."
        )
    columns = {}
    for feature in features:
        if names.count(feature.name) > 1:
            raise BadInput(
                f"The column name {feature.name!r} occurs more than once; give every column its own."
            )
        column = frame.iloc[:, places[feature.name]]
        read = _numbers_only(column, feature.name, first) if feature.kind == "number" else as_category(column)
        columns[feature.name] = read.set_axis(frame.index)
    return pd.DataFrame(columns, index=frame.index)


def as_numbers(column: pd.Series) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Numbers (N,), NaN where there is none, and a mask (N,) of the cells that hold something else."""
    dtype = column.dtype
    if pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype):
        return column.to_numpy(dtype=np.float64, na_value=np.nan), np.zeros(len(column), dtype=np.bool_)
    text = as_text(column)
    missing = (text.isna() | text.isin(NUMBER_MISSING)).to_numpy(np.bool_)
    numbers = pd.to_numeric(text.mask(missing), errors="coerce").to_numpy(np.float64, na_value=np.nan)
    return numbers, np.isnan(numbers) & ~missing


def as_category(column: pd.Series) -> pd.Series:
    """Text (N,) of dtype object, None where TEXT_MISSING or really missing."""
    text = as_text(column)
    known = text.notna() & ~text.isin(TEXT_MISSING)
    return text.astype(object).where(known, None)


def as_text(column: pd.Series) -> pd.Series:
    """Every cell (N,) as text without the spaces around it; NaN where it is really missing.

    A whole number is written without a decimal point: 1, 1.0 and "1" are the same category. Dates
    without a time of day are written as dates alone, as ``to_csv`` does.
    """
    column = column.reset_index(drop=True)
    if isinstance(column.dtype, pd.StringDtype):
        return column.astype("str").str.strip()
    missing = pd.isna(column).to_numpy(np.bool_)
    cells = [
        None if gone else as_label(cell) for cell, gone in zip(column.astype(object), missing, strict=True)
    ]
    if column.dtype.kind == "M" and all(cell is None or cell.endswith(MIDNIGHT) for cell in cells):
        cells = [cell and cell.removesuffix(MIDNIGHT) for cell in cells]
    return pd.Series(cells, dtype="str")


def as_label(cell: object) -> str:
    """One cell as text; a whole number without its decimal point."""
    if isinstance(cell, float | np.floating) and float(cell).is_integer():
        return str(int(cell))
    return str(cell).strip()


def _numbers_only(column: pd.Series, name: str, first: int) -> pd.Series:
    numbers, other = as_numbers(column)
    if other.any():
        raise _text_among_numbers(name, first + np.flatnonzero(other), "")
    return pd.Series(np.where(np.isinf(numbers), np.nan, numbers))


def _looks_like_dates(values: pd.Series) -> bool:
    known = values.dropna().astype("str")
    return bool(known.str.fullmatch(DATE).mean() >= DATE_SHARE)


def _text_among_numbers(name: str, rows: NDArray[np.int64], otherwise: str, most: int = 3) -> BadInput:
    """The sentence gives row numbers, never what stands there: a cell may name a patient."""
    count = "1 cell holds text (data row" if len(rows) == 1 else f"{len(rows)} cells hold text (data rows"
    where = ", ".join(str(row + 1) for row in rows[:most]) + (" and more" if len(rows) > most else "")
    return BadInput(
        f"Column {name!r} is read as numbers, but {count} {where}); correct or empty these cells{otherwise}."
    )
