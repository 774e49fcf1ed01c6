"""Shift of the inputs: indices by hand, what chance alone does, missing values and strange ones."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from medprune import BadInput
from medprune.intake.columns import Feature
from medprune.review.gate import FAIL, NOT_ASSESSABLE, PASS, WARN
from medprune.review.limits import Limits
from medprune.review.shift import Shift, input_check, psi, shift

NUMBER, LABEL = Feature("x", "number"), Feature("ward", "category")


def table(count: int, seed: int, *, moved: float = 0.0, gone: float = 0.1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = np.where(rng.random(count) < gone, np.nan, rng.normal(moved, 1, count))
    ward = rng.choice(np.array(["A", "B", None], dtype=object), count, p=[0.5, 0.4, 0.1])
    return pd.DataFrame({"x": x, "ward": ward})


def of(before: pd.DataFrame, after: pd.DataFrame) -> Shift:
    return shift(before, after, [NUMBER, LABEL])


def test_the_index_is_its_definition() -> None:
    before, after = np.array([30, 50, 20, 0]), np.array([10, 50, 40, 0])
    p, q = (before[:3] + 0.5) / 101.5, (after[:3] + 0.5) / 101.5
    assert psi(before, after) == pytest.approx(((q - p) * np.log(q / p)).sum())
    assert psi(before, before) == 0
    assert math.isfinite(psi(np.array([10, 0]), np.array([0, 10])))
    assert math.isnan(psi(np.array([0, 0]), np.array([0, 10])))


def test_bins_are_deciles_of_train_and_missing_is_one_of_them() -> None:
    before, after = table(1_000, 0), table(800, 1, moved=0.5)
    found = of(before, after).features[0]

    def counts(frame: pd.DataFrame) -> NDArray[np.int64]:
        cuts = np.quantile(before["x"].dropna(), np.arange(1, 10) / 10)
        known = frame["x"].dropna()
        inner = [
            int(((known > a) & (known <= b)).sum()) for a, b in zip([-9, *cuts], [*cuts, 9], strict=True)
        ]
        return np.array([*inner, int(frame["x"].isna().sum())])

    assert found.psi == pytest.approx(psi(counts(before), counts(after)))
    one, other = before["x"].dropna(), after["x"].dropna()
    assert found.smd == pytest.approx(
        abs(one.mean() - other.mean()) / math.sqrt((one.var() + other.var()) / 2)
    )
    assert found.missing == pytest.approx(after["x"].isna().mean())
    assert found.missing_before == pytest.approx(before["x"].isna().mean())


def test_chance_alone_seldom_exceeds_what_it_is_said_to_stay_under() -> None:
    """And of 60 patients it passes the banking cut-off more often than not, which is why it is told."""
    over, past = 0, 0
    for seed in range(200):
        found = of(table(600, seed), table(60, 1_000 + seed)).features[0]
        over += found.psi > found.by_chance
        past += found.psi > Limits().stability
    assert 0.005 <= over / 200 <= 0.1
    assert past / 200 > 0.5


def test_what_train_has_not_is_outside() -> None:
    before = pd.DataFrame({"x": [0.0, 1.0, 2.0], "ward": np.array(["A", "B", None], dtype=object)})
    after = pd.DataFrame(
        {"x": [-1.0, 1.5, np.nan, 3.0], "ward": np.array(["A", "C", None, "D"], dtype=object)}
    )
    found = of(before, after)
    assert [each.outside for each in found.features] == [0.5, 0.5]
    assert (found.imputed, found.outside) == (0.25, 0.75)
    assert found.features[1].missing == 0.25


def test_labels_are_compared_by_yang_and_dalton() -> None:
    before, after = table(500, 2), table(400, 3)
    after.loc[:200, "ward"] = "B"
    found = of(before, after).features[1]
    shares = [float((frame["ward"].dropna() == "A").mean()) for frame in (before, after)]
    spread = sum(p * (1 - p) for p in shares) / 2
    assert found.smd == pytest.approx(abs(shares[0] - shares[1]) / math.sqrt(spread))
    furthest = of(before, after).furthest
    assert furthest is not None
    assert furthest.name == "ward"


def test_the_order_of_rows_plays_no_part_and_empty_tables_say_nothing() -> None:
    before, after = table(300, 4), table(200, 5)
    assert of(before, after) == of(
        before.sample(frac=1, random_state=0), after.sample(frac=1, random_state=1)
    )
    nothing = of(before, after.iloc[:0])
    assert math.isnan(nothing.imputed)
    assert math.isnan(nothing.features[0].psi)
    assert nothing.furthest is None
    with pytest.raises(BadInput, match="lacks 'ward'"):
        shift(before, after[["x"]], [NUMBER, LABEL])
    assert of(before, after).table()["name"].tolist() == ["x", "ward"]


def test_the_check_of_the_inputs() -> None:
    before = table(2_000, 6, gone=0)
    before["ward"] = np.where(before["x"] > 0, "A", "B").astype(object)
    same = before.sample(1_500, random_state=0)
    limits = Limits()
    calm = input_check(of(before, same), [], limits)
    assert (calm.id, calm.state) == ("G6", PASS)
    assert input_check(of(before, same), ["potassium"], limits).state == WARN
    assert input_check(of(before, same), ["potassium"], limits, confirmed=["potassium"]).state == PASS
    lost = input_check(
        of(before, same), ["potassium"], Limits(required=("potassium",)), confirmed=["potassium"]
    )
    assert lost.state == FAIL
    assert "'potassium'" in lost.sentence
    mixed = input_check(of(before, same), [], limits, clashes=["glucose"])
    assert mixed.state == FAIL
    assert "'glucose'" in mixed.sentence
    moved = same.assign(x=same["x"] + 1)
    assert input_check(of(before, moved), [], limits).state == FAIL
    assert "custom" in " ".join(input_check(of(before, moved), [], limits).details)
    gaps = same.assign(x=same["x"].where(np.arange(1_500) % 12 > 0))
    assert (
        input_check(of(before.assign(x=before["x"].where(np.arange(2_000) % 12 > 0)), gaps), [], limits).state
        == WARN
    )
    small = input_check(of(before, before.sample(40, random_state=3)), [], limits)
    assert small.state == WARN, "beyond the cut-off, but no more than chance: never a failure"
    unknown = input_check(None, [], limits)
    assert unknown.state == NOT_ASSESSABLE
