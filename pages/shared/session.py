"""The only door to st.session_state: one study a session, and what becomes stale when a part changes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import IO, Any

import pandas as pd
import streamlit as st

from medprune import (
    Agreement,
    Bundle,
    Candidate,
    Cohort,
    Compression,
    Contributions,
    Drops,
    Path,
    RiskModel,
    Tradeoff,
    load_cohort,
)
from medprune.censoring import again
from medprune.disclosure import FLOOR
from medprune.flow import Measured
from medprune.intake import TableChoices, TableRead
from medprune.intake.roles import Suggestion
from medprune.intake.tensor_file import TensorFile
from medprune.path import acting_at
from medprune.prices import Prices
from medprune.ranking import USUAL_SCOPE
from medprune.report import About
from medprune.review import Limits, Review
from medprune.review.floor import REFITS
from medprune.review.groups import Cut
from medprune.runs.jobs import Job, Jobs
from medprune.training import Epoch
from pages.shared import login

KEY, FRAMED = "study", "framed"
Scored = tuple[str, bool, tuple[tuple[str, Any], ...]]  # criterion, balanced, options
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
    notes: tuple[str, ...] = ()  # how the file was read

    def again(self, cohort: Cohort, **more: Any) -> Cohort:
        """The cohort loaded again from this table by the same choices, but for ``more``."""
        same = {"outcome": cohort.outcome, "patient": cohort.patient, "positive": cohort.positive}
        same |= {"exclude": cohort.exclude, "seed": cohort.seed, "treatments": cohort.treatments}
        same |= again(cohort.follow_up)
        return self.noted(load_cohort(self.frame, **(same | more)))

    def noted(self, cohort: Cohort) -> Cohort:
        """A cohort of this table, which tells how the table was read first."""
        return replace(cohort, notes=(*self.notes, *(n for n in cohort.notes if n not in self.notes)))


@dataclass
class Draft:
    """An upload that nobody has accepted yet: a file without a name, and how it is read so far.

    ``read`` is None when it is refused, and ``sentence`` says why; ``sheets`` are those to choose from.
    """

    name: str
    file: IO[bytes]
    number: int  # tells uploads apart
    choices: TableChoices = field(default_factory=TableChoices)
    read: TableRead | None = None
    roles: list[Suggestion] = field(default_factory=list)
    sentence: str = ""
    sheets: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class ModelDraft:
    """An uploaded model that nobody has accepted yet; ``file`` is None when it is refused, and ``sentence``
    says why."""

    name: str
    file: TensorFile | None
    sentence: str = ""


@dataclass(frozen=True)
class ScoreSettings:
    """What was asked of the scores; part of the key under which results are kept."""

    criterion: str = "contribution"
    granularity: str = "weight"
    scope: str = USUAL_SCOPE
    balanced: bool = False
    options: tuple[tuple[str, Any], ...] = ()  # the criterion's own settings that were changed

    @property
    def scored_by(self) -> Scored:
        """What of this the scores depend on."""
        return self.criterion, self.balanced, self.options


@dataclass
class View:
    """Where the live threshold stands beside its threshold: what is drawn, and how it is weighed."""

    metric: str = "auroc"
    scale: str = "logarithmic"
    tolerance: float = 0.02  # of the metric that is drawn
    klass: int = 0  # of the classes that are acted on
    risk: float | None = None  # acted at; None: the model's own
    ratio: float | None = (
        None  # false alarms that one missed case weighs as much as; None: the odds of the risk
    )


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


@dataclass(frozen=True)
class Locked:
    """What was set when test patients were opened for the first time: the limits, the risk acted on, the
    columns whose groups are looked at, and when (UTC)."""

    limits: Limits
    act_at: float
    subgroups: tuple[str | Cut, ...]
    time: str


@dataclass
class Reviewed:
    """A candidate whose files were written, loaded back and held against the dense model; ``review`` is None
    for as long as ``job`` is at work on it."""

    opened: RiskModel  # as it leaves, with its openings of test on record
    job: Job
    review: Review | None = None


@dataclass
class Run:
    """One way of pruning that was asked for, in a process of its own; its path once it is done."""

    title: str
    method: str
    granularity: str
    asked: tuple[object, ...]  # everything that was asked for: the same again replaces it
    job: Job
    path: Path | None = None


@dataclass
class Study:
    """What this user has done so far. Setting a part forgets whatever was computed from the old one."""

    owner: str = login.LOCAL
    floor: int = 0  # counts of patients up to it are kept back; 0: none are
    table: Table | None = None
    draft: Draft | None = None  # uploaded, but not yet in use
    model_draft: ModelDraft | None = None
    uploads: int = 0  # files taken so far
    choosing: bool = False  # other patients are being looked for; what there is stays until they are found
    cohort: Cohort | None = None
    model: RiskModel | None = None
    epochs: list[Epoch] = field(default_factory=list)
    scoring: ScoreSettings = field(default_factory=ScoreSettings)
    scores: dict[Scored, Contributions] = field(default_factory=dict)
    agreements: dict[tuple[Scored, str], Agreement] = field(default_factory=dict)  # and granularity
    drops: dict[tuple[str, str], Drops] = field(default_factory=dict)  # by granularity and metric
    sweeps: dict[ScoreSettings, Tradeoff] = field(default_factory=dict)
    sharpening: dict[ScoreSettings, Job] = field(default_factory=dict)  # exact sweeps under way
    threshold: float = START
    view: View = field(default_factory=View)
    paths: dict[ScoreSettings, Path] = field(default_factory=dict)
    chosen: Candidate | None = None
    chosen_path: Path | None = None
    finished: Finished | None = None
    test_openings: int = 0
    opened_for: set[str] = field(default_factory=set)  # models that were scored on test patients, by hash
    limits: Limits = field(default_factory=Limits)  # in force; may be loosened later, which is told
    locked: Locked | None = None
    subgroups: tuple[str | Cut, ...] = ()  # columns, as long as nothing is locked
    groupable: tuple[Any, Any] | None = None  # the columns that there are to choose from, and for what table
    site: str | None = None  # the column whose sites are left out in turn
    refits: int = REFITS  # of the dense network, for the noise floor
    folds: int = 5  # out of fold, where test patients are too few; 0: none
    reviews: dict[tuple[str, float], Reviewed] = field(default_factory=dict)  # by model and risk acted on
    about: About = field(default_factory=About)  # what only the user can say of the model
    abouts: int = 0  # times that this was sent off
    prices: Prices = field(default_factory=Prices)
    jobs: Jobs = field(default_factory=Jobs)
    runs: list[Run] = field(default_factory=list)
    clicked: tuple[int, int] | None = None  # the point of the chart that was taken last
    selecting: Job | None = None  # a cross-validation, running or over
    live: tuple[tuple[Any, ...], dict[str, Any]] | None = (
        None  # what the live threshold was sent, and for what
    )
    page: str = ""  # the one that is open
    visits: int = 0  # pages opened so far

    def visit(self, page: str) -> None:
        """A page is shown: another one than before counts as a visit."""
        if page != self.page:
            self.page, self.visits = page, self.visits + 1

    def drop_draft(self) -> None:
        """Forget the upload that was not accepted; its file is gone with it."""
        if self.draft is not None:
            self.draft.file.close()
        self.draft = None

    def use_table(self, table: Table, cohort: Cohort) -> None:
        self.drop_draft()
        self.table, self.choosing = table, False
        self.cohort = cohort
        self.test_openings, self.opened_for = 0, set()
        self.limits, self.locked, self.subgroups, self.site = Limits(), None, (), None
        self.prices, self.about = Prices(), About()
        self.use_model(None, [])

    def use_cohort(self, cohort: Cohort) -> None:
        """The same table treated otherwise: old models are forgotten, openings of test are not."""
        self.cohort = cohort
        self.use_model(None, [])

    def use_model_with(self, cohort: Cohort, model: RiskModel) -> None:
        """A model that brings its own split of the same table: what was opened before stays opened."""
        self.cohort = cohort
        self.use_model(model, [])

    def use_model(self, model: RiskModel | None, epochs: list[Epoch]) -> None:
        self.model, self.epochs, self.model_draft = model, epochs, None
        self.scores, self.agreements, self.drops, self.sweeps, self.paths = {}, {}, {}, {}, {}
        self.sharpening = {}
        self.threshold, self.view = START, View()
        self.jobs.close()
        self.jobs, self.runs, self.selecting = Jobs(), [], None
        self.reviews = {}
        self.choose(None, None)

    def use_act_at(self, act_at: float) -> None:
        """Act on another risk: figures are counted again, no model changes; a finished bundle is stale."""
        if self.model is None or self.cohort is None:
            return
        self.model = replace(self.model, act_at=act_at)
        self.sweeps, self.sharpening, self.drops = {}, {}, {}
        self.view.risk = None
        for run in self.runs:
            run.path = None if run.path is None else self._acting_at(run.path, act_at)
        for how, path in self.paths.items():
            self.paths[how] = self._acting_at(path, act_at)

    def _acting_at(self, path: Path, act_at: float) -> Path:
        """The path counted again; what was chosen on it stays chosen."""
        again = acting_at(path, self.cohort, act_at)
        if path is self.chosen_path and self.chosen is not None:
            self.choose(again.candidates[path.candidates.index(self.chosen)], again)
        return again

    def choose(self, candidate: Candidate | None, path: Path | None) -> None:
        self.chosen, self.chosen_path = candidate, path
        self.finished = None

    @property
    def path(self) -> Path | None:
        """The path walked under the present settings."""
        return self.paths.get(self.scoring)


def enter() -> None:
    """Said by app.py alone, once its checks are done: from here on this session may open pages."""
    login.required()
    st.session_state[FRAMED] = True


def owner() -> str:
    """Whose studies these are: opaque, steady, fit for a folder's name; nobody unknown comes past this."""
    return login.required()


def study() -> Study:
    """This session's study; a login by somebody else starts another one.

    Streamlit runs a page that is opened by its address before app.py has ever run alone, without the frame
    around it: that is why the way in is here, where every page comes by, and not in app.py only.
    """
    if FRAMED not in st.session_state:
        st.switch_page("app.py")
    who, found = owner(), st.session_state.get(KEY)
    if found is None or found.owner != who:
        if found is not None:
            found.jobs.close()
        found = st.session_state[KEY] = Study(owner=who, floor=0 if login.way() is None else FLOOR)
    return found
