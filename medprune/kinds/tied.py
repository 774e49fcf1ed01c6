"""Tied weights: one parameter in two places. Removing it in one place would remove it in the other."""

from __future__ import annotations

from torch import nn

from medprune.errors import BadInput


def tied(module: nn.Module) -> list[tuple[str, ...]]:
    """The names of parameters that are one and the same, or share the same memory.

    >>> a = nn.Linear(2, 2)
    >>> tied(nn.Sequential(a, nn.ReLU(), a))
    [('0.weight', '2.weight'), ('0.bias', '2.bias')]
    """
    places: dict[int, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        address = parameter.data_ptr() if parameter.numel() and not parameter.is_meta else id(parameter)
        places.setdefault(address, []).append(name)
    return [tuple(names) for names in places.values() if len(names) > 1]


def check_untied(module: nn.Module) -> None:
    """BadInput naming the layers when weights are tied: they are never silently untied."""
    found = tied(module)
    if found:
        pairs = "; ".join(" and ".join(repr(name) for name in names) for names in found)
        raise BadInput(
            f"These layers share their weights, which cannot be pruned apart: {pairs}. "
            "Give each layer its own weights."
        )
