"""The review: what a smaller model does to patients, on those it has never seen, and the gate before export.

Read :func:`review_steps` first: it is the order of the whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeGuard

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medprune.cohort import Cohort, Split
from medprune.compaction import compact
from medprune.model import Recalibration, RiskModel
from medprune.onnx_graph import onnx_bytes
from medprune.review.comparator import comparators
from medprune.review.evidence import Evidence, Fidelity, evidence_of, fidelity
from medprune.review.floor import REFITS, floor_steps
from medprune.review.gate import NOT_ASSESSABLE
from medprune.review.groups import Cut, groups_of
from medprune.review.limits import Limits
from medprune.review.multiclass import pairs
from medprune.review.pooled import PooledStep, Procedure, pooled_steps
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
    seed: int = 0,
) -> Iterator[ReviewStep]:
    """Review ``pruned`` (a model, a candidate, or best a bundle on disk) on the patients of ``split``.

    ``act_at`` is the risk that is acted on (the smaller model's own unless given). ``subgroups`` are columns,
    chosen before looking (all that were loaded as such unless given; "age:40,65" cuts a number).

    ``cohort`` is needed for what takes train patients: the noise floor, which trains the dense network anew
    ``refits`` times; a logistic regression beside it; and, where too few patients can be reviewed,
    ``procedure`` (a bundle's own unless given) repeated out of fold.

    ``limits`` should have been set, and hashed, before these patients were opened; ``evidence`` says what is
    known of that, and is read from a bundle's provenance unless given. ``confirmed`` are inputs whose removal
    somebody has agreed to; ``prevalence`` weights cases and controls that were sampled apart. Raises
    BadInput.
    """
    limits = Limits() if limits is None else limits
    model, raw = _models(pruned)
    at = model.act_at if act_at is None else act_at
    dense, model = replace(dense, act_at=at), replace(model, act_at=at)
    of = refits + 3
    yield ReviewStep(0, of, "Risks of both models")
    seen = Seen(
        split,
        model.classes,
        at,
        dense=dense.risks_of(dense.prepared(split)),
        pruned=model.risks_of(model.prepared(split)),
        raw=None if raw is None else raw.risks_of(raw.prepared(split)),
    )
    yield ReviewStep(1, of, "Figures and their intervals")
    learnt = None if cohort is None else _with_columns(cohort.train, subgroups)
    grouping = groups_of(_with_columns(split, subgroups), subgroups, train=learnt)
    made = Review(
        split=split,
        classes=model.classes,
        act_at=at,
        dense_model=dense,
        pruned_model=model,
        dense_risks=seen.dense,
        pruned_risks=seen.pruned,
        sides=seen.sides(limits, prevalence, seed),
        auroc=seen.auroc(),
        flips=seen.flips(),
        limits=limits,
        evidence=evidence or _evidence(pruned, split, (dense, model), limits),
        fidelity=_fidelity(pruned, model, split, at),
        foretold=seen.foretold(),
        groups=seen.groups(grouping, limits, prevalence, seed),
        grouping=grouping.notes,
        shift=_shift(model, split, cohort),
        confirmed=tuple(confirmed),
        pairs=() if seen.is_binary else pairs(split, model.classes, seen.dense, seen.pruned),
        prevalence=prevalence,
    )
    if cohort is not None:
        for step in floor_steps(dense, cohort, split, at, refits=refits, seed=seed):
            made = replace(made, floor=step.floor)
            yield ReviewStep(2 + step.number, of, "Retraining the original, to see what changes anyway")
        made = replace(made, comparators=comparators(model, cohort.train, split, at))
        for fold in _pooled(made, pruned, cohort, procedure, seed):
            made = replace(made, pooled=fold.sides)
            yield ReviewStep(of - 1, of, f"Repeating it out of fold ({fold.number} of {fold.of})")
    yield ReviewStep(of, of, "Done", made)


def _pooled(
    made: Review, pruned: RiskModel | Exported, cohort: Cohort, procedure: Procedure | None, seed: int
) -> Iterator[PooledStep]:
    """The steps of the out-of-fold estimates, where the reviewed patients are too few to assess."""
    if made.checks[0].state != NOT_ASSESSABLE:
        return
    if procedure is None and _is_exported(pruned):
        procedure = Procedure.of(pruned.provenance)
    if procedure is not None and procedure.folds:
        yield from pooled_steps(made.dense_model, cohort, procedure, made.act_at, seed=seed)


def _shift(model: RiskModel, split: Split, cohort: Cohort | None) -> Shift:
    """How far the inputs that the model still needs lie from those it learnt from."""
    small = compact(model).preparation
    if cohort is None or not len(cohort.train):
        return shift_by_means(small, split.frame)
    return shift(cohort.train.frame, split.frame, small.features)


def _models(pruned: RiskModel | Exported) -> tuple[RiskModel, RiskModel | None]:
    """The model, and the same before its recalibration where it has one."""
    model = pruned if isinstance(pruned, RiskModel) else pruned.model
    if model.recalibration.is_identity:
        return model, None
    return model, replace(model, recalibration=Recalibration())


def _with_columns(split: Split, chosen: Sequence[str | Cut] | None) -> Split:
    """The split, where columns that the model reads can be chosen as subgroups too."""
    if chosen is None:
        return split
    more = [name for name in split.frame.columns if name not in split.subgroups.columns]
    return replace(split, subgroups=pd.concat([split.subgroups, split.frame[more]], axis=1))


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
