"""Skops files: an ordinary one, and ones that were changed by somebody who means harm."""

from __future__ import annotations

import io
import json
import os
import warnings
import zipfile
from collections.abc import Callable
from functools import cache
from typing import Any

import joblib
import numpy as np
import skops.io
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from tests.hostile.model_archives import Running


def perceptron(solver: str = "adam") -> Any:
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = make_pipeline(StandardScaler(), MLPClassifier((3,), solver=solver, max_iter=3, random_state=0))
        return made.fit(rng.normal(size=(40, 4)), np.arange(40) % 2)


@cache
def ordinary(solver: str = "adam") -> bytes:
    data: bytes = skops.io.dumps(perceptron(solver))
    return data


def changed(
    edit: Callable[[dict[str, Any]], Any] | None = None,
    *,
    member: Callable[[str, bytes], bytes] = lambda name, content: content,
    method: int = zipfile.ZIP_STORED,
    more: dict[str, bytes] | None = None,
) -> bytes:
    """The ordinary file with its description edited, or its members replaced."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(ordinary())) as old, zipfile.ZipFile(out, "w", method) as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "schema.json" and edit is not None:
                schema = json.loads(content)
                edit(schema)
                content = json.dumps(schema).encode()
            new.writestr(name, member(name, content))
        for name, content in (more or {}).items():
            new.writestr(name, content)
    return out.getvalue()


def first(schema: Any, loader: str) -> dict[str, Any]:
    """The first part of the description with this loader."""
    if isinstance(schema, dict):
        if schema.get("__loader__") == loader:
            return schema
        schema = list(schema.values())
    if isinstance(schema, list):
        for inner in schema:
            found = first(inner, loader)
            if found:
                return found
    return {}


def with_function() -> bytes:
    """A part of an estimator is a function of the operating system."""
    function = {
        "__class__": "getcwd", "__module__": "posix", "__loader__": "FunctionNode", "__id__": 1,
        "content": {"module_path": "posix", "function": "getcwd"},
    }  # fmt: skip
    return changed(lambda schema: first(schema, "JsonNode").update({"content": None, **function}))


def with_reducer() -> bytes:
    """A part is an object that says itself how it is built: by making a folder."""

    def edit(schema: dict[str, Any]) -> None:
        part = first(schema, "JsonNode")
        part.clear()
        part.update(
            {
                "__class__": "Running", "__module__": "tests.hostile.model_archives",
                "__loader__": "ObjectNode", "__id__": 2,
            }
        )  # fmt: skip

    return changed(edit)


def with_loader(loader: str, module: str, name: str) -> bytes:
    """A part of a kind that we list, under a loader that would build it otherwise."""

    def edit(schema: dict[str, Any]) -> None:
        first(schema, "JsonNode").update({"__loader__": loader, "__module__": module, "__class__": name})

    return changed(edit)


def npy(shape: tuple[int, ...], kind: str, content: bytes = b"") -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": kind, "fortran_order": False, "shape": shape})
    return out.getvalue() + content


def with_array(content: bytes, *, method: int = zipfile.ZIP_STORED) -> bytes:
    """Every array of the file replaced."""
    return changed(member=lambda name, old: content if name.endswith(".npy") else old, method=method)


def claiming() -> bytes:
    return with_array(npy((10**7, 10**6), "<f8", bytes(8)))


def bomb() -> bytes:
    content = npy((25_000_000,), "<f8", bytes(200_000_000))
    member = next(n for n in zipfile.ZipFile(io.BytesIO(ordinary())).namelist() if n.endswith(".npy"))
    swapped = changed(
        member=lambda name, old: content if name == member else old, method=zipfile.ZIP_DEFLATED
    )
    return swapped


def objects() -> bytes:
    return with_array(npy((1,), "|O", b"\x80\x04N."))


def from_version(version: str) -> bytes:
    def edit(schema: Any) -> None:
        text = json.dumps(schema)
        import sklearn

        said = json.dumps(json.dumps(sklearn.__version__))[1:-1]
        swapped = json.loads(text.replace(said, json.dumps(json.dumps(version))[1:-1]))
        schema.clear()
        schema.update(swapped)

    return changed(edit)


def asking_for_more() -> bytes:
    """An ordinary Pipeline that needs a function of numpy."""
    rng = np.random.default_rng(0)
    made = make_pipeline(FunctionTransformer(np.log1p), perceptron()[-1])
    made[0].fit(rng.random((40, 4)))
    data: bytes = skops.io.dumps(made)
    return data


def joblib_file() -> bytes:
    out = io.BytesIO()
    joblib.dump(perceptron(), out)
    return out.getvalue()


def joblib_running(compress: int = 0) -> bytes:
    out = io.BytesIO()
    joblib.dump([Running(), np.zeros(3)], out, compress=compress)
    return out.getvalue()


def points_out() -> bytes:
    return changed(more={f"..{os.sep}outside.npy": b""})
