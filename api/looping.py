"""A thread that does something again and again until it is told to stop."""

from __future__ import annotations

import threading


class Looping:
    """`start` it after the process has forked. Who inherits it says in `_run` what is done, and
    looks at `_stop`."""

    name: str

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
            self._thread = None

    def _run(self) -> None:
        raise NotImplementedError
