"""What is done to a column's cells before anything else reads them: part of a feature, part of a model.

A new patient's raw cell goes through the same steps as those of train: in ``predict``, in model.onnx and in
the bundle's script. The steps are such that a cell that went through them once stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

OTHER = "(other)"  # the label of every category that is not kept


@dataclass(frozen=True)
class Convert:
    """Values from ``low`` to ``high``, both included, are in another unit: times ``factor`` gives ours."""

    low: float
    high: float
    factor: float

    @classmethod
    def across(cls, cut: float, factor: float) -> Convert:
        """Converts what lies on one side of ``cut`` (above 0) to its other side, and nothing else.

        What would stay on its side is left alone, so that no value is converted twice.
        """
        if factor > 1:
            low, high = cut / factor, float(np.nextafter(cut, -math.inf))
            while low * factor < cut:
                low = float(np.nextafter(low, math.inf))
            return cls(low, high, factor)
        low, high = cut, cut / factor
        while high * factor >= cut:
            high = float(np.nextafter(high, -math.inf))
        return cls(low, high, factor)


@dataclass(frozen=True)
class Clean:
    """Steps for one column, in this order; none by default.

    Of numbers: ``text_missing`` (cells that hold text are missing), ``codes`` (these values are missing),
    ``convert`` (another unit), ``low`` and ``high`` (values outside are missing). Of categories: ``words``
    (these labels are missing), ``merge`` (a label is read as another one), ``keep`` (all other labels are
    OTHER).
    """

    text_missing: bool = False
    codes: tuple[float, ...] = ()
    convert: Convert | None = None
    low: float | None = None
    high: float | None = None
    words: tuple[str, ...] = ()
    merge: tuple[tuple[str, str], ...] = ()
    keep: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self != NOTHING

    @cached_property
    def merged(self) -> dict[str, str]:
        return dict(self.merge)

    def numbers(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Numbers (N,) after the steps, NaN missing."""
        x = self._without_codes(x)
        if self.convert is not None:
            how = self.convert
            x = np.where((x >= how.low) & (x <= how.high), x * how.factor, x)
            x = self._without_codes(x)
        if self.low is not None:
            x = np.where(x < self.low, np.nan, x)
        if self.high is not None:
            x = np.where(x > self.high, np.nan, x)
        return x

    def _without_codes(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        for code in self.codes:
            x = np.where(x == code, np.nan, x)
        return x

    def label(self, label: str) -> str | None:
        """One label after the steps; None where it means missing."""
        if label in self.words:
            return None
        label = self.merged.get(label, label)
        return OTHER if self.keep and label not in self.keep else label

    def categories(self, values: pd.Series) -> pd.Series:
        """Text (N,) of dtype object after the steps, None missing."""
        codes, labels = pd.factorize(values.to_numpy(dtype=object))
        cleaned = np.array([*(self.label(str(label)) for label in labels), None], dtype=object)
        return pd.Series(cleaned[codes], index=values.index, dtype=object)  # a missing value has code -1

    def to_json(self) -> dict[str, Any]:
        """The steps that there are."""
        usual = asdict(NOTHING)
        return {key: value for key, value in asdict(self).items() if value != usual[key]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Clean:
        """The inverse of :meth:`to_json`. Raises KeyError, TypeError or ValueError when it is damaged."""
        convert = value.get("convert")
        clean = cls(
            text_missing=bool(value.get("text_missing", False)),
            codes=tuple(float(code) for code in value.get("codes", ())),
            convert=None if convert is None else Convert(**{key: float(v) for key, v in convert.items()}),
            low=None if value.get("low") is None else float(value["low"]),
            high=None if value.get("high") is None else float(value["high"]),
            words=tuple(str(word) for word in value.get("words", ())),
            merge=tuple((str(one), str(other)) for one, other in value.get("merge", ())),
            keep=tuple(str(label) for label in value.get("keep", ())),
        )
        numbers = [*clean.codes, clean.low or 0.0, clean.high or 0.0]
        if clean.convert is not None:
            numbers += [clean.convert.low, clean.convert.high, clean.convert.factor]
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError("a column is cleaned by values that are not finite")
        return clean


NOTHING = Clean()
