"""The bundle: what leaves. A folder and its zip that compute the same as the model, anywhere.

Written to a temporary folder, loaded back, compared on probe rows through safetensors and through
onnxruntime, and only then moved into place: a bundle that exists is one that was verified.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medprune.bundle_scripts import predict_script, torch_script
from medprune.candidate import Candidate
from medprune.compaction import compact
from medprune.description import describe
from medprune.errors import BadInput, MedPruneError, listed
from medprune.intake.tensor_file import MOST_BYTES
from medprune.model import RiskModel
from medprune.model_file import check_has_format, fingerprint, load_model, model_bytes
from medprune.onnx_graph import onnx_bytes
from medprune.onnx_run import onnx_risks, probe_rows
from medprune.report import About, papers
from medprune.review.result import Review
from medprune.tables import check_place, json_text

TOLERANCE = 1e-5
INT8_TOLERANCE = 0.05  # of the mean over made-up rows: another model, not rounding
NOT_REVIEWED = "not reviewed"
FILES = (
    "model.safetensors",
    "model.json",
    "model.onnx",
    "provenance.json",
    "predict.py",
    "load_torch.py",
)
INT8 = "model.int8.onnx"  # only when asked for
LATER = ("review.json", "card.md", "report.html", "card.chai.xml")  # what a review adds
LEFT_BEHIND = ("__pycache__",)  # by Python, when the bundle's scripts are used


@dataclass(frozen=True, eq=False)
class Bundle:
    """A bundle on disk, loaded back. ``largest_difference`` is what verification measured."""

    folder: Path
    model: RiskModel
    about: Mapping[str, Any]
    largest_difference: float | None = None

    @property
    def zip(self) -> Path:
        return self.folder if self.folder.is_file() else _zip_beside(self.folder)

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Where the model comes from, as :func:`export` was given it."""
        found = json.loads(self.file("provenance.json") or b"{}")
        return found if isinstance(found, dict) else {}

    def file(self, name: str) -> bytes | None:
        """One of its files, None when it has none of this name; BadInput when it is damaged."""
        return _member(self.folder, name) if name in names_in(self.folder) else None

    def predict_proba(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Risks (N, classes) from raw columns, as :meth:`RiskModel.predict_proba`."""
        return self.model.predict_proba(frame)


def export(
    candidate: Candidate | RiskModel,
    review: Review | None,
    folder: str | Path,
    *,
    provenance: Mapping[str, Any] | None = None,
    int8: bytes | None = None,
    about: About | None = None,
) -> Bundle:
    """Write the candidate's bundle to ``folder`` and its zip beside it; an older bundle there is replaced.

    ``review`` is None until the model has been reviewed; the bundle is then marked "not reviewed".
    ``about`` is what only its makers can say of it, for the card.
    ``int8`` is the model quantised, which goes in beside model.onnx; predict.py keeps using the latter.
    Raises BadInput when the folder holds something else or cannot be written; nothing is changed then.
    """
    model = compact(check_has_format(candidate.model if isinstance(candidate, Candidate) else candidate))
    target = check_target(folder)
    with _replacing(target) as fresh:
        _write(fresh, model, provenance or {}, int8)
        if review is not None:
            _check_review(review, model)
            _write_review(fresh, review, provenance or {}, about)
        difference = verify(fresh, model)
    return replace(load_bundle(target), largest_difference=difference)


def add_review(bundle: Bundle, review: Review, about: About | None = None) -> Bundle:
    """The same bundle with its review in it, in one step; an older review there is replaced.

    A zip gets the folder that it was made from beside it. Raises BadInput when the review is of another
    model, or nothing can be written; nothing is changed then.
    """
    _check_review(review, bundle.model)
    place = bundle.folder
    target = check_target(place.with_suffix("") if place.is_file() else place)
    kept = [name for name in names_in(place) if name not in LATER]
    with _replacing(target) as fresh:
        for name in kept:
            (fresh / name).write_bytes(_member(place, name))
        _write_review(fresh, review, bundle.provenance, about)
    return replace(load_bundle(target), largest_difference=bundle.largest_difference)


@contextlib.contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """An empty folder to fill; filled, it and its zip take the place of what was at ``target``."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as scratch:
            fresh = Path(scratch) / target.name
            fresh.mkdir()
            yield fresh
            _move_into_place(fresh, _zipped(fresh), target, Path(scratch))
    except OSError as error:
        raise BadInput(
            f"The bundle could not be written to {str(target)!r} ({error.strerror}); "
            "nothing was changed there."
        ) from error


def names_in(bundle: Path) -> list[str]:
    """The files of a bundle that it may have, in their usual order."""
    if bundle.is_dir():
        there = {entry.name for entry in bundle.iterdir()}
    else:
        with zipfile.ZipFile(bundle) as archive:
            there = {member.filename.rpartition("/")[2] for member in archive.infolist()}
    return [name for name in (*FILES, INT8, *LATER) if name in there]


def load_bundle(path: str | Path) -> Bundle:
    """A bundle's folder or zip. Raises BadInput when it is not one, or is damaged."""
    path = Path(path)
    tensors, about = (_member(path, name) for name in ("model.safetensors", "model.json"))
    try:
        description = json.loads(about)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"The model.json of {str(path)!r} is damaged; export the bundle again.") from error
    if not isinstance(description, dict):
        raise BadInput(f"The model.json of {str(path)!r} is damaged; export the bundle again.")
    return Bundle(path, load_model(tensors, name="model.safetensors"), description)


def _member(bundle: Path, name: str) -> bytes:
    """One file of a bundle's folder or zip."""
    try:
        if bundle.is_dir():
            return (bundle / name).read_bytes()
        with zipfile.ZipFile(bundle) as archive:
            [found] = [m for m in archive.infolist() if m.filename.rpartition("/")[2] == name]
            if found.file_size > MOST_BYTES:
                raise BadInput(f"The {name} in {str(bundle)!r} is larger than 2 GB, which is too large.")
            return archive.read(found)
    except FileNotFoundError as error:
        what = f"it has no {name}" if bundle.exists() else "there is no such file or folder"
        raise _no_bundle(bundle, what) from error
    except (OSError, zipfile.BadZipFile) as error:
        raise _no_bundle(bundle, "it is no folder and no complete zip") from error
    except ValueError as error:
        raise _no_bundle(bundle, f"it has no {name}, or several") from error
    except (RuntimeError, NotImplementedError, EOFError, zlib.error) as error:
        raise _no_bundle(bundle, "its zip is encrypted or damaged") from error


def _no_bundle(path: Path, why: str) -> BadInput:
    return BadInput(f"{str(path)!r} is not a bundle: {why}; give a bundle's folder or zip.")


def check_target(folder: str | Path) -> Path:
    """Where the bundle will be; BadInput when something else is there, or nothing can be written."""
    try:
        target = Path(folder).resolve()
        archive, there = _zip_beside(target), target.parent
        while not there.exists():
            there = there.parent
        check_place(there / archive.name, "the bundle")
        if target.exists() and not target.is_dir():
            raise BadInput(f"{str(target)!r} is a file; choose another name for the bundle.")
        inside = sorted(entry.name for entry in target.iterdir()) if target.exists() else []
    except (OSError, RuntimeError, ValueError) as error:
        raise BadInput(f"The bundle cannot be written to {str(folder)!r}; choose another place.") from error
    foreign = [name for name in inside if name not in (*FILES, INT8, *LATER, *LEFT_BEHIND)]
    if foreign or (inside and "model.json" not in inside):
        raise BadInput(
            f"{str(target)!r} exists and is not just a bundle, as it holds "
            f"{listed(foreign or inside, most=3)}; choose another name for the new one."
        )
    if archive.exists() and not _is_bundle_zip(archive):
        raise BadInput(
            f"{str(archive)!r} exists and is not a bundle's zip, which the new one would replace; "
            "choose another name for the bundle."
        )
    return target


def _zip_beside(folder: Path) -> Path:
    return folder.with_name(folder.name + ".zip")


def _is_bundle_zip(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.rpartition("/")[2] for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        return False
    return names <= {*FILES, INT8, *LATER, ""} and "model.json" in names


def _write(folder: Path, model: RiskModel, provenance: Mapping[str, Any], int8: bytes | None) -> None:
    files = list(FILES) if int8 is None else [*FILES, INT8]
    about = describe(model) | {"review": NOT_REVIEWED, "files": files}
    (folder / "model.safetensors").write_bytes(model_bytes(model))
    _write_json(folder / "model.json", about)
    (folder / "model.onnx").write_bytes(onnx_bytes(model))
    if int8 is not None:
        (folder / INT8).write_bytes(int8)
    _write_json(folder / "provenance.json", dict(provenance) | {"versions": about["versions"]})
    (folder / "predict.py").write_text(predict_script(), encoding="utf-8")
    (folder / "load_torch.py").write_text(torch_script(model), encoding="utf-8")


def _check_review(review: Review, model: RiskModel) -> None:
    """BadInput when the review is of other risks than the compact model's."""
    reviewed = compact(review.pruned_model)
    same = fingerprint(reviewed) == fingerprint(model) and reviewed.recalibration == model.recalibration
    if not same:
        raise BadInput("The review is of another model than the bundle holds; review this bundle.")


def _write_review(folder: Path, review: Review, provenance: Mapping[str, Any], about: About | None) -> None:
    """What a review adds, and the gate's state in model.json."""
    for name, text in papers(review, provenance, about).items():
        (folder / name).write_text(text, encoding="utf-8")
    described = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    override = None if review.override is None else review.override.to_json()
    described["review"] = {"gate": review.gate, "override": override}
    described["files"] = names_in(folder)
    _write_json(folder / "model.json", described)


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json_text(value), encoding="utf-8")


def verify(folder: Path, model: RiskModel) -> float:
    """The largest difference of any risk: model against files, by torch and by onnxruntime.

    Raises MedPruneError above :data:`TOLERANCE`: such a bundle must not leave. An int8 file computes
    nearly the same by design: it must load, and its risks must be near on average.
    """
    rows = probe_rows(model.preparation)
    expected = model.predict_proba(rows)
    loaded = load_bundle(folder).predict_proba(rows)
    by_onnx = onnx_risks((folder / "model.onnx").read_bytes(), model.preparation, rows)
    difference = float(max(np.abs(loaded - expected).max(), np.abs(by_onnx - expected).max()))
    if not difference <= TOLERANCE:
        raise MedPruneError(f"the exported files differ from the model by {difference:.2g}")
    if (folder / INT8).exists():
        rounded = onnx_risks((folder / INT8).read_bytes(), model.preparation, rows)
        if not np.abs(rounded - expected).mean() <= INT8_TOLERANCE:
            raise MedPruneError("the int8 file does not compute what the model does")
    return difference


def _zipped(folder: Path) -> Path:
    """The folder as a zip with fixed times, so that the same bundle gives the same bytes."""
    archive = _zip_beside(folder)
    with zipfile.ZipFile(archive, "w") as out:
        for name in names_in(folder):
            info = zipfile.ZipInfo(f"{folder.name}/{name}")
            info.create_system, info.external_attr = 3, 0o100644 << 16  # a plain file, readable by all
            out.writestr(info, (folder / name).read_bytes())
    return archive


def _move_into_place(fresh: Path, archive: Path, target: Path, scratch: Path) -> None:
    """Folder and zip change places with the old ones, which are put back when anything fails."""
    for path in (*fresh.iterdir(), archive):
        with path.open("rb") as file:
            os.fsync(file.fileno())
    with _put_back(target, scratch / "old"), _put_back(_zip_beside(target), scratch / "old.zip"):
        fresh.replace(target)
        archive.replace(_zip_beside(target))


@contextlib.contextmanager
def _put_back(place: Path, aside: Path) -> Iterator[None]:
    """Set aside what is at ``place``; it returns when the block fails."""
    there = place.exists()
    if there:
        place.replace(aside)
    try:
        yield
    except BaseException:
        if place.exists():
            place.replace(aside.with_name(f"failed {aside.name}"))
        if there:
            aside.replace(place)
        raise
