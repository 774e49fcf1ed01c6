"""One file from outside, looked at in a process of its own: start it, feed it, end it, say what became of it.

The child is a fresh interpreter (never a fork of a server with threads), the leader of a process group of
its own, in a private folder with an environment that holds nothing of ours. It gets the file as its standard
input, leaves its answer in the folder, and is killed as a group whatever happens. The parent reads that
answer alone: it never opens an uploaded byte with a parser.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from medprune.errors import BadInput
from medprune.intake.confine import GIB, Limits, quiet_environment
from medprune.intake.table_choices import ChoiceNeeded

LOG = logging.getLogger("medprune")
WORKER = "medprune.intake.worker"
REQUEST, ANSWER = "request.json", "answer.json"
NO_MEMORY, NO_ROOM = 77, 78  # exit codes of the worker
LARGEST_ANSWER = 512 * 1024**2  # the metadata of a model may hold the split of millions of patients
PACKAGES = str(Path(__file__).resolve().parents[2])
AT_ONCE = threading.BoundedSemaphore(2)  # children: each may take Limits.memory


@dataclass(frozen=True)
class Answer:
    """What the child said, and the folder with the files it left; gone when the block ends."""

    folder: Path
    told: Mapping[str, Any]

    def file(self, name: str) -> bytes:
        """The bytes of a plain file that the child wrote."""
        return _own_file(self.folder / name, None)


@contextlib.contextmanager
def asked(
    job: str,
    source: bytes | Path | IO[bytes],
    request: Mapping[str, Any],
    *,
    title: str,
    limits: Limits,
    worker: str = WORKER,
) -> Iterator[Answer]:
    """The child's answer about a file. BadInput with its sentence, or with what ended it.

    ``title`` is what sentences call the file. ``worker`` is the module that answers; tests give their own.
    """
    with tempfile.TemporaryDirectory(prefix="medprune-") as name, _as_file(source, title, limits) as data:
        folder = Path(name)
        asking = {"job": job, "limits": asdict(limits), **request}
        (folder / REQUEST).write_text(json.dumps(asking), encoding="ascii")
        with AT_ONCE:
            code = _run(folder, data, limits, worker)
        if code != 0:
            raise BadInput(_ended(code, title, limits))
        yield Answer(folder, _told(folder, job, title))


# --- the file -------------------------------------------------------------------------------------


@contextlib.contextmanager
def _as_file(source: bytes | Path | IO[bytes], title: str, limits: Limits) -> Iterator[IO[bytes]]:
    """The upload as an open file that the child inherits; nothing of it is looked at here."""
    if isinstance(source, bytes):
        _check_size(len(source), title, limits)
        with _memory_file() as file:
            file.write(source)
            file.flush()
            os.lseek(file.fileno(), 0, os.SEEK_SET)
            yield file
        return
    with _opened(source) if isinstance(source, Path) else contextlib.nullcontext(source) as file:
        if file.writable():
            file.flush()
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise _not_readable(source)
        _check_size(about.st_size, title, limits)
        os.lseek(file.fileno(), 0, os.SEEK_SET)  # the child goes on from where the file stands
        yield file


def _opened(path: Path) -> IO[bytes]:
    try:
        return os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb")
    except FileNotFoundError:
        raise BadInput(f"There is no file {str(path)!r}; check its path.") from None
    except (OSError, ValueError):
        raise _not_readable(path) from None


def _not_readable(path: object) -> BadInput:
    return BadInput(f"The file {str(path)!r} cannot be read; check that it is a file you may open.")


def _memory_file() -> IO[bytes]:
    """A file without a name: in memory where the system can, so that patients' values touch no disk."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("upload"), "w+b")
    return tempfile.TemporaryFile()


def _check_size(size: int, title: str, limits: Limits) -> None:
    if size > limits.upload:
        raise BadInput(
            f"The file {title} has {size:,} bytes, and at most {limits.upload:,} are read; leave out what is "
            "not needed."
        )


# --- the process ----------------------------------------------------------------------------------


def _run(folder: Path, data: IO[bytes], limits: Limits, worker: str) -> int | None:
    """Run the child; returns its exit code (minus the signal that ended it), None when it was too slow."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-s", "-m", worker],
        stdin=data,
        stdout=subprocess.DEVNULL,  # whatever it prints is dropped, however much
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env=quiet_environment(str(folder), PACKAGES),
        start_new_session=True,
    )
    try:
        return process.wait() if _over(process, limits.wall) else None
    finally:
        _kill_group(process)


def _over(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait until the child has ended; its number stays taken until its group is killed."""
    if not hasattr(os, "pidfd_open"):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        return process.returncode is not None
    handle = os.pidfd_open(process.pid)
    try:
        waiting = select.poll()
        waiting.register(handle, select.POLLIN)
        over = bool(waiting.poll(seconds * 1000))
    finally:
        os.close(handle)
    if over:
        _signal_group(process.pid)
    return over


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """End the child and whatever it started, and wait for it."""
    if process.returncode is None:
        _signal_group(process.pid)
        process.wait()


def _signal_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


# --- what became of it ----------------------------------------------------------------------------


def _ended(code: int | None, title: str, limits: Limits) -> str:
    """The sentence for a child that gave no answer."""
    killed = -code if code is not None and code < 0 else 0
    if code is None or killed == getattr(signal, "SIGXCPU", -1):
        return (
            f"The file {title} took longer to read than it may ({limits.cpu:,} seconds of work, "
            f"{limits.wall:,.0f} of waiting) and was given up; make it smaller, or save it as Parquet."
        )
    if code == NO_MEMORY or killed == signal.SIGKILL:
        return (
            f"The file {title} needs more memory than the {limits.memory / GIB:,.1f} GB that reading may "
            "take; make it smaller."
        )
    if code == NO_ROOM:
        return f"What the file {title} holds is larger than may be written; make it smaller."
    LOG.warning("a reader of files ended with code %s", code)
    return (
        f"The file {title} broke off the process that read it, and nothing else: it is damaged, or needs "
        f"more than {limits.memory / GIB:,.1f} GB of memory; export it again."
    )


def _told(folder: Path, job: str, title: str) -> Mapping[str, Any]:
    """The child's answer, when it is one; BadInput when it refused the file, or did not know what to do."""
    unknown = f"The file {title} is damaged or of a kind that MedPrune does not know; export it again."
    try:
        told = json.loads(_own_file(folder / ANSWER, LARGEST_ANSWER))
    except (OSError, ValueError, RecursionError):
        raise BadInput(unknown) from None
    if "refused" in told:
        if told.get("choice"):
            raise ChoiceNeeded(told["refused"], told["choice"], tuple(told["options"]))
        raise BadInput(told["refused"])
    if "fault" in told:  # the kind of error and its line, never its text: that may hold a patient's value
        LOG.warning("reading a %s failed: %s", job, told["fault"])
        raise BadInput(unknown)
    answer: Mapping[str, Any] = told
    return answer


def _own_file(path: Path, most: int | None) -> bytes:
    """A plain file of the folder: not a link or a pipe that a child under someone's command may have left."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode) or (most is not None and about.st_size > most):
            raise OSError("not a plain file of the expected size")
        return file.read()
