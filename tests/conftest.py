"""What every test shares: fixed seeds, the real patient tables, how hard hypothesis looks."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

REPO = Path(__file__).resolve().parents[1]

torch.set_num_threads(1)  # small networks: a second thread costs more waiting than it saves

# No deadline: the first example of a law pays for torch's start-up. CI repeats the same examples.
settings.register_profile("developer", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "developer")


@pytest.fixture(autouse=True)
def seed() -> int:
    """Every test starts from the same random numbers, in whatever order the tests run."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    return 0


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real patient tables kept beside the repository, not in it."""
    folder = REPO.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real patient tables are not here: no ../shared/data beside the repository")
    return folder
