"""Law: the masked network and the compact one give the same logits, on any mask."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from medprune.compaction import compact_network, compacted_widths, tidy
from medprune.network import ACTIVATIONS, NORMS, NetworkSpec
from tests.makers import random_mask, random_network, tails

specs = st.builds(
    lambda inputs, widths, activation, norm, first, classes: NetworkSpec(
        inputs, tails(*widths, activation=activation, norm=norm, norm_first=first), classes
    ),
    st.integers(1, 6),
    st.lists(st.integers(1, 7), min_size=0, max_size=3),
    st.sampled_from(sorted(ACTIVATIONS)),
    st.sampled_from(NORMS),
    st.booleans(),
    st.integers(2, 4),
)
seeds = st.integers(0, 2**31)


@given(specs, seeds, st.floats(0.1, 1.0))
def test_masked_equals_compact(spec: NetworkSpec, seed: int, keep: float) -> None:
    network = random_network(spec, seed)
    mask = tidy(random_mask(network, seed, keep), network)
    if not all(compacted_widths(mask)):
        return  # nothing reaches the outcome: `remove` never makes such a mask
    small = compact_network(network, mask)
    x = torch.randn(40, spec.inputs, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        torch.testing.assert_close(small(x[:, mask.inputs]), network(x, mask), rtol=1e-4, atol=1e-5)


@given(
    specs.filter(lambda spec: all(tail.norm != "layer" for tail in spec.tails)), seeds, st.floats(0.1, 1.0)
)
def test_tidying_changes_nothing_but_the_layer_norm(spec: NetworkSpec, seed: int, keep: float) -> None:
    network = random_network(spec, seed)
    mask = random_mask(network, seed, keep)
    x = torch.randn(40, spec.inputs, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        torch.testing.assert_close(network(x, tidy(mask, network)), network(x, mask), rtol=1e-4, atol=1e-5)


@given(specs, seeds)
def test_the_full_mask_changes_nothing(spec: NetworkSpec, seed: int) -> None:
    network = random_network(spec, seed)
    x = torch.randn(10, spec.inputs, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        torch.testing.assert_close(network(x, network.full_mask()), network(x), rtol=1e-4, atol=1e-5)
