"""What is known about a model without asking anybody: from the review, the models and their provenance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from medprune.compaction import compact
from medprune.disclosure import FLOOR, safe_count, veiled
from medprune.model import RiskModel
from medprune.performance import BINARY
from medprune.report.about import About
from medprune.report.held_back import ShownFlips, raw_flips, shown_checks, shown_flips, too_few
from medprune.report.words import NOT_MEASURED, NOT_PROVIDED, joined
from medprune.review import Check, Review
from medprune.review.evidence import UNKNOWN
from medprune.review.side_by_side import SideBySide
from medprune.review.wording import interval, number, signed
from medprune.splits import SPLITS

TEST_SPLIT = SPLITS[-1]
COUNTS = ("events", "beyond", "early")  # of the follow-up, in the provenance


@dataclass(frozen=True, eq=False)
class Known:
    """Everything a card is filled from; ``floor`` is the largest count of patients that is kept back."""

    review: Review
    provenance: Mapping[str, Any] = field(default_factory=dict)
    about: About = field(default_factory=About)
    floor: int = FLOOR

    @cached_property
    def checks(self) -> tuple[Check, ...]:
        return shown_checks(self.review, self.floor)

    def check(self, name: str) -> Check | None:
        return next((check for check in self.checks if check.id == name), None)

    @cached_property
    def small(self) -> RiskModel:
        """The smaller model as it leaves, without its mask."""
        return compact(self.review.pruned_model)

    @cached_property
    def flips(self) -> ShownFlips:
        return shown_flips(self.review.flips, raw_flips(self.review), self.floor)

    def count(self, patients: float) -> str:
        return safe_count(round(patients), self.floor)

    def of(self, *keys: str) -> Any:
        """A value of the provenance, None where it is not there."""
        found: Any = self.provenance
        for key in keys:
            found = found.get(key) if isinstance(found, Mapping) else None
        return found

    @property
    def title(self) -> str:
        """What the model is called, or what it is."""
        return self.about.name.strip() or f"Risk of {self.event_words}"

    @property
    def event_words(self) -> str:
        review = self.review
        if len(review.classes) == BINARY:
            return f"{review.pruned_model.outcome} = {review.classes[1]}"
        return review.pruned_model.outcome


def parent_hash(known: Known) -> str:
    found = known.review.pruned_model.origin.parent or known.of("parent_model_sha256")
    return str(found) if found else NOT_PROVIDED


def output(known: Known) -> str:
    review = known.review
    if review.is_binary:
        return f"The probability of {known.event_words}, from 0 to 1."
    return (
        f"A probability for each of {joined(review.classes)} of {review.pruned_model.outcome}; they sum to 1."
    )


def acted_on(known: Known) -> str:
    review = known.review
    if review.is_binary:
        return f"A risk of {review.act_at:.0%} or more is acted on."
    return "The class with the largest probability is taken."


def missing_inputs(known: Known) -> str:
    """What the model does with a patient of whom an input is not known."""
    flags = [column.feature for column in known.small.preparation.columns if column.role == "flag"]
    told = "The model fills in what was usual among train patients, or a code of its own for a missing label."
    return (
        f"{told} That it was missing changes the risk for: {joined(dict.fromkeys(flags))}." if flags else told
    )


def patients(known: Known) -> str:
    """Patients by split, and their rows where that is not the same."""
    by_split = known.of("patients")
    if not isinstance(by_split, Mapping):
        return NOT_PROVIDED
    return ", ".join(f"{name} {safe_count(int(count), known.floor)}" for name, count in by_split.items())


def missingness(known: Known) -> str:
    problems = known.of("data_problems")
    if not isinstance(problems, list | tuple):
        return NOT_PROVIDED
    told = [problem_told(known, each) for each in problems if each.get("kind") == "missing"]
    return " ".join(told) or "No column with missing values was found."


def problem_told(known: Known, problem: Mapping[str, Any]) -> str:
    return veiled(str(problem.get("message", "")), int(problem.get("count") or 0), known.floor)


def overlap(known: Known) -> str:
    found = known.review.evidence.overlap
    if found == UNKNOWN:
        return "Whether the model has seen the reviewed patients before is unknown."
    if not found:
        return "None of the reviewed patients was trained or tuned on."
    return f"{known.count(found)} of the reviewed patients were trained or tuned on."


def reviewed(known: Known) -> str:
    """Who was reviewed: patients, rows, and how many had the event."""
    review = known.review
    number_of = len(np.unique(review.split.patients))
    told = f"{known.count(number_of)} patients"
    if number_of != len(review.split):
        told += f" in {known.count(len(review.split))} rows"
    outcomes = "; ".join(_events(known, side) for side in review.sides)
    weighted = review.prevalence
    note = "" if weighted is None else f" Figures are weighted to a prevalence of {weighted:.1%}."
    return f"{told} of the split {review.split.name!r}: {outcomes}.{note}"


def _events(known: Known, side: SideBySide) -> str:
    """Both counts, or neither: one is the total less the other."""
    having = "with the event" if known.review.is_binary else f"of {side.label!r}"
    if too_few(side, known.floor):
        return f"how many are {having} is kept back, as few patients are on one side"
    return f"{side.events:,} {having} and {side.others:,} without"


def kind_of_test(known: Known) -> str:
    """Internal or external, as far as the review knows."""
    if known.review.split.name == TEST_SPLIT:
        return (
            "A held-out part of the table that the model was made from, by one random split: internal, not "
            "external validation."
        )
    return f"Patients of another table, or all of one ({known.review.split.name}), as was declared."


def horizon(known: Known) -> str:
    """Until when the event counts: as somebody says it, else as the table was read."""
    found = known.of("follow_up")
    read = f"{found['time']} up to {found['horizon']:g}" if isinstance(found, Mapping) else ""
    said = known.about.horizon.strip()
    return f"{said} ({read})" if said and read else said or read


def sample_size(known: Known) -> str:
    found = known.check("G0")
    return "not looked at" if found is None else found.sentence


def method(known: Known) -> str:
    strategy, granularity = known.of("strategy"), known.of("granularity")
    if not strategy:
        return NOT_PROVIDED
    criterion = known.of("settings", "criterion")
    by = f", weights ranked by {criterion}" if criterion else ""
    return f"{strategy} pruning by {granularity}{by}"


def sparsity(known: Known) -> str:
    asked, got = known.of("sparsity", "requested"), known.of("sparsity", "achieved")
    if got is None:
        return NOT_PROVIDED
    threshold = known.of("threshold")
    cut = f"; threshold {threshold:.4g}" if isinstance(threshold, int | float) else ""
    wanted = "none asked for" if asked is None else f"{float(asked):.1%} asked for"
    return f"{float(got):.1%} of weights removed ({wanted}{cut})"


def layers(known: Known) -> str:
    """What is left of each layer: units, weights that are not zero, and weights that there were."""
    dense, small = known.review.dense_model.network, known.small.network
    before = " - ".join(map(str, dense.spec.widths))
    after = " - ".join(map(str, small.spec.widths))
    left = ", ".join(
        f"{name} {int((layer.weight != 0).sum())}"
        for name, layer in zip(small.layer_names(), small.layers, strict=True)
    )
    return f"Widths {before} before, {after} now; weights left: {left}."


def seeds(known: Known) -> str:
    split, own = known.of("split_seed"), known.review.pruned_model.origin.seed
    return f"split {NOT_PROVIDED if split is None else split}, training {own}"


def data_used(known: Known) -> str:
    told = "Scored, pruned and retrained on train patients; chosen and recalibrated on tuning patients"
    return f"{told}; reviewed on {known.review.split.name}." if known.of("strategy") else NOT_PROVIDED


def retraining(known: Known) -> str:
    found = known.of("settings", "schedule")
    if not found:
        return NOT_PROVIDED
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in found.items())


def recalibration(known: Known) -> str:
    found = known.review.pruned_model.recalibration
    if found.is_identity:
        return "none: risks are the network's own"
    shifts = ", ".join(f"{each:.6g}" for each in found.intercepts) or "0"
    return f"logits times {found.slope:.6g}, plus {shifts}"


def before_and_after(known: Known) -> str:
    (_, dense), (_, pruned) = known.review.dense, known.review.pruned
    return (
        f"{dense.parameters:,} parameters before, {pruned.parameters:,} now; {dense.bytes:,} bytes of "
        f"model.onnx before, {pruned.bytes:,} now; latency {NOT_MEASURED}"
    )


def dense_training(known: Known) -> str:
    found = known.review.dense_model.origin.training or known.of("dense_training")
    return flat(found) if found else "unknown: it was not trained here"


def flat(found: Any) -> str:
    """A nested setting in one line.

    >>> flat({"hidden": [64, 32], "schedule": {"epochs": 200, "learning_rate": 0.002}})
    'hidden 64, 32; schedule (epochs 200; learning rate 0.002)'
    """
    if isinstance(found, Mapping):
        parts = [(str(key).replace("_", " "), value) for key, value in found.items()]
        return "; ".join(
            f"{key} ({flat(value)})" if isinstance(value, Mapping) else f"{key} {flat(value)}"
            for key, value in parts
        )
    if isinstance(found, list | tuple):
        inner = [f"({flat(each)})" if isinstance(each, Mapping) else flat(each) for each in found]
        return ", ".join(inner) or "none"
    if isinstance(found, float):
        return f"{found:.6g}"
    return "none" if found is None else str(found)


def search_burden(known: Known) -> str:
    found, seen = known.of("search_burden"), known.review.evidence.configurations
    looks = f"{seen} model{'s' if seen != 1 else ''} scored on these test patients"
    if not isinstance(found, Mapping):
        return f"{looks}; models trained: {NOT_PROVIDED}"
    return (
        f"{found.get('models_trained')} models trained, {found.get('of_these_in_folds', 0)} of them in "
        f"folds; chosen among {found.get('candidates')} candidates on tuning patients; {looks}"
    )


def limits(known: Known) -> str:
    return f"sha256 {known.review.limits.sha256}; {locked(known)}"


def locked(known: Known) -> str:
    evidence = known.review.evidence
    if evidence.locked is None:
        return "no limits were on record before test patients were opened"
    if evidence.loosened:
        return "looser than the limits that were set before test patients were opened"
    return f"set before test patients were opened (sha256 {evidence.locked})"


def discrimination(known: Known) -> str:
    dense, pruned, change = known.review.auroc
    return (
        f"AUROC {number(pruned.value)} ({interval(pruned)}) against {number(dense.value)} "
        f"({interval(dense)}); change {signed(change.value)} ({interval(change)}); 95% intervals, paired"
    )


def figure(known: Known, name: str, digits: int = 3) -> str:
    """One figure of every class: smaller against original."""
    told = []
    for side in known.review.sides:
        of = f"{side.label}: " if len(known.review.sides) > 1 else ""
        if too_few(side, known.floor):
            told.append(f"{of}kept back, too few patients")
            continue
        pruned, dense, change = side.pruned[name], side.dense[name], side.change[name]
        told.append(
            f"{of}{number(pruned.value, digits)} ({interval(pruned, digits)}) against "
            f"{number(dense.value, digits)}, change {signed(change.value, digits)} "
            f"({interval(change, digits)})"
        )
    return "; ".join(told)


def logistic(known: Known) -> str:
    """What a logistic regression on the same inputs does, and whether the smaller model does better."""
    told = []
    for side in known.review.sides:
        found = next((each.figures for each in known.review.comparators if each.label == side.label), None)
        if found is None or too_few(side, known.floor):
            continue
        of = f"{side.label}: " if len(known.review.sides) > 1 else ""
        both = [(side.pruned[name].value, found[name].value) for name in ("auroc", "net_benefit")]
        ahead = [own > other for own, other in both]
        verdict = "the smaller model is ahead in both" if all(ahead) else "the smaller model is ahead in one"
        if not any(ahead):
            verdict = "the smaller model is ahead in neither, so it has little to say for itself"
        told.append(
            f"{of}AUROC {number(both[0][1])}, net benefit {number(both[1][1])}; by these estimates, without "
            f"their uncertainty, {verdict}"
        )
    return "; ".join(told)


def sentence(known: Known, name: str) -> str:
    found = known.check(name)
    return "not looked at" if found is None else f"{found.state}: {found.sentence}"


def override(known: Known) -> str:
    found = known.review.override
    if found is None:
        return "none"
    return f"by {found.name}, until {found.expires.isoformat()}: {found.reason}"


def versions(known: Known) -> str:
    found = known.of("versions")
    if not isinstance(found, Mapping):
        return NOT_PROVIDED
    return ", ".join(f"{name} {value}" for name, value in found.items())


def settings_rows(known: Known) -> list[tuple[str, str]]:
    """The whole provenance, name by name; what counts patients is told as everywhere in the report."""
    apart = ("data_problems", "patients", "path_on_tuning", "follow_up")
    rows = [row for key, value in known.provenance.items() if key not in apart for row in _rows(key, value)]
    followed = known.of("follow_up")
    for key, value in followed.items() if isinstance(followed, Mapping) else ():
        is_count = key in COUNTS and isinstance(value, int)
        rows += [(f"follow-up: {key}", known.count(value) if is_count else flat(value))]
    return rows


def _rows(key: str, value: Any) -> list[tuple[str, str]]:
    name = key.replace("_", " ")
    if isinstance(value, Mapping) and value:
        return [(f"{name}: {inner}", told) for k, v in value.items() for inner, told in _rows(str(k), v)]
    if value is None or value in ({}, [], ()):
        return [(name, "none")]
    return [(name, value if isinstance(value, str) else flat(value))]
