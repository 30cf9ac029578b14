"""Banks, their references, and the references' fingerprints."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Text,
    and_,
    cast,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from hashdb.errors import BadArgument, Conflict, NameTaken, NotFound
from hashdb.model import (
    Action,
    Bank,
    ChangeKind,
    Descriptors,
    Digests,
    Fingerprint,
    LocalFeatures,
    MediaKind,
    Motion,
    Reference,
    SoundPeaks,
    Standing,
    new_id,
    now,
)
from hashdb.store import feature_packing, packing, rows
from hashdb.store.changes import Changes
from hashdb.tables import (
    bank_references,
    banks,
    reference_features,
    reference_fingerprints,
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_ID = re.compile(r"bank_[0-9a-f]{32}")

_FEATURED = 20  # references whose features are read at once: each may have tens of megabytes

ReferenceState = Literal["enabled", "disabled", "withdrawn"]


# Spelt here, as `Banks.list` hides the built-in within the class.
References = list[Reference]
Page = tuple[list[Reference], str | None]
DigestHits = list[tuple[Reference, str]]
Fingerprints = list[Fingerprint]
Counts = list[tuple[str, str, int]]


class Keep(Enum):
    """Says that a field which may be None stays as it is."""

    KEEP = "keep"


KEEP = Keep.KEEP


class Banks:
    def __init__(self, connection: Connection, changes: Changes) -> None:
        self._connection = connection
        self._changes = changes

    # Banks

    def create(self, name: str, action: Action = Action.BLOCK, label: str | None = None) -> Bank:
        """A new bank. Raises `BadArgument` for a bad name, `NameTaken` where there is one."""
        made = Bank(new_id("bank"), _name(name), action, label, enabled=True, created_at=now())
        values = {
            "id": made.id,
            "name": made.name,
            "action": made.action.value,
            "label": label,
            "enabled": True,
            "created_at": made.created_at,
        }
        try:
            with self._connection.begin_nested():
                self._connection.execute(insert(banks), values)
        except IntegrityError:
            raise NameTaken(f"there is a bank {name!r} already") from None
        return made

    def get(self, name_or_id: str) -> Bank:
        """The bank of that id or name; `NotFound` where there is none."""
        query = select(banks).where(or_(banks.c.id == name_or_id, banks.c.name == name_or_id))
        row = self._connection.execute(query).mappings().first()
        if row is None:
            raise NotFound(f"there is no bank {name_or_id!r}")
        return rows.bank(row)

    def list(self) -> list[Bank]:
        """All banks, by name."""
        query = select(banks).order_by(banks.c.name)
        return [rows.bank(row) for row in self._connection.execute(query).mappings()]

    def update(
        self,
        bank_id: str,
        *,
        name: str | None = None,
        action: Action | None = None,
        label: str | None | Keep = KEEP,
        enabled: bool | None = None,
    ) -> Bank:
        """Changes what is given. Raises `NotFound`, `BadArgument`, `NameTaken`.

        A bank that is switched off matches nothing, from the next upload on; this is no change
        of its references, so the change log does not tell of it.
        """
        bank = self.get(bank_id)
        values: dict[str, Any] = {}
        if name is not None:
            values["name"] = _name(name)
        if action is not None:
            values["action"] = action.value
        if label is not KEEP:
            values["label"] = label
        if enabled is not None:
            values["enabled"] = enabled
        if values:
            statement = update(banks).where(banks.c.id == bank.id).values(values)
            try:
                with self._connection.begin_nested():
                    self._connection.execute(statement)
            except IntegrityError:
                raise NameTaken(f"there is a bank {name!r} already") from None
        return self.get(bank.id)

    # References

    def add_reference(
        self,
        bank: Bank,
        *,
        kind: MediaKind,
        digests: Digests,
        fingerprints: Sequence[Fingerprint],
        source: str | None = None,
        origin: str | None = None,
        duration_s: float | None = None,
        metadata: Mapping[str, Any] | None = None,
        standing: Standing = Standing.POSITIVE,
        local: Sequence[LocalFeatures] = (),
        motion: Sequence[Motion] = (),
        sound: Sequence[SoundPeaks] = (),
        descriptors: Sequence[Descriptors] = (),
        looked_for: Collection[str] = (),
        model: str = "",
    ) -> tuple[Reference, bool]:
        """The reference, and whether it is new; a new one is noted in the change log.

        `looked_for`: signal types that count as kept even where nothing of them was found (a
        silent file has no sound), so that nobody needs to look again. `model`: the one that made
        the `descriptors`, or would have; those of another model count as lacking.

        The bank's living (not withdrawn) reference with the same SHA-256 is given again. Where
        no SHA-256 is known: the one with the same origin, or, of references without frames, with
        the same MD5. Where it lacks a signal type that these fingerprints have (it came as a digest
        alone, say), a new reference takes its place. Raises `BadFingerprint`.
        """
        kept = packing.merged(fingerprints)
        packed = [packing.pack(f) for f in kept]
        features = [feature_packing.pack_local(f) for f in local if len(f.codes)]
        features += [feature_packing.pack_motion(m) for m in motion if len(m)]
        features += [feature_packing.pack_sound(s) for s in sound if len(s)]
        features += [feature_packing.pack_descriptors(d) for d in descriptors if len(d)]
        found_types = {f["signal_type"] for f in (*packed, *features)}
        features += [
            feature_packing.pack_nothing(name, model if name == "neural" else "")
            for name in looked_for
            if name not in found_types
        ]
        same = _same_media(bank.id, digests, origin, packing.frames(kept))
        found = self._living(same)
        if found is not None:
            brought = {f["signal_type"] for f in (*packed, *features)}
            if brought <= self.signal_types(found.id, model):
                return found, False
            self.withdraw(found.id)
            origin = found.origin  # ours stays ours, a partner's stays the partner's
            source = source or found.source
            metadata = {**found.metadata, **(metadata or {})}
        made = Reference(
            id=new_id("ref"),
            bank=bank,
            kind=kind,
            digests=digests,
            source=source,
            origin=origin,
            duration_s=duration_s,
            frames=packing.frames(kept),
            standing=standing,
            enabled=found is None or found.enabled,
            added_at=now(),
            metadata=dict(metadata or {}),
        )
        try:
            with self._connection.begin_nested():
                self._insert(made, packed, features)
        except IntegrityError:
            found = self._living(same)  # another transaction was faster
            if found is None:
                raise
            return found, False
        self._changes.append(ChangeKind.ADD, made.id, bank.id)
        return made, True

    def reference(self, reference_id: str) -> Reference:
        """The reference, withdrawn or not; `NotFound` where there is none."""
        query = rows.select_references().where(bank_references.c.id == reference_id)
        row = self._connection.execute(query).mappings().first()
        if row is None:
            raise NotFound(f"there is no reference {reference_id!r}")
        return rows.reference(row)

    def references(
        self,
        *,
        bank: str | None = None,
        text: str | None = None,
        state: ReferenceState | None = None,
        digest: str | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> Page:
        """A page of references, oldest first, and the cursor (`after`) of the next page, None at
        the end.

        `bank`: a name or id (`NotFound`); `text`: found in the source, origin, id or metadata,
        in any case; `digest`: equal to the SHA-256 or MD5.
        """
        columns = bank_references.c
        query = rows.select_references()
        if bank is not None:
            query = query.where(columns.bank_id == self.get(bank).id)
        if state is not None:
            query = query.where(_in_state(state))
        if digest is not None:
            wanted = digest.lower()
            query = query.where(or_(columns.sha256 == wanted, columns.md5 == wanted))
        if text:
            places = (columns.source, columns.origin, columns.id, cast(columns.metadata, Text))
            query = query.where(or_(*(p.icontains(text, autoescape=True) for p in places)))
        if after is not None:
            query = query.where(columns.id > after)
        query = query.order_by(columns.id).limit(limit + 1)
        found, more = rows.page(self._connection.execute(query).mappings().all(), limit)
        return [rows.reference(row) for row in found], found[-1]["id"] if found and more else None

    def references_by_ids(self, ids: Iterable[str]) -> dict[str, Reference]:
        """Those references that exist, withdrawn or not, by id."""
        found: dict[str, Reference] = {}
        for some in rows.chunks(ids):
            query = rows.select_references().where(bank_references.c.id.in_(some))
            for row in self._connection.execute(query).mappings():
                found[row["id"]] = rows.reference(row)
        return found

    def by_digest(self, digests: Digests) -> DigestHits:
        """References of any bank with an equal digest, oldest first, enforceable or not, each
        with the signal type that is equal: "sha256" where it is, else "md5"."""
        columns = bank_references.c
        equal: list[ColumnElement[bool]] = []
        if digests.sha256 is not None:
            equal.append(columns.sha256 == digests.sha256)
        if digests.md5 is not None:
            equal.append(columns.md5 == digests.md5)
        if not equal:
            return []
        query = rows.select_references().where(or_(*equal)).order_by(columns.id)
        answer = []
        for row in self._connection.execute(query).mappings():
            exact = digests.sha256 is not None and row["sha256"] == digests.sha256
            answer.append((rows.reference(row), "sha256" if exact else "md5"))
        return answer

    def by_origin(self, bank_id: str, origin: str) -> References:
        """The bank's living references that came with a partner's id."""
        query = rows.select_references().where(
            bank_references.c.bank_id == bank_id,
            bank_references.c.origin == origin,
            bank_references.c.withdrawn_at.is_(None),
        )
        query = query.order_by(bank_references.c.id)
        return [rows.reference(row) for row in self._connection.execute(query).mappings()]

    def set_enabled(self, reference_id: str, enabled: bool) -> Reference:
        """Switches a reference on or off; noted in the change log where it was otherwise. Raises
        `Conflict` for a withdrawn one."""
        if self.reference(reference_id).withdrawn_at is not None:
            raise Conflict(f"{reference_id} is withdrawn for good: add it anew")
        statement = (
            update(bank_references)
            .where(bank_references.c.id == reference_id, bank_references.c.enabled != enabled)
            .values(enabled=enabled)
        )
        kind = ChangeKind.ENABLE if enabled else ChangeKind.DISABLE
        return self._changed(statement, reference_id, kind)

    def set_metadata(self, reference_id: str, metadata: Mapping[str, Any]) -> Reference:
        """Replaces a reference's metadata; matching does not read it, so no change is noted."""
        statement = update(bank_references).where(bank_references.c.id == reference_id)
        self._connection.execute(statement.values(metadata=dict(metadata)))
        return self.reference(reference_id)

    def withdraw(self, reference_id: str) -> Reference:
        """Takes a reference out for good; noted in the change log the first time."""
        statement = (
            update(bank_references)
            .where(bank_references.c.id == reference_id, bank_references.c.withdrawn_at.is_(None))
            .values(withdrawn_at=now())
        )
        return self._changed(statement, reference_id, ChangeKind.WITHDRAW)

    # Fingerprints

    def signal_types(self, reference_id: str, model: str = "") -> set[str]:
        """The signal types of which codes or features are kept of a reference, or that were looked
        for in vain; `neural` where it was by this model."""
        found: set[str] = set()
        for table in (reference_fingerprints, reference_features):
            query = select(table.c.signal_type).where(table.c.reference_id == reference_id)
            found.update(self._connection.scalars(query.where(_of_model(table.c, model))))
        return found

    def fingerprints(self, reference_id: str) -> Fingerprints:
        """What is kept of a reference; empty for digests alone, and for an unknown id."""
        columns = reference_fingerprints.c
        query = select(reference_fingerprints).where(columns.reference_id == reference_id)
        query = query.order_by(columns.signal_type, columns.pipeline, columns.track, columns.view)
        return [packing.unpack(row) for row in self._connection.execute(query).mappings()]

    def all_fingerprints(
        self, signal_types: Sequence[str], *, after_reference: str | None = None, batch: int = 200
    ) -> Iterator[tuple[str, Fingerprint]]:
        """Reference ids and fingerprints of all living references, in the order of ids, read
        `batch` references at a time."""
        owners = bank_references.c
        living = select(owners.id).where(owners.withdrawn_at.is_(None)).order_by(owners.id)
        last = after_reference or ""
        while True:
            query = living.where(owners.id > last).limit(batch)
            ids = list(self._connection.scalars(query))
            if not ids:
                return
            yield from self.fingerprints_of(ids, signal_types)
            last = ids[-1]

    def fingerprints_of(
        self, reference_ids: Sequence[str], signal_types: Sequence[str]
    ) -> Iterator[tuple[str, Fingerprint]]:
        """The same of these references: some hundreds at most. Of each reference always in the
        same order."""
        prints = reference_fingerprints.c
        query = (
            select(reference_fingerprints)
            .where(prints.reference_id.in_(reference_ids), prints.signal_type.in_(signal_types))
            .order_by(prints.reference_id, prints.signal_type, prints.pipeline)
            .order_by(prints.track, prints.view)
        )
        for row in self._connection.execute(query).mappings():
            yield row["reference_id"], packing.unpack(row)

    def local_features(self, reference_ids: Iterable[str]) -> Iterator[tuple[str, LocalFeatures]]:
        """Ids and local features of these references, read a few at a time."""
        for row in self._features(reference_ids, "local"):
            yield row["reference_id"], feature_packing.unpack_local(row)

    def motion(self, reference_ids: Iterable[str]) -> Iterator[tuple[str, Motion]]:
        """Ids and motion of these references, read a few at a time."""
        for row in self._features(reference_ids, feature_packing.MOTION):
            yield row["reference_id"], feature_packing.unpack_motion(row)

    def sound_peaks(self, reference_ids: Iterable[str]) -> Iterator[tuple[str, SoundPeaks]]:
        """Ids and peaks of the sound of these references, read a few at a time."""
        for row in self._features(reference_ids, "sound"):
            yield row["reference_id"], feature_packing.unpack_sound(row)

    def descriptors(
        self, reference_ids: Iterable[str], model: str
    ) -> Iterator[tuple[str, Descriptors]]:
        """Ids and descriptors by that model of these references, read a few at a time."""
        for row in self._features(reference_ids, "neural"):
            if row["pipeline"] == model:
                yield row["reference_id"], feature_packing.unpack_descriptors(row)

    def feature_counts(self, signal_types: Sequence[str], model: str = "") -> Counts:
        """Ids and signal types of living references with features of these signal types (`neural`
        by this model), and how many they have."""
        columns, owners = reference_features.c, bank_references
        query = (
            select(columns.reference_id, columns.signal_type, func.sum(columns.n))
            .join(owners, owners.c.id == columns.reference_id)
            .where(owners.c.withdrawn_at.is_(None))
            .where(columns.signal_type.in_(signal_types), columns.n > 0, _of_model(columns, model))
            .group_by(columns.reference_id, columns.signal_type)
        )
        return [(name, kind, int(n)) for name, kind, n in self._connection.execute(query)]

    def _features(self, reference_ids: Iterable[str], signal_type: str) -> Iterator[RowMapping]:
        columns = reference_features.c
        for some in rows.chunks(reference_ids, _FEATURED):
            query = select(reference_features).where(
                columns.reference_id.in_(some), columns.signal_type == signal_type, columns.n > 0
            )
            query = query.order_by(columns.reference_id, columns.pipeline, columns.track)
            yield from self._connection.execute(query).mappings()

    def _living(self, same: ColumnElement[bool] | None) -> Reference | None:
        if same is None:
            return None
        living = and_(same, bank_references.c.withdrawn_at.is_(None))
        query = rows.select_references().where(living).order_by(bank_references.c.id)
        row = self._connection.execute(query).mappings().first()
        return None if row is None else rows.reference(row)

    def _insert(
        self,
        made: Reference,
        packed: Sequence[dict[str, Any]],
        features: Sequence[dict[str, Any]],
    ) -> None:
        values = {
            "id": made.id,
            "bank_id": made.bank.id,
            "kind": made.kind.value,
            "sha256": made.digests.sha256,
            "md5": made.digests.md5,
            "source": made.source,
            "origin": made.origin,
            "duration_s": made.duration_s,
            "frames": made.frames,
            "standing": made.standing.value,
            "enabled": made.enabled,
            "added_at": made.added_at,
            "metadata": made.metadata,
        }
        self._connection.execute(insert(bank_references), values)
        if packed:
            prints = [{"reference_id": made.id, **columns} for columns in packed]
            self._connection.execute(insert(reference_fingerprints), prints)
        if features:
            owned = [{"reference_id": made.id, **columns} for columns in features]
            self._connection.execute(insert(reference_features), owned)

    def _changed(self, statement: Any, reference_id: str, kind: ChangeKind) -> Reference:
        changed = self._connection.execute(statement).rowcount
        reference = self.reference(reference_id)
        if changed:
            self._changes.append(kind, reference.id, reference.bank.id)
        return reference


def _name(name: str) -> str:
    if not _NAME.fullmatch(name) or _ID.fullmatch(name):
        raise BadArgument(
            f"{name!r}: a bank's name has 1 to 64 letters, digits, '_', '.' or '-', and begins "
            "with a letter or digit"
        )
    return name


def _same_media(
    bank_id: str, digests: Digests, origin: str | None, frames: int
) -> ColumnElement[bool] | None:
    """What makes two references of a bank the same media: as the table's unique indexes say."""
    columns = bank_references.c
    if digests.sha256 is not None:
        return and_(columns.bank_id == bank_id, columns.sha256 == digests.sha256)
    either: list[ColumnElement[bool]] = []
    if origin is not None:
        either.append(columns.origin == origin)
    if digests.md5 is not None and frames == 0:
        either.append(and_(columns.md5 == digests.md5, columns.frames == 0))
    if not either:
        return None
    return and_(columns.bank_id == bank_id, columns.sha256.is_(None), or_(*either))


def _of_model(columns: Any, model: str) -> ColumnElement[bool]:
    """Rows of `neural` by that model, and all rows of other signal types."""
    return or_(columns.signal_type != "neural", columns.pipeline == model)


def _in_state(state: ReferenceState) -> ColumnElement[bool]:
    withdrawn = bank_references.c.withdrawn_at.is_not(None)
    if state == "withdrawn":
        return withdrawn
    if state not in ("enabled", "disabled"):
        raise BadArgument(f"{state!r}: a reference is enabled, disabled or withdrawn")
    return and_(~withdrawn, bank_references.c.enabled.is_(state == "enabled"))
