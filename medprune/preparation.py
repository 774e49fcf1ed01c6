"""Raw columns to numbers: missing flags, imputation, scaling, one-hot codes. Part of the model.

Fitted on train only, computed in double precision and cast to float32 at the end: a date-like
number such as 20261124 keeps its digits until it has been scaled. A removed feature is one whose
test was not taken, so its columns take the *missing* encoding (:attr:`Preparation.reference`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medprune.cohort import Feature
from medprune.intake.clean import NOTHING, OTHER, Clean
from medprune.intake.columns import typed_for

RARE_PATIENTS = 5  # a category seen less often on train cannot be learnt, it joins "(other)"
RARE_SHARE = 0.005
MOST_CATEGORIES = 30
BLOCK = 256  # rows prepared at a time: their numbers stay in the processor's cache

Places: TypeAlias = "slice | NDArray[np.intp]"


@dataclass(frozen=True)
class NumberCode:
    """How one number is prepared: ``(x or fill - mean) / scale``, once it has been cleaned."""

    name: str
    fill: float
    mean: float
    scale: float
    clean: Clean = NOTHING

    def to_json(self) -> dict[str, Any]:
        return _plainly(self, self.clean)


@dataclass(frozen=True)
class CategoryCode:
    """How one text column is coded: a label's code is its place; then one for other, one for missing."""

    name: str
    labels: tuple[str, ...]
    fill: int  # the code of a missing value; the missing code where train had missing values
    clean: Clean = NOTHING

    def to_json(self) -> dict[str, Any]:
        return _plainly(self, self.clean)

    @property
    def other(self) -> int:
        return len(self.labels)

    @property
    def missing(self) -> int:
        return len(self.labels) + 1

    def codes(self, values: pd.Series) -> NDArray[np.int64]:
        """The code of every cleaned value (N,), missing ones included."""
        known = {label: code for code, label in enumerate(self.labels)}
        codes = values.map(known).fillna(self.other).astype("int64")
        return np.where(values.isna(), self.fill, codes).astype(np.int64)

    @property
    def raw(self) -> tuple[dict[str, int], int]:
        """The code of every raw label that is known, and of all others: cleaning and coding in one."""
        known = (*self.labels, *self.clean.words, *self.clean.merged, *self.clean.keep)
        return {label: self._code(label) for label in dict.fromkeys(known)}, self._code(None)

    def _code(self, raw: str | None) -> int:
        """The code of a raw label; None stands for one that nobody knows."""
        label = (OTHER if self.clean.keep else None) if raw is None else self.clean.label(raw)
        if label is None and raw is not None:
            return self.fill
        return self.labels.index(label) if label in self.labels else self.other


def _plainly(code: NumberCode | CategoryCode, clean: Clean) -> dict[str, Any]:
    """As JSON values; the steps of cleaning only where there are some."""
    value = asdict(code)
    del value["clean"]
    return value | ({"clean": clean.to_json()} if clean else {})


@dataclass(frozen=True)
class Column:
    """One input of the network: a number's value, a number's missing flag, or one category."""

    feature: str
    role: str  # "value", "flag" or "category"
    code: int = 0  # of the category
    name: str = ""


@dataclass(frozen=True, eq=False)
class _Plan:
    """Where every prepared column comes from: the places of its source and of itself, by role."""

    values: tuple[Places, Places]  # of the numbers, of the prepared columns
    flags: tuple[Places, Places]
    labels: tuple[Places, Places]  # of the categories, of the prepared columns
    label_codes: NDArray[np.int64]  # (labels, 1)
    mean: NDArray[np.float64]  # (values, 1), as are the next two
    scale: NDArray[np.float64]
    unknown: NDArray[np.float64]  # what a missing number becomes

    @classmethod
    def of(cls, preparation: Preparation) -> _Plan:
        number = {code.name: place for place, code in enumerate(preparation.numbers)}
        category = {code.name: place for place, code in enumerate(preparation.categories)}

        def places(role: str, source: Mapping[str, int]) -> tuple[list[int], list[int]]:
            here = [(source[c.feature], at) for at, c in enumerate(preparation.columns) if c.role == role]
            return [place for place, _ in here], [at for _, at in here]

        values, flags, labels = places("value", number), places("flag", number), places("category", category)
        how = np.array([(c.fill, c.mean, c.scale) for c in preparation.numbers], dtype=np.float64)
        fill, mean, scale = how.reshape(-1, 3)[values[0]].T[:, :, None]
        return cls(
            values=(_run(values[0]), _run(values[1])),
            flags=(_run(flags[0]), _run(flags[1])),
            labels=(_run(labels[0]), _run(labels[1])),
            label_codes=np.array([preparation.columns[at].code for at in labels[1]], np.int64)[:, None],
            mean=mean,
            scale=scale,
            unknown=(fill - mean) / scale,
        )

    def write(self, out: NDArray[np.float32], numbers: NDArray[np.float64], codes: NDArray[np.int64]) -> None:
        """Fill ``out`` (N, columns) from numbers (numbers, N) and codes (categories, N)."""
        missing = np.isnan(numbers)
        source, place = self.values
        scaled = numbers[source] - self.mean
        scaled /= self.scale
        np.copyto(scaled, self.unknown, where=missing[source])
        out[:, place] = scaled.astype(np.float32).T
        source, place = self.flags
        out[:, place] = missing[source].T
        source, place = self.labels
        out[:, place] = (codes[source] == self.label_codes).T


def _run(places: list[int]) -> Places:
    """The same places as a slice where they follow each other: NumPy need not copy then."""
    first = places[0] if places else 0
    if places == list(range(first, first + len(places))):
        return slice(first, first + len(places))
    return np.array(places, dtype=np.intp)


@dataclass(frozen=True)
class Preparation:
    """Turns a raw frame into the network's inputs; columns come as values, then flags, then categories."""

    numbers: tuple[NumberCode, ...]
    categories: tuple[CategoryCode, ...]
    columns: tuple[Column, ...]
    removed_as: tuple[float, ...] = ()  # the columns of a removed feature; none: those of a test not taken

    @cached_property
    def features(self) -> tuple[Feature, ...]:
        """The source columns of the table that a prediction needs."""
        numbers = (Feature(code.name, "number", code.clean) for code in self.numbers)
        return (*numbers, *(Feature(code.name, "category", code.clean) for code in self.categories))

    @cached_property
    def feature_of_column(self) -> NDArray[np.int64]:
        """For every prepared column, the place of its feature in :attr:`features`."""
        place = {feature.name: index for index, feature in enumerate(self.features)}
        return np.array([place[column.feature] for column in self.columns], dtype=np.int64)

    def typed(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The needed columns of a raw frame, typed; BadInput when some are missing or hold text."""
        return typed_for(frame, self.features)

    def transform(self, frame: pd.DataFrame) -> NDArray[np.float32]:
        """Prepared columns (N, columns) of a typed frame, cleaned or not: cleaning twice changes nothing."""
        numbers = np.empty((len(self.numbers), len(frame)))
        for place, code in enumerate(self.numbers):
            numbers[place] = code.clean.numbers(frame[code.name].to_numpy(np.float64))
        return self.encode(numbers, self.codes(frame))

    def codes(self, frame: pd.DataFrame) -> NDArray[np.int64]:
        """The codes (categories, N) of the text columns of a typed frame."""
        codes = np.empty((len(self.categories), len(frame)), dtype=np.int64)
        for place, code in enumerate(self.categories):
            values = frame[code.name]
            codes[place] = code.codes(code.clean.categories(values) if code.clean else values)
        return codes

    def encode(self, numbers: NDArray[np.float64], codes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Prepared columns (N, columns) of the numbers (numbers, N), NaN missing, and codes (categories, N).

        In blocks of rows that stay in the processor's cache.
        """
        out = np.empty((numbers.shape[1], len(self.columns)), dtype=np.float32)
        for start in range(0, len(out), BLOCK):
            block = slice(start, start + BLOCK)
            self._plan.write(out[block], numbers[:, block], codes[:, block])
        return out

    @cached_property
    def _plan(self) -> _Plan:
        return _Plan.of(self)

    @cached_property
    def reference(self) -> NDArray[np.float32]:
        """The prepared columns of a patient about whom nothing is known (columns,): what removal means."""
        if self.removed_as:
            return np.array(self.removed_as, dtype=np.float32)
        nothing = {code.name: pd.Series([np.nan]) for code in self.numbers}
        nobody = {code.name: pd.Series([None], dtype=object) for code in self.categories}
        row: NDArray[np.float32] = self.transform(pd.DataFrame({**nothing, **nobody}, index=[0]))[0]
        return row

    def removing_to(self, columns: NDArray[np.float32]) -> Preparation:
        """The preparation to which a removed feature counts as in the average of these patients (N, columns).

        Beside the average, the missing code moves every patient's risk alike by weights that few patients
        have trained. Retraining would undo that; a score that counts it ranks features by their flags.
        """
        return replace(self, removed_as=tuple(columns.mean(axis=0, dtype=np.float64).tolist()))

    def keep(self, columns: Sequence[int]) -> Preparation:
        """The preparation of these columns alone; features without a column are no longer needed."""
        kept = tuple(self.columns[place] for place in columns)
        needed = {column.feature for column in kept}
        return replace(
            self,
            numbers=tuple(code for code in self.numbers if code.name in needed),
            categories=tuple(code for code in self.categories if code.name in needed),
            columns=kept,
            removed_as=tuple(self.removed_as[place] for place in columns) if self.removed_as else (),
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "numbers": [code.to_json() for code in self.numbers],
            "categories": [code.to_json() for code in self.categories],
            "columns": [asdict(column) for column in self.columns],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Preparation:
        return cls(
            numbers=tuple(
                NumberCode(**{**code, "clean": Clean.from_json(code.get("clean", {}))})
                for code in value["numbers"]
            ),
            categories=tuple(
                CategoryCode(
                    code["name"],
                    tuple(code["labels"]),
                    code["fill"],
                    Clean.from_json(code.get("clean", {})),
                )
                for code in value["categories"]
            ),
            columns=tuple(Column(**column) for column in value["columns"]),
        )


def fit_preparation(frame: pd.DataFrame, features: Sequence[Feature]) -> Preparation:
    """Learn fill values, scales and categories from a typed, cleaned frame (the train split)."""
    numbers = tuple(
        replace(_fit_number(frame[f.name], f.name), clean=f.clean) for f in features if f.kind == "number"
    )
    categories = tuple(
        replace(_fit_category(frame[f.name], f.name), clean=f.clean) for f in features if f.kind == "category"
    )
    values = [Column(code.name, "value", name=code.name) for code in numbers]
    flags = [
        Column(code.name, "flag", name=f"{code.name} missing")
        for code in numbers
        if bool(frame[code.name].isna().any())
    ]
    labels = [column for code in categories for column in _category_columns(code, frame[code.name])]
    return Preparation(numbers, categories, (*values, *flags, *labels))


def _fit_number(values: pd.Series, name: str) -> NumberCode:
    x = values.to_numpy(np.float64)
    known = x[~np.isnan(x)]
    fill = float(np.median(known)) if len(known) else 0.0
    filled = np.where(np.isnan(x), fill, x)
    # Shifted by the fill value first: the spread of large, close numbers must not cancel.
    spread = float(np.std(filled - fill))
    mean = float(fill + np.mean(filled - fill))
    return NumberCode(name, fill, mean, spread if spread > 0 else 1.0)


def _fit_category(values: pd.Series, name: str) -> CategoryCode:
    counts = values.value_counts()
    enough = max(RARE_PATIENTS, RARE_SHARE * len(values))
    common = [str(label) for label, count in counts.items() if count >= enough][:MOST_CATEGORIES]
    labels = tuple(sorted(common))
    fill = len(labels) + 1
    if not values.isna().any():  # no missing flag was trained: a missing value is read as the commonest one
        most = str(counts.index[0])
        fill = labels.index(most) if most in labels else len(labels)
    return CategoryCode(name, labels, fill)


def _category_columns(code: CategoryCode, values: pd.Series) -> list[Column]:
    """One column a code that train has: labels, other (rare ones), missing."""
    columns = [
        Column(code.name, "category", i, f"{code.name} = {label}") for i, label in enumerate(code.labels)
    ]
    seen = set(code.codes(values).tolist())
    if code.other in seen:
        columns.append(Column(code.name, "category", code.other, f"{code.name} = (other)"))
    if code.missing in seen:
        columns.append(Column(code.name, "category", code.missing, f"{code.name} missing"))
    return columns
