"""Long work in processes of its own: its steps are told as they happen, and it can be stopped.

A *job* is a generator function of the engine, such as :func:`medprune.prune_steps`: what it yields tells
how far it is, the last thing it yields is its result. The process that asks (a page, a notebook) only
looks at the events, so that it stays free to answer, and a search that runs wild takes nothing with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from joblib.externals.loky import ProcessPoolExecutor

from medprune.errors import BadInput
from medprune.tables import jsonable

PROCESSES = max(1, os.cpu_count() or 1)


class Step(Protocol):
    """What a job yields: ``event`` is told to whoever waits, as JSON; it never holds a patient's value."""

    def event(self) -> dict[str, Any]: ...


Work = Callable[..., Iterable[Step]]


@dataclass(eq=False)
class Job:
    """One piece of work, queued, running or over."""

    title: str
    future: Future[Any]
    log: Path
    started: float = field(default_factory=time.monotonic)

    @property
    def state(self) -> str:
        """waiting, running, done, failed or stopped."""
        if not self.future.done():
            return "running" if self.log.exists() else "waiting"
        if self.future.cancelled():
            return "stopped"
        error = self.future.exception()
        if error is None:
            return "done"
        return "stopped" if type(error).__name__ == "ShutdownExecutorError" else "failed"

    def events(self) -> list[dict[str, Any]]:
        """Everything told so far, oldest first."""
        if not self.log.exists():
            return []
        lines = self.log.read_text(encoding="utf-8").split("\n")
        return [json.loads(line) for line in lines[:-1]]  # the last one is empty, or still being written

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def result(self) -> Any:
        """The last step, once it is done; BadInput when the work ended otherwise."""
        error = self.future.exception() if self.future.done() and not self.future.cancelled() else None
        if isinstance(error, BadInput):
            raise error
        if self.state != "done":
            raise BadInput(self.trouble())
        return self.future.result()

    def trouble(self) -> str:
        """Why there is no result, in one sentence."""
        if self.state == "stopped":
            return f"{self.title} was stopped before it was done; what was finished before stays."
        if self.state == "failed":
            error = self.future.exception()
            if isinstance(error, BadInput):
                return str(error)
            if isinstance(error, MemoryError) or type(error).__name__ == "TerminatedWorkerError":
                return (
                    f"The process of {self.title} ended without a result, perhaps for want of memory; "
                    "ask for less at once, or close other programs, and start it again."
                )
            return f"{self.title} failed on our side ({type(error).__name__}); please report it."
        return f"{self.title} is not done yet."


class Jobs:
    """A few processes that work through jobs in the order in which they came; closed, they are killed."""

    def __init__(self, processes: int = PROCESSES) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="medprune-jobs-"))
        self._processes = processes
        self._pools: list[ProcessPoolExecutor] = []  # the last one is in use; a stopped one is not used again
        self.jobs: list[Job] = []
        self._end = weakref.finalize(self, _end, self._pools, self._folder)

    def start(self, title: str, work: Work, *arguments: Any, **settings: Any) -> Job:
        """Queue ``work(*arguments, **settings)``; arguments are copied to the process that runs it."""
        log = self._folder / f"{len(self.jobs)}.jsonl"
        future = self._submitted(_run, work, arguments, settings, str(log), os.getpid())
        self.jobs.append(Job(title, future, log))
        return self.jobs[-1]

    def _submitted(self, *call: Any) -> Future[Any]:
        """Queue a call; a pool that was stopped, or broke with a process that died, is replaced."""
        if self._pools:
            with contextlib.suppress(RuntimeError):  # loky's errors for a pool that takes no more
                queued: Future[Any] = self._pools[-1].submit(*call)
                return queued
        self._pools.append(ProcessPoolExecutor(max_workers=self._processes, timeout=60))
        first: Future[Any] = self._pools[-1].submit(*call)
        return first

    @property
    def busy(self) -> bool:
        return any(job.state in ("waiting", "running") for job in self.jobs)

    def stop(self) -> None:
        """Stop everything that is not done; results that are there stay readable."""
        for pool in self._pools:
            pool.shutdown(wait=True, kill_workers=True)
        self._pools.clear()

    def close(self) -> None:
        """Stop, and forget the events too."""
        self._end()


def _end(pools: list[ProcessPoolExecutor], folder: Path) -> None:
    for pool in pools:
        pool.shutdown(wait=False, kill_workers=True)
    shutil.rmtree(folder, ignore_errors=True)


def _run(work: Work, arguments: tuple[Any, ...], settings: dict[str, Any], log: str, owner: int) -> Any:
    """In the process of the job: walk the steps, tell each, hand back the last."""
    torch.set_num_threads(1)  # as many processes as cores are at work
    step = None
    with Path(log).open("w", encoding="utf-8") as file:
        for step in work(*arguments, **settings):
            file.write(json.dumps(jsonable(step.event())) + "\n")
            file.flush()
            if os.getppid() != owner:
                sys.exit("whoever asked is gone")
    return step
