"""An AUROC that is too good is called out, with the column behind it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from medprune import load_cohort
from medprune.too_good import SUSPECT, too_good


def frame(rows: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    died = rng.integers(0, 2, rows)
    return pd.DataFrame(
        {"age": rng.normal(60, 10, rows), "leak": died + rng.normal(0, 0.2, rows), "died": died}
    )


def test_a_credible_figure_is_left_alone() -> None:
    cohort = load_cohort(frame(), outcome="died")
    assert too_good(SUSPECT - 0.001, cohort) == ""
    assert too_good(float("nan"), cohort) == ""


def test_the_column_that_does_it_alone_is_named() -> None:
    cohort = load_cohort(frame(), outcome="died")
    sentence = too_good(0.999, cohort)
    assert "'leak' alone nearly reaches it" in sentence
    assert "'age'" not in sentence
    assert "'leak'" not in too_good(0.999, cohort, ("age",))


def test_columns_whose_names_come_after_the_outcome_are_named_otherwise() -> None:
    raw = frame().drop(columns="leak").assign(discharge_code=np.arange(300) % 7)
    sentence = too_good(0.99, load_cohort(raw, outcome="died"))
    assert "'discharge_code'" in sentence
    assert "only after the outcome" in sentence
