"""The rules that choose: on paths whose right answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from medprune import BadInput
from medprune.selection import RULES, Rule


def risks_of(outcome: np.ndarray, quality: float, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=len(outcome))
    positive = 1 / (1 + np.exp(-(quality * (2 * outcome - 1) + noise)))
    return np.column_stack([1 - positive, positive])


def rule(qualities: list[float], *, metric: str = "auroc", margin: float = 0.02, n: int = 400) -> Rule:
    outcome = np.arange(n) % 2
    return Rule(
        risks=[risks_of(outcome, quality) for quality in qualities],
        sizes=[1000.0 - 100 * place for place in range(len(qualities))],
        outcome=outcome,
        patients=np.arange(n, dtype=np.uint64),
        act_at=0.5,
        metric=metric,
        margin=margin,
    )


@pytest.mark.parametrize("name", RULES)
def test_equal_candidates_give_the_smallest(name: str) -> None:
    assert RULES[name](rule([1.0, 1.0, 1.0])) == 2


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("metric", ["auroc", "brier", "accuracy", "f1"])
def test_a_clearly_worse_candidate_is_not_taken(name: str, metric: str) -> None:
    assert RULES[name](rule([1.5, 1.5, 0.1], metric=metric)) == 1


@pytest.mark.parametrize("name", RULES)
def test_with_all_worse_the_dense_model_stays(name: str) -> None:
    assert RULES[name](rule([1.5, 0.3, 0.1])) == 0


def test_a_wider_margin_allows_a_smaller_model() -> None:
    qualities = [1.2, 1.0, 0.8, 0.5]
    places = [RULES["non-inferior"](rule(qualities, margin=margin)) for margin in (0.001, 0.1, 0.4)]
    assert places == sorted(places)
    assert places[0] == 0
    assert places[-1] == 3


def test_many_patients_are_resampled_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = RULES["one-se"](rule([1.0, 0.95, 0.2]))
    monkeypatch.setattr("medprune.selection.CHUNK", 4_000)
    assert RULES["one-se"](rule([1.0, 0.95, 0.2])) == whole


def test_a_path_refuses_an_unknown_rule() -> None:
    from medprune import Schedule, prune
    from tests.makers import patient_cohort, untrained_model

    cohort = patient_cohort()
    path = prune(untrained_model(cohort), cohort, sparsities=(0.5,), schedule=Schedule(epochs=1))
    with pytest.raises(BadInput, match="Rule must be one of one-se, non-inferior, got 'best'"):
        path.choose("best")
    with pytest.raises(BadInput, match="Metric must be one of"):
        path.choose("one-se", metric="auc")
