"""The references' codes in memory, kept in step with the database, and their snapshot on disk.

The database is the only truth. What is here follows its change log: an addition that any process
has committed is found by every search that is preceded by a `refresh`. The snapshot saves the time
of reading everything at the start, and memory: processes map it, and so share it. What came since
is held by each process, and what is gone since is passed over. A bad one is thrown away.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from hashdb import publishing, snapshot_meta, verification
from hashdb.background import Background
from hashdb.errors import BadFingerprint, BadSnapshot, DatabaseUnavailable
from hashdb.format import Contents
from hashdb.indexed import Indexed
from hashdb.model import Codes
from hashdb.names import Names
from hashdb.ports import (
    DescriptorBackend,
    IndexBackend,
    LandmarkBackend,
    LocalBackend,
    Published,
    SnapshotSource,
)
from hashdb.reference_hits import ReferenceHits, hits_of_server, hits_of_shelf
from hashdb.shared import SharedReferences
from hashdb.shelves import Shelves
from hashdb.snapshot_folder import FILE, KIND, SnapshotFolder, missing_or_bad
from hashdb.snapshot_meta import VERSION, SnapshotState
from hashdb.store import Store
from hashdb.verification import Verification

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
Stands = tuple[int, frozenset[str] | None]

__all__ = ["FILE", "KIND", "VERSION", "ReferenceHits", "ReferenceIndex", "SnapshotState", "Stands"]

_CLOSE_EVERY = 100  # changes that make a snapshot worth its writing when the index is closed
_SAMPLE = 256  # codes that `verify` searches for
_WHOLE = 1 << 24  # bytes of a snapshot that is checked whole before it is used


class ReferenceIndex:
    """All references' codes; any number of threads may use one.

    `backends` makes an engine for codes of so many bits, `local` one for local features, `sound`
    one for sounds and `neural` one for the descriptors of `model` (None: they are not indexed).
    `folder` is where the snapshot lies; None keeps none. Disabled references are in the index,
    withdrawn ones are not: searches that are cut pass over the former, but the caller asks the
    database which may be enforced, for others do not.
    `save_every`: a snapshot is written when so many changes have been applied since the last one.
    `source`: where snapshots are published, for a start with none or an old one. `shared`: a server
    that holds the codes of all signal types that it knows, instead of this process's memory.
    """

    def __init__(
        self,
        store: Store,
        backends: Callable[[int], IndexBackend],
        *,
        folder: Path | None,
        signal_types: Sequence[str] = ("pdq", "card", "phash", "videohash"),
        save_every: int = 1000,
        local: Callable[[], LocalBackend] | None = None,
        sound: Callable[[], LandmarkBackend] | None = None,
        neural: Callable[[], DescriptorBackend] | None = None,
        model: str = "",
        source: SnapshotSource | None = None,
        shared: SharedReferences | None = None,
    ) -> None:
        self._store = store
        self._shared = shared
        self._source = source
        self._folder = None if folder is None else SnapshotFolder(folder)
        elsewhere = () if shared is None else shared.signal_types
        here = tuple(kind for kind in signal_types if kind not in elsewhere)
        self._indexed = Indexed(here, backends, local, sound, neural, model)
        self._save_every = save_every
        self._lock = threading.RLock()  # held by whoever changes the state
        self._save_lock = threading.Lock()
        self._saved = 0  # the change number of the snapshot
        self._seen: object = None  # the identity of the snapshot that was loaded, or is of no use
        self._keeps = True
        self._found = SnapshotState.MISSING
        self._state = self._indexed.empty()
        self._shares = any(shelf.backend.shares for shelf in self._state.shelves.values())
        self._background = Background()

    @property
    def number(self) -> int:
        """The change number that the index stands at."""
        return self._state.number

    @property
    def stands(self) -> Stands:
        """The change that the index stands at, and the banks that were off: what it finds is the
        same while this is."""
        return self._state.number, self._state.banks_off

    @property
    def snapshot(self) -> SnapshotState:
        """What `open` found of the snapshot."""
        return self._found

    def sizes(self) -> dict[str, int]:
        """How many codes can be found, by signal type."""
        here = {kind: len(shelf) for kind, shelf in self._state.shelves.items()}
        return here if self._shared is None else here | self._shared.sizes()

    def open(
        self, progress: Progress | None = None, *, save: bool = True, whole: bool = False
    ) -> None:
        """Load the snapshot, or read all from the database where it is of no use; then catch up.

        `progress(done, all)` counts references as they are read from the database; `all` is a
        guess from above. Without `save` only a call of `save` writes the file, now or later.

        A large snapshot is mapped, and then checked by a thread of the index's own: one that turns
        out to be damaged is made anew. `whole`: check it before it is used. Of several processes
        that find none, one makes it and the others wait; a server that is empty is filled likewise.
        """
        self._open(progress, save=save, whole=whole)
        if self._shared is not None:
            self._shared.open(self._state.number, self._state.last, progress)

    def _open(self, progress: Progress | None, *, save: bool, whole: bool) -> None:
        with self._lock:
            self._keeps = save
            if self._source is not None and self._folder is not None and save:
                publishing.fetch(self._source, self._folder, self._indexed, self._store)
            if self._resume(whole):
                return
            if self._folder is None or not save:
                self._state = self._built(progress)
                return
            with self._folder.locked(wait=True):
                if self._folder.identity() != self._seen and self._resume(whole):
                    return
                self._state = self._built(progress)
                self._saved = 0
                made = self._save_quietly()
        if made is not None:
            self._background.start(lambda: self._settle(made))

    def close(self) -> None:
        """Save, if enough has changed to be worth the writing. May be used on afterwards."""
        self.wait()
        self.maybe_save(every=min(_CLOSE_EVERY, self._save_every))
        self.wait()

    def wait(self) -> None:
        """Until nothing is being saved, checked or loaded beside."""
        self._background.wait()

    def refresh(self) -> int:
        """Apply what was committed since; the number the index then stands at.

        One small query where nothing was. Every change committed before the call is applied when
        it returns. A database that was put back to an earlier state, and may have grown since, is
        noticed by its change of the number that the index stands at. Raises
        `DatabaseUnavailable` and `IndexUnavailable`; the index then stands where it stood.
        """
        number, last = self._refresh()
        if self._shared is not None:
            self._shared.reach(number, last)
        return number

    def ping(self) -> None:
        """`refresh`, and ask a server that holds codes whether it still does. Raises the same."""
        self.refresh()
        if self._shared is not None:
            self._shared.look()

    def _refresh(self) -> tuple[int, str | None]:
        """Apply what was committed since to what is held here; up to which change, and whose."""
        self._renew()
        state = self._state
        number, last, off = state.number, state.last, state.banks_off
        with self._store.ask() as tx:
            news = tx.hidden.news(number)
        if (news.head, news.last, news.banks_off) == (number, last, off):
            return number, last
        with self._lock:
            if not self._follow(self._state):
                log.warning("the database went back to an earlier state: reading it anew")
                self._state = self._built(None)
                self._saved = 0
            number, last = self._state.number, self._state.last
        self.maybe_save()
        return number, last

    def _renew(self) -> None:
        """Take over the snapshot that another process has written since."""
        if self._shares and self._folder is not None and self._folder.identity() != self._seen:
            self._background.start(lambda: self._settle(self._adopt()))

    def search(
        self, signal_type: str, codes: Codes, radius: int, *, most: int | None = None
    ) -> ReferenceHits:
        """Codes within `radius` bits (inclusive) of each of (m, bits/8) uint8 codes.

        All of them, some 100 bytes a hit; a title card that 200,000 references share has as many.
        `most`: at most so many a query code, the nearest; `crowded` says which had more.

        Does not look at the database: call `refresh` before. `BadFingerprint` where the codes are
        of another length, or the signal type is not in the index.
        """
        state = self._state
        if self._shared is not None and signal_type in self._shared.signal_types:
            found = self._shared.search(signal_type, codes, radius, most, state.hidden)
            return hits_of_server(found)
        if signal_type not in state.shelves:
            indexed = ", ".join(self._indexed.signal_types)
            raise BadFingerprint(f"{signal_type!r} is not indexed; {indexed} are")
        hits, rows, crowded = state.shelves[signal_type].search(codes, radius, most)
        return hits_of_shelf(hits, rows, crowded, state.names)

    def may_hit(self, signal_type: str, codes: Codes, radius: int) -> bool:
        """Whether to `search` for these codes of one upload, of which nearly all hit nothing: see
        `IndexBackend.may_hit`. As `search` it does not look at the database."""
        shelf = self._state.shelves.get(signal_type)
        return shelf is None or shelf.backend.may_hit(codes, radius)

    def local(self) -> tuple[LocalBackend, Names] | None:
        """The local features of references, by ordinal, and the references' ids: `names[ordinal]`.
        None where they are not indexed. Does not look at the database: call `refresh` before."""
        state = self._state
        return None if state.local is None else (state.local, state.names)

    def sound(self) -> tuple[LandmarkBackend, Sequence[str]] | None:
        """The same for the references' sounds."""
        state = self._state
        return None if state.sound is None else (state.sound, state.names)

    def neural(self) -> tuple[DescriptorBackend, Sequence[str]] | None:
        """The same for the references' descriptors."""
        state = self._state
        return None if state.neural is None else (state.neural, state.names)

    def rebuild(self, progress: Progress | None = None, *, save: bool = True) -> None:
        """Read all from the database, then `save`. Searches meanwhile see the old state, and what
        is added meanwhile. What a server holds is compared, and put right where it differs."""
        if self._shared is not None:
            self._shared.mend(progress)
        state = self._built(progress)
        with self._lock:
            if not self._follow(state):
                state = self._built(None)
            self._state = state
        if save:
            self._save_quietly()

    def maybe_save(self, *, every: int | None = None) -> bool:
        """Save beside, in a thread, where that pays and at least `every` changes were applied since
        the last save; whether it is done."""
        changes = self._state.number - self._saved
        if changes < (every or self._save_every) or self._folder is None or not self._keeps:
            return False
        if not snapshot_meta.worth_writing(self._state, changes):
            return False
        return self._background.start(self._save_alone)

    def save(self) -> Path:
        """Write the snapshot; its path. `OSError` where the disk refuses, `ValueError` without a
        folder. Several processes may save at once: each writes a whole one, the last stands."""
        if self._folder is None:
            raise ValueError("this index has no folder")
        with self._save_lock:
            identity = self._store.identity()
            with self._lock:
                state = self._state
                number, packing = state.number, state.packing()
                meta = snapshot_meta.of(state, self._indexed, identity, tables=self._shares)
            path = self._folder.write(meta, packing)
            self._saved, self._seen = number, self._folder.identity()
        return path

    def published(self) -> tuple[Published, Path]:
        """The snapshot as it may be published, and its file, which is written anew where changes
        were applied since, and checked whole. Raises what `save` raises, and `BadSnapshot`."""
        if self._folder is None:
            raise ValueError("this index has no folder")
        if self._folder.identity() is None or self._state.number != self._saved:
            self.save()
        return publishing.as_published(self._folder, self._indexed, self._store), self._folder.file

    def verify(self) -> Verification:
        """Compare every code in the database with what the index can find, content and count, and
        search for a sample of them; of local features, sounds and descriptors, how many each
        reference has.
        Searches and changes may go on beside it."""
        self.refresh()
        with self._lock:
            state = self._state
            number, names = state.number, list(state.names)
            found = {kind: shelf.found() for kind, shelf in state.shelves.items()}
            held = verification.contents_of_counts(state.feature_counts())
        lost: set[str] = set()
        for kind, rows in found.items():
            held.update(verification.contents_of_rows(kind, rows, names))
            wanted = verification.sample(rows, _SAMPLE)
            hits, near, _ = state.shelves[kind].search(wanted.codes, 0)
            ordinals = verification.not_found(wanted, hits.queries.tolist(), near)
            lost.update(names[ordinal] for ordinal in ordinals)
        stored, moved = self._indexed.stored(self._store, number)
        report = verification.report(number, found, held, stored, lost=lost, moved=moved)
        return report if self._shared is None else report.beside(self._shared.differences())

    def _resume(self, whole: bool) -> bool:
        """Go on from the snapshot; whether it is of use."""
        state, self._found, contents = self._load(whole)
        if state is None or contents is None:
            return False
        if not self._follow(state):
            self._found = SnapshotState.STALE
            return False
        self._state = state
        if self._shares and not contents.meta.get("tables") and self._keeps:
            self._background.start(self._save_alone)  # what an engine without tables has written
        elif self._shares or not contents.whole:
            self._background.start(lambda: self._settle(contents))
        return True

    def _load(self, whole: bool) -> tuple[Shelves | None, SnapshotState, Contents | None]:
        """The snapshot's state; None, and a warning that says why, where it is of no use."""
        if self._folder is None:
            return None, SnapshotState.MISSING, None
        found = SnapshotState.DAMAGED
        seen = self._seen = self._folder.identity()
        try:
            small = seen is not None and seen[2] <= _WHOLE
            contents = self._folder.read(whole=whole or small)
            found = SnapshotState.STALE
            snapshot_meta.check(contents.meta, self._indexed, self._store)
            found = SnapshotState.DAMAGED
            state = self._indexed.empty()
            state.load(contents.arrays)
        except BadSnapshot as error:
            missing = missing_or_bad(self._folder, error)
            return None, SnapshotState.MISSING if missing else found, None
        state.number, state.last = contents.meta["number"], contents.meta["last"]
        self._saved = state.number
        return state, SnapshotState.GOOD, contents

    def _settle(self, contents: Contents | None) -> None:
        """Check what was not checked of the snapshot; one that is damaged is made anew."""
        if self._folder is None or contents is None:
            return
        try:
            self._folder.settle(contents)
        except BadSnapshot as error:
            log.error("the snapshot is damaged, reading the database anew: %s", error)
            self._found = SnapshotState.DAMAGED
            self.rebuild(save=self._keeps)

    def _adopt(self) -> Contents | None:
        """Put the snapshot in the place of what is held, which is then shared; None where it is of
        no use, or older than the one that was loaded last."""
        saved = self._saved
        state, _, contents = self._load(whole=False)
        if state is None or state.number < saved or not self._follow(state):
            self._saved = saved
            return None
        with self._lock:
            if not self._follow(state):
                return None
            self._state = state
        return contents

    def _save_alone(self) -> None:
        """Save, unless another process is about it or has done it."""
        assert self._folder is not None
        made = None
        with self._folder.locked(wait=False) as mine:
            if mine and not self._saved_by_another():
                made = self._save_quietly()
        self._settle(made)

    def _saved_by_another(self) -> bool:
        """Whether there is a newer snapshot than the one that this process knows."""
        assert self._folder is not None
        now = self._folder.identity()
        if now is None or now == self._seen:
            return False
        try:
            number = self._folder.read(whole=False).meta.get("number")
        except BadSnapshot:
            return False
        if type(number) is not int or number <= self._saved:
            return False
        if not self._shares:  # else it is taken over soon
            self._saved, self._seen = number, now
        return True

    def _built(self, progress: Progress | None) -> Shelves:
        return self._indexed.read(self._store, progress)

    def _follow(self, state: Shelves) -> bool:
        return self._indexed.follow(self._store, state)

    def _save_quietly(self) -> Contents | None:
        """Save, and share what was saved; matching goes on where that fails."""
        if self._folder is None or not self._keeps:
            return None
        try:
            self.save()
        except (OSError, DatabaseUnavailable) as error:
            log.warning("the snapshot could not be written: %s", error)
            self._saved = self._state.number  # not again before as many changes
            return None
        return self._adopt() if self._shares else None
