"""What one column means: numbers, categories or dates, and whether it can be a feature.

:mod:`medprune.intake.table_file` gives raw columns; :func:`typed` turns one of them into numbers or
categories, and :func:`typed_for` does so for a model's features. The rules depend on the cells alone,
so a patient has the same features whether the table came as CSV, as Parquet or as a data frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medprune.errors import BadInput, listed, nearest
from medprune.intake.clean import NOTHING, Clean
from medprune.intake.identifiers import identifies, is_birth_date, numbers_patients
from medprune.intake.missing import NUMBER_MISSING, TEXT_MISSING
from medprune.intake.table_shape import clean_name

AT_LEAST_NUMBERS = 5  # fewer numbers among text do not make a column numeric
DATE_SHARE = 0.95
MOST_DIGITS = 15  # of an integer that a double holds exactly, whatever the digits
DATE = r"(?:\d{4}[-/]\d{1,2}[-/]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d{2}))(?:[ T]\d{1,2}:.*)?"
CODE = r"[A-Za-z]\d{2}[A-Za-z0-9]{0,2}(\.\w{1,4})?|[EV]\d{3,4}(\.\d{1,2})?"  # as in the ICD
CODE_SHARE = 0.95
MIDNIGHT = " 00:00:00"

# Why a column is no feature.
ALL_MISSING = "every value is missing"
ONE_VALUE = "it has the same value in every row"
DATES = "it holds dates, which this version does not read"
IDENTIFIES = "it looks like an identifier"
BIRTH = "it holds dates of birth, which tell who the patient is"
MIXES = "it holds numbers in most rows and text in others"
REPEATS = "it looks like an identifier that repeats; if it numbers the patients, name it with --patient"

Kind = Literal["number", "category"]


@dataclass(frozen=True)
class Feature:
    """A source column that a model reads, whether as a number or as a category, and how it is cleaned."""

    name: str
    kind: Kind
    clean: Clean = NOTHING  # what is done to its cells first


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
      Integer codes stay numbers, but for those of one length with leading zeros, and those with more digits
      than a double holds: these are categories. Infinite values count as missing.
    - In a text column only TEXT_MISSING and real missing values are missing: "NA" and "None" are
      categories there, and so are True and False.
    - Date types, and text of which 95 % looks like dates, are dates.
    """
    if column.dtype.kind in "mM" or isinstance(column.dtype, pd.PeriodDtype):
        return TypedColumn(name, "date", as_category(column), np.empty(0, dtype=np.int64))
    numbers, other = as_numbers(column)
    if not other.any() and not _are_long_codes(column):
        infinite = np.isinf(numbers)
        values = pd.Series(np.where(infinite, np.nan, numbers))
        return TypedColumn(name, "number", values, np.empty(0, dtype=np.int64), int(infinite.sum()))
    values = as_category(column)
    parsed = int((~np.isnan(numbers)).sum())
    mixed = parsed >= max(AT_LEAST_NUMBERS, int(other.sum())) and not _are_codes(values[other])
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
        return BIRTH if is_birth_date(column.name) else DATES
    return _identifies(column, known, distinct)


def _identifies(column: TypedColumn, known: pd.Series, distinct: int) -> str | None:
    text, mixed = column.kind == "category", len(column.text_rows) > 0
    if identifies(column.name, known, distinct, text=text, mixed=mixed):
        return IDENTIFIES
    if numbers_patients(column.name, known, distinct, text=text):
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
        columns[feature.name] = _read(column, feature, first).set_axis(frame.index)
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


def _read(column: pd.Series, feature: Feature, first: int) -> pd.Series:
    """One column as the feature reads it, cleaned."""
    if feature.kind == "category":
        labels = as_category(column)
        return feature.clean.categories(labels) if feature.clean else labels
    numbers, other = as_numbers(column)
    if other.any() and not feature.clean.text_missing:
        raise _text_among_numbers(feature.name, first + np.flatnonzero(other), "")
    numbers = np.where(np.isinf(numbers), np.nan, numbers)
    return pd.Series(feature.clean.numbers(numbers) if feature.clean else numbers)


def _are_codes(text: pd.Series) -> bool:
    """Whether what stands among numbers are codes of a classification: 428 and V57 of the ICD, say."""
    return bool(text.astype("str").str.fullmatch(CODE).mean() >= CODE_SHARE)


def _are_long_codes(column: pd.Series) -> bool:
    """Whether digits stand for something else than a number, which reading them as one would lose."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        return False
    text = as_text(column)
    known = text[text.notna() & ~text.isin(NUMBER_MISSING)].astype("str")
    lengths = known.str.len()
    padded = bool(known.str.match(r"0\d").any()) and lengths.nunique() == 1
    if not padded and (not len(known) or lengths.max() <= MOST_DIGITS):
        return False
    return bool(known.str.fullmatch(r"\d+").all())


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
