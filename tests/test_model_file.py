"""A model's file gives the same model back; a damaged, foreign or unfitting one is told in a sentence."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch

from medprune import MLP, BadInput, Cohort, RiskModel, load_cohort, load_model, save_model
from medprune.compaction import compact
from medprune.intake.tensor_file import read_tensors
from medprune.model import Recalibration
from medprune.model_file import FORMAT, KEY, check_columns, describe, fingerprint, model_bytes, model_from
from medprune.network import NORMS
from tests.makers import patient_cohort, patient_table, random_mask, untrained_model

About = dict[str, Any]


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return patient_cohort()


@pytest.fixture(scope="module")
def model(cohort: Cohort) -> RiskModel:
    made = untrained_model(cohort, MLP(hidden=(6, 5), norm="batch"))
    return replace(made, positive="1", act_at=0.3, recalibration=Recalibration(0.9, (0.1, -0.2)))


def changed(
    model: RiskModel, change: Callable[[About], object], tensors: dict[str, Any] | None = None
) -> bytes:
    """The model's file with another description."""
    about = describe(model)
    change(about)
    state = {name: value.contiguous() for name, value in model.network.state_dict().items()} | (tensors or {})
    return safetensors.torch.save(state, metadata={KEY: json.dumps(about)})


def refused(data: bytes, words: str) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        load_model(data, name="theirs.safetensors")
    assert "theirs.safetensors" in str(caught.value) or "Layer" in str(caught.value)


# --- there and back --------------------------------------------------------------------------------


def test_everything_comes_back(model: RiskModel, cohort: Cohort, tmp_path: Path) -> None:
    path = save_model(model, tmp_path / "model.safetensors")
    again = load_model(path, cohort)
    assert describe(again) == describe(model)
    assert again.origin == model.origin
    assert fingerprint(again) == fingerprint(model)
    np.testing.assert_array_equal(again.predict_proba(patient_table()), model.predict_proba(patient_table()))
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.safetensors"]


@pytest.mark.parametrize("norm", NORMS)
def test_a_masked_model_is_written_compact(norm: str, cohort: Cohort) -> None:
    dense = untrained_model(cohort, MLP(hidden=(6, 5), norm=norm))
    masked = replace(dense, mask=random_mask(dense.network, seed=3, keep=0.8))
    again = load_model(model_bytes(masked))
    assert again.mask is None
    assert again.network.stored() < dense.network.stored()
    np.testing.assert_allclose(
        again.predict_proba(patient_table()), masked.predict_proba(patient_table()), atol=1e-6
    )
    assert describe(again) == describe(compact(masked))


def test_the_same_model_has_the_same_bytes(model: RiskModel) -> None:
    assert model_bytes(model) == model_bytes(load_model(model_bytes(model)))


def test_the_description_is_plain_json_and_holds_no_patient(model: RiskModel) -> None:
    with_names = patient_table().assign(ward="Jane Doe")
    with_names.loc[::2, "ward"] = "John Roe"
    data = model_bytes(untrained_model(load_cohort(with_names, outcome="stage", exclude=["ward"])))
    assert b"Jane" not in data
    about = json.loads(read_tensors(data).metadata[KEY])
    assert about["format"] == FORMAT
    assert [column["name"] for column in about["inputs"]] == ["age", "lactate", "visit", "noise", "sex"]
    assert set(about) >= {"outcome", "classes", "decision_threshold", "preparation", "network", "origin"}


def test_other_programs_can_open_it(model: RiskModel, tmp_path: Path) -> None:
    path = save_model(model, tmp_path / "model.safetensors")
    with safetensors.safe_open(path, "pt") as file:
        assert set(file.keys()) == set(model.network.state_dict())
        assert json.loads(file.metadata()[KEY])["outcome"] == "stage"


# --- writing ---------------------------------------------------------------------------------------


def test_a_failed_write_leaves_what_was_there(
    model: RiskModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"the older one")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("medprune.tables.os.fsync", full)
    with pytest.raises(BadInput, match=r"The model cannot be written to .* \(No space left on device\)"):
        save_model(model, path)
    assert path.read_bytes() == b"the older one"
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.safetensors"]


def test_places_that_cannot_be_written(model: RiskModel, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (
        tmp_path,
        tmp_path / "none" / "m.safetensors",
        tmp_path / "file" / "m",
        tmp_path / ("x" * 300),
    ):
        with pytest.raises(BadInput, match=r"choose another place|name the file"):
            save_model(model, path)
    with pytest.raises(BadInput, match="name the file"):
        save_model(model, "")


# --- files that are wrong --------------------------------------------------------------------------


def test_a_plain_state_dict_is_told_what_it_lacks(model: RiskModel) -> None:
    refused(safetensors.torch.save(model.network.state_dict()), "--activation, --columns, --scaling")


def test_weights_that_are_no_numbers_are_told_by_layer(model: RiskModel) -> None:
    broken = torch.full((5, 6), 0.5)
    broken[0, :3] = float("nan")
    data = changed(model, lambda about: None, {"layers.1.weight": broken})
    refused(data, "Layer 'hidden 2' of the model holds 3 weights that are not finite")
    data = changed(model, lambda about: None, {"tails.0.norm.running_mean": torch.full((6,), float("inf"))})
    refused(data, r"Layer 'hidden 1 \(normalisation\)' of the model holds 6 weights")


def test_a_newer_file_says_so(model: RiskModel) -> None:
    refused(changed(model, lambda about: about.update(format=FORMAT + 1)), "newer MedPrune; update")


@pytest.mark.parametrize(
    "change",
    [
        lambda about: about.pop("format"),
        lambda about: about.pop("network"),
        lambda about: about.update(network=[]),
        lambda about: about.update(network=about["network"] | {"inputs": "many"}),
        lambda about: about.update(network=about["network"] | {"inputs": -3}),
        lambda about: about.update(classes=7),
        lambda about: about.update(decision_threshold="high"),
        lambda about: about.update(recalibration={"slope": float("nan"), "intercepts": []}),
        lambda about: about.update(recalibration={"slope": 1.0, "intercepts": [1.0]}),
        lambda about: about.update(preparation={}),
        lambda about: about["preparation"]["numbers"][0].update(scale=0.0),
        lambda about: about["preparation"]["numbers"][0].update(mean=float("inf")),
        lambda about: about["preparation"]["numbers"][1].update(name="age"),
        lambda about: about["preparation"]["categories"][0].update(fill=99),
        lambda about: about["preparation"]["categories"][0].update(labels=[1, 2]),
        lambda about: about["preparation"]["columns"][0].update(feature="nobody"),
        lambda about: about["preparation"]["columns"][0].update(role="guess"),
        lambda about: about["preparation"]["columns"][-1].update(code=99),
        lambda about: about.update(origin={"source": "here"}),
    ],
)
def test_a_description_that_makes_no_sense(change: Callable[[About], object], model: RiskModel) -> None:
    refused(changed(model, change), "does not describe its model in a way MedPrune can read")


def test_a_description_that_is_no_json(model: RiskModel) -> None:
    state = dict(model.network.state_dict())
    for text in ("", "[]", "{", "null", "[" * 5_000, '"about"'):
        data = safetensors.torch.save(state, metadata={KEY: text})
        refused(data, "does not describe its model in a way MedPrune can read")


def test_a_description_of_another_network(model: RiskModel) -> None:
    def wider(about: About) -> None:
        about["network"]["tails"][0]["width"] = 7

    refused(
        changed(model, wider), r"'layers.0.weight' has the shape \(6, \d+\), its description says \(7, \d+\)"
    )
    refused(changed(model, lambda a: None, {"more.weight": torch.ones(2)}), "unexpected: 'more.weight'")
    refused(
        changed(model, lambda a: a["network"].update(tails=a["network"]["tails"][:1])),
        "missing: none; unexpected: 'layers.2.bias', 'layers.2.weight'",
    )
    refused(
        changed(model, lambda a: a["network"]["tails"].extend(a["network"]["tails"] * 500)), "1003 layers"
    )


def test_a_network_of_any_claimed_width_takes_no_memory(model: RiskModel) -> None:
    def huge(about: About) -> None:
        about["network"]["tails"][0]["width"] = about["network"]["tails"][1]["width"] = 10_000_000

    refused(changed(model, huge), "has the shape")


def test_widths_of_preparation_and_network_must_agree(model: RiskModel) -> None:
    refused(
        changed(model, lambda about: about["preparation"]["columns"].pop()),
        r"takes (\d+) inputs, its preparation makes \d+",
    )
    plain = replace(model, recalibration=Recalibration())
    refused(changed(plain, lambda about: about["classes"].append("2")), "tells 2 classes apart, 3 are named")
    refused(changed(model, lambda about: about.update(decision_threshold=1.5)), r"must lie in \[0, 1\]")


def test_no_cut_and_no_flip_does_more_than_be_refused(model: RiskModel) -> None:
    """Read here: in the child, as others' files are, 264 of them would take minutes."""
    data = model_bytes(model)
    for length in range(0, len(data) - 1, len(data) // 64):
        with pytest.raises(BadInput):
            read_tensors(data[:length], name="m")
    rng, read = random.Random(2), 0
    for _ in range(200):
        broken = bytearray(data)
        broken[rng.randrange(len(broken))] = rng.randrange(256)
        try:
            risks = model_from(read_tensors(bytes(broken), name="m")).predict_proba(patient_table(30))
            read += 1
            assert risks.shape == (30, 2)
        except BadInput:
            pass
    assert 0 < read < 200


# --- models and tables -----------------------------------------------------------------------------


def test_a_table_without_the_models_columns_is_told_with_both_widths(model: RiskModel) -> None:
    data = model_bytes(model)
    fewer = load_cohort(patient_table().drop(columns=["sex", "noise"]), outcome="stage")
    with pytest.raises(
        BadInput, match=r"needs 6 columns, the table offers 4 and lacks 2 of them: 'noise' and 'sex'"
    ):
        load_model(data, fewer)
    with pytest.raises(BadInput, match=r"lacks 1 of them: 'age' \(did you mean 'aged'\?\)"):
        check_columns(model, ["aged", "lactate", "visit", "sex", "ward", "noise"])


def test_a_table_with_text_where_the_model_reads_numbers(model: RiskModel) -> None:
    text = patient_table()
    text["noise"] = np.where(text["noise"] > 0, "high", "low")
    with pytest.raises(BadInput, match="disagree on whether these columns hold numbers or text: 'noise'"):
        load_model(model_bytes(model), load_cohort(text, outcome="stage"))


def test_a_table_with_other_classes(model: RiskModel) -> None:
    with pytest.raises(
        BadInput, match="tells '0' and '1' apart, the table's outcome has 'stage 0', 'stage 1'"
    ):
        load_model(model_bytes(model), patient_cohort(classes=3))


def test_extra_columns_do_no_harm(model: RiskModel) -> None:
    more = load_cohort(patient_table().assign(extra=np.arange(200) % 7), outcome="stage")
    assert load_model(model_bytes(model), more).features == model.features


def test_a_file_is_read_the_same_from_a_path_and_from_bytes(model: RiskModel, tmp_path: Path) -> None:
    path = save_model(model, tmp_path / "m.safetensors")
    one, other = load_model(path), model_from(read_tensors(path.read_bytes()))
    assert fingerprint(one) == fingerprint(other) == fingerprint(model)
