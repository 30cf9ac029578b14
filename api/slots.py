"""Slots for uploads with media, so that they never take the threads that hash lookups need.

An upload holds a slot while its body is received, and another while it waits for a decoder and is
judged. Who finds no slot free is told at once, and when to come again.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from api.problems import NoSlot

LONGEST_RETRY_S = 120
_NEWEST = 0.2  # what the newest upload counts for in the mean time that a slot is held


def retry_after(held_s: float, slots: int, decoders: int) -> int:
    """Whole seconds until those who wait now will have been taken up.

    `held_s`: for how long a slot is held. By Little's law `slots / held_s` uploads end in a
    second while all slots are taken, and `slots - decoders` of them wait.
    """
    return min(max(1, math.ceil(held_s * (slots - decoders) / slots)), LONGEST_RETRY_S)


class Slots:
    """So many uploads at once. `served`: how many of them are worked at, the others wait.
    `changed` is called after each change of what is held."""

    def __init__(
        self, slots: int, served: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.slots = slots
        self.served = min(served, slots)
        self._clock = clock
        self._lock = threading.Lock()
        self._since: dict[object, float] = {}
        self._mean_s = 0.0
        self.changed: Callable[[], None] = lambda: None

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold a slot. Raises `NoSlot` at once where there is none."""
        ticket = object()
        with self._lock:
            self._refuse_if_full()
            self._since[ticket] = self._clock()
        self.changed()
        try:
            yield
        finally:
            with self._lock:
                held = self._clock() - self._since.pop(ticket)
                self._mean_s += (held - self._mean_s) * (_NEWEST if self._mean_s else 1.0)
            self.changed()

    def refuse_if_full(self) -> None:
        """Raises `NoSlot` where a slot would not be had now."""
        with self._lock:
            self._refuse_if_full()

    def held(self) -> int:
        """How many slots are taken."""
        with self._lock:
            return len(self._since)

    def busy(self) -> bool:
        """Whether as many slots are taken as are served, so that the next one waits."""
        return self.held() >= self.served

    def _refuse_if_full(self) -> None:
        if len(self._since) < self.slots:
            return
        now = self._clock()
        # Those that hold a slot have not ended yet, but how long they have had it is known.
        so_far = sum(now - since for since in self._since.values()) / len(self._since)
        wait_s = retry_after(max(self._mean_s, so_far), self.slots, self.served)
        raise NoSlot(f"{self.slots} uploads are in hand; try again in {wait_s} s", wait_s)


@dataclass(frozen=True, slots=True)
class Queue:
    """The slots of one process: for bodies that are being received, and for uploads that wait
    for a decoder or are judged."""

    receiving: Slots
    judging: Slots

    @classmethod
    def of(cls, decoders: int, waiting: int) -> Queue:
        """As many bodies may be on their way as uploads may be in hand."""
        slots = decoders + waiting
        return cls(Slots(slots, slots), Slots(slots, decoders))

    def tell(self, listener: Callable[[Mapping[str, float]], None]) -> None:
        """Give the listener the counts, now and after each change."""
        for slots in (self.receiving, self.judging):
            slots.changed = lambda: listener(self.counts())
        listener(self.counts())

    def counts(self) -> Mapping[str, float]:
        """Uploads that hold a slot, by what is done with them."""
        in_hand = self.judging.held()
        judged = min(in_hand, self.judging.served)
        return {
            "receiving": float(self.receiving.held()),
            "waiting": float(in_hand - judged),
            "judging": float(judged),
        }
