"""Two halves of a look-up at a time, where the process may use two cores."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Answer = TypeVar("Answer")

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _made() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, CORES - 1), thread_name_prefix="look-up")


_pool = _made()


def _after_fork() -> None:
    """Threads do not survive a fork: what waited for one in a child would wait for good."""
    global _pool
    _pool = _made()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def both(one: Callable[[], Answer], other: Callable[[], Answer]) -> tuple[Answer, Answer]:
    """What two loops give that run without Python's global lock: side by side if a core is free for
    the other; if no thread has begun it when the first is done, one after the other."""
    if CORES < 2:
        return one(), other()
    try:
        beside = _pool.submit(other)
    except RuntimeError:  # the process ends, or may start no thread: what is in hand is judged yet
        return one(), other()
    first = one()
    return first, other() if beside.cancel() else beside.result()
