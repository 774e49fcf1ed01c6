"""Risks as logits, which are infinite at 0 and 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CLIP = 1e-6


def logits(risk: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]:
    """The logits of risks (N,), and how many were clipped to within :data:`CLIP` of 0 or 1 before."""
    clipped = np.clip(risk, CLIP, 1 - CLIP)
    found: NDArray[np.float64] = np.log(clipped / (1 - clipped))
    return found, int((clipped != risk).sum())
