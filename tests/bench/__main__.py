"""Run the benchmark: ``python -m tests.bench [--only PART ...] [--write FILE]``; it prints as it goes."""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from joblib import Parallel, delayed

from medprune.training import RETRAINING
from tests.bench.costs import costs
from tests.bench.data import NHEFS, TABLES
from tests.bench.methods import STOPS, compare
from tests.bench.peers import peers
from tests.bench.report import report
from tests.bench.toy import toy

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
    for part in parts:
        yield from PARTS[part]()


def study() -> Iterator[str]:
    yield conditions()
    here = [table for table in TABLES if table.path.exists()]
    yield from (
        f"{table.name} is skipped: there is no {table.file}.\n" for table in TABLES if table not in here
    )
    jobs = [delayed(compare)(table, seed) for table in here for seed in SEEDS]
    done = Parallel(n_jobs=PROCESSES, return_as="generator")(jobs)
    for table in here:
        yield report(table, [result for _ in SEEDS for result in next(done)])


def conditions() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"""# Benchmark

- AUROC on locked test patients, mean ± standard deviation over seeds {SEEDS[0]} to {SEEDS[-1]}; a seed
  deals the patients and starts the network. In brackets: the share of the weights that is really gone.
- Rounds: {len(STOPS)} to {STOPS[-1]:.0%}, each with up to {RETRAINING.epochs} epochs of retraining. One shot
  gets the same epochs after its one cut, and "dense, retrained" gets all of them and removes nothing.
- Two methods are within the spread when the mean of their difference, seed by seed, is at most its standard
  deviation.
- Python {platform.python_version()}, {packages}; {platform.machine()}, {os.cpu_count()} cores.
"""


PARTS: dict[str, Callable[[], Iterator[str]]] = {
    "study": study,
    "costs": lambda: iter([costs(NHEFS)]),
    "toy": lambda: toy(PROCESSES),
    "peers": lambda: peers(PROCESSES),
}


if __name__ == "__main__":
    main()
