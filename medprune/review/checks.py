"""The checks of the gate that look at figures: G0, G1, G2, G4, G5, G7 and G8, each with its sentence.

Clinicians read the sentences: counts come before metrics, and none promises what these data cannot show.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from medprune.review.estimate import Estimate
from medprune.review.evidence import UNKNOWN, Evidence, Fidelity
from medprune.review.flips import Flips
from medprune.review.floor import Floor
from medprune.review.gate import FAIL, NOT_ASSESSABLE, PASS, WARN, Check, worst
from medprune.review.limits import Limits
from medprune.review.side_by_side import SideBySide
from medprune.review.utility import odds
from medprune.review.wording import interval, number, signed


def evidence_fit(sides: Sequence[SideBySide], evidence: Evidence, limits: Limits) -> Check:
    """G0: enough patients, none of whom the models know, and limits that were set before."""
    fewest = min(min(side.events, side.others) for side in sides)
    least = min(sides, key=lambda side: min(side.events, side.others))
    counted = f"{least.events:,} reviewed patients had the event and {least.others:,} had not"
    if len(sides) > 1:
        counted = (
            f"Of the class {least.label!r} there are {least.events:,} patients, of others {least.others:,}"
        )
    more, state = [], PASS
    if fewest < limits.assessable:
        state = NOT_ASSESSABLE
        more.append(f"fewer than {limits.assessable} on either side say too little: this is not a pass")
    elif fewest < limits.comfortable:
        state = WARN
        more.append(f"fewer than {limits.comfortable} on either side leave wide intervals")
    if evidence.overlap == UNKNOWN:
        state = worst([state, NOT_ASSESSABLE])
        more.append("whether the model has seen these patients before is unknown")
    elif evidence.overlap:
        state = FAIL
        more.append(f"{evidence.overlap:,} of them were trained or tuned on: take patients it has not seen")
    if evidence.locked is None:
        state = worst([state, WARN])
        more.append("no limits are on record from before they were opened")
    if evidence.loosened:
        state = FAIL
        more.append("the limits were loosened after test patients were opened, so they limit nothing")
    if evidence.moved:
        state = worst([state, WARN])
        more.append("another risk is acted on than when test patients were opened")
    sentence = "; ".join([counted, *more]) + "."
    return Check("G0", state, sentence[0].upper() + sentence[1:], fewest, margin=limits.assessable)


def ranking(dense: Estimate, pruned: Estimate, change: Estimate, events: int, limits: Limits) -> Check:
    """G1: non-inferiority of AUROC."""
    delta = limits.auroc_loss
    if not change.is_known:
        return Check("G1", NOT_ASSESSABLE, "AUROC cannot be known: all reviewed patients have one outcome.")
    told = (
        f"AUROC {number(pruned.value)} vs {number(dense.value)} (change {signed(change.value)}, 95% CI "
        f"{interval(change)}; your limit {signed(-delta)})"
    )
    if change.low > -delta:
        state, sentence = PASS, f"The smaller model ranks patients about as well as the original: {told}."
    elif change.high < -delta:
        state, sentence = FAIL, f"The smaller model ranks patients worse than your limit allows: {told}."
    else:
        state = WARN
        sentence = (
            f"These data cannot rule out a loss larger than your limit: {told}.{_more(change, events, delta)}"
        )
    return Check("G1", state, sentence, change.value, change.low, change.high, -delta)


def _more(change: Estimate, events: int, delta: float) -> str:
    """How many more patients with the event would decide it, when the loss seen is the true one."""
    reach, room = change.value - change.low, change.value + delta
    if room <= 0 or not math.isfinite(reach):
        return ""
    needed = math.ceil(events * ((reach / room) ** 2 - 1))
    return f" About {needed:,} more patients with the event would be needed." if needed > 0 else ""


def calibrated(sides: Sequence[SideBySide], limits: Limits) -> Check:
    """G2: O/E, slope and ICI of the smaller model, and how much the ICI rose; the worst class counts."""
    found = [(_calibration_state(side, limits), side) for side in sides]
    state = worst([each for each, _ in found])
    side = next(side for each, side in found if each == state)
    ratio, slope, rise = (
        side.pruned["observed_over_expected"],
        side.pruned["slope"],
        side.change["ici"],
    )
    if state == NOT_ASSESSABLE:
        return Check("G2", state, "Calibration cannot be known on these patients: this is not a pass.")
    of_class = f" of {side.label!r}" if len(sides) > 1 else ""
    details = (
        f"O/E {ratio.value:.2f} ({interval(ratio, 2)}), calibration slope {slope.value:.2f} "
        f"({interval(slope, 2)}), ICI {number(side.pruned['ici'].value)}, which changed by "
        f"{signed(rise.value)} ({interval(rise)}).",
        f"The original: O/E {side.dense['observed_over_expected'].value:.2f}, slope "
        f"{side.dense['slope'].value:.2f}, ICI {number(side.dense['ici'].value)}.",
    )
    sentence = f"Among patients given about a {_told(side)}{of_class}."
    return Check("G2", state, sentence, slope.value, slope.low, slope.high, limits.slope[0], details)


def _told(side: SideBySide) -> str:
    """The calibration curve where most decisions are made, in counts."""
    risks, shares, at = side.curves.risks[1], side.curves.shares[1], side.curves.at
    place = int(abs(risks - at).argmin())
    risk, share = float(risks[place]), float(shares[place])
    about = f"{risk:.0%} risk by the smaller model, {100 * share:.0f} in 100 had the event"
    apart = share - risk
    if abs(apart) < 0.01:  # noqa: PLR2004 - of 100 patients, one
        return f"{about}, as it said"
    return f"{about}: it {'understates' if apart > 0 else 'overstates'} risk here"


def _calibration_state(side: SideBySide, limits: Limits) -> str:
    ratio, slope = side.pruned["observed_over_expected"].value, side.pruned["slope"].value
    rise = side.change["ici"].value
    if any(math.isnan(value) for value in (ratio, slope, rise)):
        return NOT_ASSESSABLE
    within = [
        _within(ratio, limits.observed_over_expected, limits.observed_over_expected_warn),
        _within(slope, limits.slope, limits.slope_warn),
        PASS if rise <= limits.ici_rise else WARN if rise <= limits.ici_rise_warn else FAIL,
    ]
    return worst(within)


def _within(value: float, good: tuple[float, float], fair: tuple[float, float]) -> str:
    if good[0] <= value <= good[1]:
        return PASS
    return WARN if fair[0] <= value <= fair[1] else FAIL


def changed_decisions(found: Flips, floor: Floor | None, limits: Limits) -> Check:
    """G4: who is handled differently, against what a retraining would change anyway."""
    per = found.per_1000
    missed, most = per(found.missed), limits.missed_per_1000
    sentence = (
        f"Of 1,000 patients, {per(found.total):.0f} would be handled differently: "
        f"{per(found.caught):.0f} newly flagged with the event, {missed:.0f} with the event no longer "
        f"flagged, {per(found.alarmed):.0f} newly flagged without it, {per(found.spared):.0f} spared"
    )
    if found.moved:
        sentence = (
            f"Of 1,000 patients, {per(found.total):.0f} would be put in another class: "
            f"{per(found.caught):.0f} now in their own, {missed:.0f} no longer, {per(found.moved):.0f} in "
            "another wrong one"
        )
    if floor is None:
        state = PASS if not found.total else NOT_ASSESSABLE
        sentence += ". How many a retraining of the original would change is unknown."
    else:
        state = _against(found.rate, floor.rate, limits.floor_warn)
        sentence += f". Retraining the original would change about {1000 * floor.rate:.0f} anyway."
    if most is not None and missed > most:
        state = FAIL
        sentence += f" More are missed than your limit of {most:g} in 1,000."
    low, high = (math.nan, math.nan) if floor is None else (floor.low, floor.high)
    details = (
        ()
        if floor is None
        else (
            f"{len(floor.rates)} retrainings from other seeds changed {floor.low:.1%} to {floor.high:.1%} of "
            f"decisions, {floor.rate:.1%} on average; pruning changed {found.rate:.1%}.",
        )
    )
    margin = math.nan if floor is None else floor.rate
    return Check("G4", state, sentence, found.rate, low, high, margin, details)


def _against(rate: float, floor: float, times: float) -> str:
    if rate <= floor:
        return PASS
    return WARN if rate <= times * floor else FAIL


def worth(sides: Sequence[SideBySide], act_at: float, limits: Limits) -> Check:
    """G5: net benefit at the risk acted on, and over the range of risks; the worst class counts."""
    found = [(_worth_state(side, limits), side) for side in sides]
    state = worst([each for each, _ in found])
    side = next(side for each, side in found if each == state)
    change, value = side.change["net_benefit"], side.pruned["net_benefit"].value
    more = "more" if change.value >= 0 else "fewer"
    sentence = (
        f"At your threshold (act at {act_at:.0%} or more), the change is equivalent to "
        f"{abs(1000 * change.value):.1f} {more} patients correctly treated per 1,000"
    )
    simplest = side.simplest
    if value < simplest:
        who = "everybody" if simplest > 0 else "nobody"
        sentence += f"; acting on {who} would be worth more than acting on the smaller model"
    details = (
        f"Net benefit {number(value)} vs {number(side.dense['net_benefit'].value)} (change "
        f"{signed(change.value)}, {interval(change)}); acting on everybody {number(side.treat_all)}, on "
        f"nobody 0. The chance of a loss above {limits.benefit_loss:g} is "
        f"{side.doubt(limits.benefit_loss):.0%}.",
        _over_the_range(side),
        f"One needless action weighs {odds(act_at):.2f} of a missed patient there.",
    )
    return Check(
        "G5", state, sentence + ".", change.value, change.low, change.high, -limits.benefit_loss, details
    )


def _worth_state(side: SideBySide, limits: Limits) -> str:
    change, value = side.change["net_benefit"].value, side.pruned["net_benefit"].value
    if math.isnan(change):
        return NOT_ASSESSABLE
    if value < side.simplest or change < -limits.benefit_warn:
        return FAIL
    if change < -limits.benefit_loss or side.doubt(limits.benefit_loss) > limits.benefit_doubt:
        return WARN
    return PASS if side.curves.worst_change >= -limits.benefit_warn else WARN


def _over_the_range(side: SideBySide) -> str:
    low, high = side.curves.range
    return (
        f"Over risks from {low:.0%} to {high:.0%}, the largest fall of net benefit is "
        f"{number(max(0.0, -side.curves.worst_change))}."
    )


def same_as_file(found: Fidelity | None, limits: Limits) -> Check:
    """G7: the exported file against the model in memory."""
    if found is None:
        return Check("G7", NOT_ASSESSABLE, "There is no exported file yet: export the model first.")
    state = _fidelity_state(found.difference, found.flips, limits)
    sentence = (
        f"Loaded back and run on the reviewed patients, the exported file's risks differ by at most "
        f"{found.difference:.1g}, and {found.flips or 'no'} decisions"
    )
    details: tuple[str, ...] = ()
    if found.int8_difference is not None:
        assert found.int8_flips is not None
        state = worst([state, _fidelity_state(found.int8_difference, found.int8_flips, limits, int8=True)])
        details = (
            f"The int8 file's risks differ by at most {found.int8_difference:.1g}, and "
            f"{found.int8_flips or 'no'} decisions.",
        )
    return Check("G7", state, sentence + ".", found.difference, margin=limits.fidelity, details=details)


def _fidelity_state(difference: float, flips: int, limits: Limits, *, int8: bool = False) -> str:
    if difference <= limits.fidelity:
        return PASS
    near = difference <= limits.fidelity_warn and not flips
    if int8 and near:
        return PASS
    return WARN if near else FAIL


def looks(evidence: Evidence, limits: Limits) -> Check:
    """G8: how many models were scored on these very patients."""
    count = evidence.configurations
    state = PASS if count <= limits.configurations else WARN if count <= limits.configurations_warn else FAIL
    one = "1 model has" if count == 1 else f"{count} models have"
    sentence = f"{one} been scored on these test patients"
    if state == WARN:
        sentence += "; the best of several looks better than it is"
    if state == FAIL:
        sentence += "; take a new test set, or judge by nested cross-validation"
    details: tuple[str, ...] = ()
    if evidence.searched:
        details = (f"It was chosen on tuning patients among {evidence.searched:,} candidates.",)
    return Check("G8", state, sentence + ".", count, margin=limits.configurations, details=details)
