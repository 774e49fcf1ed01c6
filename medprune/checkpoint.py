"""What a structure search has found so far, as a JSON file: it goes on from there after whatever stopped it.

The file holds whole generations only, and is written whole or not at all. Genomes are strings of 0 and
1; there is no code in it, and no patient. It belongs to one problem: the same model, patients and
settings; for any other it is refused.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medprune.candidate import Problem
from medprune.errors import BadInput, listed
from medprune.genome import Genome
from medprune.model_file import fingerprint
from medprune.removal import mask_of
from medprune.tables import check_place, jsonable, write_whole

FORMAT = 1
WHAT = "the checkpoint"


@dataclass(frozen=True, eq=False)
class Individual:
    """A genome with the digest of its mask, its metric on tuning and its size."""

    genome: Genome
    digest: str
    metric: float
    size: float

    def to_json(self) -> dict[str, Any]:
        bits = "".join("1" if gene else "0" for gene in self.genome)
        return {"genome": bits, "mask": self.digest, "metric": self.metric, "size": self.size}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Individual:
        genome = np.array([gene == "1" for gene in value["genome"]], dtype=bool)
        metric = math.nan if value["metric"] is None else float(value["metric"])
        return cls(genome, str(value["mask"]), metric, float(value["size"]))


Generation = tuple[Individual, ...]


@dataclass(frozen=True)
class Checkpoint:
    """The file of finished generations, for the problem that ``identity`` describes; or no file at all."""

    path: Path | None
    identity: Mapping[str, Any]
    genes: int

    @classmethod
    def of(cls, path: str | None, problem: Problem, settings: Mapping[str, Any], genes: int) -> Checkpoint:
        """BadInput when no file can be written at ``path``."""
        place = None if path is None else check_place(path, WHAT)
        return cls(place, jsonable(identity_of(problem) | {"settings": dict(settings)}), genes)

    def load(self) -> tuple[list[Generation], int]:
        """The finished generations, and how many models had been trained for them; BadInput for another's."""
        if self.path is None or not self.path.exists():
            return [], 0
        try:
            saved = json.loads(self.path.read_text(encoding="utf-8"))
            self._check(saved["problem"] if saved["format"] == FORMAT else {})
            generations = [tuple(map(Individual.from_json, each)) for each in saved["generations"]]
            trained = int(saved["trained"])
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise BadInput(
                f"{str(self.path)!r} is no checkpoint of a structure search, or a damaged one; "
                "delete it, or choose another file."
            ) from error
        if any(len(one.genome) != self.genes for generation in generations for one in generation):
            raise BadInput(f"The checkpoint {str(self.path)!r} is damaged; delete it to start again.")
        return generations, trained

    def save(self, generations: Sequence[Generation], trained: int) -> None:
        if self.path is None:
            return
        content = {
            "format": FORMAT,
            "problem": self.identity,
            "trained": trained,
            "generations": [[one.to_json() for one in generation] for generation in generations],
        }
        write_whole(self.path, json.dumps(jsonable(content), allow_nan=False).encode(), WHAT)

    def _check(self, found: Mapping[str, Any]) -> None:
        """BadInput when the file was written for another problem."""
        other = [name for name, value in self.identity.items() if found.get(name) != value]
        if other:
            raise BadInput(
                f"The checkpoint {str(self.path)!r} belongs to another search ({listed(other)} differ); "
                "choose another file, or delete it to start again."
            )


def identity_of(problem: Problem) -> dict[str, Any]:
    """What a fitness depends on beside its genome, in words a user can compare; hashes, and no patient."""
    patients = hashlib.sha256()
    for data in (problem.train, problem.tuning):
        patients.update(repr(data.columns.shape).encode())
        patients.update(data.columns.tobytes() + data.outcome.tobytes())
        patients.update(b"" if data.weight is None else data.weight.tobytes())
    return {
        "model": f"{fingerprint(problem.model)} {mask_of(problem.model).digest().hex()}",
        "patients": patients.hexdigest(),
        "granularity": problem.granularity,
        "seed": problem.seed,
        "acting at": problem.model.act_at,
        "prices": sorted(map(list, problem.prices.by_feature)),
    }
