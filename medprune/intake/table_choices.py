"""What a table's file cannot say for certain, and its reader may therefore be told."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

from medprune.errors import BadInput, listed

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
DECIMALS = {".": "point", ",": "comma"}
ENCODINGS = {
    "utf-8": "UTF-8",
    "utf-16": "UTF-16",
    "cp1252": "Windows-1252 (Western Europe)",
    "iso8859-1": "Latin-1",
    "iso8859-15": "Latin-9",
    "cp1250": "Windows-1250 (Central Europe)",
    "cp1251": "Windows-1251 (Cyrillic)",
    "mac-roman": "Mac Roman",
}


class ChoiceNeeded(BadInput):
    """A table that cannot be read without a choice: its name, and what there is to choose from."""

    def __init__(self, sentence: str, choice: str, options: tuple[str, ...]) -> None:
        super().__init__(sentence)
        self.choice = choice
        self.options = options


@dataclass(frozen=True)
class TableChoices:
    """How to read a table; None leaves it to be found out, and a note says what was found.

    ``sheet`` is the name of a sheet of a workbook. ``delimiter`` is one of , ; | or a tab, ``decimal`` the
    mark before the decimals (. or ,), ``encoding`` the name of a text's encoding, such as utf-8 or cp1252.
    Raises BadInput when a choice is none of these.
    """

    sheet: str | None = None
    delimiter: str | None = None
    decimal: str | None = None
    encoding: str | None = None

    def __post_init__(self) -> None:
        if self.delimiter is not None and self.delimiter not in DELIMITERS:
            raise BadInput(f"The delimiter must be one of {listed(DELIMITERS)}, got {self.delimiter!r}.")
        if self.decimal is not None and self.decimal not in DECIMALS:
            raise BadInput(f"The decimal mark must be '.' or ',', got {self.decimal!r}.")
        if self.encoding is not None and known_encoding(self.encoding) is None:
            raise BadInput(
                f"The encoding {self.encoding!r} is not known; choose one of {listed(ENCODINGS, most=10)}."
            )


def known_encoding(name: str) -> str | None:
    """The usual name of a text encoding that is offered here, however it is spelt; None of another one."""
    try:
        usual = codecs.lookup(name).name
    except (LookupError, ValueError):
        return None
    return usual if usual in ENCODINGS else None
