"""Run the benchmark: ``python -m tests.bench [--only PART ...] [--write FILE]``; it prints as it goes."""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path

from joblib import Parallel, delayed

from medprune.training import RETRAINING
from tests.bench.ablation_speed import ablation_speed
from tests.bench.costs import costs
from tests.bench.coverage import coverage
from tests.bench.data import APART, NHEFS, TABLES
from tests.bench.group_review import group_review
from tests.bench.growth import growth
from tests.bench.harm_report import harm
from tests.bench.large_table import large_table
from tests.bench.live_speed import live_speed
from tests.bench.one_patient import one_patient
from tests.bench.optimum import optimum
from tests.bench.peers import peers
from tests.bench.report import report
from tests.bench.scoring_speed import scoring_speed
from tests.bench.study import METHODS, run
from tests.bench.sweep_speed import sweep_speed
from tests.bench.toy import toy
from tests.bench.validation_speed import validation_speed

SEEDS = range(5)
PROCESSES = 2
PACKAGES = ("medprune", "torch", "numpy", "pandas", "scikit-learn")


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    options.add_argument("--write", type=Path, metavar="FILE", help="also write the results, as Markdown")
    options.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="these parts alone")
    given = options.parse_args()
    file, parts = given.write, []
    for part in results(given.only):
        print(part, flush=True)
        parts.append(part)
    if file is not None:
        file.write_text("\n".join(parts), encoding="utf-8")


def results(parts: Sequence[str]) -> Iterator[str]:
    """The named parts of the report, each piece when it is ready."""
    yield conditions()
    for part in parts:
        yield from PARTS[part]()


def study(granularity: str) -> Iterator[str]:
    """Every strategy and baseline: on the tables that settings were chosen on, and on those kept apart."""
    yield f"## {granularity.capitalize()}s\n"
    for title, tables in (("Tables the settings were chosen on", TABLES), ("Tables kept apart", APART)):
        here = [table for table in tables if table.there]
        methods = METHODS[granularity]
        jobs = [
            delayed(run)(table, seed, granularity, m) for table in here for seed in SEEDS for m in methods
        ]
        done = Parallel(n_jobs=PROCESSES)(jobs)
        yield report(title, granularity, here, [result for results in done for result in results])


def conditions() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"""# Benchmark

- AUROC on locked test patients, seeds {SEEDS[0]} to {SEEDS[-1]}; a seed deals the patients and starts the
  network (64-32). At a level a method is read at its largest finished model with so much removed or more.
- Every retraining has up to {RETRAINING.epochs} epochs and stops after {RETRAINING.patience} without gain.
- Intervals are t intervals over all pairs of table and seed; a star where they leave zero out. Seeds of
  one table share its patients, so they are narrower than they should be.
- models, s: models trained and seconds on one of two busy cores, the mean of a whole run.
{chr(10).join(hashes())}
- Python {platform.python_version()}, {packages}; {platform.machine()}, {os.cpu_count()} cores.
"""


def hashes() -> Iterator[str]:
    """Which tables these are; a missing one is told."""
    for table in (*TABLES, *APART):
        yield f"- {table.name}: " + (
            f"sha256 {table.sha256()}" if table.there else "not there, and so not run"
        )


PARTS: dict[str, Callable[[], Iterator[str]]] = {
    **{granularity: partial(study, granularity) for granularity in METHODS},
    "optimum": lambda: optimum(PROCESSES),
    "costs": lambda: iter([costs(NHEFS)]),
    "toy": lambda: toy(PROCESSES),
    "peers": lambda: peers(PROCESSES),
    "large": large_table,
    "live": live_speed,
    "scoring_speed": scoring_speed,
    "sweep_speed": sweep_speed,
    "validation_speed": validation_speed,
    "ablation_speed": ablation_speed,
    "one_patient": one_patient,
    "growth": growth,
    "groups": lambda: group_review(PROCESSES),
    "coverage": coverage,
    "harm": lambda: harm(PROCESSES),
}


if __name__ == "__main__":
    main()
