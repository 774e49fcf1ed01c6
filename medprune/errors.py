"""What can go wrong, in two families: the user's input (BadInput) and ours (everything else)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MedPruneError(Exception):
    """The family of errors that MedPrune raises on purpose."""


class BadInput(MedPruneError):  # noqa: N818 - named for what the user did, as they read it
    """The input is wrong. The message is one sentence: what, where, and how to mend it.

    A message may name columns, classes and counts; it never holds the value of a patient's cell.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


def nearest(name: str, choices: Iterable[str]) -> str:
    """What to add to a sentence that could not find ``name``: the nearest choice, or nothing.

    >>> nearest("Outcom", ["age", "outcome"])
    " (did you mean 'outcome'?)"
    >>> nearest("zzz", ["age", "outcome"])
    ''
    """
    by_lower = {choice.lower(): choice for choice in choices}
    found = difflib.get_close_matches(name.strip().lower(), by_lower, n=1, cutoff=0.7)
    return f" (did you mean {by_lower[found[0]]!r}?)" if found else ""


def listed(names: Iterable[str], most: int = 5) -> str:
    """Names for a sentence, quoted; the rest is counted.

    >>> listed(["a", "b", "c"], most=2)
    "'a', 'b' and 1 more"
    """
    quoted = [repr(str(name)) for name in names]
    if len(quoted) > most:
        return f"{', '.join(quoted[:most])} and {len(quoted) - most} more"
    return ", ".join(quoted[:-1]) + " and " + quoted[-1] if len(quoted) > 1 else "".join(quoted)
