"""A connection to a Milvus server (https://milvus.io). Needs pymilvus (the extra `milvus`)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from hashdb.errors import IndexUnavailable

Answer = TypeVar("Answer")

TIMEOUT_S = 10.0
"""After so long an answer is not waited for any more; one to what takes longer, `SLOW_S`."""
SLOW_S = 120.0
CONNECT_S = 5.0
AWAY_S = 1.0
"""For so long after the server was found away nobody tries: requests are answered 503 at once."""

# pymilvus asks again, by itself and until the time is over, where there is no connection. A channel
# of gRPC's would wait longer and longer before it connects again.
_CHANNEL = {"grpc.max_reconnect_backoff_ms": 1000, "grpc.initial_reconnect_backoff_ms": 200}


class MilvusServer:
    """One server, connected to when it is first asked, and again when it comes back. Any number
    of threads may use one, but no process that was forked after the first call.

    `uri`: `http://HOST:19530` or `https://...`, with a database's name as its path where it is not
    the default one. `token`: a token, or `user:password`; it is in no message.
    """

    def __init__(self, uri: str, token: str = "") -> None:
        self._uri, self._token = uri, token
        self._lock = threading.Lock()
        self._client: Any = None
        self._away_until = 0.0

    def ask(self, question: Callable[[Any, float], Answer], *, slow: bool = False) -> Answer:
        """What `question(client, seconds)` gives, where `client` is a pymilvus.MilvusClient.
        `IndexUnavailable` where the server does not answer in time, or refuses."""
        import grpc
        from pymilvus.exceptions import MilvusException

        try:
            return question(self._connected(), SLOW_S if slow else TIMEOUT_S)
        except MilvusException as error:
            self._note(error.code, grpc.StatusCode)
            raise IndexUnavailable(f"Milvus: {error.message}") from None
        except grpc.RpcError as error:
            self._note(error.code(), grpc.StatusCode)
            raise IndexUnavailable(f"Milvus: {error.code()}") from None

    def close(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _connected(self) -> Any:
        self._check_away()
        with self._lock:
            if self._client is None:
                self._check_away()  # it may have been found away while this thread waited
                self._client = _connect(self._uri, self._token)
            return self._client

    def _check_away(self) -> None:
        if time.monotonic() < self._away_until:
            raise IndexUnavailable("Milvus did not answer a moment ago")

    def _note(self, code: object, codes: Any) -> None:
        """Remember that the server is away, unless it has only refused this one question."""
        if self._client is None or code in (codes.UNAVAILABLE, codes.DEADLINE_EXCEEDED):
            self._away_until = time.monotonic() + AWAY_S


def _connect(uri: str, token: str) -> Any:
    from pymilvus import MilvusClient

    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # its errors are raised as ours
    return MilvusClient(uri, token=token, timeout=CONNECT_S, dedicated=True, grpc_options=_CHANNEL)
