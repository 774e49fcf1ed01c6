"""What only its makers can say of a model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class About:
    """For the card."""


def read_about(path: str) -> About:
    """What is said in a JSON file."""
    return About()
