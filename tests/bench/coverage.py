"""Do the review's 95 % intervals hold what they promise? Samples of a population where everything is known.

Two models of the same patients: one that is nearly right, and one as pruning leaves it, timid and noisier.
The truth comes of many people whose chance of the event is known, so that only their inputs are drawn: each
counts as one with the event and one without, by that chance. Samples are drawn anew for every repetition;
nothing is held fixed but the number of patients.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr
from scipy.stats import norm

from medprune.censoring import Times
from medprune.review.bootstrap import interval
from medprune.review.calibration import calibration, smoothed
from medprune.review.discrimination import auroc_interval
from medprune.review.estimate import Estimate
from medprune.review.groups import Group
from medprune.review.measures import MEASURES, side_changes
from medprune.review.observed import Observed
from medprune.review.resampled import auprc
from medprune.review.side_by_side import FIGURES, RESAMPLED, auroc_of_two, figures_of
from medprune.review.subgroups import subgroup_changes
from tests.bench.report import grid

Floats = NDArray[np.float64]
Truth = Mapping[str, float]

PATIENTS, ACT_AT, ROWS_EACH = 1_000, 0.2, 2
PEOPLE = 300_000  # for the truth
SMOOTHED = 100_000  # of whom the curve is drawn for the ICI
REPEATS, FEWER, DRAWN = 2_000, 500, 150
DRAWS = 200  # of the bootstrap, in each of the last: a review has 500
JUDGED = ("auroc", "brier", "in_the_large", "slope", "net_benefit")
LOW, HIGH = 0.93, 0.97
INTERCEPT, EFFECTS = -1.75, np.array([0.9, 0.6, -0.5, 0.4])  # a fifth has the event
ALIKE, RELATED = 0.6, 0.5  # of two rows of a patient: their inputs, and their outcomes given those
LOST = 0.45  # the rate of censoring, the horizon being 1
BANDS = ("auroc", "slope", "brier", "net_benefit", "sensitivity")
IN_A_GROUP = 20


@dataclass(frozen=True, eq=False)
class People:
    """Inputs (N, 4), the chance of the event (N,), and both models' risks (N,)."""

    x: Floats
    chance: Floats
    dense: Floats
    pruned: Floats

    def take(self, rows: NDArray[np.intp]) -> People:
        return People(self.x[rows], self.chance[rows], self.dense[rows], self.pruned[rows])

    def groups(self) -> dict[str, NDArray[np.bool_]]:
        """Two groups of one input and three of another, as sex and age bands would be."""
        sex, age = self.x[:, 2] > 0, np.digitize(self.x[:, 3], norm.ppf([1 / 3, 2 / 3]))
        return {"a": sex, "b": ~sex, **{f"band {place}": age == place for place in range(3)}}


def people(rng: np.random.Generator, count: int, each: int = 1) -> People:
    """``count`` patients with ``each`` rows, one after the other."""
    shape, share = (count, each, len(EFFECTS)), ALIKE if each > 1 else 0.0
    own = rng.standard_normal((count, 1, len(EFFECTS)))
    x = (np.sqrt(share) * own + np.sqrt(1 - share) * rng.standard_normal(shape)).reshape(-1, len(EFFECTS))
    lp = INTERCEPT + x @ EFFECTS
    noise = rng.standard_normal((2, len(lp)))
    both, alone = noise
    dense = 0.05 + 1.05 * lp + 0.35 * both
    pruned = -0.85 + 0.45 * lp + 0.2 * both + 0.3 * alone + 0.1 * x[:, 2]
    return People(x, expit(lp), expit(dense), expit(pruned))


def events(rng: np.random.Generator, of: People, each: int = 1) -> NDArray[np.bool_]:
    """Who has the event; the rows of a patient are related beyond their inputs."""
    share = RELATED if each > 1 else 0.0
    own = np.repeat(rng.standard_normal(len(of.chance) // each), each)
    drawn = np.sqrt(share) * own + np.sqrt(1 - share) * rng.standard_normal(len(of.chance))
    found: NDArray[np.bool_] = ndtr(drawn) < of.chance
    return found


# --- the truth ---------------------------------------------------------------------------------------


def known(of: People) -> Observed:
    """Everybody with the event and without it, by the chance."""
    half = len(of.chance)
    event = np.repeat([True, False], half)
    weight = np.concatenate([of.chance, 1 - of.chance])
    return Observed(event, np.arange(2 * half).astype(np.uint64), weight)


def truth(of: People) -> tuple[dict[str, Truth], float]:
    """Of both models and the change; and the largest standard error of a change, as a share of that of a
    sample of :data:`PATIENTS`, if events had been drawn: an upper bound."""
    whole = known(of)
    found: dict[str, Truth] = {}
    for name, risk in (("dense", of.dense), ("pruned", of.pruned)):
        twice = np.tile(risk, 2)
        values = {key: figure.value for key, figure in figures_of(whole, twice, ACT_AT).items()}
        found[name] = values | {
            "auprc": auprc(whole, twice),
            "ici": _ici(of.chance[:SMOOTHED], risk[:SMOOTHED]),
        }
    found["change"] = {key: found["pruned"][key] - found["dense"][key] for key in found["dense"]}
    return found, float(np.sqrt(PATIENTS / len(of.chance)))


def _ici(chance: Floats, risk: Floats) -> float:
    """The same smoother, over chances in place of outcomes."""
    curve = smoothed(chance, risk)
    return float(np.abs(risk - curve).mean())


# --- samples -----------------------------------------------------------------------------------------


@dataclass
class Score:
    """How often an interval held the truth, and lay wholly below or above it."""

    inside: int = 0
    below: int = 0
    above: int = 0
    unknown: int = 0
    width: float = 0.0

    def add(self, found: Estimate, true: float) -> None:
        if not found.is_known:
            self.unknown += 1
            return
        self.below += found.high < true
        self.above += found.low > true
        self.inside += found.low <= true <= found.high
        self.width += found.high - found.low

    @property
    def repeats(self) -> int:
        return self.inside + self.below + self.above

    @property
    def coverage(self) -> float:
        return self.inside / self.repeats if self.repeats else float("nan")

    @property
    def doubt(self) -> float:
        """The Monte Carlo standard error."""
        return float(np.sqrt(self.coverage * (1 - self.coverage) / max(self.repeats, 1)))


def by_formula(observed: Observed, of: People) -> Iterator[tuple[str, str, Estimate]]:
    """The intervals by formula: of each model by influence, and of the change as a review has it."""
    both = [figures_of(observed, risk, ACT_AT) for risk in (of.dense, of.pruned)]
    own = side_changes(observed, of.dense, of.pruned, ACT_AT)
    own["auroc"] = auroc_of_two(observed, of.dense, of.pruned)[2]
    for name in both[0]:
        one, other = (figures[name] for figures in both)
        yield "dense", name, one.estimate(observed.patients)
        yield "pruned", name, other.estimate(observed.patients)
        yield "change", name, own[name] if name in own else (other - one).estimate(observed.patients)


def scored(
    sample: Callable[[int], Iterator[tuple[str, str, Estimate]]], repeats: int, true: Mapping[str, Truth]
) -> dict[tuple[str, str], Score]:
    found: dict[tuple[str, str], Score] = {}
    for seed in range(repeats):
        for which, name, estimate in sample(seed):
            found.setdefault((which, name), Score()).add(estimate, true[which][name])
    return found


def plain(seed: int) -> Iterator[tuple[str, str, Estimate]]:
    """A patient a row."""
    yield from by_formula(*_drawn(seed))


def resampled(seed: int) -> Iterator[tuple[str, str, Estimate]]:
    """AUPRC and the ICI, by the bootstrap."""
    observed, of = _drawn(seed)
    for name, figure in RESAMPLED.items():

        def change(rows: NDArray[np.int64], figure: Callable[[Observed, Floats], float] = figure) -> float:
            again = observed.take(rows)
            return figure(again, of.pruned[rows]) - figure(again, of.dense[rows])

        found = interval(change, observed.patients, observed.event, draws=DRAWS, seed=seed)
        yield "change", name, found


def textbook(seed: int) -> Iterator[tuple[str, str, Estimate]]:
    """What a review shows of one model where every row is a patient: DeLong's interval, and Wald's."""
    observed, of = _drawn(seed)
    for which, risk in (("dense", of.dense), ("pruned", of.pruned)):
        found = calibration(observed.event, risk)
        yield which, "auroc", auroc_interval(observed.event, risk)
        yield which, "in_the_large", found.in_the_large
        yield which, "slope", found.slope
        yield which, "observed_over_expected", found.observed_over_expected


def _drawn(seed: int) -> tuple[Observed, People]:
    rng = np.random.default_rng([1, seed])
    of = people(rng, PATIENTS)
    return Observed(events(rng, of), np.arange(PATIENTS).astype(np.uint64)), of


def clustered(seed: int, *, told: bool = True) -> Iterator[tuple[str, str, Estimate]]:
    """Half as many patients with two rows each; untold, rows are taken for patients."""
    rng = np.random.default_rng([2, seed])
    count = PATIENTS // ROWS_EACH
    of = people(rng, count, ROWS_EACH)
    who = np.repeat(np.arange(count), ROWS_EACH) if told else np.arange(PATIENTS)
    yield from by_formula(Observed(events(rng, of, ROWS_EACH), who.astype(np.uint64)), of)


def censored(seed: int) -> Iterator[tuple[str, str, Estimate]]:
    """Follow-up that ends for some before the horizon: weights estimated as the product estimates them."""
    rng = np.random.default_rng([3, seed])
    of = people(rng, PATIENTS)
    to_event = rng.exponential(size=PATIENTS) / -np.log1p(-of.chance)
    lost = rng.exponential(1 / LOST, PATIENTS)
    times = Times(np.minimum(to_event, lost), to_event <= lost, 1.0)
    who = np.arange(PATIENTS).astype(np.uint64)
    yield from by_formula(Observed(times.outcome == 1, who, times.weights()), of)


# --- bands -------------------------------------------------------------------------------------------


def bands(repeats: int, everybody: People) -> dict[str, Score]:
    """How often all groups' bands hold at once: of changes, and of differences from those outside."""
    true = {
        name: _of_groups(everybody.take(np.flatnonzero(inside)), everybody.take(np.flatnonzero(~inside)))
        for name, inside in everybody.groups().items()
    }
    found = {f"{what} {name}": Score() for what in ("change", "apart") for name in BANDS}
    for seed in range(repeats):
        observed, of = _drawn(seed)
        groups = [Group(name, (name,), inside) for name, inside in of.groups().items()]
        made = subgroup_changes(
            observed, of.dense, of.pruned, groups, ACT_AT, fewest=IN_A_GROUP, measures=BANDS, seed=seed
        )
        for name in BANDS:
            for what, place in (("change", 0), ("apart", 1)):
                held = [
                    estimate.low <= true[group.name][place][name] <= estimate.high
                    for group in made.groups
                    for estimate in [group.changes[name].band if not place else group.changes[name].apart]
                    if estimate.is_known
                ]
                score = found[f"{what} {name}"]
                score.inside += all(held)
                score.below += not all(held)
    return found


def _of_groups(inside: People, outside: People) -> tuple[Truth, Truth]:
    """The true changes of a group, and those less the changes of the others."""
    own, others = (truth_change(each) for each in (inside, outside))
    return own, {name: own[name] - others[name] for name in BANDS}


def truth_change(of: People) -> Truth:
    whole = known(of)
    one, other = (figures_of(whole, np.tile(risk, 2), ACT_AT) for risk in (of.dense, of.pruned))
    return {name: other[name].value - one[name].value for name in one}


# --- the report --------------------------------------------------------------------------------------


def coverage() -> Iterator[str]:
    """The part of the report."""
    started = time.perf_counter()
    everybody = people(np.random.default_rng(0), PEOPLE)
    true, share = truth(everybody)
    yield _conditions(true, share, everybody)
    found = scored(plain, REPEATS, true)
    yield f"The change, {REPEATS:,} samples (asked for: {LOW:.0%} to {HIGH:.0%} of the first five):\n"
    named = [*JUDGED, *(n for which, n in found if which == "change" and n not in JUDGED)]
    changes = {name: found["change", name] for name in named}
    yield _table(changes, true["change"])
    yield _verdict(changes) + "\n"
    drawn = {name: score for (_, name), score in scored(resampled, DRAWN, true).items()}
    yield f"The change by the bootstrap, {DRAWN:,} samples with {DRAWS} draws each:\n"
    yield _table(drawn, true["change"])
    yield f"One model at a time by the textbook, as a review shows it, {FEWER:,} samples:\n"
    yield _rows(scored(textbook, FEWER, true))
    yield f"One model at a time by influence, {REPEATS:,} samples:\n"
    yield _rows({key: score for key, score in found.items() if key[0] != "change"})
    yield from _more(true, everybody)
    yield f"All in {(time.perf_counter() - started) / 60:.0f} minutes.\n"


def _more(true: Mapping[str, Truth], everybody: People) -> Iterator[str]:
    yield f"The change, with two related rows a patient, {FEWER:,} samples:\n"
    told, untold = (
        scored(lambda seed, told=told: clustered(seed, told=told), FEWER, true) for told in (True, False)
    )
    yield _pair(told, untold, ("rows of a patient together", "rows as patients"))
    yield f"The change, follow-up censored before the horizon for some, weighted, {FEWER:,} samples:\n"
    lost = scored(censored, FEWER, true)
    yield _table({name: score for (which, name), score in lost.items() if which == "change"}, true["change"])
    yield (
        f"Bands over five groups at once, {FEWER:,} samples; held where those of all groups with "
        f"{IN_A_GROUP} on either side are: the changes, and the differences from those outside the group.\n"
    )
    made = bands(FEWER, everybody)
    rows = []
    for name in BANDS:
        change, apart = made[f"change {name}"], made[f"apart {name}"]
        shares = [f"{share:.1%}" for share in (change.coverage, apart.coverage, apart.doubt)]
        rows.append([MEASURES[name].title, *shares])
    yield grid(["figure", "changes", "differences", "Monte Carlo error"], rows) + "\n"


def _conditions(true: Mapping[str, Truth], share: float, everybody: People) -> str:
    told = ";\n  ".join(
        f"{FIGURES[name]} {true['dense'][name]:.3f} and {true['pruned'][name]:.3f}" for name in JUDGED
    )
    return f"""## Coverage of the review's intervals

- {PATIENTS:,} patients a sample; {everybody.chance.mean():.1%} have the event, acting at {ACT_AT:.0%}.
- The truth is of {len(everybody.chance):,} people with known chances; its own error is at most {share:.0%} of
  that of a sample. Of the two models:
  {told}.
- Below and above: the intervals that lie wholly on that side of the truth.
"""


def _table(found: Mapping[str, Score], true: Truth) -> str:
    rows = [
        [FIGURES[name], f"{true[name]:+.4f}", f"{score.coverage:.1%}", f"{score.doubt:.1%}",
         f"{score.below / score.repeats:.1%}", f"{score.above / score.repeats:.1%}",
         f"{score.width / score.repeats:.4f}"]
        for name, score in found.items()
    ]  # fmt: skip
    return grid(["figure", "truth", "coverage", "Monte Carlo error", "below", "above", "width"], rows) + "\n"


def _rows(found: Mapping[tuple[str, str], Score]) -> str:
    names = dict.fromkeys(name for _, name in found)
    models = list(dict.fromkeys(which for which, _ in found))
    rows = [
        [FIGURES[name], *(f"{found[which, name].coverage:.1%}" for which in models),
         f"{max(found[which, name].doubt for which in models):.1%}"]
        for name in names
    ]  # fmt: skip
    return grid(["figure", *models, "Monte Carlo error"], rows) + "\n"


def _pair(
    one: Mapping[tuple[str, str], Score], other: Mapping[tuple[str, str], Score], names: tuple[str, str]
) -> str:
    rows = [
        [FIGURES[name], f"{score.coverage:.1%}", f"{other[which, name].coverage:.1%}", f"{score.doubt:.1%}"]
        for (which, name), score in one.items()
        if which == "change"
    ]
    return grid(["figure", *names, "Monte Carlo error"], rows) + "\n"


def _verdict(changes: Mapping[str, Score]) -> str:
    """Whether the five lie where they should."""
    outside = [FIGURES[name] for name in JUDGED if not LOW <= changes[name].coverage <= HIGH]
    if not outside:
        return f"All five lie within {LOW:.0%} to {HIGH:.0%}."
    return f"Outside {LOW:.0%} to {HIGH:.0%}: {', '.join(outside)}."
