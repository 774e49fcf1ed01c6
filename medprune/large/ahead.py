"""A generator that works ahead: the next batch is read while this one is computed with."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from typing import TypeVar

T = TypeVar("T")

AHEAD = 1  # finished items that wait; one more is being made, and one is with the caller
POLL = 0.2  # seconds until a reader sees that nobody listens any more


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items, made in a thread of their own; what it raises is raised here.

    The thread ends when the items do, or soon after this generator is closed.
    """
    made: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(AHEAD)
    closed = threading.Event()

    def put(item: T | None, error: BaseException | None = None) -> None:
        waits = True
        while waits and not closed.is_set():
            with contextlib.suppress(queue.Full):
                made.put((item, error), timeout=POLL)
                waits = False

    def make() -> None:
        try:
            for item in items:
                put(item)
                if closed.is_set():
                    return
            put(None)
        except BaseException as error:
            put(None, error)

    thread = threading.Thread(target=make, name="reads ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error = made.get()
            if error is not None:
                raise error
            if item is None:
                return
            yield item
    finally:
        closed.set()
        thread.join()
