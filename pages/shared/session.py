"""The only door to st.session_state: one study a session, and what becomes stale when a part changes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pandas as pd
import streamlit as st

from medprune import Bundle, Candidate, Cohort, Compression, Contributions, Path, RiskModel, Tradeoff
from medprune.flow import Measured
from medprune.path import acting_at
from medprune.training import Epoch

KEY = "study"
START = 0.05  # where the threshold starts: in the middle of the usual 0.01 to 0.1


@dataclass
class Table:
    """An uploaded or sample table as it was read, before it becomes a cohort. ``key`` tells uploads apart."""

    name: str
    frame: pd.DataFrame
    key: str = ""
    source: str = ""
    licence: str = ""
    about: str = ""


@dataclass(frozen=True)
class ScoreSettings:
    """What was asked of the scores; part of the key under which results are kept."""

    criterion: str = "contribution"
    granularity: str = "weight"
    scope: str = "layer"
    balanced: bool = False


@dataclass
class Finished:
    """A bundle that was built, and what the test patients said."""

    candidate: Candidate
    granularity: str
    bundle: Bundle
    zip: bytes
    dense: Measured
    pruned: Measured
    int8: dict[str, Compression] = field(default_factory=dict)  # by its way


@dataclass
class Study:
    """What this user has done so far. Setting a part forgets whatever was computed from the old one."""

    table: Table | None = None
    draft: Table | None = None  # uploaded, but not yet in use
    cohort: Cohort | None = None
    model: RiskModel | None = None
    epochs: list[Epoch] = field(default_factory=list)
    scoring: ScoreSettings = field(default_factory=ScoreSettings)
    scores: dict[tuple[str, bool], Contributions] = field(default_factory=dict)
    sweeps: dict[ScoreSettings, Tradeoff] = field(default_factory=dict)
    threshold: float = START
    paths: dict[ScoreSettings, Path] = field(default_factory=dict)
    chosen: Candidate | None = None
    chosen_path: Path | None = None
    finished: Finished | None = None
    test_openings: int = 0

    def use_table(self, table: Table | None) -> None:
        self.table, self.draft = table, None
        self.use_cohort(None)

    def use_cohort(self, cohort: Cohort | None) -> None:
        self.cohort = cohort
        self.test_openings = 0
        self.use_model(None, [])

    def use_model(self, model: RiskModel | None, epochs: list[Epoch]) -> None:
        self.model, self.epochs = model, epochs
        self.scores, self.sweeps, self.paths = {}, {}, {}
        self.threshold = START
        self.choose(None, None)

    def use_act_at(self, act_at: float) -> None:
        """Act on another risk: figures are counted again, no model changes; a finished bundle is stale."""
        if self.model is None or self.cohort is None:
            return
        self.model = replace(self.model, act_at=act_at)
        self.sweeps = {}
        for how, path in self.paths.items():
            again = acting_at(path, self.cohort, act_at)
            if path is self.chosen_path and self.chosen is not None:
                place = path.candidates.index(self.chosen)
                self.choose(again.candidates[place], again)
            self.paths[how] = again

    def choose(self, candidate: Candidate | None, path: Path | None) -> None:
        self.chosen, self.chosen_path = candidate, path
        self.finished = None

    @property
    def path(self) -> Path | None:
        """The path walked under the present settings."""
        return self.paths.get(self.scoring)


def study() -> Study:
    """This session's study."""
    if KEY not in st.session_state:
        st.session_state[KEY] = Study()
    found: Study = st.session_state[KEY]
    return found
