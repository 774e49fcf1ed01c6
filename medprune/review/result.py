"""What a review found: both models on the same patients, every figure, and the gate."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medprune.cohort import Split
from medprune.compaction import compact
from medprune.model import RiskModel
from medprune.performance import BINARY, Performance, decisions, performance
from medprune.review import checks
from medprune.review.beforehand import Beforehand
from medprune.review.comparator import Comparator
from medprune.review.estimate import Estimate
from medprune.review.evidence import Evidence, Fidelity
from medprune.review.flips import Flips, sides_of
from medprune.review.floor import Floor
from medprune.review.gate import Check, Override, overall
from medprune.review.group_check import group_check, groups_json
from medprune.review.influence import share
from medprune.review.limits import Limits
from medprune.review.multiclass import Pair
from medprune.review.observed import Observed
from medprune.review.shift import Shift, input_check
from medprune.review.side_by_side import SideBySide, estimates_json
from medprune.review.sites import SiteReview
from medprune.review.subgroups import SubgroupReview
from medprune.size import Size, size_of

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Review:
    """Two models on the same patients. ``sides`` has one entry for two classes, else one for every class.

    ``flips`` and ``floor`` count changed decisions; ``foretold`` is how well the dense model's margin told
    who would change (an AUROC). ``dense_risks`` and ``pruned_risks`` (N, classes) stay in memory: nothing
    of one patient is written by :meth:`to_json`.
    """

    split: Split
    classes: tuple[str, ...]
    act_at: float
    dense_model: RiskModel
    pruned_model: RiskModel
    dense_risks: Floats
    pruned_risks: Floats
    sides: tuple[SideBySide, ...]
    auroc: tuple[Estimate, Estimate, Estimate]  # dense, pruned, change: of the mean over classes
    flips: Flips
    limits: Limits
    evidence: Evidence
    fidelity: Fidelity
    floor: Floor | None = None
    foretold: float = float("nan")
    groups: tuple[SubgroupReview, ...] = ()  # by class, as ``sides``; empty where no columns were chosen
    grouping: tuple[str, ...] = ()  # how the groups were made, a sentence each
    shift: Shift | None = None  # of the inputs that the smaller model needs, against train
    clashes: tuple[str, ...] = ()  # needed inputs whose values mix two units
    confirmed: tuple[str, ...] = ()  # removed inputs that somebody agreed to do without
    pairs: tuple[Pair, ...] = ()
    comparators: tuple[Comparator, ...] = ()  # a logistic regression on the same inputs, by class
    beforehand: Beforehand | None = None  # which groups were at risk before pruning
    sites: SiteReview | None = None  # the procedure with each site left out
    pooled: tuple[SideBySide, ...] = ()  # out of fold, by class, where the reviewed patients are too few
    prevalence: float | None = None  # that the figures are weighted to, None: as observed
    override: Override | None = None

    @cached_property
    def dense(self) -> tuple[Performance, Size]:
        """The usual metrics of the dense model on these patients, and its size."""
        return self._told(self.dense_model, self.dense_risks)

    @cached_property
    def pruned(self) -> tuple[Performance, Size]:
        return self._told(self.pruned_model, self.pruned_risks)

    def _told(self, model: RiskModel, risks: Floats) -> tuple[Performance, Size]:
        weight = Observed.of(self.split, prevalence=self.prevalence).weight
        found = performance(self.split.outcome, risks, self.act_at, weight)
        return found, size_of(model)

    @cached_property
    def checks(self) -> tuple[Check, ...]:
        """G0 to G8, in order."""
        events = min(side.events for side in self.sides)
        return (
            checks.evidence_fit(self.sides, self.evidence, self.limits),
            checks.ranking(*self.auroc, events, self.limits),
            checks.calibrated(self.sides, self.limits),
            group_check(self.groups, self.flips, self.limits),
            checks.changed_decisions(
                self.flips,
                self.floor,
                self.limits,
                rate=self.flip_rate,
                binary=self.is_binary,
                by_row=self.by_row,
            ),
            checks.worth(self.sides, self.act_at, self.limits),
            input_check(self.shift, self.removed, self.limits, self.confirmed, self.clashes),
            checks.same_as_file(self.fidelity, self.limits),
            checks.looks(self.evidence, self.limits),
        )

    @property
    def gate(self) -> str:
        """The worst state of all checks: pass, warn, fail or not assessable."""
        return overall(self.checks)

    @property
    def is_binary(self) -> bool:
        return len(self.classes) == BINARY

    @property
    def by_row(self) -> bool:
        """Whether patients have several rows: decisions and figures count rows, intervals patients."""
        return len(np.unique(self.split.patients)) < len(self.split)

    @property
    def flip_rate(self) -> Estimate:
        """The share of decisions that change, with its interval, patients taken as they are everywhere."""
        before, after = (decisions(r, self.act_at) for r in (self.dense_risks, self.pruned_risks))
        observed = Observed.of(self.split, prevalence=self.prevalence)
        weights = observed.weights if self.is_binary else np.ones(len(self.split))
        return share(before != after, weights, self.split.patients)

    @property
    def removed(self) -> tuple[str, ...]:
        """Inputs that the dense model reads and the pruned one does not."""
        kept = set(compact(self.pruned_model).features)
        return tuple(name for name in compact(self.dense_model).features if name not in kept)

    def overridden(self, override: Override | None) -> Review:
        """The same review, with who takes the model although it failed."""
        return replace(self, override=override)

    def changed(self) -> pd.DataFrame:
        """The patients whose decision changes: row number in the table (from 1), what happened, both risks,
        how, and the features; the largest change first. For the screen: it is in no file by itself."""
        before, after = (decisions(r, self.act_at) for r in (self.dense_risks, self.pruned_risks))
        what = sides_of(self.split.outcome, before, after, binary=self.is_binary)
        places = np.flatnonzero(before != after)
        told = [self.classes[k] for k in self.split.outcome[places]]
        known = self.split.known[places]
        shown: dict[str, Any] = {
            "row": self.split.rows[places] + 1,
            "outcome": np.where(known, told, "unknown"),
        }
        if self.is_binary:
            shown["original"], shown["smaller"] = self.dense_risks[places, 1], self.pruned_risks[places, 1]
        else:
            shown["original"] = [self.classes[k] for k in before[places]]
            shown["smaller"] = [self.classes[k] for k in after[places]]
        names = np.select([who[places] for who in what.values()], list(what), "")
        shown["change"] = np.where(known, names, "unknown")
        table = pd.DataFrame(shown)
        features = self.split.frame.iloc[places].reset_index(drop=True)
        apart = np.abs(self.dense_risks - self.pruned_risks).max(axis=1)[places]
        order = np.argsort(-apart, kind="stable")
        return pd.concat([table, features], axis=1).iloc[order].reset_index(drop=True)

    def to_json(self) -> dict[str, Any]:
        """Everything but single patients; the keys of the command line's contract first."""
        return {
            "gate": self.gate,
            "checks": [check.to_json() for check in self.checks],
            "dense": _flat(self.dense),
            "pruned": _flat(self.pruned),
            "flips": {
                "missed": self.flips.missed,
                "caught": self.flips.caught,
                "spared": self.flips.spared,
                "alarmed": self.flips.alarmed,
                "moved": self.flips.moved,
                "rate": self.flips.rate,
                "floor": None if self.floor is None else self.floor.rate,
                "floor_detail": None if self.floor is None else self.floor.to_json(),
                "foretold": self.foretold,
            },
            "subgroups": [row for found in self.groups for row in groups_json(found)],
            "act_at": self.act_at,
            "patients": len(np.unique(self.split.patients)),
            "rows": len(self.split),
            "split": self.split.name,
            "classes": list(self.classes),
            "removed": list(self.removed),
            "confirmed": list(self.confirmed),
            "mixed_units": list(self.clashes),
            "shift": None if self.shift is None else asdict(self.shift),
            "auroc": dict(zip(("dense", "pruned", "change"), map(asdict, self.auroc), strict=True)),
            "by_class": [side.to_json() for side in self.sides],
            "pairs": [asdict(pair) for pair in self.pairs],
            "logistic_regression": [
                {"class": each.label, **estimates_json(each.figures)} for each in self.comparators
            ],
            "at_risk_beforehand": None if self.beforehand is None else self.beforehand.to_json(),
            "sites": None if self.sites is None else self.sites.to_json(),
            "pooled_out_of_fold": [side.to_json() for side in self.pooled],
            "recalibration": self.pruned_model.recalibration.to_json(),
            "prevalence": self.prevalence,
            "limits": self.limits.to_json() | {"sha256": self.limits.sha256},
            "evidence": self.evidence.to_json(),
            "fidelity": self.fidelity.to_json(),
            "override": None if self.override is None else self.override.to_json(),
        }


def _flat(found: tuple[Performance, Size]) -> dict[str, float]:
    return asdict(found[0]) | asdict(found[1])
