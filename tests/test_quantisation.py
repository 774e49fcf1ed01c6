"""Int8 gives nearly the same risks, of each patient alone, and what it did is counted and told."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
import torch

from medprune import (
    MLP,
    BadInput,
    Cohort,
    MedPruneError,
    RiskModel,
    Schedule,
    compact,
    export,
    load_bundle,
    prune,
    quantise,
    train,
)
from medprune import compression as measure_int8
from medprune.bundle import INT8
from medprune.cli import main
from medprune.compression import Compression, Flips, Footprint, memory_of
from medprune.model import Recalibration
from medprune.network import NORMS, frozen
from medprune.onnx_graph import onnx_bytes
from medprune.onnx_run import feed_of, onnx_risks, probe_rows
from medprune.quantisation import OVERHEAD, WAYS, rounded
from tests.makers import patient_cohort, patient_table, untrained_model

# Measured on the patients of the trained model below, over 20 seeds: at most 0.005 (weights), 0.109 (full).
NEAR = {"weights": 0.01, "full": 0.15}


@cache
def cohort(classes: int = 2) -> Cohort:
    return patient_cohort(classes=classes)


@cache
def trained(classes: int = 2) -> RiskModel:
    return train(cohort(classes), MLP(hidden=(64, 32)), seed=0, schedule=Schedule(epochs=20))


def int8(model: RiskModel, way: str) -> bytes:
    return quantise(model, way, patients=cohort(len(model.classes)).train.frame)


def odd_rows() -> pd.DataFrame:
    """Missing values, labels never seen, values far away."""
    return pd.DataFrame(
        {
            "age": [np.nan, 250.0, 61.0],
            "lactate": [np.nan, 0.0, 3.0],
            "visit": [np.nan, 20_200_101.0, 20_270_000.0],
            "sex": [None, "neither", "male"],
            "ward": [None, "never seen", "B"],
            "noise": [np.nan, -9.0, 0.0],
        }
    )


# --- the file --------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("classes", [2, 4])
def test_risks_are_near_the_float_ones(way: str, classes: int) -> None:
    model, rows = trained(classes), cohort(classes).all().frame
    risks = onnx_risks(int8(model, way), model.preparation, rows)
    assert risks.shape == (len(rows), classes)
    np.testing.assert_allclose(risks.sum(axis=1), 1)
    change = np.abs(risks - model.predict_proba(rows)).max()
    assert 0 < change < NEAR[way]


@pytest.mark.parametrize("way", WAYS)
def test_raw_rows_with_missing_values_and_labels_never_seen(way: str) -> None:
    """In full, a value far from those of train patients counts as the largest they had."""
    rows = odd_rows()
    risks = onnx_risks(int8(trained(), way), trained().preparation, rows)
    assert np.isfinite(risks).all()
    np.testing.assert_allclose(risks.sum(axis=1), 1)
    change = np.abs(risks - trained().predict_proba(rows)).max(axis=1)
    assert change[0] < NEAR[way]  # nothing is known of this patient
    if way == "weights":
        assert change.max() < 2 * NEAR[way]


@pytest.mark.parametrize("norm", NORMS)
def test_int8_weights_compute_what_the_rounded_network_does(norm: str) -> None:
    """The whole change is that of the weights: torch with the rounded weights gives the same risks."""
    model = untrained_model(cohort(), MLP(hidden=(40, 30), norm=norm, dropout=0.0))
    network = frozen(model.network)
    for layer in network.layers:
        weight = layer.weight.numpy()
        integers, scales = rounded(weight)
        if weight.nbytes > integers.nbytes + scales.nbytes + OVERHEAD:
            layer.weight.copy_(torch.from_numpy(integers * scales[:, None]))
    assert any(
        not torch.equal(a.weight, b.weight) for a, b in zip(network.layers, model.network.layers, strict=True)
    )
    rows = pd.concat([probe_rows(model.preparation), odd_rows()], ignore_index=True)
    expected = replace(model, network=network).predict_proba(rows)
    np.testing.assert_allclose(
        onnx_risks(int8(model, "weights"), model.preparation, rows), expected, atol=1e-5
    )


@pytest.mark.parametrize("way", WAYS)
def test_a_risk_does_not_depend_on_the_other_patients(way: str) -> None:
    model, rows = trained(), cohort().test.frame.head(12)
    together = onnx_risks(int8(model, way), model.preparation, rows)
    alone = [onnx_risks(int8(model, way), model.preparation, rows.iloc[[i]]) for i in range(len(rows))]
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-6)


@pytest.mark.parametrize("way", WAYS)
def test_the_file_is_small_and_valid_and_takes_the_same_columns(way: str) -> None:
    model = untrained_model(cohort(), MLP(hidden=(256, 256)))
    plain, small = onnx_bytes(model), int8(model, way)
    assert len(small) < 0.35 * len(plain)
    before, after = (onnx.load_from_string(data).graph for data in (plain, small))
    assert [value.name for value in after.input] == [value.name for value in before.input]
    assert [value.name for value in after.output] == ["risks"]
    integers = [c for c in after.initializer if c.data_type == onnx.TensorProto.INT8 and len(c.dims) == 2]
    assert len(integers) == {"weights": 3, "full": 2}[way]  # in full, the last layer stays as it is


def test_int8_weights_never_make_a_file_larger() -> None:
    for hidden in ((), (1,), (2, 2), (9,), (14, 3), (64, 32)):
        model = untrained_model(cohort(), MLP(hidden=hidden))
        assert len(int8(model, "weights")) <= len(onnx_bytes(model)), hidden


@pytest.mark.parametrize("hidden", [(), (3,), (8, 8)])
def test_any_depth_can_be_quantised_in_full(hidden: tuple[int, ...]) -> None:
    model = untrained_model(cohort(), MLP(hidden=hidden, dropout=0.0))
    risks = onnx_risks(int8(model, "full"), model.preparation, odd_rows())
    np.testing.assert_allclose(risks.sum(axis=1), 1)


def test_the_same_model_gives_the_same_bytes_and_no_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for way in WAYS:
        assert int8(trained(), way) == int8(trained(), way)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_the_wrong_way_is_told() -> None:
    with pytest.raises(BadInput, match="weights or full, got 'int4'"):
        quantise(trained(), "int4")
    with pytest.raises(BadInput, match="needs train patients"):
        quantise(trained(), "full")


# --- what it did -----------------------------------------------------------------------------------


def test_flips_are_counted_by_class_and_direction() -> None:
    outcome = np.array([1, 1, 1, 0, 0, 0, 0])
    before = np.array([1, 1, 0, 0, 0, 1, 1])
    after = np.array([1, 0, 1, 1, 1, 0, 1])
    flips = Flips.of(outcome, before, after)
    assert (flips.total, flips.patients) == (5, 7)
    assert (flips.missed, flips.caught, flips.spared, flips.alarmed) == (1, 1, 1, 2)
    assert flips.per_1000 == pytest.approx(5000 / 7)
    told = flips.sentence("7 tuning patients")
    assert told.startswith(
        "5 decisions flip among 7 tuning patients (714.3 per 1,000): 1 more would be missed"
    )
    assert "2 more would be false alarms" in told
    assert Flips.of(outcome, before, before).sentence("7 patients") == "No decision flips among 7 patients."


def test_flips_of_three_classes() -> None:
    flips = Flips.of(np.array([2, 0, 1, 1]), np.array([2, 1, 2, 1]), np.array([1, 0, 0, 1]))
    assert (flips.total, flips.lost, flips.gained) == (3, (0, 0, 1), (1, 0, 0))
    assert "1 from right to wrong, 1 from wrong to right" in flips.sentence("4 patients")


def test_decisions_are_taken_at_the_risk_to_act_at() -> None:
    """A cut-off in the middle of two patients' float risks and int8 risks flips exactly who lies between."""
    model, split = trained(), cohort().tuning
    plain = onnx_risks(onnx_bytes(model), model.preparation, split.frame)[:, 1]
    small = onnx_risks(int8(model, "full"), model.preparation, split.frame)[:, 1]
    who = int(np.abs(plain - small).argmax())
    act_at = float((plain[who] + small[who]) / 2)
    found = measure_int8(replace(model, act_at=act_at), cohort(), "full")
    assert found.flips.total == int(((plain >= act_at) != (small >= act_at)).sum()) >= 1
    assert found.largest_change == pytest.approx(np.abs(plain - small).max())
    assert found.flips.patients == len(split)


def test_the_measurement_is_whole() -> None:
    found = measure_int8(trained(4), cohort(4))
    assert found.after.bytes == len(found.file) < found.before.bytes == len(onnx_bytes(trained(4)))
    for cost in (found.before, found.after):
        assert cost.one > 0
        assert cost.many > 0
        if cost.peak_memory is not None and cost.runtime_memory is not None:
            assert 1_000_000 < cost.runtime_memory <= cost.peak_memory < 2_000_000_000
    assert json.loads(json.dumps(found.to_json()))["flips"]["total"] == found.flips.total


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is measured on Linux")
def test_memory_is_that_of_the_model_and_not_of_this_process() -> None:
    """A constant of 64 MB is seen, and the memory of the process that asks is not."""
    held = np.ones(40_000_000)  # 320 MB, resident here
    rows = feed_of(trained().preparation, odd_rows())
    proto = onnx.load_from_string(onnx_bytes(trained()))
    small, _ = memory_of(proto.SerializeToString(), rows)
    ballast = onnx.numpy_helper.from_array(np.ones((1, 8_000_000)), "ballast")
    proto.graph.initializer.append(ballast)
    proto.graph.node.append(onnx.helper.make_node("ReduceMax", ["ballast"], ["heaviest"]))
    proto.graph.output.append(onnx.helper.make_tensor_value_info("heaviest", onnx.TensorProto.DOUBLE, [1, 1]))
    large, _ = memory_of(proto.SerializeToString(), rows)
    assert small is not None
    assert large is not None
    assert small < 200_000_000 < held.nbytes
    assert large - small > 60_000_000


def test_memory_that_cannot_be_measured_is_none() -> None:
    assert memory_of(b"no model", {"age": np.zeros((1, 1))}) == (None, None)


def made_up(after_bytes: int, one: float, many: float, memory: int | None) -> Compression:
    flips = Flips(200, 0, (0, 0), (0, 0))
    before = Footprint(10_000, 60_000_000, 50_000_000, one=1e-5, many=1e-3)
    after = Footprint(after_bytes, memory, memory, one=one, many=many)
    return Compression("full", b"", before, after, flips, "200 tuning patients", 0.01, 0.9, 0.89)


def test_the_sentence_tells_losses_as_it_tells_gains() -> None:
    told = made_up(4_000, one=2e-5, many=5e-4, memory=60_100_000).sentence()
    assert told == (
        "The file is 60% smaller (10,000 to 4,000 bytes), one patient takes 100% more time, 1,024 patients "
        "take 50% less time and peak memory is about the same. No decision flips among 200 tuning patients. "
        "The largest change of any risk is 0.010; AUROC 0.900 before, 0.890 after."
    )
    told = made_up(11_000, one=1e-5, many=1e-3, memory=None).sentence()
    assert "10% larger" in told
    assert "one patient takes about as long" in told
    assert "too small to gain from int8" in told
    assert "memory" not in told


# --- in a bundle, from the shell -------------------------------------------------------------------


def test_a_bundle_can_carry_it(tmp_path: Path) -> None:
    model = replace(trained(), recalibration=Recalibration(0.8, (0.2, -0.1)))
    file = int8(model, "weights")
    bundle = export(model, None, tmp_path / "b", int8=file)
    assert (bundle.folder / INT8).read_bytes() == file
    assert INT8 in bundle.about["files"]
    rows = patient_table(50, seed=8)
    np.testing.assert_allclose(
        load_bundle(bundle.zip).predict_proba(rows), model.predict_proba(rows), atol=1e-6
    )
    again = export(model, None, tmp_path / "b")  # takes the place of the one with int8
    assert not (again.folder / INT8).exists()
    assert INT8 not in again.about["files"]


def test_another_models_int8_does_not_leave(tmp_path: Path) -> None:
    other = replace(trained(), recalibration=Recalibration(-1.0))
    with pytest.raises(MedPruneError, match="int8 file does not compute"):
        export(trained(), None, tmp_path / "b", int8=int8(other, "weights"))
    assert list(tmp_path.iterdir()) == []


def test_prune_adds_it_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "patients.csv"
    patient_table().to_csv(table, index=False)
    command = ["prune", str(table), "--outcome", "stage", "--hidden", "16", "--sparsity", "0.3", "--json"]
    assert main([*command, "--out", str(tmp_path / "plain"), "--quiet"]) == 0
    assert "compression" not in json.loads(capsys.readouterr().out)
    assert main([*command, "--int8", "full", "--out", str(tmp_path / "b"), "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)["compression"]
    assert found["way"] == "full"
    assert found["after"]["bytes"] == (tmp_path / "b" / INT8).stat().st_size
    assert {"missed", "caught", "spared", "alarmed", "per_1000", "total"} <= found["flips"].keys()
    assert main([*command, "--int8", "half", "--out", str(tmp_path / "c")]) == 2
    assert "weights or full, got 'half'" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("way", WAYS)
def test_a_pruned_model_reads_fewer_columns_and_so_does_its_int8_file(way: str) -> None:
    path = prune(trained(), cohort(), granularity="feature", sparsities=(0.6,), schedule=Schedule(epochs=2))
    model, rows = path.candidates[-1].model, cohort().all().frame
    small = compact(model)
    assert len(small.features) < len(trained().features)
    risks = onnx_risks(int8(model, way), small.preparation, rows)
    assert np.abs(risks - small.predict_proba(rows)).max() < NEAR[way]
