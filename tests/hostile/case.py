"""One bad input: how to make it, and what its user must get. The makers write harmless markers only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

CANARY = "CANARY-7f3a"  # stands where a patient's value would; no sentence, log or page may repeat it

Outcome = Literal["refused", "accepted"]


@dataclass(frozen=True)
class Case:
    """``make()`` gives the bytes of the file. ``says`` is a regular expression that the sentence (when
    refused), or one of the notes (when accepted and it has something to tell), must match."""

    name: str
    file_name: str
    make: Callable[[], bytes]
    outcome: Outcome
    says: str = ""
    kind: Literal["table", "model"] = "table"

    def __str__(self) -> str:
        return self.name
