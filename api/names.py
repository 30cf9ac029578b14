"""Names of files, which are bytes to a file system, as text that can be shown and stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def printable(name: str) -> str:
    """A file's name; bytes in it that are no UTF-8 (PEP 383) as `\\udc..`, so that neither the
    terminal nor the database refuses it."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def as_payload(path: str) -> dict[str, str]:
    """A path as a job keeps it: to be shown, and its bytes where that is not all of it."""
    shown = printable(path)
    if shown == path:
        return {"path": path}
    return {"path": shown, "path_bytes": path.encode("utf-8", "surrogateescape").hex()}


def of_payload(payload: Mapping[str, Any]) -> str:
    """The path that `as_payload` was given."""
    if "path_bytes" not in payload:
        return str(payload["path"])
    return bytes.fromhex(payload["path_bytes"]).decode("utf-8", "surrogateescape")
