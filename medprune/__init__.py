"""MedPrune: see what a medical neural network contributes, make it smaller, and keep what it computes.

The public names, in the order of the job. Each is imported when it is first asked for, so that what needs no
network (the shell's help, the process that opens a table) does not wait for torch.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medprune.agreement import Agreement, agreement
    from medprune.bundle import Bundle, export, load_bundle
    from medprune.candidate import Candidate
    from medprune.cohort import Cohort, Split, load_cohort
    from medprune.compaction import compact
    from medprune.compression import Compression, compression
    from medprune.cross_validation import cross_validate, cross_validate_steps
    from medprune.drops import Drops, drops
    from medprune.errors import BadInput, MedPruneError
    from medprune.federated import SiteSums, merge_sums, site_sums
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
    from medprune.recalibration import fit_recalibration
    from medprune.review import Limits, Override, Review, read_limits, review, review_steps
    from medprune.scoring import Contributions
    from medprune.settings_search import search_settings
    from medprune.site_counts import Floor
    from medprune.sums_file import load_scores, load_sums, save_sums
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
    "Floor",
    "LargeTable",
    "Limits",
    "Mask",
    "MedPruneError",
    "Override",
    "Path",
    "Performance",
    "Review",
    "RiskModel",
    "Schedule",
    "Selection",
    "SiteSums",
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
    "fit_recalibration",
    "large_patients",
    "load_bundle",
    "load_cohort",
    "load_model",
    "load_scores",
    "load_sums",
    "merge_sums",
    "performance",
    "predict_large",
    "prune",
    "prune_steps",
    "quantise",
    "read_limits",
    "review",
    "review_steps",
    "save_model",
    "save_sums",
    "score",
    "score_large",
    "search_settings",
    "site_sums",
    "sweep",
    "sweep_large",
    "table_one",
    "too_good",
    "train",
    "train_steps",
    "treatment",
]

# Where each name is, as above.
_HOMES = {
    "agreement": ("Agreement", "agreement"),
    "bundle": ("Bundle", "export", "load_bundle"),
    "candidate": ("Candidate",),
    "cohort": ("Cohort", "Split", "load_cohort"),
    "compaction": ("compact",),
    "compression": ("Compression", "compression"),
    "cross_validation": ("cross_validate", "cross_validate_steps"),
    "drops": ("Drops", "drops"),
    "errors": ("BadInput", "MedPruneError"),
    "federated": ("SiteSums", "merge_sums", "site_sums"),
    "fold_selection": ("Selection", "Validation"),
    "kinds.verbs": ("score", "train"),
    "large": ("LargeTable", "large_patients", "predict_large", "score_large", "sweep_large"),
    "mask": ("Mask",),
    "model": ("RiskModel",),
    "model_file": ("load_model", "save_model"),
    "network": ("MLP",),
    "path": ("Path", "prune", "prune_steps"),
    "performance": ("Performance", "performance"),
    "quantisation": ("quantise",),
    "recalibration": ("fit_recalibration",),
    "review": ("Limits", "Override", "Review", "read_limits", "review", "review_steps"),
    "scoring": ("Contributions",),
    "settings_search": ("search_settings",),
    "site_counts": ("Floor",),
    "sums_file": ("load_scores", "load_sums", "save_sums"),
    "sweep": ("Tradeoff", "sweep"),
    "table_one": ("table_one",),
    "too_good": ("too_good",),
    "training": ("Schedule", "train_steps"),
    "treatments": ("Treatment", "treatment"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


class _Package(ModuleType):
    """This package. Some names are a module's and a function's: here they are the function's.

    Importing a module sets it as an attribute of its package, which would hide the function.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        hides = isinstance(value, ModuleType) and name in _HOME
        super().__setattr__(name, getattr(value, name) if hides else value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
