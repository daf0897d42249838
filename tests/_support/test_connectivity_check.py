"""Reachability of hosts is determined within seconds."""

from __future__ import annotations

import http.server
import socket
import threading

import pytest

from cnnrecipes._support.connectivity_check import why_unreachable


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def refusing():
    """A URL of a port without a listening server."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"http://127.0.0.1:{port}/file"


@pytest.fixture
def silent():
    """A URL of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/file"


@pytest.fixture
def answering():
    """A URL of a server that answers with an error."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/file"
        server.shutdown()


def test_one_answering_host_is_enough(answering, refusing, silent):
    assert why_unreachable([refusing, silent, answering]) == ""


def test_reason_is_returned_if_no_host_answers(refusing, silent):
    assert "refused" in why_unreachable([refusing])
    assert "did not answer within 0.2 s" in why_unreachable([silent], seconds=0.2)
    assert "not known" in (said := why_unreachable(["https://host.invalid/x"])) or "name" in said


def test_non_http_addresses_are_not_contacted():
    assert why_unreachable([]) == ""
    assert why_unreachable(["gs://bucket/x", "ftp://host.invalid/x", "/a/file"]) == ""
