"""The script that `medprune converter` prints: what it writes is read here, with the same risks."""

from __future__ import annotations

import runpy
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from medprune import cli, load_cohort, load_model
from medprune.intake.adopt import Adoption, adopt_model, known_activations
from medprune.intake.foreign import read_model_file
from medprune.model import softmax
from tests.hostile.skops_files import perceptron

NAMES = ("a", "b", "c", "d")


class Functional(nn.Module):
    """Activations that are no modules, layers defined in another order than they are used."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(5, 3)
        self.second = nn.Linear(6, 5)
        self.first = nn.Linear(4, 6)
        self.norm = nn.BatchNorm1d(6)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.norm(self.first(x)))
        x = nn.functional.gelu(self.second(x))
        result: Tensor = self.out(nn.functional.dropout(x, training=self.training))
        return result


def sequential() -> nn.Module:
    torch.manual_seed(2)
    return nn.Sequential(
        nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 5), nn.Tanh(), nn.LayerNorm(5),
        nn.Dropout(), nn.Linear(5, 3),
    ).eval()  # fmt: skip


def whole(net: nn.Module, path: Path) -> None:
    torch.save(net, path)


def script_module(net: nn.Module, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(net).save(str(path))


def program(net: nn.Module, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = torch.export.Dim("rows", min=2)
        made = torch.export.export(net, (torch.zeros(3, 4),), dynamic_shapes=({0: rows},))
        torch.export.save(made, path)


@pytest.fixture(scope="module")
def converter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("converter") / "convert.py"
    done = subprocess.run(
        [sys.executable, "-m", "medprune", "converter"], capture_output=True, text=True, check=True
    )
    place.write_text(done.stdout, encoding="utf-8")
    return place


def convert(converter: Path, *words: object) -> None:
    main: Any = runpy.run_path(str(converter))["main"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main([*map(str, words), "--i-made-this-file"])


@pytest.mark.parametrize(
    ("net", "save", "name", "activations"),
    [
        (sequential, whole, "m.pt", ("relu", "tanh")),
        (sequential, script_module, "m.pt", ("relu", "tanh")),
        (sequential, program, "m.pt2", ("relu", "tanh")),
        (lambda: Functional().eval(), whole, "m.pth", ("tanh", "gelu")),
    ],
)
def test_a_torch_model_is_converted(
    net: Callable[[], nn.Module],
    save: Callable[[nn.Module, Path], None],
    name: str,
    activations: tuple[str, ...],
    converter: Path,
    tmp_path: Path,
) -> None:
    theirs = net()
    save(theirs, tmp_path / name)
    convert(converter, tmp_path / name, tmp_path / "m.safetensors")
    file = read_model_file(tmp_path / "m.safetensors")
    assert known_activations(file) == activations
    rows = np.random.default_rng(0).normal(size=(90, 4))
    frame = pd.DataFrame(rows, columns=list(NAMES)).assign(y=np.arange(90) % 3)
    model = adopt_model(file, load_cohort(frame, outcome="y"), Adoption(scaling="scaled", columns=NAMES))
    with torch.no_grad():
        expected = softmax(theirs(torch.from_numpy(rows.astype(np.float32))).double().numpy())
    np.testing.assert_allclose(model.predict_proba(frame), expected, atol=1e-6)


def test_a_joblib_file_is_converted_by_the_script_itself(converter: Path, tmp_path: Path) -> None:
    theirs = perceptron()
    joblib.dump(theirs, tmp_path / "m.joblib", compress=3)
    words = [sys.executable, str(converter), str(tmp_path / "m.joblib"), str(tmp_path / "m.skops")]
    refused = subprocess.run(words, capture_output=True, text=True, input="no\n", check=False)
    assert refused.returncode == 1
    assert "runs the code in it" in refused.stdout
    assert not (tmp_path / "m.skops").exists()
    subprocess.run(words, capture_output=True, text=True, input="yes\n", check=True)
    rows = np.random.default_rng(0).normal(size=(20, 4))
    model = load_model(tmp_path / "m.skops")
    found = model.predict_proba(pd.DataFrame(rows, columns=list(model.features)))
    np.testing.assert_allclose(found, theirs.predict_proba(rows), atol=1e-6)


def test_the_script_warns_before_all_else(converter: Path) -> None:
    assert "RUNS THE CODE" in converter.read_text(encoding="utf-8").split('"""')[1]


def test_as_json_it_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["converter", "--json"]) == 0
    assert '"script": ' in capsys.readouterr().out
