"""Words that go onto paper: other people's text made fit to be shown, and blanks that say they are blank."""

from __future__ import annotations

import re
from collections.abc import Iterable

from medprune.markup import JOINED, WORD_JOINER, seen

NOT_PROVIDED = "not provided"
NOT_MEASURED = "not measured"
MARKS = "\\`*_[]<>|$~&"
# What XML 1.0 has no place for; JSON may hold it, and HTML would show nothing for it.
OUTSIDE_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def shown(text: object) -> str:
    """Text as it may stand in HTML, SVG or XML once that has been escaped; line ends stay, tabs are blanks.

    >>> shown("a\\x00b"), shown("two\\r\\nlines")
    ('a␀b', 'two\\nlines')
    """
    lines = str(text).replace("\t", " ").splitlines() or [""]
    return "\n".join(OUTSIDE_XML.sub("\ufffd", seen(line)) for line in lines)


def in_markdown(text: object) -> str:
    """The same in one line, for the inside of a paragraph, a list or a table's cell of a Markdown file.

    Only what could become a link, an element, a formula or the end of a cell is taken its meaning, so that
    the file can also be read as it is.

    >>> in_markdown("[x](javascript:1) | <b> $a$"), in_markdown("AUROC .81 (-.01 to +.02)")
    ('\\\\[x\\\\](javascript:\u20601) \\\\| \\\\<b\\\\> \\\\$a\\\\$', 'AUROC .81 (-.01 to +.02)')
    """
    line = JOINED.sub(WORD_JOINER, " ".join(part.strip() for part in shown(text).split("\n")))
    return "".join(f"\\{mark}" if mark in MARKS else mark for mark in line)


def provided(text: object) -> str:
    """The text, or that there is none.

    >>> provided("  "), provided(None), provided(" by post ")
    ('not provided', 'not provided', 'by post')
    """
    given = "" if text is None else str(text).strip()
    return given or NOT_PROVIDED


def joined(parts: Iterable[object]) -> str:
    """Several texts as one, parted by commas; "none" where there is none."""
    return ", ".join(str(part) for part in parts) or "none"


def short(digest: str) -> str:
    """A hash as people compare it.

    >>> short("0123456789abcdef0123")
    '0123456789ab…'
    """
    return f"{digest[:12]}…" if len(digest) > 12 else digest  # noqa: PLR2004 - twelve are told apart
