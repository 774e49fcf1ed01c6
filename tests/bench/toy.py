"""The toy study of Yeom et al. (Pattern Recognition 2021, arXiv 1912.08881), again with our criteria.

Their set-up, as in their published code: moons, circles and four spiral arms in the plane; a network of
three hidden layers of 1,000 units, dropout after the first, no activation after the third; a criterion
ranks all 3,000 units on a few reference samples; 1,000 units go in one shot; nothing is retrained;
accuracy on the 2,000 training points, mean and spread over 50 draws of the reference samples.

What differs: their trained weights are not ours to ship, so a network is trained here on points of the
same generators, by SGD in 400 steps on 128 points each (theirs: 10,000 small steps on all points).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.datasets import make_circles, make_moons
from torch.nn import functional

from medprune.compaction import compact
from medprune.criteria import CRITERIA, seed_setting
from medprune.model import RiskModel
from medprune.network import Network, NetworkSpec, TailSpec, frozen
from medprune.preparation import Column, NumberCode, Preparation
from medprune.ranking import best
from medprune.removal import Cut
from medprune.scoring import Contributions, contributions_from, sum_scores
from medprune.training import Prepared
from tests.bench.report import grid

POINTS = 2_000
WIDTH, KEPT = 1_000, 2_000
SEEDS = range(50)
A_CLASS = 200  # reference samples, where their figures are the best
STEPS, BATCH, RATE, MOMENTUM = 400, 128, 0.1, 0.9
SAME_AS = {"magnitude": "weight", "taylor": "taylor", "lrp": "lrp"}  # of theirs

# Train accuracy in percent, aggregated from the logs they published; at 200 reference samples a class.
THEIRS = {
    "moon": {
        "dense": "99.90",
        "weight": "99.60",
        "taylor": "95.9 ± 5.2",
        "grad": "95.1 ± 7.7",
        "lrp": "99.85",
    },
    "circle": {"dense": "100", "weight": "97.10", "taylor": "97.4 ± 5.5", "grad": "92.5 ± 8.8", "lrp": "100"},
    "mult": {
        "dense": "94.95",
        "weight": "91.00",
        "taylor": "85.1 ± 4.7",
        "grad": "81.7 ± 4.8",
        "lrp": "91.20",
    },
}
CLASSES = {"moon": 2, "circle": 2, "mult": 4}


# How the units are ranked together, and what stands in for a unit that went: its mean on the reference
# samples, as MedPrune does it, or nothing, as they do it.
VARIANTS = (("global", "mean"), ("global", "zero"), ("layer", "mean"), ("adaptive", "mean"))


@dataclass(frozen=True)
class Result:
    """Train accuracy, in percent, of a criterion in each of the variants, with one draw of the samples."""

    criterion: str
    accuracies: tuple[float, ...]


def points(name: str, count: int, seed: int) -> Prepared:
    """So many points of a toy, evenly over its classes."""
    if name == "moon":
        x, y = make_moons(count, noise=0.1, random_state=seed)
    elif name == "circle":
        x, y = make_circles(count, noise=0.1, factor=0.3, random_state=seed)
    else:
        x, y = _arms(count // CLASSES[name], CLASSES[name], np.random.default_rng(seed))
    return Prepared(x.astype(np.float32), y.astype(np.int64))


def _arms(each: int, arms: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Arms of a spiral: the angle grows with the radius, with noise."""
    radius = np.tile(np.linspace(0, 1, each), arms)
    arm = np.repeat(np.arange(arms), each)
    angle = 4 * (arm + np.tile(np.linspace(0, 1, each), arms)) + 0.2 * rng.normal(size=arms * each)
    return np.column_stack([radius * np.sin(angle), radius * np.cos(angle)]), arm


def trained(name: str) -> RiskModel:
    """Their network, trained on the points; torch's own start, without touching the global generator."""
    data = points(name, POINTS, seed=0)
    tails = (TailSpec(WIDTH, dropout=0.5), TailSpec(WIDTH), TailSpec(WIDTH, activation="identity"))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Network(NetworkSpec(2, tails, CLASSES[name]))
    noise = torch.Generator().manual_seed(0)
    network.tails[0].noise = noise
    x, y = torch.from_numpy(data.columns), torch.from_numpy(data.outcome)
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE, momentum=MOMENTUM)
    slower = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=STEPS)
    for _ in range(STEPS):
        batch = torch.randint(0, POINTS, (BATCH,), generator=noise)
        optimizer.zero_grad()
        functional.cross_entropy(network(x[batch]), y[batch]).backward()
        optimizer.step()
        slower.step()
    numbers = tuple(NumberCode(axis, fill=0.0, mean=0.0, scale=1.0) for axis in "xy")
    columns = tuple(Column(axis, "value", name=axis) for axis in "xy")
    classes = tuple(map(str, range(CLASSES[name])))
    network.tails[0].noise = None
    return RiskModel(Preparation(numbers, (), columns), frozen(network), "class", classes)


def accuracy(model: RiskModel, data: Prepared) -> float:
    return float(100 * (model.risks_of(data.columns).argmax(axis=1) == data.outcome).mean())


def pruned(name: str, model: RiskModel, seeds: Sequence[int]) -> list[Result]:
    """Every criterion in every variant, for each draw of the reference samples."""
    torch.set_num_threads(1)
    data, results = points(name, POINTS, seed=0), []
    for seed in seeds:
        reference = points(name, A_CLASS * CLASSES[name], seed=1 + seed)
        for criterion in CRITERIA.names():
            if CRITERIA.get(criterion).classes_are_predicted:
                continue  # tells nothing apart here: the label is known
            scores = _scores(model, criterion, reference, seed)
            accuracies = (accuracy(_cut(model, scores, reference, *how), data) for how in VARIANTS)
            results.append(Result(criterion, tuple(accuracies)))
    return results


def _scores(model: RiskModel, criterion: str, reference: Prepared, seed: int) -> Contributions:
    sums = sum_scores(model, reference, CRITERIA.make(criterion, **seed_setting(criterion, seed)))
    return contributions_from(model, criterion, sums, patients=len(reference.outcome))


def _cut(
    model: RiskModel, scores: Contributions, reference: Prepared, scope: str, constant: str
) -> RiskModel:
    """The network without the 1,000 units that score least."""
    cut = Cut.of(model, scores, "neuron", scope, reference.columns)
    if constant == "zero":
        cut = replace(cut, means=[torch.zeros_like(mean) for mean in cut.means])
    kept, _ = best(cut.order, cut.alive, KEPT)
    return compact(cut.keep(kept))


def toy(processes: int) -> Iterator[str]:
    """The study as Markdown, theirs beside ours, one data set after the other."""
    yield _conditions()
    parallel = Parallel(n_jobs=processes)
    models = parallel(delayed(trained)(name) for name in CLASSES)
    for name, model in zip(CLASSES, models, strict=True):
        chunks = np.array_split(SEEDS, processes)
        done = parallel(delayed(pruned)(name, model, seeds.tolist()) for seeds in chunks)
        results = pd.DataFrame([result for part in done for result in part])
        yield _table(name, accuracy(model, points(name, POINTS, seed=0)), results)


def _conditions() -> str:
    return f"""## The toy study of Yeom et al. (2021)

- {WIDTH:,} of 3 x {WIDTH:,} hidden units removed in one shot by their scores on {A_CLASS} reference samples a
  class; no retraining. Accuracy on {POINTS:,} training points in percent, mean ± standard deviation over
  {len(SEEDS)} draws of the samples.
- One network a data set, trained here on points of the generators they name; theirs are other networks.
- In the heads: the scope of the ranking, and what stands in for a removed unit. Their units leave nothing
  behind, their scores are divided by their sum or norm in each layer. Their Taylor is the absolute value of a
  signed sum over samples; ours is the mean of absolute values.
"""


def _table(name: str, dense: float, results: pd.DataFrame) -> str:
    theirs = THEIRS[name]
    rows = [
        [
            criterion,
            *_spreads(results[results["criterion"] == criterion]),
            theirs.get(SAME_AS.get(criterion, ""), ""),
        ]
        for criterion in results["criterion"].unique()
    ]
    rows += [
        [what, *[""] * len(VARIANTS), theirs[what]]
        for what in theirs
        if what not in ("dense", *_told(results))
    ]
    head = ["criterion", *(f"{scope}, {constant}" for scope, constant in VARIANTS), "theirs"]
    return f"### {name}: dense {dense:.2f}, theirs {theirs['dense']}\n\n{grid(head, rows)}\n"


def _told(results: pd.DataFrame) -> list[str]:
    return [SAME_AS[criterion] for criterion in results["criterion"].unique() if criterion in SAME_AS]


def _spreads(results: pd.DataFrame) -> list[str]:
    each = np.array(results["accuracies"].tolist())
    return [
        f"{mean:.2f} ± {sd:.2f}" for mean, sd in zip(each.mean(axis=0), each.std(axis=0, ddof=1), strict=True)
    ]
