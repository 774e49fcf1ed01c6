"""Too few patients for the inputs that a network will have."""

from __future__ import annotations

import numpy as np
import pandas as pd

from medprune.quality.sparsity import inputs_of
from medprune.quality.table import Finding, Findings, Table

PATIENTS_AN_INPUT = 10


def few_rows(table: Table) -> Findings:
    """Fewer than PATIENTS_AN_INPUT patients of the smallest class for each input."""
    inputs = sum(inputs_of(table.frame[name]) for name in table.frame.columns)
    table = table.judged
    seen = pd.DataFrame({"patient": table.patients, "outcome": table.outcome}).drop_duplicates()
    smallest = int(np.bincount(seen["outcome"], minlength=len(table.classes)).min())
    if smallest < PATIENTS_AN_INPUT * inputs:
        yield Finding(None, smallest, {"inputs": inputs, "enough": PATIENTS_AN_INPUT})
