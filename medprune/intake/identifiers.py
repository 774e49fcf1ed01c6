"""What tells who a patient is: numbers of records and patients, names, addresses, birth dates, free text."""

from __future__ import annotations

import re

import pandas as pd

MANY_LABELS = 50  # text with more labels than this, nearly all of them different, identifies
NEARLY_ALL_DIFFERENT = 0.95
OFTEN_DIFFERENT = 0.5  # numbered patients have one or two rows on average
SEVERAL_ROWS = 0.02  # of the rows: different numbers, where the name says that patients are numbered
FEW_NAMES = 10  # "name" or "phone" with no more different values tells something else
FREE_TEXT_WORDS = 6  # on average in a cell
ID_TAIL = re.compile(r"(^|[\W_])(id|ids|uid|uuid|guid|seqn|mrn|nhs|ssn|nr|nbr|no|number|index|key)$")
ID_START = re.compile(
    r"^(id|patient|record|encounter|subject|person|participant|case|row|unnamed|seqn|mrn|nhs|ssn)"
)
WHO = re.compile(
    r"^(patient|subject|person|participant|member|client|pt|mrn|hospital|medical_record)"
    r"[\W_]*(id|ids|uid|nr|nbr|no|num|number|key|code)?$|^(seqn|ssn|nhs(_?number)?)$"
)
NAMES = re.compile(
    r"^((patient|subject|person|participant|full|first|last|given|family|middle|maiden|sur|fore)[\W_]*)?"
    r"names?$|^(surname|forename|initials)$|^(e[\W_]?mail|phone|telephone|mobile|fax|street|postal)([\W_]\w+)*$"
    r"|^((home|street|postal|mailing)[\W_]*)?address(es)?$"
)
BORN = re.compile(
    r"^(dob|d_o_b|bdate|birth[\W_]*(date|day|dt)|date[\W_]*of[\W_]*birth|born(_on)?|geburtsdatum)$"
)


def plainly(name: str) -> str:
    """The name in lower case, with an underscore between the words of camelCase."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def identifies(name: str, known: pd.Series, distinct: int, *, text: bool, mixed: bool = False) -> bool:
    """Whether these known values (of so many different ones) single patients out.

    ``text``: they are no numbers; ``mixed``: but most of them look like numbers.
    """
    plain = plainly(name)
    whole = text or bool((known % 1 == 0).all())
    if whole and distinct == len(known) and (ID_TAIL.search(plain) or ID_START.search(plain)):
        return True
    if whole and distinct > FEW_NAMES and NAMES.match(plain):
        return True
    if not text or mixed:
        return False
    if distinct > max(MANY_LABELS, NEARLY_ALL_DIFFERENT * len(known)):
        return True
    return distinct > MANY_LABELS and _words(known) >= FREE_TEXT_WORDS


def numbers_patients(name: str, known: pd.Series, distinct: int, *, text: bool) -> bool:
    """Whether these known values look like the numbers of patients who have several rows."""
    plain = plainly(name)
    if not (text or bool((known % 1 == 0).all())):
        return False
    least = SEVERAL_ROWS if WHO.match(plain) else OFTEN_DIFFERENT
    named = WHO.match(plain) or ID_TAIL.search(plain)
    return named is not None and distinct > max(MANY_LABELS, least * len(known))


def is_birth_date(name: str) -> bool:
    return BORN.match(plainly(name)) is not None


def _words(known: pd.Series) -> float:
    """Words in a cell, on average over the first thousand."""
    return float(known.iloc[:1000].astype("str").str.count(r"\S+").mean())
