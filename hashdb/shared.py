"""References' frame hashes on a server that all processes share, kept in step with the database.

The database is the only truth, as for what is held in memory (`hashdb.snapshot`). Whichever process
first sees a change writes it to the server, alone, and then the mark that says so; the others see
the mark. Each code has an id that all processes know by themselves: by which change its reference
was added, and the how manyeth of its codes it is. So whatever was written twice, or half, is found
out by comparing. See docs/decisions/0025.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields

import numpy as np

from hashdb import change_log
from hashdb.errors import BadFingerprint, IndexUnavailable
from hashdb.model import Change, ChangeKind, Codes, Fingerprint, Ints
from hashdb.ports import Mark, PlacedCodes, PlacedHits, SharedCodes
from hashdb.shared_hits import ROW_BITS, Search, SharedHits
from hashdb.store import Store, Transaction

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]

MOST_ROWS = 1 << ROW_BITS

_PAGE = 100  # references compared at once
_MARKED = 20  # pages written between two marks
_PATIENCE_S = 5.0  # for so long a search waits while another process writes
_FOREVER_S = 1e9
_MANY = 10_000  # codes put from which on the server is asked to file them at once
_SETTLED = 500_000  # codes put between two such


@dataclass(frozen=True, slots=True)
class Differences:
    """References some of whose codes the server lacks or has otherwise, and those that it has and
    should not: by id, or as `change N` where the database has none by that number."""

    missing: frozenset[str]
    extra: frozenset[str]
    references: int
    codes: Mapping[str, int]


class SharedReferences:
    """All references' codes of some signal types; any number of threads may use one.

    Raises `IndexUnavailable` where the server does not answer, or where another process is so busy
    filling it that waiting for it makes no sense.
    """

    def __init__(self, store: Store, codes: Mapping[str, SharedCodes]) -> None:
        self._store, self._codes = store, codes
        self._lock = threading.Lock()
        self._at: tuple[int, str | None] | None = None  # up to which change all is known to be held
        self._sizes = dict.fromkeys(codes, 0)

    @property
    def signal_types(self) -> Sequence[str]:
        return tuple(self._codes)

    def open(self, number: int, last: str | None, progress: Progress | None = None) -> None:
        """As `reach`, however long it takes. A server that does not answer is asked again by
        whoever searches."""
        try:
            self.reach(number, last, progress, patience_s=_FOREVER_S)
        except IndexUnavailable as error:
            log.warning("the index: %s", error)

    def reach(
        self,
        number: int,
        last: str | None,
        progress: Progress | None = None,
        *,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        """Searches from now on see the database as of change `number`, whose reference is `last`,
        or later. Asks nobody where that is known."""
        if self._at == (number, last):
            return
        with self._alone_here(patience_s):
            if self._at != (number, last):
                self._ensure(number, progress, patience_s)

    def look(self) -> None:
        """Ask the server whether it still holds what it held: it may have been put back to an
        earlier state, or emptied. Raises where it does not answer."""
        with self._alone_here(_PATIENCE_S):
            self._ensure(0 if self._at is None else self._at[0], None, _PATIENCE_S)

    def search(
        self,
        signal_type: str,
        codes: Codes,
        radius: int,
        most: int | None,
        hidden: Collection[str] = (),
    ) -> SharedHits:
        """As `ReferenceIndex.search`. `hidden`: the references that are passed over where `most` is
        given, as if they were not there."""
        if signal_type not in self._codes:
            raise BadFingerprint(f"{signal_type!r} is not indexed; {', '.join(self._codes)} are")

        def find(some: Codes, asked: int | None) -> PlacedHits:
            try:
                return self._codes[signal_type].find(some, radius, asked)
            except IndexUnavailable:
                self._at = None  # it may come back as another one
                raise

        return Search(find, self._added, () if most is None else hidden).hits(codes, most)

    def _added(self, numbers: Collection[int]) -> dict[int, str]:
        with self._store.read() as tx:
            return tx.changes.added(numbers)

    def sizes(self) -> dict[str, int]:
        """How many codes can be found, by signal type; what was last known while the server does
        not answer."""
        try:
            self._sizes = {kind: len(codes) for kind, codes in self._codes.items()}
        except IndexUnavailable as error:
            log.debug("the index: %s", error)
        return dict(self._sizes)

    def mend(self, progress: Progress | None = None) -> None:
        """Compare all that is held with the database, and put right what differs. Searches go on
        beside it, and other processes write changes in between."""
        with self._alone_here(_FOREVER_S):
            with self._store.alone(_FOREVER_S):
                if not self._is_held(0):
                    self._fill(progress)
                    return
            first = done = put = 0
            while first < _LAST:
                with self._store.alone(_FOREVER_S), self._store.read() as tx:
                    self._catch_up()
                    for page in itertools.islice(_pages_of_all(tx, first), _MARKED):
                        put += self._level(tx, page, empty=False)
                        first, done = page.end, done + len(page.named)
                if progress is not None:
                    progress(done, done)
                if put >= _MANY:
                    put = 0
                    self._settle()
            self._catch_up()

    def differences(self) -> Differences:
        """All that differs from the database, but for what has changed since the mark. Changes and
        searches go on beside it."""
        missing: set[str] = set()
        extra: set[int] = set()
        held = 0
        counts = dict.fromkeys(self._codes, 0)
        self._catch_up()
        at = self._marked()
        with self._store.read() as tx:
            for page in _pages_of_all(tx):
                numbers: set[int] = set()
                for kind, wanted, there in self._both(tx, page, empty=False):
                    counts[kind] += len(there)
                    numbers |= _numbers(there.ids)
                    differ = set().union(*map(_numbers, _difference(wanted, there)))
                    missing |= {page.named[n] for n in differ if n in page.named}
                    extra |= differ - set(page.named)
                held += len(numbers)
        with self._store.read() as tx:
            known = tx.changes.added(extra)
            moved = {
                c.reference_id
                for some in change_log.pages(tx, at[0] if at else 0, _PAGE)
                for c in some
            }
        strays = {known.get(n, f"change {n}") for n in extra}
        return Differences(frozenset(missing - moved), frozenset(strays - moved), held, counts)

    # What is done alone.

    @contextmanager
    def _alone_here(self, seconds: float) -> Iterator[None]:
        """One thread of this process at a time."""
        if not self._lock.acquire(timeout=min(seconds, threading.TIMEOUT_MAX)):
            raise IndexUnavailable("the index is being brought up to date")
        try:
            yield
        finally:
            self._lock.release()

    def _ensure(self, number: int, progress: Progress | None, patience_s: float) -> None:
        if self._is_held(number):
            return
        with self._store.alone(patience_s) as mine:
            if not mine:
                raise IndexUnavailable("another process brings the index up to date")
            if not self._is_held(number):
                self._bring_up(progress)

    def _catch_up(self) -> None:
        for codes in self._codes.values():
            codes.catch_up()

    def _is_held(self, number: int) -> bool:
        """Whether the server's marks say that this change, of this database's past, is held."""
        try:
            self._catch_up()
            at = self._marked()
        except IndexUnavailable:
            self._at = None
            raise
        held = at is not None and at[0] >= number
        self._at = at if held else None
        return held

    def _marked(self) -> tuple[int, str | None] | None:
        """The change that all signal types are held up to; None where there is a mark that is
        missing, or of another past."""
        marks = [codes.mark() for codes in self._codes.values()]
        found: list[tuple[int, str | None]] = []
        with self._store.read() as tx:
            for mark in marks:
                last = None if mark is None else change_log.reference_of(tx, mark.number)
                if mark is None or mark != _mark(mark.number, last):
                    return None
                found.append((mark.number, last))
        return min(found, key=lambda pair: pair[0])

    def _bring_up(self, progress: Progress | None) -> None:
        """Write what is missing; the lock is held, and all that others have written is seen."""
        at = self._marked()
        if at is None:
            log.info("filling the index from the database")
            self._fill(progress)
            return
        number, last = at
        put = 0
        with self._store.read() as tx:
            for count, changes in enumerate(change_log.pages(tx, number, _PAGE), 1):
                put += self._apply(tx, changes)
                number, last = changes[-1].number, changes[-1].reference_id
                if count % _MARKED == 0:
                    self._set_marks(number, last)
        self._finish(number, last, put)

    def _apply(self, tx: Transaction, changes: Sequence[Change]) -> int:
        """Write changes that follow on one another; how many codes were put."""
        gone = {c.reference_id for c in changes if c.kind is ChangeKind.WITHDRAW}
        named = {
            c.number: c.reference_id
            for c in changes
            if c.kind is ChangeKind.ADD and c.reference_id not in gone
        }
        page = _Page(changes[0].number, changes[-1].number + 1, named)
        put = self._level(tx, page, empty=False)
        for number in sorted(tx.changes.additions(gone).values()):
            if number < page.first:
                self._level(tx, _Page(number, number + 1, {}), empty=False)
        return put

    def _fill(self, progress: Progress | None) -> None:
        """Compare everything, where no mark says what is there."""
        self._catch_up()
        empty = not any(len(codes) for codes in self._codes.values())
        put = done = 0
        with self._store.read() as tx:
            number = tx.changes.head()
            last = change_log.reference_of(tx, number)
            for page in _pages_of_all(tx):
                put += self._level(tx, page, empty=empty)
                done += len(page.named)
                if put >= _SETTLED:
                    put = 0
                    self._settle()
                if progress is not None:
                    progress(done, max(done, number))
        self._finish(number, last, put)

    def _level(self, tx: Transaction, page: _Page, *, empty: bool) -> int:
        """Make what is there what should be; how many codes were put."""
        put = 0
        for kind, wanted, there in self._both(tx, page, empty=empty):
            lacking, wrong = _difference(wanted, there)
            if len(wrong):
                self._codes[kind].remove(wrong)
            if len(lacking):
                self._codes[kind].put(wanted.take(np.isin(wanted.ids, lacking)))
            put += len(lacking)
        return put

    def _both(
        self, tx: Transaction, page: _Page, *, empty: bool
    ) -> Iterator[tuple[str, PlacedCodes, PlacedCodes]]:
        """Of each signal type the page's codes as they should be, and as they are."""
        number_of = {name: number for number, name in page.named.items()}
        prints: dict[str, list[tuple[int, Fingerprint]]] = {kind: [] for kind in self._codes}
        if number_of:
            for name, one in tx.banks.fingerprints_of(list(number_of), self.signal_types):
                prints[one.signal_type].append((number_of[name], one))
        for kind, codes in self._codes.items():
            wanted = _placed(prints[kind], codes.bits)
            low, end = page.first << ROW_BITS, min(page.end << ROW_BITS, 2**63 - 1)
            yield kind, wanted, _placed([], codes.bits) if empty else codes.within(low, end)

    def _finish(self, number: int, last: str | None, put: int) -> None:
        if put >= _MANY:
            self._settle()
        self._set_marks(number, last)
        self._catch_up()
        self._at = (number, last)

    def _settle(self) -> None:
        for codes in self._codes.values():
            codes.settle()

    def _set_marks(self, number: int, last: str | None) -> None:
        for codes in self._codes.values():
            codes.set_mark(_mark(number, last))


@dataclass(frozen=True, slots=True)
class _Page:
    """References added by changes from `first` to below `end`: by number, those that should be
    there."""

    first: int
    end: int
    named: Mapping[int, str]


_LAST = 1 << (63 - ROW_BITS)


def _pages_of_all(tx: Transaction, first: int = 0) -> Iterator[_Page]:
    """All references that live, added by change `first` or later, and all numbers there can be."""
    while page := tx.changes.living(first - 1, limit=_PAGE):
        end = page[-1][0] + 1
        yield _Page(first, end, dict(page))
        first = end
    yield _Page(first, _LAST, {})


def _mark(number: int, last: str | None) -> Mark:
    return Mark(number, hashlib.blake2b((last or "").encode(), digest_size=8).digest())


def _placed(prints: Iterable[tuple[int, Fingerprint]], bits: int) -> PlacedCodes:
    """The codes of references, each with its number, under their ids."""
    parts: dict[int, list[Fingerprint]] = {}
    for number, one in prints:
        parts.setdefault(number, []).append(one)
    ids = [np.empty(0, dtype=np.int64)]
    every = []
    for number in sorted(parts):
        rows = sum(len(one) for one in parts[number])
        if rows > MOST_ROWS:
            raise BadFingerprint(f"a reference of {rows} codes of a signal type")
        ids.append((number << ROW_BITS) + np.arange(rows, dtype=np.int64))
        every += parts[number]
    none = np.empty(0)
    return PlacedCodes(
        np.concatenate(ids),
        np.concatenate([np.empty((0, bits // 8), dtype=np.uint8), *(f.codes for f in every)]),
        np.concatenate([none, *(f.offsets for f in every)]),
        np.concatenate([none, *(f.spans for f in every)]),
        np.concatenate([none, *(np.full(len(f), f.track) for f in every)]).astype(np.int32),
    )


def _difference(wanted: PlacedCodes, there: PlacedCodes) -> tuple[Ints, Ints]:
    """Ids that are wanted and not there, or otherwise; and ids that are there, and are not
    wanted, or otherwise."""
    _, mine, its = np.intersect1d(wanted.ids, there.ids, return_indices=True)
    alike = np.ones(len(mine), dtype=np.bool_)
    for column in fields(PlacedCodes):
        a, b = getattr(wanted, column.name)[mine], getattr(there, column.name)[its]
        alike &= (a == b).reshape(len(mine), -1).all(axis=1) if len(mine) else alike
    good = wanted.ids[mine[alike]]
    return np.setdiff1d(wanted.ids, good), np.setdiff1d(there.ids, good)


def _numbers(ids: Ints) -> set[int]:
    """By which changes the references were added that these ids are of."""
    return set(np.unique(ids >> ROW_BITS).tolist())
