"""One contract for all criteria: equal to their definition, additive, and blind to what must not matter.

A new criterion is picked up by itself; it needs one function in ``by_hand.py``, its definition.
"""

from __future__ import annotations

import copy
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medprune import MLP, BadInput, load_cohort, score
from medprune.criteria import CRITERIA, Criterion, ScoreSums, Totals, seed_setting
from medprune.model import RiskModel
from medprune.network import ACTIVATIONS, Network, NetworkSpec, TailSpec
from medprune.preparation import Preparation, fit_preparation
from medprune.scoring import contributions_from, sum_scores
from medprune.settings import settings_of
from medprune.training import Prepared
from tests.contracts.by_hand import REFERENCES, Case, Scores
from tests.makers import patient_cohort, patient_table, random_mask, random_network, untrained_model

ALL = CRITERIA.names()
LOOK_AT_PATIENTS = tuple(name for name in ALL if CRITERIA.get(name).needs_patients)
NORMS = ("none", "batch", "layer")
NAMES = pytest.mark.parametrize("name", ALL)
LOOKING = pytest.mark.parametrize("name", LOOK_AT_PATIENTS)
PATIENTS = 9


def variants(name: str) -> list[dict[str, Any]]:
    """The settings as they are, and each switch and number set otherwise."""
    found: list[dict[str, Any]] = [{}]
    for key, (default, how) in settings_of(CRITERIA.get(name)).items():
        if isinstance(default, bool):
            found.append({key: not default})
        elif how.low is not None and how.high is not None:
            found.append({key: type(default)(how.low + 0.3 * (how.high - how.low))})
    return found


def three_columns() -> Preparation:
    """A number and a text of two labels: three inputs, two features."""
    cohort = load_cohort(patient_table(100)[["age", "sex", "stage"]], outcome="stage")
    return fit_preparation(cohort.train.frame, cohort.features)


PREPARATION = three_columns()


def small_case(
    seed: int, norm: str, *, classes: int = 2, hidden: int = 1, masked: bool = False, patients: int = PATIENTS
) -> Case:
    """A 3-4-2 network (or 3-4-3-classes), the rest of it from the seed; not every class has patients."""
    rng = np.random.default_rng(seed)
    tails = tuple(
        TailSpec(width, str(rng.choice(sorted(ACTIVATIONS))), norm, norm_first=bool(rng.random() < 0.6))
        for width in (4, 3)[:hidden]
    )
    network = random_network(NetworkSpec(3, tails, classes), seed % 1000)
    mask = random_mask(network, seed, keep=0.7) if masked else None
    model = RiskModel(
        PREPARATION, network.double(), "stage", tuple(f"stage {k}" for k in range(classes)), mask=mask
    )
    x = torch.from_numpy(rng.normal(size=(patients, 3)))
    return Case(model, x, torch.from_numpy(rng.integers(0, classes, patients)))


def batches(case: Case) -> Any:
    return iter([(case.x, case.y)])


def sums_of(case: Case, criterion: Criterion, *, squares: bool = False) -> ScoreSums:
    sums = ScoreSums.zeros(case.model, squares=squares)
    criterion.ready(case.model, batches(case)).update(sums, case.model, case.x, case.y)
    return sums


def by_hand(case: Case, name: str, **chosen: Any) -> tuple[list[Scores], list[list[torch.Tensor]]]:
    """The reference's views, and their sums over the patients of each class, in the order of the parts."""
    kind = CRITERIA.get(name)
    views = REFERENCES[name](CRITERIA.make(name, **chosen), case)
    classes = range(len(case.model.classes))
    if not kind.needs_patients:
        return views, [[part[0] for part in views[0].parts()] for _ in classes]
    if kind.classes_are_predicted:
        return views, [[part.sum(dim=0) for part in view.parts()] for view in views]
    [view] = views
    return views, [[part[case.y == k].sum(dim=0) for part in view.parts()] for k in classes]


def parts(sums: Totals) -> list[torch.Tensor]:
    return [*sums.weights, *sums.units, sums.features]


# --- what they are -------------------------------------------------------------------------------------


def test_every_criterion_has_its_definition_here() -> None:
    assert set(REFERENCES) == set(ALL)


@NAMES
def test_a_criterion_explains_itself(name: str) -> None:
    kind = CRITERIA.get(name)
    assert kind.name == name
    assert kind.title[0].isupper()
    assert kind.predicts in ("risk", "loss")
    assert CRITERIA.explanation(name).endswith(".")
    assert len(CRITERIA.explanation(name)) < 110
    for label, how in ((how.label, how) for _, how in settings_of(kind).values()):
        assert label
        assert how.about
    with pytest.raises(BadInput, match="does not take these settings"):
        CRITERIA.make(name, nonsense=1)


@NAMES
@pytest.mark.parametrize("norm", NORMS)
@given(seed=st.integers(0, 2**31), hidden=st.integers(0, 2), classes=st.integers(2, 4), masked=st.booleans())
@settings(max_examples=6)
def test_scores_equal_their_definition(
    name: str, norm: str, seed: int, hidden: int, classes: int, masked: bool
) -> None:
    case = small_case(seed, norm, hidden=hidden, classes=classes, masked=masked)
    for chosen in variants(name):
        sums = sums_of(case, CRITERIA.make(name, **chosen))
        _, expected = by_hand(case, name, **chosen)
        for place, total in enumerate(parts(sums.scores)):
            for k, of_class in enumerate(expected):
                torch.testing.assert_close(total[k], of_class[place].double(), rtol=1e-6, atol=1e-10)


@LOOKING
@given(seed=st.integers(0, 2**31), classes=st.integers(2, 4), norm=st.sampled_from(NORMS))
@settings(max_examples=5)
def test_the_effective_number_of_patients_equals_its_definition(
    name: str, seed: int, classes: int, norm: str
) -> None:
    case = small_case(seed, norm, classes=classes, masked=seed % 2 == 0)
    sums = sums_of(case, CRITERIA.make(name), squares=True)
    views, _ = by_hand(case, name)
    whole = views[0]
    for view in views[1:]:
        whole = whole + view
    counts = torch.bincount(case.y, minlength=classes).double()
    for balanced in (False, True):
        share = torch.ones(PATIENTS, dtype=torch.float64)
        if balanced and not CRITERIA.get(name).classes_are_predicted:
            share = 1 / counts[case.y]
        scored = contributions_from(case.model, name, sums, patients=PATIENTS, balanced=balanced)
        found = [a for g in ("weight", "neuron", "feature") for a in scored.effective_patients(g)]
        for part, effective in zip(whole.parts(), found, strict=True):
            s = part * share.reshape(-1, *[1] * (part.dim() - 1))
            exact = s.sum(dim=0) ** 2 / (s**2).sum(dim=0)
            np.testing.assert_allclose(effective, torch.nan_to_num(exact).numpy(), rtol=1e-6, atol=1e-9)
            assert ((effective == 0) | ((effective > 1 - 1e-9) & (effective < PATIENTS + 1e-9))).all()


@NAMES
def test_the_tables_tell_how_many_patients_are_behind_a_score(name: str) -> None:
    cohort = patient_cohort(100)
    scored = score(untrained_model(cohort), cohort.train, name)
    for table in (scored.weights, scored.neurons, scored.features):
        effective = table["effective_patients"]
        if CRITERIA.get(name).needs_patients:
            assert effective.between(0, len(cohort.train) * (1 + 1e-6)).all()
            assert (effective > 1).any()
        else:
            assert effective.isna().all()


@NAMES
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("classes", [2, 3])
def test_a_table_of_patients_is_scored_as_defined(name: str, norm: str, classes: int) -> None:
    """In single precision, through the front door, dropout present; the mean over all patients."""
    cohort = patient_cohort(100, classes=classes)
    model = untrained_model(cohort, MLP(hidden=(4, 3), activation="tanh", norm=norm, dropout=0.5))
    scored = score(model, cohort.train, name)
    assert scored.patients == len(cohort.train)
    double = replace(model, network=copy.deepcopy(model.network).double())
    x, y = torch.from_numpy(model.prepared(cohort.train)).double(), torch.from_numpy(cohort.train.outcome)
    _, expected = by_hand(Case(double, x, y), name)
    kind = CRITERIA.get(name)
    counts = np.bincount(y, minlength=classes) if kind.needs_patients else np.ones(classes)
    counts = np.full(classes, len(y)) if kind.classes_are_predicted else counts
    flat = (*scored.weight_scores, *scored.unit_scores, scored.feature_scores)
    by_class = (*scored.weights_by_class, *scored.units_by_class, scored.features_by_class)
    for place, (overall, each) in enumerate(zip(flat, by_class, strict=True)):
        totals = np.stack([of_class[place].numpy() for of_class in expected])
        np.testing.assert_allclose(overall, totals.sum(axis=0) / counts.sum(), rtol=1e-4, atol=1e-7)
        for k in range(classes):
            np.testing.assert_allclose(each[k], totals[k] / counts[k], rtol=1e-4, atol=1e-7)


# --- sums, means and classes -----------------------------------------------------------------------------


@LOOKING
def test_merged_sums_equal_one_pass(name: str) -> None:
    case = small_case(3, "batch", classes=3, hidden=2, patients=12)
    chosen = CRITERIA.make(name).ready(case.model, batches(case))
    whole = sums_of(case, chosen, squares=True)
    split = [sums_of(replace(case, x=case.x[k::3], y=case.y[k::3]), chosen, squares=True) for k in range(3)]
    merged = split[0].merge(split[1]).merge(split[2])
    assert whole.squares is not None
    assert merged.squares is not None
    pairs = [*zip(parts(whole.scores), parts(merged.scores), strict=True)]
    pairs += zip(parts(whole.squares), parts(merged.squares), strict=True)
    for left, right in pairs:
        torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-12)
    assert whole.patients.tolist() == merged.patients.tolist()
    assert sums_of(case, chosen).merge(whole).squares is None, "squares of some patients are those of none"


@NAMES
def test_a_balanced_mean_gives_every_class_the_same_say(name: str) -> None:
    """Rare classes, and one without a patient, which has no say."""
    case = small_case(5, "none", classes=4, patients=40)
    y = torch.tensor([0] * 30 + [1] * 9 + [3])
    sums = sums_of(replace(case, y=y), CRITERIA.make(name), squares=True)
    plain, balanced = (
        contributions_from(case.model, name, sums, patients=40, balanced=how) for how in (False, True)
    )
    present = np.flatnonzero(sums.patients.numpy())
    pairs = zip(balanced.weight_scores, balanced.weights_by_class, strict=True)
    for overall, each in (*pairs, (balanced.feature_scores, balanced.features_by_class)):
        np.testing.assert_allclose(overall, each[present].mean(axis=0), rtol=1e-9)
        assert np.isfinite(overall).all()
    differs = not np.allclose(plain.feature_scores, balanced.feature_scores)
    kind = CRITERIA.get(name)
    assert differs is (kind.needs_patients and not kind.classes_are_predicted)


@NAMES
def test_wide_multi_class(name: str) -> None:
    """Thirty classes, most of them with a patient or two."""
    case = small_case(7, "layer", classes=30, patients=40)
    _, expected = by_hand(case, name)
    for place, total in enumerate(parts(sums_of(case, CRITERIA.make(name)).scores)):
        exact = torch.stack([of_class[place] for of_class in expected]).double()
        torch.testing.assert_close(total, exact, rtol=1e-6, atol=1e-10)


# --- what must not matter --------------------------------------------------------------------------------


@NAMES
def test_scoring_leaves_everything_as_found(name: str) -> None:
    cohort = patient_cohort(100)
    model = untrained_model(cohort, MLP(hidden=(6, 5), norm="batch", dropout=0.5))
    before = {key: value.clone() for key, value in model.network.state_dict().items()}
    chance, numpy_chance = torch.get_rng_state(), np.random.get_state()[1].copy()
    first = score(model, cohort.train, name)
    assert torch.equal(chance, torch.get_rng_state())
    assert (numpy_chance == np.random.get_state()[1]).all()
    for key, value in model.network.state_dict().items():
        assert torch.equal(value, before[key])
    assert not model.network.training
    assert all(p.grad is None and not p.requires_grad for p in model.network.parameters())
    again = score(model, cohort.train, name)
    np.testing.assert_array_equal(first.feature_scores, again.feature_scores)
    np.testing.assert_array_equal(first.weight_scores[0], again.weight_scores[0])


@NAMES
@given(seed=st.integers(0, 2**31), norm=st.sampled_from(NORMS))
@settings(max_examples=5)
def test_permuting_patients_changes_nothing(name: str, seed: int, norm: str) -> None:
    case = small_case(seed, norm, classes=3)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(PATIENTS))
    moved = replace(case, x=case.x[order], y=case.y[order])
    here, there = (parts(sums_of(each, CRITERIA.make(name)).scores) for each in (case, moved))
    for a, b in zip(here, there, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def permuted(network: Network, order: torch.Tensor) -> Network:
    """The same network with the units of its first hidden layer in another order."""
    moved = copy.deepcopy(network)
    with torch.no_grad():
        first, second = moved.layers[0], moved.layers[1]
        first.weight.copy_(first.weight[order].clone())
        first.bias.copy_(first.bias[order].clone())
        second.weight.copy_(second.weight[:, order].clone())
        for value in [] if moved.tails[0].norm is None else moved.tails[0].norm.state_dict().values():
            if value.dim() == 1:
                value.copy_(value[order].clone())
    return moved


@pytest.mark.parametrize("name", [name for name in ALL if not seed_setting(name, 0)])
@given(seed=st.integers(0, 2**31), norm=st.sampled_from(NORMS))
@settings(max_examples=5)
def test_permuting_hidden_units_permutes_their_scores(name: str, seed: int, norm: str) -> None:
    case = small_case(seed, norm, hidden=2)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(4))
    moved = replace(case, model=replace(case.model, network=permuted(case.model.network, order)))
    a, b = (sums_of(each, CRITERIA.make(name)).scores for each in (case, moved))
    for left, right in (
        (a.weights[0][:, order], b.weights[0]),
        (a.weights[1][:, :, order], b.weights[1]),
        (a.weights[2], b.weights[2]),
        (a.units[0][:, order], b.units[0]),
        (a.units[1], b.units[1]),
        (a.features, b.features),
    ):
        torch.testing.assert_close(left, right, rtol=1e-6, atol=1e-10)


@NAMES
def test_a_features_score_does_not_depend_on_its_unit(name: str) -> None:
    cohort = patient_cohort(300)
    grams = cohort.train.frame
    milligrams = grams.assign(lactate=grams["lactate"] * 1000)
    model = untrained_model(cohort)
    sums = []
    for frame in (grams, milligrams):
        preparation = fit_preparation(frame, cohort.features)
        data = Prepared(preparation.transform(frame), cohort.train.outcome)
        sums.append(sum_scores(replace(model, preparation=preparation), data, CRITERIA.make(name)))
    a, b = (each.scores.features.numpy() for each in sums)
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@NAMES
@given(seed=st.integers(0, 2**31), norm=st.sampled_from(NORMS))
@settings(max_examples=10)
def test_what_is_removed_scores_nothing(name: str, seed: int, norm: str) -> None:
    case = small_case(seed, norm, hidden=2, masked=True)
    sums, mask = sums_of(case, CRITERIA.make(name)).scores, case.mask
    for scores, alive in zip(sums.weights, mask.alive_weights(), strict=True):
        assert (scores[:, ~alive] == 0).all()
    for scores, kept in zip(sums.units, mask.units, strict=True):
        assert (scores[:, ~kept] == 0).all()
    used = np.isin(np.arange(len(case.model.features)), PREPARATION.feature_of_column[mask.inputs.numpy()])
    assert (sums.features.numpy()[:, ~used] == 0).all()


def test_a_setting_out_of_its_limits_is_told() -> None:
    for epsilon in (0.0, 2.0):
        with pytest.raises(BadInput, match="Epsilon must be in"):
            CRITERIA.make("lrp", epsilon=epsilon)
    assert {f.name for f in fields(CRITERIA.get("random"))} == {"seed"}  # type: ignore[arg-type]
