"""The steps of a fitted scikit-learn Pipeline as what they do to columns.

Only attributes that fitting left are read (``vars``); no method of an estimator is called here. What
MedPrune's preparation cannot say is refused with a sentence that names the step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
)

from medprune.errors import BadInput
from medprune.intake.columns import as_label
from medprune.intake.missing import TEXT_MISSING
from medprune.intake.traced import MOST_COLUMNS, Fill, Mixed, Raw, Traced, coded, filled, flag, scaled

DEEPEST = 30
Columns = list[Traced]


@dataclass(eq=False)
class Steps:
    """Follows columns through steps; remembers what only the file knows about the sources.

    ``labels``: for every source read as categories, the values behind its labels. ``strict``: sources
    whose unseen labels the model refuses. ``open``: sources that may be missing.
    """

    title: str
    names: Sequence[str]  # of all source columns
    labels: dict[int, dict[str, Any]] = field(default_factory=dict)
    strict: set[int] = field(default_factory=set)
    refuses_missing: set[int] = field(default_factory=set)

    def through(self, step: Any, name: str, columns: Columns, depth: int = 0) -> Columns:
        """The columns after one step. Raises BadInput naming it."""
        if depth > DEEPEST:
            raise BadInput(f"{self.title} nests its steps deeper than {DEEPEST}; export a simpler Pipeline.")
        if step is None or (isinstance(step, str) and step == "passthrough"):
            return columns
        if type(step) is Pipeline:
            for inner, inner_step in steps_of(step):
                columns = self.through(inner_step, f"{name}/{inner}" if name else inner, columns, depth + 1)
            return columns
        if type(step) is ColumnTransformer:
            return self._side_by_side(step, name, columns, depth)
        if type(step) not in READERS:
            raise self.refused(name, f"a {type(step).__name__}, which is not among the steps that are read")
        asked = vars(step).get("n_features_in_", len(columns))
        if asked != len(columns):
            raise self.refused(name, f"made for {asked} columns and gets {len(columns)}")
        return READERS[type(step)](self, step, name, columns)

    def refused(self, name: str, why: str) -> BadInput:
        return BadInput(
            f"{self.title}: the step {name!r} is {why}; leave it out of the Pipeline and do it to the table."
        )

    # --- several columns side by side ---

    def _side_by_side(self, step: ColumnTransformer, name: str, columns: Columns, depth: int) -> Columns:
        mine = vars(step)
        inner_names = mine.get("feature_names_in_")
        out: Columns = []
        for part, transformer, where in mine["transformers_"]:
            places = _places(where, len(columns), inner_names)
            if isinstance(transformer, str) and transformer == "drop":
                continue
            if places:
                taken = [columns[place] for place in places]
                out += self.through(transformer, f"{name}/{part}" if name else str(part), taken, depth + 1)
            if len(out) > MOST_COLUMNS:
                raise BadInput(f"{self.title} makes more than {MOST_COLUMNS:,} inputs, which cannot be read.")
        return out

    # --- missing values ---

    def impute(self, step: SimpleImputer, name: str, columns: Columns) -> Columns:
        mine = vars(step)
        self._check_missing(mine.get("missing_values", math.nan), name)
        values = np.asarray(mine["statistics_"], dtype=object).ravel().tolist()
        if len(values) != len(columns):
            raise ValueError("a statistic for every column")
        out = [filled(c, _fill(v)) for c, v in zip(columns, values, strict=True) if not _is_missing(v)]
        return out + (self.indicate(mine["indicator_"], name, columns) if mine.get("add_indicator") else [])

    def indicate(self, step: MissingIndicator, name: str, columns: Columns) -> Columns:
        self._check_missing(vars(step).get("missing_values", math.nan), name)
        places = [int(place) for place in np.asarray(vars(step)["features_"]).ravel()]
        if any(not 0 <= place < len(columns) for place in places):
            raise ValueError("a flag of a column that is not there")
        return [flag(columns[place]) for place in places]

    def _check_missing(self, value: Any, name: str) -> None:
        if not _is_missing(value):
            raise self.refused(name, "made for missing values that are written as a value of their own")

    # --- scales ---

    def standard(self, step: StandardScaler, name: str, columns: Columns) -> Columns:
        mine = vars(step)
        mean = _numbers(mine, "mean_", columns) if mine["with_mean"] else np.zeros(len(columns))
        by = _numbers(mine, "scale_", columns) if mine["with_std"] else np.ones(len(columns))
        return self._scaled(name, columns, 1 / by, -mean / by)

    def robust(self, step: RobustScaler, name: str, columns: Columns) -> Columns:
        mine = vars(step)
        middle = _numbers(mine, "center_", columns) if mine["with_centering"] else np.zeros(len(columns))
        by = _numbers(mine, "scale_", columns) if mine["with_scaling"] else np.ones(len(columns))
        return self._scaled(name, columns, 1 / by, -middle / by)

    def min_max(self, step: MinMaxScaler, name: str, columns: Columns) -> Columns:
        if vars(step).get("clip"):
            raise self.refused(name, "a MinMaxScaler that clips")
        mine = vars(step)
        return self._scaled(name, columns, _numbers(mine, "scale_", columns), _numbers(mine, "min_", columns))

    def max_abs(self, step: MaxAbsScaler, name: str, columns: Columns) -> Columns:
        if vars(step).get("clip"):
            raise self.refused(name, "a MaxAbsScaler that clips")
        by = _numbers(vars(step), "scale_", columns)
        return self._scaled(name, columns, 1 / by, np.zeros(len(columns)))

    def _scaled(
        self, name: str, columns: Columns, scale: NDArray[np.float64], shift: NDArray[np.float64]
    ) -> Columns:
        if not (np.isfinite(scale).all() and np.isfinite(shift).all() and (scale != 0).all()):
            raise self.refused(name, "a scaler with values that are zero or not finite")
        if any(isinstance(c, Raw) and isinstance(c.fill, str) for c in columns):
            raise self.refused(name, "a scaler of text")
        return [scaled(c, float(a), float(b)) for c, a, b in zip(columns, scale, shift, strict=True)]

    # --- categories ---

    def one_hot(self, step: OneHotEncoder, name: str, columns: Columns) -> Columns:
        mine = vars(step)
        grouped = mine.get("_infrequent_indices") or []
        if any(each is not None for each in grouped):
            raise self.refused(name, "a OneHotEncoder that groups infrequent categories")
        drops = mine.get("drop_idx_")
        out: Columns = []
        for place, (column, values) in enumerate(zip(columns, mine["categories_"], strict=True)):
            labels, missing = self._labels(column, values, name)
            strict = mine["handle_unknown"] not in ("ignore", "infrequent_if_exist", "warn")
            dropped = None if drops is None or drops[place] is None else int(drops[place])
            for at in range(len(values)):
                if at != dropped:
                    hot = {label: float(where == at) for label, where in labels.items()}
                    out.append(self._coded(column, hot, 0.0, float(missing == at), name))
            self._note(column, labels, values, strict=strict, refuses_missing=strict and missing is None)
        return out

    def ordinal(self, step: OrdinalEncoder, name: str, columns: Columns) -> Columns:
        mine = vars(step)
        grouped = mine.get("_infrequent_indices") or []
        if any(each is not None for each in grouped):
            raise self.refused(name, "an OrdinalEncoder that groups infrequent categories")
        strict = mine["handle_unknown"] == "error"
        unseen = 0.0 if strict else float(mine["unknown_value"])
        out: Columns = []
        for column, values in zip(columns, mine["categories_"], strict=True):
            labels, missing = self._labels(column, values, name)
            known = {label: float(where) for label, where in labels.items()}
            of_missing = unseen if missing is None else float(mine.get("encoded_missing_value", math.nan))
            filled_in = isinstance(column, Raw) and column.fill is not None
            if not math.isfinite(unseen) or not (math.isfinite(of_missing) or filled_in):
                raise self.refused(name, "an OrdinalEncoder that gives missing values on")
            out.append(self._coded(column, known, unseen, of_missing, name))
            self._note(column, labels, values, strict=strict, refuses_missing=strict and missing is None)
        return out

    def _labels(self, column: Traced, values: Any, name: str) -> tuple[dict[str, int], int | None]:
        """The place of every label as text, and that of the missing value if it is a category."""
        if not isinstance(column, Raw) or (column.scale, column.shift) != (1.0, 0.0):
            raise self.refused(name, "an encoder of columns that were scaled or encoded before")
        labels: dict[str, int] = {}
        missing = None
        for place, value in enumerate(np.asarray(values, dtype=object).ravel().tolist()):
            if _is_missing(value):
                missing = place
                continue
            label = as_label(value)
            if label in labels or label in TEXT_MISSING:
                raise self.refused(
                    name,
                    f"an encoder with a category of {self.names[column.source]!r} that is empty, stands for "
                    "a missing value here, or is there twice",
                )
            labels[label] = place
        return labels, missing

    def _coded(
        self, column: Traced, values: Mapping[str, float], unseen: float, missing: float, name: str
    ) -> Mixed:
        """A number a category; a missing value that was filled in counts as what it was filled with."""
        assert isinstance(column, Raw)
        if column.fill is not None:
            missing = values.get(as_label(column.fill), unseen)
        return coded(column.source, values, unseen, missing)

    def _note(
        self, column: Traced, labels: Mapping[str, int], values: Any, *, strict: bool, refuses_missing: bool
    ) -> None:
        assert isinstance(column, Raw)
        known = self.labels.setdefault(column.source, {})
        cells = np.asarray(values, dtype=object).ravel().tolist()
        known.update({label: cells[place] for label, place in labels.items()})
        if strict:
            self.strict.add(column.source)
        fills = column.fill is not None and (not strict or as_label(column.fill) in labels)
        if refuses_missing and not fills:
            self.refuses_missing.add(column.source)

    # --- functions ---

    def function(self, step: FunctionTransformer, name: str, columns: Columns) -> Columns:
        """What a ColumnTransformer passes on is a function transformer without a function."""
        if vars(step).get("func") is not None:
            raise self.refused(name, "a FunctionTransformer, which is code")
        return columns


READERS: dict[type, Callable[[Steps, Any, str, Columns], Columns]] = {
    SimpleImputer: Steps.impute,
    MissingIndicator: Steps.indicate,
    StandardScaler: Steps.standard,
    RobustScaler: Steps.robust,
    MinMaxScaler: Steps.min_max,
    MaxAbsScaler: Steps.max_abs,
    OneHotEncoder: Steps.one_hot,
    OrdinalEncoder: Steps.ordinal,
    FunctionTransformer: Steps.function,
}


def steps_of(pipeline: Pipeline) -> list[tuple[str, Any]]:
    return [(str(name), step) for name, step in vars(pipeline)["steps"]]


def _places(where: Any, width: int, names: Any) -> list[int]:
    """The places that a ColumnTransformer names by name, number, slice or mask."""
    if isinstance(where, str | int | np.integer) and not isinstance(where, bool):
        where = [where]
    have = None if names is None else [str(name) for name in names]
    if isinstance(where, slice):
        bounds = (where.start, where.stop)
        if any(isinstance(bound, str) for bound in bounds) and have is not None:
            first = 0 if where.start is None else have.index(where.start)
            last = width if where.stop is None else have.index(where.stop) + 1  # a named end is included
            return list(range(first, last))
        return list(range(*where.indices(width)))
    chosen = list(where)
    if chosen and all(isinstance(one, bool | np.bool_) for one in chosen):
        if len(chosen) != width:
            raise ValueError("a mask of another width")
        return [place for place, taken in enumerate(chosen) if taken]
    places = [(have or []).index(one) if isinstance(one, str) else int(one) for one in chosen]
    places = [place + width if place < 0 else place for place in places]
    if any(not 0 <= place < width for place in places):
        raise ValueError("a column that is not there")
    return places


def _numbers(mine: Mapping[str, Any], name: str, columns: Columns) -> NDArray[np.float64]:
    values = np.asarray(mine[name], dtype=np.float64)
    if values.shape != (len(columns),):
        raise ValueError("a number for every column")
    return values


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float | np.floating) and math.isnan(value))


def _fill(value: Any) -> Fill:
    """What missing values become: a number, or text."""
    if isinstance(value, bool | np.bool_):
        return str(value)
    return value if isinstance(value, str) else float(value)
