"""The only caches. Across sessions, public sample files alone; of patients, nothing outlives its study.

Streamlit looks at a sample of a large frame only, so no cache of its own may be asked with one: the rule, and
the test that holds it, are in tests/hostile/test_static.py.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
import streamlit as st

from medprune import Path as Walked
from medprune.comparison import resampled_path
from medprune.intake.table_file import read_table
from pages.shared.session import Table

SAMPLES = Path(__file__).resolve().parents[2] / "assets" / "samples"


@dataclass(frozen=True)
class Sample:
    """A public table that ships with MedPrune."""

    title: str
    file: str
    outcome: str
    positive: str
    source: str
    licence: str
    about: str

    def table(self) -> Table:
        frame = read_table(SAMPLES / self.file)
        return Table(self.file, frame, "", self.source, self.licence, self.about)


@st.cache_data(max_entries=1, show_spinner=False)
def samples() -> list[Sample]:
    listed = json.loads((SAMPLES / "samples.json").read_text(encoding="utf-8"))
    fields = Sample.__dataclass_fields__
    return [Sample(**{key: value for key, value in one.items() if key in fields}) for one in listed]


_RESAMPLED: WeakKeyDictionary[Walked, dict[str, np.ndarray]] = WeakKeyDictionary()


def resampled(path: Walked, metric: str) -> np.ndarray:
    """What :func:`resampled_path` gives, computed once; kept by the path itself, so that it goes with it.

    A path belongs to one study, and a new count of it (acting on another risk) is another path.
    """
    of_path = _RESAMPLED.setdefault(path, {})
    if metric not in of_path:
        of_path[metric] = resampled_path(path, metric)
    return of_path[metric]
