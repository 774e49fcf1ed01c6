"""A table read in batches gives what it gives in memory; and what is wrong with it is told the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medprune import BadInput, Cohort, RiskModel, load_cohort, score, sweep
from medprune.intake.large_table import LargeTable
from medprune.large import LargePatients, large_patients, predict_large, score_large, sweep_large
from medprune.large.rows import Block
from medprune.large.spill import Spill
from medprune.tables import csv_bytes, risk_table
from tests.makers import patient_cohort, patient_table, untrained_model

ROWS = 20_000


@pytest.fixture(params=(2, 3), ids=("two classes", "three classes"), scope="module")
def model(request: pytest.FixtureRequest) -> RiskModel:
    return untrained_model(patient_cohort(400, request.param))


@pytest.fixture(scope="module")
def frame(model: RiskModel) -> pd.DataFrame:
    """Other patients: a number stored as text, infinite and missing values, rows without an outcome."""
    table = patient_table(ROWS, len(model.classes), seed=7)
    table.loc[::11, "stage"] = None
    table.loc[5::100, "noise"] = np.inf
    table["age"] = table["age"].map("{} ".format)
    return table.assign(ward=table["ward"].astype("category"), unread=range(ROWS))


@pytest.fixture(scope="module")
def path(frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("large") / "patients.parquet"
    frame.to_parquet(place, row_group_size=7_000)
    return place


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """One scoring batch a block and a forward pass, so that a small table has several."""
    for module in ("large.rows", "model", "removal"):
        monkeypatch.setattr(f"medprune.{module}.BATCH", 8_192)


@pytest.fixture(scope="module")
def cohort(model: RiskModel, frame: pd.DataFrame) -> Cohort:
    return load_cohort(
        frame,
        outcome="stage",
        classes=model.classes,
        features=model.preparation.features,
        external=True,
    )


def patients(path: Path, model: RiskModel, **more: str) -> LargePatients:
    return large_patients(LargeTable.open(path), model, **more)


@pytest.mark.parametrize("criterion", ["contribution", "class_contribution", "magnitude"])
def test_scores_are_those_in_memory(criterion: str, path: Path, model: RiskModel, cohort: Cohort) -> None:
    here, there = score(model, cohort.all(), criterion), score_large(model, patients(path, model), criterion)
    for granularity in ("weight", "neuron", "feature"):
        pd.testing.assert_frame_equal(
            there.table(granularity, by_class=True),
            here.table(granularity, by_class=True),
            rtol=1e-12,
            atol=0,
        )
    assert there.patients == here.patients == len(cohort.test)


@pytest.mark.parametrize("granularity", ["weight", "neuron", "feature"])
def test_a_sweep_is_the_one_in_memory(granularity: str, path: Path, model: RiskModel, cohort: Cohort) -> None:
    model = replace(model, act_at=0.3)
    scored, large = score(model, cohort.test), replace(patients(path, model), name="test")
    here = sweep(model, cohort.test, scored, 21, granularity=granularity)
    there = sweep_large(model, large, scored, 21, granularity=granularity)
    pd.testing.assert_frame_equal(
        there.table.drop(columns="brier"), here.table.drop(columns="brier"), check_exact=True
    )
    np.testing.assert_allclose(there.table["brier"], here.table["brier"], rtol=1e-12)  # sums in another order
    np.testing.assert_array_equal(there.confusion, here.confusion)
    np.testing.assert_array_equal(there.acted, here.acted)
    assert (there.split, there.scope) == (here.split, here.scope)


@pytest.mark.parametrize("name", ["risks.csv", "risks.parquet"])
def test_risks_are_those_in_memory(
    name: str, path: Path, frame: pd.DataFrame, model: RiskModel, tmp_path: Path
) -> None:
    out = tmp_path / name
    assert predict_large(model, LargeTable.open(path), out) == ROWS
    table = risk_table(model.predict_proba(frame), model.classes)
    if name.endswith("csv"):
        assert out.read_bytes() == csv_bytes(table)
    else:
        pd.testing.assert_frame_equal(pd.read_parquet(out), table, check_exact=True)
    assert list(tmp_path.iterdir()) == [out]


def test_a_folder_is_one_table(path: Path, frame: pd.DataFrame, model: RiskModel, tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    (folder / "more").mkdir(parents=True)
    frame[:9_000].to_parquet(folder / "more" / "part-2.parquet")
    frame[9_000:].to_parquet(folder / "part-3.parquet")
    (folder / "_SUCCESS").write_text("")
    frame[:10].to_parquet(folder / "_part-1.parquet")
    outs = tmp_path / "one.csv", tmp_path / "many.csv"
    for source, out in zip((path, folder), outs, strict=True):
        predict_large(model, LargeTable.open(source), out)
    assert outs[0].read_bytes() == outs[1].read_bytes()
    assert LargeTable.open(folder).is_large
    assert not LargeTable.open(path).is_large


def test_every_block_is_seen_to_pass(path: Path, model: RiskModel, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []

    def watch(blocks: Iterable[Block]) -> Iterator[Block]:
        for block in blocks:
            seen.append((block.done, block.of))
            yield block

    predict_large(model, LargeTable.open(path), tmp_path / "risks.csv", watch=watch)
    assert seen == [(8_192, ROWS), (16_384, ROWS), (ROWS, ROWS)]
    score_large(model, patients(path, model), watch=watch)
    assert [of for _, of in seen] == [ROWS] * len(seen)
    assert seen[-1] == (ROWS, ROWS)


# --- the outcome ------------------------------------------------------------------------------------


def outcome_table(values: object, path: Path) -> Path:
    table = patient_table(ROWS, seed=3).assign(stage=values)
    table.to_parquet(path, row_group_size=3_000)
    return path


@pytest.mark.parametrize("kind", ["float", "text"])
@pytest.mark.parametrize("positive", [">1.2", "<=1.2"])
def test_a_measurement_is_cut_at_a_point(kind: str, positive: str, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=ROWS)
    values[:9_000] = 1.2 - np.abs(values[:9_000])  # whole blocks on one side
    raw = pd.Series(values).mask(np.arange(ROWS) % 7 == 0)
    raw = raw.map(repr).replace("nan", "NA") if kind == "text" else raw
    path = outcome_table(raw, tmp_path / "t.parquet")
    cut = untrained_model(load_cohort(path, outcome="stage", positive=positive))
    large = patients(path, cut, positive=positive)
    found = np.concatenate([block.outcome for block in large.blocks(cut)])
    known = np.arange(ROWS) % 7 != 0
    inside = values > 1.2 if positive.startswith(">") else values <= 1.2
    assert len(large) == known.sum()
    np.testing.assert_array_equal(found, inside[known].astype(int))


def test_labels_mean_what_they_mean_in_the_whole_column(tmp_path: Path) -> None:
    """The first half holds numbers alone, where "None" would be missing; the second makes it a label."""
    values = np.where(np.arange(ROWS) % 3 == 0, "None", "1").astype(object)
    values[ROWS // 2 :] = np.where(np.arange(ROWS // 2) % 2 == 0, "None", "unknown")
    path = outcome_table(values, tmp_path / "t.parquet")
    model = untrained_model(load_cohort(path, outcome="stage"))
    assert model.classes == ("1", "None", "unknown")
    found = np.concatenate([block.outcome for block in patients(path, model).blocks(model)])
    assert [model.classes[place] for place in found] == values.tolist()


@pytest.mark.parametrize(
    ("values", "positive", "expected"),
    [
        ([0] * ROWS, None, "only one class"),
        ([None] * ROWS, None, "no values"),
        ([0, 2] * (ROWS // 2), None, "does not know"),
        (range(ROWS), None, "different values"),
        ([f"p{n}" for n in range(ROWS)], ">0", "different values"),
        (range(ROWS), ">-1", "only one class"),
    ],
)
def test_a_bad_outcome_is_told(values: object, positive: str | None, expected: str, tmp_path: Path) -> None:
    binary = untrained_model(patient_cohort(200))
    with pytest.raises(BadInput, match=expected):
        large_patients(
            LargeTable.open(outcome_table(values, tmp_path / "t.parquet")), binary, positive=positive
        )


def test_patients_with_several_rows_are_counted(tmp_path: Path) -> None:
    table = patient_table(ROWS).assign(who=[n // 2 for n in range(ROWS)])
    table.loc[table["who"] < 100, "stage"] = None
    table["who"] = table["who"].mask(table["who"] >= ROWS // 2 - 10)  # the last 20 rows say nothing
    table.to_parquet(tmp_path / "t.parquet")
    model = untrained_model(patient_cohort(200))
    large = patients(tmp_path / "t.parquet", model, patient="who")
    assert (len(large), large.count) == (ROWS - 200, ROWS // 2 - 100 - 10 + 20)
    assert f"{large.count:,} patients ({len(large):,} rows)" == large.told()


# --- what is refused --------------------------------------------------------------------------------


def test_text_among_numbers_names_the_column_and_the_row_but_no_value(tmp_path: Path) -> None:
    table = patient_table(ROWS)
    table["noise"] = table["noise"].map(repr)
    table.loc[12_345, "noise"] = "Mrs Smith"
    table.to_parquet(tmp_path / "t.parquet")
    model = untrained_model(patient_cohort(200))
    with pytest.raises(BadInput, match=r"'noise'.*12346") as told:
        score_large(model, patients(tmp_path / "t.parquet", model))
    assert "Smith" not in str(told.value)
    out = tmp_path / "risks.csv"
    out.write_text("older")
    with pytest.raises(BadInput, match="'noise'"):
        predict_large(model, LargeTable.open(tmp_path / "t.parquet"), out)
    assert out.read_text() == "older"
    assert {p.name for p in tmp_path.iterdir()} == {"t.parquet", "risks.csv"}


def test_missing_columns_are_told(path: Path, model: RiskModel, frame: pd.DataFrame, tmp_path: Path) -> None:
    frame.drop(columns="noise").to_parquet(tmp_path / "t.parquet")
    with pytest.raises(BadInput, match=r"lacks.*'noise'"):
        patients(tmp_path / "t.parquet", model)
    with pytest.raises(BadInput, match="lacks 'noise'"):
        predict_large(model, LargeTable.open(tmp_path / "t.parquet"), tmp_path / "risks.csv")
    with pytest.raises(BadInput, match="no outcome column 'nothing'"):
        patients(path, model, outcome="nothing")


def test_bad_files_are_told(tmp_path: Path, model: RiskModel, path: Path) -> None:
    with pytest.raises(BadInput, match="There is no Parquet file"):
        LargeTable.open(tmp_path)
    with pytest.raises(BadInput, match="There is no file"):
        LargeTable.open(tmp_path / "none.parquet")
    with pytest.raises(BadInput, match="web address"):
        LargeTable.open("https://example.org/t.parquet")
    broken = tmp_path / "broken.parquet"
    data = bytearray(path.read_bytes())
    broken.write_bytes(data[:-1000])
    with pytest.raises(BadInput, match="incomplete or damaged"):
        LargeTable.open(broken)
    data[1_000:60_000] = bytes(59_000)
    broken.write_bytes(data)
    with pytest.raises(BadInput, match="incomplete or damaged"):
        predict_large(model, LargeTable.open(broken), tmp_path / "risks.csv")
    deep = pa.table({**{f: [1.0] for f in model.features}, "noise": [[1.0]]})
    pq.write_table(deep, tmp_path / "deep.parquet")
    with pytest.raises(BadInput, match=r"'noise'.*lists"):
        predict_large(model, LargeTable.open(tmp_path / "deep.parquet"), tmp_path / "risks.csv")


def test_a_disk_without_room_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medprune.large.spill.SPARE", 2**62)
    with pytest.raises(BadInput, match="TMPDIR"):
        Spill(101, 1_000, 2)


@pytest.mark.parametrize("classes", [2, 4])
def test_risks_come_back_from_disk_as_they_were(classes: int) -> None:
    risks = np.random.default_rng(0).dirichlet(np.ones(classes), size=(3, 50))
    with Spill(3, 50, classes) as spill:
        for first in (20, 0):  # in any order
            rows = slice(first, first + 30)
            for cut in range(3):
                spill.put(cut, first, risks[cut, rows])
        for cut in range(3):
            back = spill.risks(cut)
            np.testing.assert_array_equal(back[:, -1], risks[cut, :, -1])
            np.testing.assert_allclose(back, risks[cut], rtol=0, atol=1e-15)
