"""One patient's risk from the raw row: the pruned bundle by onnxruntime, the dense model by PyTorch."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import torch

from medprune import MLP, Bundle, RiskModel, Schedule, export, prune, train
from medprune.onnx_run import session_of
from medprune.size import size_of
from tests.bench.peers import sequential
from tests.bench.race import HEAD, Race, seconds, simulated
from tests.bench.report import grid

COLUMNS, HIDDEN, SPARSITY = 30, (256, 200), 0.95
CALLS, GOES, GOAL = 200, 7, 5.0
QUICK = Schedule(epochs=5)  # what the weights are worth plays no part here


def one_patient() -> Iterator[str]:
    """The part of the report."""
    cohort = simulated(2_000, COLUMNS)
    dense = train(cohort, MLP(HIDDEN), schedule=QUICK)
    row = cohort.test.frame.iloc[[0]]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    pruned = {
        granularity: prune(dense, cohort, granularity=granularity, sparsities=(SPARSITY,), schedule=QUICK)
        .nearest(SPARSITY)
        .model
        for granularity in ("neuron", "weight")
    }
    yield _conditions()
    yield _sizes({"dense": dense, **{f"{SPARSITY:.0%} by {name}": model for name, model in pruned.items()}})
    with tempfile.TemporaryDirectory() as folder:
        bundles = {name: export(model, None, Path(folder) / name) for name, model in pruned.items()}
        yield _times(dense, bundles, row)
    torch.set_num_threads(before)


def by_hand(model: RiskModel) -> Callable[[dict[str, float]], np.ndarray]:
    """The leanest that PyTorch gives: numpy scales the row, in which nothing is missing, for the network."""
    numbers, net = model.preparation.numbers, sequential(model.network).eval()
    names = [number.name for number in numbers]
    mean, scale = (np.array([getattr(number, what) for number in numbers]) for what in ("mean", "scale"))

    @torch.inference_mode()
    def risk(values: dict[str, float]) -> np.ndarray:
        raw = np.array([values[name] for name in names])
        x = torch.from_numpy(((raw - mean) / scale).astype(np.float32)[None])
        return torch.softmax(net(x), dim=1).numpy()

    return risk


def by_onnx(bundle: Bundle) -> Callable[[dict[str, float]], np.ndarray]:
    """The bundle's model.onnx, fed with the raw values: the graph prepares them."""
    session = session_of((bundle.folder / "model.onnx").read_bytes())
    names = [given.name for given in session.get_inputs()]

    def risk(values: dict[str, float]) -> np.ndarray:
        risks: np.ndarray = session.run(None, {name: np.array([[values[name]]]) for name in names})[0]
        return risks

    return risk


def _times(dense: RiskModel, bundles: dict[str, Bundle], frame: pd.DataFrame) -> str:
    values = frame.iloc[0].to_dict()
    lean = by_hand(dense)
    assert np.allclose(lean(values), dense.predict_proba(frame), atol=1e-6)
    rows = []
    for name, bundle in bundles.items():
        ours = by_onnx(bundle)
        assert np.allclose(ours(values), bundle.predict_proba(frame), atol=1e-6)
        peers: dict[str, Callable[[], object]] = {
            "RiskModel.predict_proba, a frame of one row": lambda: dense.predict_proba(frame),
            "by hand: numpy, then the network alone": lambda: lean(values),
        }
        for what, peer in peers.items():
            found = calls(partial(ours, values), peer)
            rows.append(found.row(f"by {name}; peer: {what}", GOAL))
    return grid([*HEAD], rows) + "\n"


def calls(ours: Callable[[], object], peer: Callable[[], object]) -> Race:
    """The median of many calls each, in turn, the first ones not counted."""

    def typical(call: Callable[[], object]) -> float:
        return float(np.median([seconds(call) for _ in range(CALLS)]))

    typical(ours), typical(peer)
    return Race(*np.array([(typical(ours), typical(peer)) for _ in range(GOES)]).T)


def _sizes(models: dict[str, RiskModel]) -> str:
    sizes = {name: size_of(model) for name, model in models.items()}
    dense = sizes["dense"]
    rows = [
        [
            name,
            f"{size.parameters:,}",
            f"{size.stored:,}",
            f"{dense.stored / size.stored:.1f}",
            f"{size.features}",
            f"{size.bytes:,}",
            f"{dense.bytes / size.bytes:.1f}",
        ]
        for name, size in sizes.items()
    ]
    head = [
        "model",
        "not zero",
        "stored",
        "smaller, times",
        "features",
        "model.onnx, bytes",
        "smaller, times",
    ]
    return grid(head, rows) + "\n"


def _conditions() -> str:
    weights = COLUMNS * HIDDEN[0] + HIDDEN[0] * HIDDEN[1] + HIDDEN[1] * 2
    return f"""## One patient's risk from the raw row

- {COLUMNS}-{HIDDEN[0]}-{HIDDEN[1]}-2, {weights:,} weights; {SPARSITY:.0%} removed. Goal for the network:
  {GOAL:g} times fewer numbers stored. The file model.onnx holds the preparation too.
- Ours: the bundle's model.onnx under onnxruntime {onnxruntime.__version__}, fed with the raw values. Peers:
  the dense model in torch {torch.__version__}. One thread each; the median of {CALLS} calls, {GOES} times
  in turn.
- RiskModel.predict_proba checks and types the row with pandas, which takes nearly all of its time; by hand
  nothing is checked, and the row must be all numbers with none missing. So little is then left that what
  it costs to call either library decides, and not the size of the network.
"""
