"""Beside us, torch-pruning: the same networks, the same rounds, the same retraining; neurons go.

Its pruner takes ever more hidden units out of an ``nn.Sequential``, ranked over all layers; between two
rounds the network is retrained by our own loop with its own schedule. Its Taylor importance reads the
gradient of the mean loss over all train patients, as its documentation has it.
"""

from __future__ import annotations

import copy
import importlib.util
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from torch import nn
from torch.nn import functional

from medprune import Cohort, RiskModel, prune, train
from medprune.flow import measure
from medprune.network import Network, NetworkSpec
from medprune.training import RETRAINING, Prepared, prepare, retrain
from tests.bench.data import TABLES, Table
from tests.bench.report import grid

LEVELS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 0.99)
SEEDS = range(5)
OURS = "MedPrune, contribution"
THEIRS = {"magnitude": "torch-pruning, magnitude", "taylor": "torch-pruning, taylor"}
ONE_CUT = "{}, in one cut"


@dataclass(frozen=True)
class Result:
    """What a method reached when asked to remove ``asked`` of the hidden units; AUROC on test.

    ``auroc`` is NaN where only the size is looked at; ``seconds`` are those of the whole path.
    """

    table: str
    seed: int
    method: str
    asked: float
    reached: float
    auroc: float
    seconds: float


def peers(processes: int) -> Iterator[str]:
    """The comparison as Markdown, table by table."""
    if importlib.util.find_spec("torch_pruning") is None:
        yield "## Beside torch-pruning\n\nSkipped: it is not installed; `make bench` installs it.\n"
        return
    yield _conditions()
    here = [table for table in TABLES if table.path.exists()]
    jobs = [delayed(compare)(table, seed) for table in here for seed in SEEDS]
    done = Parallel(n_jobs=processes, return_as="generator")(jobs)
    for table in here:
        yield _report(table, pd.DataFrame([result for _ in SEEDS for result in next(done)]))


def compare(table: Table, seed: int) -> list[Result]:
    """Both on one split of a table; the seed deals the patients and starts the network."""
    torch.set_num_threads(1)
    cohort = table.cohort(seed)
    dense = train(cohort, seed=seed)
    results = [Result(table.name, seed, OURS, *row) for row in _ours(dense, cohort, seed)]
    for importance, name in THEIRS.items():
        results += [Result(table.name, seed, name, *row) for row in _theirs(dense, cohort, seed, importance)]
        results += [
            Result(table.name, seed, ONE_CUT.format(name), asked, reached, float("nan"), float("nan"))
            for asked, reached in _one_cut(dense, cohort, importance)
        ]
    return results


Row = tuple[float, float, float, float]  # asked, reached, AUROC, seconds


def _ours(dense: RiskModel, cohort: Cohort, seed: int) -> list[Row]:
    started = time.perf_counter()
    path = prune(dense, cohort, granularity="neuron", sparsities=LEVELS, seed=seed)
    seconds = time.perf_counter() - started
    found = {asked: [c for c in path if (c.requested or 0) <= asked][-1] for asked in LEVELS}
    return [(asked, c.sparsity, _auroc(c.model, cohort), seconds) for asked, c in found.items()]


def _theirs(dense: RiskModel, cohort: Cohort, seed: int, importance: str) -> list[Row]:
    train_data, tuning_data = (prepare(dense.preparation, s) for s in (cohort.train, cohort.tuning))
    started = time.perf_counter()
    model, net = dense, sequential(dense.network)
    pruner, reached = _pruner(net, train_data, importance, LEVELS), []
    for _ in LEVELS:
        _step(pruner, net, train_data, importance)
        model = retrain(as_model(net, dense), train_data, tuning_data, schedule=RETRAINING, seed=seed)
        _copy_weights(model.network, net)
        reached.append((_removed(net, dense), model))
    seconds = time.perf_counter() - started
    return [
        (asked, share, _auroc(m, cohort), seconds) for asked, (share, m) in zip(LEVELS, reached, strict=True)
    ]


def _one_cut(dense: RiskModel, cohort: Cohort, importance: str) -> Iterator[tuple[float, float]]:
    """The size that one cut from the dense network reaches; nothing is retrained."""
    data = prepare(dense.preparation, cohort.train)
    for asked in LEVELS:
        net = sequential(dense.network)
        _step(_pruner(net, data, importance, (asked,)), net, data, importance)
        yield asked, _removed(net, dense)


def _pruner(net: nn.Sequential, data: Prepared, importance: str, levels: tuple[float, ...]) -> Any:
    import torch_pruning

    kinds = {
        "magnitude": torch_pruning.importance.GroupMagnitudeImportance,
        "taylor": torch_pruning.importance.GroupTaylorImportance,
    }
    return torch_pruning.pruner.BasePruner(
        net,
        torch.from_numpy(data.columns[:2]),
        importance=kinds[importance](),
        global_pruning=True,
        pruning_ratio=levels[-1],
        iterative_steps=len(levels),
        iterative_pruning_ratio_scheduler=lambda _, __: [0.0, *levels],
        ignored_layers=[net[-1]],
    )


def _step(pruner: Any, net: nn.Sequential, data: Prepared, importance: str) -> None:
    net.zero_grad()
    if importance == "taylor":
        logits = net(torch.from_numpy(data.columns))
        functional.cross_entropy(logits, torch.from_numpy(data.outcome)).backward()
    pruner.step()


def sequential(network: Network) -> nn.Sequential:
    """Our network as torch-pruning takes it, by the default recipe: linear layers and ReLUs."""
    modules: list[nn.Module] = []
    for linear in network.layers:
        modules += [copy.deepcopy(linear).requires_grad_(True), nn.ReLU()]
    return nn.Sequential(*modules[:-1])


def _linears(net: nn.Sequential) -> list[nn.Linear]:
    return [module for module in net if isinstance(module, nn.Linear)]


def as_model(net: nn.Sequential, dense: RiskModel) -> RiskModel:
    """What torch-pruning left, as a model of ours with tails of its widths."""
    widths = [linear.out_features for linear in _linears(net)]
    tails = (
        replace(tail, width=width) for tail, width in zip(dense.network.spec.tails, widths, strict=False)
    )
    with torch.random.fork_rng():
        network = Network(NetworkSpec(dense.network.spec.inputs, tuple(tails), widths[-1]))
    for ours, theirs in zip(network.layers, _linears(net), strict=True):
        ours.load_state_dict(theirs.state_dict())
    return replace(dense, network=network)


def _copy_weights(network: Network, net: nn.Sequential) -> None:
    for ours, theirs in zip(network.layers, _linears(net), strict=True):
        theirs.load_state_dict(ours.state_dict())


def _removed(net: nn.Sequential, dense: RiskModel) -> float:
    left = sum(linear.out_features for linear in _linears(net)[:-1])
    return 1 - left / sum(tail.width for tail in dense.network.spec.tails)


def _auroc(model: RiskModel, cohort: Cohort) -> float:
    return measure(model, cohort.test).performance.auroc


# --- as text ---------------------------------------------------------------------------------------


def _conditions() -> str:
    return f"""## Beside torch-pruning

- Hidden units of the default network, removed in rounds to {", ".join(f"{level:.0%}" for level in LEVELS)};
  each round retrains up to {RETRAINING.epochs} epochs. AUROC on locked test patients, mean ± standard
  deviation over {len(SEEDS)} seeds; in brackets the share of the units that is really gone, the mean and,
  where seeds differ, the smallest. torch-pruning rounds to one of the 96 units more than MedPrune does.
- Differences with * lie within the spread of seeds: their mean is at most their standard deviation.
- "In one cut": the size alone, when the dense network is cut once to the size asked.
"""


def _report(table: Table, results: pd.DataFrame) -> str:
    methods = results["method"].unique()
    rows = [_row(name, results[results["method"] == name]) for name in methods]
    ours = _paired(results, OURS)
    told = [
        f"- {OURS} minus {name}: {_differences(ours, _paired(results, name))}" for name in THEIRS.values()
    ]
    head = ["asked", *(f"{level:.0%}" for level in LEVELS), "seconds"]
    return f"### {table.name}\n\n{grid(head, rows)}\n\n" + "\n".join(told) + "\n"


def _row(name: str, results: pd.DataFrame) -> list[str]:
    cells = [_cell(results[results["asked"] == level]) for level in LEVELS]
    seconds = results["seconds"].median()
    return [name, *cells, "" if np.isnan(seconds) else f"{seconds:.1f}"]


def _cell(results: pd.DataFrame) -> str:
    reached = f"{results['reached'].mean():.1%}"
    if results["reached"].min() < results["reached"].mean() - 0.005:
        reached += f", {results['reached'].min():.1%}"
    if results["auroc"].isna().all():
        return f"({reached})"
    return f"{results['auroc'].mean():.3f} ± {results['auroc'].std():.3f} ({reached})"


def _paired(results: pd.DataFrame, method: str) -> pd.DataFrame:
    return results[results["method"] == method].pivot(index="seed", columns="asked", values="auroc")


def _differences(ours: pd.DataFrame, theirs: pd.DataFrame) -> str:
    change = ours - theirs
    within = change.mean().abs() <= change.std()
    each = (f"{level:.0%} {change[level].mean():+.3f}{'*' if within[level] else ''}" for level in LEVELS)
    return ", ".join(each)
