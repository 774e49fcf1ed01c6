"""Who is held out when: the patients of train and tuning in k folds. Test is not among them.

A fold is a cohort of its own, with the held-out patients in the place of test: whatever learns from a
cohort's train and tuning (scaling, scores, masks, weights) then cannot see them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from medprune.cohort import Cohort, Split
from medprune.errors import BadInput
from medprune.splits import SPLITS, TEST, TRAIN, TUNING, deal

# Of the patients that are not held out every fourth stops training early, as on the whole table.
ROUND = np.array((TRAIN, TUNING, TRAIN, TRAIN), dtype=np.int64)
MOST_FOLDS = 20


def folds(cohort: Cohort, k: int = 5, seed: int = 0) -> list[Cohort]:
    """The patients of train and tuning, held out in ``k`` folds: one cohort a fold, test never touched.

    In fold i, ``test`` holds the patients of fold i, ``train`` and ``tuning`` those of the others, 3 to 1.
    Whole patients are dealt, stratified by outcome; the order of the rows does not matter. Where follow-up
    was censored, patients keep the weights that they have in train or tuning. Raises BadInput when a class
    has too few patients for ``k`` folds.
    """
    everyone = learnt_from(cohort)
    _check_enough(cohort, everyone, k)
    held_out = deal(everyone.patients, _strata(everyone), (seed, 0), np.arange(k))
    made = [fold_of(cohort, everyone, held_out == place, (seed, 1 + place)) for place in range(k)]
    for fold in made:
        check_classes(fold)
    return made


def without_test(cohort: Cohort) -> Cohort:
    """The cohort with nobody in test."""
    return replace(cohort, test=cohort.tuning.take("test", np.empty(0, dtype=np.intp)))


def learnt_from(cohort: Cohort) -> Split:
    """The patients of train and tuning together, in the order of the table."""
    if not len(cohort.train):
        raise BadInput(
            "Cross-validation needs train patients, and an external cohort has none; use the table that the "
            "model was made on."
        )
    return without_test(cohort).all()


def fold_of(
    cohort: Cohort, everyone: Split, held_out: NDArray[np.bool_], seed: int | Sequence[int]
) -> Cohort:
    """The cohort with the ``held_out`` rows (N,) of everyone in test, and patients of the others dealt to
    train and tuning, 3 to 1, stratified by outcome. A class may be absent; see :func:`check_classes`."""
    rest = np.flatnonzero(~held_out)
    place = np.full(len(everyone), TEST, dtype=np.int64)
    place[rest] = deal(everyone.patients[rest], _strata(everyone)[rest], seed, ROUND)
    parts = {name: everyone.take(name, np.flatnonzero(place == at)) for at, name in enumerate(SPLITS)}
    return replace(cohort, train=parts["train"], tuning=parts["tuning"], test=parts["test"])


def check_classes(fold: Cohort, splits: Sequence[str] = SPLITS) -> None:
    """BadInput when one of these splits of a fold lacks a class."""
    for name in splits:
        split: Split = getattr(fold, name)
        absent = [
            label for at, label in enumerate(fold.classes) if not (split.outcome == at)[split.known].any()
        ]
        if absent:
            raise BadInput(
                f"In a fold no patient has the class {absent[0]!r}, as patients have several outcomes each; "
                "take fewer folds, another seed, or find more patients."
            )


def _strata(split: Split) -> NDArray[np.int64]:
    """What patients are dealt by (N,): their outcome, or below all that it is unknown."""
    return np.where(split.known, split.outcome + 1, 0)


def _check_enough(cohort: Cohort, everyone: Split, k: int) -> None:
    if not 2 <= k <= MOST_FOLDS:  # noqa: PLR2004 - one held out, one to learn from
        raise BadInput(f"The number of folds must lie in [2, {MOST_FOLDS}], got {k}.")
    known = everyone.known
    counts = [
        len(np.unique(everyone.patients[known & (everyone.outcome == at)]))
        for at in range(len(cohort.classes))
    ]
    count = min(counts)
    if _enough(count, k):
        return
    possible = [folds for folds in range(2, MOST_FOLDS + 1) if _enough(count, folds)]
    label = cohort.classes[counts.index(count)]
    mend = f"at most {possible[-1]} folds are possible" if possible else "no folds are possible"
    if possible and possible[-1] > k:  # few folds hold out many patients
        mend = f"{possible[0]} to {possible[-1]} folds are possible"
    raise BadInput(
        f"The class {label!r} has {count} patients in train and tuning, too few for {k} folds; {mend}, or "
        "join it with another class."
    )


def _enough(patients: int, k: int) -> bool:
    """One patient to hold out in every fold, and a whole round for train and tuning of the others."""
    return patients >= k and patients - -(-patients // k) >= len(ROUND)
