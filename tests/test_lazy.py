"""The package's public names come when they are asked for, and are what they were called."""

from __future__ import annotations

import importlib
import inspect
import json
import subprocess
import sys
from types import ModuleType

import pytest

import medprune

SAME_NAME = [name for name in medprune.__all__ if importlib.util.find_spec(f"medprune.{name}")]


def modules_after(code: str) -> set[str]:
    """The modules that a fresh interpreter has after it ran ``code``."""
    show = "import json, sys; print(json.dumps(sorted(sys.modules)))"
    out = subprocess.run(
        [sys.executable, "-c", f"{code}\n{show}"], capture_output=True, text=True, check=True
    )
    return set(json.loads(out.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        "import medprune",
        "from medprune import BadInput",
        "import medprune.intake, medprune.intake.worker",
        "from medprune.cli import parser; parser().format_help()",
    ],
)
def test_what_needs_no_network_does_not_wait_for_torch(code: str) -> None:
    assert not {"torch", "pandas", "sklearn"} & modules_after(code)


@pytest.mark.parametrize("name", medprune.__all__)
def test_every_public_name_is_there(name: str) -> None:
    found = getattr(medprune, name)
    assert inspect.isclass(found) or inspect.isfunction(found)
    assert found.__module__.startswith("medprune.")
    assert name in dir(medprune)


def test_some_functions_share_a_name_with_their_module() -> None:
    assert {"sweep", "agreement", "performance", "compression", "drops"} <= set(SAME_NAME)


@pytest.mark.parametrize("name", SAME_NAME)
def test_importing_a_module_does_not_hide_the_function_of_its_name(name: str) -> None:
    code = (
        f"import medprune.{name} as module\nfrom medprune import {name}\nimport medprune, types\n"
        f"assert not isinstance({name}, types.ModuleType) and medprune.{name} is {name}"
    )
    assert f"medprune.{name}" in modules_after(code)
    assert not isinstance(getattr(medprune, name), ModuleType)


def test_an_unknown_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'unknown'"):
        medprune.unknown  # noqa: B018
