"""The door for model files from elsewhere: from a path or bytes to inert tensors and text."""

from __future__ import annotations

from pathlib import Path

from medprune.intake.model_formats import is_our_own, read_model
from medprune.intake.tensor_file import TensorFile, read_bytes, read_tensors


def read_foreign(source: str | Path | bytes, *, name: str = "") -> TensorFile:
    """A model from elsewhere, of any format that can be read safely. Raises BadInput."""
    data, called = read_bytes(source, name)
    return read_model(data, called)


def read_model_file(source: str | Path | bytes, *, name: str = "") -> TensorFile:
    """A model file: ours is read here, any other through :func:`read_foreign`. Raises BadInput."""
    data, called = read_bytes(source, name)
    return read_tensors(data, name=called) if is_our_own(data) else read_foreign(source, name=name)
