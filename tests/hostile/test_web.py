"""The server as strangers meet it, over real HTTP: uploads too large or forged, downloads that look alike."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
from collections.abc import Iterator
from itertools import repeat

import pytest
import requests

from tests.hostile.web import REPO, Server, Session, serving, session

MEGABYTE = 1024**2
MINI = """
import streamlit as st
from pages.shared import guide
place = int(st.query_params["place"])
data = bytearray(2 * 1024**2)
data[300 * 1024] = place  # outside the parts that Streamlit looks at
if "helper" in st.query_params:
    guide.download("Model", lambda: bytes(data), name="model.safetensors", key="model")
else:
    st.download_button("Model", bytes(data), file_name="model.safetensors", on_click="ignore")
"""


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("mini")
    script = home / "mini.py"
    script.write_text(MINI, encoding="utf-8")
    with serving(script, home) as server:
        yield server


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(REPO / "app.py", tmp_path_factory.mktemp("home")) as server:
        yield server


# --- row 64: two files of equal size that differ in one byte --------------------------------------------


def got(tab: Session, place: int, how: str) -> tuple[str, str]:
    """Address and hash of the download that a page offers."""
    tab.run(query=f"place={place}{how}")
    (button,) = tab.of_kind("download_button")
    address = tab.address_of(button)
    data = requests.get(f"{tab.server.url}{address}", timeout=60).content
    return address, hashlib.sha256(data).hexdigest()


def expected(place: int) -> str:
    data = bytearray(2 * MEGABYTE)
    data[300 * 1024] = place
    return hashlib.sha256(data).hexdigest()


def test_two_users_downloads_do_not_share_an_address(mini: Server) -> None:
    with session(mini) as one, session(mini) as other:
        first, second = got(one, 1, "&helper"), got(other, 2, "&helper")
    assert first[0] != second[0]
    assert (first[1], second[1]) == (expected(1), expected(2))


def test_one_users_next_model_is_not_taken_for_the_last(mini: Server) -> None:
    with session(mini) as tab:
        assert [got(tab, place, "&helper")[1] for place in (3, 4)] == [expected(3), expected(4)]


def test_the_same_file_has_another_address_for_everybody(mini: Server) -> None:
    with session(mini) as one, session(mini) as other:
        assert got(one, 5, "&helper")[0] != got(other, 5, "&helper")[0]


def test_without_the_helper_they_would_be_mixed_up(mini: Server) -> None:
    """What the helper is for; when this fails, Streamlit has mended it."""
    with session(mini) as one, session(mini) as other:
        first, second = got(one, 6, ""), got(other, 7, "")
    assert first[0] == second[0]
    assert second[1] == expected(6)


# --- row 63: uploads -----------------------------------------------------------------------------------


def put(server: Server, place: str, body: object, headers: dict[str, str], *, chunked: bool = False) -> int:
    """The status of an upload; a server that has seen enough may close before all is sent."""
    host, port = server.host.split(":")
    line = http.client.HTTPConnection(host, int(port), timeout=120)
    try:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            line.request("PUT", place, body, headers, encode_chunked=chunked)
        return line.getresponse().status
    finally:
        line.close()


def form() -> tuple[bytes, bytes]:
    """What stands before and after a file of a form."""
    before = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="x.csv"\r\n\r\n'
    return before, b"\r\n--edge--\r\n"


@pytest.fixture
def upload(dashboard: Server) -> Iterator[tuple[str, dict[str, str]]]:
    """The address of an upload in a session that is open, and headers that are in order."""
    with session(dashboard) as tab:
        tab.run()
        assert tab.id
        cookies = requests.get(f"{dashboard.url}/_stcore/health", timeout=30).cookies
        token = cookies["_streamlit_xsrf"]
        headers = {
            "Content-Type": "multipart/form-data; boundary=edge",
            "Cookie": f"_streamlit_xsrf={token}",
            "X-Xsrftoken": token,
        }
        yield f"/_stcore/upload_file/{tab.id}/file-1", headers


Upload = tuple[str, dict[str, str]]


def test_an_upload_in_order_is_taken(dashboard: Server, upload: Upload) -> None:
    place, headers = upload
    before, after = form()
    assert put(dashboard, place, before + b"a,b\n1,2\n" + after, headers) == 204


def test_201_megabytes_are_refused_before_they_are_sent(dashboard: Server, upload: Upload) -> None:
    place, headers = upload
    size = str(201 * MEGABYTE)
    assert put(dashboard, place, b"", headers | {"Content-Length": size}) == 413


def test_201_megabytes_without_a_length_are_refused(dashboard: Server, upload: Upload) -> None:
    place, headers = upload
    before, _ = form()
    parts = iter([before, *repeat(b"1,2\n" * (MEGABYTE // 4), 202)])
    headers |= {"Transfer-Encoding": "chunked"}
    assert put(dashboard, place, parts, headers, chunked=True) == 413


@pytest.mark.parametrize(
    "wrong",
    [{"X-Xsrftoken": "2|00000000|" + "0" * 32 + "|1"}, {"X-Xsrftoken": ""}, {"Cookie": ""}],
    ids=["another token", "no token", "no cookie"],
)
def test_a_forged_upload_is_refused(dashboard: Server, upload: Upload, wrong: dict[str, str]) -> None:
    place, headers = upload
    before, after = form()
    assert put(dashboard, place, before + b"a\n1\n" + after, headers | wrong) == 403


# --- what answers without a session --------------------------------------------------------------------


def knock(server: Server, **headers: str) -> int:
    """The status with which the server answers a WebSocket's opening."""
    host, port = server.host.split(":")
    line = http.client.HTTPConnection(host, int(port), timeout=30)
    line.putrequest("GET", "/_stcore/stream", skip_host=True)
    asked = {
        "Host": server.host,
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    for name, value in (asked | headers).items():
        line.putheader(name, value)
    line.endheaders()
    status = line.getresponse().status
    line.close()
    return status


def test_a_web_page_elsewhere_cannot_open_a_session(dashboard: Server) -> None:
    assert knock(dashboard) == 101
    assert knock(dashboard, Host="evil.example") == 403
    assert knock(dashboard, Origin="http://evil.example") == 403


def test_no_static_file_and_no_agent_is_served(dashboard: Server) -> None:
    settings = (REPO / ".streamlit" / "config.toml").read_text(encoding="utf-8")[:60]
    for place in ("/app/static/config.toml", "/app/static/../../.streamlit/config.toml", "/app.py"):
        assert settings not in requests.get(f"{dashboard.url}{place}", timeout=30).text
    for place in ("interact", "mcp"):
        assert requests.post(f"{dashboard.url}/_stcore/agent/{place}", timeout=30).status_code >= 400


# --- the login, on a server that has only just started --------------------------------------------------

SECRETS = """
[auth]
redirect_uri = "http://127.0.0.1:8501/oauth2callback"
cookie_secret = "only for this test, only for this test"
client_id = "medprune"
client_secret = "only for this test"
server_metadata_url = "http://127.0.0.1:9/.well-known/openid-configuration"
"""


def test_the_first_to_come_meets_the_login_at_every_address(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Until app.py has run once, Streamlit takes each file in pages/ for a page of its own."""
    home = tmp_path_factory.mktemp("guarded")
    (home / "secrets.toml").write_text(SECRETS, encoding="utf-8")
    with serving(REPO / "app.py", home, f"--secrets.files={home / 'secrets.toml'}") as server:
        for page in ("patients", "export", "model", ""):
            with session(server) as tab:
                tab.run(page=page)
                assert [button.label for button in tab.of_kind("button")] == ["Log in"], page
                assert not tab.of_kind("file_uploader")
        assert "Traceback" not in server.said()
