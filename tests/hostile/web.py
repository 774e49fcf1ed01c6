"""A Streamlit server of our own on loopback, and a client that speaks to it as a browser's script would."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import ClientConnection, connect

REPO = Path(__file__).resolve().parents[2]
START_UP = 120  # seconds: importing torch on a busy machine
ANSWER = 120


class Server:
    """A running `streamlit run`: its address and what it wrote to its terminal."""

    def __init__(self, port: int, log: Path) -> None:
        self.host, self.log = f"127.0.0.1:{port}", log
        self.url = f"http://{self.host}"

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")


@contextlib.contextmanager
def serving(script: Path, home: Path, *options: str, **environment: str) -> Iterator[Server]:
    """`streamlit run SCRIPT` with the repository's settings, a free port and a home folder of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Server(port, home / "terminal.log")
    command = [sys.executable, "-m", "streamlit", "run", str(script), f"--server.port={port}", *options]
    surroundings = os.environ | {"HOME": str(home), "PYTHONPATH": str(REPO)} | environment
    with server.log.open("wb") as log:
        process = subprocess.Popen(
            command, cwd=REPO, env=surroundings, stdout=log, stderr=log, start_new_session=True
        )
        try:
            _wait(process, server)
            yield server
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=20)


def _wait(process: subprocess.Popen[bytes], server: Server) -> None:
    end = time.monotonic() + START_UP
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(requests.ConnectionError):
            if requests.get(f"{server.url}/_stcore/health", timeout=5).ok:
                return
        time.sleep(0.2)
    pytest.fail(f"the server did not start; its terminal says:\n{server.said()}")


class Session:
    """One browser tab: what the server sends it, run after run."""

    def __init__(self, server: Server, socket_: ClientConnection) -> None:
        self.server, self._socket = server, socket_
        self.id = ""
        self.elements: list[Any] = []
        self.bytes = b""  # of every message so far

    def run(self, *, query: str = "", page: str = "") -> Session:
        """Run the script and keep the elements it draws."""
        asked = BackMsg()
        asked.rerun_script.query_string = query
        asked.rerun_script.page_name = page
        self._socket.send(asked.SerializeToString())
        self.elements = []
        while True:
            told = self._next()
            kind = told.WhichOneof("type")
            if kind == "new_session":
                self.id = told.new_session.initialize.session_id or self.id
            elif kind == "delta" and told.delta.WhichOneof("type") == "new_element":
                self.elements.append(told.delta.new_element)
            elif kind == "script_finished" and told.script_finished in (0, 1):  # well, or not compiled
                return self

    def _next(self) -> ForwardMsg:
        data = self._socket.recv(timeout=ANSWER)
        assert isinstance(data, bytes)
        self.bytes += data
        told = ForwardMsg()
        told.ParseFromString(data)
        return told

    def of_kind(self, kind: str) -> list[Any]:
        return [getattr(each, kind) for each in self.elements if each.WhichOneof("type") == kind]

    def address_of(self, button: Any) -> str:
        """Where the file behind a download button is; asks the server to make it if it is not there yet."""
        if not button.deferred_file_id:
            return str(button.url)
        asked = BackMsg()
        asked.backend_operation_request.request_id = secrets.token_hex(8)
        asked.backend_operation_request.session_id = self.id
        asked.backend_operation_request.deferred_file.file_id = button.deferred_file_id
        self._socket.send(asked.SerializeToString())
        while True:
            told = self._next()
            if told.WhichOneof("type") == "backend_operation_response":
                assert not told.backend_operation_response.error_msg
                return str(told.backend_operation_response.deferred_file.url)

    def download(self, button: Any) -> bytes:
        answer = requests.get(f"{self.server.url}{self.address_of(button)}", timeout=ANSWER)
        assert answer.ok
        return answer.content


@contextlib.contextmanager
def session(server: Server, **headers: str) -> Iterator[Session]:
    """A new tab; ``headers`` go with its WebSocket."""
    with connect(
        f"ws://{server.host}/_stcore/stream",
        subprotocols=["streamlit"],
        max_size=None,
        additional_headers=headers,
        proxy=None,
    ) as socket_:
        yield Session(server, socket_)
