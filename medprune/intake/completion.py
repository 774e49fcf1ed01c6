"""What a described model from elsewhere leaves open, and the model once its user has said it.

A file of ours says everything. A foreign one with a description may only number its columns or classes,
and may never have met missing values; of its outcome it knows no name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from medprune.cohort import Cohort
from medprune.description import KEY
from medprune.errors import BadInput, listed, nearest
from medprune.intake.adopt import in_order
from medprune.intake.described import UNSAID
from medprune.intake.tensor_file import TensorFile
from medprune.model import Origin, RiskModel
from medprune.model_file import check_fits, model_from
from medprune.preparation import NumberCode, Preparation


def is_described(file: TensorFile) -> bool:
    """Whether the file says how columns become inputs; the others go through ``adopt_model``."""
    return KEY in file.metadata


def is_foreign(file: TensorFile) -> bool:
    """Whether a described model comes from elsewhere, and may need completion."""
    return is_described(file) and UNSAID in file.metadata


def numbered_columns(file: TensorFile) -> int:
    """How many columns the file takes without naming them; 0 when it names them."""
    inputs = _unsaid(file).get("inputs")
    return inputs if isinstance(inputs, int) else 0


def numbers_classes(file: TensorFile) -> bool:
    """Whether the file does not name its classes."""
    return bool(_unsaid(file).get("classes", False))


def refuses_missing(file: TensorFile, model: RiskModel) -> tuple[str, ...]:
    """Columns, as ``model`` names them, whose missing values the file's model never took."""
    closed = _unsaid(file).get("missing", [])
    pairs = zip(model_from(file).preparation.numbers, model.preparation.numbers, strict=True)
    return tuple(code.name for old, code in pairs if old.name in closed)


def _unsaid(file: TensorFile) -> Mapping[str, Any]:
    try:
        said = json.loads(file.metadata.get(UNSAID, "{}"))
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise BadInput(f"{file.title} does not tell what it leaves open; export the model again.")
    return said


def described_model(
    file: TensorFile, columns: Sequence[str] = (), *, offered: Sequence[str] = ()
) -> RiskModel:
    """The model in a described file. ``columns`` names its inputs in their order when the file only numbers
    them; without, ``offered``, what the table has, is taken as it stands. Raises BadInput.
    """
    model = model_from(file)
    count = numbered_columns(file)
    if not count:
        if columns:
            raise BadInput(f"{file.title} names its own columns; leave --columns out.")
        return model
    names = tuple(columns) or tuple(offered)
    twice = [name for place, name in enumerate(names) if name in names[:place]]
    if twice:
        raise BadInput(f"The column {listed(twice)} is named twice; name each once, in order.")
    if len(names) != count:
        raise BadInput(
            f"{file.title} takes {count} columns and only numbers them, and {len(names)} are named; "
            "name them "
            "in the model's order (--columns), or leave others out (--exclude)."
        )
    wrong = [name for name in columns if offered and name not in offered]
    if wrong:
        raise BadInput(
            f"The table has no column {wrong[0]!r} to predict from{nearest(wrong[0], offered)}; "
            "correct --columns."
        )
    return replace(model, preparation=_renamed(model.preparation, names))


def _renamed(preparation: Preparation, names: Sequence[str]) -> Preparation:
    """The preparation with "input 1", "input 2", ... called by their names."""
    of = {f"input {place}": name for place, name in enumerate(names, start=1)}
    return replace(
        preparation,
        numbers=tuple(replace(code, name=of[code.name]) for code in preparation.numbers),
        categories=tuple(replace(code, name=of[code.name]) for code in preparation.categories),
        columns=tuple(
            replace(c, feature=of[c.feature], name=of[c.feature] + c.name.removeprefix(c.feature))
            for c in preparation.columns
        ),
    )


def for_cohort(model: RiskModel, cohort: Cohort, file: TensorFile, classes: Sequence[str] = ()) -> RiskModel:
    """The described model on this cohort: its outcome, its class order, its fill values where it had none.

    ``classes`` are the outcome's labels in the order of the model's risks, where the file does not name
    them or names them otherwise. Raises BadInput when model and cohort do not fit.
    """
    if not is_foreign(file):
        check_fits(model, cohort)
        return model
    given = tuple(classes) or (cohort.classes if numbers_classes(file) else model.classes)
    if len(given) != len(model.classes) or sorted(given) != sorted(cohort.classes):
        raise BadInput(
            f"The model tells {len(model.classes)} classes apart ({listed(given)}), the outcome's are "
            f"{listed(cohort.classes)}; choose the outcome it was trained for, or name the outcome's "
            "classes in "
            "the model's order (--classes)."
        )
    ready = replace(
        model,
        preparation=_filled(model.preparation, cohort, refuses_missing(file, model)),
        network=in_order(model.network, given, cohort.classes),
        outcome=cohort.outcome,
        classes=cohort.classes,
        positive=cohort.positive,
        origin=Origin(source="uploaded", split=cohort.record(), seed=cohort.seed),
    )
    check_fits(ready, cohort)
    return ready


def _filled(preparation: Preparation, cohort: Cohort, without: Sequence[str]) -> Preparation:
    """Missing values that the model never took become the median of train."""
    have = set(cohort.train.frame.columns)

    def median(code: NumberCode) -> NumberCode:
        if code.name not in without or code.name not in have:
            return code
        known = cohort.train.frame[code.name].dropna().to_numpy(np.float64)
        return replace(code, fill=float(np.median(known))) if len(known) else code

    return replace(preparation, numbers=tuple(median(code) for code in preparation.numbers))
