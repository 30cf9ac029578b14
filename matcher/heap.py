"""Freed memory that the C library's allocator keeps."""

from __future__ import annotations

import ctypes

_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)


def give_back() -> None:
    """Give what is free on the heap back to the system: glibc keeps it where something small that
    lives on was put above it, as features are above pictures. Other libraries do so by
    themselves, and nothing is done (malloc_trim(3))."""
    if _trim is not None:
        _trim(ctypes.c_size_t(0))
