"""What each column of a table seems to be for: a proposal, before anyone has said anything."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from medprune.intake.columns import IDENTIFIES, REPEATS, TypedColumn, typed, unfit

Role = Literal["outcome", "patient", "feature", "left out"]

LOOKED_AT = 20_000  # rows from the start that are judged
MOST_LABELS = 20  # an outcome has no more, unless a cut-point makes two of them
OUTCOME_NAMES = ("outcome", "target", "label", "class", "death", "died", "diagnosis", "y")
PATIENT_NAME = re.compile(
    r"(patient|subject|person|participant)[\W_]?(id|uid|nr|no|number|key|code)?|seqn|mrn|nhs|pid",
    re.IGNORECASE,
)
MIXED = "numbers and text stand in it; correct these cells, or leave the column out"


@dataclass(frozen=True)
class Suggestion:
    """One column: how it is read, how many values it lacks and has, and what it may be used for."""

    name: str
    kind: Literal["number", "category", "date"]
    missing: float  # share of the rows that were looked at
    different: int
    role: Role
    reason: str = ""  # why it is left out


def suggested_roles(frame: pd.DataFrame) -> list[Suggestion]:
    """A role for each column of a raw table (N, columns), judged on its first LOOKED_AT rows.

    One column is the outcome: one that is called so, else the last with few values, else the last. At most
    one numbers the patients. What could be no feature is left out, with the reason that a cohort would give.
    """
    first = frame.head(LOOKED_AT)
    columns = [typed(first.iloc[:, place], str(name)) for place, name in enumerate(first.columns)]
    outcome = _outcome(columns)
    return _one_patient([_suggestion(column, outcome) for column in columns])


def _suggestion(column: TypedColumn, outcome: str) -> Suggestion:
    known = column.values.dropna()
    reason = unfit(column, np.ones(len(column.values), dtype=np.bool_)) or ""
    if not reason and len(column.text_rows):
        reason = MIXED
    role: Role = "left out" if reason else "feature"
    if column.name == outcome:
        role, reason = "outcome", ""
    elif reason == REPEATS or (known.nunique() > MOST_LABELS and PATIENT_NAME.fullmatch(column.name)):
        role, reason = "patient", ""
    share = float(column.values.isna().mean())
    return Suggestion(column.name, column.kind, share, int(known.nunique()), role, reason)


def _outcome(columns: list[TypedColumn]) -> str:
    called = [column.name for column in columns if column.name.lower() in OUTCOME_NAMES]
    few = [column.name for column in columns if 2 <= column.values.nunique() <= MOST_LABELS]  # noqa: PLR2004
    return [*called[:1], *few[-1:], columns[-1].name][0]


def _one_patient(found: list[Suggestion]) -> list[Suggestion]:
    """Of several columns that may number patients, the one with the fewest different values does."""
    several = sorted((s for s in found if s.role == "patient"), key=lambda s: s.different)
    others = {s.name for s in several[1:]}
    return [
        Suggestion(s.name, s.kind, s.missing, s.different, "left out", IDENTIFIES) if s.name in others else s
        for s in found
    ]
