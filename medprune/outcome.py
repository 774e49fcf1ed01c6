"""The outcome column as classes: labels or cut-points, and which of two is the positive one."""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medprune.errors import BadInput, listed, nearest
from medprune.intake.columns import TypedColumn, as_label

UNKNOWN = -1  # the place of a missing outcome among the classes
BINARY = 2
MOST_CLASSES = 20
BRACKETED = 0.95
OUTCOME_MISSING = ("NA", "N/A", "n/a", "#N/A", "<NA>")  # "not known" in an outcome, as R and Excel write it
CUT_POINT = re.compile(r"\s*(>=|<=|>|<)\s*([+-]?\d+\.?\d*(?:[eE][+-]?\d+)?)\s*")
COMPARE = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
OPPOSITE = {">": "<=", ">=": "<", "<": ">=", "<=": ">"}
POSITIVE_WORDS = frozenset((
    "yes", "y", "true", "t", "positive", "pos", "+", "dead", "died", "death", "deceased", "malignant", "case",
    "disease", "diseased", "sick", "ill", "abnormal", "readmitted", "readmission", "event", "relapse",
    "recurrence", "failure", "present", "affected", "complication",
))  # fmt: skip
NEGATIVE_WORDS = frozenset((
    "no", "n", "false", "f", "negative", "neg", "-", "alive", "survived", "survivor", "benign", "control",
    "healthy", "normal", "none", "absent", "unaffected",
))  # fmt: skip


class OutcomeUnfit(BadInput):
    """The column is there, but what it holds is no outcome as it stands: too many classes, or too rare."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """The outcome column as classes: ``index`` (N,) is a row's place in ``classes``, or UNKNOWN."""

    index: NDArray[np.int64]
    classes: tuple[str, ...]
    notes: tuple[str, ...]


def read_outcome(
    column: TypedColumn, *, positive: str | None = None, classes: Sequence[str] | None = None
) -> Outcome:
    """Read a column as the outcome.

    ``positive`` is a label, which then stands against the rest, or a cut-point such as ">0". Otherwise
    classes come in numeric or alphabetical order; of two, the positive one is last: the larger number,
    the one with a telling name such as "died", or else the rarer. ``classes`` gives a model's order.
    Raises BadInput for too many classes, for one alone, and for labels that do not exist.
    """
    values = column.values.where(~column.values.isin(OUTCOME_MISSING))
    distinct = [as_label(value) for value in sorted(values.dropna().unique())]
    labels = values.map(as_label, na_action="ignore")
    wanted = _matching(positive, distinct)
    cut = CUT_POINT.fullmatch(positive or "") if wanted is None else None
    if cut:
        labels, distinct = _cut(column, values, cut[1], cut[2])
    elif positive is not None and wanted is None:
        raise _no_such_class(column.name, positive, distinct)
    elif wanted is None:
        _check_classes(column, values, len(distinct))
    elif len(distinct) > BINARY:
        labels = labels.where(labels.isna() | (labels == wanted), f"not {wanted}")
        distinct = [f"not {wanted}", wanted]
    else:
        distinct = [*(label for label in distinct if label != wanted), wanted]
    _check_two(column.name, labels)
    if classes is not None:
        order = _known_classes(column.name, distinct, tuple(classes))
        return Outcome(_places(labels, order), order, ())
    notes: tuple[str, ...] = ()
    if len(distinct) == BINARY and positive is None:
        distinct, why = _guessed(distinct, labels, numeric=column.kind == "number")
        notes = (
            f"{distinct[1]!r} is taken as the positive class of {column.name!r} ({why}), see --positive.",
        )
    elif len(distinct) == BINARY:
        notes = (f"{distinct[1]!r} is the positive class of {column.name!r}, as asked for.",)
    return Outcome(_places(labels, tuple(distinct)), tuple(distinct), notes)


def _matching(positive: str | None, labels: Sequence[str]) -> str | None:
    """The label that was meant: as written, or else the same number, or else in another case."""
    if positive is None or positive in labels:
        return positive
    plain = {label.lower(): label for label in labels}
    number = pd.to_numeric(pd.Series([positive]), errors="coerce")[0]
    return plain.get(positive.strip().lower()) or (
        None if np.isnan(number) else plain.get(as_label(float(number)))
    )


def _cut(column: TypedColumn, values: pd.Series, sign: str, number: str) -> tuple[pd.Series, list[str]]:
    """Labels of a numeric outcome cut in two, and the two: the complement, then what was asked for."""
    if column.kind != "number":
        raise BadInput(
            f"Outcome {column.name!r} is text and has no cut-point; name one of its classes as positive."
        )
    inside = COMPARE[sign](values, float(number))
    no, yes = f"{column.name} {OPPOSITE[sign]} {number}", f"{column.name} {sign} {number}"
    return pd.Series(np.where(inside, yes, no), dtype=object).where(values.notna(), None), [no, yes]


def _check_classes(column: TypedColumn, values: pd.Series, distinct: int) -> None:
    known = values.dropna()
    number = column.kind == "number"
    # Rounded: an example, not a patient's value.
    cut = (
        f"a cut-point, such as --positive '>={float(f'{known.median():.2g}'):g}'"
        if number and distinct
        else ""
    )
    if distinct == len(known) and distinct > BINARY:
        raise OutcomeUnfit(
            f"Outcome {column.name!r} is different in every row, one class a row; choose another column"
            + (f", or {cut}." if cut else f"{_numbered(column.name, known)}.")
        )
    if distinct > MOST_CLASSES and number:
        raise OutcomeUnfit(f"Outcome {column.name!r} has {distinct} different numbers; choose {cut}.")
    if distinct > MOST_CLASSES:
        raise OutcomeUnfit(
            f"Outcome {column.name!r} has {distinct} classes, more than {MOST_CLASSES}; join classes "
            f"(--treat 'group-rare:{column.name}' joins all rare ones), or name the one to "
            "predict with --positive"
            f"{_numbered(column.name, known)}."
        )


def _numbered(name: str, labels: pd.Series) -> str:
    """What to do about labels that a record's number in brackets makes different."""
    if not has_brackets(labels):
        return ""
    return (
        "; its cells end in brackets, as with a record's number: cut these off (--treat "
        f"'cut-brackets:{name}', and 'group-rare:{name}' for rare classes)"
    )


def has_brackets(labels: pd.Series) -> bool:
    """Whether nearly all of these known labels end in something in square brackets."""
    return len(labels) > 0 and bool(labels.astype("str").str.endswith("]").mean() >= BRACKETED)


def _check_two(name: str, labels: pd.Series) -> None:
    known = labels.dropna().unique()
    if len(known) < BINARY:
        only = f"only one class, {known[0]!r}" if len(known) else "no values"
        raise BadInput(
            f"Outcome {name!r} has {only}; choose an outcome or a cut-point that gives two classes."
        )


def _no_such_class(name: str, positive: str, labels: Sequence[str]) -> BadInput:
    """A column of many different values may hold names: they are counted, not shown."""
    if len(labels) > MOST_CLASSES:
        return BadInput(
            f"Outcome {name!r} has no class {positive!r} among its {len(labels)} different values; choose "
            "another column, or correct --positive."
        )
    return BadInput(
        f"Outcome {name!r} has no class {positive!r}{nearest(positive, labels)}; choose one of "
        f"{listed(labels, most=MOST_CLASSES)}."
    )


def _known_classes(name: str, labels: Sequence[str], classes: tuple[str, ...]) -> tuple[str, ...]:
    unknown = [label for label in labels if label not in classes]
    if unknown:
        raise BadInput(
            f"Outcome {name!r} has {_classes_told(unknown)}, which the model does not know; its classes "
            f"are {listed(classes, most=MOST_CLASSES)}, so recode the outcome, or set --positive as before."
        )
    return classes


def _classes_told(labels: Sequence[str]) -> str:
    return f"{len(labels)} classes" if len(labels) > MOST_CLASSES else f"the class {listed(labels)}"


def _guessed(labels: Sequence[str], of_row: pd.Series, *, numeric: bool) -> tuple[list[str], str]:
    """Two labels, the positive one last, and why."""
    if numeric:
        return list(labels), "as the larger number"
    for no, yes in (labels, labels[::-1]):
        low, high = no.lower(), yes.lower()
        if high in POSITIVE_WORDS or low in NEGATIVE_WORDS or (low.startswith("no") and low.endswith(high)):
            return [no, yes], "by its name"
    counts = of_row.value_counts()
    return sorted(labels, key=lambda label: -counts[label]), "as the rarer one"


def _places(labels: pd.Series, classes: tuple[str, ...]) -> NDArray[np.int64]:
    place = {label: place for place, label in enumerate(classes)}
    return np.array([place.get(label, UNKNOWN) for label in labels], dtype=np.int64)
