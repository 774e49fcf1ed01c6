"""Family two, by selection: of a population of smaller networks the better and smaller have children."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from medprune.candidate import Candidate, Problem, features_needed
from medprune.checkpoint import Checkpoint, Generation, Individual
from medprune.compaction import compact
from medprune.errors import BadInput
from medprune.genome import Genes, Genome
from medprune.model import RiskModel
from medprune.nsga import Genomes, children, survivors
from medprune.pareto import front
from medprune.performance import METRICS, performance
from medprune.removal import mask_of
from medprune.settings import check_settings, setting
from medprune.strategies.base import STRATEGIES, Strategy
from medprune.strategies.contribution import ContributionPath
from medprune.training import RETRAINING, Schedule

WORST = 10.0  # the cost of a metric that cannot be computed: no metric is as bad
SIZES = ("usual", "parameters", "features", "price")


@STRATEGIES.register("genetic")
@dataclass(frozen=True)
class GeneticSearch(Strategy):
    """A population of smaller networks breeds: those stay that no other beats in both performance and size.

    NSGA-II (Deb et al., 2002) on two objectives, a metric on tuning and a size. Genes are the units kept in
    each hidden layer and the hidden layers kept, or the features kept. Every genome starts from the
    dense weights and retrains with a seed of its mask's own, so that its fitness depends on the mask
    alone. The first generation holds the contribution path's candidates. The candidates are the front
    of all genomes that were ever tried, so that none is worse than those it started from.

    ``checkpoint`` names a JSON file of finished generations: a search that was stopped goes on from
    there and ends as it would have.
    """

    population: int = setting(24, "Population", "how many networks a generation has", low=4, high=1_000)
    generations: int = setting(10, "Generations", "how often they have children", low=0, high=1_000)
    metric: str = setting("auroc", "Metric", "on tuning patients, to be high", choices=METRICS)
    size: str = setting(
        "usual",
        "Size",
        "to be low; usual: the parameters of neurons, the price or number of features",
        choices=SIZES,
    )
    features_too: bool = setting(False, "Features too", "search the features along with the neurons")
    checkpoint: str | None = None
    schedule: Schedule = RETRAINING
    name = "genetic"
    title = "Genetic search"
    granularities = ("neuron", "feature")

    def __post_init__(self) -> None:
        check_settings(self)

    def planned(self, problem: Problem) -> int:
        """No front is longer than all that was tried; most are far shorter."""
        return ContributionPath().planned(problem) + self.population * (self.generations + 1)

    def candidates(self, problem: Problem) -> Iterator[Candidate]:
        size = self._size(problem)
        genes = Genes.of(problem, features_too=self.features_too)
        checkpoint = Checkpoint.of(self.checkpoint, problem, self._identity(size), genes.count)
        yield problem.candidate(problem.model, threshold=0.0, requested=0.0)
        tried = self._search(problem, genes, size, checkpoint)
        best = front([one.metric for one in tried], [one.size for one in tried])
        chosen = sorted((tried[place] for place in best), key=lambda one: -one.size)
        counted = problem.evaluator.trained
        for model in self._retrained(problem, [genes.model(one.genome) for one in chosen]):
            yield problem.candidate(model, threshold=0.0, requested=None)
        # A search that went on from its checkpoint trains these again, but has not tried more for it.
        problem.evaluator.trained = counted

    def _search(self, problem: Problem, genes: Genes, size: str, checkpoint: Checkpoint) -> list[Individual]:
        """All that was tried, generation by generation, those of the checkpoint first."""
        before = problem.evaluator.trained
        done, trained = checkpoint.load()
        problem.evaluator.trained += trained
        population: Generation = ()
        tried: dict[str, Individual] = {}
        for number in range(self.generations + 1):
            if number == len(done):
                rng = np.random.default_rng(np.random.SeedSequence([problem.seed, number]))
                genomes = _bred(population, rng) if number else self._first(problem, genes, rng)
                done.append(self._measured(problem, genes, genomes, size, known=tried))
                checkpoint.save(done, problem.evaluator.trained - before)
            tried |= {one.digest: one for one in done[number]}
            population = self._fittest((*population, *done[number]))
        return list(tried.values())

    def _first(self, problem: Problem, genes: Genes, rng: np.random.Generator) -> Genomes:
        """The contribution path's candidates, and half a population or more of random genomes."""
        path = ContributionPath(schedule=self.schedule).candidates(problem)
        seeds = [genes.genome(candidate.model) for candidate in path][1:]
        more = max(self.population - len(seeds), self.population // 2)
        return np.stack([*seeds, *genes.random(more, rng)])

    def _measured(
        self, problem: Problem, genes: Genes, genomes: Genomes, size: str, known: Mapping[str, Individual]
    ) -> Generation:
        """The genomes that work, are smaller than dense and are not known yet, retrained all together."""
        new: dict[str, tuple[Genome, RiskModel]] = {}
        dense = mask_of(problem.model).digest().hex()
        for genome in genomes:
            model = genes.model(genome)
            digest = dense if model is None else mask_of(model).digest().hex()
            if model is not None and digest != dense and digest not in known:
                new.setdefault(digest, (genome, model))
        retrained = self._retrained(problem, [model for _, model in new.values()])
        return tuple(
            Individual(genome, digest, self._metric(problem, model), _size_of(problem, model, size))
            for (digest, (genome, _)), model in zip(new.items(), retrained, strict=True)
        )

    def _retrained(self, problem: Problem, models: Sequence[RiskModel | None]) -> list[RiskModel]:
        return problem.evaluator.from_dense([model for model in models if model is not None], self.schedule)

    def _fittest(self, generation: Generation) -> Generation:
        costs = np.array([(-one.metric, one.size) for one in generation]).reshape(-1, 2)
        costs = np.nan_to_num(costs, nan=WORST)
        return tuple(generation[place] for place in survivors(costs, self.population))

    def _metric(self, problem: Problem, model: RiskModel) -> float:
        """The metric on tuning, larger is better; of the network as it is, not recalibrated."""
        risks = model.risks_of(problem.tuning.columns)
        value = performance(problem.tuning.outcome, risks, model.act_at, problem.tuning.weight)[self.metric]
        return -value if self.metric == "brier" else value

    def _size(self, problem: Problem) -> str:
        if self.size == "price" and not problem.prices:
            raise BadInput(
                "A search for a low price needs the prices of the features; give them, or another size."
            )
        if self.size != "usual":
            return self.size
        if problem.granularity == "neuron":
            return "parameters"
        return "price" if problem.prices else "features"

    def _identity(self, size: str) -> dict[str, Any]:
        """What the settings have to do with what was found; more generations may follow later."""
        settings = asdict(self) | {"size": size}
        return {name: value for name, value in settings.items() if name not in ("checkpoint", "generations")}


def _bred(population: Generation, rng: np.random.Generator) -> Genomes:
    return children(np.stack([one.genome for one in population]), rng)


def _size_of(problem: Problem, model: RiskModel, size: str) -> float:
    if size == "parameters":
        return float(compact(model).network.nonzero())
    needed = features_needed(model)
    return problem.prices.total(needed) if size == "price" else float(len(needed))
