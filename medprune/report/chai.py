"""The card as XML, in the shape of the CHAI applied model card, schema v0.2 (a draft of October 2025).

The order of elements is the published schema's; the schema itself is not shipped, so a file says that it was
not validated when it was written. Text fields of that card are Markdown, so other people's words are made
harmless for Markdown too.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from medprune.disclosure import FLOOR
from medprune.report import facts, verdict
from medprune.report.about import About
from medprune.report.facts import Known
from medprune.report.held_back import NOTE, too_few
from medprune.report.words import NOT_PROVIDED, in_markdown, joined, provided, shown
from medprune.review import Review
from medprune.review.estimate import CONFIDENCE, Estimate
from medprune.review.side_by_side import FIGURES

NAMESPACE = "https://mc.chai.org/v0.2/schema.xsd"
REMARK = (
    " In the shape of the CHAI applied model card, schema v0.2, a draft. Not validated against the schema "
    "when it was written. "
)


def chai_xml(
    review: Review, provenance: Mapping[str, Any], about: About | None = None, *, floor: int = FLOOR
) -> str:
    """The model card as XML; ``floor`` is the largest count of patients that is kept back."""
    known = Known(review, provenance, About() if about is None else about, floor)
    root = ElementTree.Element("AppliedModelCard", {"xmlns": NAMESPACE})
    root.append(ElementTree.Comment(REMARK))
    for name, content in _card(known).items():
        _add(root, name, content)
    ElementTree.indent(root, " ")
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _add(parent: ElementTree.Element, name: str, content: Any) -> None:
    """An element with text, with elements in order, or several of one name."""
    if isinstance(content, list):
        for each in content:
            _add(parent, name, each)
        return
    made = ElementTree.SubElement(parent, name)
    if isinstance(content, Mapping):
        for inner, value in content.items():
            _add(made, inner, value)
    else:
        made.text = content


def _card(known: Known) -> dict[str, Any]:
    about = known.about
    words = [word.strip() for word in about.keywords.replace(";", ",").split(",") if word.strip()]
    return {
        "BasicInfo": _said(
            ModelName=known.title, ModelDeveloper=about.developer, DeveloperContact=about.contact
        ),
        "ReleaseInfo": _said(
            ReleaseStage=about.release_stage,
            ReleaseDate=about.release_date,
            ReleaseVersion=about.version,
            GlobalAvailability=about.availability,
            RegulatoryApproval=about.regulatory,
        ),
        "ModelSummary": {
            **_said(Summary=_all(about.summary, verdict.FOUND[known.review.gate])),
            "Keywords": {"Keyword": [in_markdown(word) for word in words]} if words else {},
        },
        "UsesAndDirections": _said(
            IntendedUseAndWorkflow=about.intended_use,
            PrimaryIntendedUsers=about.users,
            HowToUse=_all(about.how_to_use, about.decision_role, facts.acted_on(known)),
            TargetedPatientPopulation=about.population,
            CautionedOutOfScopeSettings=about.out_of_scope,
        ),
        "Warnings": _said(
            KnownRisksAndLimitations=_all(about.warnings, about.limitations, verdict.footer(known)),
            KnownBiasesOrEthicalConsiderations=_all(about.ethics, facts.sentence(known, "G3")),
            ClinicalRiskLevel=about.risk_level,
        ),
        "TrustIngredients": {"AISystemFacts": _facts(known), "TransparencyInformation": _transparency(about)},
        "KeyMetrics": _metrics(known),
        "Resources": _said(
            EvaluationReferences=about.external_validation,
            PeerReviewedPublications=about.publications,
            PatientConsentOrDisclosure=about.consent,
        ),
        "Bibliography": shown(provided(about.bibliography)),  # BibTeX, not Markdown
    }


def _facts(known: Known) -> dict[str, str]:
    about = known.about
    size = facts.before_and_after(known)
    return _said(
        OutcomesAndOutputs=_all(facts.output(known), about.output, facts.horizon(known)),
        ModelType=f"Neural network, pruned: {facts.method(known)}. {facts.sparsity(known)}. {size}.",
        InputDataSource=about.data_source,
        OutputAndInputDataTypes=f"Inputs: {joined(known.small.features)}. {facts.output(known)}",
        DevelopmentDataCharacterization=_all(
            about.eligibility,
            about.dates,
            about.sites,
            f"Patients: {facts.patients(known)}.",
            facts.missingness(known),
            f"Demographics used: {provided(about.demographics)}.",
        ),
        BiasMitigationApproaches=_all(about.bias_mitigation, about.fairness_process),
        OngoingMaintenance=_all(about.monitoring, about.drift_triggers, about.maintenance),
        Transparency=_all(
            f"Search burden: {facts.search_burden(known)}.",
            f"Recalibration: {facts.recalibration(known)}.",
            f"Original model: {facts.parent_hash(known)}.",
            f"Override: {facts.override(known)}.",
        ),
    )


def _transparency(about: About) -> dict[str, str]:
    return _said(FundingSource=about.funding, StakeholdersConsulted=about.stakeholders)


def _metrics(known: Known) -> dict[str, Any]:
    """Three kinds of figures, each with its goal, its results and what they say."""
    return {
        "UsefulnessUsabilityEfficacy": _metric(
            known, "The smaller model ranks patients, and is worth acting on, as the original.", ("G1", "G5")
        ),
        "FairnessEquity": _metric(known, "No subgroup loses more than the limit by pruning.", ("G3",)),
        "SafetyReliability": _metric(
            known,
            "Risks mean what they say, and no more decisions change than by training again.",
            ("G0", "G2", "G4", "G6", "G7", "G8"),
        ),
    }


def _metric(known: Known, goal: str, checks: Sequence[str]) -> dict[str, Any]:
    about = known.about
    interpretation = _all(*(f"{name} {facts.sentence(known, name)}" for name in checks))
    results = [*_figures(known)] if "G1" in checks else []
    for name in checks:
        found = known.check(name)
        if found is not None:
            estimate = Estimate(found.estimate, found.low, found.high)
            results.append(_result(f"{name} {found.title} ({found.state})", estimate))
    results = results or [_result(f"{name} not looked at", Estimate.unknown()) for name in checks]
    return {
        "MetricGoal": in_markdown(goal),
        "Results": {"MetricResult": results},
        **_said(
            Interpretation=interpretation,
            TestType=facts.kind_of_test(known),
            TestingDataDescription=_all(facts.reviewed(known), about.validation_data, _note(known)),
            ValidationProcessAndJustification=_all(
                facts.overlap(known), facts.sample_size(known), about.sample_size, about.tested_by
            ),
        ),
    }


def _note(known: Known) -> str:
    return NOTE.format(floor=known.floor) if known.floor else ""


def _figures(known: Known) -> list[dict[str, str]]:
    """Every figure of the smaller model and of the original, class by class."""
    made = []
    for side in known.review.sides:
        of = f" of {side.label}" if len(known.review.sides) > 1 else ""
        if too_few(side, known.floor):
            continue
        for name, title in FIGURES.items():
            for estimates, whose in (
                (side.pruned, "smaller"),
                (side.dense, "original"),
                (side.change, "change"),
            ):
                made.append(_result(f"{title}{of}, {whose}", estimates[name]))
    return made


def _result(label: str, found: Estimate) -> dict[str, str]:
    value: dict[str, Any] = {"kind": "single", "value": None}
    if math.isfinite(found.value):
        value["value"] = found.value
        if math.isfinite(found.low) and math.isfinite(found.high):
            value = {"kind": "estimate_ci", "estimate": found.value, "lower": found.low, "upper": found.high}
            value["level"] = round(100 * CONFIDENCE)
    return {"Label": in_markdown(label), "ValueJson": json.dumps(value, allow_nan=False)}


def _all(*said: str) -> str:
    """What there is of several answers, one after the other; blank where nothing was said."""
    return "\n\n".join(each.strip() for each in said if each.strip() and each.strip() != NOT_PROVIDED)


def _said(**texts: str) -> dict[str, str]:
    """Elements with their text, each paragraph made harmless; "not provided" for a blank."""
    return {
        name: "\n\n".join(in_markdown(part) for part in provided(text).split("\n\n"))
        for name, text in texts.items()
    }
