"""Who changes side at the risk that is acted on: for better and for worse, and how many would anyway."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medprune.performance import auroc
from medprune.review.logits import logits
from medprune.review.utility import odds

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Flips:
    """Patients whom the second model treats differently.

    ``caught`` and ``missed`` have the event and are newly acted on, or no longer; ``alarmed`` and ``spared``
    have it not. Whole numbers, unless patients are weighted: then those whom they stand for.
    """

    patients: float
    caught: float
    missed: float
    alarmed: float
    spared: float
    moved: float = 0  # of more than two classes: from one wrong class to another

    @property
    def total(self) -> float:
        return self.caught + self.missed + self.alarmed + self.spared + self.moved

    @property
    def rate(self) -> float:
        """The share of patients who change side."""
        return self.total / self.patients if self.patients else 0.0

    def per_1000(self, count: float) -> float:
        return 1000 * count / self.patients if self.patients else 0.0

    def change_in_net_benefit(self, act_at: float) -> float:
        """[(caught - missed) - odds (alarmed - spared)] / N: an identity, whatever the models."""
        right, needless = self.caught - self.missed, self.alarmed - self.spared
        return (right - odds(act_at) * needless) / self.patients


def flips(
    event: NDArray[np.bool_], first: Floats, second: Floats, act_at: float, weight: Floats | None = None
) -> Flips:
    """Who changes side from the first to the second model's risks (N,), acting at ``act_at`` or more.

    With weights (N,) every patient counts for as many; one of weight 0, whose outcome is unknown, for none.
    """
    sides = ((risk >= act_at).astype(np.int64) for risk in (first, second))
    changed = sides_of(event.astype(np.int64), *sides, binary=True)

    def count(who: NDArray[np.bool_]) -> float:
        return int(who.sum()) if weight is None else float(weight[who].sum())

    everybody = np.ones(len(event), dtype=bool)
    return Flips(count(everybody), **{name: count(who) for name, who in changed.items()})


def sides_of(
    outcome: NDArray[np.int64], before: NDArray[np.int64], after: NDArray[np.int64], *, binary: bool
) -> dict[str, NDArray[np.bool_]]:
    """Who (N,) changes side between two decisions (N,), by what that does to them, in the words of
    :class:`Flips`."""
    changed = before != after
    if binary:
        event, up = outcome == 1, after == 1
        return {
            "missed": changed & event & ~up,
            "caught": changed & event & up,
            "alarmed": changed & ~event & up,
            "spared": changed & ~event & ~up,
        }
    missed, caught = changed & (before == outcome), changed & (after == outcome)
    return {"missed": missed, "caught": caught, "moved": changed & ~missed & ~caught}


def moves(outcome: NDArray[np.int64], first: NDArray[np.int64], second: NDArray[np.int64]) -> Flips:
    """Who is put in another class (N,) of more than two: caught is who is now in the right one, missed who no
    longer is; nobody is alarmed or spared."""
    found = sides_of(outcome, first, second, binary=False)
    counts = {name: int(who.sum()) for name, who in found.items()}
    return Flips(len(outcome), alarmed=0, spared=0, **counts)


def noise_floor(dense: Floats, refits: Sequence[Floats], act_at: float) -> Floats:
    """The share of patients who change side between the dense model (N,) and each refit of it that differs by
    seed or bootstrap only (refits,): what would happen without any pruning (Riley and Collins, 2023)."""
    return np.array([float(((refit >= act_at) != (dense >= act_at)).mean()) for refit in refits])


def margin(dense: Floats, act_at: float) -> Floats:
    """How near each patient's dense risk (N,) lies to the risk acted on: minus the distance of their logits.

    The nearest are the likeliest to change side (Iofinova et al., 2023): known before anything is pruned.
    """
    here, threshold = logits(dense)[0], logits(np.array([act_at]))[0]
    distance: Floats = -np.abs(here - threshold)
    return distance


def foretold(dense: Floats, pruned: Floats, act_at: float) -> float:
    """How well the margin told who would change side: an AUROC, NaN where nobody or everybody did."""
    flipped = (dense >= act_at) != (pruned >= act_at)
    near = margin(dense, act_at)
    return auroc(flipped.astype(np.int64), np.stack([-near, near], axis=1))
