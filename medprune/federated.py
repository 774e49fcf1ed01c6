"""Sums that hospitals may share where patients may not move: scored at each site, merged, then normalised.

Scores are means over patients, and a mean is a sum and a count. So each hospital scores *the same model*
on its own table and hands over sums and counts (:func:`site_sums`); :func:`merge_sums` adds them up; dividing
after merging gives what one pass over all patients together would have given, each patient with the same say,
whichever hospital they were in. ``class_contribution`` needs two rounds, as its scores are smoothed by class
rates that are means over all patients too: the first round merges the sums of the risks, the second scores
with the merged rates. What must be agreed first is the model file: it carries the preparation (fill values,
means, scales, categories), which no site refits, and sums of other models, settings or rates are refused.

What sums still tell. They are no anonymous data by themselves:

- A sum over one patient is that patient. Sites below a count, and sites with a few patients of a class, are
  refused (:class:`Floor`); patients are counted, not their visits. A class without any patient is let
  through: then the file tells that nobody there had it.
- A class's sums of a layer are a matrix made of one outer product a patient. Of fewer patients than the
  layer has inputs it can in principle be taken apart into the patients it is made of, up to a factor, by
  somebody who has the model. :meth:`SiteSums.cautions` says where that is so; a higher floor prevents it.
- Two files of nearly the same patients (today's and yesterday's) differ by the patients they do not share,
  and of two sites each finds the other's sums by subtracting its own from the merged ones. Hand over one
  file a study, merge more than two sites, and let the one who merges pass on the merged file alone.
- A site can send anything: sums are not proof of patients. Nothing here is noise, so that 1e-6 holds; where
  differential privacy is asked for, this is not enough.

A patient who was treated in two hospitals counts in both: without moving patients nobody can know.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from medprune.cohort import Split, refuse_weights
from medprune.criteria import CRITERIA, Criterion, ScoreSums
from medprune.criteria.class_contribution import rate_sums, rates_from
from medprune.errors import BadInput, listed
from medprune.large import LargePatients, large_batches
from medprune.large.patients import Watch, unwatched
from medprune.model import RiskModel
from medprune.model_file import fingerprint
from medprune.scoring import Contributions, Names, contributions_named, split_batches, sum_batches
from medprune.site_counts import Counts, Floor, counts_of, counts_of_rows

Array = NDArray[np.float64]

MOSTLY_UNKNOWN = 0.5  # of a column's values: the table codes them otherwise than the model
OTHER_UNIT = 10.0  # spreads between a site's median and the model's mean
HOW_ELSE = {
    "random": "draws by chance from --seed, which gives every site the same scores without any patient",
    "magnitude": "looks at the weights alone, so that it needs no site's patients",
}


@dataclass(frozen=True)
class Agreed:
    """What sites must have in common before their sums may be added. The hashes are sha256."""

    model: str
    preparation: str
    outcome: str
    classes: tuple[str, ...]
    layers: tuple[str, ...]
    columns: tuple[str, ...]
    features: tuple[str, ...]
    criterion: str
    settings: str  # JSON
    balanced: bool

    @classmethod
    def of(cls, model: RiskModel, criterion: Criterion, *, balanced: bool) -> Self:
        names = Names.of(model)
        settings = {f.name: getattr(criterion, f.name) for f in fields(criterion)}  # type: ignore[arg-type]
        return cls(
            model=_model_hash(model),
            preparation=_preparation_hash(model),
            outcome=model.outcome,
            classes=names.classes,
            layers=names.layers,
            columns=names.columns,
            features=names.features,
            criterion=criterion.name,
            settings=json.dumps(settings, sort_keys=True),
            balanced=balanced,
        )

    @property
    def names(self) -> Names:
        return Names(self.classes, self.layers, self.columns, self.features)

    def check_same(self, other: Agreed) -> None:
        """BadInput that tells what the other site did not agree on."""
        for field, what in TOLD.items():
            if getattr(self, field) != getattr(other, field):
                raise BadInput(
                    f"The sums are of {what}, so adding them up would mean nothing; score every site with "
                    "the same model file, criterion and settings."
                )


# In the order in which a difference is told: the first one explains the others.
TOLD: Mapping[str, str] = {
    "model": "different models",
    "preparation": "models that prepare patients by different constants",
    "criterion": "different criteria",
    "settings": "different settings of the criterion (the class rates are one)",
    "balanced": "a plain and a class-balanced mean",
    "outcome": "different outcomes",
    "classes": "different classes",
    "layers": "different layers",
    "columns": "different columns",
    "features": "different features",
}


@dataclass(frozen=True, eq=False)
class SiteSums:
    """The sums of one site, or of several: of scores, or in the first round of class rates, of risks.

    ``sites`` are random, one a file that :func:`site_sums` made: none is counted twice. ``risks`` (classes,
    classes) are :func:`~medprune.criteria.class_contribution.rate_sums`.
    """

    agreed: Agreed
    counts: Counts
    sites: tuple[str, ...]
    scores: ScoreSums | None = None
    risks: Array | None = None

    @property
    def rates(self) -> tuple[tuple[float, ...], ...]:
        """The class rates of the first round: the setting ``rates`` of the second."""
        if self.risks is None:
            raise BadInput("These are sums of scores, not of class rates; merge those of the first round.")
        found = rates_from(torch.from_numpy(self.risks), torch.tensor(self.counts.rows, dtype=torch.float64))
        return tuple(tuple(row) for row in found.tolist())

    def contributions(self, model: RiskModel | None = None) -> Contributions:
        """The scores, divided now. With ``model``, BadInput unless they are of that model."""
        if self.scores is None:
            raise BadInput(
                "These are class rates, the first of two rounds; give them to every site as --rates, score "
                "there, and merge what comes out."
            )
        if model is not None:
            self.check_model(model)
        return contributions_named(
            self.agreed.names,
            self.agreed.criterion,
            self.scores,
            patients=sum(self.counts.rows),
            balanced=self.agreed.balanced,
        )

    def check_model(self, model: RiskModel) -> None:
        """BadInput unless the sums are of this model."""
        mine = self.agreed.model, self.agreed.preparation
        if mine != (_model_hash(model), _preparation_hash(model)):
            raise BadInput("The sums are of another model; score this one at every site, and merge again.")

    def cautions(self) -> tuple[str, ...]:
        """A sentence where so few patients are behind the sums that these might be taken apart."""
        columns, counts = len(self.agreed.columns), self.counts.of_class
        floor = f"{max(columns, self.counts.patients)},{columns}"
        few = [label for label, n in zip(self.agreed.classes, counts, strict=True) if 0 < n < columns]
        if self.scores is None or not few:
            return ()
        return (
            f"The class {listed(few)} has fewer patients here than the model has prepared columns "
            f"({columns}): whoever has the model could in principle take such sums apart, so hand them to "
            f"nobody but the one who merges, or ask for more with --at-least {floor}.",
        )


def site_sums(
    model: RiskModel,
    split: Split | LargePatients,
    criterion: str = "contribution",
    *,
    balanced: bool = False,
    floor: Floor | None = None,
    watch: Watch = unwatched,
    **settings: Any,
) -> SiteSums:
    """The sums of one site's patients, to be merged with those of others.

    ``class_contribution`` without ``rates`` gives the sums of its first round. Raises BadInput for a
    criterion that looks at no patient, too few patients (``floor``), and a table whose categories are not the
    model's.
    """
    chosen = CRITERIA.make(criterion, **settings)
    _check_federates(criterion, chosen)
    if isinstance(split, Split):
        refuse_weights(split, "Sums that leave a hospital")
        check_prepared_alike(model, split)
        counts = counts_of(split, len(model.classes))
        counts.check(Floor() if floor is None else floor, model.classes)
        batches = split_batches(model, split)
    else:
        batches = large_batches(model, split, watch)
        counts = counts_of_rows(split, batches, len(model.classes))
        counts.check(Floor() if floor is None else floor, model.classes)
    found = SiteSums(Agreed.of(model, chosen, balanced=balanced), counts, (secrets.token_hex(16),))
    if getattr(chosen, "rates", ()) is None:
        return replace(found, risks=rate_sums(model, batches())[0].numpy())
    return replace(found, scores=sum_batches(model, batches, chosen, squares=True))


def merge_sums(parts: Sequence[SiteSums]) -> SiteSums:
    """The sums over all sites, in whatever order and grouping they are merged.

    Raises BadInput for sums of different models, criteria, settings or rounds, and for a site twice.
    """
    if not parts:
        raise BadInput("There is nothing to merge; name the files of at least one site.")
    whole = parts[0]
    for part in parts[1:]:
        whole = _added(whole, part)
    return whole


def _added(one: SiteSums, other: SiteSums) -> SiteSums:
    if set(one.sites) & set(other.sites):
        raise BadInput(
            "The same site's sums are in two of the files, so its patients would count twice; name each "
            "file, and each merged file, once."
        )
    if (one.scores is None) != (other.scores is None):
        raise BadInput(
            "Some files hold class rates and some hold scores, the two rounds of class_contribution; merge "
            "the files of one round."
        )
    one.agreed.check_same(other.agreed)
    merged = replace(
        one, counts=one.counts + other.counts, sites=tuple(sorted({*one.sites, *other.sites})), scores=None
    )
    if one.scores is not None and other.scores is not None:
        _check_shapes(one.scores, other.scores)
        return replace(merged, scores=one.scores.merge(other.scores))
    assert one.risks is not None
    assert other.risks is not None
    return replace(merged, risks=one.risks + other.risks)


def _check_shapes(one: ScoreSums, other: ScoreSums) -> None:
    """Files of one model have one shape; one that says so and has another was tampered with."""
    shapes = [
        [total.shape for total in (*sums.scores.weights, *sums.scores.units, sums.scores.features)]
        for sums in (one, other)
    ]
    if shapes[0] != shapes[1]:
        raise BadInput(
            "Sums of one model have different shapes; one file is damaged, so score that site again."
        )


# --- who is scored ----------------------------------------------------------------------------------


def _check_federates(name: str, criterion: Criterion) -> None:
    if not criterion.needs_patients:
        why = HOW_ELSE.get(name, "looks at no patient")
        raise BadInput(
            f"The criterion {name!r} {why}; there are no sums to merge, so score the model once, with --out "
            "NAME.csv."
        )
    if type(criterion).ready is not Criterion.ready and not hasattr(criterion, "rates"):
        raise BadInput(
            f"The criterion {name!r} learns from the patients of one table first, which no sums carry; "
            "choose another one, such as contribution."
        )


def check_prepared_alike(model: RiskModel, split: Split) -> None:
    """BadInput where a table codes its categories, or measures its numbers, otherwise than the model's did.

    The model's constants are the agreed ones; a site they do not fit would spoil every site's scores.
    """
    learnt = {(column.feature, column.code) for column in model.preparation.columns}
    for code in model.preparation.categories:
        codes = code.codes(split.frame[code.name].dropna())
        most = 1.0 if (code.name, code.other) in learnt else MOSTLY_UNKNOWN  # others are no surprise there
        if len(codes) and (codes == code.other).mean() >= most:
            raise BadInput(
                f"Most categories in the column {code.name!r} are none that the model knows; code them as in "
                "the table the model was made on."
            )
    for number in model.preparation.numbers:
        values = split.frame[number.name].to_numpy(np.float64)
        known = values[np.isfinite(values)]
        if len(known) and abs(float(np.median(known)) - number.mean) > OTHER_UNIT * number.scale:
            raise BadInput(
                f"The numbers in the column {number.name!r} lie far outside those that the model was made "
                "on, as in another unit; convert them to the unit that the sites agreed on."
            )


# --- fingerprints -----------------------------------------------------------------------------------


def _model_hash(model: RiskModel) -> str:
    """sha256 of what computes the scores. A recalibration does not touch them: each site may have its own."""
    digest = hashlib.sha256(fingerprint(model).encode() + json.dumps(model.network.spec.to_json()).encode())
    if model.mask is not None:
        digest.update(model.mask.digest())
        for constants in (*model.mask.unit_constants, model.mask.input_constants):
            digest.update(constants.numpy().tobytes())
    return digest.hexdigest()


def _preparation_hash(model: RiskModel) -> str:
    told = json.dumps(model.preparation.to_json(), sort_keys=True).encode()
    return hashlib.sha256(told + model.preparation.reference.tobytes()).hexdigest()
