"""Rate limits that are counted in this process: a moving window, as the `limits` library has one.

That library's own storage in memory starts a thread for nearly every request.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from limits import RateLimitItem
from limits.util import WindowStats

_SWEEP = 1000  # hits after which what is over is dropped


class MemoryWindow:
    """The part of `limits.strategies.RateLimiter` that Seawall uses. Any number of threads may use
    one. `clock` gives seconds; it never goes back, as a machine's time may when it is set."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._hits: dict[str, deque[float]] = {}
        self._windows: dict[str, int] = {}
        self._swept = 0

    def hit(self, item: RateLimitItem, *names: str) -> bool:
        """Count one, if fewer than the item's amount were counted within its window."""
        key, now = item.key_for(*names), self._clock()
        with self._lock:
            hits = self._current(key, now, item.get_expiry())
            if len(hits) >= item.amount:
                return False
            hits.append(now)
            self._sweep(now)
        return True

    def get_window_stats(self, item: RateLimitItem, *names: str) -> WindowStats:
        """When the oldest one falls out of the window, in seconds, and how many may still come."""
        key, now = item.key_for(*names), self._clock()
        with self._lock:
            hits = self._current(key, now, item.get_expiry())
            oldest, count = (hits[0] if hits else now), len(hits)
        return WindowStats(oldest + item.get_expiry(), item.amount - count)

    def _current(self, key: str, now: float, window: int) -> deque[float]:
        hits = self._hits.setdefault(key, deque())
        self._windows[key] = window
        while hits and hits[0] < now - window:
            hits.popleft()
        return hits

    def _sweep(self, now: float) -> None:
        """Every now and then, forget who has not come for a window's time."""
        self._swept += 1
        if self._swept >= _SWEEP:
            self._swept = 0
            for key in [
                k for k, h in self._hits.items() if not h or h[-1] < now - self._windows[k]
            ]:
                del self._hits[key], self._windows[key]
