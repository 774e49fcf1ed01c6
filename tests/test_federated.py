"""Sums of several sites: the same scores as one pass, whatever order they come in; and who is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medprune import BadInput, RiskModel
from medprune.cohort import Split
from medprune.criteria import CRITERIA
from medprune.federated import SiteSums, merge_sums, site_sums
from medprune.model import Recalibration
from medprune.scoring import GRANULARITIES, Contributions, score
from medprune.site_counts import Floor
from medprune.sums_file import MOST_BYTES, load_scores, load_sums, save_sums, sums_bytes, sums_from
from tests.hostile.case import CANARY
from tests.makers import patient_cohort, patient_table, random_mask, untrained_model

LOOKING = tuple(name for name in CRITERIA.names() if CRITERIA.get(name).needs_patients)
WAYS = (*((name, {}) for name in LOOKING), ("taylor", {"signed": True}), ("fisher", {"expected": True}))
LOW = Floor(2, 2)


@pytest.fixture(scope="module", params=(2, 3), ids=("two classes", "three classes"))
def model_and_everyone(request: pytest.FixtureRequest) -> tuple[RiskModel, Split]:
    cohort = patient_cohort(150, request.param)
    return untrained_model(cohort), cohort.all()


def dealt(everyone: Split, site: np.ndarray) -> list[Split]:
    return [everyone.take(f"site {k}", np.flatnonzero(site == k)) for k in np.unique(site)]


def merged(model: RiskModel, sites: list[Split], name: str, **how: Any) -> SiteSums:
    """As hospitals do it: in two rounds where the criterion smooths by class rates."""
    if name == "class_contribution":
        first = merge_sums([site_sums(model, site, name, floor=LOW) for site in sites])
        how = how | {"rates": first.rates}
    return merge_sums([site_sums(model, site, name, floor=LOW, **how) for site in sites])


def assert_same(found: Contributions, pooled: Contributions, by: float = 1e-6) -> None:
    for granularity in GRANULARITIES:
        one, other = found.table(granularity, by_class=True), pooled.table(granularity, by_class=True)
        assert list(one.columns) == list(other.columns)
        assert one["name"].tolist() == other["name"].tolist()
        numbers = ["score", *(column for column in one.columns if column.startswith("score ["))]
        np.testing.assert_allclose(one[numbers], other[numbers], rtol=1e-5, atol=by)
        np.testing.assert_allclose(one["effective_patients"], other["effective_patients"], rtol=1e-4)
    assert found.patients == pooled.patients


@pytest.mark.parametrize(("name", "how"), WAYS, ids=str)
@pytest.mark.parametrize("balanced", [False, True])
def test_three_sites_in_any_order_are_one_pass(
    name: str, how: dict[str, Any], balanced: bool, model_and_everyone: tuple[RiskModel, Split]
) -> None:
    model, everyone = model_and_everyone
    sites = dealt(everyone, np.repeat([0, 1, 2], (30, 50, 70)))
    pooled = score(model, everyone, name, balanced=balanced, **how)
    for order in permutations(sites):
        assert_same(merged(model, list(order), name, balanced=balanced, **how).contributions(model), pooled)


@settings(max_examples=15)
@given(
    shares=st.lists(st.integers(1, 5), min_size=2, max_size=5),
    seed=st.integers(0, 2**32 - 1),
    name=st.sampled_from(LOOKING),
)
def test_however_patients_are_dealt_to_sites(shares: list[int], seed: int, name: str) -> None:
    cohort = patient_cohort(150)
    model, everyone = untrained_model(cohort), cohort.all()
    site = np.empty(150, dtype=int)
    for k in (0, 1):  # two or more of each class everywhere
        mine = np.random.default_rng(seed).permutation(np.flatnonzero(everyone.outcome == k))
        for place, part in enumerate(np.split(mine, np.cumsum(shares)[:-1] * len(mine) // sum(shares))):
            site[part] = place
    found = merged(model, dealt(everyone, site), name)
    assert len(found.sites) == len(shares)
    assert_same(found.contributions(), score(model, everyone, name))


def test_merging_merged_sums_is_merging_all(model_and_everyone: tuple[RiskModel, Split]) -> None:
    model, everyone = model_and_everyone
    parts = [site_sums(model, site, floor=LOW) for site in dealt(everyone, np.arange(150) % 4)]
    left = reduce(lambda a, b: merge_sums([a, b]), parts)
    tree = merge_sums([merge_sums([parts[3], parts[1]]), merge_sums([parts[2], parts[0]])])
    assert left.sites == tree.sites
    assert left.counts == tree.counts
    assert_same(left.contributions(), tree.contributions(), by=1e-12)


def test_a_masked_model_federates_too(model_and_everyone: tuple[RiskModel, Split]) -> None:
    model, everyone = model_and_everyone
    masked = replace(model, mask=random_mask(model.network, 3))
    sites = dealt(everyone, np.arange(150) % 3)
    assert_same(merged(masked, sites, "contribution").contributions(), score(masked, everyone))
    with pytest.raises(BadInput, match="different models"):
        merge_sums([site_sums(masked, sites[0], floor=LOW), site_sums(model, sites[1], floor=LOW)])


def test_a_sites_recalibration_changes_no_score(model_and_everyone: tuple[RiskModel, Split]) -> None:
    model, everyone = model_and_everyone
    here, there = dealt(everyone, np.arange(150) % 2)
    local = replace(model, recalibration=Recalibration(1.3, (0.0,) * len(model.classes)))
    both = merge_sums([site_sums(local, here, floor=LOW), site_sums(model, there, floor=LOW)])
    assert_same(both.contributions(model), score(model, everyone))


# --- the file ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "how"), WAYS, ids=str)
def test_a_file_brings_back_every_bit(
    name: str, how: dict[str, Any], model_and_everyone: tuple[RiskModel, Split], tmp_path: Path
) -> None:
    model, everyone = model_and_everyone
    sums = merged(model, [everyone], name, **how)
    back = load_sums(save_sums(sums, tmp_path / "site.json"))
    assert (back.agreed, back.counts, back.sites) == (sums.agreed, sums.counts, sums.sites)
    assert_same(load_scores(tmp_path / "site.json", model), sums.contributions(), by=0)
    assert sums_bytes(back) == sums_bytes(sums)


def test_the_file_holds_sums_and_counts_only(tmp_path: Path) -> None:
    """Nothing a patient has stands in it: no cell, no hash of a patient, and no length grows with rows."""
    table = patient_table(200).assign(sex=CANARY)
    cohort = patient_cohort(200)
    model = untrained_model(cohort)
    sizes = []
    for rows in (60, 200):
        everyone = cohort.all().take("all", np.arange(rows))
        path = save_sums(site_sums(model, everyone), tmp_path / f"{rows}.json")
        text = path.read_text()
        told = json.loads(text)
        assert set(told) == {
            "medprune_sums", "kind", "model", "preparation", "outcome", "classes", "layers", "columns",
            "features", "criterion", "settings", "balanced", "sites", "patients", "patients_of_class",
            "rows_of_class", "over", "sums", "squares",
        }  # fmt: skip
        assert not any(str(patient) in text for patient in everyone.patients)
        assert CANARY in table["sex"].to_numpy()
        assert CANARY not in text
        sizes.append(sum(np.size(part) for part in told["sums"]["weights"]))
    assert sizes[0] == sizes[1]


@pytest.fixture(scope="module")
def good() -> dict[str, Any]:
    cohort = patient_cohort(150)
    told: dict[str, Any] = json.loads(sums_bytes(site_sums(untrained_model(cohort), cohort.all())))
    return told


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


DAMAGE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no sums": lambda told: told.pop("sums"),
    "another kind": lambda told: told.update(kind=CANARY),
    "format of text": lambda told: told.update(medprune_sums="1"),
    "unknown criterion": lambda told: told.update(criterion=CANARY),
    "hash too short": lambda told: told.update(model="ab"),
    "no site": lambda told: told.update(sites=[]),
    "a site twice": lambda told: told.update(sites=told["sites"] * 2),
    "too many sites": lambda told: told.update(sites=[f"{k:032x}" for k in range(10_001)]),
    "patients below zero": lambda told: told.update(patients=-1),
    "patients of truth": lambda told: told.update(patients=True),
    "patients by halves": lambda told: told.update(patients=150.5),
    "more of a class than there are": lambda told: told.update(patients_of_class=[151, 75]),
    "a class without rows": lambda told: told.update(rows_of_class=[0, 75]),
    "over others": lambda told: told.update(over=[1.0, 1.0]),
    "sums of text": lambda told: told["sums"].update(features=[["1"] * 6] * 2),
    "sums of nothing": lambda told: told["sums"].update(features=[[None] * 6] * 2),
    "ragged sums": lambda told: told["sums"].update(features=[[1.0], [1.0, 2.0]]),
    "sums too wide": lambda told: told["sums"].update(features=[[1.0] * 7] * 2),
    "sums below zero": lambda told: told["sums"]["features"][0].__setitem__(0, -1.0),
    "endless sums": lambda told: told["sums"]["features"][0].__setitem__(0, 1e308),
    "a layer missing": lambda told: told["sums"]["weights"].pop(),
    "layers that do not chain": lambda told: told["sums"]["weights"].reverse(),
    "a long name": lambda told: told.update(outcome="x" * 1001),
    "a name of numbers": lambda told: told.update(features=[1] * 6),
    "settings of another kind": lambda told: told.update(settings=[]),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_refused_in_a_sentence(damage: str, good: dict[str, Any]) -> None:
    told = json.loads(json.dumps(good))
    DAMAGE[damage](told)
    with pytest.raises(BadInput, match=r"The sums in 'a\.json' are damaged .* score again\.$") as refused:
        sums_from(json.dumps(told).encode(), "a.json")
    assert CANARY not in refused.value.sentence


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\xff\xfe", b"name,score\na,1\n", b"[1]", b"{}", b'{"medprune_sums": 1, "medprune_sums": 1}',
        b'{"medprune_sums": NaN}', b'{"medprune_sums": 1' + b"0" * 5000 + b"}", nested(200_000).encode(),
        b"PK\x03\x04", b"\x80\x04.",
    ],
    ids=lambda data: repr(data[:12]),
)  # fmt: skip
def test_what_is_no_file_of_sums_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput, match="'a' is no file of sums; name one that"):
        sums_from(data, "a")


def test_a_file_too_large_or_too_new_or_not_there(good: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="larger than 64 MB"):
        sums_from(b" " * (MOST_BYTES + 1), "a")
    with pytest.raises(BadInput, match="written by a newer MedPrune"):
        sums_from(json.dumps(good | {"medprune_sums": 2}).encode(), "a")
    with pytest.raises(BadInput, match="cannot be read"):
        load_sums(tmp_path / "nowhere.json")


# --- what is never added up -------------------------------------------------------------------------


def test_what_differs_is_named(model_and_everyone: tuple[RiskModel, Split]) -> None:
    model, everyone = model_and_everyone
    here, there = dealt(everyone, np.arange(150) % 2)
    other = untrained_model(patient_cohort(150, len(model.classes)), seed=7)
    code = replace(model.preparation.numbers[0], mean=1.0)
    shifted = replace(model.preparation, numbers=(code, *model.preparation.numbers[1:]))
    one = site_sums(model, here, floor=LOW)
    rates = np.full((len(model.classes),) * 2, 1 / len(model.classes)).tolist()
    for second, says in (
        (site_sums(other, there, floor=LOW), "different models"),
        (site_sums(replace(model, preparation=model.preparation.removing_to(
            model.prepared(there))), there, floor=LOW), "different constants"),
        (site_sums(model, there, "taylor", floor=LOW), "different criteria"),
        (site_sums(model, there, balanced=True, floor=LOW), "class-balanced mean"),
        (site_sums(model, there, "class_contribution", floor=LOW), "two rounds of class_contribution"),
        (one, "would count twice"),
    ):  # fmt: skip
        with pytest.raises(BadInput, match=says):
            merge_sums([one, second])
    assert shifted != model.preparation
    smoothed = [
        site_sums(model, site, "class_contribution", floor=LOW, rates=own)
        for site, own in ((here, rates), (there, np.eye(len(rates)).tolist()))
    ]
    with pytest.raises(BadInput, match="the class rates are one"):
        merge_sums(smoothed)
    with pytest.raises(BadInput, match="nothing to merge"):
        merge_sums([])
    with pytest.raises(BadInput, match="of another model"):
        one.contributions(other)


@pytest.mark.parametrize(("name", "says"), [("random", "--seed"), ("magnitude", "weights alone")])
def test_a_criterion_that_looks_at_nobody_has_no_sums(name: str, says: str) -> None:
    cohort = patient_cohort(150)
    with pytest.raises(BadInput, match=says):
        site_sums(untrained_model(cohort), cohort.all(), name)


# --- small sites ------------------------------------------------------------------------------------


def test_small_sites_and_rare_classes_are_refused() -> None:
    cohort = patient_cohort(150)
    model, everyone = untrained_model(cohort), cohort.all()
    with pytest.raises(BadInput, match="has 19 patients, and sums over fewer than 20"):
        site_sums(model, everyone.take("a", np.arange(19)))
    one, none = (np.flatnonzero(everyone.outcome == k) for k in (1, 0))
    few = everyone.take("a", np.concatenate((none[:40], one[:4])))
    with pytest.raises(BadInput, match="The class '1' has 4 patients here, and sums over fewer than 5"):
        site_sums(model, few)
    assert site_sums(model, few, floor=Floor(20, 4)).counts.of_class == (40, 4)
    assert site_sums(model, everyone.take("a", none[:40])).counts.of_class == (40, 0)


def test_patients_are_counted_not_their_visits() -> None:
    cohort = patient_cohort(150)
    model, everyone = untrained_model(cohort), cohort.all()
    visits = replace(everyone, patients=everyone.patients[np.arange(150) % 10])
    with pytest.raises(BadInput, match="has 10 patients"):
        site_sums(model, visits)
    one_of_class = replace(
        everyone, patients=np.where(everyone.outcome == 1, everyone.patients[0], everyone.patients)
    )
    with pytest.raises(BadInput, match="The class '1' has 1 patients"):
        site_sums(model, one_of_class)


@pytest.mark.parametrize(
    ("text", "floor"), [("20", Floor(20, 5)), ("40,10", Floor(40, 10)), (" 2 , 2 ", Floor(2, 2))]
)
def test_the_floor_from_the_shell(text: str, floor: Floor) -> None:
    assert Floor.read(text) == floor


@pytest.mark.parametrize("text", ["", "x", "1", "20,1", "1,2,3", "-5", "20.5", "9" * 30])
def test_a_floor_that_is_none(text: str) -> None:
    with pytest.raises(BadInput):
        Floor.read(text)


def test_sums_that_could_be_taken_apart_come_with_a_caution() -> None:
    cohort = patient_cohort(150)
    model, everyone = untrained_model(cohort), cohort.all()
    columns = len(model.preparation.columns)
    assert site_sums(model, everyone).cautions() == ()
    [caution] = site_sums(model, everyone.take("a", np.arange(21))).cautions()
    assert f"prepared columns ({columns})" in caution


# --- the agreed preparation -------------------------------------------------------------------------


def test_a_site_that_codes_or_measures_otherwise_is_refused() -> None:
    cohort = patient_cohort(150)
    model, everyone = untrained_model(cohort), cohort.all()
    coded = replace(everyone, frame=everyone.frame.assign(sex=CANARY))
    with pytest.raises(BadInput, match="Most categories in the column 'sex'") as refused:
        site_sums(model, coded)
    assert CANARY not in refused.value.sentence
    measured = replace(everyone, frame=everyone.frame.assign(age=everyone.frame["age"] * 1000))
    with pytest.raises(BadInput, match="numbers in the column 'age' lie far outside"):
        site_sums(model, measured)
