"""Tables larger than memory: the rate and the peak of memory, against reading the file with pyarrow alone."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from medprune import MLP, load_cohort, save_model, train
from medprune.training import Schedule
from tests.bench.report import grid

MILLIONS = (1, 4)
COLUMNS = 50
GOES = 3
PART = 250_000  # rows made at a time
FLOPS = 8  # a weight and row, of a score without its effective patients
GOAL, GOAL_MEMORY = 3.0, 1.5e9

# Each runs in a process of its own; the clock starts when everything is imported.
HEAD = """
import json, os, sys, time
import pyarrow.parquet as pq
from medprune import load_model
from medprune.large import LargeTable, large_patients, predict_large, score_large, sweep_large
from medprune.peak_memory import peak
data, place = sys.argv[1:]
model = load_model(place)
before, started = peak(), time.perf_counter()
"""
WORK = {
    "read by pyarrow alone": "pq.read_table(data)",
    "score": "score_large(model, large_patients(LargeTable.open(data), model))",
    "predict, to Parquet": "predict_large(model, LargeTable.open(data), data + '.risks.parquet')",
    "sweep of 11 thresholds": """
patients = large_patients(LargeTable.open(data), model)
scored = score_large(model, patients)
before, started = peak(), time.perf_counter()
sweep_large(model, patients, scored, 11)
""",
}
TAIL = "\nprint(json.dumps([time.perf_counter() - started, before, peak()]))"


def large_table() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        model = _model(place)
        yield (
            f"## Tables larger than memory\n\n{COLUMNS} columns of simulated doubles, a tenth of five "
            f"missing; network 64-32; pyarrow {version('pyarrow')}. Peaks include PyTorch.\n"
        )
        found = {}
        for millions in MILLIONS:
            data = _table(place / f"{millions}.parquet", millions * 1_000_000)
            found[millions] = {name: _measured(name, data, model, _goes(name)) for name in WORK}
            yield _grid(millions, found[millions])
            data.unlink()
        yield _verdict(found)


def _goes(name: str) -> int:
    return GOES if name in ("score", "read by pyarrow alone") else 1


def _measured(name: str, data: Path, model: Path, goes: int) -> list[float]:
    """Seconds (the median), peak memory before and after in bytes."""
    command = [sys.executable, "-c", HEAD + WORK[name] + TAIL, str(data), str(model)]
    runs = [
        json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        for _ in range(goes)
    ]
    return [median(each) for each in zip(*runs, strict=True)]


def _grid(millions: int, found: dict[str, list[float]]) -> str:
    alone = found["read by pyarrow alone"][0]
    rows = [
        [
            name,
            f"{seconds:.2f}",
            f"{seconds / alone:.1f}x",
            f"{millions / seconds:.2f}",
            f"{(after - before) / 1e6:,.0f}",
            f"{after / 1e6:,.0f}",
        ]
        for name, (seconds, before, after) in found.items()
    ]
    heads = ["work", "seconds", "of reading", "million rows a second", "MB more than imports", "peak MB"]
    return f"{millions} million rows\n\n{grid(heads, rows)}\n"


def _verdict(found: dict[int, dict[str, list[float]]]) -> str:
    first, last = min(found), max(found)
    ratio = found[first]["score"][0] / found[first]["read by pyarrow alone"][0]
    peaks = [found[millions]["score"][2] for millions in (first, last)]
    widths = (COLUMNS + 5, 64, 32, 2)
    weights = sum(a * b for a, b in itertools.pairwise(widths))
    work = FLOPS * weights * first / 1e3
    return (
        f"Score of {first} million rows takes {ratio:.1f}x the time of reading them alone "
        f"({_met(ratio <= GOAL)}: at most {GOAL:g}x), at a peak of {peaks[0] / 1e6:,.0f} MB "
        f"({_met(peaks[0] < GOAL_MEMORY)}: under {GOAL_MEMORY / 1e9:g} GB), which is "
        f"{peaks[1] / peaks[0]:.2f} times as much with {last} million.\n"
        f"What it must do: decode {first * COLUMNS * 8:,} MB of doubles, and {work:,.0f} billion floating "
        f"point operations ({FLOPS} a weight and row: two each for the forward pass, the backward one, what "
        "arrives at every input, and the sums of scores).\n"
    )


def _met(yes: bool) -> str:
    return "the goal is met" if yes else "the goal is missed"


def _model(place: Path) -> Path:
    small = _table(place / "small.parquet", 2_000)
    cohort = load_cohort(small, outcome="y")
    made = train(cohort, MLP(hidden=(64, 32)), schedule=Schedule(epochs=3))
    return save_model(made, place / "m.safetensors")


def _table(path: Path, rows: int) -> Path:
    rng = np.random.default_rng(rows)
    names = [f"x{place}" for place in range(COLUMNS)]
    schema = pa.schema([*((name, pa.float64()) for name in names), ("y", pa.int64())])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, PART):
            x = rng.normal(size=(COLUMNS, min(PART, rows - start)))
            y = (x[1] + x[2] + rng.normal(size=x.shape[1]) > 1).astype(np.int64)
            x[::10][rng.random(x[::10].shape) < 0.1] = np.nan
            columns = [pa.array(column, from_pandas=True) for column in x]
            writer.write_table(pa.table([*columns, pa.array(y)], schema=schema), row_group_size=2**20)
    return path
