"""Confirmed media into a bank, and out of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hashdb.errors import BadArgument, BadMedia
from hashdb.model import (
    Bank,
    Codes,
    Descriptors,
    Digests,
    Fingerprint,
    LocalFeatures,
    MediaKind,
    Motion,
    Reference,
    SoundPeaks,
    Standing,
)
from hashdb.signals import OF_PDQ, SIGNAL_TYPES, meaningful
from hashdb.store import Store
from matcher.described import describe
from matcher.ports import DescriptorModel, FingerprintMedia, Sampling


class Enroller:
    """Adds and withdraws references; who did it is recorded in the same transaction.

    `degenerate`: which PDQ codes come of no picture; they are not kept. `descriptor`: the model
    that describes the pictures of videos, if any.
    """

    def __init__(
        self,
        store: Store,
        fingerprint: FingerprintMedia,
        *,
        signal_types: Sequence[str],
        degenerate: Callable[[Codes], NDArray[np.bool_]],
        descriptor: DescriptorModel | None = None,
        seconds: float = 3600.0,
    ) -> None:
        self._store = store
        self._fingerprint = fingerprint
        self._signal_types = tuple(s for s in signal_types if not SIGNAL_TYPES[s].exact)
        self._descriptor = descriptor
        self._model = "" if descriptor is None else descriptor.model
        self._degenerate = degenerate
        self._seconds = seconds

    def add_media(
        self,
        bank: Bank,
        media: BinaryIO,
        digests: Digests,
        *,
        actor: str,
        source: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> tuple[Reference, bool]:
        """The reference for a file, and whether it is new: a file that the bank already has gives
        its reference again, without being decoded, unless that one lacks a signal type that is
        wanted. Raises the `BadMedia` family, and `DescriptorUnavailable`."""
        known = self._known(bank, digests)
        if known is not None:
            return known, False
        side = 0 if self._descriptor is None else self._descriptor.side
        sampling = Sampling(dense=True, max_frames=1_000_000, seconds=self._seconds, describe=side)
        look = self._fingerprint(media, sampling, self._signal_types)
        if look.coverage.truncated and look.coverage.fraction < 0.5:
            judged, total = look.coverage.judged_s, look.coverage.total_s
            raise BadMedia(f"only {judged:.0f} s of {total:.0f} s could be read")
        return self._add(
            bank,
            digests,
            look.fingerprints,
            local=look.local,
            motion=look.motion,
            sound=look.sound,
            descriptors=(
                () if self._descriptor is None else describe(self._descriptor, look.to_describe)
            ),
            looked_for=self._signal_types,
            kind=look.kind,
            actor=actor,
            source=source,
            duration_s=look.coverage.total_s if look.kind is MediaKind.VIDEO else None,
            metadata=metadata,
        )

    def add_hashes(
        self,
        bank: Bank,
        digests: Digests,
        fingerprints: Sequence[Fingerprint],
        *,
        kind: MediaKind,
        actor: str,
        source: str | None = None,
        origin: str | None = None,
        duration_s: float | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> tuple[Reference, bool]:
        """The same for hashes that somebody else made. Frames that could match nothing are left
        out: below their signal type's quality, or with a code that no picture has. `BadArgument`
        where neither a digest nor a code remains."""
        kept = [self._searchable(f) for f in fingerprints]
        if digests == Digests() and not any(len(f) for f in kept):
            raise BadArgument("a reference needs a digest, or a frame that is not flat")
        return self._add(
            bank,
            digests,
            fingerprints,
            kind=kind,
            actor=actor,
            source=source,
            origin=origin,
            duration_s=duration_s,
            metadata=metadata,
        )

    def set_enabled(self, reference_id: str, enabled: bool, *, actor: str) -> Reference:
        """A disabled reference matches nothing until it is enabled again."""
        with self._store.begin() as tx:
            reference = tx.banks.set_enabled(reference_id, enabled)
            tx.audit.record(actor, "enable" if enabled else "disable", reference_id, {})
        return reference

    def withdraw(self, reference_id: str, *, actor: str) -> Reference:
        """Take a reference out for good: it stays on record and matches nothing. What a partner
        holds of it does not bring it back (see `hashdb.sync`)."""
        with self._store.begin() as tx:
            reference = tx.banks.withdraw(reference_id, Standing.NEGATIVE)
            tx.audit.record(actor, "withdraw", reference_id, {})
        return reference

    def _known(self, bank: Bank, digests: Digests) -> Reference | None:
        with self._store.read() as tx:
            for reference, name in tx.banks.by_digest(digests):
                here = reference.bank.id == bank.id and reference.withdrawn_at is None
                if name == "sha256" and here:
                    complete = set(self._signal_types) <= tx.banks.signal_types(
                        reference.id, self._model
                    )
                    return reference if complete else None
        return None

    def _add(
        self,
        bank: Bank,
        digests: Digests,
        fingerprints: Sequence[Fingerprint],
        *,
        kind: MediaKind,
        actor: str,
        source: str | None = None,
        origin: str | None = None,
        duration_s: float | None = None,
        metadata: Mapping[str, Any] | None = None,
        local: Sequence[LocalFeatures] = (),
        motion: Sequence[Motion] = (),
        sound: Sequence[SoundPeaks] = (),
        descriptors: Sequence[Descriptors] = (),
        looked_for: Sequence[str] = (),
    ) -> tuple[Reference, bool]:
        kept = [self._searchable(f) for f in fingerprints]
        with self._store.begin() as tx:
            reference, created = tx.banks.add_reference(
                bank,
                kind=kind,
                digests=digests,
                fingerprints=[f for f in kept if len(f)],
                source=source,
                origin=origin,
                duration_s=duration_s,
                metadata=metadata or {},
                local=local,
                motion=motion,
                sound=sound,
                descriptors=descriptors,
                looked_for=looked_for,
                model=self._model,
            )
            if created:
                tx.audit.record(actor, "add", reference.id, {"bank": bank.name, "source": source})
        return reference, created

    def _searchable(self, fingerprint: Fingerprint) -> Fingerprint:
        kept = meaningful(fingerprint)
        if kept.signal_type in OF_PDQ and len(kept):
            kept = kept.take(~self._degenerate(kept.codes))
        return kept
