"""A model as one safetensors file: the network's tensors, and everything else as JSON in its metadata.

A model with a mask is written compacted.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from medprune.censoring import told_of
from medprune.cohort import Cohort
from medprune.compaction import compact
from medprune.description import FORMAT, KEY, describe
from medprune.errors import BadInput, listed, nearest
from medprune.intake.foreign import read_model_file
from medprune.intake.tensor_file import TensorFile
from medprune.model import Origin, Recalibration, RiskModel, check_finite
from medprune.network import Network, NetworkSpec, frozen
from medprune.performance import check_share
from medprune.preparation import Preparation
from medprune.tables import write_whole


def check_has_format(model: RiskModel) -> RiskModel:
    """The model; BadInput for one of another family, which no file describes."""
    if not isinstance(model, RiskModel):
        raise BadInput(
            f"A {type(model).__name__} has no file format yet, so it can be neither saved nor exported; keep "
            "it in Python, or train an MLP."
        )
    return model


def model_bytes(model: RiskModel) -> bytes:
    """The model, compacted, as a safetensors file."""
    small = compact(check_has_format(model))
    tensors = {name: value.contiguous() for name, value in small.network.state_dict().items()}
    data: bytes = safetensors.torch.save(tensors, metadata={KEY: json.dumps(describe(small))})
    return data


def save_model(model: RiskModel, path: str | Path) -> Path:
    """Write the model to ``path``, whole or not at all. Raises BadInput when that cannot be done."""
    return write_whole(path, model_bytes(model), "the model")


def fingerprint(model: RiskModel) -> str:
    """sha256 over the network's tensors: names the parent of a pruned model."""
    digest = hashlib.sha256()
    for name, value in sorted(model.network.state_dict().items()):
        digest.update(name.encode() + value.cpu().numpy().tobytes())
    return digest.hexdigest()


def load_model(path: str | Path | bytes, cohort: Cohort | None = None, *, name: str = "") -> RiskModel:
    """A model that describes itself, ours or from scikit-learn or ONNX, checked against its cohort.

    A foreign model takes the cohort's outcome, class order and, where it only numbers its columns, the
    cohort's features as they stand. Raises BadInput for a damaged file, NaN weights, and inputs or classes
    that do not match. What does not describe itself goes through :func:`medprune.intake.adopt.adopt_model`.
    """
    from medprune.intake.completion import described_model, for_cohort, is_foreign

    file = read_model_file(path, name=name)
    if KEY not in file.metadata:
        raise BadInput(
            f"{file.title} holds weights without their description (as a plain state_dict); say its "
            "activation, the order of its input columns and how they are scaled (--activation, --columns, "
            "--scaling)."
        )
    if cohort is None or not is_foreign(file):
        model = model_from(file)
        if cohort is not None:
            check_fits(model, cohort)
        return model
    offered = [feature.name for feature in cohort.features]
    return for_cohort(described_model(file, offered=offered), cohort, file)


def model_from(file: TensorFile) -> RiskModel:
    """Build the model that a file describes."""
    try:
        about = json.loads(file.metadata[KEY])
        if int(about["format"]) > FORMAT:
            raise BadInput(f"{file.title} was written by a newer MedPrune; update this one to read it.")
        positive = about.get("positive")
        spec = NetworkSpec.from_json(about["network"])
        model = RiskModel(
            preparation=Preparation.from_json(about["preparation"]),
            network=network_from(spec, file.tensors, file.title),
            outcome=str(about["outcome"]),
            classes=tuple(str(label) for label in about["classes"]),
            positive=None if positive is None else str(positive),
            recalibration=Recalibration.from_json(about["recalibration"]),
            act_at=check_share(float(about["decision_threshold"]), f"{file.title}: the risk to act at"),
            origin=Origin.from_json(about["origin"]),
        )
        _check_preparation(model.preparation)
        _check_recalibration(model)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, ArithmeticError) as error:
        raise BadInput(
            f"{file.title} does not describe its model in a way MedPrune can read; save the model again."
        ) from error
    check_finite(model.network)
    _check_widths(model, file.title)
    return model


def network_from(spec: NetworkSpec, tensors: Mapping[str, Tensor], title: str) -> Network:
    """A network of this spec holding these tensors; every name and shape must match."""
    if len(spec.tails) > len(tensors):
        raise BadInput(
            f"{title} holds {len(tensors)} tensors and describes {len(spec.tails) + 1} layers; "
            "save the model again."
        )
    with torch.device("meta"):  # shapes without memory: a spec may claim any width
        wanted = Network(spec).state_dict()
    missing, extra = sorted(set(wanted) - set(tensors)), sorted(set(tensors) - set(wanted))
    if missing or extra:
        raise BadInput(
            f"{title} does not match its description (missing: {listed(missing) or 'none'}; "
            f"unexpected: {listed(extra) or 'none'}); save the model again."
        )
    for name, value in wanted.items():
        if tensors[name].shape != value.shape:
            raise BadInput(
                f"{title}: {name!r} has the shape {tuple(tensors[name].shape)}, its description says "
                f"{tuple(value.shape)}; save the model again."
            )
    network = Network(spec)
    network.load_state_dict({name: value.to(wanted[name].dtype) for name, value in tensors.items()})
    return frozen(network)


def _check_preparation(preparation: Preparation) -> None:
    """ValueError when codes are no numbers, or a column has no code."""
    for number in preparation.numbers:
        finite = all(math.isfinite(value) for value in (number.fill, number.mean, number.scale))
        if not finite or number.scale == 0:
            raise ValueError("a number is prepared by values that are not finite")
    codes = {code.name: code for code in preparation.categories}
    kinds = {number.name for number in preparation.numbers}
    for code in preparation.categories:
        if not 0 <= int(code.fill) <= code.missing or not all(isinstance(text, str) for text in code.labels):
            raise ValueError("a category is prepared by unknown codes")
    for column in preparation.columns:
        number_like = column.role in ("value", "flag") and column.feature in kinds
        known = codes.get(column.feature)
        category = column.role == "category" and known is not None and 0 <= column.code <= known.missing
        if not number_like and not category:
            raise ValueError("a column has no source")
    if len(kinds | set(codes)) < len(preparation.features):
        raise ValueError("a feature is prepared twice")


def _check_recalibration(model: RiskModel) -> None:
    how = model.recalibration
    if not all(math.isfinite(value) for value in (how.slope, *how.intercepts)):
        raise ValueError("the recalibration is not finite")
    if how.intercepts and len(how.intercepts) != len(model.classes):
        raise ValueError("the recalibration is for other classes")


def _check_widths(model: RiskModel, title: str) -> None:
    columns, inputs = len(model.preparation.columns), model.network.spec.inputs
    if columns != inputs:
        raise BadInput(
            f"{title}: the network takes {inputs} inputs, its preparation makes {columns}; "
            "save the model again."
        )
    if len(model.classes) != model.network.spec.outputs:
        raise BadInput(
            f"{title}: the network tells {model.network.spec.outputs} classes apart, "
            f"{len(model.classes)} are named; save the model again."
        )


def check_columns(model: RiskModel, offered: Iterable[str]) -> None:
    """BadInput when a table with these columns lacks some that the model reads."""
    have = list(offered)
    missing = [name for name in model.features if name not in have]
    if missing:
        raise BadInput(
            f"The model needs {len(model.features)} columns, the table offers {len(have)} and lacks "
            f"{len(missing)} of them: {listed(missing)}{nearest(missing[0], have)}; "
            "use the table it was made for, or train a new model."
        )


def check_fits(model: RiskModel, cohort: Cohort) -> None:
    """BadInput when the cohort lacks columns the model needs, or its outcome has other classes."""
    have = {feature.name: feature.kind for feature in cohort.features}
    check_columns(model, have)
    other = [f.name for f in model.preparation.features if have[f.name] != f.kind]
    if other:
        raise BadInput(
            f"The model and the table disagree on whether these columns hold numbers or text: "
            f"{listed(other)}; use the table the model was made for."
        )
    if model.classes != cohort.classes:
        raise BadInput(
            f"The model tells {listed(model.classes)} apart, the table's outcome has "
            f"{listed(cohort.classes)}; choose the outcome (and --positive) it was trained for."
        )
    _check_horizon(model, cohort)


def _check_horizon(model: RiskModel, cohort: Cohort) -> None:
    """BadInput when the model tells the risk of another span of time than the cohort's outcome."""
    trained, here = told_of(model.origin.training), cohort.follow_up
    span = None if trained is None else trained[1]
    if model.origin.training is None or span == (None if here is None else here.horizon):
        return  # of a model from elsewhere nobody knows the horizon
    was = "without a horizon" if span is None else f"for the horizon {span:g}"
    now = "without one" if here is None else f"with the horizon {here.horizon:g}"
    raise BadInput(
        f"The model was trained {was}, and the table is read {now}; give the same --time and --horizon as "
        "then, or train a new model."
    )
