"""Cross-validation: in every fold a network is prepared, trained, scored, pruned and retrained anew.

Nothing learnt leaves a fold but its figures on held-out patients. Nested, every fold's own train and tuning
are cross-validated again, and the fold then measures what its inner folds chose: that figure is free of
the choice (the reported patients had no say), where the plain one flatters what it chose.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medprune.batch_training import STACKED_BELOW, Training
from medprune.candidate import Candidate, Problem
from medprune.cohort import Cohort
from medprune.errors import BadInput
from medprune.fold_selection import Curve, Place, Selection, Validation, compared, matched
from medprune.folds import folds, learnt_from, without_test
from medprune.model import Origin, Recalibration, RiskModel
from medprune.network import frozen, initial_network
from medprune.parallel import processes_of, run_all
from medprune.path import method, prune
from medprune.performance import performance
from medprune.preparation import Preparation, fit_preparation
from medprune.prices import Prices
from medprune.selection import RULES
from medprune.strategies.contribution import STOPS
from medprune.together import trained, walk_together
from medprune.training import Schedule, prepare

__all__ = ["Selection", "Validation", "cross_validate", "cross_validate_steps"]


# Five folds and ten stops of a network of 4,130 parameters, seconds of one processor:
#
#   patients in the folds                400    2,000    8,000
#   one model at a time in PyTorch       3.7     15.7     50.1
#   one fold at a time                     -      9.7     29.6
#   all folds side by side, in stacks    1.9      6.1     17.8
#
# So folds walk side by side. Two processes halve that, and take some 3 seconds to start.
LITTLE = 10_000_000  # patients times parameters: not worth processes
MOST_TOGETHER = 30  # folds in one process
MOST_ROWS = 200_000  # rows of all these folds together: each holds a table


@dataclass(frozen=True, eq=False)
class Walked:
    """What came of walking once: candidates, dense first, and the option that each answers (or None)."""

    candidates: tuple[Candidate, ...]
    options: tuple[float | None, ...]
    alone: int  # the place of the one that would be chosen without other folds
    models_trained: int


class Walk(ABC):
    """What is done with the dense network of a fold."""

    strategy: str
    granularity: str
    searched: tuple[Mapping[str, Any], ...] = ()

    @abstractmethod
    def __call__(self, model: RiskModel, cohort: Cohort, seed: int) -> Walked:
        """Walk; see nothing but the cohort's train and tuning."""

    @abstractmethod
    def models(self, model: RiskModel, cohort: Cohort) -> int:
        """At most how many models one walk trains, as far as this can be said beforehand."""

    def settings(self, option: float) -> dict[str, Any]:
        """What to walk the whole train split with once this option is chosen."""
        return {}


@dataclass(frozen=True)
class PathWalk(Walk):
    """The path of a strategy; its stops are the options."""

    how: Validation
    strategy: str
    granularity: str
    prices: Prices | None
    own: Mapping[str, Any]
    recalibrate: bool = True

    def __call__(self, model: RiskModel, cohort: Cohort, seed: int) -> Walked:
        path = prune(
            model,
            cohort,
            self.strategy,
            granularity=self.granularity,
            seed=seed,
            prices=self.prices,
            recalibrate=self.recalibrate,
            **self.own,
        )
        alone = path.candidates[-1]
        if self.how.rule in RULES:
            how = self.how
            alone = path.choose(how.rule, margin=how.margin, metric=how.metric, smallest=how.smallest)
        options = tuple(candidate.requested for candidate in path)
        return Walked(path.candidates, options, path.candidates.index(alone), path.models_trained)

    def settings(self, option: float) -> dict[str, Any]:
        return dict(self.own)

    def models(self, model: RiskModel, cohort: Cohort) -> int:
        problem = Problem.of(model, cohort, self.granularity, seed=0, prices=self.prices)
        return method(self.strategy, **self.own).planned(problem) - 1


@dataclass(frozen=True)
class CrossStep:
    """What :func:`cross_validate_steps` yields: folds done, and at the end the selection.

    The first step comes before any work, with ``planned_models``: what it will cost at most.
    """

    number: int
    of: int
    models_trained: int
    planned_models: int
    selection: Selection | None = None

    def event(self) -> dict[str, Any]:
        """How far it is."""
        return {
            "number": self.number,
            "of": self.of,
            "models_trained": self.models_trained,
            "planned_models": self.planned_models,
        }


def cross_validate(
    model: RiskModel,
    cohort: Cohort,
    strategy: str = "contribution",
    *,
    how: Validation | None = None,
    granularity: str = "weight",
    seed: int = 0,
    prices: Prices | None = None,
    recalibrate: bool = True,
    **settings: Any,
) -> Selection:
    """Choose how much to remove, on patients of train and tuning who are held out in turn; test stays closed.

    In every fold a network of the shape of ``model`` is trained and pruned by ``strategy`` with its
    ``settings``, from the raw columns on, and its candidates are recalibrated on the fold's own tuning
    patients, never on those held out. ``how`` says how many folds, how often, nested or not, and by which
    rule. The same seed gives the same selection, whatever the number of processes. Raises BadInput.
    """
    steps = cross_validate_steps(
        model,
        cohort,
        strategy,
        how=how,
        granularity=granularity,
        seed=seed,
        prices=prices,
        recalibrate=recalibrate,
        **settings,
    )
    return last_selection(steps)


def cross_validate_steps(
    model: RiskModel,
    cohort: Cohort,
    strategy: str = "contribution",
    *,
    how: Validation | None = None,
    granularity: str = "weight",
    seed: int = 0,
    prices: Prices | None = None,
    recalibrate: bool = True,
    **settings: Any,
) -> Iterator[CrossStep]:
    """The steps of :func:`cross_validate`, one a fold; the last one carries the selection."""
    how = Validation() if how is None else how
    walk = PathWalk(how, strategy, granularity, prices, settings, recalibrate)
    return walk_folds(model, cohort, how, walk, seed)


def last_selection(steps: Iterator[CrossStep]) -> Selection:
    *_, last = steps
    assert last.selection is not None
    return last.selection


def walk_folds(
    model: RiskModel, cohort: Cohort, how: Validation, walk: Walk, seed: int
) -> Iterator[CrossStep]:
    """Walk in every run, then choose: what stops and settings have in common."""
    started = time.perf_counter()
    if seed < 0:
        raise BadInput(f"The seed must be a whole number from 0, got {seed}.")
    task = Task(replace(model, mask=None), without_test(cohort), how, walk, seed)
    places = task.places()
    planned = len(places) * (1 + walk.models(task.model, task.cohort))
    step = CrossStep(0, len(places), 0, planned)
    yield step
    curves: list[Curve] = []
    for some in run_all(partial(_curves, task), task.shared_out(places), how.processes):
        for curve in some:
            curves.append(curve)
            trained_models = step.models_trained + curve.models_trained
            step = replace(step, number=len(curves), models_trained=trained_models)
            yield step
    yield replace(step, selection=_selection(task, curves, time.perf_counter() - started))


@dataclass(frozen=True, eq=False)
class Task:
    """What the runs share. Its cohort has nobody in test."""

    model: RiskModel
    cohort: Cohort
    how: Validation
    walk: Walk
    seed: int

    def places(self) -> list[Place]:
        """Every run, after checking that all folds can be dealt."""
        found = []
        for repeat in range(self.how.repeats):
            for fold, cohort in enumerate(self.folds_of(self.cohort, repeat)):
                found.append(Place(repeat, fold))
                if self.how.nested:
                    inner = range(len(self.folds_of(cohort, repeat, fold)))
                    found.extend(Place(repeat, fold, at) for at in inner)
        return found

    def shared_out(self, places: Sequence[Place]) -> list[Sequence[Place]]:
        """The runs that walk together: of little work all, here; of more, as many as each process gets."""
        rows, parameters = len(self.cohort.train) + len(self.cohort.tuning), self.model.network.stored()
        most = 1 if parameters >= STACKED_BELOW else max(1, min(MOST_TOGETHER, MOST_ROWS // rows))
        if rows * parameters > LITTLE:
            most = min(most, -(-len(places) // processes_of(self.how.processes)))
        return [places[at : at + most] for at in range(0, len(places), most)]

    def folds_of(self, cohort: Cohort, *place: int) -> list[Cohort]:
        return folds(cohort, self.how.folds, seed_of(self.seed, *place))

    def cohort_of(self, place: Place) -> Cohort:
        """The patients of a run: to learn from in train and tuning, held out in test."""
        outer = self.folds_of(self.cohort, place.repeat)[place.fold]
        if place.inner is None:
            return outer
        return self.folds_of(outer, place.repeat, place.fold)[place.inner]


def seed_of(*words: int) -> int:
    """A seed of its own for every place."""
    return int(np.random.SeedSequence(words).generate_state(1)[0])


def _curves(task: Task, places: Sequence[Place]) -> list[Curve]:
    """Runs that walk together."""
    return walk_together(partial(_curve, task), places)


def _curve(task: Task, place: Place) -> Curve:
    """One run: everything is learnt from its train and tuning, then its held-out patients are looked at."""
    cohort = task.cohort_of(place)
    where = (place.repeat, place.fold) if place.inner is None else (place.repeat, place.fold, place.inner)
    seed = seed_of(task.seed, *where, 1)
    dense = like(task.model, cohort, task.how.schedule, seed)
    walked = task.walk(dense, cohort, seed)
    look = Look(cohort)
    rows = [
        _row(candidate, option, look, task.how)
        for candidate, option in zip(walked.candidates, walked.options, strict=True)
    ]
    table = pd.DataFrame(rows)
    table.insert(0, "repeat", place.repeat)
    table.insert(1, "fold", place.fold)
    table["alone"] = np.arange(len(table)) == walked.alone
    return Curve(place, table, 1 + walked.models_trained)


def like(model: RiskModel, cohort: Cohort, schedule: Schedule, seed: int) -> RiskModel:
    """A dense network of the shape of ``model``, on the same features, learnt from this cohort alone."""
    preparation = fit_preparation(cohort.train.frame, model.preparation.features)
    spec = replace(model.network.spec, inputs=len(preparation.columns))
    train, tuning = (prepare(preparation, split) for split in (cohort.train, cohort.tuning))
    dense = replace(
        model,
        preparation=preparation,
        network=frozen(initial_network(spec, seed)),
        mask=None,
        recalibration=Recalibration(),
        origin=Origin(
            split=cohort.record(), seed=seed, training=model.origin.training, treatments=cohort.treatments
        ),
    )
    [made] = trained(Training([dense], train, tuning, schedule, [seed]))
    return made


@dataclass(eq=False)
class Look:
    """At held-out patients, who are prepared anew only where a model prepares them in another way."""

    cohort: Cohort
    how: Preparation | None = None
    columns: NDArray[np.float32] | None = None

    def risks(self, model: RiskModel) -> NDArray[np.float64]:
        how = replace(model.preparation, removed_as=())  # which plays no part here
        if self.columns is None or how != self.how:
            self.how, self.columns = how, model.prepared(self.cohort.test)
        return model.risks_of(self.columns)


def _row(candidate: Candidate, option: float | None, look: Look, how: Validation) -> dict[str, float]:
    """A candidate on held-out patients."""
    model, risks, held_out = candidate.model, look.risks(candidate.model), look.cohort.test
    return {
        "requested": np.nan if option is None else option,
        "sparsity": candidate.sparsity,
        "threshold": candidate.threshold,
        "parameters": candidate.parameters,
        "features": candidate.features,
        "price": candidate.price,
        "tuning": how.sign * candidate.performance[how.metric],
        **asdict(performance(held_out.outcome, risks, model.act_at, held_out.weight)),
    }


def _selection(task: Task, curves: Sequence[Curve], seconds: float) -> Selection:
    how, walk = task.how, task.walk
    plain = [curve for curve in curves if curve.place.inner is None]
    held_out = matched(plain, STOPS)
    table = compared(held_out, how, dense_too=not walk.searched)
    option = float(table.index[table["picked"]][0])
    alone = pd.concat([curve.rows[curve.rows["alone"]] for curve in plain], ignore_index=True)
    return Selection(
        how=how,
        strategy=walk.strategy,
        granularity=walk.granularity,
        seed=task.seed,
        patients=len(np.unique(learnt_from(task.cohort).patients)),
        table=table,
        held_out=held_out,
        alone=alone.drop(columns="alone"),
        outer=_outer(task, curves) if how.nested else None,
        option=option,
        settings=walk.settings(option),
        searched=walk.searched,
        models_trained=sum(curve.models_trained for curve in curves),
        seconds=seconds,
    )


def _outer(task: Task, curves: Sequence[Curve]) -> pd.DataFrame:
    """What the inner folds of every run chose, measured on the run's own held-out patients."""
    chosen = []
    for curve in curves:
        if curve.place.inner is not None:
            continue
        inner = [
            other
            for other in curves
            if other.place.inner is not None
            and (other.place.repeat, other.place.fold) == (curve.place.repeat, curve.place.fold)
        ]
        table = compared(matched(inner, STOPS), task.how, dense_too=not task.walk.searched)
        option = float(table.index[table["picked"]][0])
        answers = matched([curve], STOPS)
        chosen.append(answers[answers["option"] <= option].iloc[-1:])  # or the nearest that it reached
    return pd.concat(chosen, ignore_index=True)
