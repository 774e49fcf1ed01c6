"""The shape of the code: imports point one way, the engine knows no screen, one idea a file."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
PACKAGE = REPO / "medprune"

# From the ground up: a module may import from its own row and from the rows above it.
LAYERS = (
    ("errors", "registry", "environment", "markup", "disclosure", "parallel", "pareto", "nsga"),
    (
        "intake.missing",
        "intake.table_choices",
        "intake.table_kinds",
        "intake.table_shape",
        "intake.raw_table",
        "intake.confine",
        "intake.archive",
        "intake.clean",
        "intake.identifiers",
        "intake.pickle_depth",
    ),
    ("intake.columns", "intake.tensor_file", "intake.parquet_table", "intake.decimal_marks"),
    ("intake.large_table", "intake.text_table", "intake.workbook_check", "intake.roles"),
    ("intake.workbook", "intake.child"),
    ("intake.table_bytes",),
    ("intake.safely",),
    ("intake", "intake.table_file"),
    ("splits", "outcome", "quality"),
    ("prices", "settings", "treatments"),
    ("censoring",),
    ("dealing", "treating"),
    ("reading",),
    ("cohort",),
    ("mask", "preparation", "performance", "ranked", "tables", "folds", "table_one"),
    ("too_good",),
    ("network",),
    ("model", "intake.traced", "intake.skops_audit", "intake.sklearn_steps"),
    ("intake.onnx_audit", "intake.onnx_values", "intake.onnx_operators"),
    ("description",),
    ("intake.described",),
    ("intake.sklearn_nets",),
    ("intake.skops_model",),
    ("recalibration",),
    ("criteria", "training", "compaction", "ranking", "intake.adopt"),
    ("scoring", "onnx_graph", "onnx_run", "peak_memory"),
    ("intake.onnx_model",),
    ("intake.model_formats",),
    ("intake.foreign", "intake.worker"),
    ("kinds",),
    ("size", "removal", "quantisation"),
    ("compression", "nest", "sampling"),
    ("nested", "nest_size"),
    ("stack", "stack_slopes"),
    ("batch_training",),
    ("together",),
    ("evaluator", "selection", "sweep", "agreement", "ablation", "gates", "model_file", "intake.completion"),
    ("large",),
    ("site_counts",),
    ("federated",),
    ("sums_file",),
    ("candidate", "drops"),
    ("gated_training", "genome"),
    ("checkpoint",),
    ("strategies",),
    ("baselines",),
    ("path",),
    ("comparison",),
    ("fold_statistics",),
    ("fold_selection",),
    ("cross_validation",),
    ("settings_search",),
    ("review",),
    ("report",),
    ("bundle_scripts",),
    ("bundle",),
    ("runs",),
    ("flow",),
    ("figures",),
    ("sources", "options"),
    ("verbs",),
    (
        "federated_verbs",
        "intake_verbs",
        "review_verbs",
    ),
    ("cli",),
)
TOP = ("__init__", "__main__")  # the public names, and `python -m medprune`


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__") or "__init__"


def layer_of(name: str) -> int:
    """The row of a module: its own, or its package's."""
    for place, row in enumerate(LAYERS):
        if name in row:
            return place
    package = name.split(".", maxsplit=1)[0]
    return next(place for place, row in enumerate(LAYERS) if package in row)


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_point_one_way(path: Path) -> None:
    name = name_of(path)
    if name in TOP:
        return
    known = {name_of(other) for other in modules()}
    for target in imports(path):
        inner = target.removeprefix("medprune.")
        if target.startswith("medprune.") and inner in known:
            assert layer_of(inner) <= layer_of(name), f"{name} must not import {inner}"


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_the_engine_knows_no_screen(path: Path) -> None:
    screens = {target for target in imports(path) if target.split(".")[0] == "streamlit"}
    allowed = (
        {"streamlit.web", "streamlit.web.bootstrap"} if path.name == "cli.py" else set()
    )  # `medprune serve`
    assert screens <= allowed


def sources() -> list[Path]:
    return [REPO / "app.py", *modules(), *sorted((REPO / "pages").rglob("*.py"))]


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(REPO)))
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 480, f"{path.name} has grown beyond one idea"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno
            assert length <= 70, f"{node.name} in {path.name} has {length} lines"
