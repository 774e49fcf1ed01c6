"""The review: what a smaller model does to patients, on those it has never seen, and the gate before export.

Read :func:`review_steps` first: it is the order of the whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray

from medprune.cohort import Cohort, Split
from medprune.compaction import compact
from medprune.model import RiskModel
from medprune.onnx_graph import onnx_bytes
from medprune.review.beforehand import beforehand
from medprune.review.comparator import comparators
from medprune.review.evidence import Evidence, Fidelity, evidence_of, fidelity
from medprune.review.floor import REFITS, floor_steps
from medprune.review.groups import Cut, Grouping, groups_of
from medprune.review.limits import Limits
from medprune.review.pooled import Procedure
from medprune.review.repeats import pooled, sites, with_columns
from medprune.review.result import Review
from medprune.review.seen import Seen
from medprune.review.shift import Shift, shift, shift_by_means

Floats = NDArray[np.float64]


class Exported(Protocol):
    """A bundle, as far as a review has to know it."""

    @property
    def model(self) -> RiskModel: ...

    @property
    def provenance(self) -> Mapping[str, Any]: ...

    def file(self, name: str) -> bytes | None:
        """One of its files, None when it has none of this name."""


@dataclass(frozen=True)
class ReviewStep:
    """What is being done now; the last step carries the review."""

    number: int
    of: int
    doing: str
    review: Review | None = None

    def event(self) -> dict[str, Any]:
        return {"number": self.number, "of": self.of, "doing": self.doing}


def review(dense: RiskModel, pruned: RiskModel | Exported, split: Split, **how: Any) -> Review:
    """The review of a smaller model against the one it came from; see :func:`review_steps` for ``how``."""
    *_, last = review_steps(dense, pruned, split, **how)
    assert last.review is not None
    return last.review


def review_steps(  # noqa: PLR0913 - two models, their patients, and what was settled before
    dense: RiskModel,
    pruned: RiskModel | Exported,
    split: Split,
    *,
    act_at: float | None = None,
    subgroups: Sequence[str | Cut] | None = None,
    cohort: Cohort | None = None,
    limits: Limits | None = None,
    evidence: Evidence | None = None,
    prevalence: float | None = None,
    refits: int = REFITS,
    procedure: Procedure | None = None,
    confirmed: Sequence[str] = (),
    site: str | None = None,
    seed: int = 0,
) -> Iterator[ReviewStep]:
    """Review ``pruned`` (a model, a candidate, or best a bundle on disk) on the patients of ``split``.

    ``act_at`` is the risk that is acted on (the smaller model's own unless given). ``subgroups`` are columns,
    chosen before looking (all that were loaded as such unless given; "age:40,65" cuts a number).

    ``cohort`` is needed for what takes train patients: the noise floor, which trains the dense network anew
    ``refits`` times; a logistic regression beside it; and, where too few patients can be reviewed,
    ``procedure`` (a bundle's own unless given) repeated out of fold. With ``site``, a column, it is repeated
    with each site left out.

    ``limits`` should have been set, and hashed, before these patients were opened; ``evidence`` says what is
    known of that, and is read from a bundle's provenance unless given. ``confirmed`` are inputs whose removal
    somebody has agreed to; ``prevalence`` weights cases and controls that were sampled apart. Raises
    BadInput.
    """
    limits = Limits() if limits is None else limits
    model, raw = _models(pruned, dense)
    at = model.act_at if act_at is None else act_at
    dense, model = replace(dense, act_at=at), replace(model, act_at=at)
    of = refits + 3
    yield ReviewStep(0, of, "Risks of both models")
    seen = Seen(
        split,
        model.classes,
        at,
        _risks(dense, split),
        _risks(model, split),
        None if raw is None else _risks(raw, split),
    )
    yield ReviewStep(1, of, "Figures and their intervals")
    grouping = _grouping(split, subgroups, cohort)
    made = Review(
        split=split,
        classes=model.classes,
        act_at=at,
        dense_model=dense,
        pruned_model=model,
        limits=limits,
        evidence=evidence or _evidence(pruned, split, (dense, model), limits),
        fidelity=_fidelity(pruned, model, split, at),
        grouping=grouping.notes,
        shift=_shift(model, split, cohort),
        clashes=_clashes(model, cohort),
        confirmed=tuple(confirmed),
        prevalence=prevalence,
        **seen.figures(grouping, limits, prevalence, seed),
    )
    if cohort is not None:
        again = _Again(cohort, subgroups, refits, _procedure(pruned, procedure), site, seed)
        for doing, done, further in again.steps(made, grouping):
            made = further
            yield ReviewStep(1 + done, of, doing)
    yield ReviewStep(of, of, "Done", made)


@dataclass(frozen=True, eq=False)
class _Again:
    """What takes train patients: everything that is trained anew for a review."""

    cohort: Cohort
    subgroups: Sequence[str | Cut] | None
    refits: int
    procedure: Procedure | None
    site: str | None
    seed: int

    def steps(self, made: Review, grouping: Grouping) -> Iterator[tuple[str, int, Review]]:
        """What is being done, how many retrainings are done, and the review as far as it is."""
        dense, split, cohort = made.dense_model, made.split, self.cohort
        how: dict[str, Any] = {"refits": self.refits, "prevalence": made.prevalence, "seed": self.seed}
        for step in floor_steps(dense, cohort, split, made.act_at, **how):
            made = replace(made, floor=step.floor)
            yield "Retraining the original, to see what changes anyway", step.number, made
        made = replace(
            made,
            comparators=comparators(made.pruned_model, cohort.train, split, made.act_at, made.prevalence),
            beforehand=beforehand(
                (dense, made.pruned_model),
                (cohort.tuning, _grouping(cohort.tuning, self.subgroups, cohort)),
                (split, grouping),
                (made.dense_risks, made.pruned_risks),
            ),
        )
        for fold in pooled(made, cohort, self.procedure, self.seed):
            made = replace(made, pooled=fold.sides)
            yield f"Repeating it out of fold ({fold.number} of {fold.of})", self.refits + 1, made
        for left in sites(made, cohort, self.site, self.procedure, self.seed):
            made = replace(made, sites=left.review)
            yield f"Leaving out a site ({left.number} of {left.of})", self.refits + 1, made
        yield "Done", self.refits + 1, made


def _models(pruned: RiskModel | Exported, dense: RiskModel) -> tuple[RiskModel, RiskModel | None]:
    """The model, and the same with no recalibration but the dense one's, where it has another."""
    model = pruned if isinstance(pruned, RiskModel) else pruned.model
    if model.recalibration == dense.recalibration:
        return model, None
    return model, replace(model, recalibration=dense.recalibration)


def _clashes(model: RiskModel, cohort: Cohort | None) -> tuple[str, ...]:
    """Inputs that the model still needs and whose values look like two units to the checks of the table."""
    found = [] if cohort is None else [p for p in cohort.quality.problems if p.kind == "mixed_units"]
    mixed = {name for problem in found for name in (problem.columns or (problem.column,))}
    return tuple(name for name in compact(model).features if name in mixed)


def _risks(model: RiskModel, split: Split) -> Floats:
    return model.risks_of(model.prepared(split))


def _procedure(pruned: RiskModel | Exported, given: Procedure | None) -> Procedure | None:
    """How the smaller model came about: as it is given, or as its bundle tells."""
    return Procedure.of(pruned.provenance) if given is None and _is_exported(pruned) else given


def _grouping(split: Split, chosen: Sequence[str | Cut] | None, cohort: Cohort | None) -> Grouping:
    """The groups of a split; numbers are cut as train patients say, where they are at hand."""
    learnt = None if cohort is None else with_columns(cohort.train, chosen)
    return groups_of(with_columns(split, chosen), chosen, train=learnt)


def _shift(model: RiskModel, split: Split, cohort: Cohort | None) -> Shift:
    """How far the inputs that the model still needs lie from those it learnt from."""
    small = compact(model).preparation
    if cohort is None or not len(cohort.train):
        return shift_by_means(small, split.frame)
    return shift(cohort.train.frame, split.frame, small.features)


def _fidelity(pruned: RiskModel | Exported, model: RiskModel, split: Split, act_at: float) -> Fidelity:
    """The bundle's files, or those that would be written now."""
    if not _is_exported(pruned):
        small = compact(model)
        return fidelity(small, split, onnx_bytes(small), act_at)
    file = pruned.file("model.onnx")
    assert file is not None
    return fidelity(model, split, file, act_at, pruned.file("model.int8.onnx"))


def _evidence(
    pruned: RiskModel | Exported, split: Split, models: tuple[RiskModel, RiskModel], limits: Limits
) -> Evidence:
    """A bundle's own opening of these patients is on record already; a model's is this one."""
    counted = models[1].origin.test_openings
    if not _is_exported(pruned):
        return evidence_of(split, models, limits, configurations=counted + 1)
    return evidence_of(split, models, limits, configurations=max(counted, 1), provenance=pruned.provenance)


def _is_exported(pruned: RiskModel | Exported) -> TypeGuard[Exported]:
    return hasattr(pruned, "provenance")
