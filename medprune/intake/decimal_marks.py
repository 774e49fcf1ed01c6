"""Numbers that are written with decimal commas or thousands marks, written as everyone's programs read them.

The mark is a habit of the file. A cell such as "1,5" or "1.234,5" can be read in one way only; "1,234" in
two. So the file's cells of the first sort decide about those of the second, and a note says what was read
and how to say otherwise. Where the two habits meet in one column, nothing is changed: what is no plain
number there counts as text, and its reader is told. A bundle's script reads by the same patterns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from medprune.errors import BadInput, listed
from medprune.intake.missing import NUMBER_MISSING

if TYPE_CHECKING:
    import pyarrow as pa

ENOUGH_NUMBERS = 0.5  # of a column's values, for its marks to be rewritten
APART = "['\u2019\u00a0\u202f]"  # thousands marks that are never decimal ones
POINT, COMMA = "[.]", ","


def _one_reading(decimal: str, thousands: str) -> str:
    """Cells that hold this decimal mark for certain: not three decimals after one to three digits."""
    return "[+-]?(?:" + "|".join(
        (
            f"[0-9]*{decimal}(?:[0-9]{{1,2}}|[0-9]{{4,}})",
            f"0*{decimal}[0-9]+",
            f"[0-9]{{4,}}{decimal}[0-9]+",
            f"[0-9]{{1,3}}(?:(?:{thousands}|{APART})[0-9]{{3}})+{decimal}[0-9]+",
            f"[0-9]{{1,3}}(?:{thousands}[0-9]{{3}}){{2,}}",
        )
    ) + ")"  # fmt: skip


def _numbers(decimal: str, thousands: str) -> str:
    """Every number that this decimal mark allows, of those that have a mark."""
    return (
        f"[+-]?(?:[0-9]{{1,3}}(?:(?:{thousands}|{APART})[0-9]{{3}})+(?:{decimal}[0-9]+)?"
        f"|[0-9]*{decimal}[0-9]+)"
    )


CERTAIN = {",": _one_reading(COMMA, POINT), ".": _one_reading(POINT, COMMA)}
MARKED = {",": _numbers(COMMA, POINT), ".": _numbers(POINT, COMMA)}
BETWEEN = {",": f"{POINT}|{APART}", ".": f"{COMMA}|{APART}"}
DOUBTFUL = "[+-]?[1-9][0-9]{0,2},[0-9]{3}"  # thousands, or three decimals
NUMBER = "[+-]?(?:[0-9]+[.]?[0-9]*|[.][0-9]+)(?:[eE][+-]?[0-9]+)?"
UNUSUAL = f"[0-9](?:{APART}|,|[.][0-9]{{3}}[.])[0-9]"  # in no plain number


def mend_numbers(
    table: pa.Table, delimiter: str, wanted: str | None
) -> tuple[pa.Table, str, tuple[str, ...]]:
    """The table with plain numbers, the decimal mark that was read ("." or ","), and notes.

    ``wanted`` is the mark that the user says it is. Raises BadInput when a column holds the other one.
    """
    if wanted is None and not any(_has(table.column(name), UNUSUAL) for name in table.column_names):
        return table, ".", ()
    seen = [_Seen(name, table.column(name)) for name in table.column_names]
    commas, points = sum(column.commas for column in seen), sum(column.points for column in seen)
    of_file = wanted or ("," if commas and not points else "." if points and not commas else None)
    told: dict[str, list[str]] = {",": [], ".": [], "guessed": [], "mixed": []}
    for place, column in enumerate(seen):
        mark = column.mark(of_file, delimiter)
        if mark is None:
            told["mixed"].append(column.name)
            continue
        if wanted:
            column.check(wanted)
        cells = column.plain(mark)
        if cells is not None:
            table = table.set_column(place, column.name, cells)
            told[mark].append(column.name)
            if column.doubtful and not (of_file or column.commas or column.points):
                told["guessed"].append(column.name)
    return table, of_file or ("," if told[","] else "."), _notes(told)


def _notes(told: dict[str, list[str]]) -> tuple[str, ...]:
    notes = []
    if told[","]:
        notes.append(f"Decimal commas were read as decimal points in {listed(told[','])}.")
    if told["."]:
        notes.append(f"Marks between thousands were left out in {listed(told['.'])}.")
    if told["guessed"]:
        notes.append(
            f"In {listed(told['guessed'])} a comma could stand before decimals or between thousands: check "
            "the numbers, and choose the decimal mark (--decimal) if they are wrong."
        )
    if told["mixed"]:
        notes.append(
            f"Decimal commas and decimal points stand together in {listed(told['mixed'])}, which was left "
            "as it is; write them in one way."
        )
    return tuple(notes)


class _Seen:
    """A column of text, and how many of its cells are written in which way."""

    def __init__(self, name: str, column: pa.ChunkedArray) -> None:
        import pyarrow.compute as pc

        self.name = name
        self.text = pc.utf8_trim_whitespace(column)
        marked = _has(self.text, f"{APART}|[.,]")
        self.commas = _count(self.text, CERTAIN[","]) if marked else 0
        self.points = _count(self.text, CERTAIN["."]) if marked else 0
        self.doubtful = _count(self.text, DOUBTFUL) if marked else 0

    def mark(self, of_file: str | None, delimiter: str) -> str | None:
        """The decimal mark of this column; None when its cells disagree."""
        if of_file is not None:
            return of_file
        if self.commas and self.points:
            return None
        if self.commas or self.points:
            return "," if self.commas else "."
        # Nothing tells: where the comma separates columns, a comma in a number separates thousands.
        return "," if self.doubtful and delimiter != "," else "."

    def check(self, wanted: str) -> None:
        """BadInput when most of the numbers can only be read with the other mark."""
        other, name = (self.points, "points") if wanted == "," else (self.commas, "commas")
        if other and other >= ENOUGH_NUMBERS * (self.commas + self.points):
            raise BadInput(
                f"Column {self.name!r} holds decimal {name} in {other} {'cell' if other == 1 else 'cells'}, "
                f"although the decimal mark was said to be {wanted!r}; choose the other one."
            )

    def plain(self, mark: str) -> pa.ChunkedArray | None:
        """The cells with a decimal point and without thousands marks; None when that changes nothing good."""
        import pyarrow as pa
        import pyarrow.compute as pc

        bare = pc.replace_substring_regex(self.text, BETWEEN[mark], "")
        bare = pc.replace_substring_regex(bare, ",", ".")
        cells = pc.if_else(_whole(self.text, MARKED[mark]), bare, self.text)
        missing = pc.is_in(cells, value_set=pa.array(sorted(NUMBER_MISSING), cells.type))
        present = len(cells) - int(pc.sum(missing).as_py() or 0)
        enough = _count(cells, NUMBER) >= ENOUGH_NUMBERS * max(1, present)
        return cells if enough and not cells.equals(self.text) else None


def _whole(text: pa.ChunkedArray, pattern: str) -> pa.ChunkedArray:
    import pyarrow.compute as pc

    return pc.match_substring_regex(text, f"^(?:{pattern})$")


def _count(text: pa.ChunkedArray, pattern: str) -> int:
    import pyarrow.compute as pc

    return int(pc.sum(_whole(text, pattern)).as_py() or 0)


def _has(text: pa.ChunkedArray, pattern: str) -> bool:
    import pyarrow.compute as pc

    return bool(pc.any(pc.match_substring_regex(text, pattern)).as_py())
