"""What a snapshot says of itself, and what that says of its use."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from hashdb import change_log
from hashdb.errors import BadSnapshot
from hashdb.indexed import Indexed
from hashdb.shelves import Shelves
from hashdb.store import Store

VERSION = 7  # of what meta and arrays mean; the file format has its own

# A snapshot takes two microseconds a code to write, a change a millisecond to read back: it is
# written when that pays, or when a process holds much of the index for itself.
_CHANGED = 1 / 2000
_ADDED = 1 / 16


class SnapshotState(StrEnum):
    """What there is of a snapshot. One that is some changes behind is good: they are caught up."""

    GOOD = "good"
    DAMAGED = "damaged"  # or it cannot be read
    MISSING = "missing"
    STALE = "stale"  # whole, but of another version, another database or another past of this one


def of(state: Shelves, indexed: Indexed, database: str, *, tables: bool) -> dict[str, Any]:
    """What a snapshot of `state` says of itself. `tables`: whether its engines have written what
    processes share."""
    return {
        "version": VERSION,
        "database": database,
        "number": state.number,
        "last": state.last,
        "bits": indexed.bits,
        "tables": tables,
        "local": indexed.local is not None,
        "sound": indexed.sound is not None,
        "neural": indexed.model if indexed.neural is not None else None,
    }


def worth_writing(state: Shelves, changes: int) -> bool:
    """Whether a snapshot pays, so many changes after the last one."""
    size = state.size()
    added = sum(shelf.added for shelf in state.shelves.values())
    return changes >= _CHANGED * size or added >= _ADDED * size


def check(meta: Mapping[str, Any], indexed: Indexed, store: Store) -> None:
    """`BadSnapshot` unless the snapshot is of this version, and of this database's past."""
    _check_kind(meta, indexed)
    if meta.get("database") != store.identity():
        raise BadSnapshot("it is of another database")
    number, last = meta.get("number"), meta.get("last")
    if type(number) is not int or number < 0:
        raise BadSnapshot(f"change number {number!r}")
    with store.read() as tx:
        head = tx.changes.head()
        if number > head:
            raise BadSnapshot(f"it is ahead of the database: change {number} of {head}")
        if number and last != change_log.reference_of(tx, number):
            raise BadSnapshot(f"change {number} of the database is another one")


def _check_kind(meta: Mapping[str, Any], indexed: Indexed) -> None:
    if meta.get("version") != VERSION:
        raise BadSnapshot(f"version {meta.get('version')!r}; this is version {VERSION}")
    if meta.get("bits") != indexed.bits:
        raise BadSnapshot("it has other signal types")
    for name, wanted in (("local", indexed.local), ("sound", indexed.sound)):
        if meta.get(name) != (wanted is not None):
            raise BadSnapshot(f"it was made with {name} features, not wanted now, or without")
    if meta.get("neural") != (None if indexed.neural is None else indexed.model):
        raise BadSnapshot(f"its descriptors are of the model {meta.get('neural')!r}")
