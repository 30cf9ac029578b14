"""Where promised uploads lie until they are judged: a folder, or a place that machines share.

A folder's files are flushed to the disk before a promise is given; of a bucket that is its own
promise. Names are made here, and say nothing of what they hold.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from api.settings import Settings
from api.uploads import IncomingFile, store_durably
from hashdb import filesystems
from hashdb.errors import BadArgument, BadSetting, Unavailable
from hashdb.model import new_id

KEEP_S = 7 * 24 * 3600.0
_CHUNK = 1 << 20


class Spool:
    """The spool of these settings. Raises `BadSetting` where it cannot be opened, `Unavailable`
    where it does not answer."""

    def __init__(self, settings: Settings) -> None:
        place = settings.spool or str(settings.data_dir / "spool")
        self._tmp = settings.data_dir / "tmp"
        self._limit = settings.max_upload_mb << 20
        try:
            self._fs, self._root = filesystems.opened(place, use_listings_cache=False)
        except BadArgument as error:
            raise BadSetting(f"SEAWALL_SPOOL cannot be opened: {error}") from None
        self._local = "file" in self._fs.protocol

    @property
    def folder(self) -> Path | None:
        """None where it is no folder of this machine."""
        return Path(self._root) if self._local else None

    def keep(self, body: BinaryIO) -> str:
        """Store what a crash of any machine leaves there; its name. Raises `Unavailable`."""
        if self._local:
            return store_durably(body, Path(self._root))
        name = new_id("spool")
        with _storing(), self._fs.open(self._path(name), "wb") as target:
            shutil.copyfileobj(body, target, _CHUNK)
        return name

    @contextmanager
    def opened(self, name: str) -> Iterator[BinaryIO]:
        """What was stored, at its beginning. Raises `Unavailable`, also where it is gone."""
        if self._local:
            if not Path(self._path(name)).exists():
                raise Unavailable("the promised upload's file is gone")
            with Path(self._path(name)).open("rb") as file:
                yield file
            return
        with IncomingFile(self._tmp, self._limit) as copy:
            with _storing(), self._fs.open(self._path(name), "rb") as source:
                shutil.copyfileobj(source, copy, _CHUNK)
            yield copy.media()

    def drop(self, name: str) -> None:
        """Take it out; it may be gone already."""
        try:
            with _storing():
                self._fs.rm_file(self._path(name))
        except Unavailable:
            return  # it is swept up

    def sweep(self, waiting: Callable[[datetime], Collection[str]]) -> None:
        """Drop what is older than a week and that no job waits for: what a crash left behind.
        `waiting`: the files of jobs that were promised before a moment and have not ended. A
        bucket has rules for that of its own."""
        if not self._local:
            return
        oldest = time.time() - KEEP_S
        old = [path for path in Path(self._root).glob("*") if _written(path) < oldest]
        if not old:
            return
        # A job is promised after its file was written: within a day, surely.
        needed = waiting(datetime.fromtimestamp(oldest + 24 * 3600, UTC))
        for path in old:
            if path.name not in needed:
                path.unlink(missing_ok=True)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # another has dropped it
        return math.inf


@contextmanager
def _storing() -> Iterator[None]:
    """Each file system has errors of its own; most are `OSError`s, but not those of a driver."""
    try:
        yield
    except Exception as error:
        raise Unavailable(f"the spool: {type(error).__name__}: {error}") from error
