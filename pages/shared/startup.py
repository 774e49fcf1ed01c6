"""Whether this server may show patients at all: its settings as they are in force, wherever they came from.

A line in a shell, a variable or a file in a home folder can override .streamlit/config.toml, so what counts
is not what that file says.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

import streamlit as st

from medprune import BadInput
from medprune.environment import check_environment
from pages.shared import login

# Setting, whether its value will do, what is wrong otherwise.
NEEDED: tuple[tuple[str, Callable[[object], bool], str], ...] = (
    ("server.enableXsrfProtection", bool, "lets another web page upload here"),
    ("server.enableCORS", bool, "lets another web page talk to this one"),
    ("server.corsAllowedOrigins", lambda given: not given, "lets another web page talk to this one"),
    (
        "server.allowedHosts",
        lambda given: bool(given) and "*" not in given,
        "lets a web page elsewhere reach this server under its own name",
    ),
    ("server.enableStaticServing", lambda given: not given, "serves files to anybody, logged in or not"),
    ("server.enableAgentApi", lambda given: not given, "lets programs drive the pages"),
    (
        "client.showErrorDetails",
        lambda given: given in ("none", False, "type"),
        "shows what stands in a cell",
    ),
    ("client.disableDataExport", bool, "hands out tables that a spreadsheet may run as formulas"),
    ("browser.gatherUsageStats", lambda given: not given, "sends figures of use to somebody else"),
    ("logger.level", lambda given: str(given).lower() != "debug", "writes session numbers to the log"),
    ("logger.enableRich", lambda given: not given, "writes the text of errors to the terminal"),
    ("global.developmentMode", lambda given: not given, "is meant for those who write Streamlit"),
)


def check() -> None:
    """BadInput, one sentence, when this process or server is not safe for patients' data."""
    check_environment()
    for name, will_do, what in NEEDED:
        if not will_do(st.get_option(name)):
            raise BadInput(
                f"The setting {name} is changed, which {what}; "
                "take it back to what .streamlit/config.toml says and start again."
            )
    address = st.get_option("server.address")
    if not loopback(address) and login.way() is None:
        raise BadInput(
            "This server can be reached from other machines and nobody has to log in; set server.address to "
            "127.0.0.1, or set up a login as SECURITY.md says, and start again."
        )
    if login.way() == "oidc" and st.get_option("server.trustedUserHeaders"):
        raise BadInput(
            "Both [auth] in secrets.toml and server.trustedUserHeaders name the user, and a header could "
            "stand in for a login; take one of the two out and start again."
        )


def loopback(address: str | None) -> bool:
    """Whether only this machine can reach a server at ``address`` (None: it listens everywhere)."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address or "0.0.0.0").is_loopback
    except ValueError:
        return False
