"""What the surroundings of a process may not switch: MedPrune does not start with a protection turned off."""

from __future__ import annotations

import os
from collections.abc import Mapping

from medprune.errors import BadInput

# Each opens a door that no later check can close again.
FLAGS = {
    "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "lets a model file run code",
    "PYTHONINSPECT": "opens a prompt on patients' data when the program ends",
    "SSLKEYLOGFILE": "writes down the keys of every encrypted connection",
}
OFF = ("", "0", "n", "no", "false", "off")


def check_environment(environment: Mapping[str, str] | None = None) -> None:
    """BadInput, one sentence, when an environment variable of ``environment`` (this process's) is unsafe."""
    given = os.environ if environment is None else environment
    for name, what in FLAGS.items():
        if given.get(name, "").strip().lower() not in OFF:
            raise BadInput(f"The environment variable {name} is set, which {what}; unset it and start again.")
