"""Large files reach the disk as they are written, not all at once half a minute later.

The kernel keeps what is written in memory and puts it on the disk when it is half a minute old, or
much. A verdict that is flushed to the same disk meanwhile waits until all of that is there: a few
uploads of a hundred megabytes, and verdicts took 100 to 300 ms.
"""

from __future__ import annotations

import ctypes

_WAIT_BEFORE, _WRITE, _WAIT_AFTER = 1, 2, 4  # sync_file_range(2), Linux alone
_sync_file_range = getattr(ctypes.CDLL(None), "sync_file_range", None)


def put_on_disk(descriptor: int, offset: int, size: int) -> None:
    """Wait until these bytes of a file are on their way out of memory, where the system has a word
    for that. It promises nothing: what must outlive a crash is flushed."""
    if _sync_file_range is not None:
        flags = _WAIT_BEFORE | _WRITE | _WAIT_AFTER
        _sync_file_range(descriptor, ctypes.c_int64(offset), ctypes.c_int64(size), flags)
