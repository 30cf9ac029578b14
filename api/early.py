"""Imported first of all: Ctrl-C ends the program quietly while the rest is imported, which takes
longer than many a command. A `KeyboardInterrupt` in there would be a traceback."""

import os
import signal
import threading
from typing import Any

INTERRUPTED = 130


def _end(_signal: int, _frame: Any) -> None:
    os._exit(INTERRUPTED)


_mine = (
    threading.current_thread() is threading.main_thread()
    and signal.getsignal(signal.SIGINT) is signal.default_int_handler
)
if _mine:
    signal.signal(signal.SIGINT, _end)


def over() -> None:
    """All is imported: Ctrl-C is a `KeyboardInterrupt` again."""
    if _mine and signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)
