"""Figures: pure functions, a value in, a plotly figure out. Binned here; no raw scores reach a browser."""

from medprune.figures.contributions import (
    agreement_scatter,
    contribution_histogram,
    drop_bars,
    feature_bars,
    kept_by_layer,
)
from medprune.figures.forests import group_forest, site_forest
from medprune.figures.pareto import pareto_chart
from medprune.figures.patients import missing_bars, outcome_bars
from medprune.figures.review import (
    calibration_plot,
    decision_curves,
    flip_bars,
    patient_bars,
    risk_distribution,
)
from medprune.figures.selection import selection_curve, threshold_spread
from medprune.figures.tradeoff import tradeoff_curve
from medprune.figures.training import learning_curve

__all__ = [
    "agreement_scatter",
    "calibration_plot",
    "contribution_histogram",
    "decision_curves",
    "drop_bars",
    "feature_bars",
    "flip_bars",
    "group_forest",
    "kept_by_layer",
    "learning_curve",
    "missing_bars",
    "outcome_bars",
    "pareto_chart",
    "patient_bars",
    "risk_distribution",
    "selection_curve",
    "site_forest",
    "threshold_spread",
    "tradeoff_curve",
]
