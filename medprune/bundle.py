"""The bundle: what leaves. A folder and its zip that compute the same as the model, anywhere.

Written to a temporary folder, loaded back, compared on probe rows through safetensors and through
onnxruntime, and only then moved into place: a bundle that exists is one that was verified.
"""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
from numpy.typing import NDArray

from medprune.candidate import Candidate
from medprune.compaction import compact
from medprune.errors import BadInput, MedPruneError
from medprune.intake.table_file import NUMBER_MISSING, TEXT_MISSING
from medprune.model import RiskModel
from medprune.model_file import describe, load_model, model_bytes
from medprune.network import Network
from medprune.onnx_graph import onnx_bytes
from medprune.preparation import Preparation

TOLERANCE = 1e-5
PROBES = 256
NOT_REVIEWED = "not reviewed"
FILES = (
    "model.safetensors",
    "model.json",
    "model.onnx",
    "provenance.json",
    "predict.py",
    "load_torch.py",
)


@dataclass(frozen=True, eq=False)
class Bundle:
    """A bundle on disk, loaded back. ``largest_difference`` is what verification measured."""

    folder: Path
    model: RiskModel
    about: Mapping[str, Any]
    largest_difference: float | None = None

    @property
    def zip(self) -> Path:
        return self.folder.with_name(self.folder.name + ".zip")

    def predict_proba(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Risks (N, classes) from raw columns, as :meth:`RiskModel.predict_proba`."""
        return self.model.predict_proba(frame)


def export(
    candidate: Candidate | RiskModel,
    review: None,
    folder: str | Path,
    *,
    provenance: Mapping[str, Any] | None = None,
) -> Bundle:
    """Write the candidate's bundle to ``folder`` and its zip beside it; an older bundle there is replaced.

    ``review`` is None until the model has been reviewed; the bundle is then marked "not reviewed".
    Raises BadInput when the folder holds something else or cannot be written; nothing is changed then.
    """
    model = compact(candidate.model if isinstance(candidate, Candidate) else candidate)
    target = Path(folder).absolute()
    _check_target(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as scratch:
            fresh = Path(scratch) / target.name
            fresh.mkdir()
            _write(fresh, model, provenance or {})
            difference = verify(fresh, model)
            archive = _zipped(fresh)
            _move_into_place(fresh, archive, target, Path(scratch))
    except OSError as error:
        raise BadInput(
            f"The bundle could not be written to {str(target)!r} ({error.strerror}); "
            "nothing was changed there."
        ) from error
    return replace(load_bundle(target), largest_difference=difference)


def load_bundle(path: str | Path) -> Bundle:
    """A bundle's folder or zip. Raises BadInput when it is not one, or is damaged."""
    path = Path(path)
    try:
        if path.is_file() and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                read = {Path(name).name: archive.read(name) for name in archive.namelist()}
            tensors, about = read["model.safetensors"], read["model.json"]
        else:
            tensors = (path / "model.safetensors").read_bytes()
            about = (path / "model.json").read_bytes()
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise BadInput(
            f"{str(path)!r} is not a bundle: it lacks a model; give a bundle's folder or zip."
        ) from error
    try:
        description = json.loads(about)
    except ValueError as error:
        raise BadInput(f"The model.json of {str(path)!r} is damaged; export the bundle again.") from error
    return Bundle(path, load_model(tensors, name="model.safetensors"), description)


def _check_target(target: Path) -> None:
    if not target.exists():
        return
    if not target.is_dir() or (any(target.iterdir()) and not (target / "model.json").exists()):
        raise BadInput(f"{str(target)!r} exists and is not a bundle; choose another name for the new one.")


def _write(folder: Path, model: RiskModel, provenance: Mapping[str, Any]) -> None:
    about = describe(model) | {"review": NOT_REVIEWED, "files": list(FILES)}
    (folder / "model.safetensors").write_bytes(model_bytes(model))
    _write_json(folder / "model.json", about)
    (folder / "model.onnx").write_bytes(onnx_bytes(model))
    _write_json(folder / "provenance.json", dict(provenance) | {"versions": about["versions"]})
    (folder / "predict.py").write_text(_predict_script(), encoding="utf-8")
    (folder / "load_torch.py").write_text(_torch_script(model), encoding="utf-8")


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _template(name: str) -> str:
    return resources.files("medprune").joinpath("templates", name).read_text(encoding="utf-8")


def _predict_script() -> str:
    return (
        _template("predict.py.txt")
        .replace("@NUMBER_MISSING@", repr(sorted(NUMBER_MISSING)))
        .replace("@TEXT_MISSING@", repr(sorted(TEXT_MISSING)))
    )


def _torch_script(model: RiskModel) -> str:
    modules, renamed = _sequential(model.network)
    columns = [column.name for column in model.preparation.columns]
    filled = {
        "@INPUTS@": str(model.network.spec.inputs),
        "@COLUMNS@": json.dumps(columns, ensure_ascii=False),
        "@CLASSES@": json.dumps(list(model.classes), ensure_ascii=False),
        "@RENAMED@": json.dumps(renamed, indent=4),
        "@MODULES@": "\n".join(f"        {module}," for module in modules),
    }
    text = _template("load_torch.py.txt")
    for mark, value in filled.items():
        text = text.replace(mark, value)
    return text


_TORCH_ACTIVATIONS = {
    "relu": "torch.nn.ReLU()",
    "gelu": "torch.nn.GELU()",
    "silu": "torch.nn.SiLU()",
    "tanh": "torch.nn.Tanh()",
    "identity": "torch.nn.Identity()",
}


def _sequential(network: Network) -> tuple[list[str], dict[str, str]]:
    """The network's modules as source lines, and our tensor names as their place in the Sequential."""
    modules: list[str] = []
    renamed: dict[str, str] = {}

    def add(source: str, ours: str | None, tensors: list[str]) -> None:
        renamed.update({f"{ours}.{tensor}": f"{len(modules)}.{tensor}" for tensor in tensors if ours})
        modules.append(source)

    for index, layer in enumerate(network.layers):
        add(
            f"torch.nn.Linear({layer.in_features}, {layer.out_features})",
            f"layers.{index}",
            ["weight", "bias"],
        )
        if index == len(network.tails):
            continue
        tail = network.tails[index]
        activation = _TORCH_ACTIVATIONS[tail.spec.activation]
        kind = {"batch": "BatchNorm1d", "layer": "LayerNorm"}.get(tail.spec.norm)
        norm = f"torch.nn.{kind}({tail.spec.width}, eps={tail.spec.eps})"
        names = list(tail.norm.state_dict()) if tail.norm is not None else []
        steps = [(norm, f"tails.{index}.norm", names)] if kind else []
        place = len(steps) if tail.spec.norm_first else 0
        steps.insert(place, (activation, "", []))
        for source, ours, tensors in steps:
            add(source, ours, tensors)
    return modules, renamed


def verify(folder: Path, model: RiskModel) -> float:
    """The largest difference of any risk: model against files, by torch and by onnxruntime.

    Raises MedPruneError above :data:`TOLERANCE`: such a bundle must not leave.
    """
    rows = probe_rows(model.preparation)
    expected = model.predict_proba(rows)
    loaded = load_bundle(folder).predict_proba(rows)
    by_onnx = onnx_risks((folder / "model.onnx").read_bytes(), model.preparation, rows)
    difference = float(max(np.abs(loaded - expected).max(), np.abs(by_onnx - expected).max()))
    if not difference <= TOLERANCE:
        raise MedPruneError(f"the exported files differ from the model by {difference:.2g}")
    return difference


def probe_rows(preparation: Preparation, rows: int = PROBES, seed: int = 0) -> pd.DataFrame:
    """Made-up raw rows that reach every code: values far and near, missing ones, rare and unseen labels."""
    rng = np.random.default_rng(seed)
    table: dict[str, Any] = {}
    for number in preparation.numbers:
        values = number.mean + number.scale * rng.standard_t(4, rows)
        table[number.name] = np.where(rng.random(rows) < 0.2, np.nan, values)  # noqa: PLR2004 - a fifth missing
    for category in preparation.categories:
        labels = np.array([*category.labels, "label never seen", None], dtype=object)
        table[category.name] = rng.choice(labels, rows)
    return pd.DataFrame(table, index=range(rows))


def onnx_risks(model: bytes, preparation: Preparation, frame: pd.DataFrame) -> NDArray[np.float64]:
    """Risks (N, classes) from an ONNX model under onnxruntime, fed with raw columns."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    typed = preparation.typed(frame)
    feed = {
        f.name: (
            typed[f.name].to_numpy(np.float64)
            if f.kind == "number"
            else typed[f.name].where(typed[f.name].notna(), "").to_numpy(dtype=object)
        ).reshape(-1, 1)
        for f in preparation.features
    }
    risks: NDArray[np.float64] = session.run(["risks"], feed)[0]
    return risks


def _zipped(folder: Path) -> Path:
    """The folder as a zip with fixed times, so that the same bundle gives the same bytes."""
    archive = folder.with_name(folder.name + ".zip")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        for name in FILES:
            out.writestr(zipfile.ZipInfo(f"{folder.name}/{name}"), (folder / name).read_bytes())
    return archive


def _move_into_place(fresh: Path, archive: Path, target: Path, scratch: Path) -> None:
    for path in (*fresh.iterdir(), archive):
        with path.open("rb") as file:
            os.fsync(file.fileno())
    if target.exists():
        target.replace(scratch / "old")
    fresh.replace(target)
    archive.replace(target.with_name(target.name + ".zip"))
