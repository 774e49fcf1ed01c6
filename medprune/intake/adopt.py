"""A plain state_dict becomes a RiskModel once its user has said what the file cannot.

The file knows its shapes. The user says which activation, which table columns in which order, which
classes, and whether the inputs are scaled already, scaled by given constants, or fitted here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from medprune.cohort import Cohort, Feature
from medprune.errors import BadInput, nearest
from medprune.intake.tensor_file import TensorFile
from medprune.model import Origin, RiskModel, check_finite
from medprune.network import Network, NetworkSpec, TailSpec, frozen
from medprune.preparation import NumberCode, Preparation, fit_preparation

SCALINGS = ("fitted", "scaled", "constants")
CONSTANTS_HINT = 'give a JSON object such as {"age": {"mean": 50, "scale": 12}}'


@dataclass(frozen=True)
class Adoption:
    """What the user confirms. ``columns``: the table's columns in the network's order (empty: all, as they
    stand); ``constants``: (mean, scale) by column, for the scaling ``constants``."""

    activation: str = "relu"
    scaling: str = "fitted"
    columns: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    norm_first: bool = True
    constants: Mapping[str, tuple[float, float]] | None = None


@dataclass(frozen=True)
class _Block:
    """One linear layer and the normalisation after it, as found in the file."""

    weight: Tensor
    bias: Tensor
    norm: Mapping[str, Tensor] | None
    norm_first: bool | None  # None: the file does not tell


def adopt_model(file: TensorFile, cohort: Cohort, adoption: Adoption) -> RiskModel:
    """The model in the user's file, on this cohort. Raises BadInput naming both widths when they differ."""
    blocks = _two_classes(_blocks(file))
    network = _network(blocks, adoption, file.title)
    check_finite(network)
    preparation = _preparation(cohort, adoption, network.spec.inputs)
    classes = _classes(cohort, adoption, network.spec.outputs)
    return RiskModel(
        preparation=preparation,
        network=_in_order(network, classes, cohort.classes),
        outcome=cohort.outcome,
        classes=cohort.classes,
        positive=cohort.positive,
        origin=Origin(source="uploaded", split=cohort.record(), seed=cohort.seed),
    )


def inferred_widths(file: TensorFile) -> tuple[int, ...]:
    """Widths from inputs to logits, for the form on screen."""
    blocks = _two_classes(_blocks(file))
    return (blocks[0].weight.shape[1], *(block.weight.shape[0] for block in blocks))


def _blocks(file: TensorFile) -> list[_Block]:
    groups: dict[str, dict[str, Tensor]] = {}
    for name, value in file.tensors.items():
        prefix, _, leaf = name.rpartition(".")
        groups.setdefault(prefix, {})[leaf] = value
    names = list(groups) if file.ordered else sorted(groups, key=_natural)
    blocks: list[_Block] = []
    last_index: int | None = None
    for name in names:
        parts = groups[name]
        index = _index(name)
        weight = parts.get("weight")
        if weight is not None and weight.dim() == 2:  # noqa: PLR2004 - a matrix
            blocks.append(_Block(weight, parts.get("bias", torch.zeros(weight.shape[0])), None, None))
            last_index = index
        elif weight is not None and weight.dim() == 1 and blocks and blocks[-1].norm is None:
            adjacent = None if index is None or last_index is None else index == last_index + 1
            blocks[-1] = replace(blocks[-1], norm=parts, norm_first=adjacent)
        else:
            raise BadInput(
                f"{file.title}: tensor group {name!r} is no linear layer and no normalisation after one; "
                "only multilayer perceptrons (Linear, BatchNorm1d, LayerNorm) can be read."
            )
    _check_chain(blocks, file.title)
    return blocks


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _index(name: str) -> int | None:
    """The place in an nn.Sequential, when the name ends in one."""
    last = name.rpartition(".")[2]
    return int(last) if last.isdigit() else None


def _check_chain(blocks: Sequence[_Block], title: str) -> None:
    if not blocks:
        raise BadInput(f"{title} holds no linear layer; only multilayer perceptrons can be read.")
    for place, (first, second) in enumerate(pairwise(blocks), start=2):
        if second.weight.shape[1] != first.weight.shape[0]:
            raise BadInput(
                f"{title}: layer {place} expects {second.weight.shape[1]} inputs and gets "
                f"{first.weight.shape[0]} from the layer before; export the model as an "
                "nn.Sequential in the order of its layers."
            )


def _two_classes(blocks: list[_Block]) -> list[_Block]:
    """A single-logit head becomes two logits once, here: 0, and the logit of the positive class."""
    head = blocks[-1]
    if head.weight.shape[0] != 1:
        return blocks
    weight = torch.cat([torch.zeros_like(head.weight), head.weight])
    return [*blocks[:-1], replace(head, weight=weight, bias=torch.cat([torch.zeros(1), head.bias]))]


def _network(blocks: Sequence[_Block], adoption: Adoption, title: str) -> Network:
    tails = tuple(_tail_spec(block, adoption) for block in blocks[:-1])
    spec = NetworkSpec(blocks[0].weight.shape[1], tails, blocks[-1].weight.shape[0])
    network = Network(spec)
    if blocks[-1].norm is not None:
        raise BadInput(f"{title} normalises its output, which MedPrune cannot read; export it without.")
    state: dict[str, Tensor] = {}
    for place, block in enumerate(blocks):
        state |= {f"layers.{place}.weight": block.weight, f"layers.{place}.bias": block.bias}
        state |= {f"tails.{place}.norm.{leaf}": value for leaf, value in (block.norm or {}).items()}
    for name, value in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            state.setdefault(name, value)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise BadInput(
            f"{title} has normalisation layers whose width or parts do not match the layers before them; "
            "export the model again."
        ) from error
    return frozen(network)


def _tail_spec(block: _Block, adoption: Adoption) -> TailSpec:
    width = block.weight.shape[0]
    if block.norm is None:
        return TailSpec(width, adoption.activation)
    norm = "batch" if "running_mean" in block.norm else "layer"
    first = adoption.norm_first if block.norm_first is None else block.norm_first
    return TailSpec(width, adoption.activation, norm, norm_first=first)


def _preparation(cohort: Cohort, adoption: Adoption, inputs: int) -> Preparation:
    if adoption.scaling not in SCALINGS:
        raise BadInput(f"Scaling must be one of {', '.join(SCALINGS)}, got {adoption.scaling!r}.")
    features = _chosen_features(cohort, adoption.columns)
    frame = cohort.train.frame
    if adoption.scaling == "fitted":
        full = fit_preparation(frame, features)
        if len(full.columns) == inputs:
            return full
    numbers_only = all(feature.kind == "number" for feature in features)
    if len(features) != inputs or not numbers_only:
        text = sum(feature.kind != "number" for feature in features)
        also = f", {text} of them text" if text else ""
        raise BadInput(
            f"The model's first layer takes {inputs} inputs, the table offers {len(features)} columns{also}; "
            "name the model's columns in their order (--columns), or leave others out (--exclude)."
        )
    plain = fit_preparation(frame, features)
    scaled = tuple(_scaled(code, adoption) for code in plain.numbers)
    return Preparation(scaled, (), tuple(column for column in plain.columns if column.role == "value"))


def _scaled(code: NumberCode, adoption: Adoption) -> NumberCode:
    if adoption.scaling == "fitted":
        return code
    if adoption.scaling == "scaled":
        return replace(code, mean=0.0, scale=1.0)
    constants = adoption.constants or {}
    if code.name not in constants:
        raise BadInput(f"The scaling constants lack column {code.name!r}; give its mean and its scale.")
    mean, scale = constants[code.name]
    if scale == 0:
        raise BadInput(f"The scale of column {code.name!r} is 0; give the spread it was divided by.")
    return replace(code, mean=float(mean), scale=float(scale))


def _chosen_features(cohort: Cohort, columns: Sequence[str]) -> tuple[Feature, ...]:
    if not columns:
        return cohort.features
    have = {feature.name: feature for feature in cohort.features}
    for name in columns:
        if name not in have:
            raise BadInput(f"The table has no usable column {name!r}{nearest(name, have)}.")
    return tuple(have[name] for name in columns)


def _classes(cohort: Cohort, adoption: Adoption, outputs: int) -> tuple[str, ...]:
    classes = adoption.classes or cohort.classes
    if len(classes) != outputs or len(cohort.classes) != outputs:
        raise BadInput(
            f"The model tells {outputs} classes apart, the table's outcome has {len(cohort.classes)}; "
            "choose the outcome (and --positive) it was trained for."
        )
    if sorted(classes) != sorted(cohort.classes):
        raise BadInput(
            f"The classes given ({', '.join(classes)}) are not the outcome's ({', '.join(cohort.classes)})."
        )
    return classes


def _in_order(network: Network, given: Sequence[str], wanted: Sequence[str]) -> Network:
    """The network with its logits in the cohort's class order."""
    order = [list(given).index(label) for label in wanted]
    state = dict(network.state_dict())
    last = len(network.layers) - 1
    for leaf in ("weight", "bias"):
        state[f"layers.{last}.{leaf}"] = state[f"layers.{last}.{leaf}"][order]
    again = Network(network.spec)
    again.load_state_dict(state)
    return frozen(again)


def read_constants(path: str | Path) -> dict[str, tuple[float, float]]:
    """Scaling constants from a JSON file: ``{"age": {"mean": 50, "scale": 12}, ...}``."""
    try:
        return constants_from(json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise BadInput(
            f"The scaling constants in {Path(path).name!r} could not be read; {CONSTANTS_HINT}."
        ) from error


def constants_from(value: Any) -> dict[str, tuple[float, float]]:
    """Scaling constants from JSON values; BadInput when they are not ``mean`` and ``scale`` by column."""
    try:
        return {str(name): (float(each["mean"]), float(each["scale"])) for name, each in value.items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BadInput(f"The scaling constants are not in the expected form; {CONSTANTS_HINT}.") from error
