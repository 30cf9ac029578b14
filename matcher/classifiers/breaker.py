"""A circuit breaker: a part that keeps failing is left alone for a while.

The pattern is Michael Nygard's ("Release It!", 2007). Closed: calls pass. Open: calls are refused
at once, so that uploads do not each wait for a timeout. Half open, after the pause: one call
passes as a probe; its success closes the circuit, its failure opens it for another pause.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hashdb.errors import ClassifierUnavailable


class CircuitBreaker:
    """Opens after `failures` failures in a row, for `pause_s` seconds. Any number of threads may
    use one; `clock` gives seconds that never go back."""

    def __init__(
        self,
        failures: int = 5,
        pause_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = failures
        self._pause_s = pause_s
        self._clock = clock
        self._lock = threading.Lock()
        self._failed = 0
        self._opened_at: float | None = None
        self._probing = False
        self._turn = 0

    @property
    def open(self) -> bool:
        """Whether calls are refused, a probe that is due aside."""
        return self._opened_at is not None

    @contextmanager
    def call(self) -> Iterator[None]:
        """Around one call: any exception counts as a failure. Raises `ClassifierUnavailable`
        without a call where the circuit is open."""
        turn = self._enter()
        try:
            yield
        except BaseException:
            self._leave(turn, failed=True)
            raise
        self._leave(turn, failed=False)

    def _enter(self) -> int:
        with self._lock:
            if self._opened_at is not None:
                wait = self._opened_at + self._pause_s - self._clock()
                if wait > 0:
                    raise ClassifierUnavailable(f"circuit open for another {wait:.0f} s")
                if self._probing:
                    raise ClassifierUnavailable("circuit open, a probe is under way")
                self._probing = True
            return self._turn

    def _leave(self, turn: int, *, failed: bool) -> None:
        with self._lock:
            if turn != self._turn:
                return  # begun before the circuit last opened or closed: says nothing of now
            if not failed:
                if self._opened_at is not None:
                    self._turn += 1
                self._failed, self._opened_at, self._probing = 0, None, False
                return
            self._failed += 1
            if self._probing or self._failed >= self._limit:
                self._opened_at, self._probing, self._failed = self._clock(), False, 0
                self._turn += 1
