"""Whether the service lives and works, and its numbers."""

from __future__ import annotations

import errno
import logging
import os
import struct
import tempfile
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

from api import metrics, schemas
from api.parts import Parts
from api.routes.route import PUBLIC, Answer, Call, Route, Service
from api.spool import Spool
from hashdb.errors import BadMedia, SandboxFailed, SeawallError
from hashdb.model import Role
from matcher.ports import Sampling

log = logging.getLogger("seawall.health")

PROBE_EVERY_S = 30.0
ROOM = 1 << 20  # bytes


def healthz(service: Service, call: Call) -> Answer:
    return Answer(schemas.HealthOut(status="ok"))


def readyz(service: Service, call: Call) -> Answer:
    checks = {
        "database": _try(service.parts.store.ping),
        "index": _try(service.parts.index.ping),
        "sandbox": _sandbox(service),
        "storage": _storage(service),
    }
    ready = all(v == "ok" for v in checks.values())
    return Answer(schemas.ReadyOut(ready=ready, checks=checks), 200 if ready else 503)


def _try(check: Callable[[], object]) -> str:
    try:
        check()
    except SeawallError as e:
        log.warning("not ready: %s", e)
        return "failed"
    except (RuntimeError, MemoryError):
        log.warning("not ready", exc_info=True)
        return "failed"
    return "ok"


class _Probe:
    """What was found of one part, looked at every half minute at most: that costs something."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.at = float("-inf")
        self.state = ""
        self.owner: object = None

    def look(self, owner: object, check: Callable[[], str], busy: bool = False) -> str:
        """While it is `busy`, the last state."""
        with self.lock:
            fresh = busy or time.monotonic() - self.at < PROBE_EVERY_S
            if not fresh or self.owner is not owner:
                self.state = check()
                self.at = time.monotonic()
                self.owner = owner
            return self.state


_SANDBOX = _Probe()
_STORAGE = _Probe()


def _sandbox(service: Service) -> str:
    """While all decoders are at work, the last state: whoever asks must not wait behind uploads."""
    parts = service.parts
    busy = service.queue.judging.busy()
    return _SANDBOX.look(parts.sandbox, lambda: _try(lambda: _decode_one(parts)), busy)


def _storage(service: Service) -> str:
    """Whether uploads, promises and verdicts can be written. Once they could not, there must be
    twice the room, or what is cleared away after an upload would make it ready for a moment."""
    parts = service.parts
    settings = parts.settings

    def check() -> str:
        size = ROOM if _STORAGE.state in ("", "ok") else 2 * ROOM
        folders = (settings.data_dir / "tmp", Spool(settings).folder, parts.store.folder)
        try:
            for folder in {f for f in folders if f is not None}:
                _write_to(folder, size)
        except OSError as e:
            log.warning("not ready: nothing can be stored: %s", e)
            return f"failed: {e.strerror}"
        return "ok"

    return _STORAGE.look(parts.store, check)


def _write_to(folder: Path, size: int) -> None:
    """Raises `OSError` where so many bytes have no room; they are gone at once."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        if file.write(bytes(size)) < size:  # all that had room
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _decode_one(parts: Parts) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(png(64))
        file.flush()
        file.seek(0)
        try:
            look = parts.sandbox(cast(BinaryIO, file), Sampling(dense=False), ["pdq"])
        except BadMedia as e:
            raise SandboxFailed("a good picture was refused") from e
    if look.coverage.frames != 1:
        raise SandboxFailed("a picture was not looked at")


def png(side: int) -> bytes:
    """A grey picture of side x side pixels (ISO/IEC 15948)."""

    def chunk(name: bytes, data: bytes) -> bytes:
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    rows = b"".join(
        b"\0" + bytes((x * y * 7 + x * 3 + y) % 256 for x in range(side)) for y in range(side)
    )
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def show_metrics(service: Service, call: Call) -> Answer:
    return Answer(service.metrics.text(), media_type=metrics.CONTENT_TYPE)


ROUTES = (
    Route(
        "GET",
        "/healthz",
        "healthz",
        healthz,
        "Whether the process lives",
        "health",
        PUBLIC,
        {200: schemas.HealthOut},
    ),
    Route(
        "GET",
        "/readyz",
        "readyz",
        readyz,
        "Whether uploads can be judged: database, index, sandbox and storage",
        "health",
        PUBLIC,
        {200: schemas.ReadyOut, 503: schemas.ReadyOut},
    ),
    Route(
        "GET",
        "/metrics",
        "metrics",
        show_metrics,
        "Numbers for Prometheus",
        "health",
        frozenset({Role.MODERATOR}),
        {200: "text/plain"},
    ),
)
