"""Normalisation inside layers, over the kept groups only: a removed one has no say and says nothing."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from medprune.kinds.base import Parts
from medprune.network import ACTIVATIONS, NORMS
from medprune.settings import setting


def activation_setting(default: str = "relu") -> str:
    chosen: str = setting(default, "Activation", "what bends the layer", choices=tuple(ACTIVATIONS))
    return chosen


def norm_setting(default: str = "none") -> str:
    chosen: str = setting(default, "Normalisation", "of what the layer hears", choices=NORMS)
    return chosen


def make_norm(norm: str, width: int) -> dict[str, nn.Module]:
    """The part called ``norm``, or none."""
    if norm == "batch":
        return {"norm": nn.BatchNorm1d(width)}
    return {"norm": nn.LayerNorm(width)} if norm == "layer" else {}


def normalise(parts: Parts, x: Tensor, kept: Tensor | None) -> Tensor:
    """``x`` (..., width) normalised by the layer's part, if it has one; the removed become zero."""
    if "norm" not in parts:
        return x
    norm = parts["norm"]
    if isinstance(norm, nn.LayerNorm):
        result = norm(x) if kept is None else _over_kept(x, kept, norm)
    else:  # BatchNorm expects its channels second
        result = norm(x.movedim(-1, 1)).movedim(1, -1)
    return result if kept is None else torch.where(kept, result, torch.zeros_like(result))


def _over_kept(x: Tensor, kept: Tensor, norm: nn.LayerNorm) -> Tensor:
    share = kept.to(x.dtype) / kept.sum()
    mean = (x * share).sum(-1, keepdim=True)
    variance = ((x - mean).square() * share).sum(-1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + norm.eps) * norm.weight + norm.bias


def sliced_norm(parts: Parts, kept: Tensor) -> dict[str, Tensor]:
    """The values of the part called ``norm`` for the kept entries."""
    if "norm" not in parts:
        return {}
    state = parts["norm"].state_dict()
    return {f"norm.{name}": value[kept] if value.dim() else value for name, value in state.items()}


def heard_by_norm(norm: str, name: str, kept: Tensor) -> dict[str, Tensor]:
    """LayerNorm hears every unit that it normalises, in its mean and its spread."""
    return {name: torch.ones_like(kept)} if norm == "layer" else {}


def act(name: str, h: Tensor) -> Tensor:
    return ACTIVATIONS[name](h)
