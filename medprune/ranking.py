"""From scores to what is kept: scopes make layers comparable, cuts are stable and nested.

Raw scores of different layers are not on one scale: ranked together, one network kept 45 % of its head
and 2 % of its hidden layer at 95 % removed. Hence the scopes, all giving scores in [0, 1]:

- ``layer``: score / the largest score of its layer;
- ``global``: score / the largest score of all: the usual one, as it keeps most when a path scores again
  in rounds, retrains between them and always keeps a way from input to outcome;
- ``adaptive``: score squared / the sum of the squares of the scores at least as large in its layer
  (the LAMP normalisation of Lee et al., ICLR 2021, with contributions in place of magnitudes).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from medprune.errors import BadInput
from medprune.performance import BINARY

Array = NDArray[np.float64]
Kept = tuple[NDArray[np.bool_], ...]


def normalise(scores: Sequence[Array], alive: Sequence[NDArray[np.bool_]], scope: str) -> tuple[Array, ...]:
    """Scores in [0, 1] a layer; what is removed already scores 0.

    >>> normalise([np.array([1., 4.]), np.array([2.])], [np.ones(2, bool), np.ones(1, bool)], "layer")
    (array([0.25, 1.  ]), array([1.]))
    """
    if scope not in SCOPES:
        raise BadInput(f"Scope must be one of {', '.join(SCOPES)}, got {scope!r}.")
    return SCOPES[scope]([np.where(a, s, 0.0) for s, a in zip(scores, alive, strict=True)])


def _by_layer(scores: list[Array]) -> tuple[Array, ...]:
    return tuple(_divided(s, s.max(initial=0.0)) for s in scores)


def _by_largest(scores: list[Array]) -> tuple[Array, ...]:
    largest = max((s.max(initial=0.0) for s in scores), default=0.0)
    return tuple(_divided(s, largest) for s in scores)


def _adaptive(scores: list[Array]) -> tuple[Array, ...]:
    return tuple(_lamp(s) for s in scores)


def _lamp(scores: Array) -> Array:
    flat = scores.ravel()
    largest = flat.max(initial=0.0)
    squares = np.square(_divided(flat, largest))
    order = np.argsort(squares, kind="stable")
    at_least = np.cumsum(squares[order][::-1])[::-1]
    out = np.zeros_like(squares)
    np.divide(squares[order], at_least, out=out, where=at_least > 0)
    result = np.empty_like(out)
    result[order] = out
    return result.reshape(scores.shape)


def _divided(scores: Array, by: float) -> Array:
    return scores / by if by > 0 else np.zeros_like(scores)


SCOPES: dict[str, Callable[[list[Array]], tuple[Array, ...]]] = {
    "layer": _by_layer,
    "global": _by_largest,
    "adaptive": _adaptive,
}
USUAL_SCOPE = "global"


def at_threshold(normalised: Sequence[Array], alive: Sequence[NDArray[np.bool_]], threshold: float) -> Kept:
    """Keep what scores at least ``threshold`` (the document's mask)."""
    return tuple((s >= threshold) & a for s, a in zip(normalised, alive, strict=True))


def best(normalised: Sequence[Array], alive: Sequence[NDArray[np.bool_]], keep: int) -> tuple[Kept, float]:
    """Keep the ``keep`` best alive ones, ties broken by place; also the threshold this amounts to."""
    if not normalised:
        return (), 1.0
    flat = np.concatenate([s.ravel() for s in normalised])
    living = np.concatenate([a.ravel() for a in alive])
    ranked = np.where(living, flat, -1.0)
    order = np.argsort(-ranked, kind="stable")[: min(keep, int(living.sum()))]
    kept = np.zeros(len(flat), dtype=bool)
    kept[order] = True
    threshold = float(flat[order[-1]]) if len(order) else 1.0
    return _split_like(kept, alive), threshold


def _split_like(flat: NDArray[np.bool_], like: Sequence[NDArray[np.bool_]]) -> Kept:
    ends = np.cumsum([part.size for part in like])[:-1]
    parts = np.split(flat, ends)
    return tuple(part.reshape(a.shape) for part, a in zip(parts, like, strict=True))


def strongest_paths(normalised: Sequence[Array], alive: Sequence[NDArray[np.bool_]]) -> Kept:
    """The weights that always stay: ways from input to logit whose weakest weight is as strong as can be.

    One way to the best reached of two logits, whose difference is all that counts; one to each of
    more, so that no class goes dark. No threshold can then cut a network in two (the layer collapse
    of one-shot pruning).
    """
    strengths = [np.where(a, s, -np.inf) for s, a in zip(normalised, alive, strict=True)]
    reach = np.full(strengths[0].shape[1], np.inf)
    choices: list[NDArray[np.intp]] = []
    for strength in strengths:
        through = np.minimum(strength, reach[None, :])
        choices.append(through.argmax(axis=1))
        reach = through.max(axis=1)
    stay = tuple(np.zeros(s.shape, dtype=bool) for s in strengths)
    logits = range(len(reach)) if len(reach) > BINARY else (int(reach.argmax()),)
    for logit in logits:
        row = logit
        for layer in reversed(range(len(choices))):
            column = int(choices[layer][row])
            stay[layer][row, column] = bool(alive[layer][row, column])
            row = column
    return stay
