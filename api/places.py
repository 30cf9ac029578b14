"""Places for uploads with media, so that they never take the threads that hash lookups need.

An upload holds a place while its body is received, and another while it waits for a decoder and is
judged. Who finds no place free is told at once, and when to come again.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from api.problems import NoPlace

LONGEST_RETRY_S = 120
_NEWEST = 0.2  # what the newest upload counts for in the mean time that a place is held


def retry_after(held_s: float, places: int, decoders: int) -> int:
    """Whole seconds until those who wait now will have been taken up.

    `held_s`: for how long a place is held. By Little's law `places / held_s` uploads end in a
    second while all places are taken, and `places - decoders` of them wait.
    """
    return min(max(1, math.ceil(held_s * (places - decoders) / places)), LONGEST_RETRY_S)


class Places:
    """So many uploads at once. `served`: how many of them are worked at, the others wait."""

    def __init__(
        self, places: int, served: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.places = places
        self.served = min(served, places)
        self._clock = clock
        self._lock = threading.Lock()
        self._since: dict[object, float] = {}
        self._mean_s = 0.0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold a place. Raises `NoPlace` at once where there is none."""
        ticket = object()
        with self._lock:
            self._refuse_if_full()
            self._since[ticket] = self._clock()
        try:
            yield
        finally:
            with self._lock:
                held = self._clock() - self._since.pop(ticket)
                self._mean_s += (held - self._mean_s) * (_NEWEST if self._mean_s else 1.0)

    def refuse_if_full(self) -> None:
        """Raises `NoPlace` where a place would not be had now."""
        with self._lock:
            self._refuse_if_full()

    def held(self) -> int:
        """How many places are taken."""
        with self._lock:
            return len(self._since)

    def busy(self) -> bool:
        """Whether as many places are taken as are served, so that the next one waits."""
        return self.held() >= self.served

    def _refuse_if_full(self) -> None:
        if len(self._since) < self.places:
            return
        now = self._clock()
        # Those that hold a place have not ended yet, but how long they have had it is known.
        so_far = sum(now - since for since in self._since.values()) / len(self._since)
        wait_s = retry_after(max(self._mean_s, so_far), self.places, self.served)
        raise NoPlace(f"{self.places} uploads are in hand; try again in {wait_s} s", wait_s)


@dataclass(frozen=True, slots=True)
class Queue:
    """The places of one process: for bodies that are being received, and for uploads that wait
    for a decoder or are judged."""

    receiving: Places
    judging: Places

    @classmethod
    def of(cls, decoders: int, waiting: int) -> Queue:
        """As many bodies may be on their way as uploads may be in hand."""
        places = decoders + waiting
        return cls(Places(places, places), Places(places, decoders))

    def counts(self) -> Mapping[str, float]:
        """Uploads that hold a place, by what is done with them."""
        in_hand = self.judging.held()
        judged = min(in_hand, self.judging.served)
        return {
            "receiving": float(self.receiving.held()),
            "waiting": float(in_hand - judged),
            "judging": float(judged),
        }
