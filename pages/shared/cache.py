"""The only st.cache_*: public sample files. Patient data is never cached across sessions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

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
