"""The README's code runs as it stands: Python blocks in one go, shell lines one by one."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
README = (REPO / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "assets").symlink_to(REPO / "assets")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_python_example_runs(folder: Path) -> None:
    assert blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks("python"))], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "AUROC" in done.stdout
    assert (folder / "smaller-model" / "model.onnx").exists()


def test_the_shell_examples_run(folder: Path) -> None:
    lines = [line for block in blocks("shell") for line in block.splitlines() if line.strip()]
    assert len(lines) >= 6
    for line in lines:
        assert line.startswith("medprune ")
        command, _, target = line.removeprefix("medprune ").partition(" > ")
        words = [sys.executable, "-m", "medprune", *shlex.split(command)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}: {done.stderr}"
        if target:
            Path(target.strip()).write_text(done.stdout, encoding="utf-8")
    assert (folder / "risks.csv").read_text(encoding="utf-8").startswith("row,risk")


def test_the_screenshot_exists() -> None:
    for path in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (REPO / path).exists()
