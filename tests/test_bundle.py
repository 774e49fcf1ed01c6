"""A bundle is whole or not there, computes the same everywhere, and is told from everything else."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch

from medprune import MLP, BadInput, Cohort, MedPruneError, RiskModel, export, load_bundle, load_cohort
from medprune.bundle import FILES, check_target, onnx_risks, probe_rows
from medprune.intake.table_file import read_table
from medprune.model import Recalibration, softmax
from medprune.network import ACTIVATIONS, NORMS
from medprune.onnx_graph import onnx_bytes
from medprune.tables import csv_bytes, risk_table
from tests.makers import patient_cohort, patient_table, random_mask, untrained_model

BLOCKED = ("torch", "medprune", "safetensors", "sklearn", "scipy", "onnx", "pyarrow", "streamlit")


@pytest.fixture(scope="module")
def model() -> RiskModel:
    """Pruned, normalised and recalibrated, on numbers and text with missing values."""
    made = untrained_model(patient_cohort(), MLP(hidden=(6, 5), norm="batch"))
    masked = replace(made, mask=random_mask(made.network, seed=4, keep=0.8))
    return replace(masked, recalibration=Recalibration(0.8, (0.2, -0.1)))


@pytest.fixture(scope="module")
def folder(model: RiskModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that no test changes."""
    place = tmp_path_factory.mktemp("bundles") / "small"
    export(model, None, place, provenance={"seed": 3, "auroc": float("nan"), "burden": np.int64(14)})
    return place


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a Python that has numpy, pandas and onnxruntime alone."""
    site = tmp_path_factory.mktemp("bare")
    (site / "sitecustomize.py").write_text(
        "import sys\n"
        "class Gone:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] in {BLOCKED}:\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Gone())\n"
    )
    return os.environ | {"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}


def run(folder: Path, bare: dict[str, str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(folder / "predict.py"), *map(str, arguments)]
    return subprocess.run(command, env=bare, capture_output=True, text=True, check=False, cwd=folder.parent)


def module(path: Path) -> ModuleType:
    """A script of a bundle, in this Python."""
    spec = importlib.util.spec_from_file_location(f"bundled_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def stops(folder: Path, *arguments: Path) -> str:
    """The one line that predict.py stops with."""
    with pytest.raises(SystemExit) as stopped:
        module(folder / "predict.py").main(list(map(str, arguments)))
    assert isinstance(stopped.value.code, str)
    assert "\n" not in stopped.value.code
    return stopped.value.code


def snapshot(place: Path) -> dict[str, bytes]:
    """Every file below a folder, and its content."""
    return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}


# --- what is in it ---------------------------------------------------------------------------------


def test_the_files_are_there_and_say_the_same(folder: Path, model: RiskModel) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    assert about["review"] == "not reviewed"
    assert about["files"] == list(FILES)
    assert about["recalibration"] == {"slope": 0.8, "intercepts": [0.2, -0.1]}
    provenance = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    assert provenance["auroc"] is None
    assert provenance["burden"] == 14
    assert provenance["versions"].keys() >= {"medprune", "torch", "onnx"}
    session = onnxruntime.InferenceSession((folder / "model.onnx").read_bytes())
    assert [value.name for value in session.get_inputs()] == [column["name"] for column in about["inputs"]]
    assert [value.name for value in session.get_outputs()] == ["risks"]


def test_no_patient_is_in_it(tmp_path: Path) -> None:
    table = patient_table().assign(name=[f"CANARY {i}" for i in range(200)])
    table.loc[7, "ward"] = "RARE-CANARY"
    bundle = export(untrained_model(load_cohort(table, outcome="stage")), None, tmp_path / "b")
    assert not [name for name, data in snapshot(bundle.folder).items() if b"CANARY" in data]


def test_folder_zip_and_object_give_the_same_risks(folder: Path, model: RiskModel) -> None:
    rows = patient_table(50, seed=8)
    expected = model.predict_proba(rows)
    for path in (folder, folder.with_name("small.zip"), str(folder)):
        bundle = load_bundle(path)
        np.testing.assert_allclose(bundle.predict_proba(rows), expected, atol=1e-6)
        assert bundle.model.act_at == model.act_at
        assert bundle.about["classes"] == ["0", "1"]
    for path in (folder, folder.with_name("small.zip")):
        assert load_bundle(path).zip == folder.with_name("small.zip")


def test_verification_measured_something(model: RiskModel, tmp_path: Path) -> None:
    difference = export(model, None, tmp_path / "b").largest_difference
    assert difference is not None
    assert 0 < difference < 1e-5


def test_the_zip_is_the_folder_and_always_the_same(model: RiskModel, folder: Path, tmp_path: Path) -> None:
    again = export(model, None, tmp_path / "small", provenance={"seed": 3, "auroc": None, "burden": 14})
    assert again.zip.read_bytes() == folder.with_name("small.zip").read_bytes()
    with zipfile.ZipFile(again.zip) as archive:
        assert {info.external_attr >> 16 & 0o777 for info in archive.infolist()} == {0o644}
        archive.extractall(tmp_path / "unpacked")
    assert snapshot(tmp_path / "unpacked" / "small") == snapshot(folder)


def test_probe_rows_reach_every_code(model: RiskModel) -> None:
    rows = model.preparation.typed(probe_rows(model.preparation))
    prepared = model.preparation.transform(rows)
    flags = [i for i, column in enumerate(model.preparation.columns) if column.role != "value"]
    assert (prepared[:, flags].max(axis=0) == 1).all()
    assert (prepared[:, flags].min(axis=0) == 0).all()


# --- load_torch.py ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("activation", "norm"), list(zip(ACTIVATIONS, (*NORMS, *NORMS), strict=True)))
def test_load_torch_gives_the_same_logits(norm: str, activation: str, tmp_path: Path) -> None:
    cohort = patient_cohort(classes=4)
    model = untrained_model(cohort, MLP(hidden=(6, 5), norm=norm, activation=activation))
    model = replace(model, recalibration=Recalibration(1.1, (0.1, 0.2, 0.3, 0.4)))
    export(model, None, tmp_path / "b")
    script = module(tmp_path / "b" / "load_torch.py")
    prepared = model.prepared(cohort.test)
    with torch.no_grad():
        logits = script.load()(torch.from_numpy(prepared)).double().numpy()
    assert list(model.classes) == script.CLASSES
    assert [column.name for column in model.preparation.columns] == script.COLUMNS
    np.testing.assert_allclose(softmax(model.recalibration(logits)), model.risks_of(prepared), atol=1e-6)


# --- predict.py, alone -----------------------------------------------------------------------------


def test_the_bare_python_really_lacks_the_others(bare: dict[str, str]) -> None:
    look = (
        f"for name in {('numpy', *BLOCKED)}:\n"
        "    try:\n        __import__(name)\n        print(name)\n"
        "    except ModuleNotFoundError:\n        pass"
    )
    done = subprocess.run([sys.executable, "-c", look], env=bare, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["numpy"]


def messy(table: pd.DataFrame) -> pd.DataFrame:
    """Missing values written in many ways, unseen labels, a date, an unrelated column."""
    messy = table.astype(object).where(table.notna(), "")
    messy.loc[0, ["age", "lactate", "noise"]] = ["NA", "N/A", " null "]
    messy.loc[1, ["sex", "ward", "lactate"]] = ["?", "never seen", "inf"]
    messy.loc[2, "visit"] = 20261124.0
    messy.loc[3] = ""
    return messy.assign(other="x, y; z")


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("utf8.csv", lambda table: table.to_csv(index=False).encode()),
        ("bom.csv", lambda table: table.to_csv(index=False).encode("utf-8-sig")),
        ("cp1252.csv", lambda table: table.to_csv(index=False).encode("cp1252")),
        ("utf16.tsv", lambda table: table.to_csv(index=False, sep="\t").encode("utf-16")),
        ("german.csv", lambda table: table.to_csv(index=False, sep=";", decimal=",").encode()),
        ("turned.csv", lambda table: table[reversed(table.columns)].to_csv(index=False, sep="|").encode()),
    ],
)
def test_predict_gives_the_same_risks(
    name: str, write: Callable[[pd.DataFrame], bytes], tmp_path: Path
) -> None:
    table = patient_table().rename(columns={"lactate": "Größe, cm", "age": "âge"})
    bundle = export(untrained_model(load_cohort(table, outcome="stage")), None, tmp_path / "b")
    back = {"Größe, cm": "lactate", "âge": "age"}
    rows = messy(table.rename(columns=back)).rename(columns={new: old for old, new in back.items()})
    (tmp_path / name).write_bytes(write(rows.drop(columns="stage")))
    module(bundle.folder / "predict.py").main([str(tmp_path / name), str(tmp_path / "risks.csv")])
    found = pd.read_csv(tmp_path / "risks.csv")
    assert list(found.columns) == ["row", "risk"]
    assert found["row"].tolist() == list(range(1, 201))
    np.testing.assert_allclose(
        found["risk"], bundle.predict_proba(read_table(tmp_path / name))[:, 1], atol=1e-5
    )
    assert found["risk"].nunique() > 190


def test_predict_needs_nothing_but_numpy_pandas_and_onnxruntime(bare: dict[str, str], tmp_path: Path) -> None:
    bundle = export(untrained_model(patient_cohort()), None, tmp_path / "b")
    messy(patient_table()).to_csv(tmp_path / "p.csv", index=False, sep=";", decimal=",")
    done = run(bundle.folder, bare, tmp_path / "p.csv", tmp_path / "bare.csv")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    module(bundle.folder / "predict.py").main([str(tmp_path / "p.csv"), str(tmp_path / "here.csv")])
    assert (tmp_path / "bare.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()


def test_predict_writes_one_risk_a_class(tmp_path: Path) -> None:
    bundle = export(untrained_model(patient_cohort(classes=3)), None, tmp_path / "b")
    patient_table(20, 3).to_csv(tmp_path / "p.csv", index=False)
    module(bundle.folder / "predict.py").main([str(tmp_path / "p.csv"), str(tmp_path / "r.csv")])
    found = pd.read_csv(tmp_path / "r.csv")
    assert list(found.columns) == ["row", "risk_stage 0", "risk_stage 1", "risk_stage 2"]
    np.testing.assert_allclose(found.iloc[:, 1:].sum(axis=1), 1)
    wanted = csv_bytes(risk_table(bundle.predict_proba(patient_table(20, 3)), bundle.model.classes))
    assert (tmp_path / "r.csv").read_bytes().splitlines()[0] == wanted.splitlines()[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop(columns=["age", "sex"]), "lacks 2 of the 6 columns needed: age, sex."),
        (lambda t: t.assign(age="CANARY"), "Column 'age' holds text where numbers are expected in 200 rows"),
        (lambda t: t.iloc[:0], "has no patients."),
        (lambda t: t.rename(columns={"sex": "age"}), "needs a name of its own."),
    ],
)
def test_predict_refuses_in_one_sentence(
    change: Callable[[pd.DataFrame], pd.DataFrame], words: str, folder: Path, tmp_path: Path
) -> None:
    change(patient_table()).to_csv(tmp_path / "p.csv", index=False)
    sentence = stops(folder, tmp_path / "p.csv", tmp_path / "r.csv")
    assert words in sentence
    assert "CANARY" not in sentence
    assert not (tmp_path / "r.csv").exists()


def test_predict_refuses_other_files_in_one_sentence(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "ragged.csv").write_text("a,b\n1,2\n1,2,3\n")
    (tmp_path / "quotes.csv").write_text('a,b\n1,"2\n')
    (tmp_path / "binary.csv").write_bytes(b"PAR1\0\0\x81")
    assert "none.csv cannot be read" in stops(folder, tmp_path / "none.csv", tmp_path / "r.csv")
    assert "not as long as its header" in stops(folder, tmp_path / "ragged.csv", tmp_path / "r.csv")
    assert "quotation marks" in stops(folder, tmp_path / "quotes.csv", tmp_path / "r.csv")
    assert stops(folder, tmp_path / "binary.csv", tmp_path / "r.csv").endswith(
        ("no CSV file.", "or written.")
    )
    patient_table().to_csv(tmp_path / "p.csv", index=False)
    assert "cannot be read or written" in stops(folder, tmp_path / "p.csv", tmp_path / "none" / "r.csv")
    assert stops(folder) == "Use: python predict.py PATIENTS.csv RISKS.csv"


def test_columns_with_any_name_are_told_apart(tmp_path: Path) -> None:
    """Also names that the graph, the scripts or a template would use themselves."""
    names = ("risks", "medprune/constant_0", "@MODULES@", 'say "x" \\ y', "risks_", "noise")
    table = patient_table(200, 3)
    for old, new in zip(["age", "lactate", "visit", "sex", "ward"], names, strict=False):
        table = table.rename(columns={old: new})
    model = untrained_model(load_cohort(table, outcome="stage"))
    bundle = export(model, None, tmp_path / "b")
    table.to_csv(tmp_path / "p.csv", index=False)
    module(bundle.folder / "predict.py").main([str(tmp_path / "p.csv"), str(tmp_path / "r.csv")])
    np.testing.assert_allclose(
        pd.read_csv(tmp_path / "r.csv").iloc[:, 1:], model.predict_proba(table), atol=1e-5
    )
    compile((bundle.folder / "load_torch.py").read_text(encoding="utf-8"), "load_torch.py", "exec")
    np.testing.assert_allclose(
        onnx_risks(onnx_bytes(model), model.preparation, table), model.predict_proba(table), atol=1e-5
    )


# --- where it may be written -----------------------------------------------------------------------


def test_a_newer_bundle_takes_the_place_of_an_older(model: RiskModel, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "b"
    export(untrained_model(patient_cohort()), None, target)
    (target / "__pycache__").mkdir()
    (target / "review.json").write_text("{}")
    before = snapshot(tmp_path)
    bundle = export(model, None, target)
    assert sorted(path.name for path in target.iterdir()) == sorted(FILES)
    assert bundle.zip.read_bytes() != before["deep/b.zip"]
    assert sorted(path.name for path in target.parent.iterdir()) == ["b", "b.zip"]


def test_something_else_is_never_replaced(model: RiskModel, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "model.json").write_text("{}")
    (mine / "notes.txt").write_text("important")
    (tmp_path / "file").write_text("important")
    (tmp_path / "other.zip").write_bytes(b"important")
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("photo.jpg", "important")
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "model.onnx").touch()
    before = snapshot(tmp_path)
    for name, words in (
        ("mine", "holds 'notes.txt'; choose another name"),
        ("file", "is a file; choose another name"),
        ("other", "is not a bundle's zip"),
        ("photos", "is not a bundle's zip"),
        ("half", "is not just a bundle, as it holds 'model.onnx'"),
        ("file/inside", "there is no folder"),
        ("x" * 300, "choose another place"),
    ):
        with pytest.raises(BadInput, match=words):
            export(model, None, tmp_path / name)
    with pytest.raises(BadInput):
        check_target("/")
    assert snapshot(tmp_path) == before
    assert len(list(tmp_path.iterdir())) == 5


def test_an_empty_folder_and_a_link_are_fine(model: RiskModel, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    bundle = export(model, None, tmp_path / "link")
    assert bundle.folder == tmp_path / "empty"
    assert (tmp_path / "link" / "model.onnx").exists()


def fails_to_verify(*_: object) -> float:
    raise MedPruneError("the exported files differ from the model by 0.1")


def no_space(*_: object) -> None:
    raise OSError(28, "No space left on device")


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("name", "instead", "error"),
    [
        ("medprune.bundle.verify", fails_to_verify, MedPruneError),
        ("medprune.bundle._zipped", no_space, BadInput),
        ("medprune.bundle.os.fsync", no_space, BadInput),
        ("medprune.bundle._zipped", interrupted, KeyboardInterrupt),
    ],
)
def test_a_failure_leaves_the_older_bundle(
    name: str,
    instead: Callable[..., object],
    error: type[BaseException],
    model: RiskModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    export(untrained_model(patient_cohort()), None, tmp_path / "b")
    before = snapshot(tmp_path)
    monkeypatch.setattr(name, instead)
    with pytest.raises(error):
        export(model, None, tmp_path / "b")
    assert snapshot(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "b.zip"]


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_a_failure_while_changing_places_puts_the_older_bundle_back(
    at: int, model: RiskModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(untrained_model(patient_cohort()), None, tmp_path / "b")
    before, moves, replace_it = snapshot(tmp_path), 0, Path.replace

    def moved(path: Path, target: Path) -> Path:
        nonlocal moves
        moves += 1
        if moves == at:
            raise OSError(28, "No space left on device")
        return replace_it(path, target)

    monkeypatch.setattr(Path, "replace", moved)
    with pytest.raises(BadInput, match="nothing was changed there"):
        export(model, None, tmp_path / "b")
    assert moves >= at
    assert snapshot(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "b.zip"]


def test_a_model_that_exports_wrongly_does_not_leave(
    model: RiskModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = onnx_bytes(replace(model, recalibration=Recalibration(0.5)))
    monkeypatch.setattr("medprune.bundle.onnx_bytes", lambda _: wrong)
    with pytest.raises(MedPruneError, match="differ from the model by"):
        export(model, None, tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


# --- what is no bundle -----------------------------------------------------------------------------


def test_a_damaged_bundle_is_told(folder: Path, tmp_path: Path) -> None:
    def broken(name: str, data: bytes | None) -> Path:
        place = tmp_path / str(len(list(tmp_path.iterdir())))
        place.mkdir()
        for file, content in snapshot(folder).items():
            (place / file).write_bytes(content)
        if data is None:
            (place / name).unlink()
        else:
            (place / name).write_bytes(data)
        return place

    weights = (folder / "model.safetensors").read_bytes()
    for path, words in (
        (tmp_path / "none", "there is no such file or folder"),
        (broken("model.safetensors", None), "it has no model.safetensors"),
        (broken("model.json", None), "it has no model.json"),
        (broken("model.json", b"{"), "model.json of .* is damaged"),
        (broken("model.json", b"[]"), "model.json of .* is damaged"),
        (broken("model.safetensors", weights[:-9]), "'model.safetensors' is incomplete"),
        (broken("model.safetensors", b""), "is empty"),
    ):
        with pytest.raises(BadInput, match=words):
            load_bundle(path)


def test_a_damaged_zip_is_told(folder: Path, tmp_path: Path) -> None:
    whole = folder.with_name("small.zip").read_bytes()
    place = tmp_path / "b.zip"
    flipped = bytearray(whole)
    flipped[whole.index(b"__metadata__")] ^= 1
    for data, words in (
        (whole[:-30], "it is no folder and no complete zip"),
        (b"row,risk\n", "it is no folder and no complete zip"),
        (bytes(flipped), "it is no folder and no complete zip"),
        (b"", "it is no folder and no complete zip"),
    ):
        place.write_bytes(data)
        with pytest.raises(BadInput, match=words):
            load_bundle(place)
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("a/model.safetensors", "1")
        archive.writestr("b/model.safetensors", "2")
    with pytest.raises(BadInput, match=r"it has no model\.safetensors, or several"):
        load_bundle(place)


def test_a_bundle_of_any_cohort_is_read_as_its_own(tmp_path: Path) -> None:
    numbers = load_cohort(patient_table().drop(columns=["sex", "ward"]), outcome="stage")
    texts = load_cohort(patient_table()[["sex", "ward", "stage"]], outcome="stage")
    cohorts: tuple[Cohort, ...] = (numbers, texts, patient_cohort(classes=4))
    for place, cohort in enumerate(cohorts):
        model = untrained_model(cohort)
        bundle = export(model, None, tmp_path / str(place))
        rows = cohort.all().frame
        np.testing.assert_array_equal(bundle.predict_proba(rows), model.predict_proba(rows))
