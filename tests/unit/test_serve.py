"""How a worker of `seawall serve` starts, and what ends the service."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from api import serve
from hashdb.errors import DatabaseUnavailable, NotUpgraded, SeawallError

Start = Callable[..., tuple[Any, int]]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Start:
    """Starts a worker that fails so often; its parts, or its exit code, and how often it tried."""

    def starts(error: SeawallError, fails: int, been_up: mmap.mmap) -> tuple[Any, int]:
        tried = 0

        def build(*_: object, **__: object) -> str:
            nonlocal tried
            tried += 1
            if tried <= fails:
                raise error
            return "parts"

        monkeypatch.setattr(serve.wiring, "build", build)
        monkeypatch.setattr(serve.time, "sleep", lambda _: None)
        traces: Any = SimpleNamespace(stage=nullcontext)
        settings: Any = None
        try:
            return serve._build(settings, traces, been_up), tried
        except SystemExit as end:
            return end.code, tried

    return starts


AWAY = DatabaseUnavailable("database: nobody there")


def test_a_service_that_was_never_up_gives_a_database_some_tries(start: Start) -> None:
    assert start(AWAY, 1000, mmap.mmap(-1, 1)) == (serve.BOOT_ERROR, serve.START_TRIES)
    assert start(AWAY, serve.START_TRIES - 1, mmap.mmap(-1, 1))[0] == "parts"


def test_a_worker_that_replaces_another_waits_for_the_database(start: Start) -> None:
    been_up = mmap.mmap(-1, 1)
    assert start(AWAY, 0, been_up) == ("parts", 1)
    assert start(AWAY, 1000, been_up) == ("parts", 1001)


def test_what_waiting_does_not_mend_ends_the_service_at_once(start: Start) -> None:
    been_up = mmap.mmap(-1, 1)
    for _ in range(2):
        assert start(NotUpgraded("run `seawall db upgrade`"), 1000, been_up) == (3, 1)
        been_up[0] = 1


def test_a_worker_whose_master_is_gone_waits_for_nothing(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    been_up = mmap.mmap(-1, 1)
    been_up[0] = 1
    masters = iter([100, 100, 1])
    monkeypatch.setattr(serve.os, "getppid", lambda: next(masters))
    assert start(AWAY, 1000, been_up) == (0, 2)
