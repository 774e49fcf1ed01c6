"""What int8 does to a model: bytes, memory and time before and after, and whose decision flips.

Decisions are those of the exported files under onnxruntime, at the model's ``act_at``; bytes, memory
and time are measured on this machine, with one thread for both. Small networks may well get larger or
slower: the value says so, and so does its sentence.
"""

from __future__ import annotations

import io
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from medprune import peak_memory
from medprune.cohort import Cohort, refuse_weights
from medprune.compaction import compact
from medprune.model import RiskModel
from medprune.onnx_graph import onnx_bytes
from medprune.onnx_run import feed_of, probe_rows, session_of
from medprune.performance import BINARY, auroc, decisions
from medprune.preparation import Preparation
from medprune.quantisation import quantise

MANY = 1_024  # patients in the larger batch
COMPARED = "The comparison of an int8 file with its model"
WARM_UP = 10  # goes of each round that do not count
ROUNDS = 5
GOES = {1: 500, MANY: 100}
Feed = Mapping[str, NDArray[Any]]
SAME = 0.05  # a change of time or memory below this share is noise
WAITS = 60  # seconds for the process whose memory is measured


@dataclass(frozen=True)
class Footprint:
    """What a file costs. ``peak_memory`` in bytes: of a process that loads it and predicts 1,024 rows.

    ``runtime_memory`` is the part of it that onnxruntime takes before there is any model. Both are None
    where they cannot be measured. ``one`` and ``many``: seconds for 1 and 1,024 rows, the median.
    """

    bytes: int
    peak_memory: int | None
    runtime_memory: int | None
    one: float
    many: float


@dataclass(frozen=True)
class Flips:
    """How many patients of each class lose the right decision, and how many gain it.

    ``total`` also counts those who went from one wrong class to another. Of two classes, ``missed`` had
    the outcome and are no longer acted on; ``caught``, ``spared`` and ``alarmed`` are the others.
    """

    patients: int
    total: int
    lost: tuple[int, ...]
    gained: tuple[int, ...]

    @classmethod
    def of(cls, outcome: NDArray[np.int64], before: NDArray[np.int64], after: NDArray[np.int64]) -> Flips:
        """From decisions (N,) before and after.

        >>> flips = Flips.of(np.array([1, 1, 0, 0]), np.array([1, 0, 0, 0]), np.array([0, 1, 0, 1]))
        >>> flips.missed, flips.caught, flips.spared, flips.alarmed, flips.per_1000
        (1, 1, 0, 1, 750.0)
        """
        classes = range(1 + int(max(outcome.max(), before.max(), after.max(), 1)))
        right_before, right_after = before == outcome, after == outcome

        def each(who: NDArray[np.bool_]) -> tuple[int, ...]:
            return tuple(int((who & (outcome == k)).sum()) for k in classes)

        lost, gained = each(right_before & ~right_after), each(~right_before & right_after)
        return cls(len(outcome), int((before != after).sum()), lost, gained)

    @property
    def per_1000(self) -> float:
        return 1_000 * self.total / self.patients

    @property
    def missed(self) -> int:
        return self.lost[1]

    @property
    def caught(self) -> int:
        return self.gained[1]

    @property
    def spared(self) -> int:
        return self.gained[0]

    @property
    def alarmed(self) -> int:
        return self.lost[0]

    def sentence(self, among: str) -> str:
        """Who is decided on differently, in a clinician's words; ``among`` says of which patients."""
        if not self.total:
            return f"No decision flips among {among}."
        flip = "1 decision flips" if self.total == 1 else f"{self.total:,} decisions flip"
        flip += f" among {among} ({self.per_1000:.1f} per 1,000)"
        if len(self.lost) > BINARY:
            return f"{flip}: {sum(self.lost)} from right to wrong, {sum(self.gained)} from wrong to right."
        return (
            f"{flip}: {self.missed} more would be missed and {self.alarmed} more would be false alarms, "
            f"{self.caught} more would be caught and {self.spared} more spared."
        )


@dataclass(frozen=True, eq=False)
class Compression:
    """One way of using int8, against the float file. ``file`` is the int8 model, ready to leave."""

    way: str
    file: bytes
    before: Footprint
    after: Footprint
    flips: Flips
    among: str  # whose decisions these are
    largest_change: float  # of any risk of any patient
    auroc_before: float
    auroc_after: float

    def sentence(self) -> str:
        """What came of it, gains and losses alike."""
        before, after = self.before, self.after
        size = _change(after.bytes, before.bytes, ("smaller", "larger"), noise=0.0)
        parts = [f"The file is {size} ({before.bytes:,} to {after.bytes:,} bytes)"]
        parts.append(f"one patient takes {_time(after.one, before.one)}")
        parts.append(f"{MANY:,} patients take {_time(after.many, before.many)}")
        if before.peak_memory is not None and after.peak_memory is not None:
            memory = _change(after.peak_memory, before.peak_memory, ("lower", "higher"))
            parts.append(f"peak memory is {memory}")
        verdict = ", ".join(parts[:-1]) + " and " + parts[-1] + "."
        if after.bytes >= before.bytes:
            verdict += " This network is too small to gain from int8: leave it as it is."
        return (
            f"{verdict} {self.flips.sentence(self.among)} "
            f"The largest change of any risk is {self.largest_change:.3f}; "
            f"AUROC {self.auroc_before:.3f} before, {self.auroc_after:.3f} after."
        )

    def to_json(self) -> dict[str, Any]:
        flips = asdict(self.flips) | {"per_1000": self.flips.per_1000}
        if len(self.flips.lost) == BINARY:
            flips |= {name: getattr(self.flips, name) for name in ("missed", "caught", "spared", "alarmed")}
        return {
            "way": self.way,
            "before": asdict(self.before),
            "after": asdict(self.after),
            "flips": flips,
            "among": self.among,
            "largest_change": self.largest_change,
            "auroc": {"before": self.auroc_before, "after": self.auroc_after},
        }


def compression(model: RiskModel, cohort: Cohort, way: str = "weights") -> Compression:
    """Quantise the model and measure both files: decisions on tuning patients, cost on made-up rows.

    ``full`` learns the ranges of the activations from train patients. Raises BadInput.
    """
    refuse_weights(cohort.tuning, COMPARED)
    plain, file = onnx_bytes(model), quantise(model, way, patients=cohort.train.frame)
    preparation, split = compact(model).preparation, cohort.tuning
    before, after = footprints((plain, file), preparation)
    feed = feed_of(preparation, split.frame)
    risks, changed = (session_of(one).run(None, feed)[0] for one in (plain, file))
    return Compression(
        way=way,
        file=file,
        before=before,
        after=after,
        among=split.told(),
        flips=Flips.of(split.outcome, decisions(risks, model.act_at), decisions(changed, model.act_at)),
        largest_change=float(np.abs(changed - risks).max()),
        auroc_before=auroc(split.outcome, risks),
        auroc_after=auroc(split.outcome, changed),
    )


# --- cost ------------------------------------------------------------------------------------------


def footprints(files: Sequence[bytes], preparation: Preparation) -> list[Footprint]:
    """What each of the files costs, measured on the same made-up rows."""
    feeds = {count: feed_of(preparation, probe_rows(preparation, count)) for count in GOES}
    seconds = {count: latencies(files, feed, GOES[count]) for count, feed in feeds.items()}
    memory = [memory_of(file, feeds[MANY]) for file in files]
    return [
        Footprint(len(file), *memory[place], one=seconds[1][place], many=seconds[MANY][place])
        for place, file in enumerate(files)
    ]


def latencies(files: Sequence[bytes], feed: Feed, goes: int) -> list[float]:
    """Seconds of one prediction by each file: the median of so many goes, each round after a warm-up.

    The files take turns round by round, so that a busy machine is busy for all of them.
    """
    sessions = [session_of(file) for file in files]
    taken: list[list[float]] = [[] for _ in files]
    for _ in range(ROUNDS):
        for session, times in zip(sessions, taken, strict=True):
            round_of = [_seconds(session, feed) for _ in range(WARM_UP + goes // ROUNDS)]
            times.extend(round_of[WARM_UP:])
    return [median(times) for times in taken]


def _seconds(session: onnxruntime.InferenceSession, feed: Feed) -> float:
    started = time.perf_counter()
    session.run(None, feed)
    return time.perf_counter() - started


def memory_of(file: bytes, feed: Feed) -> tuple[int | None, int | None]:
    """(peak, of which onnxruntime alone) in bytes, of a fresh process; None where it cannot be measured."""
    arrays: dict[str, Any] = {"model": np.frombuffer(file, np.uint8), "names": np.array(list(feed))}
    for place, value in enumerate(feed.values()):
        arrays[f"input_{place}"] = value.astype(str) if value.dtype == object else value
    given = io.BytesIO()
    np.savez(given, **arrays)
    try:
        done = subprocess.run(
            [sys.executable, "-I", peak_memory.__file__],
            input=given.getvalue(),
            capture_output=True,
            check=True,
            timeout=WAITS,
        )
        before, peak = map(int, done.stdout.split())
    except (OSError, ValueError, subprocess.SubprocessError):
        return None, None
    return peak, before


def _time(after: float, before: float) -> str:
    change = _change(after, before, ("less time", "more time"))
    return "about as long" if change.startswith("about") else change


def _change(after: float, before: float, words: tuple[str, str], noise: float = SAME) -> str:
    """How much lower or higher, as a share; "about the same" within the noise."""
    share = after / before - 1
    if abs(share) <= noise:
        return "the same" if noise == 0 else "about the same"
    return f"{abs(share):.0%} {words[share > 0]}"
