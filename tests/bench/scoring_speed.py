"""What contribution scores cost: against a plain forward and backward pass, and per-patient gradients.

As a file of its own (``python -m tests.bench.scoring_speed SHAPE PATIENTS WAY``) it prints the peak memory
that one way adds to a process, in bytes.
"""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from torch.func import functional_call, grad, vmap

from medprune.criteria.contribution import Contribution
from medprune.model import RiskModel
from medprune.network import Network
from medprune.peak_memory import peak
from medprune.scoring import BATCH, sum_scores
from medprune.training import Prepared
from tests.bench.race import race
from tests.bench.report import grid
from tests.bench.speed import SHAPES, made_up, rows_for, told, untrained, use_threads

PATIENTS = (569, 5_000, 10_000)
PLAIN_GOAL = 1.2
PER_PATIENT = {"4 k": (20, 5_000, 1_024), "59 k": (50, 2_000, 256), "730 k": (150, 569, 32)}  # goal, N, chunk
SHARE_OF_MEMORY = 0.1


def scoring_speed() -> Iterator[str]:
    use_threads()
    yield "## Speed: contribution scores\n"
    yield _plain()
    yield _per_patient()


def _plain() -> str:
    rows = []
    for name, (inputs, hidden) in SHAPES.items():
        for patients in PATIENTS:
            model, data = case(name, patients)
            network = taking_gradients(model)
            goes = 15 if patients < 1_000 else 7
            found = race(
                lambda m=model, d=data: ours(m, d),
                lambda n=network, d=data: forward_backward(n, d),
                goes,
            )
            flops = _operations(inputs, hidden)
            rows.append(
                [
                    name,
                    f"{patients:,}",
                    f"{found.ours * 1e3:.1f}",
                    f"{found.peer * 1e3:.1f}",
                    found.cost(),
                    f"{flops:.2f}x",
                    told(PLAIN_GOAL, 1 / found.ratio, at_most=True),
                ]
            )
    head = [
        "weights",
        "patients",
        "ours, ms",
        "forward + backward, ms",
        "ours / theirs",
        "operations",
        "goal",
    ]
    about = (
        f"Against one plain forward and backward pass (PyTorch {torch.__version__}, loss.backward() with the "
        f"gradients of all weights) over the same patients in the same batches of {BATCH:,}. Operations: the "
        "multiplications of ours over theirs. A plain pass does not need what reaches the input columns; "
        "scores of features do, which is what is above 1.\n"
    )
    return f"{about}\n{grid(head, rows)}\n"


def _operations(inputs: int, hidden: tuple[int, ...]) -> float:
    """Products a patient: forward, weight gradients or outer products, and slopes of what enters a layer."""
    widths = (inputs, *hidden, 2)
    layers = [a * b for a, b in pairwise(widths)]
    return 3 * sum(layers) / (3 * sum(layers) - layers[0])


def _per_patient() -> str:
    rows = []
    for name, (goal, patients, chunk) in PER_PATIENT.items():
        model, data = case(name, patients)
        found = race(
            lambda m=model, d=data: ours(m, d), lambda m=model, d=data, c=chunk: per_patient(m, d, c), 3
        )
        mine, others = ours(model, data), per_patient(model, data, chunk)
        off = max(float(np.abs(a - b).max() / b.max()) for a, b in zip(mine, others, strict=True))
        assert off < 1e-5, f"the numbers differ by {off}"
        memory, theirs = (_memory(name, patients, way) for way in ("ours", "per_patient"))
        share = memory / theirs
        rows.append(
            [
                name,
                f"{patients:,}",
                f"{found.ours * 1e3:.1f}",
                f"{found.peer * 1e3:.0f}",
                found.faster(),
                told(goal, found.ratio),
                f"{off:.0e}",
                f"{memory / 1e6:.0f} / {theirs / 1e6:.0f}",
                f"{share:.2f}" + ("" if share <= SHARE_OF_MEMORY else f" (goal {SHARE_OF_MEMORY:g})"),
            ]
        )
    head = [
        "weights",
        "patients",
        "ours, ms",
        "theirs, ms",
        "faster",
        "goal",
        "largest difference",
        "memory, MB",
        "share of memory",
    ]
    chunks = ", ".join(f"{chunk:,}" for _, _, chunk in PER_PATIENT.values())
    about = (
        f"Against per-patient gradients by torch.func.vmap(grad) (PyTorch {torch.__version__}), in chunks of "
        f"{chunks} patients. The difference is relative to the largest score of a layer. Memory is what each "
        "adds to the peak of a process of its own, the table read and the network made.\n"
    )
    return f"{about}\n{grid(head, rows)}\n"


def case(name: str, patients: int) -> tuple[RiskModel, Prepared]:
    inputs, hidden = SHAPES[name]
    cohort = made_up(rows_for(patients), inputs)
    model = untrained(cohort, hidden)
    return model, Prepared(model.prepared(cohort.train), cohort.train.outcome)


def ours(model: RiskModel, data: Prepared) -> list[np.ndarray]:
    sums = sum_scores(model, data, Contribution())
    return [total.sum(dim=0).numpy() for total in sums.scores.weights]


def forward_backward(network: Network, data: Prepared) -> None:
    network.zero_grad()
    batches = torch.from_numpy(data.columns).split(BATCH), torch.from_numpy(data.outcome).split(BATCH)
    for x, y in zip(*batches, strict=True):
        torch.nn.functional.cross_entropy(network(x), y, reduction="sum").backward()


def taking_gradients(model: RiskModel) -> Network:
    return copy.deepcopy(model.network).requires_grad_(True)


def per_patient(model: RiskModel, data: Prepared, chunk: int) -> list[np.ndarray]:
    """|w dp(y|x)/dw| summed over patients, from one gradient a patient."""
    network = model.network
    parameters = {name: value.detach() for name, value in network.named_parameters()}

    def own_risk(values: dict[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        logits = functional_call(network, values, (x[None],))[0]
        return torch.softmax(logits, dim=0).gather(0, y[None])[0]

    gradients = vmap(grad(own_risk), in_dims=(None, 0, 0))
    names = [f"layers.{layer}.weight" for layer in range(len(network.layers))]
    totals = [torch.zeros_like(parameters[name], dtype=torch.float64) for name in names]
    batches = torch.from_numpy(data.columns).split(chunk), torch.from_numpy(data.outcome).split(chunk)
    for x, y in zip(*batches, strict=True):
        found = gradients(parameters, x, y)
        for total, name in zip(totals, names, strict=True):
            total.add_((found[name] * parameters[name]).abs().sum(dim=0))
    return [total.numpy() for total in totals]


def _memory(name: str, patients: int, way: str) -> int:
    command = [sys.executable, "-m", "tests.bench.scoring_speed", name, str(patients), way]
    return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def main() -> None:
    name, patients, way = sys.argv[1:]
    use_threads()
    model, data = case(name, int(patients))
    few = Prepared(data.columns[:2], data.outcome[:2])
    chunk = PER_PATIENT[name][2]
    ways = {"ours": ours, "per_patient": lambda m, d: per_patient(m, d, chunk)}
    ways[way](model, few)  # what is loaded once is not what the patients need
    before = peak()
    ways[way](model, data)
    sys.stdout.write(str(peak() - before))


if __name__ == "__main__":
    main()
