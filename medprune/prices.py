"""What a feature costs: money, minutes, blood drawn. A feature that no model needs is a price nobody pays."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from medprune.errors import BadInput, nearest


@dataclass(frozen=True)
class Prices:
    """A price for each feature, in one unit. A feature without a price is known anyway: it costs nothing.

    >>> prices = Prices.of({"lactate": 12.5, "age": 0}, unit="EUR")
    >>> prices.total(["lactate", "age", "sex"])
    12.5
    """

    by_feature: tuple[tuple[str, float], ...] = ()
    unit: str = ""

    @classmethod
    def of(cls, prices: Mapping[str, float], unit: str = "") -> Prices:
        """Checked prices; BadInput for one that is negative or not a finite number."""
        for name, price in prices.items():
            if not (math.isfinite(price) and price >= 0):
                raise BadInput(f"The price of {name!r} must be a number from 0, got {price!r}.")
        return cls(tuple((str(name), float(price)) for name, price in prices.items()), unit)

    def check(self, features: Iterable[str]) -> None:
        """BadInput when a price is for something that is no feature."""
        known = tuple(features)
        for name, _ in self.by_feature:
            if name not in known:
                raise BadInput(
                    f"There is a price for {name!r}, which is no feature{nearest(name, known)}; "
                    "use the column names of the table."
                )

    def price(self, feature: str) -> float:
        return dict(self.by_feature).get(feature, 0.0)

    def total(self, features: Iterable[str]) -> float:
        priced = dict(self.by_feature)
        return sum(priced.get(feature, 0.0) for feature in features)

    def __bool__(self) -> bool:
        return bool(self.by_feature)
