"""Banks and their references; what is kept of those to match by: `hashdb.store.prints`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Literal

from sqlalchemy import (
    JSON,
    ColumnElement,
    Connection,
    Text,
    and_,
    bindparam,
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
from hashdb.store.prepared import Prepared
from hashdb.store.prints import Prints
from hashdb.tables import (
    bank_references,
    banks,
    reference_features,
    reference_fingerprints,
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_ID = re.compile(r"bank_[0-9a-f]{32}")

# Made once: it is asked for every upload in which something is found. The ids are one JSON text.
_BY_IDS = Prepared(
    rows.select_references().where(
        bank_references.c.id.in_(
            select(func.json_each(bindparam("ids", type_=JSON())).table_valued("value").c.value)
        )
    )
)

ReferenceState = Literal["enabled", "disabled", "withdrawn"]


# Spelt here, as `Banks.list` hides the built-in within the class.
References = list[Reference]
Page = tuple[list[Reference], str | None]
DigestHits = list[tuple[Reference, str]]


class Keep(Enum):
    """Says that a field which may be None stays as it is."""

    KEEP = "keep"


KEEP = Keep.KEEP


class Banks(Prints):
    def __init__(self, connection: Connection, changes: Changes) -> None:
        super().__init__(connection)
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
        features = feature_packing.pack_all(local, motion, sound, descriptors)
        features += _nothing(looked_for, _signal_types(packed, features), model)
        same = _same_media(bank.id, digests, origin, packing.frames(kept))
        found = self._living(same)
        if found is not None:
            if _signal_types(packed, features) <= self.signal_types(found.id, model):
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
        return self._added(made, packed, features, same)

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
            for row in self._rows_by_ids(some):
                found[row["id"]] = rows.reference(row)
        return found

    def _rows_by_ids(self, ids: Sequence[str]) -> Sequence[rows.Row]:
        if self._connection.dialect.name == "sqlite":  # one statement, however many they are
            return _BY_IDS.rows(self._connection, {"ids": list(ids)})
        query = rows.select_references().where(bank_references.c.id.in_(ids))
        return self._connection.execute(query).mappings().all()

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

    def overruled(
        self, bank_id: str, digests: Digests, fingerprints: Sequence[Fingerprint], origin: str
    ) -> bool:
        """Whether a moderator withdrew this media from the bank, or what a partner knows by that
        id, and has not added it again: what a partner holds of it counts no more."""
        frames = packing.frames(packing.merged(fingerprints))
        query = select(bank_references.c.id).where(
            _withdrawn(bank_id, digests, origin, frames),
            bank_references.c.standing == Standing.NEGATIVE.value,
        )
        if self._connection.scalar(query.limit(1)) is None:
            return False
        return self._living(_same_media(bank_id, digests, origin, frames)) is None

    def was_disabled(
        self, bank_id: str, digests: Digests, fingerprints: Sequence[Fingerprint], origin: str
    ) -> bool:
        """Whether a moderator had switched this media off when it was last withdrawn."""
        frames = packing.frames(packing.merged(fingerprints))
        columns = bank_references.c
        query = select(columns.enabled).where(_withdrawn(bank_id, digests, origin, frames))
        return self._connection.scalar(query.order_by(columns.id.desc()).limit(1)) is False

    def withdraw(self, reference_id: str, standing: Standing | None = None) -> Reference:
        """Takes a reference out for good; noted in the change log the first time. `standing`: what
        is held of it from now on, where that is not what was; also of one that was out already."""
        if standing is not None:
            held = update(bank_references).where(bank_references.c.id == reference_id)
            self._connection.execute(held.values(standing=standing.value))
        statement = (
            update(bank_references)
            .where(bank_references.c.id == reference_id, bank_references.c.withdrawn_at.is_(None))
            .values(withdrawn_at=now())
        )
        return self._changed(statement, reference_id, ChangeKind.WITHDRAW)

    def _living(self, same: ColumnElement[bool] | None) -> Reference | None:
        if same is None:
            return None
        living = and_(same, bank_references.c.withdrawn_at.is_(None))
        query = rows.select_references().where(living).order_by(bank_references.c.id)
        row = self._connection.execute(query).mappings().first()
        return None if row is None else rows.reference(row)

    def _added(
        self,
        made: Reference,
        packed: Sequence[dict[str, Any]],
        features: Sequence[dict[str, Any]],
        same: ColumnElement[bool] | None,
    ) -> tuple[Reference, bool]:
        try:
            with self._connection.begin_nested():
                self._insert(made, packed, features)
        except IntegrityError:
            found = self._living(same)  # another transaction was faster
            if found is None:
                raise
            return found, False
        self._changes.append(ChangeKind.ADD, made.id, made.bank.id)
        return made, True

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


def _signal_types(*columns: Iterable[Mapping[str, Any]]) -> set[str]:
    return {each["signal_type"] for some in columns for each in some}


def _nothing(
    looked_for: Collection[str], found: Collection[str], model: str
) -> list[dict[str, Any]]:
    """The columns that say that nothing was found of a signal type that was looked for."""
    missing = [name for name in looked_for if name not in found]
    return [
        feature_packing.pack_nothing(name, model if name == "neural" else "") for name in missing
    ]


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


def _withdrawn(bank_id: str, digests: Digests, origin: str, frames: int) -> ColumnElement[bool]:
    """What was withdrawn of the same media, or of what a partner knows by that id."""
    columns = bank_references.c
    named = and_(columns.bank_id == bank_id, columns.origin == origin)
    same = _same_media(bank_id, digests, None, frames)  # flat: SQLite asks an index for each
    return and_(named if same is None else or_(named, same), columns.withdrawn_at.is_not(None))


def _in_state(state: ReferenceState) -> ColumnElement[bool]:
    withdrawn = bank_references.c.withdrawn_at.is_not(None)
    if state == "withdrawn":
        return withdrawn
    if state not in ("enabled", "disabled"):
        raise BadArgument(f"{state!r}: a reference is enabled, disabled or withdrawn")
    return and_(~withdrawn, bank_references.c.enabled.is_(state == "enabled"))
