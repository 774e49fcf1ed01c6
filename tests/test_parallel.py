"""The seam: the same results in order, here and elsewhere; a process that dies is replaced."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

import pytest
import torch

from medprune.errors import BadInput
from medprune.parallel import run_all


def square(x: int) -> int:
    return x * x


def threads(_: int) -> int:
    return torch.get_num_threads()


def refuse(x: int) -> int:
    if x == 2:
        raise BadInput("Two is too many; take one.")
    return x


def die_until(folder: Path, times: int, x: int) -> int:
    """Unit 1 kills its own process the first ``times`` times."""
    if x == 1 and len(list(folder.iterdir())) < times:
        (folder / f"{os.getpid()}").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return x


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_order_on_one_thread(processes: int) -> None:
    before = torch.get_num_threads()
    assert list(run_all(square, range(5), processes)) == [0, 1, 4, 9, 16]
    assert set(run_all(threads, range(2), processes)) == {1}
    assert torch.get_num_threads() == before


def test_nothing_to_do() -> None:
    assert list(run_all(square, [], 4)) == []


@pytest.mark.parametrize("processes", [1, 2])
def test_what_is_wrong_with_a_unit_is_told_as_it_is(processes: int) -> None:
    with pytest.raises(BadInput, match="Two is too many"):
        list(run_all(refuse, range(4), processes))


@pytest.mark.soak  # a new process has to import all of us first: seconds
def test_a_process_that_dies_once_costs_nothing(tmp_path: Path) -> None:
    assert list(run_all(partial(die_until, tmp_path, 1), range(4), 2)) == [0, 1, 2, 3]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.soak
def test_a_unit_that_always_kills_its_process_is_given_up(tmp_path: Path) -> None:
    results = run_all(partial(die_until, tmp_path, 99), range(4), 2)
    with pytest.raises(BadInput, match="died 3 times at the same piece of work"):
        list(results)


@pytest.mark.soak
def test_who_needs_no_more_may_stop() -> None:
    results = run_all(square, range(50), 2)
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
    assert list(run_all(square, range(3), 2)) == [0, 1, 4]
