"""Layer-wise relevance propagation with the epsilon rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from medprune.criteria.base import CRITERIA, PatientCriterion, kept_sources, outer_products
from medprune.criteria.sums import PatientScores
from medprune.criteria.two_way import alive_weights
from medprune.model import RiskModel
from medprune.network import ACTIVATIONS, Tail, Trace
from medprune.settings import check_settings, setting


@CRITERIA.register("lrp")
@dataclass(frozen=True)
class Lrp(PatientCriterion):
    """How much of the evidence for a patient's true outcome passes through it, layer by layer.

    The epsilon rule (Bach et al., PLoS ONE 2015): of a unit's relevance R_j the weight that brings
    a_i w_ij to its sum v_j carries R_ij = a_i w_ij R_j / (v_j + epsilon sign v_j); what the bias and
    epsilon take is lost. A weight scores E_n |R_ij|, a unit E_n |sum_j R_ij|, a feature E_n |the sum of
    what arrives at its columns|: a number at its mean carries no evidence.

    - Relevance starts at the true logit less the mean of all logits: what is added to every logit
      changes no risk and must carry none. For two classes that is half the log-odds. The logits' own
      sums are what is explained, so that epsilon has no part there.
    - An activation hands on the relevance of its output. So R_j / (v_j + ..) = c_j is the slope of a
      backward pass in which act(v) / (v + ..) stands for act'(v) (Ancona et al., ICLR 2018), and all
      messages of a patient are an outer product: no memory per patient and weight.
    - BatchNorm is folded into the sum before it. So is LayerNorm, whose spread counts as a constant
      of the patient while its mean stays (Ali et al., ICML 2022).
    """

    epsilon: float = setting(
        0.01, "Epsilon", "relevance of sums about this small fades away", low=1e-6, high=1.0
    )
    name = "lrp"
    title = "Layer-wise relevance (LRP-ε)"

    def __post_init__(self) -> None:
        check_settings(self)

    def views(self, model: RiskModel, x: Tensor, y: Tensor) -> Iterator[tuple[PatientScores, None]]:
        trace = model.network.trace(x, model.mask)
        slopes = self._slopes(model, trace, y)
        reach = [slope @ weight for slope, weight in zip(slopes, alive_weights(model), strict=True)]
        yield outer_products(model, trace.inputs, slopes, torch.zeros(x.shape[1]), reach), None

    def _slopes(self, model: RiskModel, trace: Trace, y: Tensor) -> tuple[Tensor, ...]:
        """c of every sum (N, out), from the logits back to the first layer."""
        weights, mask = alive_weights(model), model.mask
        classes = trace.logits.shape[1]
        slope = torch.nn.functional.one_hot(y, classes).to(trace.logits.dtype) - 1 / classes
        slopes = [slope]
        for layer in reversed(range(len(weights) - 1)):
            slope = (slope @ weights[layer + 1]) * kept_sources(mask, layer + 1)
            if mask is None or mask.layers[layer]:
                keep = None if mask is None else mask.units[layer]
                slope = self._before(model.network.tails[layer], trace.sums[layer], slope, keep)
            slopes.insert(0, slope)
        return tuple(slopes)

    def _before(self, tail: Tail, z: Tensor, slope: Tensor, keep: Tensor | None) -> Tensor:
        """From the slope behind a tail to that of its sums z (N, width)."""
        act = ACTIVATIONS[tail.spec.activation]
        if tail.spec.norm_first:
            v = tail.normalise(z, keep)
            return _before_norm(tail, z, slope * act(v) / self._stable(v), keep)
        return _before_norm(tail, act(z), slope, keep) * act(z) / self._stable(z)

    def _stable(self, v: Tensor) -> Tensor:
        return v + torch.where(v < 0, -self.epsilon, self.epsilon)


def _before_norm(tail: Tail, h: Tensor, slope: Tensor, keep: Tensor | None) -> Tensor:
    """From the slope behind a normalisation to that of what it normalises, h (N, width)."""
    norm = tail.norm
    if isinstance(norm, nn.BatchNorm1d):
        assert norm.running_var is not None
        return slope * norm.weight / torch.sqrt(norm.running_var + norm.eps)
    if isinstance(norm, nn.LayerNorm):
        present = torch.ones(h.shape[1], dtype=h.dtype) if keep is None else keep.to(h.dtype)
        share = present / present.sum().clamp(min=1)
        mean = (h * share).sum(-1, keepdim=True)
        spread = torch.sqrt(((h - mean).square() * share).sum(-1, keepdim=True) + norm.eps)
        scaled = slope * norm.weight / spread
        return scaled * present - share * (scaled * present).sum(-1, keepdim=True)
    return slope
