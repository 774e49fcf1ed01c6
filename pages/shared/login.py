"""Who is here. Without a login one local user; with one, nobody sees a page before they have logged in.

Two ways: an OpenID Connect provider ([auth] in .streamlit/secrets.toml), or a proxy that logs users in and
names them in a header (server.trustedUserHeaders). Streamlit does not look at when a login ends; this does.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Literal

import streamlit as st

LOCAL = "local"
WHO = ("sub", "email")  # what names a user of a provider, the steadiest first
LONGEST = 12 * 3600  # seconds: a provider that does not say when a login ends has it end after so long

NO_CLIENT = (
    "Logging in needs the packages authlib and httpx, and one of them is not installed; whoever runs this "
    "server can add them with `pip install 'streamlit[auth]'` and start it again."
)

Way = Literal["oidc", "proxy"]


def way() -> Way | None:
    """How users log in here; None when they do not."""
    if st.secrets.load_if_toml_exists() and st.secrets.get("auth"):
        return "oidc"
    return "proxy" if st.get_option("server.trustedUserHeaders") else None


def owner() -> str | None:
    """An opaque and steady name for who is here, fit for a folder's; None when they have to log in first."""
    how = way()
    if how is None:
        return LOCAL
    user: Mapping[str, Any] = st.user.to_dict()
    if how == "oidc" and not (user.get("is_logged_in") and still_valid(user, time.time())):
        return None
    keys = WHO if how == "oidc" else tuple(st.get_option("server.trustedUserHeaders").values())
    name = next((str(user[key]) for key in keys if user.get(key)), None)
    if name is None:
        return None
    issuer = str(user.get("iss", "")) if how == "oidc" else "proxy"
    return hashlib.sha256(f"{issuer}\0{name}".encode()).hexdigest()[:32]


def still_valid(user: Mapping[str, Any], now: float) -> bool:
    """Whether the login of these claims has begun and not ended at ``now`` (seconds since 1970)."""
    try:
        begun = float(user.get("nbf", user.get("iat", 0.0)))
        end = float(user["exp"]) if "exp" in user else float(user["iat"]) + LONGEST
    except (KeyError, TypeError, ValueError):
        return False
    return begun - 60 <= now < end  # clocks may differ by a minute


def required() -> str:
    """The owner; nobody who has yet to log in comes past this line."""
    found = owner()
    if found is not None:
        return found
    st.title("MedPrune")
    if way() == "oidc":
        st.info(
            "Log in to see your patients. A login that has ended has to be renewed.", icon=":material/lock:"
        )
        for name in providers():
            label = "Log in" if name is None else f"Log in with {name}"
            if st.button(label, type="primary", icon=":material/login:", key=f"log_in_{name}"):
                if can_log_in():
                    st.login(name)
                st.error(NO_CLIENT, icon=":material/extension_off:")
    else:
        st.error("The proxy in front of this server does not say who you are.", icon=":material/lock:")
    return st.stop()


def can_log_in() -> bool:
    """Whether the packages with which Streamlit asks a provider are here."""
    asks = find_spec("httpx2") or find_spec("httpx")
    return asks is not None and find_spec("authlib") is not None


def providers() -> list[str | None]:
    """The providers that [auth] names; None is the one it describes itself."""
    auth = st.secrets["auth"]
    named = [name for name, value in auth.items() if isinstance(value, Mapping) and "client_id" in value]
    return named or [None]


def leave() -> None:
    """The button that logs out, where there is a login of ours."""
    if way() == "oidc" and st.button("Log out", type="tertiary", icon=":material/logout:", key="log_out"):
        st.logout()
