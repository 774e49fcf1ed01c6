"""What the gate found, in the words of a hurried reader: the state, what it means, and what to do next."""

from __future__ import annotations

from medprune.report.facts import Known
from medprune.report.held_back import KEPT_BACK, too_few
from medprune.review.gate import FAIL, NOT_ASSESSABLE, PASS, STATES, TITLES, WARN, Check

ICONS = {PASS: "✓", WARN: "!", FAIL: "✕", NOT_ASSESSABLE: "?"}
NAMES = {PASS: "Pass", WARN: "Warning", FAIL: "Fail", NOT_ASSESSABLE: "Not assessable"}
NO_EVIDENCE = "No evidence of harm beyond the limits you set, in these data."
STILL_NEEDED = "Not a clinical validation; local prospective evaluation is still required (DECIDE-AI stage)."
FOUND = {
    PASS: NO_EVIDENCE,
    WARN: "No limit is broken outright, but these data come too near to some, or cannot rule out more.",
    FAIL: "At least one limit that you set is broken.",
    NOT_ASSESSABLE: "These data cannot tell whether the limits you set are kept: this is not a pass.",
}
NEXT = {
    "G0": "Review it on more patients whom neither model has seen, with limits that are set before.",
    "G1": "Take a less pruned candidate, or review it on more patients with the event.",
    "G2": "Recalibrate on patients of the place where it will be used, or take a less pruned candidate.",
    "G3": "Do not use it for groups that did not pass until more of their patients have been reviewed.",
    "G4": "Look at the patients whose decision changes, on the page Review, and decide with clinicians "
    "whether that is acceptable; if not, take a less pruned candidate.",
    "G5": "Do not act on its risks at this threshold before net benefit has been settled on more patients.",
    "G6": "Have clinicians confirm that the removed inputs may go and that the inputs look as in train.",
    "G7": "Do not use the exported file; export and review again.",
    "G8": "Judge it on a new test set, or by nested cross-validation.",
}
WHEN_PASSED = "Evaluate it locally and prospectively before it is used; keep the original to go back to."


def footer(known: Known) -> str:
    """What was found, and what it is not."""
    return f"{FOUND[known.review.gate]} {STILL_NEEDED}"


def all_nine(known: Known) -> tuple[Check, ...]:
    """G0 to G8; a check that this review has not made is said not to have been made."""
    made = {check.id: check for check in known.checks}
    return tuple(
        made.get(name, Check(name, NOT_ASSESSABLE, "Not looked at in this review.")) for name in TITLES
    )


def counted(known: Known) -> str:
    """How many checks are in each state, the worst first."""
    states = [check.state for check in known.checks]
    told = [f"{NAMES[state].lower()} {states.count(state)}" for state in STATES if state in states]
    return f"Of {len(states)} checks: {', '.join(told)}."


def next_steps(known: Known) -> tuple[str, ...]:
    """What to do, by the checks that did not pass, the worst first."""
    open_ = [check for check in known.checks if check.state != PASS]
    order = sorted(open_, key=lambda check: STATES.index(check.state))
    steps = [f"{_next(check, known)} ({check.id}, {NAMES[check.state].lower()})" for check in order]
    return (*steps, WHEN_PASSED)


def _next(check: Check, known: Known) -> str:
    if check.id == "G3" and not known.review.groups:
        return "Choose subgroups, before looking, and review it again."
    return NEXT[check.id]


def of_a_thousand(known: Known) -> tuple[tuple[str, str], ...]:
    """What happens to 1,000 patients like the reviewed ones, as pairs of what and how many."""
    told = known.flips
    words = {
        "missed": "with the event, no longer flagged",
        "caught": "with the event, newly flagged",
        "alarmed": "without the event, newly flagged",
        "spared": "without the event, no longer flagged",
    }
    if not known.review.is_binary:
        words = {
            "missed": "no longer put in the class they belong to",
            "caught": "now put in the class they belong to",
            "moved": "moved from one wrong class to another",
        }
    parts = [(words[name], told.per_1000[name]) for name in words if name in told.per_1000]
    if all(many == KEPT_BACK for _, many in parts):
        parts = [("for better or for worse: some of these groups are small", KEPT_BACK)]
    total = [("are handled differently by the smaller model", told.total_per_1000)]
    return (*total, *parts, *_floor(known))


def _floor(known: Known) -> tuple[tuple[str, str], ...]:
    floor = known.review.floor
    if floor is None:
        return (("would change anyway if the original were trained again", "unknown"),)
    return (("would change anyway if the original were trained again", f"about {1000 * floor.rate:.0f}"),)


def everybody(known: Known) -> str:
    """How both models do on 1,000 patients, so that the changes have something to stand against."""
    review = known.review
    if not review.is_binary or too_few(review.sides[0], known.floor):
        return ""
    side = review.sides[0]
    with_event = 1000 * side.prevalence
    flagged = [
        f"{with_event * each['sensitivity'].value:.0f} of them and "
        f"{(1000 - with_event) * (1 - each['specificity'].value):.0f} of the others"
        for each in (side.dense, side.pruned)
    ]
    like = "rows (patients have several, and each is a decision)" if review.by_row else "patients"
    return (
        f"Of 1,000 {like} like these, {with_event:.0f} have the event. Acting at a risk of "
        f"{review.act_at:.0%} or more, the original flags {flagged[0]}, the smaller model {flagged[1]}."
    )
