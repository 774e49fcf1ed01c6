"""The door for model files: from a path or bytes to inert tensors and text."""

from __future__ import annotations

from pathlib import Path

from medprune.intake.model_formats import is_our_own
from medprune.intake.safely import read_model_safely
from medprune.intake.tensor_file import TensorFile, read_bytes, read_tensors


def read_model_file(source: str | Path | bytes, *, name: str = "") -> TensorFile:
    """A model file: ours is read here, any other in a limited child process. Raises BadInput."""
    data, called = read_bytes(source, name)
    return read_tensors(data, name=called) if is_our_own(data) else read_model_safely(data, name=called)
