"""What a smaller model does to patients, held against the model it came from.

:func:`review` is the whole; the modules beneath it take outcomes and risks of the same patients, never a
model, and can be used alone.
"""

from medprune.review.assess import ReviewStep, review, review_steps
from medprune.review.evidence import Evidence
from medprune.review.gate import Check, Override
from medprune.review.limits import Limits, read_limits
from medprune.review.pooled import Procedure
from medprune.review.result import Review

__all__ = [
    "Check",
    "Evidence",
    "Limits",
    "Override",
    "Procedure",
    "Review",
    "ReviewStep",
    "read_limits",
    "review",
    "review_steps",
]
