"""The one place where work leaves this process: units of work in, their results out, in order.

A unit takes at least a tenth of a second (a fold, a training). It is a pure function of what it is given,
seeds included, and runs on one thread, so that the results are the same in this process and in others.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import joblib
import torch
from joblib.externals.loky.process_executor import TerminatedWorkerError

from medprune.errors import BadInput

ATTEMPTS = 3  # at a unit whose process died
MOST = 8  # processes unless more are asked for: each holds torch, half a gigabyte, and a table

Unit = TypeVar("Unit")
Result = TypeVar("Result")


def run_all(
    work: Callable[[Unit], Result], units: Sequence[Unit], processes: int | None = None
) -> Iterator[Result]:
    """``work(unit)`` of every unit, in order, each as soon as it and those before it are done.

    ``processes``: how many at a time; None takes as many as this machine gives us, up to 8; with one, all is
    done here. The errors of a unit are raised as they are; BadInput when its process dies again and again.
    """
    alone = partial(_alone, work)
    many = min(processes_of(processes), len(units))
    return map(alone, units) if many <= 1 else _elsewhere(alone, units, many)


def processes_of(wanted: int | None) -> int:
    """How many processes there will be at most: as many as this machine gives us, where nothing is wanted."""
    return min(joblib.cpu_count(), MOST) if wanted is None else wanted


def _elsewhere(work: Callable[[Unit], Result], units: Sequence[Unit], processes: int) -> Iterator[Result]:
    """In fresh processes; those that were lost with a process that died are sent again."""
    done, attempts = 0, 0
    while done < len(units):
        # As many in hand as there are processes: a unit may carry a whole table.
        pool = joblib.Parallel(
            n_jobs=processes, return_as="generator", batch_size=1, pre_dispatch="n_jobs", backend="loky"
        )
        results = pool(joblib.delayed(work)(unit) for unit in units[done:])
        try:
            for result in results:
                done, attempts = done + 1, 0
                yield result
        except GeneratorExit:  # nobody wants the rest, which joblib would warn of
            with warnings.catch_warnings(action="ignore"):
                results.close()
            raise
        except TerminatedWorkerError:
            attempts += 1
            if attempts == ATTEMPTS:
                raise BadInput(
                    f"A process died {ATTEMPTS} times at the same piece of work, most likely for want of "
                    "memory; use fewer processes."
                ) from None


def _alone(work: Callable[[Unit], Result], unit: Unit) -> Result:
    with one_thread(), torch.random.fork_rng(devices=[]):  # new layers draw from the global generator
        return work(unit)


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch: small products are too short to share, and sums keep their last digits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
