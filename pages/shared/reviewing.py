"""The review as the pages call it: limits are locked, test patients opened and counted, a job at work.

A candidate is known by what its network computes, so the same one, chosen again or acted on at another risk,
is no further look at the test patients.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path as FilePath
from typing import Any

from medprune import Bundle, Candidate, RiskModel, export
from medprune.bundle import add_review
from medprune.compaction import compact
from medprune.errors import BadInput
from medprune.flow import Measured, provenance, with_test_opened
from medprune.model_file import fingerprint
from medprune.performance import BINARY
from medprune.report import About
from medprune.review import Evidence, Limits, Override, Review, review_steps
from medprune.review.counted import with_limits
from medprune.review.evidence import lock as locked
from medprune.review.evidence import overlap
from medprune.review.floor import is_trainable
from medprune.review.gate import FAIL, NOT_ASSESSABLE
from medprune.review.nearness import Forecast, forecast
from medprune.review.pooled import Procedure
from pages.shared.group_columns import check, column_of, with_columns
from pages.shared.session import Finished, Locked, Reviewed, Study

BUNDLE = "medprune-bundle"
NEEDS_A_NAME = (FAIL, NOT_ASSESSABLE)  # states of the gate that somebody has to answer for


@dataclass(frozen=True)
class Artefact:
    """A bundle that was loaded back: its model, and its files as they were written."""

    model: RiskModel
    files: dict[str, bytes]

    @property
    def provenance(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.files["provenance.json"])
        return found

    def file(self, name: str) -> bytes | None:
        return self.files.get(name)


def name_of(model: RiskModel) -> str:
    """A hash of what the model computes; the risk that is acted on has no part in it."""
    small = compact(model)
    what = [fingerprint(small), list(small.features), small.recalibration.to_json()]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()


def key_of(study: Study) -> tuple[str, float]:
    """Under which the review of the chosen candidate is kept."""
    return name_of(study.chosen.model), study.chosen.model.act_at


def reviewed(study: Study) -> Reviewed | None:
    """The review of the chosen candidate at the risk acted on now, done or under way."""
    return None if study.chosen is None else study.reviews.get(key_of(study))


def was_reviewed(study: Study) -> bool:
    """Whether the chosen candidate was reviewed at any risk: it then leaves with a review, or not at all."""
    name = name_of(study.chosen.model)
    return any(known == name for known, _ in study.reviews)


# --- before test patients are opened -----------------------------------------------------------------


def foretell(study: Study, act_at: float) -> Forecast | None:
    """Who would change side, on tuning patients alone; None for more than two classes."""
    dense, chosen = study.chosen_path.dense, study.chosen
    if not len(dense.tuning_risks) or dense.tuning_risks.shape[1] > BINARY:
        return None
    return forecast(dense.tuning_risks[:, 1], chosen.tuning_risks[:, 1], act_at)


def can_leave_out_sites(study: Study) -> bool:
    """Whether the smaller model can be made anew, as each site left out asks for."""
    how = Procedure.of(record(study))
    return how is not None and is_trainable(study.chosen_path.dense.model, study.cohort)


def lock(study: Study) -> Locked:
    """What is set now holds from now on; a second call changes nothing."""
    if study.locked is None:
        now = datetime.now(UTC).strftime("%d %b %Y, %H:%M UTC")
        study.locked = Locked(study.limits, study.model.act_at, study.subgroups, now)
    return study.locked


def open_test(study: Study, candidate: Candidate, parent: RiskModel) -> RiskModel:
    """Lock the limits, count the opening unless this very model was opened before, and put it on record."""
    lock(study)
    name = name_of(candidate.model)
    before = study.test_openings - (1 if name in study.opened_for else 0)
    model = with_test_opened(candidate.model, parent=parent, before=before)
    study.opened_for.add(name)
    study.test_openings = model.origin.test_openings
    return model


def record(study: Study, dense: Measured | None = None, pruned: Measured | None = None) -> dict[str, Any]:
    """What the chosen candidate's bundle says of where it comes from, and of what was set before looking."""
    made = provenance(study.chosen_path, study.chosen, study.cohort, dense, pruned)
    made["test_openings"] = study.test_openings
    if study.locked is not None:
        made["limits"] = locked(study.locked.limits, study.locked.act_at)
    return made


def start(study: Study) -> None:
    """Open the test patients for the chosen candidate; a job of its own does the review."""
    chosen, path = study.chosen, study.chosen_path
    groups = study.subgroups if study.locked is None else study.locked.subgroups
    named = [*map(column_of, groups), *([] if study.site is None else [study.site])]
    cohort = with_columns(study, tuple(dict.fromkeys(named)))
    check(cohort, groups, study.site)
    model = open_test(study, chosen, path.dense.model)
    with tempfile.TemporaryDirectory(prefix="medprune-") as scratch:
        bundle = export(model, None, FilePath(scratch) / BUNDLE, provenance=record(study))
        files = {each.name: each.read_bytes() for each in bundle.folder.iterdir()}
    artefact = Artefact(bundle.model, files)
    job = study.jobs.start(
        "The review", review_steps, path.dense.model, artefact, cohort.test,
        act_at=chosen.model.act_at, cohort=cohort, limits=study.limits, refits=study.refits,
        evidence=evidence_of(study, bundle.model), subgroups=groups, site=study.site,
        procedure=Procedure.of(artefact.provenance, folds=study.folds),
    )  # fmt: skip
    study.reviews[key_of(study)] = Reviewed(model, job)


def evidence_of(study: Study, model: RiskModel) -> Evidence:
    """What is known of the test patients, the limits and the search, as it stands now."""
    paths = [*study.paths.values(), *(run.path for run in study.runs if run.path is not None)]
    return Evidence(
        overlap=overlap(study.cohort.test, study.chosen_path.dense.model, model),
        configurations=study.test_openings,
        searched=sum(len(path) for path in paths) or len(study.chosen_path),
        locked=study.locked.limits.sha256,
        loosened=not study.limits.within(study.locked.limits),
        moved=model.act_at != study.locked.act_at,
    )


# --- afterwards --------------------------------------------------------------------------------------


def collect(study: Study) -> None:
    """Take up the reviews whose jobs are done; the patients are the study's own, not a copy."""
    for each in study.reviews.values():
        if each.review is None and each.job.state == "done":
            found = each.job.result().review
            each.review = replace(found, split=study.cohort.test)


def current(study: Study) -> Review | None:
    """The finished review of the chosen candidate, held against the limits and the looks of now."""
    found = reviewed(study)
    if found is None or found.review is None:
        return None
    evidence = evidence_of(study, found.opened)
    if (found.review.limits, found.review.evidence) != (study.limits, evidence):
        study.finished = None  # a bundle built before tells another story
        found.review = with_limits(found.review, study.limits, evidence)
    return found.review


def use_limits(study: Study, limits: Limits) -> None:
    """Hold the reviews against other limits; those of subgroups are counted again, by a job."""
    of_groups = ("group_loss", "in_a_group")
    again = [name for name in of_groups if getattr(limits, name) != getattr(study.limits, name)]
    study.limits = limits
    if not again or not study.locked.subgroups:
        return
    mine = reviewed(study)
    study.reviews = {key: each for key, each in study.reviews.items() if each.review is None}
    if mine is not None and mine.review is not None:
        start(study)


def agree(study: Study, inputs: tuple[str, ...]) -> None:
    """Put on record that these tests need not be taken any more."""
    found = reviewed(study)
    if found is not None and found.review is not None and found.review.confirmed != inputs:
        found.review, study.finished = replace(found.review, confirmed=inputs), None


def forget_failed(study: Study) -> None:
    """A review that ended without a result can be started again; the opening stays counted."""
    study.reviews.pop(key_of(study), None)


def override(study: Study, given: Override | None) -> None:
    """Put on record who takes the model although the gate does not let it pass."""
    found = reviewed(study)
    if found is not None and found.review is not None:
        found.review, study.finished = found.review.overridden(given), None


def may_leave(review: Review) -> bool:
    """Whether a bundle with this review may be downloaded today."""
    if review.gate not in NEEDS_A_NAME:
        return True
    return review.override is not None and review.override.expires >= date.today()


def build(study: Study, review: Review) -> None:
    """Write the bundle of a reviewed candidate, with its review inside; its files are those reviewed."""
    chosen, path, found = study.chosen, study.chosen_path, reviewed(study)
    if not may_leave(review):
        raise BadInput("The gate did not let this model pass; somebody has to answer for it first.")
    dense, pruned = Measured(*review.dense), Measured(*review.pruned)
    with tempfile.TemporaryDirectory(prefix="medprune-") as scratch:
        place = FilePath(scratch) / BUNDLE
        bundle = with_review(
            export(found.opened, None, place, provenance=record(study, dense, pruned)), review, study.about
        )
        study.finished = Finished(chosen, path.granularity, bundle, bundle.zip.read_bytes(), dense, pruned)


def with_review(bundle: Bundle, review: Review, about: About) -> Bundle:
    """The bundle with card, report and review inside: the one place where they are added."""
    return add_review(bundle, review, about)
