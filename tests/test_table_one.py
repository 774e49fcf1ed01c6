"""Table 1 against figures computed by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from medprune import load_cohort
from medprune.table_one import REST, table_one
from tests.makers import patient_cohort


def frame(rows: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    died = np.arange(rows) % 2
    cost = rng.lognormal(3, 1, rows)
    cost[::10] = np.nan
    ward = np.where(rng.random(rows) < 0.5 + 0.2 * died, "A", "B").astype(object)
    ward[:3] = [f"Doe {i}" for i in range(3)]
    return pd.DataFrame(
        {"age": 60 + 5 * died + rng.normal(0, 10, rows), "cost": cost, "ward": ward, "died": died}
    )


def test_numbers_are_described_by_mean_or_median() -> None:
    raw = frame()
    table = table_one(load_cohort(raw, outcome="died")).set_index("variable")
    age = table.loc["age"]
    assert age["shown as"] == "mean (SD)"
    assert age["all"].startswith(f"{raw['age'].mean():.4g} (")
    by_class = raw.groupby("died")["age"]
    pooled = np.sqrt(by_class.var().mean())
    assert age["SMD"] == pytest.approx(abs(by_class.mean().diff().iloc[1]) / pooled)
    cost = table.loc["cost"]
    assert cost["shown as"] == "median [IQR]"
    assert (cost["n"], cost["missing"]) == ("360", "40 (10.0%)")
    assert cost["all"].startswith(f"{raw['cost'].median():.4g} [")


def test_categories_are_counted_and_rare_ones_are_not_named() -> None:
    raw = frame()
    table = table_one(load_cohort(raw, outcome="died"))
    ward = table[table["variable"] == "ward"]
    assert set(ward["shown as"]) == {"A, n (%)", "B, n (%)", f"{REST}, n (%)"}
    assert not table.astype(str).apply(lambda cells: cells.str.contains("Doe")).any().any()
    counts = ward["all"].str.split().str[0].astype(int)
    assert counts.sum() == len(raw)


def test_the_difference_of_shares_of_two_levels_is_the_usual_one() -> None:
    raw = frame().assign(ward=lambda f: np.where(f["ward"] == "A", "A", "B"))
    table = table_one(load_cohort(raw, outcome="died"))
    p, q = (float((raw.loc[raw["died"] == k, "ward"] == "A").mean()) for k in (0, 1))
    expected = abs(p - q) / np.sqrt((p * (1 - p) + q * (1 - q)) / 2)
    assert table.loc[table["variable"] == "ward", "SMD"].iloc[0] == pytest.approx(expected)


def test_every_class_has_its_column() -> None:
    cohort = patient_cohort(classes=3)
    table = table_one(cohort)
    heads = [name for name in table.columns if "(n=" in name]
    assert len(heads) == 3
    assert set(table["variable"]) == {feature.name for feature in cohort.features}
    assert (table["SMD"].dropna() >= 0).all()


def test_small_counts_are_kept_back_with_what_tells_them() -> None:
    """Seven of a rare ward, three of them ill: neither these nor the shares beside them are shown."""
    rng = np.random.default_rng(0)
    ward = np.array(["north"] * 250 + ["south"] * 143 + ["west"] * 7)
    frame = pd.DataFrame({"ward": ward, "age": rng.normal(60, 9, 400), "ill": rng.integers(0, 2, 400)})
    frame.loc[:3, "age"] = np.nan
    cohort = load_cohort(frame, outcome="ill")
    shown, kept_back = table_one(cohort), table_one(cohort, floor=10)
    assert "7 (1.8%)" in shown["all"].tolist()
    west = kept_back[kept_back["shown as"].str.startswith("west")].iloc[0]
    assert west["all"] == "hidden"
    others = kept_back[kept_back["shown as"].str.match("north|south")]
    assert (others["all"] == "hidden").any()
    assert kept_back[kept_back["variable"] == "age"].iloc[0][["n", "missing"]].tolist() == ["hidden"] * 2
