"""Baselines: what a statistician, or chance, would do instead. One file each, on the same chart and split.

A baseline is a :class:`~medprune.strategies.Strategy`: its candidates are finished models too, and can be
taken on like any other.
"""

from medprune.registry import import_members
from medprune.strategies.base import BASELINES

import_members(__name__)

__all__ = ["BASELINES"]
