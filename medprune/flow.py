"""The whole job without a screen: read this first.

A cohort and a model go in; a criterion gives every weight a score; a strategy walks a path of ever
smaller finished models; one candidate is chosen, on tuning patients or by cross-validation; test patients
are opened once, for the dense model and the chosen one; a bundle goes out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path as FilePath
from typing import Any

from medprune.bundle import Bundle, export
from medprune.candidate import Candidate
from medprune.cohort import Cohort, Split, refuse_weights
from medprune.compression import COMPARED, Compression, compression
from medprune.cross_validation import CrossStep, cross_validate_steps
from medprune.errors import BadInput
from medprune.fold_selection import Selection, Validation
from medprune.model import Origin, RiskModel
from medprune.model_file import fingerprint
from medprune.path import Path, PathStep, member, prune_steps
from medprune.performance import Performance, performance
from medprune.recalibration import in_words
from medprune.review.evidence import lock
from medprune.review.limits import Limits
from medprune.settings_search import search_settings_steps
from medprune.size import Size, size_of
from medprune.strategies.contribution import STOPS
from medprune.treatments import treatments_of

Watch = Callable[[Iterable[PathStep]], Iterable[PathStep]]
WatchFolds = Callable[[Iterable[CrossStep]], Iterable[CrossStep]]


@dataclass(frozen=True)
class Measured:
    """A model on locked patients: how well, how big."""

    performance: Performance
    size: Size

    def to_json(self) -> dict[str, float]:
        scores, size = asdict(self.performance), asdict(self.size)
        return {key: scores[key] for key in ("auroc", "accuracy", "f1", "brier")} | size


@dataclass(frozen=True)
class Choice:
    """How to choose on the path: a threshold, a sparsity, or a rule (the default).

    With ``folds``, by cross-validation: by the rule, how much to remove; at a threshold, by the rule, the
    other settings; at a sparsity, nothing, but then it is known how sure the result is.
    """

    threshold: float | None = None
    sparsity: float | None = None
    rule: str = "one-se"
    margin: float = 0.02
    folds: Validation | None = None
    smallest: str = "parameters"

    def settings(self, strategy: str = "contribution") -> dict[str, Any]:
        """What the choice asks of the strategy, as far as that can be asked for a size or a threshold."""
        if self.threshold is not None and self.sparsity is not None:
            raise BadInput("Choose by a threshold or by a sparsity, not by both.")
        known = {setting.name for setting in fields(member(strategy))}  # type: ignore[arg-type]
        if self.threshold is not None:
            if "threshold" not in known:
                raise BadInput(
                    f"{strategy!r} cuts at no threshold; use --sparsity or --choose, or the strategy "
                    "contribution."
                )
            return {"threshold": self.threshold}
        if self.sparsity is not None:
            if not 0 <= self.sparsity < 1:
                raise BadInput(f"The sparsity must lie in [0, 1), got {self.sparsity:g}.")
            return {"sparsities": sparsities_to(self.sparsity)} if "sparsities" in known else {}
        return {}

    def of(self, path: Path) -> Candidate:
        if self.threshold is not None:
            return path.candidates[-1]
        if self.sparsity is not None:
            return path.smallest_needed(self.sparsity)
        return path.choose(self.rule, margin=self.margin, smallest=self.smallest)

    def by_folds(
        self, model: RiskModel, cohort: Cohort, strategy: str, **settings: Any
    ) -> Iterator[CrossStep]:
        """The steps of the cross-validation that chooses; ``settings`` are those of :func:`run`."""
        assert self.folds is not None
        rule = self.rule if self.sparsity is None else "smallest"
        how = replace(self.folds, rule=rule, margin=self.margin, smallest=self.smallest)
        if self.threshold is None:
            return cross_validate_steps(
                model, cohort, strategy, how=how, **(self.settings(strategy) | settings)
            )
        if strategy != "contribution":
            raise BadInput(
                f"The settings at a threshold are searched for the contribution path, not for {strategy!r}; "
                "leave the threshold or the folds out."
            )
        return search_settings_steps(model, cohort, self.threshold, how=how, **settings)


def sparsities_to(target: float) -> tuple[float, ...]:
    """The usual stops below a target sparsity, then the target itself."""
    return (*(stop for stop in STOPS if stop < target), target)


@dataclass(frozen=True, eq=False)
class Job:
    """What :func:`run` hands back."""

    path: Path
    chosen: Candidate
    dense: Measured
    pruned: Measured
    bundle: Bundle
    seconds: float
    selection: Selection | None = None  # what the folds said, where they chose
    compression: Compression | None = None  # of the quantised file, where one was asked for
    raw: Measured | None = None  # the pruned model on test without its recalibration

    @property
    def models_trained(self) -> int:
        """The search burden: on the path, and in the folds that chose."""
        return self.path.models_trained + (0 if self.selection is None else self.selection.models_trained)

    @property
    def risks_set_right(self) -> str:
        """What recalibration did, and what it changed on test, in a sentence; empty where there was none."""
        if not self.chosen.is_recalibrated or self.raw is None:
            return ""
        before, after = self.raw.performance.brier, self.pruned.performance.brier
        return (
            f"Its risks were set right on tuning patients ({in_words(self.chosen.model.recalibration)}): "
            f"Brier score {after:.3f} (raw {before:.3f}). "
        )

    def to_json(self) -> dict[str, Any]:
        """The keys that scripts rely on."""
        return {
            "dense": self.dense.to_json(),
            "pruned": self.pruned.to_json(),
            "threshold": self.chosen.threshold,
            "sparsity": {"requested": self.chosen.requested, "achieved": self.chosen.sparsity},
            "strategy": self.path.strategy,
            "granularity": self.path.granularity,
            "recalibration": recalibration_of(self.chosen),
            **({} if self.raw is None else {"pruned_raw": self.raw.to_json()}),
            "path": [point(candidate) for candidate in self.path],
            "models_trained": self.models_trained,
            "seconds": self.seconds,
            "bundle": str(self.bundle.folder),
            "no_longer_needed": [name for name in self.path.dense.needed if name not in self.chosen.needed],
            **(self._price() if self.path.prices else {}),
            **({} if self.selection is None else {"selection": self.selection.to_json()}),
            **({} if self.compression is None else {"compression": self.compression.to_json()}),
        }

    def _price(self) -> dict[str, Any]:
        dense, pruned = self.path.dense.price, self.chosen.price
        return {"price": {"unit": self.path.prices.unit, "dense": dense, "pruned": pruned}}


def point(candidate: Candidate) -> dict[str, float]:
    """One point of the path, on tuning patients."""
    return {
        "sparsity": candidate.sparsity,
        "parameters": candidate.parameters,
        "features": candidate.features,
        "auroc": candidate.performance.auroc,
    }


def recalibration_of(candidate: Candidate) -> dict[str, Any]:
    """How a candidate's logits become its risks, and whether that was fitted to it on tuning."""
    return {"fitted": candidate.is_recalibrated, **candidate.model.recalibration.to_json()}


def run(
    model: RiskModel,
    cohort: Cohort,
    folder: str | FilePath,
    *,
    strategy: str = "contribution",
    granularity: str = "weight",
    choice: Choice | None = None,
    seed: int = 0,
    watch: Watch = iter,
    watch_folds: WatchFolds = iter,
    int8: str | None = None,
    limits: Limits | None = None,
    recalibrate: bool = True,
    **settings: Any,
) -> Job:
    """Prune ``model``, choose a candidate, open test once, and write its bundle to ``folder``.

    ``limits`` are those of the review that is to follow: they are set down before test is opened.
    ``watch`` wraps the path's steps and ``watch_folds`` those of the cross-validation, for a progress bar;
    ``int8`` asks for a quantised file too, weights or full; without ``recalibrate`` the risks stay as pruning
    left them. Raises BadInput; an older bundle in ``folder`` stays as it was until the new one is complete.
    """
    started = time.perf_counter()
    if int8 is not None:
        refuse_weights(cohort.tuning, COMPARED)
    choice = Choice() if choice is None else choice
    common = {"granularity": granularity, "seed": seed, "recalibrate": recalibrate, **settings}
    selection = None
    if choice.folds is not None:
        *_, done = watch_folds(choice.by_folds(model, cohort, strategy, **common))
        selection = done.selection
    found = {} if selection is None else selection.settings
    *_, last = watch(prune_steps(model, cohort, strategy, **{**choice.settings(strategy), **common, **found}))
    path = last.path
    assert path is not None
    locked = lock(limits or Limits(), model.act_at)
    chosen = choice.of(path) if selection is None else selection.candidate(path)
    dense, pruned, raw = (measure(one, cohort.test) for one in (model, chosen.model, chosen.raw))
    opened = with_test_opened(chosen.model, parent=model)
    small = None if int8 is None else compression(chosen.model, cohort, int8)
    record = provenance(path, chosen, cohort, dense, pruned, selection) | {"limits": locked}
    bundle = export(opened, None, folder, provenance=record, int8=None if small is None else small.file)
    return Job(path, chosen, dense, pruned, bundle, time.perf_counter() - started, selection, small, raw)


def measure(model: RiskModel, split: Split) -> Measured:
    """Performance and size of a model on a split's patients."""
    risks = model.risks_of(model.prepared(split))
    return Measured(performance(split.outcome, risks, model.act_at, split.weight), size_of(model))


def with_test_opened(model: RiskModel, parent: RiskModel | None = None, before: int = 0) -> RiskModel:
    """The model with one more opening of its test patients on record, and its parent named.

    ``before``: how often they were opened already, where that is more than the model knows.
    """
    seen = model.origin if parent is None else replace(model.origin, parent=fingerprint(parent))
    origin: Origin = replace(seen, test_openings=max(seen.test_openings, before) + 1)
    return replace(model, origin=origin)


def provenance(
    path: Path,
    chosen: Candidate,
    cohort: Cohort,
    dense: Measured | None,
    pruned: Measured | None,
    selection: Selection | None = None,
) -> dict[str, Any]:
    """Where the model comes from: hashes, seed, every setting, the search burden. No patient's values."""
    in_folds = 0 if selection is None else selection.models_trained
    return {
        "table_sha256": cohort.table_hash,
        "patients": {split.name: len(split) for split in (cohort.train, cohort.tuning, cohort.test)},
        "outcome": cohort.outcome,
        "follow_up": None if cohort.follow_up is None else cohort.follow_up.to_json(),
        "trained_on_these_patients": "unknown" if chosen.model.may_know_the_patients else "train split",
        "excluded_columns": [{"column": name, "reason": reason} for name, reason in cohort.kept_out],
        "treatments": [{"id": each.id, "does": each.told} for each in treatments_of(cohort.treatments)],
        "notes": list(cohort.notes),
        "data_problems": [problem.to_json() for problem in cohort.quality.problems],
        "parent_model_sha256": fingerprint(path.dense.model),
        "dense_training": path.dense.model.origin.training,
        "split_seed": cohort.seed,
        "strategy": path.strategy,
        "granularity": path.granularity,
        "prices": {"unit": path.prices.unit, "of": dict(path.prices.by_feature)},
        "settings": asdict(path.settings),  # type: ignore[call-overload]
        "threshold": chosen.threshold,
        "sparsity": {"requested": chosen.requested, "achieved": chosen.sparsity},
        "recalibrate": path.recalibrated,
        "recalibration": recalibration_of(chosen),
        "path_on_tuning": [point(candidate) for candidate in path],
        "search_burden": {
            "models_trained": path.models_trained + in_folds,
            "of_these_in_folds": in_folds,
            "candidates": len(path),
        },
        "selection": None if selection is None else selection.to_json(),
        "test": None
        if dense is None or pruned is None
        else {"dense": dense.to_json(), "pruned": pruned.to_json()},
    }
