"""What is wrong with a table, in sentences for clinicians: what, how many, why it matters when pruning.

One idea a file: missingness, imbalance, redundancy, sparsity, inconsistency, units, leakage, few rows; what
identifies is told by :mod:`medprune.intake.identifiers`. What can be done is in :mod:`medprune.treatments`.
"""

from medprune.quality.ranges import Ranges, read_ranges, usual_ranges
from medprune.quality.report import CHECKS, KINDS, Problem, QualityReport, assess, told
from medprune.quality.sentences import SENTENCES, WHY_RESAMPLING_HARMS
from medprune.quality.table import Finding, Table

__all__ = [
    "CHECKS",
    "KINDS",
    "SENTENCES",
    "WHY_RESAMPLING_HARMS",
    "Finding",
    "Problem",
    "QualityReport",
    "Ranges",
    "Table",
    "assess",
    "read_ranges",
    "told",
    "usual_ranges",
]
