"""Look through a skops file without building anything: its parts, their kinds, its arrays' headers.

A skops file is an archive of a description (``schema.json``) and of arrays. Which kinds of part it may
hold is OUR list, fixed here; what the file asks for is never added to it.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import skops.io  # type: ignore[import-untyped]
from numpy.lib import format as npy

from medprune.errors import BadInput, listed
from medprune.intake.archive import Archive, checked

SCHEMA = "schema.json"
VERSION = re.compile(r"[0-9][0-9a-z.+]{0,19}")
LARGEST_SCHEMA = 32 * 1024**2
MOST_NODES = 500_000
DEEPEST = 60  # pipelines in pipelines; recursion further down the road stays shallow
LARGEST_HEADER = 4_096
WIDEST_NUMBER = 16  # bytes an element
WIDEST_TEXT = 4 * 1_024  # a category of a thousand letters
SKOPS_HINT = "save the fitted Pipeline of an MLPClassifier or LogisticRegression with skops.io.dump"

ESTIMATORS = {
    "sklearn.pipeline.Pipeline",
    "sklearn.compose._column_transformer.ColumnTransformer",
    "sklearn.impute._base.SimpleImputer",
    "sklearn.impute._base.MissingIndicator",
    "sklearn.preprocessing._data.StandardScaler",
    "sklearn.preprocessing._data.MinMaxScaler",
    "sklearn.preprocessing._data.RobustScaler",
    "sklearn.preprocessing._data.MaxAbsScaler",
    "sklearn.preprocessing._encoders.OneHotEncoder",
    "sklearn.preprocessing._encoders.OrdinalEncoder",
    "sklearn.preprocessing._function_transformer.FunctionTransformer",  # what passes columns on
    "sklearn.preprocessing._label.LabelBinarizer",  # in every MLPClassifier
    "sklearn.neural_network._multilayer_perceptron.MLPClassifier",
    "sklearn.linear_model._logistic.LogisticRegression",
}
COMPANIONS = {  # in ordinary files, and not among what skops trusts by itself
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.compose._column_transformer.make_column_selector",
    "sklearn.compose._column_transformer._RemainderColsList",
}
NUMBERS = {
    *(f"numpy.{name}" for name in ("bool", "bool_", "float16", "float32", "float64", "longdouble")),
    *(f"numpy.{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
}
ABSTRACT = {
    "numpy.number",
    "numpy.integer",
    "numpy.floating",
    "numpy.object_",
    "numpy.str_",
    "builtins.object",
}
PLAIN = {f"builtins.{name}" for name in ("str", "int", "float", "bool")}
TRUSTED = sorted(ESTIMATORS | COMPANIONS | NUMBERS | ABSTRACT | {"numpy.dtype"})

# What may stand under each loader of skops; a loader that is not here builds nothing.
KINDS: dict[str, set[str]] = {
    "ObjectNode": ESTIMATORS | COMPANIONS,
    "DictNode": {"builtins.dict", "collections.OrderedDict"},
    "ListNode": {"builtins.list", "sklearn.compose._column_transformer._RemainderColsList"},
    "TupleNode": {"builtins.tuple"},
    "SetNode": {"builtins.set"},
    "SliceNode": {"builtins.slice"},
    "JsonNode": PLAIN,
    "NdArrayNode": {"numpy.ndarray", "numpy.str_", *NUMBERS},
    "DTypeNode": {"numpy.dtype"},
    "TypeNode": PLAIN | NUMBERS | ABSTRACT,
    "RandomStateNode": {"numpy.random.mtrand.RandomState"},
}
CACHED = "CachedNode"  # stands for a part that was described before


def audit(data: bytes, title: str) -> dict[str, Any]:
    """The description in a skops file, when every part of it is of a kind that is read. Raises BadInput."""
    archive = checked(data, title)
    schema = _schema(archive)
    nodes = list(_nodes(schema, title))
    _check_kinds(nodes, title)
    arrays = {str(node["file"]) for node in nodes if "file" in node}
    others = set(archive.members) - {SCHEMA} - arrays
    if others or arrays - set(archive.members):
        raise BadInput(f"{title} holds other parts than its description names; export the model again.")
    for name in sorted(arrays):
        _check_array(archive, name)
    try:
        left = set(skops.io.get_untrusted_types(data=data)) - set(TRUSTED)
    except Exception as error:  # skops raises many kinds on what it does not expect
        raise _damaged(title) from error
    if left:
        raise _not_read(sorted(left), title)
    return schema


def written_by(schema: dict[str, Any]) -> str:
    """The version of scikit-learn that an audited description names; empty when it names none."""
    try:
        version = json.loads(schema["content"]["content"]["_sklearn_version"]["content"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return ""
    return version if isinstance(version, str) and VERSION.fullmatch(version) else ""


def _damaged(title: str) -> BadInput:
    return BadInput(f"{title} is a damaged skops file; copy or upload it again.")


def _schema(archive: Archive) -> dict[str, Any]:
    text = archive.read(SCHEMA, LARGEST_SCHEMA)
    try:
        schema = json.loads(text, object_pairs_hook=lambda pairs: _no_doubles(pairs, archive.title))
    except (ValueError, RecursionError) as error:
        raise _damaged(archive.title) from error
    if not isinstance(schema, dict):
        raise _damaged(archive.title)
    return schema


def _no_doubles(pairs: list[tuple[str, Any]], title: str) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) < len(pairs):
        [(twice, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise BadInput(f"{title} describes {twice!r} twice; export the model again.")
    return unique


def _nodes(schema: dict[str, Any], title: str) -> Iterator[dict[str, Any]]:
    """Every part of the description, found without recursion."""
    waiting: list[tuple[Any, int]] = [(schema, 0)]
    seen = 0
    while waiting:
        value, depth = waiting.pop()
        seen += 1
        if seen > MOST_NODES or depth > 4 * DEEPEST:  # a level of objects is up to four of JSON
            raise BadInput(f"{title} is nested deeper or has more parts than any network here; {SKOPS_HINT}.")
        if isinstance(value, dict):
            if "__loader__" in value:
                yield value
            waiting += [(inner, depth + 1) for inner in value.values()]
        elif isinstance(value, list):
            waiting += [(inner, depth + 1) for inner in value]


def _check_kinds(nodes: list[dict[str, Any]], title: str) -> None:
    wrong = []
    for node in nodes:
        loader = str(node["__loader__"])
        kind = f"{node.get('__module__')}.{node.get('__class__')}"
        if loader != CACHED and kind not in KINDS.get(loader, ()):
            wrong.append(kind)
    if wrong:
        raise _not_read(list(dict.fromkeys(wrong)), title)


def _not_read(kinds: list[str], title: str) -> BadInput:
    models = [kind.rpartition(".")[2] for kind in kinds if kind.startswith("sklearn.")]
    if models:
        return BadInput(
            f"{title} holds {listed(models)}, which is no part of what can be read; {SKOPS_HINT}."
        )
    return BadInput(
        f"{title} holds {listed(kinds)}, which may be code and is never built; {SKOPS_HINT}, without "
        "parts of "
        "your own."
    )


def _check_array(archive: Archive, name: str) -> None:
    """An array is of numbers or text, and as large as its header says."""
    size = archive.members[name].file_size
    try:
        with archive.zip.open(archive.members[name]) as member:
            start = io.BytesIO(member.read(LARGEST_HEADER + 12))
        version = npy.read_magic(start)
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
        shape, _, kind = read(start, max_header_size=LARGEST_HEADER)
    except Exception as error:  # numpy and zipfile raise many kinds
        raise BadInput(f"{archive.title}: its part {name!r} is no array; export the model again.") from error
    _check_dtype(kind, name, archive.title)
    if any(length < 0 for length in shape) or math.prod(shape) * kind.itemsize != size - start.tell():
        raise BadInput(
            f"{archive.title}: an array claims {math.prod(shape) * kind.itemsize:,} bytes and has "
            f"{size - start.tell():,}; export the model again."
        )


def _check_dtype(kind: np.dtype[Any], name: str, title: str) -> None:
    numbers = kind.kind in "biuf" and kind.itemsize <= WIDEST_NUMBER
    text = kind.kind == "U" and kind.itemsize <= WIDEST_TEXT
    if not (numbers or text) or kind.fields is not None or kind.subdtype is not None:
        raise BadInput(
            f"{title}: the array {name!r} holds neither numbers nor plain text, so it is not read; "
            f"{SKOPS_HINT}."
        )
