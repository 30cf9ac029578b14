"""Some things of a stream of unknown length, spread evenly over it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Spread(Generic[T]):
    """Keeps at least `wanted` things, or all, and fewer than twice as many.

    Every `stride`-th one is kept; when twice as many as wanted are there, every other one goes and
    the stride doubles.
    """

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.kept: list[T] = []
        self._stride = 1
        self._seen = 0

    def offer(self, make: Callable[[], T]) -> None:
        """The next one, which is made if it is kept."""
        if self.wanted and self._seen % self._stride == 0:
            self.kept.append(make())
            if len(self.kept) == 2 * self.wanted:
                del self.kept[1::2]
                self._stride *= 2
        self._seen += 1
