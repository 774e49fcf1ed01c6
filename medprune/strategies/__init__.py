"""Strategies: how to walk from the dense model to ever smaller finished ones. One file each."""

from medprune.registry import import_members
from medprune.strategies.base import BASELINES, STRATEGIES, Strategy

import_members(__name__)

__all__ = ["BASELINES", "STRATEGIES", "Strategy"]
