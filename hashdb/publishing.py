"""The snapshot as it is published, and as it is fetched from where it was.

What fetches and publishes is a `hashdb.ports.SnapshotSource`; which snapshot is good enough is said
here.
"""

from __future__ import annotations

import logging

from hashdb import snapshot_meta
from hashdb.errors import BadSnapshot
from hashdb.indexed import Indexed
from hashdb.ports import Published, SnapshotSource
from hashdb.snapshot_folder import SnapshotFolder
from hashdb.store import Store

log = logging.getLogger(__name__)

_FETCHED = 100_000  # bytes that are fetched in about the time in which a change is read back


def as_published(folder: SnapshotFolder, indexed: Indexed, store: Store) -> Published:
    """The folder's snapshot as it may be published, checked whole. Raises `BadSnapshot`."""
    found = folder.read(whole=True)
    snapshot_meta.check(found.meta, indexed, store)
    name = f"references-{found.digest[:16]}.swl"
    meta = (found.meta["database"], found.meta["number"], snapshot_meta.VERSION)
    return Published(name, found.digest, found.size, *meta)


def fetch(source: SnapshotSource, folder: SnapshotFolder, indexed: Indexed, store: Store) -> None:
    """Fetch the published snapshot, where there is none here or one that is much older."""
    try:
        with folder.locked(wait=True):
            latest = source.latest()
            if latest is not None and _wanted(latest, folder, indexed, store):
                log.info("fetching a snapshot of %d MB", latest.size // 1_000_000)
                folder.receive(source, latest)
    except (BadSnapshot, OSError) as error:
        log.warning("no snapshot could be fetched: %s", error)


def _wanted(latest: Published, folder: SnapshotFolder, indexed: Indexed, store: Store) -> bool:
    if (latest.version, latest.database) != (snapshot_meta.VERSION, store.identity()):
        log.warning("the published snapshot is of another version or another database")
        return False
    with store.read() as tx:
        if latest.number > tx.changes.head():
            log.warning("the published snapshot is ahead of the database")
            return False
    try:
        meta = folder.read(whole=False).meta
        snapshot_meta.check(meta, indexed, store)
    except BadSnapshot:
        return True
    return (latest.number - int(meta["number"])) * _FETCHED > latest.size
