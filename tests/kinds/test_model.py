"""Networks of kinds on a patient table: trained, scored, pruned by feature, made compact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medprune import MLP, BadInput, Cohort, RiskModel, Schedule, export, save_model, score, train
from medprune.kinds import (
    ConvNet,
    FTTransformer,
    GruNet,
    KindModel,
    Recipe,
    ResidualMLP,
    initial,
    risks_of,
    train_kind,
)
from medprune.performance import auroc
from tests.kinds import simulate
from tests.makers import patient_cohort

QUICK = Schedule(epochs=15, patience=8, learning_rate=5e-3, weight_decay=0.01)
RECIPES = {
    "residual": ResidualMLP(width=12, blocks=2, inner=8),
    "transformer": FTTransformer(width=8, blocks=1, heads=2),
}


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return patient_cohort(300)


@pytest.mark.parametrize("name", RECIPES)
def test_a_table_is_learnt_scored_pruned_and_made_compact(cohort: Cohort, name: str) -> None:
    model = train_kind(cohort, RECIPES[name], schedule=QUICK)
    frame = cohort.test.frame
    risks = model.predict_proba(frame)
    np.testing.assert_allclose(risks.sum(axis=1), 1.0)
    assert auroc(cohort.test.outcome, risks) > 0.7
    scores = model.score(cohort.train).groups["inputs"]
    assert len(scores) == len(cohort.features)
    path = list(model.prune(cohort, granularity="feature", sparsities=(0.6,), schedule=QUICK))
    small = model.of(path[-1])
    assert len(small.features_needed) <= 3
    unneeded = [column for column in frame.columns if column not in small.features_needed]
    compact = small.compact()
    np.testing.assert_allclose(
        compact.predict_proba(frame.drop(columns=unneeded)), small.predict_proba(frame), atol=1e-5
    )
    assert compact.network.stored() < model.network.stored()
    assert len(model.features_needed) == len(cohort.features)


@pytest.mark.parametrize("recipe", [ConvNet(channels=(4, 3), kernel=3), GruNet(4)])
def test_recipes_for_sequences_take_arrays(recipe: Recipe) -> None:
    data = simulate.vital_signs(20, time=10)
    network = initial(recipe.kind_spec(inputs=4, outputs=3), seed=0)
    assert risks_of(network, data.inputs).shape == (20, 3)


def test_one_verb_trains_and_scores_either_family(cohort: Cohort, tmp_path: Path) -> None:
    quick = Schedule(epochs=1)
    plain, kind = (
        train(cohort, spec, seed=3, schedule=quick) for spec in (MLP(hidden=(4,)), RECIPES["residual"])
    )
    assert isinstance(plain, RiskModel)
    assert isinstance(kind, KindModel)
    by_name = train_kind(cohort, RECIPES["residual"], seed=3, schedule=quick)
    frame = cohort.tuning.frame
    np.testing.assert_array_equal(kind.predict_proba(frame), by_name.predict_proba(frame))
    np.testing.assert_array_equal(
        score(kind, cohort.train, "taylor").groups["inputs"],
        by_name.score(cohort.train, "taylor").groups["inputs"],
    )
    assert len(score(plain, cohort.train).features) == len(cohort.features)
    with pytest.raises(BadInput, match="no file format"):
        save_model(kind, tmp_path / "kind.safetensors")
    with pytest.raises(BadInput, match="no file format"):
        export(kind, None, tmp_path / "bundle")
    assert not list(tmp_path.iterdir())


def test_a_table_is_no_sequence(cohort: Cohort) -> None:
    with pytest.raises(BadInput, match="takes sequences"):
        train(cohort, ConvNet())
