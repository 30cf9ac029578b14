"""What is known of the cameras that filmed references: whether one stands still, and whether hashes
tell, nevertheless, which moment of it an upload shows."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, partial

from hashdb.model import Alignment, Fingerprint, Orientation, View
from hashdb.store import Store
from matcher.hash_moments import lies_elsewhere, tells_its_line
from matcher.looks import is_as_long
from matcher.moment_finder import motion_of
from matcher.motion import stands_still


class Cameras:
    """Asks the store of each reference by its id. Any number of threads may use one."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def stand_still(self, reference_id: str) -> bool:
        """Whether it is known that a reference's camera stands still."""
        known = motion_of(self._store, reference_id)
        return known is not None and stands_still(known)

    def told_by_hashes(self, one: Alignment, query: Fingerprint) -> bool:
        """Whether hashes alone tell the moment, before a camera that stands still."""
        return tells_its_line(one, query, partial(self._of_fixed, one.reference_id))

    def refuted_by_hashes(self, one: Alignment, codes: Iterable[Fingerprint]) -> bool:
        """Whether an alignment by features of all of the picture, of an upload that hashes as
        `codes`, is of another moment before a camera that stands still, as hashes have it."""
        tracks = {f.track for f in one.frames}
        known = cache(partial(self._of_fixed, one.reference_id))
        plain = (f for f in codes if _is_plain(f) and f.track in tracks)
        return any(lies_elsewhere(one, query, known) for query in plain)

    def is_one_moment(self, one: Alignment, codes: Iterable[Fingerprint], total_s: float) -> bool:
        """Whether all of an upload, which hashes found (by some of its `codes`), can be no other
        moment that looks alike: the camera moves, and it is at the normal speed, or hashes tell."""
        name = one.reference_id
        known = motion_of(self._store, name)
        if known is not None and not stands_still(known) and is_as_long(one, total_s):
            return True
        placed = (f for f in codes if f.orientation is one.orientation and not f.view.in_part)
        hashes = cache(partial(self.hashes, name))
        return any(
            tells_its_line(one, query, hashes) for query in placed if query.signal_type == "pdq"
        )

    def _of_fixed(self, reference_id: str) -> list[Fingerprint]:
        return self.hashes(reference_id) if self.stand_still(reference_id) else []

    def hashes(self, reference_id: str) -> list[Fingerprint]:
        """A reference's fingerprints by PDQ."""
        with self._store.read() as tx:
            return [f for f in tx.banks.fingerprints(reference_id) if f.signal_type == "pdq"]


def _is_plain(one: Fingerprint) -> bool:
    """Whether it is of all of the pictures by PDQ, as they are shown."""
    whole = one.signal_type == "pdq" and one.view is View.FULL
    return whole and one.orientation is Orientation.ORIGINAL and not one.inverted
