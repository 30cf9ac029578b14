"""The load that measures the service: what it sends, and what it counts."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench.load import exchange, exchanged, post


class Echo(BaseHTTPRequestHandler):
    """Answers with the body; what it was told to be slow about, late."""

    protocol_version = "HTTP/1.1"
    connections: set[int]
    hang_up = False
    length = True

    def do_POST(self) -> None:
        self.connections.add(self.client_address[1])
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if body.startswith(b"slow"):
            time.sleep(0.3)
        if body.startswith(b"die"):
            self.close_connection = True
            return
        self.send_response(503 if body.startswith(b"full") else 200)
        if self.length:
            self.send_header("content-length", str(len(body)))
        if self.hang_up:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body[:1])
        self.wfile.flush()
        self.wfile.write(body[1:])

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def echo(**told: object) -> Iterator[tuple[str, set[int]]]:
    handler = type("Handler", (Echo,), {"connections": set(), **told})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", handler.connections  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def made(url: str, *bodies: bytes) -> list[bytes]:
    return [post(url, "/match", "key", body) for body in bodies]


def test_all_are_answered_over_kept_connections() -> None:
    bodies = [b"%04d" % n for n in range(40)]
    with echo() as (url, connections):
        answers = exchanged(url, made(url, *bodies, b"full"), 200.0)
    assert sorted(a.body for a in answers) == sorted([*bodies, b"full"])
    assert [a.status for a in answers if a.body == b"full"] == [503]
    assert {a.status for a in answers if a.body != b"full"} == {200}
    assert len(connections) < 20


def test_a_latency_counts_from_when_the_request_was_due() -> None:
    """With one connection, those behind a slow answer wait for it, and that is the service's."""
    with echo() as (url, _):
        slow, *rest = exchange(url, made(url, b"slow", b"a", b"b"), 20.0, 1)
    assert slow.seconds >= 0.3
    assert [a.body for a in rest] == [b"a", b"b"]
    assert rest[0].seconds >= 0.2
    assert rest[1].seconds >= 0.15


def test_a_slow_answer_keeps_nobody_else_waiting() -> None:
    with echo() as (url, _):
        answers = exchange(url, made(url, b"slow", b"a", b"b"), 20.0)
    assert [a.body for a in answers] == [b"a", b"b", b"slow"]


def test_without_a_rate_so_many_are_in_hand_at_once() -> None:
    with echo() as (url, connections):
        answers = exchange(url, made(url, *[b"slow"] * 4), None, 2)
    assert len(connections) == 2
    assert all(a.seconds >= 0.3 for a in answers)


def test_a_connection_that_the_service_closes_is_not_used_again() -> None:
    with echo(hang_up=True) as (url, connections):
        answers = exchange(url, made(url, b"a", b"b", b"c"), None, 1)
    assert [a.body for a in answers] == [b"a", b"b", b"c"]
    assert len(connections) == 3


@pytest.mark.parametrize(("told", "body"), [({}, b"die"), ({"length": False}, b"a")])
def test_what_cannot_be_counted_is_an_error(told: dict[str, object], body: bytes) -> None:
    with echo(**told) as (url, _), pytest.raises(ConnectionError):
        exchanged(url, made(url, body), None, 1)
