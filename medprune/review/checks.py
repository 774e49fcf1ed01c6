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

USUAL = 0.5  # the risk that is acted on where nobody says which
UNCHOSEN = (
    "50% is also what applies where nobody has set a threshold; one to act on follows from what it costs to "
    "act needlessly and to miss a patient, not from a half."
)
ROUNDING = 1e-9  # of two net benefits that are the same sum in another order


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
    why = "; ".join(told for each, told in _off(side, limits) if each != PASS)
    sentence = f"Among patients given about a {_told(side, state, of_class)}."
    sentence += f" {why[0].upper()}{why[1:]}." if why else ""
    margin = limits.slope[0] if slope.value < 1 else limits.slope[1]
    return Check("G2", state, sentence, slope.value, slope.low, slope.high, margin, details)


def _told(side: SideBySide, state: str, of_class: str) -> str:
    """The calibration curve where most decisions are made, in counts."""
    risks, shares, at = side.curves.risks[1], side.curves.shares[1], side.curves.at
    place = int(abs(risks - at).argmin())
    risk, share = float(risks[place]), float(shares[place])
    what = "it" if of_class else "the event"
    about = f"{risk:.0%} risk{of_class} by the smaller model, {100 * share:.0f} in 100 had {what}"
    apart = share - risk
    if abs(apart) < 0.01:  # noqa: PLR2004 - of 100 patients, one
        return f"{about}, as it said"
    but = ", though over all patients its risks keep within your limits" if state == PASS else ""
    return f"{about}: it {'understates' if apart > 0 else 'overstates'} risk here{but}"


def _calibration_state(side: SideBySide, limits: Limits) -> str:
    values = (side.pruned["observed_over_expected"], side.pruned["slope"], side.change["ici"])
    if any(math.isnan(each.value) for each in values):
        return NOT_ASSESSABLE
    return worst([state for state, _ in _off(side, limits)])


def _off(side: SideBySide, limits: Limits) -> list[tuple[str, str]]:
    """The state of each of the three figures, and what is wrong where it does not pass."""
    ratio, slope = side.pruned["observed_over_expected"].value, side.pruned["slope"].value
    rise = side.change["ici"].value
    commoner = "more" if ratio > 1 else "less"
    timid = "too timid" if slope > 1 else "too extreme"
    return [
        (
            _within(ratio, limits.observed_over_expected, limits.observed_over_expected_warn),
            f"over all patients the event is {commoner} common than its risks say (O/E {ratio:.2f})",
        ),
        (_within(slope, limits.slope, limits.slope_warn), f"its risks are {timid} (slope {slope:.2f})"),
        (
            PASS if rise <= limits.ici_rise else WARN if rise <= limits.ici_rise_warn else FAIL,
            f"its risks lie further from what happened than the original's (ICI {signed(rise)})",
        ),
    ]


def _within(value: float, good: tuple[float, float], fair: tuple[float, float]) -> str:
    if good[0] <= value <= good[1]:
        return PASS
    return WARN if fair[0] <= value <= fair[1] else FAIL


def changed_decisions(
    found: Flips,
    floor: Floor | None,
    limits: Limits,
    *,
    rate: Estimate | None = None,
    binary: bool = True,
    by_row: bool = False,
) -> Check:
    """G4: who is handled differently, against what a retraining would change anyway.

    ``rate`` is the share of changed decisions with its interval; with ``binary`` false they are moves between
    more than two classes; ``by_row`` tells that patients have several
    rows, each of which is a decision."""
    per = found.per_1000
    missed, most = per(found.missed), limits.missed_per_1000
    of = "Of 1,000 rows" if by_row else "Of 1,000 patients"
    sentence = (
        f"{of}, {per(found.total):.0f} would be handled differently: "
        f"{per(found.caught):.0f} newly flagged with the event, {missed:.0f} with the event no longer "
        f"flagged, {per(found.alarmed):.0f} newly flagged without it, {per(found.spared):.0f} spared"
    )
    if not binary:
        sentence = (
            f"{of}, {per(found.total):.0f} would be put in another class: "
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
    if by_row:
        sentence += " Patients have several rows, and each is a decision."
    low, high = (math.nan, math.nan) if rate is None else (rate.low, rate.high)
    details = () if floor is None else (_beside_the_floor(found, floor),)
    if most is None:
        details = (*details, "No limit was set on how many with the event may be missed.")
    margin = math.nan if floor is None else floor.rate
    return Check("G4", state, sentence, found.rate, low, high, margin, details)


def _beside_the_floor(found: Flips, floor: Floor) -> str:
    return (
        f"{len(floor.rates)} retrainings from other seeds changed {floor.low:.1%} to {floor.high:.1%} of "
        f"decisions, {floor.rate:.1%} on average; pruning changed {found.rate:.1%}."
    )


def _against(rate: float, floor: float, times: float) -> str:
    if rate <= floor:
        return PASS
    return WARN if rate <= times * floor else FAIL


def worth(sides: Sequence[SideBySide], act_at: float, limits: Limits) -> Check:
    """G5: net benefit at the risk acted on, and over the range of risks; the worst class counts."""
    binary = len(sides) == 1
    found = [(_worth_state(side, limits, binary=binary), side) for side in sides]
    state = worst([each for each, _ in found])
    side = next(side for each, side in found if each == state)
    change, value = side.change["net_benefit"], side.pruned["net_benefit"].value
    if state == NOT_ASSESSABLE:
        return Check("G5", state, "Net benefit cannot be known on these patients: this is not a pass.")
    of_class = "" if binary else f" for {side.label!r} against the others"
    sentence = (
        f"At your threshold (act at {act_at:.0%} or more){of_class}, the change is equivalent to "
        f"{_treated(change.value)} patients correctly treated per 1,000"
    )
    if change.is_known and change.low < change.high:
        sentence += f" (95% CI {_treated(change.low)} to {_treated(change.high)})"
    sentence = "; ".join([sentence, *(told for _, told in _wanting(side, limits, binary=binary))])
    details = (
        f"Net benefit {number(value)} vs {number(side.dense['net_benefit'].value)} (change "
        f"{signed(change.value)}, {interval(change)}); acting on everybody {number(side.treat_all)}, on "
        f"nobody 0. The chance of a loss above {limits.benefit_loss:g} is "
        f"{side.doubt(limits.benefit_loss):.0%}.",
        _over_the_range(side),
        f"One needless action weighs {odds(act_at):.2f} of a missed patient there.",
        *([UNCHOSEN] if binary and act_at == USUAL else []),
    )
    return Check(
        "G5", state, sentence + ".", change.value, change.low, change.high, -limits.benefit_loss, details
    )


def _treated(change: float) -> str:
    """A change of net benefit as patients of 1,000.

    >>> _treated(0.0132), _treated(-0.004), _treated(0.0)
    ('13.2 more', '4.0 fewer', '0.0 more')
    """
    return f"{abs(1000 * change):.1f} {'fewer' if round(1000 * change, 1) < 0 else 'more'}"


def _worth_state(side: SideBySide, limits: Limits, *, binary: bool) -> str:
    if math.isnan(side.change["net_benefit"].value):
        return NOT_ASSESSABLE
    return worst([PASS, *(state for state, _ in _wanting(side, limits, binary=binary))])


def _wanting(side: SideBySide, limits: Limits, *, binary: bool) -> list[tuple[str, str]]:
    """What keeps the smaller model's worth from passing: a state and its words each."""
    change, value = side.change["net_benefit"].value, side.pruned["net_benefit"].value
    found, doubt = [], side.doubt(limits.benefit_loss)
    if value < side.simplest - ROUNDING:
        who = "everybody" if side.simplest > 0 else "nobody"
        found.append((FAIL, f"acting on {who} would be worth more than acting on the smaller model"))
    if change < -limits.benefit_warn:
        found.append((FAIL, f"net benefit falls by more than {limits.benefit_warn:g}"))
    elif change < -limits.benefit_loss:
        found.append((WARN, f"net benefit falls by more than {limits.benefit_loss:g}"))
    elif doubt > limits.benefit_doubt:
        found.append((WARN, f"the chance of a loss above {limits.benefit_loss:g} is {doubt:.0%}"))
    if side.curves.worst_change < -limits.benefit_warn:
        low, high = side.curves.range
        fall = number(-side.curves.worst_change)
        found.append((WARN, f"somewhere from {low:.0%} to {high:.0%} net benefit falls by {fall}"))
    treated = side.pruned["sensitivity"].value, side.pruned["specificity"].value
    if binary and treated in ((0.0, 1.0), (1.0, 0.0)):
        who = "nobody" if treated[1] else "everybody"
        found.append((WARN, f"the smaller model acts on {who} there, so its risks decide nothing"))
    return found


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
        f"{found.difference:.1g} from the model's, and {_decisions(found.flips)}"
    )
    details: tuple[str, ...] = ()
    if found.int8_difference is not None:
        assert found.int8_flips is not None
        of_int8 = _fidelity_state(found.int8_difference, found.int8_flips, limits)
        told = f"he int8 file's risks differ by at most {found.int8_difference:.1g}, and "
        told += _decisions(found.int8_flips)
        if of_int8 != PASS:
            sentence += f"; t{told}"
        state, details = worst([state, of_int8]), (f"T{told}.",)
    return Check("G7", state, sentence + ".", found.difference, margin=limits.fidelity, details=details)


def _decisions(flips: int) -> str:
    return f"{flips} decisions change" if flips > 1 else f"{flips or 'no'} decision changes"


def _fidelity_state(difference: float, flips: int, limits: Limits) -> str:
    if difference <= limits.fidelity:
        return PASS
    return WARN if difference <= limits.fidelity_warn and not flips else FAIL


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
