"""The folder of a snapshot, which processes of a machine share: one file, replaced as a whole.

Who makes a snapshot, or checks one, holds the folder's lock meanwhile (`flock`, which a process
that dies gives back), so that others do not do the same work beside it.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hashdb import format as files
from hashdb.errors import BadSnapshot
from hashdb.format import Contents
from hashdb.ports import Published, SnapshotSource
from hashdb.shelves import ShelvesPacking

log = logging.getLogger(__name__)

FILE = "references.swl"
KIND = "references"
CHECKED = "references.checked"
CHECKED_FOR_S = 24 * 3600.0
"""For so long a file that was checked is not checked again, unless that is asked for."""

Identity = tuple[int, int, int]
Progress = Callable[[int, int], None]


class SnapshotFolder:
    """`path` is where it lies; it need not exist."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path / FILE

    def identity(self) -> Identity | None:
        """What changes whenever the file is replaced; None where there is none."""
        try:
            found = self.file.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def read(self, *, whole: bool) -> Contents:
        """The file's contents, see `hashdb.format.read_file`. Raises `BadSnapshot`."""
        return files.read_file(self.file, KIND, whole=whole)

    def write(self, meta: Mapping[str, Any], packing: ShelvesPacking) -> Path:
        """Replace the file; its path. `OSError` where the disk refuses."""
        self.path.mkdir(parents=True, exist_ok=True)
        files.sweep(self.path)
        with files.writing(self.file, KIND, meta) as out:
            packing.write(out)
        return self.file

    def receive(
        self, source: SnapshotSource, published: Published, progress: Progress | None = None
    ) -> None:
        """Put a published snapshot in the file's place, when all of it was checked. `BadSnapshot`,
        and the file untouched, where it cannot be had or is damaged; `OSError` where the disk
        refuses."""
        self.path.mkdir(parents=True, exist_ok=True)
        with files.replacing(self.file) as temporary:
            source.fetch(published, temporary, progress)
            got = files.read_file(temporary, KIND)
            if got.digest != published.digest:
                raise BadSnapshot(f"{published.file} is not what was published")
        if got.size > files.CHECKED_AT_ONCE:  # else it is checked whenever it is opened
            self._note_checked(got)

    @contextlib.contextmanager
    def locked(self, *, wait: bool) -> Iterator[bool]:
        """Holds the lock, if it can be had; says whether. A folder that cannot be locked is as
        good as locked: the lock only saves work."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDONLY)
        except OSError:
            yield True
            return
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
                held = True
            except BlockingIOError:
                held = False
            except OSError:  # a file system without locks
                held = True
            yield held
        finally:
            os.close(handle)

    def settle(self, contents: Contents) -> None:
        """Check what was not checked when the file was opened, unless that was done today, and
        enter it into this process's page tables. `BadSnapshot` where it is damaged."""
        if not contents.whole and not self._was_checked(contents):
            with self.locked(wait=False) as mine:
                if mine:
                    contents.check()
                    self._note_checked(contents)
        contents.enter()

    def _was_checked(self, contents: Contents) -> bool:
        note = self.path / CHECKED
        try:
            late = time.time() - note.stat().st_mtime > CHECKED_FOR_S
            return not late and note.read_text() == contents.stamp
        except OSError:
            return False

    def _note_checked(self, contents: Contents) -> None:
        try:
            (self.path / CHECKED).write_text(contents.stamp)
        except OSError as error:
            log.info("that the snapshot was checked cannot be noted: %s", error)


def missing_or_bad(folder: SnapshotFolder, error: BadSnapshot) -> bool:
    """Whether there is no file at all; says in the log what is wrong."""
    if folder.file.exists():
        log.warning("the snapshot is of no use, reading the database anew: %s", error)
        return False
    log.info("no snapshot at %s: reading the database", folder.file)
    return True
