"""What is indexed of the references, and how it is read from the database."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from hashdb import change_log, verification
from hashdb.model import Change, ChangeKind, Fingerprint
from hashdb.ports import DescriptorBackend, IndexBackend, LandmarkBackend, LocalBackend
from hashdb.shelf import Shelf
from hashdb.shelves import Shelves
from hashdb.signals import SIGNAL_TYPES
from hashdb.store import Store, Transaction

Progress = Callable[[int, int], None]

_PAGE = 1000  # changes read at once
_CHUNK = 1 << 16  # codes gathered before they are added, while all is read anew
_FEATURED = 100  # references whose features are read at once where they have no codes


@dataclass(frozen=True, slots=True)
class Indexed:
    """The signal types whose codes are indexed, and what makes the engines: `backends` one for
    codes of so many bits, the others as for `ReferenceIndex`; None: these are not indexed."""

    signal_types: Sequence[str]
    backends: Callable[[int], IndexBackend]
    local: Callable[[], LocalBackend] | None
    sound: Callable[[], LandmarkBackend] | None
    neural: Callable[[], DescriptorBackend] | None
    model: str

    @property
    def bits(self) -> dict[str, int]:
        """How many bits a code has, by signal type."""
        return {kind: SIGNAL_TYPES[kind].bits for kind in self.signal_types}

    def empty(self) -> Shelves:
        """Nothing held, in engines of its own."""
        return Shelves(
            {kind: Shelf(self.backends(bits)) for kind, bits in self.bits.items()},
            local=None if self.local is None else self.local(),
            sound=None if self.sound is None else self.sound(),
            neural=None if self.neural is None else self.neural(),
        )

    def read(self, store: Store, progress: Progress | None) -> Shelves:
        """All that the database holds, read in one transaction."""
        state = self.empty()
        with store.read() as tx:
            state.number = tx.changes.head()
            state.last = change_log.reference_of(tx, state.number)
            done = 0
            for chunk in _chunks(tx.banks.all_fingerprints(self.signal_types)):
                names = {name for name, _ in chunk}
                self._take(state, tx, sorted(names), chunk)
                done += len(names)
                if progress is not None:
                    progress(done, max(done, state.number))
            # A black picture has no code, and may have a sound.
            counts = tx.banks.feature_counts(self._featured(), self.model)
            featured = {name for name, _, _ in counts}
            rest = sorted(name for name in featured if state.names.find(name) is None)
            for first in range(0, len(rest), _FEATURED):
                self._take(state, tx, rest[first : first + _FEATURED], [])
            self._hide(tx, state, set())
        if progress is not None:
            progress(done, done)
        return state

    def follow(self, store: Store, state: Shelves) -> bool:
        """Apply the changes since `state.number`, and hide what may not be enforced; False where
        that change of the database is missing or another one."""
        moved: set[str] = set()
        last: Change | None = None
        with store.read() as tx:
            if state.number and change_log.reference_of(tx, state.number) != state.last:
                return False
            for page in change_log.pages(tx, state.number, _PAGE):
                gone = {c.reference_id for c in page if c.kind is ChangeKind.WITHDRAW}
                added = [c.reference_id for c in page if c.kind is ChangeKind.ADD]
                fresh = [n for n in added if n not in gone and state.names.find(n) is None]
                prints = [(n, f) for n in fresh for f in self._fingerprints(tx, n)]
                self._take(state, tx, fresh, prints)
                state.remove(gone)
                moved |= {c.reference_id for c in page}
                last = page[-1]
            self._hide(tx, state, moved)
            if last is not None:  # at the end: whoever sees the number searches by all of it
                state.number, state.last = last.number, last.reference_id
        return True

    def _hide(self, tx: Transaction, state: Shelves, moved: set[str]) -> None:
        """Hide what may not be enforced: of the references that changed, where no bank was switched
        on or off."""
        off = tx.hidden.news(0).banks_off
        if off != state.banks_off:
            state.hide(tx.hidden.references())
            state.banks_off = off
            return
        found = tx.banks.references_by_ids(moved) if moved else {}
        living = {i: r for i, r in found.items() if r.withdrawn_at is None}
        hidden = {i for i, r in living.items() if not r.enforceable}
        if hidden != state.hidden.keys() & moved:
            state.hide((state.hidden.keys() - moved) | hidden)

    def stored(self, store: Store, number: int) -> tuple[verification.Contents, set[str]]:
        """What the database holds of what is indexed, and the references of which something has
        changed after change `number`."""
        with store.read() as tx:
            stream = tx.banks.all_fingerprints(self.signal_types)
            stored = verification.contents_of_fingerprints(stream)
            features = tx.banks.feature_counts(self._featured(), self.model)
            stored.update(verification.contents_of_counts(features))
            moved = {c.reference_id for page in change_log.pages(tx, number, _PAGE) for c in page}
        return stored, moved

    def _featured(self) -> list[str]:
        """The signal types that are indexed and have an index of their own."""
        wanted = (("local", self.local), ("sound", self.sound), ("neural", self.neural))
        return [name for name, index in wanted if index is not None]

    def _take(
        self,
        state: Shelves,
        tx: Transaction,
        names: Sequence[str],
        fingerprints: Iterable[tuple[str, Fingerprint]],
    ) -> None:
        """Add references with all that is indexed of them."""
        state.add(
            fingerprints,
            tx.banks.local_features(names) if self.local is not None else (),
            tx.banks.sound_peaks(names) if self.sound is not None else (),
            tx.banks.descriptors(names, self.model) if self.neural is not None else (),
        )

    def _fingerprints(self, tx: Transaction, reference_id: str) -> list[Fingerprint]:
        kept = tx.banks.fingerprints(reference_id)
        return [f for f in kept if f.signal_type in self.signal_types]


def _chunks(
    fingerprints: Iterable[tuple[str, Fingerprint]],
) -> Iterator[list[tuple[str, Fingerprint]]]:
    """Lists of some `_CHUNK` codes, all fingerprints of a reference in the same one."""
    chunk: list[tuple[str, Fingerprint]] = []
    codes = 0
    for _, group in itertools.groupby(fingerprints, key=lambda pair: pair[0]):
        some = list(group)
        chunk += some
        codes += sum(len(f) for _, f in some)
        if codes >= _CHUNK:
            yield chunk
            chunk, codes = [], 0
    if chunk:
        yield chunk
