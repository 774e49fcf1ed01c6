"""Masks in, finished models out: the one place where a strategy's models are retrained, cached and counted.

Retraining is a pure function of the mask and the weights that it starts from: its seed comes from the
mask, so that whoever asks again, in whatever order, on whatever machine, gets the same model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from medprune.batch_training import Training
from medprune.model import RiskModel
from medprune.removal import mask_of
from medprune.together import trained
from medprune.training import Prepared, Schedule

MOST_KNOWN = 1 << 24  # parameters of the models that are remembered, those of 4,000 small networks


@dataclass(eq=False)
class Evaluator:
    """Retrains masked models on train, stopping early on tuning; ``trained`` counts how many it had to."""

    train: Prepared
    tuning: Prepared
    seed: int
    trained: int = 0
    _known: dict[tuple[bytes, Schedule], RiskModel] = field(default_factory=dict)

    def retrained(self, models: Sequence[RiskModel], schedule: Schedule) -> list[RiskModel]:
        """Each model with its mask kept and its remaining weights trained on; not cached."""
        self.trained += len(models)
        seeds = [self.seed_of(model) for model in models]
        return trained(Training(models, self.train, self.tuning, schedule, seeds)) if models else []

    def from_dense(self, models: Sequence[RiskModel], schedule: Schedule) -> list[RiskModel]:
        """As :meth:`retrained`, for models that all still have the dense weights: cached by their mask.

        The oldest are forgotten when there are too many; who asks for very many asks in parts.
        """
        keys = [(mask_of(model).digest(), schedule) for model in models]
        found = {key: self._known[key] for key in keys if key in self._known}
        new = {key: model for key, model in zip(keys, models, strict=True) if key not in found}
        fresh = dict(zip(new, self.retrained(list(new.values()), schedule), strict=True))
        self._remember(fresh)
        every = found | fresh
        return [every[key] for key in keys]

    def _remember(self, models: dict[tuple[bytes, Schedule], RiskModel]) -> None:
        self._known.update(models)
        for model in models.values():
            while len(self._known) > max(1, MOST_KNOWN // model.network.stored()):
                del self._known[next(iter(self._known))]

    def seed_of(self, model: RiskModel) -> int:
        words = np.frombuffer(mask_of(model).digest(), dtype="<u4")
        return int(np.random.SeedSequence([self.seed, *words.tolist()]).generate_state(1)[0])
