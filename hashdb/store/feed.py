"""Who is told of changes: on PostgreSQL each commit that writes any sends a notification.

A notification says only "look": readers then ask the change log for what came after the number
they stand at, so one that is lost or comes twice does no harm. See docs/decisions/0024.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from hashdb.errors import DatabaseUnavailable, Unavailable
from hashdb.store.database import Store
from hashdb.store.listening import Heard

log = logging.getLogger("seawall.feed")

POLL_S = 1.0
"""How often is asked where nobody tells: on SQLite, and while no connection listens."""
LISTENING_POLL_S = 10.0
"""How often is asked all the same while one does, for a pooler in between may swallow it."""
SLICE_S = 0.5  # for which a listening thread does not see that it is to stop


class ChangeFeed:
    """A thread that calls `wake` soon after any process has committed a change, and when it may
    have missed one. `start` it after the process has forked."""

    def __init__(
        self,
        store: Store,
        wake: Callable[[], object],
        *,
        poll_s: float = POLL_S,
        listening_poll_s: float = LISTENING_POLL_S,
    ) -> None:
        self._store = store
        self._call = wake
        self._poll_s = poll_s
        self._listening_poll_s = listening_poll_s
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._listens = False
        self._away = False

    @property
    def listens(self) -> bool:
        """Whether a connection listens now; else changes are asked for every second."""
        return self._listens

    def start(self) -> None:
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="seawall-feed", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while not self._stop.is_set():
            if self._store.notifies:
                self._listen()
            self._wake()
            self._stop.wait(self._poll_s)

    def _listen(self) -> None:
        """Until the connection is lost; a new one is tried at once, and given up to polling."""
        while not self._stop.is_set():
            had = False
            try:
                with self._store.listening() as heard:
                    had = self._listens = True
                    self._away = False
                    self._attend(heard)
            except DatabaseUnavailable as error:
                if not self._away:  # once for an outage
                    log.warning("changes are asked for, not told: %s", error)
                self._away = True
            finally:
                self._listens = False
            if not had:
                return

    def _attend(self, heard: Heard) -> None:
        self._wake()  # what was committed before it listened
        quiet = 0.0
        while not self._stop.is_set():
            if heard(SLICE_S):
                quiet = self._listening_poll_s
            quiet += SLICE_S
            if quiet >= self._listening_poll_s:
                self._wake()
                quiet = 0.0

    def _wake(self) -> None:
        try:
            self._call()
        except Unavailable as error:
            log.debug("changes cannot be read, or not be applied: %s", error)
        except Exception:  # the next change may be read; searches ask by themselves
            log.exception("changes could not be applied")
