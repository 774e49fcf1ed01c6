"""Runs a hostile case through the API, and asserts what holds for every one of them.

Its user gets what the case says: one sentence, or an answer with its notes. Nothing in the file was run (no
marker), no cell is repeated (no canary in sentences, notes, manifest or log), nothing is left in the folder
for temporary files, and this process is the one it was.
"""

from __future__ import annotations

import gc
import logging
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from medprune import BadInput, load_cohort
from medprune.intake import Limits, read_model_safely, read_table_safely
from tests.hostile.case import CANARY, Case
from tests.hostile.sweep import Change, Seen, swept

MARKER = (
    Path(tempfile.gettempdir()) / f"medprune-marker-{os.getpid()}"
)  # what a file that was run would leave
OUTCOME = "outcome"  # what the tables of the cases call it
LIMITS = Limits(memory=3 * 2**30, cpu=60, wall=120.0)


def check(case: Case, folder: Path, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture) -> None:
    """One case, and everything that must hold of it."""
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    MARKER.unlink(missing_ok=True)
    process = os.getpid()
    data = case.make()
    with log.at_level(logging.DEBUG):
        outcome, told = run(case, data)
    assert outcome == case.outcome, f"{case.name} was {outcome}: {told}"
    assert not case.says or any(re.search(case.says, sentence) for sentence in told), told
    for sentence in told if outcome == "refused" else ():
        check_sentence(sentence)
    assert CANARY not in " ".join(told) + log.text
    assert "Traceback" not in log.text
    assert not MARKER.exists(), "something in the file was run"
    assert list(folder.iterdir()) == [], "something is left in the folder for temporary files"
    assert os.getpid() == process


def run(case: Case, data: bytes) -> tuple[str, list[str]]:
    """ "refused" and its sentence, or "accepted" and all that was told about the file and its patients."""
    try:
        if case.kind == "model":
            file = read_model_safely(data, name=case.file_name, limits=LIMITS)
            return "accepted", list(file.notes)
        read = read_table_safely(data, name=case.file_name, limits=LIMITS)
        assert CANARY not in repr(read.manifest)
        cohort = load_cohort(read.frame, outcome=OUTCOME)
    except BadInput as error:
        return "refused", [error.sentence]
    problems = [f"{problem.kind}: {problem.message}" for problem in cohort.quality.problems]
    return "accepted", [*read.notes, *cohort.notes, *problems]


def check_sentence(sentence: str) -> None:
    """One sentence, that ends as one, on one line, of a length that someone reads."""
    assert sentence[0].isupper() or sentence[0] in "'\""
    assert sentence.endswith(".")
    assert not re.search(r"[\n\r\t\0\x1b\u202e]", sentence), repr(sentence)
    assert not re.search(r"\w[.!?] [A-Z]", re.sub(r"'[^']*'", "", sentence)), f"several sentences: {sentence}"
    assert len(sentence) < 600
    for word in ("Traceback", "Error:", "Exception", "0x", "weights_only", 'File "'):
        assert word not in sentence


def check_swept(
    data: bytes,
    name: str,
    changes: Sequence[Change],
    accepted: Callable[[str, Seen, Seen], None],
    kind: str = "table",
) -> list[Seen]:
    """Each version is refused in a sentence, or ``accepted(name, whole, version)`` holds that it may be."""
    whole, *versions = swept(data, name, [("cut", len(data), 0), *changes], kind)
    assert whole.refused == ""
    for version in versions:
        if version.refused:
            check_sentence(version.refused)
        else:
            accepted(name, whole, version)
    return versions


def resident() -> int:
    """Bytes of memory that this process holds, or 0 where that cannot be told."""
    gc.collect()
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
