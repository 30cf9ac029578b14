"""What reaches gunicorn and never, or only in part, the application: over real sockets."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from gunicorn.workers.gthread import ThreadWorker

from api.serve import Worker
from api.uploads import JSON_LIMIT
from tests.services import Place, Service, serving


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("wire") / "data")


@pytest.fixture(scope="module")
def key(place: Place) -> str:
    return place.key("admin")


@pytest.fixture(scope="module")
def service(place: Place, key: str) -> Iterator[Service]:
    with serving(place, "--workers", "1") as running:
        yield running


def send(service: Service, *pieces: bytes, end: bool = False) -> tuple[int, dict[str, str], bytes]:
    """Sends pieces of a request as they are; status, headers and body of the answer."""
    where = urlsplit(service.url)
    with closing(socket.create_connection((where.hostname, where.port), timeout=30)) as wire:
        try:
            for piece in pieces:
                wire.sendall(piece)
            if end:
                wire.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass  # answered before all of it was sent
        received = b""
        while b"\r\n\r\n" not in received:
            received += (piece := wire.recv(65536))
            assert piece, received
        head, body = received.split(b"\r\n\r\n", 1)
        first, *lines = head.decode().split("\r\n")
        headers = {n.lower(): v for n, v in (line.split(": ", 1) for line in lines)}
        while len(body) < int(headers["content-length"]):
            body += (piece := wire.recv(65536))
            assert piece, received
    return int(first.split()[1]), headers, body


def refused(answer: tuple[int, dict[str, str], bytes], slug: str, status: int) -> None:
    code, headers, body = answer
    assert code == status, body
    assert headers["content-type"] == "application/problem+json"
    assert headers["x-content-type-options"] == "nosniff"
    document = json.loads(body)
    assert (document["type"], document["status"]) == (f"/problems/{slug}", status)
    assert document["request_id"] == headers["x-request-id"]


def get(*headers: bytes, path: bytes = b"/healthz") -> bytes:
    return b"\r\n".join([b"GET " + path + b" HTTP/1.1", b"Host: x", *headers, b"", b""])


@pytest.mark.parametrize(
    ("raw", "slug", "status"),
    [
        (b"nonsense\r\n\r\n", "bad-request", 400),
        (b"GET /healthz HTTP/9.9\r\n\r\n", "bad-request", 400),
        (get(path=b"/" + b"x" * 9000), "uri-too-long", 414),
        (get(b"X-Big: " + b"x" * 9000), "headers-too-large", 431),
        (get(*[b"X-%d: 1" % n for n in range(101)]), "headers-too-large", 431),
        (get(b"Content-Length: ten"), "bad-request", 400),
        (get(b"Content-Length: -1"), "bad-request", 400),
        (get(b"Content-Length: 1", b"Transfer-Encoding: chunked"), "bad-request", 400),
        (get(b"Transfer-Encoding: foo"), "unsupported-transfer-coding", 501),
        (get(b"Expect: foo"), "expectation-failed", 417),
        (get(b"Bad Name: 1"), "bad-request", 400),
        (get(b"X-Forwarded-Proto: https", b"X-Forwarded-SSL: off"), "bad-request", 400),
    ],
)
def test_what_is_no_request_is_a_problem(
    service: Service, raw: bytes, slug: str, status: int
) -> None:
    refused(send(service, raw), slug, status)


@pytest.mark.parametrize(
    "header",
    [b"Script_Name: /foo", b"SCRIPT_NAME: /foo", b"Path_Info: /x", b"Remote_User: y"],
)
def test_a_client_does_not_set_the_environment(service: Service, header: bytes) -> None:
    assert send(service, get(header))[0] == 200


def post(key: str, *headers: bytes, kind: bytes = b"application/json") -> bytes:
    authorization = b"Authorization: Bearer " + key.encode()
    content = b"Content-Type: " + kind
    lines = [b"POST /match HTTP/1.1", b"Host: x", authorization, content, *headers, b"", b""]
    return b"\r\n".join(lines)


BODY = json.dumps({"sha256": "0" * 64}).encode()
CHUNKED = b"Transfer-Encoding: chunked"
FORM = b"multipart/form-data; boundary=b"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def test_a_chunked_body_is_read(service: Service, key: str) -> None:
    answer = send(service, post(key, CHUNKED), chunk(BODY[:9]), chunk(BODY[9:]), b"0\r\n\r\n")
    assert answer[0] == 200, answer


@pytest.mark.parametrize("coding", [b"gzip", b"gzip, chunked", b"identity", b"Deflate,chunked"])
def test_a_zipped_body_is_not_read(service: Service, key: str, coding: bytes) -> None:
    zipped = chunk(gzip.compress(BODY)) + b"0\r\n\r\n"
    answer = send(service, post(key, b"Transfer-Encoding: " + coding), zipped)
    refused(answer, "unsupported-transfer-coding", 501)


def test_codings_in_two_headers_are_one_list(service: Service, key: str) -> None:
    two = (b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked")
    answer = send(service, post(key, *two), chunk(BODY), b"0\r\n\r\n")
    refused(answer, "unsupported-transfer-coding", 501)
    twice = (CHUNKED, CHUNKED)
    refused(send(service, post(key, *twice), chunk(BODY), b"0\r\n\r\n"), "bad-request", 400)
    loud = b"Transfer-Encoding: Chunked"
    assert send(service, post(key, loud), chunk(BODY), b"0\r\n\r\n")[0] == 200


@pytest.mark.parametrize("kind", [b"application/json", FORM])
@pytest.mark.parametrize("wrong", [b"zz\r\nabc\r\n", b"3\r\nabcdef\r\n", b"5;\x01\r\nabcde\r\n"])
def test_a_malformed_chunk_is_a_bad_request(
    service: Service, key: str, kind: bytes, wrong: bytes
) -> None:
    refused(send(service, post(key, CHUNKED, kind=kind), wrong), "bad-request", 400)


@pytest.mark.parametrize("kind", [b"application/json", FORM])
def test_a_chunked_body_that_breaks_off_is_a_bad_request(
    service: Service, key: str, kind: bytes
) -> None:
    answer = send(service, post(key, CHUNKED, kind=kind), b"ff\r\nabc", end=True)
    refused(answer, "bad-request", 400)


def test_a_body_shorter_than_its_length_is_a_bad_request(service: Service, key: str) -> None:
    length = b"Content-Length: %d" % (len(BODY) + 1)
    refused(send(service, post(key, length), BODY, end=True), "bad-request", 400)


def test_a_chunked_body_over_the_limit_is_refused_and_not_cut(service: Service, key: str) -> None:
    blanks = chunk(b" " * (1024 * 1024))
    many = [blanks] * (JSON_LIMIT // (1024 * 1024))
    answer = send(service, post(key, CHUNKED), chunk(BODY), *many, b"0\r\n\r\n")
    refused(answer, "body-too-large", 413)


def test_a_body_as_long_as_the_limit_is_read(service: Service, key: str) -> None:
    blanks = b" " * (JSON_LIMIT - len(BODY))
    answer = send(service, post(key, CHUNKED), chunk(BODY + blanks), b"0\r\n\r\n")
    assert answer[0] == 200, answer
    length = b"Content-Length: %d" % (JSON_LIMIT + 1)
    refused(send(service, post(key, length)), "body-too-large", 413)


def test_an_answer_comes_in_one_piece(service: Service) -> None:
    """Its caller would be woken by the headers, and once more by the body."""
    where = urlsplit(service.url)
    with closing(socket.create_connection((where.hostname, where.port), timeout=30)) as wire:
        for _ in range(20):
            wire.sendall(get())
            head, body = wire.recv(65536).split(b"\r\n\r\n", 1)
            assert f"Content-Length: {len(body)}".encode() in head


@pytest.mark.parametrize(
    ("headers", "held_back"),
    [([("HOST", "x")], [1, 0]), ([("HOST", "x"), ("EXPECT", "100-continue")], [0, 0])],
)
def test_who_waits_for_100_continue_is_not_kept_waiting(
    headers: list[tuple[str, str]], held_back: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """gunicorn sends it before the application is asked, and the kernel would hold it back."""
    said: list[int] = []
    wire = SimpleNamespace(setsockopt=lambda level, name, value: said.append(int(value)))
    monkeypatch.setattr(ThreadWorker, "handle_request", lambda *_: True)
    worker = Worker.__new__(Worker)
    assert worker.handle_request(SimpleNamespace(headers=headers), SimpleNamespace(sock=wire))
    assert said == held_back
