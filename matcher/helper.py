"""A second thread of the decoding child: it hashes pictures while the first one decodes the next.

FFmpeg, OpenCV and numpy give Python's lock up while they work, so that both of two cores are used.
Handing it to and fro costs CPU time: large pictures are worth it, where many are decoded for each.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

AHEAD_BYTES = 8_000_000
"""Bytes of luma that may wait or be at work: eight pictures of 720p, three of 1080p. From 4K on
each is waited for, so that a look at large pictures needs no more memory than with one thread."""

AT_ONCE_BYTES = 720 * 720
"""Bytes of luma below which a picture is hashed by who decodes it (docs/decisions/
0034-cost-of-one-upload.md)."""

Work = Callable[[], None]


class Helper:
    """Does what it is given, one after the other, in the order in which it was given.

    Used by one thread. Where no other was started (`start`), that one does it at once.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._given: deque[tuple[Work, int]] = deque()  # the first of them is at work
        self._size = 0
        self._failed: BaseException | None = None
        self._started = False

    def start(self) -> None:
        """Start the thread; it ends with the process."""
        self._started = True
        threading.Thread(target=self._run, name="helper", daemon=True).start()

    def give(self, work: Work, size: int) -> None:
        """Have it done; waits while more than `AHEAD_BYTES` are not done yet, by the `size` of
        each. Raises what earlier work raised; what was given after that is not done."""
        if not self._started:
            work()
            return
        with self._changed:
            self._raise()
            self._given.append((work, size))
            self._size += size
            self._changed.notify_all()
            del work
            self._changed.wait_for(lambda: self._size <= AHEAD_BYTES or not self._given)
            self._raise()

    @property
    def idle(self) -> bool:
        """Whether all is done that was given."""
        return not self._given

    def do(self, work: Work) -> None:
        """Have it done by the caller, once all is done that was given before. Raises what either
        raised."""
        self.finish()
        work()

    def finish(self) -> None:
        """Wait until all is done. Raises what it raised."""
        with self._changed:
            self._changed.wait_for(lambda: not self._given)
            self._raise()

    def _raise(self) -> None:
        failed, self._failed = self._failed, None
        if failed is not None:
            raise failed

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._given))
                work, size = self._given[0]
            failed: BaseException | None = None
            try:
                work()
            except BaseException as error:
                failed = error
            del work  # and the picture with it
            with self._changed:
                self._size -= size
                self._given.popleft()
                if failed is not None:
                    self._failed = failed
                    self._given.clear()
                    self._size = 0
                self._changed.notify_all()
            del failed
