"""Settings are described once; prices are checked, and make a path cheap."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from medprune import BadInput, Schedule, prune
from medprune.baselines import BASELINES
from medprune.criteria import CRITERIA
from medprune.prices import Prices
from medprune.settings import check_settings, setting, settings_of
from medprune.strategies import STRATEGIES
from tests.makers import patient_cohort, untrained_model


@dataclass(frozen=True)
class Asked:
    count: int = setting(3, "Count", low=1, high=9)
    way: str = setting("slow", "Way", choices=("slow", "quick"))
    silent: int = 5

    def __post_init__(self) -> None:
        check_settings(self)


def test_only_what_is_described_is_asked_for() -> None:
    assert list(settings_of(Asked)) == ["count", "way"]
    assert settings_of(Asked)["count"][0] == 3


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"count": 0}, "in \\[1, 9\\]"), ({"count": 10}, "Count"), ({"way": "never"}, "slow, quick")],
)
def test_a_value_outside_its_limits_is_told(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        Asked(**wrong)


@pytest.mark.parametrize("family", [CRITERIA, STRATEGIES, BASELINES], ids=lambda family: family.family)
def test_every_member_can_be_asked_for(family: object) -> None:
    """A form shows a title, a sentence, and defaults that lie within their own limits."""
    for name in family.names():
        kind = family.get(name)
        assert kind.title, name
        assert 10 < len(family.explanation(name)) < 120, name
        for default, how in settings_of(kind).values():
            assert how.label
            assert not how.choices or default in how.choices


def test_a_price_must_be_a_number_from_zero() -> None:
    for price in (-1.0, float("nan"), float("inf")):
        with pytest.raises(BadInput, match="'lactate'"):
            Prices.of({"lactate": price})


def test_what_costs_something_goes_before_what_is_free() -> None:
    cohort = patient_cohort()
    model = untrained_model(cohort)
    prices = Prices.of({"age": 20.0, "lactate": 5.0}, "EUR")
    path = prune(model, cohort, granularity="feature", prices=prices, schedule=Schedule(epochs=0))
    assert path.dense.price == 25.0
    assert [candidate.price for candidate in path] == sorted([c.price for c in path], reverse=True)
    assert all(candidate.price == 0 for candidate in path if candidate.features <= 4)
    cheapest = path.choose("non-inferior", margin=1.0, smallest="price")
    assert cheapest.price == 0.0


def test_without_prices_a_feature_counts_one() -> None:
    cohort = patient_cohort()
    path = prune(untrained_model(cohort), cohort, granularity="feature", schedule=Schedule(epochs=0))
    assert [candidate.price for candidate in path] == [candidate.features for candidate in path]


def test_a_removed_feature_is_the_average_patient_and_is_never_read_again() -> None:
    cohort = patient_cohort()
    model = untrained_model(cohort)
    columns = model.prepared(cohort.train)
    path = prune(model, cohort, granularity="feature", schedule=Schedule(epochs=2))
    for candidate in path.candidates[1:]:
        gone = [name for name in model.features if name not in candidate.needed]
        places = np.isin(np.array(model.features)[model.preparation.feature_of_column], gone)
        np.testing.assert_allclose(
            candidate.mask.input_constants.numpy()[places], columns[:, places].mean(axis=0), atol=1e-6
        )
        frame = cohort.test.frame.copy()
        frame[gone] = frame[gone].sample(frac=1, random_state=0).to_numpy()
        before, after = (candidate.model.predict_proba(f) for f in (cohort.test.frame, frame))
        np.testing.assert_array_equal(before, after)
        assert candidate.model.preparation == replace(model.preparation, removed_as=())
