"""A lease that is prolonged for as long as the work goes on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hashdb.errors import SeawallError

log = logging.getLogger("seawall.jobs")


@contextmanager
def kept(what: str, extend: Callable[[], object], lease_s: float) -> Iterator[None]:
    """Calls `extend` three times in a lease; `what` names it in the log."""
    done = threading.Event()

    def keep() -> None:
        while not done.wait(lease_s / 3):
            try:
                extend()
            except SeawallError as e:
                log.warning("the lease of %s was not extended: %s", what, e)

    keeper = threading.Thread(target=keep, name="seawall-lease", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        done.set()
        keeper.join()
