"""A connection to a Milvus server (https://milvus.io). Needs pymilvus (the extra `milvus`)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from hashdb.errors import IndexUnavailable

Answer = TypeVar("Answer")

TIMEOUT_S = 10.0
"""After so long an answer is not waited for any more; one to what takes longer, `SLOW_S`."""
SLOW_S = 120.0
CONNECT_S = 5.0
PROBE_S = 2.0
"""So long whoever tries whether a server is back waits; all others are told at once that it is not.
pymilvus asks again and again until its time is over: without this each request would take that."""

# A channel of gRPC's would wait longer and longer before it connects again.
_CHANNEL = {"grpc.max_reconnect_backoff_ms": 1000, "grpc.initial_reconnect_backoff_ms": 200}


class MilvusServer:
    """One server, connected to when it is first asked, and again when it comes back. Any number
    of threads may use one, but no process that was forked after the first call.

    `uri`: `http://HOST:19530` or `https://...`, with a database's name as its path where it is not
    the default one. `token`: a token, or `user:password`; it is in no message.
    """

    def __init__(self, uri: str, token: str = "") -> None:
        self._uri, self._token = uri, token
        self._connecting, self._probing = threading.Lock(), threading.Lock()
        self._client: Any = None
        self._away = False

    def ask(self, question: Callable[[Any, float], Answer], *, slow: bool = False) -> Answer:
        """What `question(client, seconds)` gives, where `client` is a pymilvus.MilvusClient.
        `IndexUnavailable` where the server does not answer in time, or refuses."""
        if self._away:
            self._probe()
        return self._asked(question, SLOW_S if slow else TIMEOUT_S)

    def _probe(self) -> None:
        if not self._probing.acquire(blocking=False):
            raise IndexUnavailable("Milvus does not answer")
        try:
            self._asked(lambda client, seconds: client.get_server_version(timeout=seconds), PROBE_S)
            self._away = False
        finally:
            self._probing.release()

    def _asked(self, question: Callable[[Any, float], Answer], seconds: float) -> Answer:
        import grpc
        from pymilvus.exceptions import MilvusException

        try:
            return question(self._connected(), seconds)
        except MilvusException as error:
            self._note(error.code)
            raise IndexUnavailable(f"Milvus: {error.message}") from None
        except grpc.RpcError as error:
            self._note(error.code())
            raise IndexUnavailable(f"Milvus: {error.code()}") from None

    def _connected(self) -> Any:
        with self._connecting:
            if self._client is None:
                self._client = _connect(self._uri, self._token)
            return self._client

    def _note(self, code: object) -> None:
        """Whether the server is away, or has only refused this one question."""
        import grpc

        away = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        self._away = self._away or self._client is None or code in away


def _connect(uri: str, token: str) -> Any:
    from pymilvus import MilvusClient

    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # its errors are raised as ours
    return MilvusClient(uri, token=token, timeout=CONNECT_S, dedicated=True, grpc_options=_CHANNEL)
