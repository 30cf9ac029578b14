"""A PostgreSQL that is gone without a word: its machine, or the network to it."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys
import threading
from contextlib import closing, suppress
from typing import Any

import pytest
from sqlalchemy import make_url, text

from hashdb.errors import DatabaseUnavailable
from hashdb.store import Store, engine

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="options of Linux's TCP"
)
DROP = struct.pack("HBBI", 0x06, 0, 0, 0)  # a filter of one instruction: keep no byte
SO_ATTACH_FILTER = 26


class Line:
    """A TCP port of this machine that leads to a server's socket, until `lost`: then it swallows
    all, as a network does that drops packets."""

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        self._target = f"{parsed.query['host']}/.s.PGSQL.{parsed.port or 5432}"
        self._port = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        port = self._port.getsockname()[1]
        self.url = f"postgresql://{parsed.username}@127.0.0.1:{port}/{parsed.database}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._port.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(self._target)
                self._ends += [near, far]
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(1 << 16):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)

    def lost(self) -> None:
        """The filter stands before the kernel's own TCP, which acknowledges nothing any more."""
        program = ctypes.create_string_buffer(DROP, len(DROP))
        one = struct.pack("HP", 1, ctypes.addressof(program))
        for end in self._ends:
            if end.family == socket.AF_INET:
                end.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, one)
        self._port.close()

    def close(self) -> None:
        for end in (self._port, *self._ends):
            end.close()


def tcp_options(store: Store) -> tuple[int, ...]:
    """What the kernel was told of a connection: keepalives, their three numbers, milliseconds."""
    with store._engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        with socket.socket(fileno=os.dup(driver.fileno())) as end:
            return (
                end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                end.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
                end.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
                end.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
                end.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
            )


def test_the_kernel_is_told_when_to_give_postgresql_up(postgres_url: str) -> None:
    with closing(Line(postgres_url)) as line:
        with closing(Store.open(line.url)) as store:
            assert tcp_options(store) == (1, 5, 5, 2, 15_000)
        own = "?keepalives_idle=60&tcp_user_timeout=90000"
        with closing(Store.open(line.url + own)) as store:
            assert tcp_options(store) == (1, 60, 5, 2, 90_000)


@pytest.mark.parametrize("owed", ["an answer", "a receipt"])
def test_a_network_that_swallows_all(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, owed: str
) -> None:
    quick = {"keepalives_idle": 1, "keepalives_interval": 1, "tcp_user_timeout": 1500}
    monkeypatch.setattr(engine, "GIVES_UP", {**engine.GIVES_UP, **quick})
    with closing(Line(postgres_url)) as line, closing(Store.open(line.url)) as store:
        ends: list[BaseException] = []

        def waits() -> None:
            try:
                with store.begin() as tx:
                    if owed == "an answer":
                        threading.Timer(0.5, line.lost).start()
                        tx._connection.execute(text("SELECT pg_sleep(60)"))
                    else:
                        tx.banks.list()
                        line.lost()
                        tx.banks.list()
            except BaseException as error:
                ends.append(error)

        waiting = threading.Thread(target=waits, daemon=True)
        waiting.start()
        waiting.join(15)
        assert [type(end) for end in ends] == [DatabaseUnavailable]
