"""A plain state_dict becomes a RiskModel once its user has said what the file cannot.

The file knows its shapes. The user says which activation, which table columns in which order, which
classes, and whether the inputs are scaled already, scaled by given constants, or fitted here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from medprune.cohort import Cohort, Feature
from medprune.errors import BadInput, listed, nearest
from medprune.intake.blocks import SEQUENTIAL_HINT, Block, read_blocks
from medprune.intake.described import ACTIVATIONS_KEY, CLASSES_KEY
from medprune.intake.tensor_file import TensorFile
from medprune.model import Origin, RiskModel, check_finite
from medprune.network import ACTIVATIONS, Network, NetworkSpec, TailSpec, frozen
from medprune.preparation import NumberCode, Preparation, fit_preparation

SCALINGS = ("fitted", "scaled", "constants")
CONSTANTS_HINT = 'give a JSON object such as {"age": {"mean": 50, "scale": 12}}'


@dataclass(frozen=True)
class Adoption:
    """What the user confirms. ``columns``: the table's columns in the network's order (empty: all, as they
    stand); ``classes``: in the order of the logits, of a single logit the negative one first;
    ``constants``: (mean, scale) by column, for the scaling ``constants``; ``norm_first``: normalisations
    come before the activation, where the file does not tell."""

    activation: str = "relu"
    scaling: str = "fitted"
    columns: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    norm_first: bool = True
    constants: Mapping[str, tuple[float, float]] | None = None

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise BadInput(f"Activation must be one of {', '.join(ACTIVATIONS)}, got {self.activation!r}.")
        if self.scaling not in SCALINGS:
            raise BadInput(f"Scaling must be one of {', '.join(SCALINGS)}, got {self.scaling!r}.")
        for what, names in (("column", self.columns), ("class", self.classes)):
            twice = [name for place, name in enumerate(names) if name in names[:place]]
            if twice:
                raise BadInput(f"The {what} {listed(twice)} is named twice; name each once, in order.")
        if self.scaling == "constants" and self.constants is None:
            raise BadInput(f"The scaling constants are missing; {CONSTANTS_HINT}.")


def adopt_model(file: TensorFile, cohort: Cohort, adoption: Adoption) -> RiskModel:
    """The model in the user's file, on this cohort. Raises BadInput naming both widths when they differ."""
    blocks = _two_classes(read_blocks(file))
    network = _network(blocks, adoption, file)
    check_finite(network)
    preparation = _preparation(cohort, adoption, network.spec.inputs)
    classes = _classes(cohort, adoption.classes or known_classes(file), network.spec.outputs)
    return RiskModel(
        preparation=preparation,
        network=in_order(network, classes, cohort.classes),
        outcome=cohort.outcome,
        classes=cohort.classes,
        positive=cohort.positive,
        origin=Origin(
            source="uploaded", split=cohort.record(), seed=cohort.seed, treatments=cohort.treatments
        ),
    )


def inferred_widths(file: TensorFile) -> tuple[int, ...]:
    """Widths from inputs to logits, for the form on screen."""
    blocks = _two_classes(read_blocks(file))
    return (blocks[0].weight.shape[1], *(block.weight.shape[0] for block in blocks))


def known_activations(file: TensorFile) -> tuple[str, ...]:
    """The activation after each hidden layer, where the file tells them; none is to be asked for then."""
    names = _said(file, ACTIVATIONS_KEY)
    return names if all(name in ACTIVATIONS for name in names) else ()


def known_classes(file: TensorFile) -> tuple[str, ...]:
    """The names of the classes, in the order of the logits, where the file tells them."""
    return _said(file, CLASSES_KEY)


def _said(file: TensorFile, key: str) -> tuple[str, ...]:
    try:
        return tuple(str(name) for name in json.loads(file.metadata.get(key, "[]")))
    except (ValueError, TypeError, RecursionError) as error:
        raise BadInput(f"{file.title}: its metadata {key!r} is damaged; export the model again.") from error


def _two_classes(blocks: list[Block]) -> list[Block]:
    """A single-logit head becomes two logits once, here: 0, and the logit of the positive class."""
    head = blocks[-1]
    if head.weight.shape[0] != 1:
        return blocks
    weight = torch.cat([torch.zeros_like(head.weight), head.weight])
    return [*blocks[:-1], replace(head, weight=weight, bias=torch.cat([torch.zeros(1), head.bias]))]


def _network(blocks: Sequence[Block], adoption: Adoption, file: TensorFile) -> Network:
    title, said = file.title, known_activations(file)
    if len(said) != len(blocks) - 1:
        said = (adoption.activation,) * (len(blocks) - 1)
    tails = tuple(_tail_spec(*each, adoption) for each in zip(blocks[:-1], said, strict=True))
    spec = NetworkSpec(blocks[0].weight.shape[1], tails, blocks[-1].weight.shape[0])
    network = Network(spec)
    if blocks[-1].norm is not None:
        raise BadInput(
            f"{title} normalises its output, which cannot be read; leave that out, or {SEQUENTIAL_HINT}."
        )
    state: dict[str, Tensor] = {}
    for place, block in enumerate(blocks):
        state |= {f"layers.{place}.weight": block.weight, f"layers.{place}.bias": block.bias}
        state |= {f"tails.{place}.norm.{leaf}": value for leaf, value in (block.norm or {}).items()}
    for name, value in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            state.setdefault(name, value)
    network.load_state_dict(state)
    return frozen(network)


def _tail_spec(block: Block, activation: str, adoption: Adoption) -> TailSpec:
    width = block.weight.shape[0]
    if block.norm is None:
        return TailSpec(width, activation)
    norm = "batch" if "running_mean" in block.norm else "layer"
    first = adoption.norm_first if block.norm_first is None else block.norm_first
    return TailSpec(width, activation, norm, norm_first=first)


def _preparation(cohort: Cohort, adoption: Adoption, inputs: int) -> Preparation:
    features = _chosen_features(cohort, adoption.columns)
    full = fit_preparation(cohort.train.frame, features)
    fitted = adoption.scaling == "fitted"
    if fitted and len(full.columns) == inputs:
        return full
    text = [feature.name for feature in features if feature.kind != "number"]
    if len(features) != inputs or text:
        also = f", of which {listed(text)} {'is' if len(text) == 1 else 'are'} text" if text else ""
        here = f", which become {len(full.columns)} inputs here" if fitted else ""
        raise BadInput(
            f"The model's first layer takes {inputs} inputs, the table offers {len(features)} columns{also}"
            f"{here}; name the model's columns in their order (--columns), or leave others out (--exclude)."
        )
    scaled = tuple(_scaled(code, adoption) for code in full.numbers)
    return Preparation(scaled, (), tuple(column for column in full.columns if column.role == "value"))


def _scaled(code: NumberCode, adoption: Adoption) -> NumberCode:
    if adoption.scaling == "fitted":
        return code
    if adoption.scaling == "scaled":
        return replace(code, mean=0.0, scale=1.0)
    constants = adoption.constants or {}
    if code.name not in constants:
        near = nearest(code.name, constants)
        raise BadInput(f"The scaling constants lack column {code.name!r}{near}; give its mean and scale.")
    mean, scale = constants[code.name]
    if scale == 0 or not math.isfinite(mean) or not math.isfinite(scale):
        raise BadInput(
            f"The scaling constants of column {code.name!r} are not finite, or its scale is 0; "
            "give the mean and the spread that it was scaled by."
        )
    return replace(code, mean=float(mean), scale=float(scale))


def _chosen_features(cohort: Cohort, columns: Sequence[str]) -> tuple[Feature, ...]:
    if not columns:
        return cohort.features
    have = {feature.name: feature for feature in cohort.features}
    reasons = dict(cohort.kept_out)
    for name in columns:
        if name in reasons:
            raise BadInput(f"Column {name!r} cannot be used here: {reasons[name]}.")
        if name not in have:
            raise BadInput(
                f"The table has no column {name!r} to predict from{nearest(name, have)}; correct --columns."
            )
    return tuple(have[name] for name in columns)


def _classes(cohort: Cohort, given: Sequence[str], outputs: int) -> tuple[str, ...]:
    classes = tuple(given) or cohort.classes
    if len(classes) != outputs or len(cohort.classes) != outputs:
        raise BadInput(
            f"The model tells {outputs} classes apart, the table's outcome has {len(cohort.classes)}; "
            "choose the outcome (and --positive) it was trained for."
        )
    if sorted(classes) != sorted(cohort.classes):
        raise BadInput(
            f"The classes given are {listed(classes)}, the outcome's are {listed(cohort.classes)}; "
            "name the outcome's in the model's order."
        )
    return classes


def in_order(network: Network, given: Sequence[str], wanted: Sequence[str]) -> Network:
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
        return constants_from(json.loads(Path(path).read_text(encoding="utf-8-sig")))
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(
            f"The scaling constants in {Path(path).name!r} could not be read; {CONSTANTS_HINT}."
        ) from error


def constants_from(value: Any) -> dict[str, tuple[float, float]]:
    """Scaling constants from JSON values; BadInput when they are not ``mean`` and ``scale`` by column."""
    try:
        return {str(name): (float(each["mean"]), float(each["scale"])) for name, each in value.items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BadInput(f"The scaling constants are not in the expected form; {CONSTANTS_HINT}.") from error
