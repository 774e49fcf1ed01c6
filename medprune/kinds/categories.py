"""Settings that are rows of whole numbers: how many categories each code column has."""

from __future__ import annotations

from collections.abc import Sequence

from medprune.errors import BadInput

MOST_CATEGORIES = 1_000_000
MOST_COLUMNS = 16_384


def check_categories(kind: str, given: Sequence[int]) -> tuple[int, ...]:
    """The numbers of categories as a tuple; BadInput when they are none."""
    return whole_numbers(kind, "Categories", given, MOST_CATEGORIES)


def whole_numbers(kind: str, label: str, given: Sequence[int], most: int) -> tuple[int, ...]:
    """``given`` as a tuple of whole numbers from 1 to ``most``, or BadInput.

    >>> whole_numbers("embeddings", "Widths", [2, 3], 10)
    (2, 3)
    """
    good = isinstance(given, (list, tuple)) and len(given) <= MOST_COLUMNS
    if not good or not all(type(value) is int and 1 <= value <= most for value in given):
        raise BadInput(f"{label} of a {kind} layer must be whole numbers from 1 to {most:,}.")
    return tuple(given)
