"""Networks beyond the plain multilayer perceptron: a row of layers of registered kinds.

    spec = KindSpec("sequence", channels, (
        KINDS.make("conv1d", channels=16, kernel=5),
        KINDS.make("pool", how="mean"),
        KINDS.make("linear", width=2, activation="identity"),
    ))
    network = fit_kind(initial(spec, seed=0), train, tuning)      # Arrays of inputs and outcome
    scores = score_kind(network, train, "contribution")           # every weight, every group
    path = list(prune_kind(network, train, tuning, granularity="neuron"))
    small = compact_kind(path[-1].network, path[-1].mask)         # masked(x) = compact(x), or BadInput

For patient tables ``medprune.train(cohort, recipe)`` puts a recipe (ResidualMLP, FTTransformer) behind the
usual preparation and gives a :class:`KindModel`; sequences (patients x time x channels) stay arrays.

A new layer kind is one file
----------------------------
Put it in ``medprune/kinds/layers/``: a frozen dataclass of settings, each made with ``setting(...)``,
with ``name``, a first line of docstring that says what it does, and ``@KINDS.register("name")``. It says

- ``out``: the stream that leaves it; a new set of groups for the units that it makes, or the one that
  came in when it only adds to it (``adds = True``) or sums it up;
- ``build``: its torch modules, ``weights``: which parameters are pruned entry by entry (biases and
  normalisation stay with their unit), ``groups``: which sets of units, channels or heads can go;
- ``run``: the forward pass. It asks ``keep.or_constant(set, h)`` wherever a group of its own speaks, and
  ``keep.or_zero(set, h)`` for what it adds to a stream. Weights need no care: they arrive masked;
- ``compact``: the smaller settings and values; constants of what is removed go into a bias. Where
  masked = compact cannot be proven, ``refusal`` gives the sentence, with the layer's name and reason; a
  kind without ``compact`` is scored, trained and pruned all the same, and refused by name;
- if it can: ``heard`` and ``settle``, so that what has become useless goes too; ``start``, ``length``.

Scores, paths, counting, JSON and training follow by themselves. Add an example to ``EXAMPLES`` in
``tests/kinds/makers.py``: the contract in ``tests/kinds/test_contract.py`` then holds the kind to the
definitions of its scores and to masked = compact on random masks.

What removal means
------------------
A removed unit, channel or head has its constant, the mean of what it said on train. A unit of a
residual stream is one group over all blocks. A removed input has its reference; before a tokenizer its
token is not attended to. Weights that are tied are refused: see :mod:`medprune.kinds.tied`.
"""

from medprune.kinds import layers
from medprune.kinds.base import KINDS, Groups, Keeping, LayerKind, Parts, Place, Stream
from medprune.kinds.compaction import Compact, compact_kind, refusal, tidy
from medprune.kinds.mask import KindMask
from medprune.kinds.model import KindModel, train_kind
from medprune.kinds.network import Arrays, KindNetwork, KindSpec, initial, logits_of, risks_of
from medprune.kinds.path import KindCandidate, prune_kind
from medprune.kinds.recipes import ConvNet, FTTransformer, GruNet, Recipe, ResidualMLP
from medprune.kinds.scoring import CRITERIA_OF_KINDS, KindScores, score_kind
from medprune.kinds.tied import check_untied, tied
from medprune.kinds.training import fit_kind, fit_steps
from medprune.kinds.verbs import score, train

__all__ = [
    "CRITERIA_OF_KINDS",
    "KINDS",
    "Arrays",
    "Compact",
    "ConvNet",
    "FTTransformer",
    "Groups",
    "GruNet",
    "Keeping",
    "KindCandidate",
    "KindMask",
    "KindModel",
    "KindNetwork",
    "KindScores",
    "KindSpec",
    "LayerKind",
    "Parts",
    "Place",
    "Recipe",
    "ResidualMLP",
    "Stream",
    "check_untied",
    "compact_kind",
    "fit_kind",
    "fit_steps",
    "initial",
    "layers",
    "logits_of",
    "prune_kind",
    "refusal",
    "risks_of",
    "score",
    "score_kind",
    "tidy",
    "tied",
    "train",
    "train_kind",
]
