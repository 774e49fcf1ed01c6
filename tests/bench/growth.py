"""How the cost of scoring and of the sweep grows with patients, weights and thresholds: a table and a plot.

The unit is one forward and backward pass of the same network over the same patients in plain PyTorch.
"""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots
from torch.nn import functional

from medprune import MLP, RiskModel, Schedule, score, sweep, train
from medprune.training import Prepared, prepare
from tests.bench.data import REPO
from tests.bench.peers import sequential
from tests.bench.race import seconds, simulated
from tests.bench.report import grid

IMAGE = REPO / "assets" / "growth.png"
WIDTH, HEIGHT = 1080, 400
PATIENTS = (500, 1_500, 5_000, 15_000, 50_000)
HIDDEN = {"4 k": (64, 32), "18 k": (128, 96), "59 k": (256, 200), "210 k": (512, 384), "730 k": (902, 778)}
THRESHOLDS = (11, 33, 101, 333, 1_001)
USUAL = (5_000, "4 k", 101)  # patients, weights, thresholds: two stay so while the third grows
COLUMNS, BATCH, GOES, LONGEST, THREADS = 30, 8_192, 3, 5.0, 2


@dataclass(frozen=True)
class Cost:
    """Seconds, the median of a few goes taken in turn."""

    axis: str
    patients: int
    weights: int
    thresholds: int
    forward_backward: float
    scoring: float
    sweeping: float


def growth() -> Iterator[str]:
    """The part of the report; the plot is written beside the README's other pictures."""
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    costs = pd.DataFrame(list(_costs()))
    torch.set_num_threads(before)
    yield _conditions()
    for axis, title in TITLES.items():
        yield f"By {title}:\n\n{_table(costs[costs.axis == axis], axis)}\n"
    yield draw(costs)


TITLES = {"patients": "patients", "weights": "weights", "thresholds": "thresholds of the sweep"}
LINES = {
    "sweeping": "the sweep",
    "scoring": "contribution scores",
    "forward_backward": "one forward and backward pass in PyTorch",
}
COLOURS = ("#c2410c", "#0f766e", "#57534e")
DASHES = ("solid", "solid", "dash")


def _costs() -> Iterator[Cost]:
    patients, name, thresholds = USUAL
    for count in PATIENTS:
        yield _cost("patients", count, name, thresholds)
    for other in HIDDEN:
        yield _cost("weights", patients, other, thresholds)
    for count in THRESHOLDS:
        yield _cost("thresholds", patients, name, count)


def _cost(axis: str, patients: int, name: str, thresholds: int) -> Cost:
    cohort = simulated(patients, COLUMNS)
    everyone = cohort.all()
    model = train(cohort, MLP(HIDDEN[name]), schedule=Schedule(epochs=1))
    contributions = score(model, everyone)
    work: list[Callable[[], object]] = [
        forward_backward(model, prepare(model.preparation, everyone)),
        partial(score, model, everyone),
        partial(sweep, model, everyone, contributions, thresholds),
    ]
    first = [seconds(one) for one in work]  # does not count, unless it takes long
    goes = [first] if sum(first) > LONGEST else [[seconds(one) for one in work] for _ in range(GOES)]
    weights = sum(weight.numel() for weight in model.network.weights())
    return Cost(axis, patients, weights, thresholds, *np.median(goes, axis=0).tolist())


def forward_backward(model: RiskModel, data: Prepared) -> Callable[[], None]:
    """One pass forward and backward in plain PyTorch, in batches; the patients are prepared already."""
    net = sequential(model.network)
    x, y = torch.from_numpy(data.columns), torch.from_numpy(data.outcome)

    def work() -> None:
        net.zero_grad()
        for some, outcome in zip(x.split(BATCH), y.split(BATCH), strict=True):
            functional.cross_entropy(net(some), outcome).backward()

    return work


def _table(costs: pd.DataFrame, axis: str) -> str:
    rows = [
        [
            f"{cost[axis]:,}",
            f"{cost.forward_backward:.4f}",
            f"{cost.scoring:.4f}",
            f"{cost.scoring / cost.forward_backward:.1f}",
            f"{cost.sweeping:.3f}",
            f"{cost.sweeping / cost.forward_backward:.1f}",
        ]
        for _, cost in costs.iterrows()
    ]
    return grid([axis, "forward + backward, s", "score, s", "times", "sweep, s", "times"], rows)


def draw(costs: pd.DataFrame) -> str:
    """Write the plot; a sentence says where, or that there is no browser to draw it with."""
    browser = shutil.which("chromium")
    if browser is None or importlib.util.find_spec("playwright") is None:
        return "No plot: it takes Chromium and the test extra.\n"
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page_file = Path(folder) / "growth.html"
        figure(costs).write_html(page_file, include_plotlyjs=True, config={"staticPlot": True})
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])
        page = chromium.new_page(viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=2)
        page.goto(page_file.as_uri())
        page.wait_for_selector(".plotly .main-svg")
        IMAGE.write_bytes(page.locator(".plot-container").screenshot())
        chromium.close()
    return f"Drawn in {IMAGE.relative_to(REPO)}.\n"


def figure(costs: pd.DataFrame) -> go.Figure:
    """Three panels of seconds on logarithmic scales, one an axis; white, so that it reads in the dark too."""
    panels = make_subplots(
        1, 3, shared_yaxes=True, subplot_titles=[f"by {title}" for title in TITLES.values()]
    )
    for place, (axis, title) in enumerate(TITLES.items(), start=1):
        here = costs[costs.axis == axis]
        for (column, label), colour, dash in zip(LINES.items(), COLOURS, DASHES, strict=True):
            panels.add_scatter(
                x=here[axis],
                y=here[column],
                name=label,
                mode="lines+markers",
                line={"color": colour, "dash": dash, "width": 2.5},
                showlegend=place == 1,
                row=1,
                col=place,
            )
        panels.update_xaxes(type="log", title=title, dtick=1, row=1, col=place)
    panels.update_yaxes(type="log", dtick=1, exponentformat="power")
    panels.update_yaxes(title="seconds", row=1, col=1)
    return panels.update_layout(
        template="plotly_white",
        width=WIDTH,
        height=HEIGHT,
        font={"size": 14, "color": "#222"},
        legend={"orientation": "h", "y": -0.25, "x": 0.5, "xanchor": "center"},
        margin={"l": 70, "r": 20, "t": 50, "b": 100},
    )


def _conditions() -> str:
    patients, name, thresholds = USUAL
    return f"""## How cost grows

- Where nothing else is said: {patients:,} patients, {COLUMNS} columns, {name} weights, {thresholds}
  thresholds; {THREADS} threads. All patients of a made-up table are scored and swept over, from the typed
  columns on; the median of {GOES} goes in turn, of one where they take over {LONGEST:g} s.
- The unit: one forward and backward pass in torch {torch.__version__}, same patients, prepared already.
  The sweep measures every metric at each threshold, and the size of what is left.
"""
