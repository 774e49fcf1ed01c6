"""A network as a row of layers of registered kinds: its spec, its values, its pass with a mask."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medprune.errors import BadInput, listed
from medprune.kinds.base import (
    COLUMNS,
    KINDS,
    SEQUENCE,
    TOKENS,
    Groups,
    Keeping,
    LayerKind,
    Means,
    Parts,
    Place,
    Stream,
)
from medprune.kinds.mask import INPUTS, KindMask
from medprune.kinds.tied import check_untied
from medprune.model import softmax
from medprune.network import WIDEST

MOST_LAYERS = 256
SMALL = 200_000  # parameters
MOST_NUMBERS = 16_000_000  # in the layers of one pass: bounds memory, does not change the risks


@dataclass(frozen=True)
class KindSpec:
    """The shape of a network: what comes in, and its layers; the last one gives a logit a class.

    ``shape`` is ``columns`` (N, inputs) or ``sequence`` (N, time, inputs).

    >>> from medprune.kinds import KINDS
    >>> spec = KindSpec("columns", 3, (KINDS.make("linear", width=2, activation="identity"),))
    >>> KindSpec.from_json(spec.to_json()) == spec
    True
    """

    shape: str
    inputs: int
    layers: tuple[LayerKind, ...]

    def __post_init__(self) -> None:
        if self.shape not in (COLUMNS, SEQUENCE):
            raise BadInput(f"A network takes {COLUMNS} or a {SEQUENCE}, got {self.shape!r}.")
        if type(self.inputs) is not int or not 1 <= self.inputs <= WIDEST:
            raise BadInput(f"A network needs from 1 to {WIDEST:,} inputs, got {self.inputs!r}.")
        if not 1 <= len(self.layers) <= MOST_LAYERS:
            raise BadInput(f"A network needs from 1 to {MOST_LAYERS} layers, got {len(self.layers)}.")
        places, out = self.places()
        if out.shape != COLUMNS:
            raise BadInput(
                f"Layer {places[-1].name!r} is the last one and gives {out.shape}: add one that gives a "
                "logit for each class."
            )
        if not out.groups.startswith(f"{places[-1].name}."):
            raise BadInput(
                f"Layer {places[-1].name!r} is the last one and only adds to what flows past it: add a "
                "linear layer that gives a logit for each class."
            )

    def places(self) -> tuple[tuple[Place, ...], Stream]:
        """Where each layer stands, and the stream that leaves the last one; BadInput when two do not fit."""
        stream, places = Stream(self.shape, self.inputs, INPUTS, raw=True), []
        for number, layer in enumerate(self.layers, start=1):
            place = Place(f"{layer.name}_{number}", stream)
            _check_fit(layer, place, is_first=number == 1)
            places.append(place)
            stream = layer.out(place)
        return tuple(places), stream

    @property
    def outputs(self) -> int:
        return self.places()[1].width

    def to_json(self) -> dict[str, Any]:
        return {
            "shape": self.shape,
            "inputs": self.inputs,
            "layers": [layer.to_json() for layer in self.layers],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> KindSpec:
        """The spec of :meth:`to_json`; BadInput when it is not one."""
        try:
            layers = [dict(layer) for layer in value["layers"]]
            made = tuple(KINDS.make(str(layer.pop("kind")), **layer) for layer in layers)
            return cls(value["shape"], value["inputs"], made)
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(
                "A network's spec needs 'shape', 'inputs' and 'layers', each layer with its 'kind'."
            ) from error


def _check_fit(layer: LayerKind, place: Place, *, is_first: bool) -> None:
    if place.stream.shape not in layer.shapes:
        raise BadInput(
            f"Layer {place.name!r} takes {' or '.join(layer.shapes)}, but {place.stream.shape} comes in."
        )
    if layer.only_first and not is_first:
        raise BadInput(f"Layer {place.name!r} reads the inputs one by one: it must be the first one.")
    if layer.adds and place.stream.raw:
        raise BadInput(
            f"Layer {place.name!r} would add to the patients' own values: put a linear layer before it."
        )


class KindNetwork(nn.Module):
    """A row of layers. Its values are zero until :func:`initial`, a state_dict or training fills them.

    ``network.logits(x, mask)`` gives logits (N, classes); ``forward`` is one pass whose weights are
    taken as they are.
    """

    def __init__(self, spec: KindSpec) -> None:
        super().__init__()
        self.spec = spec
        self.places, self.stream = spec.places()
        with torch.device("meta"):  # torch's own start values would come from the global generator
            built = [layer.build(place) for layer, place in zip(spec.layers, self.places, strict=True)]
        for place, parts in zip(self.places, built, strict=True):
            self.add_module(place.name, _blank(parts.to_empty(device="cpu")))

    def rows(self) -> list[tuple[LayerKind, Place, Parts]]:
        """Each layer's kind, its place and its parts."""
        parts = [self.get_submodule(place.name) for place in self.places]
        return list(zip(self.spec.layers, self.places, parts, strict=True))  # type: ignore[arg-type]

    def forward(self, x: Tensor, keep: Keeping | None = None) -> Tensor:
        keep = Keeping() if keep is None else keep
        if not self.spec.layers[0].removes_inputs:
            x = keep.or_constant(INPUTS, x)
        for kind, place, parts in self.rows():
            x = kind.run(place, parts, x, keep)
        return x

    def logits(
        self,
        x: Tensor,
        mask: KindMask | None = None,
        *,
        noise: torch.Generator | None = None,
        seen: dict[str, Means] | None = None,
    ) -> Tensor:
        """Logits (N, classes); a removed weight counts as zero, a removed group as its constants."""
        keep = Keeping(mask, noise=noise, seen=seen)
        weights = {} if mask is None else self.masked_weights(mask)
        result: Tensor = torch.func.functional_call(self, weights, (x, keep))
        return result

    def weights(self) -> dict[str, Tensor]:
        """The parameters whose entries can be removed one by one, by name."""
        names = (place.own(name) for kind, place, _ in self.rows() for name in kind.weights())
        return {name: self.get_parameter(name) for name in names}

    def masked_weights(self, mask: KindMask) -> dict[str, Tensor]:
        return {name: weight * mask.weights[name] for name, weight in self.weights().items()}

    def groups(self) -> tuple[Groups, ...]:
        """All sets of groups, the inputs first."""
        own = (kind.groups(place) for kind, place, _ in self.rows())
        return (Groups(INPUTS, self.spec.inputs), *(groups for layer in own for groups in layer))

    def neurons(self) -> tuple[str, ...]:
        """The sets that can be removed from: all but the inputs and the logits."""
        return tuple(g.name for g in self.groups() if g.name not in (INPUTS, self.stream.groups))

    def added_to(self) -> set[str]:
        """The sets that more than one layer makes: a unit that one of them leaves alone may still vary."""
        return {place.stream.groups for kind, place, _ in self.rows() if kind.adds}

    def full_mask(self) -> KindMask:
        """The mask that keeps everything."""
        return KindMask(
            weights={name: torch.ones_like(w, dtype=torch.bool) for name, w in self.weights().items()},
            groups={groups.name: torch.ones(groups.size, dtype=torch.bool) for groups in self.groups()},
            constants={g.name: torch.zeros(g.size * g.each) for g in self.groups() if g.constant},
        )

    def numbers(self, inputs: NDArray[np.float32]) -> int:
        """About how many numbers one patient of ``inputs`` is in all layers together."""
        widths = self.spec.inputs + sum(kind.out(place).width for kind, place, _ in self.rows())
        tokens = self.spec.inputs + 1 if any(place.stream.shape == TOKENS for place in self.places) else 1
        return widths * (inputs.shape[1] if self.spec.shape == SEQUENCE else tokens)

    def batches(self, inputs: NDArray[np.float32]) -> tuple[Tensor, ...]:
        """The patients in batches that fit into memory."""
        parts: tuple[Tensor, ...] = torch.from_numpy(inputs).split(
            max(1, MOST_NUMBERS // self.numbers(inputs))
        )
        return parts

    def describe(self) -> tuple[str, ...]:
        """One line a layer."""
        return tuple(kind.describe(place) for kind, place, _ in self.rows())

    def nonzero(self) -> int:
        """Non-zero weights and biases."""
        return sum(int(torch.count_nonzero(p)) for p in self.parameters())

    def stored(self) -> int:
        """Weights and biases held in the file, zero or not."""
        return sum(p.numel() for p in self.parameters())


def _blank(parts: nn.Module) -> nn.Module:
    """Zeros everywhere; normalisation starts as the identity."""
    with torch.no_grad():
        for parameter in parts.parameters():
            parameter.zero_()
    for module in parts.modules():
        if isinstance(module, nn.BatchNorm1d | nn.LayerNorm):
            module.reset_parameters()  # ones and zeros: nothing random
    return parts


def initial(spec: KindSpec, seed: int) -> KindNetwork:
    """A network as training starts it, the same for the same seed."""
    network = KindNetwork(spec)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for kind, _, parts in network.rows():
            kind.start(parts, generator)
    return network


def frozen(network: KindNetwork) -> KindNetwork:
    """A copy in evaluation mode whose parameters take no gradient."""
    return copy.deepcopy(network).eval().requires_grad_(False)


@contextlib.contextmanager
def few_threads(network: KindNetwork) -> Iterator[None]:
    """One thread for a small network: its products are too short to share."""
    before = torch.get_num_threads()
    torch.set_num_threads(1 if network.stored() < SMALL else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True, eq=False)
class Arrays:
    """Patients as a network of kinds takes them: ``inputs`` float32, ``outcome`` (N,) class numbers.

    ``inputs`` are (N, columns), the last of which may be codes of categories, or (N, time, channels).
    """

    inputs: NDArray[np.float32]
    outcome: NDArray[np.int64]

    def checked(self, network: KindNetwork) -> Arrays:
        """The same arrays; BadInput when the network cannot take them, or ties parameters of its layers."""
        check_untied(network)
        check_inputs(network, self.inputs)
        classes = network.spec.outputs
        if self.outcome.shape != (len(self.inputs),) or not np.issubdtype(self.outcome.dtype, np.integer):
            raise BadInput(f"The outcome must be {len(self.inputs)} whole numbers, one a patient.")
        if self.outcome.min() < 0 or self.outcome.max() >= classes:
            raise BadInput(f"The outcome must be numbers from 0 to {classes - 1}, one for each logit.")
        return replace(self, inputs=self.inputs.astype(np.float32), outcome=self.outcome.astype(np.int64))


def check_inputs(network: KindNetwork, inputs: NDArray[np.float32]) -> None:
    """BadInput when ``inputs`` have another shape than the network takes, or hold what is no number."""
    spec = network.spec
    axes = {COLUMNS: ("patients", "columns"), SEQUENCE: ("patients", "time", "channels")}[spec.shape]
    if inputs.ndim != len(axes) or inputs.shape[-1] != spec.inputs:
        raise BadInput(
            f"The inputs must be an array of {' x '.join(axes)} with {spec.inputs} {axes[-1]}, "
            f"got one of {' x '.join(map(str, inputs.shape))}."
        )
    if not len(inputs):
        raise BadInput("The inputs hold no patient.")
    if not np.isfinite(inputs).all():
        raise BadInput("The inputs hold values that are not finite numbers: fill in what is missing first.")
    if spec.shape == SEQUENCE:
        time = inputs.shape[1]
        for kind, place, _ in network.rows():
            time = kind.length(place, time)
    _check_codes(spec.layers[0].codes(), inputs)


def _check_codes(categories: Sequence[int], inputs: NDArray[np.float32]) -> None:
    first = inputs.shape[-1] - len(categories)
    wrong = [
        f"column {place + 1}"
        for place, most in enumerate(categories, start=first)
        if ((inputs[..., place] != np.floor(inputs[..., place])) | (inputs[..., place] < 0)).any()
        or (inputs[..., place] >= most).any()
    ]
    if wrong:
        raise BadInput(
            f"The codes in {listed(wrong)} must be whole numbers from 0 (unknown) to below the number of "
            "categories."
        )


@torch.no_grad()
def logits_of(network: KindNetwork, inputs: NDArray[np.float32], mask: KindMask | None = None) -> Tensor:
    """Logits (N, classes) in evaluation mode, in batches; the network is left as it was found."""
    quiet = network if not network.training else frozen(network)
    parts = [quiet.logits(batch, mask) for batch in quiet.batches(inputs)]
    return torch.cat(parts)


def risks_of(
    network: KindNetwork, inputs: NDArray[np.float32], mask: KindMask | None = None
) -> NDArray[np.float64]:
    """Risks (N, classes), rows sum to 1."""
    check_inputs(network, inputs)
    return softmax(logits_of(network, inputs, mask).double().numpy())
