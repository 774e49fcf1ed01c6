"""Raw columns to numbers: fitted on train alone, in double precision, nothing missing is dropped."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medprune import BadInput
from medprune.intake.table_file import Feature
from medprune.preparation import MOST_CATEGORIES, RARE_PATIENTS, Preparation, fit_preparation
from tests.makers import patient_cohort

NUMBER, TEXT = Feature("x", "number"), Feature("t", "category")


def numbers(*values: float) -> pd.DataFrame:
    return pd.DataFrame({"x": np.array(values, dtype=np.float64)})


def texts(*values: str | None) -> pd.DataFrame:
    return pd.DataFrame({"t": pd.Series(values, dtype=object)})


def names(preparation: Preparation) -> list[str]:
    return [column.name for column in preparation.columns]


# --- numbers ---------------------------------------------------------------------------------------


def test_numbers_are_scaled_by_train_alone() -> None:
    preparation = fit_preparation(numbers(1, 2, 3, 4), [NUMBER])
    assert names(preparation) == ["x"]
    np.testing.assert_allclose(
        preparation.transform(numbers(2.5, 100))[:, 0], [0, (100 - 2.5) / np.std([1, 2, 3, 4])], rtol=1e-6
    )


def test_missing_numbers_take_the_median_and_a_flag() -> None:
    train = numbers(1, 2, 9, np.nan)
    preparation = fit_preparation(train, [NUMBER])
    assert names(preparation) == ["x", "x missing"]
    prepared = preparation.transform(train)
    assert prepared[:, 1].tolist() == [0, 0, 0, 1]
    assert prepared[3, 0] == prepared[1, 0]
    np.testing.assert_allclose(prepared[:, 0].mean(), 0, atol=1e-6)
    np.testing.assert_allclose(prepared[:, 0].std(), 1, rtol=1e-6)


def test_what_train_never_missed_has_no_flag_and_is_still_read() -> None:
    preparation = fit_preparation(numbers(1, 2, 9), [NUMBER])
    assert names(preparation) == ["x"]
    prepared = preparation.transform(numbers(2, np.nan))
    assert prepared[0].tolist() == prepared[1].tolist()


def test_a_constant_and_an_all_missing_number_are_harmless() -> None:
    for train in (numbers(7, 7, 7), numbers(np.nan, np.nan)):
        prepared = fit_preparation(train, [NUMBER]).transform(train)
        assert np.isfinite(prepared).all()
        assert (prepared[:, 0] == 0).all()


def test_a_date_like_number_keeps_its_digits() -> None:
    days = np.arange(20261101.0, 20261131.0)
    preparation = fit_preparation(numbers(*days), [NUMBER])
    prepared = preparation.transform(numbers(*days, 20261124.0))[:, 0]
    expected = (days - days.mean()) / days.std()
    np.testing.assert_allclose(prepared[:-1], expected, atol=1e-6)
    assert len(np.unique(prepared)) == 30
    naive = (days.astype(np.float32) - np.float32(days.mean())) / np.float32(days.std())
    assert np.abs(naive - expected).max() > 0.01


@settings(max_examples=50)
@given(
    st.lists(
        st.one_of(st.floats(-1e8, 1e8).map(lambda x: round(x, 3)), st.just(np.nan)), min_size=2, max_size=30
    ).filter(lambda values: not np.isnan(values).all())
)
def test_prepared_numbers_are_finite_and_standard(values: list[float]) -> None:
    train = numbers(*values)
    prepared = fit_preparation(train, [NUMBER]).transform(train)
    assert prepared.dtype == np.float32
    assert np.isfinite(prepared).all()
    assert abs(float(prepared[:, 0].astype(np.float64).mean())) < 1e-3
    assert prepared[:, 0].std() < 1.001


# --- text ------------------------------------------------------------------------------------------


def test_labels_get_a_column_each_and_rare_ones_share_one() -> None:
    common = ["b"] * RARE_PATIENTS + ["a"] * RARE_PATIENTS
    train = texts(*common, *["c"] * (RARE_PATIENTS - 1), None)
    preparation = fit_preparation(train, [TEXT])
    assert names(preparation) == ["t = a", "t = b", "t = (other)", "t missing"]
    prepared = preparation.transform(texts("a", "b", "c", "never seen", None, "A"))
    assert prepared.tolist() == np.eye(4)[[0, 1, 2, 2, 3, 2]].tolist()


def test_an_unseen_label_is_none_of_those_known_when_train_had_no_rare_ones() -> None:
    preparation = fit_preparation(texts(*["a", "b"] * RARE_PATIENTS), [TEXT])
    assert names(preparation) == ["t = a", "t = b"]
    assert preparation.transform(texts("new")).tolist() == [[0, 0]]


def test_missing_text_is_read_as_the_commonest_where_train_missed_none() -> None:
    preparation = fit_preparation(texts(*["b"] * 9, *["a"] * 6), [TEXT])
    assert preparation.transform(texts(None)).tolist() == preparation.transform(texts("b")).tolist()
    rare_alone = fit_preparation(texts("a", "b", "c"), [TEXT])
    assert names(rare_alone) == ["t = (other)"]
    assert rare_alone.transform(texts(None, "a", "z")).tolist() == [[1], [1], [1]]


def test_a_label_must_be_common_enough_in_large_tables() -> None:
    train = texts(*["a"] * 2_000, *["b"] * 9)
    assert names(fit_preparation(train, [TEXT])) == ["t = a", "t = (other)"]


def test_no_column_becomes_more_than_thirty() -> None:
    labels = [f"label {i}" for i in range(MOST_CATEGORIES + 10)]
    train = texts(*labels * RARE_PATIENTS, *labels[:MOST_CATEGORIES])
    preparation = fit_preparation(train, [TEXT])
    assert len(preparation.columns) == MOST_CATEGORIES + 1
    assert preparation.categories[0].labels == tuple(sorted(labels[:MOST_CATEGORIES]))


@settings(max_examples=50)
@given(st.lists(st.one_of(st.sampled_from("abc"), st.none()), min_size=1, max_size=40), st.text(max_size=3))
def test_a_text_has_at_most_one_code(values: list[str | None], other: str) -> None:
    train = texts(*values)
    preparation = fit_preparation(train, [TEXT])
    assert (preparation.transform(train).sum(axis=1) == 1).all()
    assert preparation.transform(texts(other))[0].sum() <= 1


# --- the whole -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole() -> Preparation:
    cohort = patient_cohort()
    return fit_preparation(cohort.train.frame, cohort.features)


def test_columns_come_as_values_flags_and_categories(whole: Preparation) -> None:
    roles = [column.role for column in whole.columns]
    assert roles == sorted(roles, key=["value", "flag", "category"].index)
    assert [feature.name for feature in whole.features] == ["age", "lactate", "visit", "noise", "sex", "ward"]
    for column, place in zip(whole.columns, whole.feature_of_column, strict=True):
        assert whole.features[place].name == column.feature


def test_the_reference_is_the_patient_about_whom_nothing_is_known(whole: Preparation) -> None:
    nobody = pd.DataFrame({feature.name: [None] for feature in whole.features})
    np.testing.assert_array_equal(whole.transform(whole.typed(nobody))[0], whole.reference)
    flags = [
        i for i, column in enumerate(whole.columns) if column.name in ("lactate missing", "ward missing")
    ]
    assert whole.reference[flags].tolist() == [1, 1]


@given(st.sets(st.integers(0, 11), min_size=1))
@settings(max_examples=30)
def test_kept_columns_are_the_same_as_before(keep: set[int]) -> None:
    cohort = patient_cohort()
    whole = fit_preparation(cohort.train.frame, cohort.features)
    columns = sorted(place for place in keep if place < len(whole.columns)) or [0]
    small = whole.keep(columns)
    needed = [feature.name for feature in small.features]
    assert needed == [f.name for f in whole.features if f.name in {whole.columns[c].feature for c in columns}]
    rows = cohort.test.frame
    np.testing.assert_array_equal(small.transform(rows[needed]), whole.transform(rows)[:, columns])


def test_it_survives_json(whole: Preparation) -> None:
    assert Preparation.from_json(json.loads(json.dumps(whole.to_json()))) == whole


def test_raw_and_typed_rows_are_prepared_alike(whole: Preparation) -> None:
    cohort = patient_cohort()
    typed = cohort.all().frame
    raw = typed.astype(object).where(typed.notna(), "NA").astype("str").assign(extra="x")
    raw["ward"] = typed["ward"].fillna("").to_numpy()
    raw["age"] = [f" {value} " for value in typed["age"]]
    np.testing.assert_array_equal(whole.transform(whole.typed(raw)), whole.transform(whole.typed(typed)))


def test_missing_columns_and_text_among_numbers_are_told(whole: Preparation) -> None:
    cohort = patient_cohort()
    with pytest.raises(BadInput, match="lacks 'age' and 'sex'"):
        whole.typed(cohort.test.frame.drop(columns=["age", "sex"]))
    wrong = cohort.test.frame.astype({"age": object})
    wrong.loc[4, "age"] = "Jane Doe"
    with pytest.raises(
        BadInput, match=r"'age' is read as numbers, but 1 cell holds text \(data row 5\)"
    ) as caught:
        whole.typed(wrong)
    assert "Jane" not in str(caught.value)
