"""The card as data: every field, what it answers to in three standards, and its value; one source for all.

The three are TRIPOD+AI (item numbers), the CHAI applied model card (elements of its XML) and HTI-1 (groups of
source attributes, of which there are nine; attributes within a group are not told apart here).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from medprune.report import facts
from medprune.report.facts import Known
from medprune.report.words import NOT_PROVIDED, joined, provided

CHECKED_TO = (6, "c")
TRIPOD_NOTE = (
    "Items of TRIPOD+AI marked * were not checked against the statement: check against BMJ 2024;385:e078378."
)
HTI_NOTE = (
    "HTI-1 (45 CFR 170.315(b)(11)) is mapped by group of source attributes only. Whether it, or any other "
    "rule, applies is for you to find out: this card is no proof of meeting a legal duty."
)
CHANGE_NOTE = (
    "To prune a model is to modify it. Where the original is cleared as a medical device, ask whoever is "
    "responsible for that before the smaller one is used. The record of pruning, the review with its limits "
    "and the flips and figures here correspond to a description, a protocol and an impact assessment."
)


@dataclass(frozen=True)
class Field:
    """One line of the card. ``value`` gives its text; blank means that it is not provided."""

    title: str
    value: Callable[[Known], str]


@dataclass(frozen=True)
class Group:
    """Fields that answer to the same items of the three standards."""

    title: str
    tripod: tuple[str, ...]
    chai: tuple[str, ...]
    hti: tuple[str, ...]
    fields: tuple[Field, ...]


def items(tripod: tuple[str, ...]) -> str:
    """TRIPOD+AI items, those marked that were not checked.

    >>> items(("1", "3a-b", "6c", "18a"))
    '1, 3a-b, 6c, 18a*'
    """
    return ", ".join(item if _checked(item) else f"{item}*" for item in tripod)


def _checked(item: str) -> bool:
    last = re.findall(r"(\d+)?([a-z])?", item.rpartition("-")[2])[0]
    whole = int(last[0] or re.match(r"\d+", item)[0])  # type: ignore[index]
    return (whole, last[1]) <= CHECKED_TO


def asked(name: str) -> Callable[[Known], str]:
    """What somebody has said about the model."""
    return lambda known: str(getattr(known.about, name))


def told(title: str, name: str) -> Field:
    return Field(title, asked(name))


GROUPS: tuple[Group, ...] = (
    Group(
        "Who and what",
        ("1", "18a"),
        ("BasicInfo", "ReleaseInfo", "FundingSource"),
        ("Details and output",),
        (
            told("Name", "name"),
            told("Version", "version"),
            Field("Original model (sha256)", facts.parent_hash),
            told("Developer", "developer"),
            told("Contact", "contact"),
            told("Funding", "funding"),
            told("Stage", "release_stage"),
            told("Date", "release_date"),
            told("Approvals", "regulatory"),
            told("Where it may be used", "availability"),
            told("Summary", "summary"),
            told("Keywords", "keywords"),
            Field("Made with", facts.versions),
        ),
    ),
    Group(
        "Output",
        ("8a", "15"),
        ("OutcomesAndOutputs",),
        ("Details and output",),
        (
            Field("What comes out", facts.output),
            told("What it means", "output"),
            Field("Horizon", facts.horizon),
        ),
    ),
    Group(
        "Intended use",
        ("3a-b", "15"),
        ("UsesAndDirections",),
        ("Purpose",),
        (
            told("Intended use", "intended_use"),
            told("Users", "users"),
            told("Patients", "population"),
            told("How to use it", "how_to_use"),
            told("Part in the decision", "decision_role"),
            Field("Risk acted on", facts.acted_on),
            told("Who set it, and why", "threshold_set_by"),
        ),
    ),
    Group(
        "Out of scope, and warnings",
        ("26", "27a"),
        ("Warnings", "CautionedOutOfScopeSettings"),
        ("Cautioned out-of-scope use",),
        (
            told("Out of scope", "out_of_scope"),
            told("Known risks", "warnings"),
            told("How grave a wrong risk is", "risk_level"),
            told("Known biases, ethical questions", "ethics"),
            told("What to do when an input is missing", "missing_input"),
            Field("What the model does then", facts.missing_inputs),
        ),
    ),
    Group(
        "Patients it was made from",
        ("5-7", "9", "11", "20"),
        ("DevelopmentDataCharacterization", "InputDataSource"),
        ("Development details and input features",),
        (
            told("Source of the data", "data_source"),
            told("Eligibility", "eligibility"),
            told("Dates", "dates"),
            told("Sites", "sites"),
            Field("Outcome", lambda known: known.review.pruned_model.outcome),
            Field("Patients by split", facts.patients),
            Field("Table (sha256)", lambda known: provided(known.of("table_sha256"))),
            Field("Missing values", facts.missingness),
            told("Demographics used", "demographics"),
            Field("Inputs still needed", lambda known: joined(known.small.features)),
            Field("Training of the original", facts.dense_training),
            told("Patients' consent or information", "consent"),
        ),
    ),
    Group(
        "Pruning record",
        ("12", "21", "22", "24"),
        ("AISystemFacts", "ModelType"),
        ("Development details", "Update schedule"),
        (
            Field("Method", facts.method),
            Field("Sparsity", facts.sparsity),
            Field("Layers", facts.layers),
            Field("Seeds", facts.seeds),
            Field("Patients used", facts.data_used),
            Field("Retraining", facts.retraining),
            Field("Recalibration", facts.recalibration),
            Field("Inputs no longer needed", lambda known: joined(known.review.removed)),
            Field("Size before and after", facts.before_and_after),
        ),
    ),
    Group(
        "Fairness",
        ("3c", "14", "23a"),
        ("FairnessEquity", "BiasMitigationApproaches"),
        ("Process to ensure fairness",),
        (
            told("Groups named before looking", "groups_defined"),
            Field("Change in the worst group", lambda known: facts.sentence(known, "G3")),
            told("What was done to be fair", "fairness_process"),
            told("What was done against bias", "bias_mitigation"),
            told("Who was asked", "stakeholders"),
        ),
    ),
    Group(
        "Patients it was reviewed on",
        ("10", "16", "20"),
        ("TestingDataDescription", "ValidationProcessAndJustification", "TestType"),
        ("External validation process",),
        (
            Field("Reviewed patients", facts.reviewed),
            Field("Kind of test", facts.kind_of_test),
            told("Source, if another one", "validation_data"),
            Field("Overlap", facts.overlap),
            Field("Enough patients?", facts.sample_size),
            told("Argument for the number", "sample_size"),
            told("Who reviewed it", "tested_by"),
            told("Tested elsewhere", "external_validation"),
        ),
    ),
    Group(
        "Figures, smaller model against the original",
        ("12e-f", "23a-b"),
        ("KeyMetrics",),
        ("Quantitative measures",),
        (
            Field("Ranking", facts.discrimination),
            Field("Observed over expected", lambda known: facts.figure(known, "observed_over_expected", 2)),
            Field("Calibration slope", lambda known: facts.figure(known, "slope", 2)),
            Field("Integrated calibration index", lambda known: facts.figure(known, "ici")),
            Field("Net benefit", lambda known: facts.figure(known, "net_benefit")),
            Field("Logistic regression on the same inputs", facts.logistic),
            Field("Changed decisions", lambda known: facts.sentence(known, "G4")),
            Field("Gate", lambda known: known.review.gate),
        ),
    ),
    Group(
        "Once it is in use",
        ("24", "27c"),
        ("OngoingMaintenance",),
        ("Ongoing maintenance", "Update and continued validation schedule"),
        (
            told("Monitoring", "monitoring"),
            told("What would stop it", "drift_triggers"),
            told("Maintenance", "maintenance"),
            Field("Way back", lambda known: _way_back(facts.parent_hash(known))),
        ),
    ),
    Group(
        "Limits, overrides, sources",
        ("18c-f", "26"),
        ("KnownRisksAndLimitations", "Bibliography"),
        (),
        (
            told("Limitations", "limitations"),
            Field("Limits of the gate", facts.limits),
            Field("Override", facts.override),
            Field("Search burden", facts.search_burden),
            told("Publications", "publications"),
            told("Data and code", "data_and_code"),
            told("Bibliography", "bibliography"),
        ),
    ),
)


def _way_back(parent: str) -> str:
    if parent == NOT_PROVIDED:
        return NOT_PROVIDED
    return f"Put the original model back (parameters with sha256 {parent}); keep its file."


@dataclass(frozen=True)
class Line:
    """A field with its value, for a printer."""

    title: str
    value: str

    @property
    def is_blank(self) -> bool:
        return self.value == NOT_PROVIDED


def lines(group: Group, known: Known) -> tuple[Line, ...]:
    return tuple(Line(field.title, provided(field.value(known))) for field in group.fields)


def filled(known: Known) -> tuple[int, int]:
    """How many fields of the card have a value, and how many there are."""
    all_lines = [line for group in GROUPS for line in lines(group, known)]
    return sum(not line.is_blank for line in all_lines), len(all_lines)
