"""The review: what a smaller model does to patients, on those it has never seen, and the gate before export.

Read :func:`review_steps` first: it is the order of the whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from medprune.cohort import Cohort, Split
from medprune.compaction import compact
from medprune.model import Recalibration, RiskModel
from medprune.onnx_graph import onnx_bytes
from medprune.performance import BINARY, decisions
from medprune.review.estimate import Estimate
from medprune.review.evidence import Evidence, Fidelity, fidelity, overlap
from medprune.review.flips import Flips, flips, foretold, moves
from medprune.review.floor import REFITS, floor_steps
from medprune.review.limits import Limits
from medprune.review.multiclass import macro_auroc, pairs
from medprune.review.observed import Observed
from medprune.review.result import Review
from medprune.review.side_by_side import SideBySide, auroc_of_two, side_by_side

Floats = NDArray[np.float64]


class Exported(Protocol):
    """A bundle, as far as a review has to know it."""

    @property
    def model(self) -> RiskModel: ...

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


def review_steps(
    dense: RiskModel,
    pruned: RiskModel | Exported,
    split: Split,
    *,
    act_at: float | None = None,
    cohort: Cohort | None = None,
    limits: Limits | None = None,
    evidence: Evidence | None = None,
    prevalence: float | None = None,
    refits: int = REFITS,
    seed: int = 0,
) -> Iterator[ReviewStep]:
    """Review ``pruned`` (a model, a candidate, or best a bundle on disk) on the patients of ``split``.

    ``act_at`` is the risk that is acted on (the smaller model's own unless given). ``cohort`` is needed for
    the noise floor, which trains the dense network anew ``refits`` times. ``limits`` should have been set,
    and hashed, before these patients were opened; ``evidence`` says what is known of that. ``prevalence``
    weights cases and controls that were sampled apart. Raises BadInput.
    """
    model, raw = _models(pruned)
    at = model.act_at if act_at is None else act_at
    dense, model = replace(dense, act_at=at), replace(model, act_at=at)
    of = refits + 3
    yield ReviewStep(0, of, "Risks of both models")
    seen = _Seen(
        split,
        model.classes,
        at,
        dense=dense.risks_of(dense.prepared(split)),
        pruned=model.risks_of(model.prepared(split)),
        raw=None if raw is None else raw.risks_of(raw.prepared(split)),
    )
    yield ReviewStep(1, of, "Figures and their intervals")
    made = Review(
        split=split,
        classes=model.classes,
        act_at=at,
        dense_model=dense,
        pruned_model=model,
        dense_risks=seen.dense,
        pruned_risks=seen.pruned,
        sides=seen.sides(limits or Limits(), prevalence, seed),
        auroc=seen.auroc(),
        flips=seen.flips(),
        limits=limits or Limits(),
        evidence=evidence or Evidence(overlap(split, dense, model), _configurations(pruned, model)),
        fidelity=_fidelity(pruned, model, split, at),
        foretold=seen.foretold(),
        pairs=() if seen.is_binary else pairs(split, model.classes, seen.dense, seen.pruned),
        prevalence=prevalence,
    )
    if cohort is not None:
        for step in floor_steps(dense, cohort, split, at, refits=refits, seed=seed):
            made = replace(made, floor=step.floor)
            yield ReviewStep(2 + step.number, of, "Retraining the original, to see what changes anyway")
    yield ReviewStep(of, of, "Done", made)


def _models(pruned: RiskModel | Exported) -> tuple[RiskModel, RiskModel | None]:
    """The model, and the same before its recalibration where it has one."""
    model = pruned if isinstance(pruned, RiskModel) else pruned.model
    if model.recalibration.is_identity:
        return model, None
    return model, replace(model, recalibration=Recalibration())


@dataclass(frozen=True, eq=False)
class _Seen:
    """The risks (N, classes) of the dense and the pruned model on a split, and of the latter before its
    recalibration."""

    split: Split
    classes: tuple[str, ...]
    act_at: float
    dense: Floats
    pruned: Floats
    raw: Floats | None

    @property
    def is_binary(self) -> bool:
        return len(self.classes) == BINARY

    def sides(self, limits: Limits, prevalence: float | None, seed: int) -> tuple[SideBySide, ...]:
        """One against the others: the positive of two classes, each of more."""
        looked_at = [1] if self.is_binary else list(range(len(self.classes)))
        return tuple(self._side(klass, limits, prevalence, seed) for klass in looked_at)

    def _side(self, klass: int, limits: Limits, prevalence: float | None, seed: int) -> SideBySide:
        observed = Observed.of(self.split, klass)
        return side_by_side(
            observed if prevalence is None else observed.as_if(prevalence),
            self.dense[:, klass],
            self.pruned[:, klass],
            self.act_at,
            raw=None if self.raw is None else self.raw[:, klass],
            label=self.classes[klass],
            act_range=limits.act_range,
            seed=seed,
        )

    def auroc(self) -> tuple[Estimate, Estimate, Estimate]:
        """Of the dense model, the pruned one, and the change: the mean over more than two classes."""
        if self.is_binary:
            observed, risks = Observed.of(self.split), (self.dense[:, 1], self.pruned[:, 1])
            return auroc_of_two(observed, *risks)
        patients = self.split.patients
        before, after = (macro_auroc(self.split, each) for each in (self.dense, self.pruned))
        return before.estimate(patients), after.estimate(patients), (after - before).estimate(patients)

    def flips(self) -> Flips:
        if self.is_binary:
            weight = Observed.of(self.split).weight
            event = self.split.outcome == 1
            return flips(event, self.dense[:, 1], self.pruned[:, 1], self.act_at, weight)
        return moves(self.split.outcome, decisions(self.dense), decisions(self.pruned))

    def foretold(self) -> float:
        if not self.is_binary:
            return float("nan")
        return foretold(self.dense[:, 1], self.pruned[:, 1], self.act_at)


def _fidelity(pruned: RiskModel | Exported, model: RiskModel, split: Split, act_at: float) -> Fidelity:
    """The bundle's files, or those that would be written now."""
    if isinstance(pruned, RiskModel) or not hasattr(pruned, "file"):
        small = compact(model)
        return fidelity(small, split, onnx_bytes(small), act_at)
    file = pruned.file("model.onnx")
    assert file is not None
    return fidelity(model, split, file, act_at, pruned.file("model.int8.onnx"))


def _configurations(pruned: RiskModel | Exported, model: RiskModel) -> int:
    """Models scored on these patients, this one included: a bundle's own opening is on record already."""
    counted = model.origin.test_openings
    return counted + 1 if isinstance(pruned, RiskModel) or not hasattr(pruned, "file") else max(counted, 1)
