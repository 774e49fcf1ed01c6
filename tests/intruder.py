"""A worker under someone else's command: what a hostile file might do to the process that reads it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medprune.intake.child import ANSWER
from medprune.intake.worker import serve

Told = dict[str, Any]


def hog(data: bytes, request: Mapping[str, Any]) -> Told:
    held = []
    while True:
        held.append(bytearray(32 * 2**20))


def loop(data: bytes, request: Mapping[str, Any]) -> Told:
    while True:
        pass


def sleep(data: bytes, request: Mapping[str, Any]) -> Told:
    time.sleep(600)
    return {}


def abort(data: bytes, request: Mapping[str, Any]) -> Told:
    os.abort()


def flood(data: bytes, request: Mapping[str, Any]) -> Told:
    line = b"x" * 2**20
    for _ in range(200):
        os.write(1, line)
        os.write(2, line)
    return {"flooded": True}


def fill(data: bytes, request: Mapping[str, Any]) -> Told:
    with Path("large").open("wb") as file:
        for _ in range(64):
            file.write(b"x" * 2**20)
    return {}


def litter(data: bytes, request: Mapping[str, Any]) -> Told:
    deep = Path("deep/er")
    deep.mkdir(parents=True)
    (deep / "left").write_bytes(data)
    deep.chmod(0o500)
    return {"seen": sorted(path.name for path in Path().iterdir())}


def orphan(data: bytes, request: Mapping[str, Any]) -> Told:
    started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    return {"pid": started.pid}


def look(data: bytes, request: Mapping[str, Any]) -> Told:
    return {
        "environment": dict(os.environ),
        "folder": sorted(path.name for path in Path().iterdir()),
        "group": os.getpgrp() == os.getpid(),
        "torch": "torch" in sys.modules,
        "pandas": "pandas" in sys.modules,
    }


def call_home(data: bytes, request: Mapping[str, Any]) -> Told:
    try:
        with socket.create_connection(("127.0.0.1", int(data)), timeout=2):
            return {"reached": True}
    except OSError:
        return {"reached": False}


def fail(data: bytes, request: Mapping[str, Any]) -> Told:
    raise ValueError(f"could not convert {data.decode()}")


def lie(data: bytes, request: Mapping[str, Any]) -> Told:
    Path(ANSWER).write_bytes(data)
    os._exit(0)


def link(data: bytes, request: Mapping[str, Any]) -> Told:
    Path(ANSWER).symlink_to(data.decode())
    os._exit(0)


def pipe(data: bytes, request: Mapping[str, Any]) -> Told:
    os.mkfifo(ANSWER)
    os._exit(0)


def vanish(data: bytes, request: Mapping[str, Any]) -> Told:
    os._exit(0)


JOBS = (hog, loop, sleep, abort, flood, fill, litter, orphan, look, call_home, fail, lie, link, pipe, vanish)

if __name__ == "__main__":
    serve({job.__name__: job for job in JOBS})
