"""Two reading depths, clinician and data scientist: they change words and detail, never a number."""

from __future__ import annotations

import math

import streamlit as st

from medprune.report.held_back import raw_flips, shown_checks, shown_flips
from medprune.review import Check, Review
from medprune.review.gate import FAIL, NOT_ASSESSABLE, PASS, WARN
from medprune.review.wording import number
from pages.shared.guide import plain

CLINICIAN, SCIENTIST = "Clinician", "Data scientist"
MARKS = {  # never the colour alone
    PASS: ":green-badge[:material/check_circle: Pass]",
    WARN: ":orange-badge[:material/warning: Warn]",
    FAIL: ":red-badge[:material/cancel: Fail]",
    NOT_ASSESSABLE: ":gray-badge[:material/help: Not assessable]",
}
HEADS = {
    PASS: ":green[:material/check_circle:] Pass",
    WARN: ":orange[:material/warning:] Warn",
    FAIL: ":red[:material/cancel:] Fail",
    NOT_ASSESSABLE: ":gray[:material/help:] Not assessable",
}
FEW_FLIPS = "Few patients are handled differently; how many is not shown, as small counts are hidden."
SAID = {  # the same thing for either reader
    "auroc": ("Ranking (AUROC)", "AUROC"),
    "net_benefit": ("Worth of acting", "Net benefit"),
    "missed": ("Newly missed", "Missed (event ↓)"),
    "caught": ("Newly caught", "Caught (event ↑)"),
    "moved_missed": ("Newly put wrong", "Right to wrong"),
    "moved_caught": ("Newly put right", "Wrong to right"),
    "spared": ("Tests spared", "Inputs removed"),
    "checks": ("What was asked of this model", "The gate, G0 to G8"),
    "pictures": ("In pictures", "Calibration, net benefit, risk distribution, reclassification"),
    "calibration": (
        "On the dotted line, patients who were given a risk had the event just as often. Above it the model "
        "understates risk, below it overstates.",
        "Flexible calibration curves, one spline a model, from the 1st to the 99th percentile of its risks.",
    ),
    "decision": (
        "Higher is better. A model is worth using only where it lies above acting on everybody and nobody.",
        "Decision curves; the shaded range is where somebody may act (check G5).",
    ),
    "risks": (
        "The further apart the two pictures, the better the model tells patients apart.",
        "Histograms of the risks by observed outcome, both models.",
    ),
    "flips": (
        "Orange harms, blue helps. A retraining of the original, without any pruning, changes some too.",
        "Reclassification at the risk acted on, against refits of the dense network from other seeds.",
    ),
    "groups": ("Groups of patients", "Subgroups"),
    "at_risk": ("Groups at risk before pruning", "Forecast by gradient and curvature"),
    "sites": ("At a site that it has never seen", "Leave one site out"),
    "elsewhere": ("Were another risk acted on", "Other thresholds"),
    "changed": ("Whose care would change", "Reclassified patients"),
    "forecast": ("Who was likely to change", "Forecast from the dense model's margin"),
    "what_if": ("What if, for one patient", "What if, for one patient"),
    "recalibrated": ("Before and after recalibration", "Raw and recalibrated"),
}


def ask() -> str:
    """The switch; what is chosen stays over the pages."""
    chosen: str | None = st.segmented_control(
        "Words for", [CLINICIAN, SCIENTIST], default=CLINICIAN, required=True, key="depth",
        persist_state="session", help="changes words and detail, never a number",
    )  # fmt: skip
    return chosen or CLINICIAN


def say(what: str, depth: str) -> str:
    """A label or sentence for this reader."""
    clinician, scientist = SAID[what]
    return clinician if depth == CLINICIAN else scientist


def few_flips(review: Review, floor: int) -> bool:
    """Whether a count of changed decisions is too small to be shown, or tells one that is."""
    return floor > 0 and not shown_flips(review.flips, raw_flips(review), floor).all_shown


def shown(review: Review, floor: int) -> tuple[Check, ...]:
    """The checks, as papers tell them where small counts are kept back."""
    return shown_checks(review, floor)


def in_detail(check: Check) -> str:
    """A check's numbers for the data scientist."""
    parts = [
        f"{name} {_figure(float(value))}"
        for name, value in (("estimate", check.estimate), ("limit", check.margin))
        if not math.isnan(value)
    ]
    if not math.isnan(check.low):
        parts.insert(1, f"{number(check.low)} to {number(check.high)}")
    return plain("; ".join([*parts, f"ground: {check.ground}"]))


def _figure(value: float) -> str:
    """Counts whole, all else with three decimals."""
    return f"{value:,.0f}" if value >= 1 and value.is_integer() else number(value)
