"""What leaves as a table or a figure: no cell that a spreadsheet runs (62), no label that is markup (61)."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medprune import MLP, Schedule, cli, load_cohort, prune, score, sweep, train
from medprune.figures import (
    drop_bars,
    feature_bars,
    missing_bars,
    outcome_bars,
    pareto_chart,
    tradeoff_curve,
)
from medprune.figures.style import figure, label
from medprune.markup import MARKS, WORD_JOINER, plain, seen
from medprune.onnx_graph import onnx_bytes
from medprune.onnx_run import session_of
from medprune.tables import FORMULA_STARTS, NUMBER, csv_bytes
from tests.hostile.names import NAMES

REPO = Path(__file__).resolve().parents[2]
STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def read_back(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline="")))


@given(st.sampled_from(STARTS), st.text(st.characters(exclude_categories=["Cs"]), max_size=8))
def test_no_text_begins_like_a_formula(start: str, rest: str) -> None:
    text = start + rest
    frame = pd.DataFrame({text: [text, "plain", None], "number": [-1.5, 2.0, np.nan]})
    frame["category"] = frame[text].astype("category")
    rows = read_back(csv_bytes(frame))
    assert [len(row) for row in rows] == [3] * 4
    for cell in (rows[0][0], rows[1][0], rows[1][2]):
        assert cell[:1] not in STARTS or NUMBER.fullmatch(cell), cell
        assert cell.removeprefix("'") == text.replace("\r\n", "\n").replace("\r", "\n"), (
            "and no more is changed"
        )
    assert [row[1] for row in rows[1:]] == ["-1.5", "2.0", ""]


@pytest.mark.parametrize("number", ["-1", "+0.5", "-1.5e-3", "-.5"])
def test_a_number_written_as_text_stays_a_number(number: str) -> None:
    assert read_back(csv_bytes(pd.DataFrame({"x": [number]})))[1] == [number]


@pytest.mark.parametrize(
    "formula", ["-1+1", "=1", "+cmd|' /C calc'!A0", "-2-3", "+1-1", "-1\n=2", "@SUM(A1)"]
)
def test_what_only_looks_like_a_number_is_escaped(formula: str) -> None:
    assert read_back(csv_bytes(pd.DataFrame({"x": [formula]})))[1] == [f"'{formula}"]


def test_every_start_is_known() -> None:
    assert set(STARTS) == set(FORMULA_STARTS)


def test_one_function_alone_writes_csv() -> None:
    found = [path.name for path in (REPO / "medprune").rglob("*.py") if ".to_csv(" in path.read_text("utf-8")]
    found += [path.name for path in (REPO / "pages").rglob("*.py") if ".to_csv(" in path.read_text("utf-8")]
    assert found == ["tables.py"]


def hostile_table(rows: int = 160) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({name: rng.normal(size=rows) for name in NAMES})
    frame.loc[rng.random(rows) < 0.2, NAMES[0]] = np.nan
    frame["died"] = np.where(frame[NAMES[1]] + rng.normal(size=rows) > 0, "=2+2", "<i>no</i>")
    return frame


@pytest.fixture(scope="module")
def walked():
    cohort = load_cohort(hostile_table(), outcome="died", positive="=2+2")
    model = train(cohort, MLP(hidden=(4,)), schedule=Schedule(epochs=3))
    return cohort, model, prune(model, cohort, sparsities=(0.5,), schedule=Schedule(epochs=1))


def test_the_shells_scores_are_safe_to_open(tmp_path: Path) -> None:
    table, model, out = tmp_path / "t.csv", tmp_path / "m.safetensors", tmp_path / "s.csv"
    hostile_table().to_csv(table, index=False)
    common = [str(table), "--outcome", "died", "--positive", "=2+2", "--quiet"]
    assert cli.main(["train", *common, "--out", str(model), "--hidden", "4"]) == cli.DONE
    assert cli.main(["score", *common, "--model", str(model), "--out", str(out)]) == cli.DONE
    cells = [cell for row in read_back(out.read_bytes()) for cell in row]
    assert "'=1+1" in cells
    assert [cell for cell in cells if cell.startswith(STARTS) and not NUMBER.fullmatch(cell)] == []


def test_no_figure_holds_a_name_as_markup(walked) -> None:
    cohort, model, path = walked
    features = score(model, cohort.train).features
    drops = features.assign(drop=0.1, low=0.0, high=0.2, noise=True)
    figures = [
        outcome_bars(cohort),
        missing_bars(cohort),
        feature_bars(features, [NAMES[0]], title=NAMES[0]),
        drop_bars(drops, title=NAMES[7], metric="AUROC"),
        tradeoff_curve(sweep(model, cohort.tuning, score(model, cohort.train)).table, path.candidates,
                       metric="auroc", threshold=0.1, chosen=None, dense=0.5, what="weights"),
        pareto_chart([path], metric="auroc", x="features"),
        figure(title=NAMES[1], x="", y=""),
    ]  # fmt: skip
    for each in figures:
        text = each.to_json()
        for name in (*NAMES, "<i>no</i>"):
            if set(name) & set("<$&"):
                assert json.dumps(name)[1:-1] not in text, name


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_a_label_has_no_mark_of_html_or_mathematics(text: str) -> None:
    made = label(text)
    assert not set(made) & set("<>$")
    assert seen(made) == made


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_every_mark_of_markdown_is_escaped_and_nothing_is_lost(text: str) -> None:
    escaped = plain(text)
    places = [place for place, mark in enumerate(escaped) if mark in MARKS and mark != "\\"]
    assert all(escaped[place - 1] == "\\" for place in places)
    assert escaped.replace(WORD_JOINER, "").replace("\\\\", "\0").replace("\\", "").replace(
        "\0", "\\"
    ) == seen(text)


@pytest.mark.parametrize("text", ["a\u202eb", "a\u200bb", "a\0b", "a\nb", "a\u2066b"])
def test_what_cannot_be_seen_is_written_out(text: str) -> None:
    assert seen(text).isprintable()
    assert len(seen(text)) >= len(text)


def test_onnx_takes_hostile_names_as_names(walked) -> None:
    """The graph's inputs are called as the table's columns: names there are data, never paths or code."""
    cohort, model, _ = walked
    ready = session_of(onnx_bytes(model))
    assert {each.name for each in ready.get_inputs()} <= set(cohort.train.frame.columns)
    assert {each.name for each in ready.get_inputs()} & set(NAMES)
