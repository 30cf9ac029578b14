"""Requests to one service, at a fixed rate or so many at a time, by one thread.

What a load takes for itself is charged to the service, on a machine of few cores twice: threads
that hand requests to each other, a parser of headers. So each request is made before the first is
sent, all sockets are waited for at once, and an answer is only searched for its length. The wait is
by `select`, which counts in microseconds; `epoll` rounds up to a millisecond.
"""

from __future__ import annotations

import gc
import multiprocessing
import re
import select
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

CONNECTIONS = 32
"""Most that a fixed rate opens; a request that finds none free waits, and its time counts."""
START_S = 0.2
LENGTH = re.compile(rb"\r\nContent-Length: *(\d+)\r\n", re.IGNORECASE)
CLOSES = re.compile(rb"\r\nConnection: *close\r\n", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answered:
    """`seconds`: from the moment at which the request was to be sent to the answer's last byte."""

    seconds: float
    status: int
    body: bytes


@dataclass(slots=True)
class _Connection:
    socket: socket.socket
    due: float = 0.0
    read: bytearray = field(default_factory=bytearray)

    def answer(self) -> Answered | None:
        """What has come, once all of it has; `ConnectionError` where it ends before."""
        piece = self.socket.recv(1 << 20)
        now = time.monotonic()
        if not piece:
            raise ConnectionError(f"the service hung up after {bytes(self.read[:200])!r}")
        self.read += piece
        head = self.read.find(b"\r\n\r\n") + 4
        if head < 4:
            return None
        length = LENGTH.search(self.read, 0, head)
        if length is None:
            raise ConnectionError(f"an answer of no length: {bytes(self.read[:head])!r}")
        if len(self.read) < head + int(length[1]):
            return None
        return Answered(now - self.due, int(self.read[9:12]), bytes(self.read[head:]))

    @property
    def closes(self) -> bool:
        return CLOSES.search(self.read) is not None


def post(url: str, path: str, key: str, body: bytes, kind: str = "application/json") -> bytes:
    """A request, as it goes over the wire."""
    lines = (
        f"POST {path} HTTP/1.1",
        f"Host: {urlsplit(url).netloc}",
        f"Authorization: Bearer {key}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join((*lines, "", "")).encode() + body


def exchange(
    url: str, requests: Sequence[bytes], rate: float | None, most: int = CONNECTIONS
) -> list[Answered]:
    """The answers, in the order in which they came. `rate`: requests a second, whatever becomes of
    those before; None: `most` at a time, each when another is answered."""
    place = urlsplit(url)
    began = time.monotonic() + START_S
    due = (began + turn / rate if rate else began for turn in range(len(requests)))
    waiting: Iterator[tuple[float, bytes]] = iter(zip(due, requests, strict=True))
    free: list[_Connection] = []
    busy: dict[socket.socket, _Connection] = {}
    answers: list[Answered] = []
    following = next(waiting, None)
    while busy or following:
        now = time.monotonic()
        if following and following[0] <= now and len(busy) < most:
            one = free.pop() if free else _Connection(_connected(place.hostname, place.port))
            one.due, one.read = following[0] if rate else now, bytearray()
            one.socket.sendall(following[1])
            busy[one.socket] = one
            following = next(waiting, None)
            continue
        wait = max(0.0, following[0] - now) if following and len(busy) < most else None
        for ready in select.select(list(busy), [], [], wait)[0]:
            one = busy[ready]
            answer = one.answer()
            if answer is None:
                continue
            answers.append(answer)
            del busy[ready]
            if one.closes:
                ready.close()
            else:
                free.append(one)
    for one in free:
        one.socket.close()
    return answers


def exchanged(*arguments: Any) -> list[Answered]:
    """`exchange`, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    answers, end = context.Pipe(duplex=False)
    process = context.Process(target=_tell, args=(end, *arguments))
    process.start()
    end.close()  # so that the pipe ends with the process, should it not even start
    told: list[Answered] | Exception = answers.recv()
    process.join()
    if isinstance(told, Exception):
        raise told
    return told


def _tell(answers: Any, *arguments: Any) -> None:
    gc.disable()  # a pause of the load's own would be charged to the service
    try:
        answers.send(exchange(*arguments))
    except Exception as error:
        answers.send(error)


def _connected(host: str | None, port: int | None) -> socket.socket:
    made = socket.create_connection((host, port), timeout=600)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made
