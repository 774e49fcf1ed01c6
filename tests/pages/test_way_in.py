"""The way in: unsafe settings are refused, nobody unknown sees a page, nobody sees another one's study."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest

from medprune import BadInput, cli
from medprune.environment import FLAGS, check_environment
from pages.shared import login, startup
from tests.pages.test_pages import PAGES, REPO, texts, with_sample

AUTH = {"auth": {"cookie_secret": "s" * 40, "client_id": "medprune", "redirect_uri": "http://localhost/x"}}


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.chdir(REPO)
    return AppTest.from_file(str(REPO / "app.py"), default_timeout=60)


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What is put here overrides Streamlit's settings."""
    given: dict[str, Any] = {}
    as_it_is = st.get_option
    monkeypatch.setattr(st, "get_option", lambda name: given[name] if name in given else as_it_is(name))
    return given


def known(name: str = "anna", **claims: Any) -> dict[str, Any]:
    now = time.time()
    return {"is_logged_in": True, "iss": "https://id", "sub": name, "iat": now, "exp": now + 600} | claims


# --- row 17: what the surroundings switch --------------------------------------------------------------


@pytest.mark.parametrize("name", FLAGS)
@pytest.mark.parametrize("value", ["1", "true", "y", "anything"])
def test_an_unsafe_environment_is_refused_in_one_sentence(name: str, value: str) -> None:
    with pytest.raises(BadInput, match=f"^The environment variable {name} is set, which .*; unset it"):
        check_environment({name: value})


@pytest.mark.parametrize("environment", [{}, *({name: off} for name in FLAGS for off in ("", "0", "no"))])
def test_what_is_not_set_is_not_refused(environment: dict[str, str]) -> None:
    check_environment(environment)


def test_the_shell_refuses(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    assert cli.main(["inspect", "nowhere.csv", "--outcome", "y"]) == cli.BAD_INPUT
    assert "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD" in capsys.readouterr().err


def test_the_dashboard_refuses(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    app.run()
    assert len(app.error) == 1
    assert "unset it and start again" in app.error[0].value
    assert not app.button


# --- settings in force ---------------------------------------------------------------------------------

UNSAFE = {
    "server.enableXsrfProtection": False,
    "server.enableCORS": False,
    "server.corsAllowedOrigins": ["https://elsewhere"],
    "server.allowedHosts": [],
    "server.enableStaticServing": True,
    "server.enableAgentApi": True,
    "client.showErrorDetails": "full",
    "client.disableDataExport": False,
    "browser.gatherUsageStats": True,
    "logger.level": "debug",
    "logger.enableRich": True,
    "global.developmentMode": True,
    "server.address": "0.0.0.0",
}


def test_the_settings_as_shipped_are_safe() -> None:
    startup.check()


@pytest.mark.parametrize(("name", "value"), UNSAFE.items())
def test_each_setting_that_opens_a_door_is_refused(options: dict[str, Any], name: str, value: Any) -> None:
    options[name] = value
    with pytest.raises(BadInput, match="start again"):
        startup.check()


def test_every_needed_setting_has_a_test_and_exists() -> None:
    assert {name for name, _, _ in startup.NEEDED} == set(UNSAFE) - {"server.address"}
    for name in UNSAFE:
        st.get_option(name)


@pytest.mark.parametrize("address", [None, "", "0.0.0.0", "::", "10.0.0.3", "hospital.example"])
def test_other_machines_only_with_a_login(options: dict[str, Any], address: str | None) -> None:
    options["server.address"] = address
    with pytest.raises(BadInput, match="nobody has to log in"):
        startup.check()
    options["server.trustedUserHeaders"] = {"X-User": "user"}
    startup.check()


def test_two_ways_in_at_once_are_refused(app: AppTest, options: dict[str, Any]) -> None:
    options["server.trustedUserHeaders"] = {"X-User": "sub"}
    app.secrets, app.user = AUTH, known()
    app.run()
    assert "could stand in for a login" in app.error[0].value
    assert not app.button


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "::1", "127.3.2.1"])
def test_this_machine_needs_no_login(options: dict[str, Any], address: str) -> None:
    options["server.address"] = address
    startup.check()


# --- the login -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_nobody_unknown_sees_a_page(app: AppTest, page: str) -> None:
    app.secrets, app.user = AUTH, known()
    app.run()
    app.user = {"is_logged_in": False}
    app.switch_page(f"pages/{page}.py").run()
    assert [button.label for button in app.button] == ["Log in"]
    assert "study" not in texts(app).lower()


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": time.time() - 1},
        {"exp": "soon"},
        {"exp": None},
        {"nbf": time.time() + 3600},
        {"is_logged_in": False},
        {"sub": ""},
    ],
    ids=["ended", "ends in words", "never ends", "not begun", "not logged in", "nobody"],
)
def test_a_login_that_does_not_hold_is_none(app: AppTest, claims: dict[str, Any]) -> None:
    app.secrets, app.user = AUTH, known(**claims)
    app.run()
    assert [button.label for button in app.button] == ["Log in"]


def test_a_login_without_an_end_ends_all_the_same() -> None:
    claims = known(iat=0.0)
    del claims["exp"]
    assert login.still_valid(claims, login.LONGEST - 1)
    assert not login.still_valid(claims, login.LONGEST)
    del claims["iat"]
    assert not login.still_valid(claims, 1.0)


def test_a_login_without_its_packages_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    def required() -> None:
        from pages.shared import login

        login.required()

    monkeypatch.setattr(login, "can_log_in", lambda: False)
    app = AppTest.from_function(required)
    app.secrets, app.user = AUTH, {"is_logged_in": False}
    app.run()
    app.button[0].click().run()
    assert "httpx" in app.error[0].value


def test_each_provider_has_a_button(app: AppTest) -> None:
    two = {name: {"client_id": "medprune"} for name in ("clinic", "university")}
    app.secrets, app.user = {"auth": {"cookie_secret": "s" * 40, **two}}, {"is_logged_in": False}
    app.run()
    assert [button.label for button in app.button] == ["Log in with clinic", "Log in with university"]


def test_a_login_that_ends_meanwhile_shuts_the_page(app: AppTest) -> None:
    app.secrets, app.user = AUTH, known()
    with_sample(app.run())
    assert "569 rows" in texts(app)
    app.user = known(exp=time.time() - 1)
    app.run()
    assert "569 rows" not in texts(app)


def test_another_user_in_the_same_session_finds_nothing(app: AppTest) -> None:
    app.secrets, app.user = AUTH, known("anna")
    with_sample(app.run())
    anna = app.session_state["study"].owner
    app.user = known("ben")
    app.run()
    assert app.session_state["study"].table is None
    ben = app.session_state["study"].owner
    assert len({anna, ben, login.LOCAL}) == 3
    assert "anna" not in anna
    assert anna.isalnum()


def test_an_owner_is_steady_and_belongs_to_one_provider(app: AppTest) -> None:
    app.secrets, owners = AUTH, []
    for user in (known(), known(exp=time.time() + 9), known(iss="https://other")):
        app.user = user
        app.run()
        owners.append(app.session_state["study"].owner)
    assert owners[0] == owners[1] != owners[2]


def test_a_proxy_names_the_user(app: AppTest, options: dict[str, Any]) -> None:
    options["server.trustedUserHeaders"] = {"X-User": "user"}
    app.user = {"email": "of nobody's header"}
    app.run()
    assert "does not say who you are" in app.error[0].value
    app.user = {"user": "anna"}
    app.run()
    assert app.session_state["study"].owner != login.LOCAL


@pytest.mark.parametrize("page", PAGES)
def test_a_page_opened_before_the_frame_ever_ran_goes_through_the_frame(
    app: AppTest, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fresh server takes pages/ for an app of its own until app.py has called st.navigation once."""
    monkeypatch.setattr(PagesManager, "uses_pages_directory", True)
    app.secrets, app.user = AUTH, {"is_logged_in": False}
    app.switch_page(f"pages/{page}.py").run()
    assert not app.exception
    assert [button.label for button in app.button] == ["Log in"]
    assert "study" not in app.session_state


def test_each_setting_of_the_file_is_one_that_streamlit_knows() -> None:
    import tomllib

    written = tomllib.loads((Path(REPO) / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    for section, settings in written.items():
        for name, value in settings.items():
            if not isinstance(value, dict):
                assert st.get_option(f"{section}.{name}") is not None
