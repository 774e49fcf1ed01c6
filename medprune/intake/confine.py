"""What a child process that reads a stranger's file may use, and how it gives up the rest.

:func:`confine` runs first thing in the child, before anything that could start a thread. Limits that the
system does not know are passed over; what was put in force is told, and travels in the manifest.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass

GIB = 1024**3
OPEN_FILES = 256  # libraries open their own parts too
PARENT_DIES = 1  # PR_SET_PDEATHSIG
NO_NEW_PRIVILEGES = 38  # PR_SET_NO_NEW_PRIVS
NEW_USER, NEW_NETWORK = 0x10000000, 0x40000000  # CLONE_NEWUSER, CLONE_NEWNET


@dataclass(frozen=True)
class Limits:
    """What one file may cost: bytes of address space, seconds of work and of waiting, bytes in and out."""

    memory: int = 4 * GIB
    cpu: int = 240
    wall: float = 480.0
    upload: int = 2 * GIB  # the largest file that is looked at
    output: int = 4 * GIB  # the largest file that the child may write


def confine(limits: Limits) -> tuple[str, ...]:
    """Put the limits in force in this process; returns a few words for each that is."""
    return (*_network(), *_resources(limits))


def _network() -> Iterator[str]:
    """A network of its own that leads nowhere, and no life beyond the parent's (Linux; best effort)."""
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PARENT_DIES, signal.SIGKILL, 0, 0, 0) == 0:
            yield "ends with its parent"
        if libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0:
            yield "no new privileges"
        if libc.unshare(NEW_USER | NEW_NETWORK) == 0:
            yield "no network"


def _resources(limits: Limits) -> Iterator[str]:
    try:
        import resource
    except ImportError:  # not a POSIX system: the wall time alone holds
        return
    for name, kind, soft, hard in (
        ("memory", resource.RLIMIT_AS, limits.memory, limits.memory),
        ("processor time", resource.RLIMIT_CPU, limits.cpu, limits.cpu + 5),
        ("file size", resource.RLIMIT_FSIZE, limits.output, limits.output),
        ("open files", resource.RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES),
        ("no core dump", resource.RLIMIT_CORE, 0, 0),
    ):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(kind, (soft, hard))
            yield name


def quiet_environment(folder: str, package: str) -> dict[str, str]:
    """The whole environment of the child: where its code is, one thread, and no home but its folder."""
    return {
        "PYTHONPATH": package,
        "PATH": os.defpath,
        "HOME": folder,
        "TMPDIR": folder,
        "LANG": "C.UTF-8",
        "ARROW_DEFAULT_MEMORY_POOL": "system",  # the others reserve address space that the limit counts
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    }
