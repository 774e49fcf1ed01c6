"""Laws of treatments: what they do to train they do to a new patient, in PyTorch and in model.onnx alike."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from medprune import LargeTable, compact, load_cohort, predict_large
from medprune.bundle import TOLERANCE, export, onnx_risks, probe_rows
from medprune.intake.clean import NOTHING, OTHER, Clean, Convert
from medprune.intake.columns import Feature, typed_for
from medprune.model_file import load_model, model_bytes
from medprune.onnx_graph import onnx_bytes
from medprune.preparation import Preparation
from tests.laws.test_export import script
from tests.makers import patient_table, untrained_model

values = st.floats(-1e6, 1e6, allow_nan=False)
codes = st.lists(st.sampled_from([-1.0, 0.0, 9.0, 999.0, 18.0]), max_size=3, unique=True).map(tuple)
labels = st.sampled_from(["A", "B", "C", "a", "male", "unknown", "(other)"])


@st.composite
def number_cleans(draw: st.DrawFn) -> Clean:
    """Steps such as :mod:`medprune.treating` makes them: what is converted lands outside what is."""
    convert = None
    if draw(st.booleans()):
        cut, factor = draw(st.floats(1, 1e3)), draw(st.floats(1.5, 1e3))
        convert = Convert.across(cut, draw(st.sampled_from([factor, 1 / factor])))
    low, high = draw(st.none() | st.floats(-100, 0)), draw(st.none() | st.floats(500, 1e5))
    return Clean(codes=draw(codes), convert=convert, low=low, high=high)


@st.composite
def category_cleans(draw: st.DrawFn) -> Clean:
    merge = tuple(
        (one, two) for one, two in draw(st.sampled_from([(), (("a", "A"),), (("a", "A"), ("male", "B"))]))
    )
    keep = draw(st.sampled_from([(), ("A",), ("A", "B"), (OTHER,)]))
    return Clean(words=draw(st.sampled_from([(), ("unknown",)])), merge=merge, keep=keep)


@given(number_cleans(), st.lists(values | st.just(float("nan")), min_size=1, max_size=30))
def test_cleaning_numbers_twice_is_cleaning_them_once(clean: Clean, cells: list[float]) -> None:
    edges = [*cells, *clean.codes, *((clean.convert and (clean.convert.low, clean.convert.high)) or ())]
    once = clean.numbers(np.array(edges))
    np.testing.assert_array_equal(clean.numbers(once), once)
    assert not np.isin(once, clean.codes).any()
    assert not (once < (clean.low if clean.low is not None else -np.inf)).any()


@given(category_cleans(), st.lists(st.none() | labels, min_size=1, max_size=30))
def test_cleaning_categories_twice_is_cleaning_them_once(clean: Clean, cells: list[str | None]) -> None:
    once = clean.categories(pd.Series(cells, dtype=object))
    assert clean.categories(once).tolist() == once.tolist()
    assert not once.isin(clean.words).any()


@given(number_cleans() | category_cleans())
def test_steps_survive_json(clean: Clean) -> None:
    assert Clean.from_json(clean.to_json()) == clean
    assert bool(clean) == (clean != NOTHING) == bool(clean.to_json())


@settings(max_examples=25)
@given(number_cleans(), number_cleans(), category_cleans(), st.integers(0, 2**31))
def test_onnx_cleans_as_torch_does(age: Clean, lactate: Clean, ward: Clean, seed: int) -> None:
    cohort = load_cohort(patient_table(200, seed=seed % 97), outcome="stage")
    model = untrained_model(cohort, seed=seed)
    with_steps = {"age": age, "lactate": lactate, "ward": ward}
    preparation = model.preparation
    model = replace(
        model,
        preparation=replace(
            preparation,
            numbers=tuple(replace(c, clean=with_steps.get(c.name, NOTHING)) for c in preparation.numbers),
            categories=tuple(
                replace(c, clean=with_steps.get(c.name, NOTHING)) for c in preparation.categories
            ),
        ),
    )
    assert Preparation.from_json(model.preparation.to_json()) == model.preparation
    rows = pd.concat([probe_rows(model.preparation, seed=seed), patient_table(50, seed=1)], ignore_index=True)
    expected = model.predict_proba(rows)
    again = load_model(model_bytes(model)).predict_proba(rows)
    by_onnx = onnx_risks(onnx_bytes(model), model.preparation, rows)
    assert np.abs(again - expected).max() <= TOLERANCE
    assert np.abs(by_onnx - expected).max() <= TOLERANCE


def dirty(rows: int = 400, seed: int = 0) -> pd.DataFrame:
    """Every treatment of cells has something to do."""
    rng = np.random.default_rng(seed)
    glucose = rng.normal(120, 20, rows).round(1)
    glucose[:60] = (glucose[:60] / 18.016).round(3)
    age = rng.normal(60, 10, rows).round()
    age[5] = 65_526
    lab = rng.normal(200, 20, rows).round()
    lab[::9] = 0
    sex = rng.choice(["Male", "female", "M", "F", "male "], rows)
    ward = rng.choice(
        ["A", "B", "unknown", *(f"w{i}" for i in range(20))], rows, p=[0.4, 0.3, 0.1, *[0.01] * 20]
    )
    mixed = rng.normal(5, 1, rows).round(2).astype(str)
    mixed[::50] = "<0.1"
    died = (lab + rng.normal(0, 30, rows) > 190).astype(int)
    frame = pd.DataFrame(
        {"glucose": glucose, "age": age, "lab": lab, "sex": sex, "ward": ward, "crp": mixed, "died": died}
    )
    return frame.sample(frac=1, random_state=seed).reset_index(drop=True)


TREATED = (
    "unit:glucose:18.016",
    "impossible-missing:age",
    "sentinel-missing:lab:0",
    "merge-categories:sex",
    "sentinel-missing:ward:unknown",
    "group-rare:ward",
    "text-missing:crp",
)


def test_a_bundle_treats_a_raw_row_as_train_rows_were_treated() -> None:
    frame = dirty()
    cohort = load_cohort(frame, outcome="died", treatments=TREATED)
    model = untrained_model(cohort)
    everyone = cohort.all()
    raw = frame.drop(columns="died").astype(str)
    by_cells = model.predict_proba(raw)
    np.testing.assert_allclose(by_cells, model.risks_of(model.prepared(everyone)), atol=TOLERANCE)
    with tempfile.TemporaryDirectory() as folder:
        bundle = export(model, None, Path(folder) / "b")
        np.testing.assert_allclose(bundle.predict_proba(raw), by_cells, atol=TOLERANCE)
        onnx = (bundle.folder / "model.onnx").read_bytes()
        np.testing.assert_allclose(onnx_risks(onnx, model.preparation, raw), by_cells, atol=TOLERANCE)
        lenient = script().numbers(raw["crp"], "crp", True)
        assert np.isnan(lenient).sum() == (raw["crp"] == "<0.1").sum()
    assert compact(model).preparation == model.preparation


def test_a_table_read_in_batches_is_cleaned_alike(tmp_path: Path) -> None:
    frame = dirty().drop(columns="crp")
    model = untrained_model(load_cohort(frame, outcome="died", treatments=TREATED[:-1]))
    frame.to_parquet(tmp_path / "p.parquet")
    predict_large(model, LargeTable.open(tmp_path / "p.parquet"), tmp_path / "risks.csv")
    risks = pd.read_csv(tmp_path / "risks.csv")["risk"].to_numpy()
    np.testing.assert_allclose(risks, model.predict_proba(frame)[:, 1], atol=TOLERANCE)


@given(st.lists(values, min_size=1, max_size=20))
def test_a_feature_reads_a_typed_frame_as_it_reads_a_raw_one(cells: list[float]) -> None:
    feature = Feature("x", "number", Clean(codes=(0.0,), high=1e5))
    typed = typed_for(pd.DataFrame({"x": cells}), [feature])
    again = typed_for(pd.DataFrame({"x": [repr(cell) for cell in cells]}), [feature])
    pd.testing.assert_frame_equal(typed, again)
    pd.testing.assert_frame_equal(typed_for(typed, [feature]), typed)
