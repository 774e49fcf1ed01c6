"""Tables larger than memory: a Parquet file, or a folder of them, scored, swept and predicted in batches.

``LargeTable.open(path)`` reads its metadata; ``large_patients(table, model)`` are its rows with an outcome.
"""

from medprune.intake.large_table import LargeTable
from medprune.large.memory import SWEPT, in_batches
from medprune.large.patients import LargePatients, large_patients
from medprune.large.predict import predict_large
from medprune.large.scoring import large_batches, score_large
from medprune.large.sweep import sweep_large

__all__ = [
    "SWEPT",
    "LargePatients",
    "LargeTable",
    "in_batches",
    "large_batches",
    "large_patients",
    "predict_large",
    "score_large",
    "sweep_large",
]
