"""Activation: how much passes through, whatever the outcome makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from medprune.criteria.base import CRITERIA, PatientCriterion, over_columns
from medprune.criteria.sums import PatientScores
from medprune.model import RiskModel


@CRITERIA.register("activation")
@dataclass(frozen=True)
class Activation(PatientCriterion):
    """How much signal passes through it on average, whatever the prediction makes of that signal.

    |w| E_n |a| for a weight whose source says a (as Wanda, Sun et al., ICLR 2024, with the mean in
    place of the norm), E_n |a| for a unit. A feature counts how far its prepared columns lie from those
    of a patient who was not tested: E_n of the sum over its columns of |x - reference|.
    """

    name = "activation"
    title = "Activation"

    def views(self, model: RiskModel, x: Tensor, y: Tensor) -> Iterator[tuple[PatientScores, None]]:
        trace = model.network.trace(x, model.mask)
        inputs = tuple(value.abs() for value in trace.inputs)
        reference = torch.from_numpy(model.preparation.reference)
        yield (
            PatientScores(
                outputs=tuple(torch.ones_like(each) for each in trace.sums),
                inputs=inputs,
                units=inputs[1:],
                features=over_columns(model, (trace.inputs[0] - reference).abs()),
            ),
            None,
        )
