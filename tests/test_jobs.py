"""Jobs: their steps are told, their results come back, they can be stopped, and a crash is a sentence."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from medprune import BadInput, prune, prune_steps
from medprune.runs.jobs import Job, Jobs
from tests.makers import patient_cohort, untrained_model

PATIENCE = 60.0


@dataclass(frozen=True)
class Counted:
    number: int

    def event(self) -> dict[str, Any]:
        return {"number": self.number, "nothing": float("nan")}


def count_to(most: int, pause: float = 0.0) -> Iterator[Counted]:
    for number in range(most):
        time.sleep(pause)
        yield Counted(number)


def refuse() -> Iterator[Counted]:
    yield Counted(0)
    raise BadInput("This cannot be, so ask for something else.")


def fail() -> Iterator[Counted]:
    yield Counted(0)
    raise ZeroDivisionError("patient 12 has lactate 3.4")


def die() -> Iterator[Counted]:
    yield Counted(0)
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    made = Jobs(1)
    yield made
    made.close()


def wait_for(job: Job, reached: Callable[[Job], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not reached(job):
        assert time.monotonic() < end, job.state
        time.sleep(0.05)


def over(job: Job) -> bool:
    return job.state not in ("waiting", "running")


def test_steps_are_told_and_the_last_is_the_result(jobs: Jobs) -> None:
    job = jobs.start("counting", count_to, 3)
    wait_for(job, over)
    assert job.state == "done"
    assert job.events() == [{"number": number, "nothing": None} for number in range(3)]
    assert job.result() == Counted(2)
    assert not jobs.busy


def test_a_job_gives_what_the_same_call_gives_here(jobs: Jobs) -> None:
    cohort = patient_cohort()
    model = untrained_model(cohort)
    job = jobs.start("path", prune_steps, model, cohort, sparsities=(0.5, 0.9), seed=3)
    here = prune(model, cohort, sparsities=(0.5, 0.9), seed=3)
    wait_for(job, over)
    there = job.result().path
    assert [point["parameters"] for point in job.events()[:-1]] == [one.parameters for one in here]
    for a, b in zip(here, there, strict=True):
        np.testing.assert_allclose(a.tuning_risks, b.tuning_risks, atol=1e-6)


def test_bad_input_comes_back_as_its_sentence(jobs: Jobs) -> None:
    job = jobs.start("refusing", refuse)
    wait_for(job, over)
    assert job.state == "failed"
    with pytest.raises(BadInput, match="ask for something else"):
        job.result()


def test_our_own_fault_is_told_without_a_value(jobs: Jobs) -> None:
    job = jobs.start("The search", fail)
    wait_for(job, over)
    with pytest.raises(BadInput, match=r"The search failed on our side \(ZeroDivisionError\)") as told:
        job.result()
    assert "3.4" not in str(told.value)


def test_a_process_that_dies_is_a_sentence_and_the_next_job_runs(jobs: Jobs) -> None:
    job = jobs.start("The search", die)
    wait_for(job, over)
    with pytest.raises(BadInput, match="ended without a result"):
        job.result()
    again = jobs.start("counting", count_to, 2)
    wait_for(again, over)
    assert again.result() == Counted(1)


def test_stopping_keeps_what_is_done_and_says_so(jobs: Jobs) -> None:
    first = jobs.start("first", count_to, 1)
    wait_for(first, over)
    long, queued = jobs.start("long", count_to, 10_000, 0.05), jobs.start("queued", count_to, 1)
    wait_for(long, lambda job: len(job.events()) > 1)
    assert (long.state, queued.state) == ("running", "waiting")
    jobs.stop()
    assert (long.state, queued.state, first.state) == ("stopped", "stopped", "done")
    assert first.result() == Counted(0)
    with pytest.raises(BadInput, match="long was stopped"):
        long.result()
    after = jobs.start("after", count_to, 1)
    wait_for(after, over)
    assert after.result() == Counted(0)
