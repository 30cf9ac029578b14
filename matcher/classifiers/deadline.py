"""A limit on the whole of an exchange with a server: the look-up of its name, the connection, the
request and every byte of the answer.

Timeouts of sockets limit one read each, and the look-up of a name knows none. So the exchange runs
in a thread of its own, which is waited for only so long. Then its connection is cut off, which
ends the thread. A look-up that hangs ends when the system's resolver gives up; until then it keeps
its place, and where no place is left nothing is asked. The threads are daemons: the process ends
without them.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class TooLate(Exception):
    """The exchange was not over in time."""


class Crowded(Exception):
    """As many exchanges as may be are under way."""


class Line:
    """The connection of one exchange, to be cut off by another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._cut = False

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """For httpx's `trace` extension: takes note of the connection as soon as there is one."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            with self._lock:
                self._socket = info["return_value"].get_extra_info("socket")
                if self._cut:
                    self._shut()

    def cut(self) -> None:
        """End the connection, or the one that is still to come."""
        with self._lock:
            self._cut = True
            self._shut()

    def _shut(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # already closed
                # not SSLSocket's own, which takes away what the other thread is using
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class Exchanges:
    """At most `most` exchanges at once. Any number of threads may use one."""

    def __init__(self, most: int) -> None:
        self._places = threading.BoundedSemaphore(most)

    def run(self, work: Callable[[Line], T], until: float) -> T:
        """What `work` returns or raises, done before `until` (`time.monotonic`). `work` must let
        its line trace the connection. Raises `TooLate` and `Crowded`."""
        left = until - time.monotonic()
        if left <= 0:
            raise TooLate
        if not self._places.acquire(blocking=False):
            raise Crowded
        line, future = Line(), Future[T]()

        def thread() -> None:
            try:
                result = work(line)
            except BaseException as error:
                self._places.release()
                future.set_exception(error)
            else:
                self._places.release()
                future.set_result(result)

        try:
            threading.Thread(target=thread, name="classifier", daemon=True).start()
        except RuntimeError:  # the system gives no more threads
            self._places.release()
            raise Crowded from None
        try:
            return future.result(timeout=left)
        except TimeoutError:
            raise TooLate from None
        finally:
            line.cut()
