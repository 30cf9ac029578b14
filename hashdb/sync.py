"""Reads a partner's feed into a bank, so that a kill at any moment neither loses nor doubles.

The feed's lines are applied in batches. One transaction adds and withdraws a batch's references
and moves the exchange's checkpoint past it; whoever comes next goes on from there. A line that
comes twice changes nothing.

What a moderator here withdrew stays withdrawn, whatever the feed says, until a moderator adds it
again. What the partner withdrew comes back where the partner adds it again, disabled if a moderator
had disabled it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field

from hashdb.addition import Shared, read_addition
from hashdb.errors import BadFingerprint, PartnerUnavailable
from hashdb.model import Bank, Exchange, Reference
from hashdb.ports import BadLine, FeedEntry, Partner
from hashdb.store import Store, Transaction

BATCH_ENTRIES = 100
BATCH_FRAMES = 200_000
PAGE = 1000  # references looked through at once
LONGEST_REASON = 200
ORIGINS = "origins"
"""Member of a reference's metadata: the partner's ids of it, where there is more than one."""
Entry = FeedEntry | BadLine


@dataclass(frozen=True, slots=True)
class Refused:
    """A line that was passed over, and why; its number is known where it is no entry at all."""

    reference_id: str | None
    why: str
    line: int | None = None


@dataclass(slots=True)
class Pulled:
    """What a pull has done so far. `known`: additions that the bank had already; `overruled`: those
    that were passed over, since a moderator here had withdrawn what they add."""

    added: int = 0
    withdrawn: int = 0
    known: int = 0
    overruled: int = 0
    refused: list[Refused] = field(default_factory=list)
    checkpoint: str | None = None

    @property
    def lines(self) -> int:
        return self.added + self.withdrawn + self.known + self.overruled + len(self.refused)


def pull(
    store: Store,
    partner: Partner,
    *,
    name: str,
    bank: Bank,
    actor: str,
    from_start: bool = False,
    progress: Callable[[Pulled], None] | None = None,
) -> Pulled:
    """Applies all that is new in the partner's feed to the bank; `name` names the partner.

    `from_start`: all of the feed is read again, whatever checkpoint is kept; the partner that does
    not know that checkpoint any more needs it. What the bank has already is not doubled, and what
    the partner withdrew and added again is left alone (see `_Replay`).

    Lines that cannot be read are passed over and counted. Raises `PartnerUnavailable` where the
    feed breaks off; what came before is kept, and the next pull goes on after it. One from the
    start leaves the checkpoint where it was until all was read. Raises `Conflict` where another
    pull of the list has gone on meanwhile: of two, the slower one would undo what the list's later
    lines say.
    """
    with store.begin() as tx:
        exchange = tx.exchanges.ensure(name, bank.id)
    done = Pulled(checkpoint=exchange.checkpoint)
    further = _FurtherIds(store, bank)
    apply = _Applying(store, bank, exchange, further, actor, progress or (lambda _: None))
    if from_start:
        with closing(sqlite3.connect("")) as memory:
            replay = _Replay(partner.fetch(None), memory)
            done = apply(replay.passed(partner.fetch(None)), done, moving=False)
        done.checkpoint = replay.checkpoint
        if done.checkpoint is None:
            return done
        with store.begin() as tx:
            tx.exchanges.hold(exchange.id, exchange.checkpoint)
            tx.exchanges.advance(exchange.id, done.checkpoint)
    return apply(partner.fetch(done.checkpoint), done)


@dataclass(frozen=True, slots=True)
class _Applying:
    """Applies entries to the bank, batch by batch."""

    store: Store
    bank: Bank
    exchange: Exchange
    further: _FurtherIds
    actor: str
    progress: Callable[[Pulled], None]

    def __call__(self, entries: Iterator[Entry], done: Pulled, *, moving: bool = True) -> Pulled:
        """`done` and these entries together. `moving`: the exchange's checkpoint with them."""
        for batch, broken in _batches(entries):
            if batch:
                if any(isinstance(e, FeedEntry) and e.change == "withdraw" for e in batch):
                    self.further.load()
                with self.store.begin() as tx:
                    tx.exchanges.hold(self.exchange.id, done.checkpoint)
                    step = _Step(tx, self.bank, self.exchange, self.further, self.actor)
                    for entry in batch:
                        step.apply(entry)
                    checkpoint = _last_checkpoint(batch) if moving else None
                    if checkpoint is not None:
                        tx.exchanges.advance(self.exchange.id, checkpoint)
                done = step.counted(done, checkpoint or done.checkpoint)
                self.progress(done)
            if broken is not None:
                raise broken
        return done


class _FurtherIds:
    """A partner's ids of references beside their origins, where it holds a file twice.

    They stand in the metadata, where the database finds none without reading the whole bank: so
    that is done once a pull, outside of its transactions, not for each id that is withdrawn.
    """

    def __init__(self, store: Store, bank: Bank) -> None:
        self._store = store
        self._bank = bank
        self._loaded = False
        self._first: dict[str, set[str]] = {}

    def load(self) -> None:
        """Call it before a transaction that withdraws; `note` what is added meanwhile."""
        after: str | None = None
        while not self._loaded:
            with self._store.read() as tx:
                page, after = tx.banks.references(
                    bank=self._bank.id, text=ORIGINS, limit=PAGE, after=after
                )
            for reference in page:
                if reference.withdrawn_at is None:
                    self.note(reference, _origins(reference))
            self._loaded = after is None

    def note(self, reference: Reference, origins: list[str]) -> None:
        if reference.origin is not None:
            for origin in origins:
                self._first.setdefault(origin, set()).add(reference.origin)

    def firsts(self, origin: str) -> set[str]:
        """Origins of all references that the partner may know by that id."""
        return self._first.get(origin, set()) | {origin}


class _Replay:
    """A list that is read again from its start, first to see how it ends. To replay each step would
    withdraw what is shared now, and add it again only some batches later.

    Of each id that the list withdraws, its last change is kept: by SQLite, in a temporary file,
    since they may be millions.
    """

    def __init__(self, entries: Iterator[Entry], memory: sqlite3.Connection) -> None:
        self.checkpoint: str | None = None
        self._db = memory
        self._db.execute("CREATE TABLE last (id TEXT PRIMARY KEY, change TEXT) WITHOUT ROWID")
        for entry in entries:
            self.checkpoint = entry.checkpoint or self.checkpoint
            if isinstance(entry, FeedEntry):
                self._note(entry)

    def _note(self, entry: FeedEntry) -> None:
        if entry.change == "withdraw":
            statement = "INSERT OR REPLACE INTO last (change, id) VALUES (?, ?)"
        else:
            statement = "UPDATE last SET change = ? WHERE id = ?"
        self._db.execute(statement, (entry.change, entry.reference_id))

    def passed(self, entries: Iterator[Entry]) -> Iterator[Entry]:
        """The same list's entries but those that a later one revokes. What was added to its end
        meanwhile is left to who goes on after `checkpoint`."""
        for entry in entries:
            if isinstance(entry, BadLine) or not self._revoked(entry):
                yield entry
            if entry.checkpoint == self.checkpoint is not None:
                return

    def _revoked(self, entry: FeedEntry) -> bool:
        query = "SELECT 1 FROM last WHERE id = ? AND change <> ?"
        found = self._db.execute(query, (entry.reference_id, entry.change))
        return found.fetchone() is not None


def _last_checkpoint(batch: list[Entry]) -> str | None:
    """Where to go on after it: of a bad line that does not say so, it is where it was."""
    return next((e.checkpoint for e in reversed(batch) if e.checkpoint is not None), None)


def _batches(
    entries: Iterator[Entry],
) -> Iterator[tuple[list[Entry], PartnerUnavailable | None]]:
    """Batches of entries; the last one comes with the error that broke the feed off, if one did."""
    batch: list[Entry] = []
    frames = 0
    try:
        for entry in entries:
            batch.append(entry)
            frames += _count_frames(entry)
            if len(batch) >= BATCH_ENTRIES or frames >= BATCH_FRAMES:
                yield batch, None
                batch, frames = [], 0
    except PartnerUnavailable as error:
        yield batch, error
        return
    yield batch, None


def _count_frames(entry: Entry) -> int:
    if isinstance(entry, BadLine):
        return 0
    given = entry.body.get("fingerprints")
    items = given if isinstance(given, list) else []
    lists = [item.get("frames") for item in items if isinstance(item, dict)]
    return sum(len(frames) for frames in lists if isinstance(frames, list))


class _Step:
    """One batch within its transaction. Counts for itself: a transaction may yet fail."""

    def __init__(
        self,
        tx: Transaction,
        bank: Bank,
        exchange: Exchange,
        further: _FurtherIds,
        actor: str,
    ) -> None:
        self._tx = tx
        self._bank = bank
        self._exchange = exchange
        self._further = further
        self._actor = actor
        self._counts = Pulled()

    def apply(self, entry: Entry) -> None:
        if isinstance(entry, BadLine):
            self._refuse(Refused(entry.reference_id, entry.why, entry.number))
        elif entry.change == "withdraw":
            self._withdraw(entry.reference_id)
        else:
            try:
                shared = read_addition(entry.body)
            except BadFingerprint as error:
                self._refuse(Refused(entry.reference_id, str(error)[:LONGEST_REASON]))
            else:
                self._add(entry.reference_id, shared)

    def _refuse(self, refused: Refused) -> None:
        self._counts.refused.append(refused)

    def counted(self, before: Pulled, checkpoint: str | None) -> Pulled:
        """`before` and this step together."""
        now = self._counts
        before.refused.extend(now.refused)  # of many, a copy a batch would take long
        return Pulled(
            before.added + now.added,
            before.withdrawn + now.withdrawn,
            before.known + now.known,
            before.overruled + now.overruled,
            before.refused,
            checkpoint,
        )

    def _add(self, origin: str, shared: Shared) -> None:
        media = (self._bank.id, shared.digests, shared.fingerprints, origin)
        if self._tx.banks.overruled(*media):
            self._counts.overruled += 1
            return
        reference, created = self._tx.banks.add_reference(
            self._bank,
            kind=shared.kind,
            digests=shared.digests,
            fingerprints=shared.fingerprints,
            origin=origin,
            duration_s=shared.duration_s,
        )
        if created:
            self._counts.added += 1
            self._record("add", reference.id, origin)
            if self._tx.banks.was_disabled(*media):
                self._tx.banks.set_enabled(reference.id, False)
                self._record("disable", reference.id, origin)
        else:
            self._counts.known += 1
        # The partner may hold one file twice, in two banks. A reference of our own (without an
        # origin) stays ours: a partner's withdrawal must not end it.
        origins = _origins(reference)
        if origin != reference.origin:
            self._further.note(reference, [origin])
        if reference.origin is not None and origin not in origins:
            self._keep_origins(reference, [*origins, origin])

    def _withdraw(self, origin: str) -> None:
        for reference in self._named(origin):
            left = [o for o in _origins(reference) if o != origin]
            if left:
                self._keep_origins(reference, left)
                continue
            self._tx.banks.withdraw(reference.id)
            self._counts.withdrawn += 1
            self._record("withdraw", reference.id, origin)

    def _named(self, origin: str) -> list[Reference]:
        """The bank's living references that the partner knows by that id."""
        found = [
            reference
            for first in sorted(self._further.firsts(origin))
            for reference in self._tx.banks.by_origin(self._bank.id, first)
        ]
        return [reference for reference in found if origin in _origins(reference)]

    def _keep_origins(self, reference: Reference, origins: list[str]) -> None:
        metadata = {**reference.metadata, ORIGINS: origins}
        self._tx.banks.set_metadata(reference.id, metadata)

    def _record(self, act: str, reference_id: str, origin: str) -> None:
        detail = {"bank": self._bank.name, "partner": self._exchange.partner, "origin": origin}
        self._tx.audit.record(self._actor, act, reference_id, detail)


def _origins(reference: Reference) -> list[str]:
    """All ids by which the partner shares it now: one, unless it holds the same file twice."""
    kept = reference.metadata.get(ORIGINS)
    if isinstance(kept, list):
        return [str(o) for o in kept]
    return [] if reference.origin is None else [reference.origin]
