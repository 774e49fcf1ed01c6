"""MedPrune: see what a medical neural network contributes, make it smaller, and keep what it computes.

The public names, in the order of the job.
"""

from medprune.agreement import Agreement, agreement
from medprune.bundle import Bundle, export, load_bundle
from medprune.candidate import Candidate
from medprune.cohort import Cohort, Split, load_cohort
from medprune.compaction import compact
from medprune.compression import Compression, compression
from medprune.cross_validation import cross_validate, cross_validate_steps
from medprune.drops import Drops, drops
from medprune.errors import BadInput, MedPruneError
from medprune.fold_selection import Selection, Validation
from medprune.kinds.verbs import score, train
from medprune.large import LargeTable, large_patients, predict_large, score_large, sweep_large
from medprune.mask import Mask
from medprune.model import RiskModel
from medprune.model_file import load_model, save_model
from medprune.network import MLP
from medprune.path import Path, prune, prune_steps
from medprune.performance import Performance, performance
from medprune.quantisation import quantise
from medprune.scoring import Contributions
from medprune.settings_search import search_settings
from medprune.sweep import Tradeoff, sweep
from medprune.table_one import table_one
from medprune.too_good import too_good
from medprune.training import Schedule, train_steps
from medprune.treatments import Treatment, treatment

__all__ = [
    "MLP",
    "Agreement",
    "BadInput",
    "Bundle",
    "Candidate",
    "Cohort",
    "Compression",
    "Contributions",
    "Drops",
    "LargeTable",
    "Mask",
    "MedPruneError",
    "Path",
    "Performance",
    "RiskModel",
    "Schedule",
    "Selection",
    "Split",
    "Tradeoff",
    "Treatment",
    "Validation",
    "agreement",
    "compact",
    "compression",
    "cross_validate",
    "cross_validate_steps",
    "drops",
    "export",
    "large_patients",
    "load_bundle",
    "load_cohort",
    "load_model",
    "performance",
    "predict_large",
    "prune",
    "prune_steps",
    "quantise",
    "save_model",
    "score",
    "score_large",
    "search_settings",
    "sweep",
    "sweep_large",
    "table_one",
    "too_good",
    "train",
    "train_steps",
    "treatment",
]
