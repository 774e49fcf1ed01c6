"""Whether the reviewed patients are like those the model has learnt from, feature by feature.

The population stability index is the sum over bins of (q - p) ln(q / p), with p the shares of train and q
those of the reviewed patients. Its cut-offs, .1 and .25, are banking custom: no study of patients stands
behind them, and with few patients it exceeds them by chance alone. So each index stands beside the value that
chance would not exceed in 19 of 20 tables of this size: the chi-squared distribution with bins - 1 degrees of
freedom, times 1/n + 1/m (Yurdakul and Naranjo, Journal of Risk Model Validation 2020).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import chi2

from medprune.errors import BadInput, listed
from medprune.intake.columns import Feature
from medprune.preparation import Preparation
from medprune.review.gate import FAIL, NOT_ASSESSABLE, PASS, WARN, Check, worst
from medprune.review.limits import Limits
from medprune.review.wording import number
from medprune.table_one import apart, shares_apart

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
DECILES = 10
HALF = 0.5  # a patient, added to every bin so that an empty one has a logarithm
USUAL = 0.95
NOT_UNNEEDED = (
    "That the smaller model does without a test does not make the test unneeded: it may be wanted for other "
    "reasons, and it may have been taken, or not, because of how ill the patient seemed. What an input "
    "contributes to a risk is no cause of the outcome."
)


@dataclass(frozen=True)
class FeatureShift:
    """One feature, train against reviewed patients (rows).

    - ``psi``: the population stability index, by deciles of train or labels, missing a bin of its own;
      ``by_chance`` is what it stays under in 95 % of tables of this size from the same patients.
    - ``smd``: the standardised mean difference of known values (of labels, Yang and Dalton's), 0 or more.
    - ``missing_before``, ``missing``: the share without a value, in train and reviewed.
    - ``outside``: the share of reviewed rows beyond the range of train, or with a label that train has not.
    """

    name: str
    kind: str
    psi: float
    by_chance: float
    smd: float
    missing_before: float
    missing: float
    outside: float


@dataclass(frozen=True)
class Shift:
    """All features; ``imputed``: the share of reviewed rows in which at least one of them has no value, so
    that the model goes by a stand-in; ``outside``: in which at least one lies outside what train has."""

    features: tuple[FeatureShift, ...]
    imputed: float
    outside: float

    @property
    def furthest(self) -> FeatureShift | None:
        """The feature with the largest index."""
        known = [each for each in self.features if not math.isnan(each.psi)]
        return max(known, key=lambda each: each.psi, default=None)

    def table(self) -> pd.DataFrame:
        """One row a feature."""
        return pd.DataFrame([vars(each) for each in self.features])


def shift(train: pd.DataFrame, reviewed: pd.DataFrame, features: Sequence[Feature]) -> Shift:
    """How far ``reviewed`` rows lie from ``train`` rows: typed frames, as a split's, with these features.

    Give the features that a model needs: what it does not read cannot mislead it. Where either frame is empty
    all is NaN. Raises BadInput when a frame lacks a feature.
    """
    absent = [f.name for f in features if f.name not in train.columns or f.name not in reviewed.columns]
    if absent:
        raise BadInput(f"The table lacks {listed(absent)}; take the features that both tables have.")
    found, gone, strange = [], np.zeros(len(reviewed), dtype=bool), np.zeros(len(reviewed), dtype=bool)
    for feature in features:
        before, after = train[feature.name], reviewed[feature.name]
        outside = _outside(before, after)
        gone |= after.isna().to_numpy()
        strange |= outside
        found.append(_feature(feature, before, after, outside))
    return Shift(tuple(found), _share(gone), _share(strange))


def shift_by_means(preparation: Preparation, reviewed: pd.DataFrame) -> Shift:
    """What can be said without train patients: numbers against the mean and scale that a model carries.

    The stability index stays unknown, and so do labels.
    """
    found, gone = [], np.zeros(len(reviewed), dtype=bool)
    means = {number.name: number for number in preparation.numbers}
    for feature in preparation.features:
        values, code = reviewed[feature.name], means.get(feature.name)
        gone |= values.isna().to_numpy()
        smd = math.nan
        if code is not None and values.notna().any():
            smd = abs(float(values.mean()) - code.mean) / code.scale
        absent = _share(values.isna().to_numpy())
        nan = math.nan
        found.append(FeatureShift(feature.name, feature.kind, nan, nan, smd, nan, absent, nan))
    return Shift(tuple(found), _share(gone), math.nan)


def _feature(
    feature: Feature, before: pd.Series, after: pd.Series, outside: NDArray[np.bool_]
) -> FeatureShift:
    one, other = _binned(before, after)
    if before.dtype.kind == "f":
        smd = apart(before.dropna().to_numpy(np.float64), after.dropna().to_numpy(np.float64))
    else:
        smd = shares_apart(one[:-1], other[:-1])
    return FeatureShift(
        name=feature.name,
        kind=feature.kind,
        psi=psi(one, other),
        by_chance=_by_chance(one, other),
        smd=smd,
        missing_before=_share(before.isna().to_numpy()),
        missing=_share(after.isna().to_numpy()),
        outside=_share(outside),
    )


def psi(before: Counts, after: Counts) -> float:
    """The population stability index of counts (bins,), half a patient added to every bin that either has.

    >>> psi(np.array([50, 50, 0]), np.array([50, 50, 0]))
    0.0
    """
    used = (before + after) > 0
    if not before.sum() or not after.sum():
        return math.nan
    p, q = before[used] + HALF, after[used] + HALF
    p, q = p / p.sum(), q / q.sum()
    return float(((q - p) * np.log(q / p)).sum())


def _by_chance(before: Counts, after: Counts) -> float:
    bins = int(((before + after) > 0).sum())
    if not before.sum() or not after.sum():
        return math.nan
    return float(chi2.ppf(USUAL, bins - 1) * (1 / before.sum() + 1 / after.sum())) if bins > 1 else 0.0


def _binned(before: pd.Series, after: pd.Series) -> tuple[Counts, Counts]:
    """Counts of both in the deciles of the first, or its and the other's labels; the last bin is missing."""
    if before.dtype.kind == "f":
        known = before.dropna().to_numpy(np.float64)
        cuts = np.unique(np.quantile(known, np.arange(1, DECILES) / DECILES)) if len(known) else np.empty(0)
        bins = len(cuts) + 1
        places = [np.searchsorted(cuts, each.dropna().to_numpy(np.float64)) for each in (before, after)]
    else:
        labels = pd.Index(sorted({*before.dropna(), *after.dropna()}, key=str))
        bins = len(labels)
        places = [labels.get_indexer(each.dropna()) for each in (before, after)]
    one, other = (
        np.append(np.bincount(place, minlength=bins), int(each.isna().sum())).astype(np.int64)
        for place, each in zip(places, (before, after), strict=True)
    )
    return one, other


def _outside(before: pd.Series, after: pd.Series) -> NDArray[np.bool_]:
    """Known values (N,) beyond the first's smallest and largest, or labels that it has not."""
    known = before.dropna()
    found: NDArray[np.bool_]
    if before.dtype.kind == "f":
        x = after.to_numpy(np.float64)
        found = ~np.isnan(x) & ((x < known.min()) | (x > known.max()) if len(known) else np.True_)
    else:
        found = (after.notna() & ~after.isin(known.unique())).to_numpy(np.bool_)
    return found


def _share(rows: NDArray[np.bool_]) -> float:
    return float(rows.mean()) if len(rows) else math.nan


def input_check(
    found: Shift | None,
    removed: Sequence[str],
    limits: Limits,
    confirmed: Sequence[str] = (),
    clashes: Sequence[str] = (),
) -> Check:
    """G6: tests that the smaller model does without, and whether its inputs are like those it learnt from.

    ``removed`` are the features that it no longer reads, ``confirmed`` those of them whose removal somebody
    has agreed to, ``clashes`` inputs whose values mix two units. An index beyond its cut-off that chance
    explains warns and does not fail. ``found`` is None where the train patients are not at hand.
    """
    states, told = [PASS], []
    if clashes:
        states.append(FAIL)
        told.append(
            f"The values of {listed(clashes)} look like a mixture of two units: mend the table first."
        )
    required = [name for name in removed if name in limits.required]
    if required:
        states.append(FAIL)
        told.append(f"The smaller model no longer reads {listed(required)}, which must stay.")
    kept_in_mind = (NOT_UNNEEDED,) if removed else ()
    open_ = [name for name in removed if name not in (*required, *confirmed)]
    if open_:
        states.append(WARN)
        told.append(f"The smaller model no longer reads {listed(open_)}: confirm that it may do without.")
    most = None if found is None else found.furthest
    if found is None or most is None:
        state, sentence = _by_means(found, limits)
        return Check(
            "G6",
            worst([*states, state]),
            " ".join([*told, sentence]),
            margin=limits.stability_warn,
            details=kept_in_mind,
        )
    for each in found.features:
        states.append(_stable(each, limits))
    told.append(
        f"The input that differs most from train is {most.name!r} (stability index {number(most.psi)}; up to "
        f"{number(most.by_chance)} would be chance)."
    )
    if found.imputed > limits.imputed:
        states.append(WARN)
        told.append(f"In {found.imputed:.0%} of rows a value is missing, and a stand-in is used.")
    details = (
        f"In {found.outside:.1%} of rows a value lies outside what train has."
        if found.outside
        else "In no row does a value lie outside what train has.",
        f"The cut-offs of the stability index, {limits.stability:g} and {limits.stability_warn:g}, are a "
        "custom of banking, not of medicine.",
        *kept_in_mind,
    )
    return Check("G6", worst(states), " ".join(told), most.psi, margin=limits.stability, details=details)


def _by_means(found: Shift | None, limits: Limits) -> tuple[str, str]:
    """State and sentence where train patients are not at hand: standardised mean differences alone."""
    known = [] if found is None else [each for each in found.features if not math.isnan(each.smd)]
    if found is None or not known:
        return (
            NOT_ASSESSABLE,
            "Whether its inputs are like those it learnt from is unknown: train patients are not here.",
        )
    most = max(known, key=lambda each: each.smd)
    sentence = (
        f"Train patients are not here, so only means can be compared: {most.name!r} lies "
        f"{number(most.smd, 2)} standard deviations from train's."
    )
    if found.imputed > limits.imputed:
        sentence += f" In {found.imputed:.0%} of rows a value is missing, and a stand-in is used."
    far = most.smd > limits.stability_warn or found.imputed > limits.imputed
    return WARN if far else PASS, sentence


def _stable(each: FeatureShift, limits: Limits) -> str:
    if each.psi <= limits.stability:
        return PASS
    return FAIL if each.psi > limits.stability_warn and each.psi > each.by_chance else WARN
