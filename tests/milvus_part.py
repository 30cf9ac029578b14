"""A real Milvus for tests, on the loopback only: see `tests.milvus_inside`."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest

from hashdb.index.milvus import MilvusIndex
from hashdb.index.milvus_server import MilvusServer

INSIDE = Path(__file__).with_name("milvus_inside.py")
START_S = 120.0
QUICK = {  # a test that writes and reads must not wait for a fifth of a second each time
    "proxy.timeTickInterval": 20,
    "queryCoord.checkInterval": 100,
    "queryCoord.distPullInterval": 100,
}


class CannotStart(Exception):
    """Milvus cannot be started on this machine, and why."""


class Milvus:
    """A server in its folder, which it finds again when it is started anew; on one port."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder, self._settings = folder, settings
        self.port = 0
        self._inside: subprocess.Popen[str] | None = None
        self._pid = 0

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Until it answers. Raises `CannotStart`."""
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", self.port))
            listener.listen(128)
            self.port = listener.getsockname()[1]
            settings = json.dumps(dict(self._settings))
            self._inside = subprocess.Popen(
                [sys.executable, INSIDE, self.folder, str(listener.fileno()), settings],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                pass_fds=[listener.fileno()],
                start_new_session=True,
            )
        assert self._inside.stdout is not None
        assert self._inside.stderr is not None
        ready, _, _ = select.select([self._inside.stdout], [], [], START_S)
        words = self._inside.stdout.readline().split() if ready else []
        if words[:1] != ["up"]:
            self._inside.kill()
            said = self._inside.stderr.read().strip()
            self.kill()
            raise CannotStart(said or f"it did not answer within {START_S:.0f} s")
        self._pid = int(words[1])

    def kill(self) -> None:
        """At once, as a crash would."""
        if self._inside is not None:
            self._inside.kill()  # and the server with it
            self._inside.communicate()
            self._inside = None

    def halt(self) -> None:
        """It holds its connections, and answers nothing."""
        os.kill(self._pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self._pid, signal.SIGCONT)


@contextmanager
def milvus_running(folder: Path, settings: Mapping[str, Any] | None = None) -> Iterator[Milvus]:
    """A server for the block. Where none can be started the test is skipped with the reason; under
    CI=true it fails."""
    server = Milvus(folder, settings or {})
    try:
        server.start()
    except (CannotStart, ImportError) as error:
        if os.environ.get("CI", "").lower() in ("true", "1"):
            raise
        pytest.skip(f"Milvus cannot be started here: {error}")
    try:
        yield server
    finally:
        server.kill()


class Collections:
    """Makes indexes for tests. It takes Milvus seconds to make a collection, so that those that a
    test is done with are emptied for the next."""

    def __init__(self, uri: str) -> None:
        self.server = MilvusServer(uri)
        self._idle: dict[int, list[MilvusIndex]] = {}
        self._used: list[MilvusIndex] = []

    def make(self, bits: int) -> MilvusIndex:
        idle = self._idle.setdefault(bits, [])
        index = idle.pop() if idle else MilvusIndex(bits, self.server, f"test_{token_hex(6)}")
        self._used.append(index)
        return index

    def pair(self, bits: int) -> tuple[MilvusIndex, MilvusIndex]:
        """One collection for two clients."""
        index = self.make(bits)
        return index, self.again(index)

    def again(self, index: MilvusIndex) -> MilvusIndex:
        """The same collection for one more client."""
        return MilvusIndex(index.bits, self.server, index.name)

    def give_back(self) -> None:
        """All that were made are free again."""
        for index in self._used:
            index.clear()
            self._idle[index.bits].append(index)
        self._used.clear()
