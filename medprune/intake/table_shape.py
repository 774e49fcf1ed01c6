"""The shape that every table must have, whatever its format: a name for each column, and a bounded size."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence

from medprune.errors import BadInput, listed

MOST_COLUMNS = 10_000
MOST_CELLS = 50_000_000
MOST_BYTES = 2**30  # of values, decoded
LONGEST_NAME = 1_000  # characters of a column's name
AROUND = "\ufeff\u200b \t\r\n\xa0"  # spaces and byte-order marks around a name


def clean_name(name: object) -> str:
    """A column name without the spaces and byte-order marks around it."""
    return str(name).strip(AROUND)


def checked_names(raw: Sequence[str], title: str) -> list[str]:
    """Clean column names; BadInput when there are none, or when one is empty, double or cannot be seen."""
    check_size(1, len(raw), title)
    names = [clean_name(name) for name in raw]
    if not any(names):
        raise BadInput(f"There are no column names in {title}; its first line must name the columns.")
    if not all(names):
        raise BadInput(
            f"Column number {names.index('') + 1} of {title} has no name; name it, or save the table without "
            "row numbers and without a delimiter at the end of its lines."
        )
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise BadInput(
            f"The column name {listed(twice)} occurs more than once in {title}; give every column its own."
        )
    for place, name in enumerate(names, start=1):
        _check_visible(name, place, title)
    return names


def _check_visible(name: str, place: int, title: str) -> None:
    """A name that shows as another one misleads whoever reads the page."""
    if len(name) > LONGEST_NAME:
        raise BadInput(f"The name of column number {place} of {title} is too long; shorten it.")
    if any(unicodedata.category(mark) in ("Cc", "Cf", "Cs") for mark in name):
        raise BadInput(
            f"The name of column number {place} of {title} holds characters that cannot be seen; rename it."
        )


def name_notes(raw: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """What to say about names that were trimmed, or that only their capital letters tell apart."""
    trimmed = [name for name, was in zip(names, raw, strict=True) if name != was]
    notes = [f"Spaces around the column names {listed(trimmed)} were left out."] if trimmed else []
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault("".join(name.casefold().split()), []).append(name)
    notes += [
        f"The column names {listed(same)} differ only in capital letters or spaces."
        for same in alike.values()
        if len(same) > 1
    ]
    return tuple(notes)


def check_size(rows: int, columns: int, title: str) -> None:
    """BadInput when a table has more columns or cells than are read whole."""
    if columns > MOST_COLUMNS:
        raise BadInput(f"There are {columns:,} columns in {title}; choose at most {MOST_COLUMNS:,} of them.")
    if rows * columns > MOST_CELLS:
        raise BadInput(
            f"There are over {MOST_CELLS:,} cells in {title}; leave out rows, or columns not needed."
        )


def check_bytes(decoded: int, title: str) -> None:
    """BadInput when the values of a table, unpacked, take more memory than a table may."""
    if decoded > MOST_BYTES:
        raise BadInput(
            f"The file {title} holds more than {MOST_BYTES:,} bytes of values; leave out rows, or columns "
            "not needed."
        )


def check_rows(rows: int, title: str) -> None:
    """BadInput when there is none."""
    if not rows:
        raise BadInput(f"There are no rows in {title}; export the table with its rows.")
