"""Columns on their way from the table to a foreign network, followed through its preparation.

Every step that can be read (filling, scaling, coding) leaves a column either a source column that has been
filled and scaled, :class:`Raw`, or a sum of what MedPrune's own preparation makes, :class:`Mixed`. At the
end the sums go into the network's first layer, and the preparation is one of ours: :func:`resolve`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from medprune.errors import BadInput, listed
from medprune.preparation import CategoryCode, Column, NumberCode, Preparation

Fill: TypeAlias = "float | str | None"
Atom: TypeAlias = tuple[str, int, str]  # what (value, missing, label), the source's place, the label
MOST_COLUMNS = 20_000
MOST_CELLS = 50_000_000  # of the matrix from prepared columns to inputs
VALUE, MISSING, LABEL = "value", "missing", "label"


@dataclass(frozen=True)
class Raw:
    """``scale * (x or fill) + shift`` of a source column; without a fill, missing values are still "
    "missing."""

    source: int
    fill: Fill = None
    scale: float = 1.0
    shift: float = 0.0


@dataclass(frozen=True)
class Mixed:
    """``constant`` plus each atom times its number; never missing."""

    terms: tuple[tuple[Atom, float], ...] = ()
    constant: float = 0.0


Traced: TypeAlias = "Raw | Mixed"


def scaled(column: Traced, scale: float, shift: float) -> Traced:
    """``scale * column + shift``."""
    if isinstance(column, Raw):
        return replace(column, scale=column.scale * scale, shift=column.shift * scale + shift)
    return Mixed(tuple((atom, by * scale) for atom, by in column.terms), column.constant * scale + shift)


def filled(column: Traced, value: Fill) -> Traced:
    """The column with its missing values replaced, where it still has any."""
    if isinstance(column, Mixed) or column.fill is not None or value is None:
        return column
    if isinstance(value, str):
        return replace(column, fill=value)
    if column.scale == 0:
        raise ValueError("a column that was multiplied by zero cannot be filled")
    return replace(column, fill=(value - column.shift) / column.scale)


def flag(column: Traced) -> Traced:
    """1 where the column is missing."""
    if isinstance(column, Mixed) or column.fill is not None:
        return Mixed()
    return Mixed((((MISSING, column.source, ""), 1.0),))


def coded(source: int, labels: Mapping[str, float], unseen: float, missing: float) -> Mixed:
    """A number for every label of a text column, one for labels never seen, one for missing values."""
    terms = [((LABEL, source, label), value - unseen) for label, value in labels.items()]
    terms.append(((MISSING, source, ""), missing - unseen))
    # A zero stays for a label: it must remain known, so that its column is there to be pruned.
    return Mixed(tuple((atom, by) for atom, by in terms if by or atom[0] == LABEL), unseen)


@dataclass(frozen=True, eq=False)
class Resolved:
    """The network's inputs are ``matrix @ prepared + constant``, prepared by ``preparation``.

    ``unfilled`` are the places of the sources whose missing values the foreign model did not take.
    """

    preparation: Preparation
    matrix: NDArray[np.float64]  # (inputs, prepared columns)
    constant: NDArray[np.float64]  # (inputs,)
    unfilled: tuple[int, ...]


def resolve(columns: Sequence[Traced], names: Sequence[str], title: str) -> Resolved:
    """MedPrune's preparation for these columns; ``names`` are those of all source columns, in order.

    Raises BadInput when a source is read both as numbers and as categories.
    """
    if len(columns) > MOST_COLUMNS:
        raise BadInput(f"{title} takes {len(columns):,} inputs; at most {MOST_COLUMNS:,} can be read.")
    labels = _labels(columns)
    raws = [column for column in columns if isinstance(column, Raw)]
    both = sorted({raw.source for raw in raws} & set(labels))
    if both:
        raise BadInput(
            f"{title} reads {listed(names[place] for place in both)} both as numbers and as "
            "categories, which "
            "cannot be read; give the column to one of them only."
        )
    texts = sorted({names[raw.source] for raw in raws if isinstance(raw.fill, str)})
    if texts:
        raise BadInput(f"{title} gives the text of {listed(texts)} to its network; encode the column first.")
    missing = {a[1] for a in _atoms(columns) if a[0] == MISSING}
    numbers = {place: _number(place, raws, names) for place in _in_order(raws, missing - set(labels))}
    flagged = _flagged(raws, numbers, missing, labels)
    preparation = _preparation(numbers, labels, flagged, names)
    atoms = _places(numbers, labels, flagged)
    if len(columns) * len(atoms) > MOST_CELLS:
        raise BadInput(
            f"{title} makes {len(columns):,} inputs of {len(atoms):,} columns, too many to be read."
        )
    matrix = np.zeros((len(columns), len(atoms)))
    constant = np.zeros(len(columns))
    for row, column in enumerate(columns):
        terms, constant[row] = _terms(column, numbers)
        for atom, by in terms:
            if by:
                matrix[row, atoms[atom]] += by
    unfilled = tuple(
        place for place in numbers if all(raw.fill is None for raw in raws if raw.source == place)
    )
    return Resolved(preparation, matrix, constant, unfilled)


def _atoms(columns: Iterable[Traced]) -> Iterable[Atom]:
    return (atom for column in columns if isinstance(column, Mixed) for atom, _ in column.terms)


def _labels(columns: Sequence[Traced]) -> dict[int, list[str]]:
    """The labels of every source that is read as categories, in the order in which they are met."""
    found: dict[int, dict[str, None]] = {}
    for what, source, label in _atoms(columns):
        if what == LABEL:
            found.setdefault(source, {})[label] = None
    return {source: list(labels) for source, labels in sorted(found.items())}


def _in_order(raws: Sequence[Raw], only_flagged: set[int]) -> list[int]:
    return sorted({raw.source for raw in raws} | only_flagged)


def _number(place: int, raws: Sequence[Raw], names: Sequence[str]) -> NumberCode:
    """How one number is prepared: as its first use fills and scales it, about its fill value otherwise."""
    mine = [raw for raw in raws if raw.source == place]
    fills = [raw.fill for raw in mine if isinstance(raw.fill, float | int)]
    scalings = [raw for raw in mine if (raw.scale, raw.shift) != (1.0, 0.0) and raw.scale != 0]
    mean, scale = (float(fills[0]) if fills else 0.0), 1.0
    if scalings:
        mean, scale = -scalings[0].shift / scalings[0].scale, 1.0 / scalings[0].scale
    fill = float(fills[0]) if fills else mean
    if not all(math.isfinite(value) for value in (fill, mean, scale)) or scale == 0:
        raise ValueError("a number is prepared by values that are not finite")
    return NumberCode(names[place], fill, mean, scale)


def _flagged(
    raws: Sequence[Raw],
    numbers: Mapping[int, NumberCode],
    missing: set[int],
    labels: Mapping[int, list[str]],
) -> list[int]:
    """Sources whose missing values need a column of their own: asked for, or filled in two ways."""
    twice = {raw.source for raw in raws if raw.fill is not None and raw.fill != numbers[raw.source].fill}
    return sorted((missing | twice) & (set(numbers) | set(labels)))


def _preparation(
    numbers: Mapping[int, NumberCode],
    labels: Mapping[int, list[str]],
    flagged: Sequence[int],
    names: Sequence[str],
) -> Preparation:
    """Columns in the usual order, values, flags, categories: the order of :func:`_places`."""
    values = [Column(code.name, VALUE, name=code.name) for code in numbers.values()]
    flags = [Column(names[p], "flag", name=f"{names[p]} missing") for p in flagged if p in numbers]
    codes = {p: CategoryCode(names[p], tuple(mine), len(mine) + 1) for p, mine in labels.items()}
    categories = []
    for place, code in codes.items():
        categories += [
            Column(code.name, "category", i, f"{code.name} = {label}") for i, label in enumerate(code.labels)
        ]
        if place in flagged:
            categories.append(Column(code.name, "category", code.missing, f"{code.name} missing"))
    return Preparation(tuple(numbers.values()), tuple(codes.values()), (*values, *flags, *categories))


def _places(
    numbers: Mapping[int, NumberCode], labels: Mapping[int, list[str]], flagged: Sequence[int]
) -> dict[Atom, int]:
    """Which prepared column each atom is."""
    atoms: list[Atom] = [(VALUE, place, "") for place in numbers]
    atoms += [(MISSING, place, "") for place in flagged if place in numbers]
    for place, mine in labels.items():
        atoms += [(LABEL, place, label) for label in mine]
        if place in flagged:
            atoms.append((MISSING, place, ""))
    return {atom: column for column, atom in enumerate(atoms)}


def _terms(column: Traced, numbers: Mapping[int, NumberCode]) -> tuple[list[tuple[Atom, float]], float]:
    if isinstance(column, Mixed):
        return list(column.terms), column.constant
    code = numbers[column.source]
    terms: list[tuple[Atom, float]] = [((VALUE, column.source, ""), column.scale * code.scale)]
    if isinstance(column.fill, float | int) and column.fill != code.fill:
        terms.append(((MISSING, column.source, ""), column.scale * (column.fill - code.fill)))
    return terms, column.scale * code.mean + column.shift
