"""A figure and how well the patients pin it down."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

from scipy.stats import norm

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A value with the ends of its interval, 95 % unless said otherwise; NaN where it cannot be known."""

    value: float
    low: float
    high: float

    @classmethod
    def normal(cls, value: float, error: float, confidence: float = CONFIDENCE) -> Self:
        """The value and its standard error's interval, by the normal approximation."""
        reach = float(norm.ppf((1 + confidence) / 2)) * error
        return cls(value, value - reach, value + reach)

    @classmethod
    def unknown(cls) -> Self:
        return cls(math.nan, math.nan, math.nan)

    @property
    def is_known(self) -> bool:
        return not math.isnan(self.value)

    def exceeds(self, margin: float) -> bool:
        """Whether the whole interval lies above ``margin``: of a change and minus the largest loss that is
        allowed, this is non-inferiority."""
        return self.low > margin
