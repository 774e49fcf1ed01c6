"""Laws of what leaves: ONNX computes what torch computes, and predict.py reads what MedPrune reads."""

from __future__ import annotations

import copy
import importlib.util
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from medprune import BadInput, Cohort, RiskModel, compact, load_cohort
from medprune.bundle import TOLERANCE, export, onnx_risks, probe_rows
from medprune.intake.columns import (
    NUMBER_MISSING,
    TEXT_MISSING,
    Feature,
    as_category,
    as_numbers,
    clean_name,
    typed_for,
)
from medprune.intake.table_file import read_table
from medprune.model import Recalibration, softmax
from medprune.model_file import load_model, model_bytes
from medprune.network import ACTIVATIONS, NORMS, NetworkSpec
from medprune.onnx_graph import onnx_bytes, onnx_model
from medprune.preparation import fit_preparation
from medprune.removal import Cut, alive_groups, mean_activations
from tests.makers import patient_table, random_network, tails, untrained_model

seeds = st.integers(0, 2**31)
DATE = 20_261_124.0
PRUNED = ("feature", "neuron", "weight")  # in this order: a later cut leaves a way from input to outcome


@cache
def cohort(classes: int) -> Cohort:
    """Dates as numbers, missing values, and categories of which some are rare on train."""
    table = patient_table(200, classes)
    table["visit"] = DATE - np.arange(200) % 97
    table.loc[::40, "ward"] = [f"rare {i}" for i in range(5)]
    return load_cohort(table, outcome="stage")


def raw_rows(classes: int) -> pd.DataFrame:
    """Raw columns as they come from outside: the patients, unseen labels, far values, nothing at all."""
    preparation = fit_preparation(cohort(classes).train.frame, cohort(classes).features)
    odd = pd.DataFrame(
        {
            "age": [np.nan, 250.0, -40.0, np.inf],
            "lactate": [np.nan, np.nan, 0.0, 3.0],
            "visit": [np.nan, DATE, DATE + 0.5, DATE],
            "sex": [None, "neither", "", "male"],
            "ward": [None, "rare 1", "?", "never seen"],
            "noise": [np.nan, 0.0, 1.0, 2.0],
        }
    )
    return pd.concat([cohort(classes).all().frame, odd, probe_rows(preparation, 50)], ignore_index=True)


@cache
def dense(classes: int) -> RiskModel:
    return untrained_model(cohort(classes))


@st.composite
def models(draw: st.DrawFn) -> tuple[int, RiskModel]:
    """Any network on these patients, whole or pruned at any granularity, recalibrated or not."""
    classes = draw(st.sampled_from((2, 4)))
    model = dense(classes)
    spec = NetworkSpec(
        len(model.preparation.columns),
        tails(
            *draw(st.lists(st.integers(1, 7), max_size=3)),
            activation=draw(st.sampled_from(sorted(ACTIVATIONS))),
            norm=draw(st.sampled_from(NORMS)),
            norm_first=draw(st.booleans()),
        ),
        classes,
    )
    shift = tuple(draw(st.lists(st.floats(-1, 1), min_size=classes, max_size=classes)))
    how = draw(st.sampled_from((Recalibration(), Recalibration(0.7, shift))))
    model = replace(model, network=random_network(spec, draw(seeds)), recalibration=how)
    rng = np.random.default_rng(draw(seeds))
    for granularity in draw(st.lists(st.sampled_from(PRUNED), max_size=3)):
        alive = alive_groups(model, granularity)
        if not alive:
            continue  # no hidden units
        order = tuple(rng.random(part.shape) for part in alive)
        kept = tuple(
            (scores > draw(st.floats(0, 1))) & part for scores, part in zip(order, alive, strict=True)
        )
        columns = model.prepared(cohort(classes).train)
        means = mean_activations(model, columns)
        model = Cut(model, granularity, alive, order, means).keep(kept)
    return classes, model


def rounding(model: RiskModel, rows: pd.DataFrame) -> float:
    """How far float32 takes the risks from exact ones: a LayerNorm over equal units multiplies rounding."""
    prepared = torch.from_numpy(model.preparation.transform(model.preparation.typed(rows)))
    exact = copy.deepcopy(model.network).double()
    with torch.no_grad():
        logits = exact(prepared.double(), model.mask).numpy()
    return float(np.abs(softmax(model.recalibration(logits)) - model.risks_of(prepared.numpy())).max())


@settings(max_examples=40)
@given(models())
def test_onnx_and_the_files_compute_what_torch_computes(case: tuple[int, RiskModel]) -> None:
    classes, model = case
    rows = raw_rows(classes)
    expected = model.predict_proba(rows)
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(expected.sum(axis=1), 1)
    small = compact(model)
    near = TOLERANCE + 10 * rounding(model, rows)
    np.testing.assert_allclose(onnx_risks(onnx_bytes(model), small.preparation, rows), expected, atol=near)
    np.testing.assert_allclose(load_model(model_bytes(model)).predict_proba(rows), expected, atol=near)


@settings(max_examples=20)
@given(models().filter(lambda case: all(tail.spec.norm != "layer" for tail in case[1].network.tails)))
def test_without_layer_norm_rounding_is_small(case: tuple[int, RiskModel]) -> None:
    assert rounding(case[1], raw_rows(case[0])) < TOLERANCE / 2


@settings(max_examples=15)
@given(models())
def test_the_graph_is_valid_and_needs_the_used_columns_alone(case: tuple[int, RiskModel]) -> None:
    _, model = case
    proto = onnx_model(model)
    onnx.checker.check_model(proto, full_check=True)
    assert [value.name for value in proto.graph.input] == list(compact(model).features)
    assert [value.name for value in proto.graph.output] == ["risks"]
    assert {node.domain for node in proto.graph.node} <= {"", "ai.onnx.ml"}


def test_a_date_keeps_its_digits_until_it_is_scaled() -> None:
    model = dense(2)
    rows = raw_rows(2).iloc[[0] * 97].assign(visit=DATE - np.arange(97))
    [place] = [
        i for i, c in enumerate(model.preparation.columns) if (c.feature, c.role) == ("visit", "value")
    ]
    [code] = [code for code in model.preparation.numbers if code.name == "visit"]
    prepared = model.preparation.transform(model.preparation.typed(rows))[:, place]
    np.testing.assert_allclose(prepared, (rows["visit"] - code.mean) / code.scale, atol=1e-6)
    assert len(np.unique(prepared)) == 97
    risks = onnx_risks(onnx_bytes(model), model.preparation, rows)
    np.testing.assert_allclose(risks, model.predict_proba(rows), atol=1e-6)
    assert len(np.unique(risks[:, 1])) == 97


# --- predict.py ------------------------------------------------------------------------------------


@cache
def script() -> ModuleType:
    """predict.py of a bundle, as a module."""
    folder = Path(tempfile.mkdtemp()) / "bundle"
    export(dense(2), None, folder)
    spec = importlib.util.spec_from_file_location("bundled_predict", folder / "predict.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


nasty = st.one_of(
    st.sampled_from(sorted(NUMBER_MISSING | TEXT_MISSING)),
    st.sampled_from(sorted(NUMBER_MISSING | TEXT_MISSING)).map(lambda text: f" {text}\t"),
    st.sampled_from(
        (
            *("Nan", "nAn", "NONE", "na", "Null", "inf", "-Infinity", "1e999", "1_000", "0x10", "1d5", "+5"),
            *("--5", "1,5", "1.", ".5", "5 ", "1e", "True", "12345678901234567890", "9" * 23, "-0", "1 2"),
            *("\u0661", "\uff11", "\xa05", "\u20035", "5\u200b", "1\x1c", "\x85x", "Ja", "é", "'", '"', "=1"),
        )
    ),
    st.floats().map(repr),
    st.integers().map(str),
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=5),
)


@settings(max_examples=150)
@given(st.lists(nasty, min_size=1, max_size=6))
def test_predict_reads_cells_as_medprune_does(cells: list[str]) -> None:
    raw = pd.Series(cells, dtype="str")
    stripped = raw.str.strip()
    wanted = as_category(raw)
    np.testing.assert_array_equal(script().texts(stripped)[:, 0], wanted.where(wanted.notna(), "").to_numpy())
    _, other = as_numbers(raw)
    if other.any():
        with pytest.raises(SystemExit, match=f"rows .first: {np.flatnonzero(other)[0] + 1}"):
            script().numbers(stripped, "x")
        return
    typed = typed_for(pd.DataFrame({"x": raw}), [Feature("x", "number")])["x"]
    np.testing.assert_array_equal(script().numbers(stripped, "x")[:, 0], typed.to_numpy())


def table_text() -> st.SearchStrategy[str]:
    """Text that is nearly a table: delimiters, quotation marks, blank lines, decimal commas."""
    cell = st.one_of(
        st.sampled_from(
            ["1", "2,5", "-3,25", "", " ", "x", '"a, b"', '"a;b"', '"x""y"', '"', "NA", "é", "\u200bb"]
        ),
        st.text("ab1,;\t|\"' .\n\r\ufeff\xa0é", max_size=4),
    )
    row = st.lists(cell, min_size=1, max_size=4)
    rectangle = st.integers(1, 4).flatmap(
        lambda n: st.lists(st.lists(cell, min_size=n, max_size=n), max_size=5)
    )
    rows = st.one_of(rectangle, st.lists(row, max_size=4))
    joined = st.builds(
        lambda rows, by, end, tail: end.join([by.join(row) for row in rows]) + tail,
        rows,
        st.sampled_from(",;\t|"),
        st.sampled_from(["\n", "\r\n", "\n\n"]),
        st.sampled_from(["", "\n", "\n \n", ";"]),
    )
    return st.builds(
        lambda head, text: head + text, st.sampled_from(["", "a,b\n", "a;b\n", "n;m;\u00e9\n"]), joined
    )


@settings(max_examples=200)
@given(table_text(), st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]))
def test_predict_reads_files_as_medprune_does(text: str, encoding: str) -> None:
    assume(text.replace('"', "").strip())
    try:
        data = text.encode(encoding)
    except UnicodeEncodeError:
        assume(False)
    path = Path(script().__file__ or "").with_name("patients.csv")
    path.write_bytes(data)
    try:
        wanted = read_table(path).apply(lambda cells: cells.str.strip())
    except BadInput:
        with pytest.raises(SystemExit):
            script().read(path)
        return
    found = script().read(path)
    assert list(found.columns) == [clean_name(name) for name in wanted.columns]
    pd.testing.assert_frame_equal(found, wanted, check_dtype=False)
