"""What is kept of references to match by: their fingerprints, features, sounds, descriptors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, func, or_, select

from hashdb.model import Descriptors, Fingerprint, LocalFeatures, Motion, SoundPeaks
from hashdb.store import feature_packing, packing, rows
from hashdb.tables import bank_references, reference_features, reference_fingerprints

_FEATURED = 20  # references whose features are read at once: each may have tens of megabytes

Counts = list[tuple[str, str, int]]


class Prints:
    """Reads them; `hashdb.store.banks` writes them with their references."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def signal_types(self, reference_id: str, model: str = "") -> set[str]:
        """The signal types of which codes or features are kept of a reference, or that were looked
        for in vain; `neural` where it was by this model."""
        found: set[str] = set()
        for table in (reference_fingerprints, reference_features):
            query = select(table.c.signal_type).where(table.c.reference_id == reference_id)
            found.update(self._connection.scalars(query.where(_of_model(table.c, model))))
        return found

    def nothing_but_digests(self, reference_id: str) -> bool:
        """Whether only the very same file can match it: no code, feature or sound is kept. Motion
        does not count: it tells moments of what was found otherwise."""
        prints, features = reference_fingerprints.c, reference_features.c
        kept = (
            select(prints.reference_id).where(prints.reference_id == reference_id),
            select(features.reference_id).where(
                features.reference_id == reference_id,
                features.signal_type != feature_packing.MOTION,
                features.n > 0,
            ),
        )
        return not any(self._connection.execute(query.limit(1)).first() for query in kept)

    def fingerprints(self, reference_id: str) -> list[Fingerprint]:
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


def _of_model(columns: Any, model: str) -> ColumnElement[bool]:
    """Rows of `neural` by that model, and all rows of other signal types."""
    return or_(columns.signal_type != "neural", columns.pipeline == model)
