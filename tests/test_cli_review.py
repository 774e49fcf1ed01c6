"""The shell's review: the contract's keys, the bundle that takes it, and what is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medprune import BadInput, export, load_bundle, load_cohort, load_model, review
from medprune.bundle import FILES, LATER, add_review
from medprune.model import Recalibration
from tests.makers import patient_table
from tests.test_cli import Shell, place, shell, snapshot

__all__ = ["place", "shell"]  # fixtures

STATES = {"pass", "warn", "fail", "not assessable"}
PERFORMANCE = {"auroc", "accuracy", "f1", "brier", "parameters", "stored", "features", "bytes"}


@pytest.fixture
def bundle(place: Path, tmp_path: Path) -> Path:
    """A copy of the bundle, which the review changes."""
    shutil.copy(place / "bundle.zip", tmp_path / "b.zip")
    return Path(shutil.copytree(place / "bundle", tmp_path / "b"))


def reviewing(place: Path, bundle: Path, *more: object) -> tuple[object, ...]:
    return (
        *("review", place / "patients.csv", "--outcome", "stage", "--dense", place / "m.safetensors"),
        *("--bundle", bundle, "--refits", "1", *more),
    )


def test_the_keys_of_the_contract_are_there_and_hold(shell: Shell, place: Path, bundle: Path) -> None:
    found = shell.json(*reviewing(place, bundle, "--act-at", "0.4", "--subgroup", "sex"))
    assert [check["id"] for check in found["checks"]] == [f"G{k}" for k in range(9)]
    for check in found["checks"]:
        assert check["state"] in STATES
        assert {"estimate", "low", "high", "margin"} <= set(check)
        assert check["sentence"].endswith(".")
    assert found["checks"][0]["state"] == "not assessable"  # a handful of test patients
    assert found["gate"] in ("fail", "not assessable")
    for which in ("dense", "pruned"):
        assert set(found[which]) >= PERFORMANCE
    assert found["pruned"]["parameters"] < found["dense"]["parameters"]
    flips = found["flips"]
    counted = sum(flips[name] for name in ("missed", "caught", "spared", "alarmed"))
    assert counted == pytest.approx(flips["rate"] * found["rows"])
    assert flips["floor_detail"]["refits"] == 1
    assert {group["name"] for group in found["subgroups"]} == {"sex = female", "sex = male"}
    assert found["act_at"] == 0.4
    assert found["split"] == "test"
    assert found["logistic_regression"]
    [pooled] = found["pooled_out_of_fold"]
    assert pooled["rows"] > found["rows"]


def test_the_bundle_takes_it_in_one_step_and_stays_what_it_was(
    shell: Shell, place: Path, bundle: Path
) -> None:
    before = snapshot(bundle)
    found = shell.json(*reviewing(place, bundle))
    after = snapshot(bundle)
    assert set(after) == {*FILES, *LATER}
    assert {name for name in before if before[name] != after[name]} == {"model.json"}
    about = json.loads(after["model.json"])
    assert about["review"] == {"gate": found["gate"], "override": None}
    told = json.loads(after["review.json"])
    assert told["checks"] == found["checks"]
    assert set(load_bundle(bundle.with_suffix(".zip")).about["files"]) == {*FILES, *LATER}
    assert found["gate"] in after["report.html"].decode().lower()


def test_a_second_review_replaces_the_first_and_is_no_further_look(
    shell: Shell, place: Path, bundle: Path
) -> None:
    looks = []
    for _ in range(2):
        found = shell.json(*reviewing(place, bundle))
        looks.append(found["evidence"]["configurations_on_test"])
    assert looks[0] == looks[1]
    assert sum(path.name == "review.json" for path in bundle.iterdir()) == 1


def test_a_zip_is_reviewed_too(shell: Shell, place: Path, bundle: Path) -> None:
    shutil.rmtree(bundle)
    found = shell.json(*reviewing(place, bundle.with_suffix(".zip")))
    assert Path(found["bundle"]) == bundle
    assert (bundle / "report.html").exists()


def test_limits_that_are_loosened_after_test_was_opened_fail(
    shell: Shell, place: Path, bundle: Path, tmp_path: Path
) -> None:
    for name, value, loosened in (("looser", 0.05, True), ("stricter", 0.01, False)):
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps({"auroc_loss": value}), encoding="utf-8")
        found = shell.json(*reviewing(place, bundle, "--margins", file, "--refits", "0"))
        assert found["evidence"]["limits_loosened"] is loosened
        assert (found["checks"][0]["state"] == "fail") is loosened


def test_limits_set_at_prune_are_those_that_hold(shell: Shell, place: Path, tmp_path: Path) -> None:
    file = tmp_path / "limits.json"
    file.write_text('{"auroc_loss": 0.05}', encoding="utf-8")
    common = ("--outcome", "stage", "--model", place / "m.safetensors", "--sparsity", "0.6")
    shell.json("prune", place / "patients.csv", *common, "--margins", file, "--out", tmp_path / "b")
    for again in (("--margins", file), ()):  # said again, or simply those on record
        found = shell.json(*reviewing(place, tmp_path / "b", *again, "--refits", "0"))
        assert found["evidence"]["limits_loosened"] is False
        assert found["evidence"]["limits_locked"] == found["limits"]["sha256"]
        assert found["limits"]["auroc_loss"] == 0.05


def test_an_override_is_printed_in_the_card(shell: Shell, place: Path, bundle: Path) -> None:
    given = ("--override", "Ward 7", "--override-reason", "a pilot", "--override-until", "2999-01-31")
    found = shell.json(*reviewing(place, bundle, *given, "--refits", "0"))
    assert found["override"] == {"name": "Ward 7", "reason": "a pilot", "expires": "2999-01-31"}
    for name in ("card.md", "report.html"):
        text = (bundle / name).read_text(encoding="utf-8")
        assert "Ward 7" in text
        assert "2999-01-31" in text


def test_what_only_its_makers_know_is_asked_for_and_blanks_are_told(
    shell: Shell, place: Path, bundle: Path, tmp_path: Path
) -> None:
    file = tmp_path / "about.json"
    file.write_text('{"developer": "The heart group <b>"}', encoding="utf-8")
    shell.json(*reviewing(place, bundle, "--about", file, "--refits", "0"))
    report = (bundle / "report.html").read_text(encoding="utf-8")
    assert "The heart group &lt;b&gt;" in report
    assert "not provided" in report


def test_other_patients_are_reviewed_whole(shell: Shell, place: Path, bundle: Path, tmp_path: Path) -> None:
    others = tmp_path / "others.csv"
    patient_table(260, seed=9).to_csv(others, index=False)
    found = shell.json(
        *("review", others, "--outcome", "stage", "--dense", place / "m.safetensors", "--bundle", bundle),
        *("--external", "--subgroup", "sex"),
    )
    assert found["rows"] == 260
    assert found["flips"]["floor"] is None
    assert found["evidence"]["configurations_on_test"] == 1


def test_every_site_is_left_out_once(shell: Shell, tmp_path: Path) -> None:
    table = patient_table(400)
    table["hospital"] = np.where(np.arange(400) % 3 == 0, "north", "south")
    table.to_csv(tmp_path / "t.csv", index=False)
    common = (tmp_path / "t.csv", "--outcome", "stage", "--exclude", "hospital")
    dense = tmp_path / "m.safetensors"
    shell.json("train", *common, "--hidden", "4", "--out", dense)
    shell.json("prune", *common, "--model", dense, "--sparsity", "0.5", "--out", tmp_path / "b")
    found = shell.json(
        *("review", tmp_path / "t.csv", "--outcome", "stage", "--dense", dense, "--bundle", tmp_path / "b"),
        *("--site", "hospital", "--refits", "0"),
    )
    assert {site["name"] for site in found["sites"]["sites"]} == {"north", "south"}


def test_three_classes_are_reviewed(shell: Shell, tmp_path: Path) -> None:
    patient_table(300, classes=3).to_csv(tmp_path / "t.csv", index=False)
    common = (tmp_path / "t.csv", "--outcome", "stage")
    dense = tmp_path / "m.safetensors"
    shell.json("train", *common, "--hidden", "6", "--out", dense)
    shell.json("prune", *common, "--model", dense, "--sparsity", "0.6", "--out", tmp_path / "b")
    found = shell.json(
        "review", *common, "--dense", dense, "--bundle", tmp_path / "b", "--refits", "1", "--subgroup", "sex"
    )
    assert [side["class"] for side in found["by_class"]] == ["stage 0", "stage 1", "stage 2"]
    assert len(found["pairs"]) == 3
    assert found["flips"]["alarmed"] == found["flips"]["spared"] == 0
    changed = sum(found["flips"][name] for name in ("missed", "caught", "moved"))
    assert changed == pytest.approx(found["flips"]["rate"] * found["rows"])


def test_censored_outcomes_are_reviewed_with_their_weights(shell: Shell, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = patient_table(600).drop(columns="stage")
    failure = rng.exponential(10 * np.exp(-0.06 * (table["age"] - 60)))
    end = rng.uniform(1, 20, 600)
    table["days"], table["died"] = np.minimum(failure, end).round(2), (failure <= end).astype(int)
    table.to_csv(tmp_path / "t.csv", index=False)
    common = (tmp_path / "t.csv", "--outcome", "died", "--time", "days", "--horizon", "8")
    dense = tmp_path / "m.safetensors"
    shell.json("train", *common, "--hidden", "6", "--out", dense)
    shell.json("prune", *common, "--model", dense, "--sparsity", "0.6", "--out", tmp_path / "b")
    found = shell.json(
        "review", *common, "--dense", dense, "--bundle", tmp_path / "b", "--refits", "1", "--act-at", "0.3"
    )
    [side] = found["by_class"]
    assert side["events"] + side["non_events"] < found["rows"]  # of some nobody knows
    assert 0 < side["prevalence"] < 1
    assert side["change"]["auroc"]["value"] is not None


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--override", "A"), "override"),
        (("--override", "A", "--override-reason", "b", "--override-until", "soon"), "date"),
        (("--refits", "-1"), "retrainings"),
        (("--prevalence", "0"), "prevalence"),
        (("--subgroup", "sx"), "sx"),
        (("--margins", "nowhere.json"), "limits"),
        (("--about", "nowhere.json"), "nowhere.json"),
        (("--act-at", "1"), "between 0 and 1"),
        (("--site", "nowhere"), "nowhere"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence_and_nothing_changes(
    more: tuple[str, ...], says: str, shell: Shell, place: Path, bundle: Path
) -> None:
    before = snapshot(bundle)
    assert says in shell.refused(*reviewing(place, bundle, *more))
    assert snapshot(bundle) == before


def test_a_bundle_of_another_model_is_refused(
    shell: Shell, place: Path, bundle: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.safetensors"
    shell.json(*("train", place / "patients.csv", "--outcome", "stage", "--hidden", "5", "--out", other))
    sentence = shell.refused(
        *("review", place / "patients.csv", "--outcome", "stage", "--dense", other, "--bundle", bundle)
    )
    assert "another model" in sentence


def test_a_review_of_other_risks_never_gets_into_a_bundle(place: Path, bundle: Path, tmp_path: Path) -> None:
    dense = load_model(place / "m.safetensors")
    cohort = load_cohort(place / "patients.csv", outcome="stage", split=dense.origin.split)
    held = load_bundle(bundle)
    timid = replace(held.model, recalibration=Recalibration(0.5, held.model.recalibration.intercepts))
    found = review(dense, timid, cohort.test, act_at=0.4)
    before = snapshot(bundle)
    with pytest.raises(BadInput, match="another model"):
        add_review(held, found)
    with pytest.raises(BadInput, match="another model"):
        export(held.model, found, tmp_path / "new")
    assert snapshot(bundle) == before
    assert not (tmp_path / "new").exists()
    assert (export(timid, found, tmp_path / "new").folder / "report.html").exists()


def test_a_changed_table_is_refused(shell: Shell, place: Path, bundle: Path, tmp_path: Path) -> None:
    changed = pd.read_csv(place / "patients.csv")
    changed.loc[0, "age"] += 1
    changed.to_csv(tmp_path / "changed.csv", index=False)
    shell.refused(
        *("review", tmp_path / "changed.csv", "--outcome", "stage", "--dense", place / "m.safetensors"),
        *("--bundle", bundle),
    )


def test_without_json_the_gate_is_told_in_words(shell: Shell, place: Path, bundle: Path) -> None:
    code, out, _ = shell(*reviewing(place, bundle, "--refits", "0"))
    assert code == 0
    assert out.startswith("Gate: ")
    assert "not a pass" in out
