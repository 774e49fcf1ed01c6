"""Tables that leave: risks, scores, sweeps, as CSV that a spreadsheet will not run as a formula."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
BINARY = 2


def csv_bytes(table: pd.DataFrame) -> bytes:
    """The table as UTF-8 CSV; text that a spreadsheet would take for a formula gets a leading apostrophe.

    >>> csv_bytes(pd.DataFrame({"name": ["=1+1"], "score": [-1.5]}))
    b"name,score\\n'=1+1,-1.5\\n"
    """
    safe = table.rename(columns=_inert)
    for name in safe.columns:
        if safe[name].dtype == object or isinstance(safe[name].dtype, pd.StringDtype):
            safe[name] = safe[name].map(_inert)
    data: bytes = safe.to_csv(index=False, lineterminator="\n").encode()
    return data


def _inert(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value


def risk_table(risks: NDArray[np.float64], classes: Sequence[str]) -> pd.DataFrame:
    """Row numbers from 1, and one column ``risk`` (binary) or ``risk_<class>`` (more classes)."""
    if len(classes) == BINARY:
        columns = {"risk": risks[:, 1]}
    else:
        columns = {f"risk_{label}": risks[:, place] for place, label in enumerate(classes)}
    return pd.DataFrame({"row": np.arange(1, len(risks) + 1), **columns})
