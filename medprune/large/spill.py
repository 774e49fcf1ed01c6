"""Risks that are too many for memory, on disk for as long as they are needed.

Written by rows, as the table is read, and read by cut, as the metrics want them. The file has no name: it
is gone when it is closed, or when the process ends however it ends. It lies where temporary files go,
which the environment variable TMPDIR decides.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from medprune.errors import BadInput
from medprune.performance import BINARY

SPARE = 2**26  # bytes left free on the disk


class Spill:
    """Risks in double of ``cuts`` cut models for ``rows`` patients and ``classes`` classes.

    Of two classes the positive one's alone is kept. Raises BadInput when the disk has no room.
    """

    def __init__(self, cuts: int, rows: int, classes: int) -> None:
        self.rows, self.classes = rows, classes
        self.kept = 1 if classes == BINARY else classes
        size = cuts * self._of_a_cut
        free = shutil.disk_usage(tempfile.gettempdir()).free
        if size + SPARE > free:
            raise BadInput(
                f"The risks of {rows:,} patients at {cuts:,} thresholds take {size / 1e9:.1f} GB on disk for "
                f"a while, and {tempfile.gettempdir()!r} has {free / 1e9:.1f} GB free; sweep fewer "
                "thresholds, or name a larger folder in the environment variable TMPDIR."
            )
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by __exit__

    @property
    def _of_a_cut(self) -> int:
        return self.rows * self.kept * np.dtype(np.float64).itemsize

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def put(self, cut: int, first: int, risks: NDArray[np.float64]) -> None:
        """The risks (N, classes) of the rows from ``first`` on."""
        kept = np.ascontiguousarray(risks[:, -1:] if self.kept == 1 else risks)
        self._seek(cut, first)
        left = kept.data.cast("B")
        while left:
            left = left[self._file.write(left) :]

    def risks(self, cut: int) -> NDArray[np.float64]:
        """All risks (rows, classes) of one cut."""
        kept = np.empty((self.rows, self.kept))
        self._seek(cut, 0)
        left = kept.data.cast("B")
        while left:
            left = left[self._file.readinto(left) :]
        return kept if self.kept > 1 else np.hstack((1 - kept, kept))

    def _seek(self, cut: int, row: int) -> None:
        self._file.seek(cut * self._of_a_cut + row * (self._of_a_cut // max(self.rows, 1)), os.SEEK_SET)
