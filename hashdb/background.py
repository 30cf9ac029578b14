"""What is done with the snapshot while requests are answered."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from hashdb.errors import SeawallError

log = logging.getLogger(__name__)


class Background:
    """One thread that does one thing at a time; what goes wrong in it goes into the log."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None

    def start(self, task: Callable[[], object]) -> bool:
        """Do it in the thread, unless that has something to do already; whether it is done."""

        def run() -> None:
            try:
                task()
            except SeawallError as error:
                log.warning("the snapshot: %s", error)
            except Exception:  # what is held stands, and is right
                log.exception("the snapshot could not be seen to")

        if self._thread is not None and self._thread.is_alive():
            return False
        self._thread = threading.Thread(target=run, name="snapshot", daemon=True)
        self._thread.start()
        return True

    def wait(self) -> None:
        """Until nothing is being done."""
        thread = self._thread
        if thread is not None:
            thread.join()
