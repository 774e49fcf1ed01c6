"""A scikit-learn model in a skops file: audited, built by skops from our list of types, read, compared."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import sklearn
import skops.io  # type: ignore[import-untyped]
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from medprune.errors import BadInput, listed
from medprune.intake.described import described_file, risk_model
from medprune.intake.sklearn_nets import read_net
from medprune.intake.sklearn_steps import Steps, steps_of
from medprune.intake.skops_audit import SKOPS_HINT, TRUSTED, audit, written_by
from medprune.intake.tensor_file import TensorFile
from medprune.intake.traced import MOST_COLUMNS, Raw, Resolved, resolve
from medprune.model import RiskModel

PROBES = 128
TOLERANCE = 1e-5  # between scikit-learn and the network here, in risk
UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError, RecursionError)


def read_skops(data: bytes, title: str) -> TensorFile:
    """A fitted MLPClassifier or LogisticRegression, alone or in a Pipeline. Raises BadInput."""
    version = written_by(audit(data, title))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of versions: told in a note, after the risks were compared
            estimator = skops.io.loads(data, trusted=TRUSTED)
    except Exception as error:  # skops and scikit-learn raise many kinds
        raise BadInput(f"{title} is a damaged skops file; copy or upload it again.") from error
    try:
        return _read(estimator, title, version)
    except UNREADABLE as error:
        raise BadInput(
            f"{title} does not hold a fitted model as scikit-learn {sklearn.__version__} writes it"
            f"{_versions(version)}; {SKOPS_HINT}."
        ) from error


def _read(estimator: Any, title: str, version: str) -> TensorFile:
    *before, (_, net) = steps_of(estimator) if type(estimator) is Pipeline else [("", estimator)]
    if not before and type(net) is Pipeline:  # a Pipeline of nothing but a Pipeline
        return _read(net, title, version)
    layers, classes = read_net(net, title)
    names, numbered = _names(estimator, title)
    steps = Steps(title, names)
    columns = steps.through(Pipeline(before), "", [Raw(place) for place in range(len(names))])
    if len(columns) != layers[0].weight.shape[1]:
        raise ValueError("a column for every input of the network")
    resolved = resolve(columns, names, title)
    model = risk_model(resolved, layers, classes, title)
    shut = {names[place] for place in (*resolved.unfilled, *steps.refuses_missing)}
    frame = _probes(model, steps, resolved)
    _compare(estimator, model, frame, title, version, numbered=numbered)
    unsaid = {
        "inputs": len(names) if numbered else None,
        "classes": False,
        "missing": [names[place] for place in resolved.unfilled],
    }
    return described_file(model, title, unsaid, _notes(version, steps, shut))


def _names(estimator: Any, title: str) -> tuple[list[str], bool]:
    """The source columns in order, and whether the file only numbers them."""
    while type(estimator) is Pipeline:
        estimator = steps_of(estimator)[0][1] if steps_of(estimator) else None
    mine = vars(estimator)
    count = int(mine["n_features_in_"])
    if not 0 < count <= MOST_COLUMNS:
        raise BadInput(f"{title} takes {count:,} inputs; at most {MOST_COLUMNS:,} can be read.")
    given = mine.get("feature_names_in_")
    if given is None:
        return [f"input {place + 1}" for place in range(count)], True
    names = [str(name).strip() for name in given]
    if len(names) != count or len(set(names)) < count or not all(names):
        raise BadInput(f"{title} names its input columns twice or not at all; rename them and fit it again.")
    return names, False


def _notes(version: str, steps: Steps, shut: set[str]) -> list[str]:
    notes = []
    if version and version != sklearn.__version__:
        notes.append(
            f"The model was written by scikit-learn {version} and read by {sklearn.__version__}; "
            "compare some "
            "of its risks with what it gave where it was made."
        )
    if shut:
        notes.append(f"The model was not made for missing values of {listed(sorted(shut))}.")
    if steps.strict:
        names = sorted(steps.names[place] for place in steps.strict)
        notes.append(
            f"The model was not made for new categories of {listed(names)}; here they count as none."
        )
    return notes


def _versions(version: str) -> str:
    return f" (it was written by {version})" if version else ""


# --- the same risks --------------------------------------------------------------------------------


def _compare(
    estimator: Any, model: RiskModel, frame: pd.DataFrame, title: str, version: str, *, numbered: bool
) -> None:
    """BadInput when scikit-learn gives made-up patients other risks than the network here."""
    theirs = frame.to_numpy() if numbered else frame
    if numbered and not model.preparation.categories:
        theirs = frame.to_numpy(np.float64)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            expected = np.asarray(estimator.predict_proba(theirs), dtype=np.float64)
    except Exception as error:  # whatever an unusual file makes scikit-learn raise
        raise BadInput(
            f"{title} cannot be run by scikit-learn {sklearn.__version__}{_versions(version)}; fit "
            "and save "
            "it with the same version."
        ) from error
    found = model.predict_proba(frame)
    if expected.shape != found.shape or not np.abs(expected - found).max() <= TOLERANCE:
        raise BadInput(
            f"{title} does not give the same risks here as in scikit-learn {sklearn.__version__}"
            f"{_versions(version)}, so it is not read; fit and save it with the same version."
        )


def _probes(model: RiskModel, steps: Steps, resolved: Resolved) -> pd.DataFrame:
    """Made-up rows of all source columns, such as the model takes."""
    rng = np.random.default_rng(0)
    numbers = {code.name: code for code in model.preparation.numbers}
    open_to_missing = set(range(len(steps.names))) - {*resolved.unfilled, *steps.refuses_missing}
    table: dict[str, Sequence[Any] | NDArray[Any]] = {}
    for place, name in enumerate(steps.names):
        if place in steps.labels:
            table[name] = _some_labels(steps, place, rng, missing=place in open_to_missing)
            continue
        code = numbers.get(name)
        values = rng.standard_normal(PROBES)
        if code is not None:
            values = code.mean + abs(code.scale) * values
            if place in open_to_missing:
                values[rng.random(PROBES) < 0.2] = np.nan  # noqa: PLR2004 - a fifth missing
        table[name] = values
    return pd.DataFrame(table)


def _some_labels(steps: Steps, place: int, rng: np.random.Generator, *, missing: bool) -> pd.Series:
    values = list(steps.labels[place].values())
    text = any(isinstance(value, str) for value in values)
    if place not in steps.strict:
        values.append("label never seen" if text else -987_654)
    if missing:
        values.append(np.nan)
    cells = np.empty(len(values), dtype=object)
    cells[:] = values
    drawn = pd.Series(rng.choice(cells, PROBES), dtype=object)
    return drawn if text else drawn.astype(float)
