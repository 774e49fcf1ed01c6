"""Leave one site out: what the recipe is worth in a hospital that it has never seen.

For each site in turn the dense network is trained on the patients of the other sites, pruned to the same
sparsity by the same settings, and both are measured on the patients of the site that was left out. A random
test split cannot answer that: its patients come from the hospitals that the model knows.

It runs on the patients of train and tuning, and the test patients of the left-out site stay locked. The
question here is about the recipe (this network, these settings) and not about the one model that was chosen:
every site gets models of its own. Were test opened for it, a site's result could talk somebody into another
sparsity, and the test figures of the chosen model would no longer be those of patients who had no say.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medprune.cohort import Cohort, Split
from medprune.cross_validation import like, seed_of
from medprune.errors import BadInput, nearest
from medprune.folds import check_classes, fold_of, learnt_from
from medprune.intake.columns import as_label
from medprune.model import RiskModel
from medprune.path import member, prune
from medprune.review.estimate import Estimate
from medprune.review.gate import NOT_ASSESSABLE
from medprune.review.measures import MEASURES, Measured
from medprune.review.observed import Observed
from medprune.review.subgroups import FEWEST
from medprune.strategies.contribution import usual_stops
from medprune.training import Schedule

FEWEST_TO_MEASURE = 2  # patients with the event, and without it, for a model to be made for a site
MOST_SITES = 20  # the largest; each trains a path of its own
SITE_MEASURES = ("auroc", "slope", "observed_over_expected", "net_benefit", "brier")


@dataclass(frozen=True)
class SiteResult:
    """A site that was left out: its patients of train and tuning, ``learnt`` patients of the other sites, the
    sparsity that was reached there, and both models' figures, each with its own interval.

    ``state`` is "not assessable" under 50 patients with or without the event, else "assessable": a site does
    not pass or fail. ``measured`` is empty where no model could be made, and ``why`` then tells the reason.
    """

    name: str
    patients: int
    events: int
    others: int
    learnt: int
    sparsity: float
    measured: dict[str, Measured]
    state: str
    why: str = ""

    @property
    def is_assessable(self) -> bool:
        return self.state != NOT_ASSESSABLE


@dataclass(frozen=True)
class SiteReview:
    """All sites, the largest first; ``notes`` say who was not left out."""

    sites: tuple[SiteResult, ...]
    column: str
    sparsity: float
    act_at: float
    models_trained: int
    seconds: float
    notes: tuple[str, ...] = ()

    def spread(self, measure: str) -> tuple[float, float] | None:
        """The lowest and the highest change over assessable sites; None with fewer than two. A range and no
        variance: of a handful of hospitals no variance between hospitals can be told."""
        return self._range([one.measured[measure].change for one in self._able(measure)])

    def levels(self, measure: str) -> tuple[float, float] | None:
        """The lowest and the highest value of the pruned model over assessable sites."""
        return self._range([one.measured[measure].pruned for one in self._able(measure)])

    def _able(self, measure: str) -> list[SiteResult]:
        return [one for one in self.sites if one.is_assessable and measure in one.measured]

    @staticmethod
    def _range(estimates: Sequence[Estimate]) -> tuple[float, float] | None:
        values = [each.value for each in estimates if each.is_known]
        return (min(values), max(values)) if len(values) > 1 else None

    def to_json(self) -> dict[str, Any]:
        """All of it; nothing of one patient."""
        return asdict(self) | {"spread": {name: self.spread(name) for name in SITE_MEASURES}}

    def table(self) -> pd.DataFrame:
        """One row a site and figure, with the ends of each interval."""
        rows = []
        for site in self.sites:
            for name, found in site.measured.items():
                row: dict[str, object] = {"site": site.name, "patients": site.patients}
                row |= {"events": site.events, "others": site.others, "state": site.state}
                row |= {"sparsity": site.sparsity, "figure": name}
                for what in ("dense", "pruned", "change"):
                    each: Estimate = getattr(found, what)
                    row |= {what: each.value, f"{what}_low": each.low, f"{what}_high": each.high}
                rows.append(row)
        return pd.DataFrame(rows)


@dataclass(frozen=True)
class SiteStep:
    """What :func:`leave_one_site_out_steps` yields: a site done, and at the end the whole. The first comes
    before any work."""

    number: int
    of: int
    models_trained: int
    site: SiteResult | None = None
    review: SiteReview | None = None

    def event(self) -> dict[str, Any]:
        """How far it is."""
        done = None if self.site is None else self.site.name
        return {"number": self.number, "of": self.of, "models_trained": self.models_trained, "site": done}


def leave_one_site_out(
    model: RiskModel, cohort: Cohort, column: str, *, sparsity: float, **how: Any
) -> SiteReview:
    """The review by site; see :func:`leave_one_site_out_steps`."""
    *_, last = leave_one_site_out_steps(model, cohort, column, sparsity=sparsity, **how)
    assert last.review is not None
    return last.review


def leave_one_site_out_steps(
    model: RiskModel,
    cohort: Cohort,
    column: str,
    *,
    sparsity: float,
    strategy: str = "contribution",
    granularity: str = "weight",
    schedule: Schedule | None = None,
    act_at: float | None = None,
    klass: int = 1,
    seed: int = 0,
    **settings: Any,
) -> Iterator[SiteStep]:
    """Leave out each site of ``column``, a subgroup of the cohort; train like ``model``, prune, and measure.

    ``schedule`` is how the dense networks are trained (as usual, if not given); ``strategy``, ``granularity``
    and further ``settings`` are those of :func:`medprune.path.prune`, of whose path the candidate with
    ``sparsity`` removed is measured, or the nearest that it reached. ``act_at`` is the model's, if not given;
    of several classes ``klass`` is held against the rest. A patient with rows in the left-out site and
    elsewhere teaches nothing. Raises BadInput for an unknown column, or one without two sites.
    """
    started = time.perf_counter()
    everyone = learnt_from(cohort)
    names = site_names(everyone, column)
    chosen, notes = _sites(names, everyone, column, model)
    act_at = model.act_at if act_at is None else act_at
    how = _How(
        replace(model, act_at=act_at),
        cohort,
        sparsity,
        strategy,
        granularity,
        schedule,
        klass,
        seed,
        settings,
    )
    found: list[SiteResult] = []
    burden = 0
    yield SiteStep(0, len(chosen), 0)
    for place, name in enumerate(chosen):
        site, models = how.left_out(name, everyone, names == name, place)
        found.append(site)
        burden += models
        yield SiteStep(len(found), len(chosen), burden, site)
    seconds = time.perf_counter() - started
    review = SiteReview(tuple(found), column, sparsity, act_at, burden, seconds, notes)
    yield SiteStep(len(found), len(chosen), burden, found[-1], review)


def site_names(split: Split, column: str) -> NDArray[np.object_]:
    """The site (N,) of every row, None where it is missing. BadInput when the column is no subgroup."""
    columns = [str(name) for name in split.subgroups.columns]
    if column not in columns:
        raise BadInput(
            f"{column!r} was not chosen as a subgroup when the table was loaded{nearest(column, columns)}; "
            "name the column that tells the site among the subgroups."
        )
    values = split.subgroups[column]
    return np.array([None if pd.isna(each) else as_label(each) for each in values], dtype=object)


def _sites(
    names: NDArray[np.object_], everyone: Split, column: str, model: RiskModel
) -> tuple[list[str], tuple[str, ...]]:
    """The sites to leave out, the largest first, and what there is to say about it."""
    known = names != None  # noqa: E711 - element by element
    patients = {name: len(np.unique(everyone.patients[names == name])) for name in set(names[known])}
    order = sorted(patients, key=lambda name: (-patients[name], name))
    if len(order) < 2:  # noqa: PLR2004 - one to leave out, one to learn from
        raise BadInput(f"{column!r} tells fewer than two sites; choose the column that tells the hospital.")
    notes = []
    if not known.all():
        notes.append(f"{int((~known).sum())} rows without a site are learnt from and never left out.")
    if len(order) > MOST_SITES:
        notes.append(f"Of {len(order)} sites the {MOST_SITES} largest are left out in turn.")
    if column in model.features:
        notes.append(f"The model reads {column!r} itself: of a site that was left out it knows no label.")
    return order[:MOST_SITES], tuple(notes)


@dataclass(frozen=True, eq=False)
class _How:
    """What all sites share."""

    model: RiskModel
    cohort: Cohort
    sparsity: float
    strategy: str
    granularity: str
    schedule: Schedule | None
    klass: int
    seed: int
    settings: dict[str, Any]

    def left_out(
        self, name: str, everyone: Split, here: NDArray[np.bool_], place: int
    ) -> tuple[SiteResult, int]:
        """One site's result, and how many models it took."""
        away = ~here & ~np.isin(everyone.patients, everyone.patients[here])
        used = everyone.take("all", np.flatnonzero(here | away))
        seed = seed_of(self.seed, place)
        fold = fold_of(self.cohort, used, here[here | away], seed)
        observed = Observed.of(fold.test, self.klass)
        result = SiteResult(
            name=name,
            patients=len(np.unique(fold.test.patients)),
            events=observed.events,
            others=observed.others,
            learnt=len(np.unique(everyone.patients[away])),
            sparsity=np.nan,
            measured={},
            state=NOT_ASSESSABLE,
        )
        if min(observed.events, observed.others) < FEWEST_TO_MEASURE:
            return replace(result, why="It has too few patients with the event, or without it."), 0
        try:
            check_classes(fold, ("train", "tuning"))
        except BadInput:
            return replace(result, why="The other sites have too few patients of some class."), 0
        return self._measured(result, fold, observed, seed)

    def _measured(
        self, result: SiteResult, fold: Cohort, observed: Observed, seed: int
    ) -> tuple[SiteResult, int]:
        schedule = Schedule() if self.schedule is None else self.schedule
        dense = like(self.model, fold, schedule, seed)
        settings = self._stops(dense) | self.settings
        path = prune(dense, fold, self.strategy, granularity=self.granularity, seed=seed, **settings)
        candidate = path.nearest(self.sparsity)
        risks = [one.risks_of(one.prepared(fold.test))[:, self.klass] for one in (dense, candidate.model)]
        measured = {
            name: MEASURES[name].measured(
                MEASURES[name].parts(observed, risks[0], risks[1], self.model.act_at), observed.patients
            )
            for name in SITE_MEASURES
        }
        enough = min(observed.events, observed.others) >= FEWEST
        state = "assessable" if enough else NOT_ASSESSABLE
        found = replace(result, sparsity=candidate.sparsity, measured=measured, state=state)
        return found, 1 + path.models_trained

    def _stops(self, dense: RiskModel) -> dict[str, Any]:
        """The usual stops of a path up to the sparsity asked for: those beyond would be trained in vain."""
        if not hasattr(member(self.strategy), "sparsities"):
            return {}
        before = [stop for stop in usual_stops(dense, self.granularity) if stop < self.sparsity]
        return {"sparsities": (*before, self.sparsity)}
