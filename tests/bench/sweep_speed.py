"""What a sweep of 101 thresholds costs: against a loop over the usual tools, and plain forward passes."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from sklearn.metrics import accuracy_score, f1_score, recall_score, roc_auc_score
from torch.nn.utils import prune as torch_prune

from medprune import score, sweep, train
from medprune.cohort import Split
from medprune.model import RiskModel
from medprune.nest import Nest
from medprune.nested import NestedPass, Patients
from medprune.network import MLP
from medprune.ranking import USUAL_SCOPE
from medprune.removal import Cut
from medprune.scoring import Contributions
from medprune.training import Schedule
from tests.bench.peers import sequential
from tests.bench.race import race
from tests.bench.report import grid
from tests.bench.speed import SHAPES, made_up, rows_for, told, use_threads

EVEN = np.linspace(0.0, 1.0, 101)
LOGARITHMIC = np.concatenate([[0.0], np.geomspace(1e-4, 1.0, 100)])  # many small cuts, as on the page
LOOP_GOALS = {569: 50, 5_000: 15}
PASSES_GOAL = 0.7
PATIENTS = 10_000


def sweep_speed() -> Iterator[str]:
    use_threads()
    yield "## Speed: a sweep of 101 thresholds\n"
    yield _against_a_loop()
    yield _against_passes()


def _against_a_loop() -> str:
    rows = []
    for patients, goal in LOOP_GOALS.items():
        model, split, scored = case("4 k", patients)
        found = race(
            lambda m=model, s=split, c=scored: sweep(m, s, c),
            lambda m=model, s=split, c=scored: loop(m, s, c),
            5,
        )
        off = float(np.abs(sweep(model, split, scored).table["auroc"] - loop(model, split, scored)).max())
        assert off < 1e-6, f"AUROC differs by {off}"
        rows.append(
            [
                f"{patients:,}",
                f"{found.ours * 1e3:.1f}",
                f"{found.peer * 1e3:.0f}",
                found.faster(),
                told(goal, found.ratio),
                f"{off:.0e}",
            ]
        )
    about = (
        "The whole of `sweep` (9 metrics, sizes, who is acted on at 99 risks, figures by class; 4 k weights, "
        "even steps) against a loop of copy.deepcopy, torch.nn.utils.prune.custom_from_mask "
        f"(PyTorch {torch.__version__}) with the same masks made beforehand, a forward pass, and AUROC, "
        f"accuracy, F1 and recall by scikit-learn {version('scikit-learn')}.\n"
    )
    head = ["patients", "ours, ms", "theirs, ms", "faster", "goal", "largest difference of AUROC"]
    return f"{about}\n{grid(head, rows)}\n"


def loop(model: RiskModel, split: Split, scored: Contributions) -> np.ndarray:
    """AUROC (101,), and what else one would look at."""
    masks = _masks(model, scored, split)
    network, x = sequential(model.network).eval(), torch.from_numpy(model.prepared(split))
    aurocs = []
    for mask in masks:
        pruned = copy.deepcopy(network)
        linears = [layer for layer in pruned if isinstance(layer, torch.nn.Linear)]
        for layer, kept in zip(linears, mask, strict=True):
            torch_prune.custom_from_mask(layer, "weight", kept)
        with torch.no_grad():
            risk = torch.softmax(pruned(x).double(), dim=1)[:, 1].numpy()
        decided = risk >= model.act_at
        aurocs.append(roc_auc_score(split.outcome, risk))
        for metric in (accuracy_score, f1_score, recall_score):
            metric(split.outcome, decided)
    return np.array(aurocs)


_KNOWN: dict[int, list[Any]] = {}


def _masks(model: RiskModel, scored: Contributions, split: Split) -> list[Any]:
    """The same masks for both; making them is not counted against the loop."""
    if id(scored) not in _KNOWN:
        cut = Cut.of(model, scored, "weight", USUAL_SCOPE, model.prepared(split))
        masks = [cut.at(float(threshold)).mask for threshold in EVEN]
        _KNOWN[id(scored)] = [[part.float() for part in mask.weights] for mask in masks if mask is not None]
    return _KNOWN[id(scored)]


def _against_passes() -> str:
    rows = []
    for name in ("59 k", "730 k"):
        model, split, scored = case(name, PATIENTS)
        few = 5 if name == "730 k" else 20  # of the 101 passes are made, and counted as 101
        x = torch.from_numpy(model.prepared(split))
        for title, thresholds in (("even", EVEN), ("logarithmic", LOGARITHMIC)):
            for what, ours in (("whole sweep", _whole), ("forward work alone", _forward)):
                found = race(
                    lambda o=ours, m=model, s=split, c=scored, t=thresholds: o(m, s, c, t),
                    lambda m=model, x=x, few=few: _dense(m, x, few),
                    3,
                )
                scale = 101 / few
                rows.append(
                    [
                        name,
                        title,
                        what,
                        f"{found.ours * 1e3:.0f}",
                        f"{found.peer * scale * 1e3:.0f}",
                        f"{1 / found.ratio / scale:.3f}x",
                        f"{_operations(model, scored, thresholds):.3f}x",
                        told(PASSES_GOAL, 1 / found.ratio / scale, at_most=True),
                    ]
                )
    about = (
        f"Against 101 plain forward passes of the trained dense network, {PATIENTS:,} patients, PyTorch "
        f"{torch.__version__}. Thresholds in even steps, or logarithmic from 0.0001, most cuts being small. "
        "Operations: multiplications of the living units and inputs over those of the dense network.\n"
    )
    head = ["weights", "thresholds", "what", "ours, ms", "theirs, ms", "ours / theirs", "operations", "goal"]
    return f"{about}\n{grid(head, rows)}\n"


def _whole(model: RiskModel, split: Split, scored: Contributions, thresholds: np.ndarray) -> object:
    return sweep(model, split, scored, thresholds)


def _forward(model: RiskModel, split: Split, scored: Contributions, thresholds: np.ndarray) -> object:
    columns = model.prepared(split)
    nest = _nest(model, scored, thresholds, columns)
    return [len(part.steps) for part in NestedPass(nest).risks(Patients.of(columns), nest.changes())]


def _nest(model: RiskModel, scored: Contributions, thresholds: np.ndarray, columns: np.ndarray) -> Nest:
    return Nest.of_cut(Cut.of(model, scored, "weight", USUAL_SCOPE, columns), thresholds)


def _operations(model: RiskModel, scored: Contributions, thresholds: np.ndarray) -> float:
    nest = _nest(model, scored, thresholds, np.zeros((1, model.network.spec.inputs), dtype=np.float32))
    steps = nest.changes()
    widths = np.array([[(lasts > step).sum() for lasts in nest.living] for step in steps])
    dense = sum(weight.numel() for weight in model.network.weights())
    return float((widths[:, 1:] * widths[:, :-1]).sum() / (len(thresholds) * dense))


def _dense(model: RiskModel, x: torch.Tensor, times: int) -> None:
    with torch.no_grad():
        for _ in range(times):
            model.network(x)


def case(name: str, patients: int) -> tuple[RiskModel, Split, Contributions]:
    """A trained network, its scores, and as many patients to sweep on."""
    inputs, hidden = SHAPES[name]
    cohort = made_up(rows_for(patients), inputs)
    model = train(cohort, MLP(hidden=hidden, dropout=0.0), seed=0, schedule=Schedule(epochs=10))
    return model, cohort.train, score(model, cohort.tuning)
