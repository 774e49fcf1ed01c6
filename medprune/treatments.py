"""What can be done about a finding: small values with an id, such as ``sentinel-missing:chol:0``.

Treatments of cells become part of a feature, and so of the model: a new patient's raw row is treated alike.
Treatments of columns and rows say who and what is in the cohort. The table itself is never changed: loaded
without them, it is as it was. How they are applied is in :mod:`medprune.treating`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from medprune.errors import BadInput, nearest

SUGGESTED = "suggested"  # in place of an id: those that the report suggests


@dataclass(frozen=True)
class _Kind:
    """What an id of this kind needs, what the treatment does, and what it does to: cells, columns, rows."""

    does: str
    to: str
    column: bool = True
    value: bool = False


KINDS: Mapping[str, _Kind] = {
    "sentinel-missing": _Kind("{value} in {column} counts as missing", "cells", value=True),
    "impossible-missing": _Kind("values of {column} that no patient has count as missing", "cells"),
    "unit": _Kind("values of {column} in the other unit are converted (factor {value})", "cells", value=True),
    "merge-categories": _Kind("spellings of one category of {column} are taken as one", "cells"),
    "group-rare": _Kind("rare categories of {column} are taken together as '(other)'", "cells"),
    "text-missing": _Kind("text in {column}, which holds numbers, counts as missing", "cells"),
    "as-category": _Kind("{column} is read as categories, not as numbers", "cells"),
    "cut-brackets": _Kind("of {column}, what stands in brackets at the end is cut off", "cells"),
    "drop": _Kind("{column} is left out", "columns"),
    "patient": _Kind("{column} tells whose row it is, and a patient stays whole in one split", "rows"),
    "drop-duplicates": _Kind("of rows that repeat exactly, one is kept", "rows", column=False),
    "one-row-per-patient": _Kind("of each patient, the first row is kept", "rows", column=False),
}
MAY_NAME = ("one-row-per-patient",)  # the patient column, where none is named otherwise


@dataclass(frozen=True)
class Treatment:
    """One treatment; ``id`` writes it and :func:`treatment` reads it again."""

    kind: str
    column: str | None = None
    value: str = ""

    @property
    def id(self) -> str:
        return ":".join(part for part in (self.kind, self.column, self.value) if part)

    @property
    def told(self) -> str:
        """What it does, as a sentence.

        >>> treatment("sentinel-missing:chol:0").told
        "0 in 'chol' counts as missing."
        """
        sentence = KINDS[self.kind].does.format(column=repr(self.column), value=self.value)
        return sentence[0].upper() + sentence[1:] + "."

    @property
    def to(self) -> str:
        return KINDS[self.kind].to


def treatment(text: str) -> Treatment:
    """The treatment of this id. Raises BadInput when there is none such, or when it lacks a part."""
    kind, _, rest = text.strip().partition(":")
    known = KINDS.get(kind)
    if known is None:
        raise BadInput(
            f"There is no treatment {kind!r}{nearest(kind, KINDS)}; `medprune inspect` lists those that a "
            "table asks for."
        )
    column, value = (rest, "") if not known.value else rest.rpartition(":")[::2]
    needs = "a column" if known.column and not column else "a value" if known.value and not value else ""
    if needs:
        form = ":".join([kind, "COLUMN", *(["VALUE"] if known.value else [])])
        raise BadInput(f"The treatment {text!r} lacks {needs}; write it as {form}.")
    if not known.column and column and kind not in MAY_NAME:
        raise BadInput(f"The treatment {kind!r} is of rows and takes no column; write it as {kind}.")
    if kind == "unit" and not _is_factor(value):
        raise BadInput(f"The treatment {text!r} needs a factor above 0, such as unit:glucose:18.016.")
    return Treatment(kind, column or None, value)


def _is_factor(value: str) -> bool:
    try:
        return 0 < float(value) < float("inf")
    except ValueError:
        return False


def treatments_of(ids: Iterable[str | Treatment]) -> tuple[Treatment, ...]:
    """The treatments of these ids, each once, in their order."""
    return tuple(dict.fromkeys(each if isinstance(each, Treatment) else treatment(each) for each in ids))


def of_the_table(ids: Iterable[str], outcome: str) -> tuple[str, ...]:
    """Those that a model's own features do not carry: of rows, of columns, and of the outcome's labels."""
    return tuple(t.id for t in treatments_of(ids) if t.to != "cells" or t.column == outcome)
