"""Criteria: what a weight, a unit or a feature is worth. One file each, found by name.

A criterion is a frozen dataclass of settings; the first line of its docstring explains it on
screen. Its scores are sums over patients (:class:`ScoreSums`) that can be added up over batches,
files, workers and hospitals.
"""

from medprune.criteria.base import CRITERIA, Criterion, seed_setting
from medprune.criteria.sums import PatientScores, ScoreSums, Totals
from medprune.registry import import_members

import_members(__name__)

__all__ = ["CRITERIA", "Criterion", "PatientScores", "ScoreSums", "Totals", "seed_setting"]
