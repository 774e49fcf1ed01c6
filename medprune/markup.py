"""Text that came with a table or a file, made fit for places that know markup. It is shown, never obeyed."""

from __future__ import annotations

import re

MARKS = r"\`*_{}[]()<>#+-.!|$:~&^="
WORD_JOINER = "\u2060"
JOINED = re.compile(r"(?<=:)(?=[/\w])|(?<=www)(?=\.)|(?=@)|(?<=[<>~=-])(?=[<>~=-])", re.IGNORECASE)
INVISIBLE = re.compile("[\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


def plain(text: object) -> str:
    """User text for a Markdown place, with every mark that Markdown knows made harmless.

    Some of Streamlit's marks are looked for after Markdown has taken the backslashes away: addresses become
    links, ``:material/home:`` an icon, ``--`` a dash, ``<-`` an arrow. A joiner without width parts those.
    """
    parted = JOINED.sub(WORD_JOINER, seen(text))
    return "".join(f"\\{mark}" if mark in MARKS else mark for mark in parted)


def seen(text: object) -> str:
    """User text with what would not be seen, or would turn the reading direction, written out."""
    return "".join(
        chr(0x2400 + ord(mark)) if mark < " " else f"(U+{ord(mark):04X})" if INVISIBLE.match(mark) else mark
        for mark in str(text)
    )
