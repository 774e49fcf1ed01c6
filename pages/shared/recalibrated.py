"""What recalibration did to a chosen model's risks: raw and set right, side by side."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from medprune import Candidate
from medprune.figures.tradeoff import METRIC_NAMES
from medprune.performance import BINARY
from medprune.recalibration import in_words
from pages.shared import guide
from pages.shared.guide import metric_text

SHOWN = ("brier", "net_benefit", "sensitivity", "specificity", "auroc")


def risks_set_right(chosen: Candidate) -> None:
    """In words, and as a small table; nothing of a model whose risks were left as they are."""
    if not chosen.is_recalibrated:
        return
    model = chosen.model
    st.markdown(
        f"**Its risks were set right on tuning patients**: {in_words(model.recalibration)}. "
        f"{why(model.recalibration.slope)} The model, its file and its bundle carry this with them."
    )
    guide.table(side_by_side(chosen), key="set_right")
    stays = (
        "AUROC stays, as nobody's place in the order changes."
        if len(model.classes) == BINARY
        else "With more than two classes AUROC may move a little."
    )
    at = f" Acting at a risk of {model.act_at:.0%}." if len(model.classes) == BINARY else ""
    st.caption(
        f"On the tuning patients that it was fitted to, which flatters it a little; test patients had no say "
        f"in it. {stays}{at}"
    )


def why(slope: float) -> str:
    """What the slope says of the risks as pruning left them."""
    if slope > 1:
        return "They were too timid, all too near the average: what pruning does."
    if slope < 1:
        return "They were too extreme: too near 0 and 1."
    return "How far apart they lie was left alone: these patients gave no reason for another slope."


def side_by_side(chosen: Candidate) -> pd.DataFrame:
    """A figure a row: raw, and set right."""
    raw, right = chosen.raw_performance, chosen.performance
    return pd.DataFrame(
        {
            "figure": [METRIC_NAMES[name] for name in SHOWN],
            "raw": [metric_text(name, raw[name]) for name in SHOWN],
            "set right": [metric_text(name, right[name]) for name in SHOWN],
        }
    )
