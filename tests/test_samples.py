"""The sample tables are what assets/samples/samples.json says they are."""

import json
from pathlib import Path

import pandas as pd
import pytest

SAMPLES = Path(__file__).resolve().parents[1] / "assets" / "samples"
CATALOGUE = json.loads((SAMPLES / "samples.json").read_text())


@pytest.mark.parametrize("sample", CATALOGUE, ids=lambda sample: sample["id"])
def test_table_is_as_described(sample):
    table = pd.read_csv(SAMPLES / sample["file"], dtype=str)
    left_out = {column for group in sample["exclude"] for column in group["columns"]}
    assert len(table) == sample["rows"]
    assert sample["positive"] in set(table[sample["outcome"]])
    assert table[sample["outcome"]].notna().all()
    assert not left_out & set(table.columns)


def test_every_table_is_in_the_catalogue():
    assert {path.name for path in SAMPLES.glob("*.csv")} == {sample["file"] for sample in CATALOGUE}
