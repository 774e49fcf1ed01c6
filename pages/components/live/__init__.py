"""The live threshold: a component that draws the whole sweep in the browser and asks the server for nothing.

The parts in JavaScript make one module, in this order; a component takes one text. Styles are not isolated:
names start with ``mp-``, and the theme's variables reach them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

HERE = Path(__file__).parent
SCRIPTS = ("draw", "scale", "tradeoff", "histogram", "network", "decisions", "live")


def _text(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


_component = st.components.v2.component(
    "medprune_live",
    html=_text("live.html"),
    css=_text("live.css"),
    js="\n".join(_text(f"{name}.js") for name in SCRIPTS),
    isolate_styles=False,
)


def live(payload: Mapping[str, Any], *, key: str) -> tuple[dict[str, Any] | None, float | None]:
    """Show the payload; what was told in this run: the view after a release, the risk to act at."""
    result = _component(key=key, data=dict(payload), on_told_change=lambda: None, on_act_change=lambda: None)
    return result.told, result.act
