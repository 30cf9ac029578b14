"""An upload's pictures looked up by local features while later ones are still being described.

The upload is decoded in a process of its own; so what is looked up meanwhile costs nobody's time.
What was nominated and verified is used where the answer says the same of the picture; all else
that local features are asked needs all pictures.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from hashdb.model import Fingerprint, LocalFeatures, MediaFingerprints
from hashdb.ports import LocalBackend
from hashdb.snapshot import ReferenceIndex, Stands
from matcher import sighting
from matcher.features import sets_aside
from matcher.sighting import Shot, Sight

log = logging.getLogger(__name__)


SEEN = 8
"""Inliers of all pictures together, of each its best sight's, from which on something is seen: two
pictures, or a little more than chance in one."""


@dataclass(frozen=True, slots=True, eq=False)
class Sighted:
    """A track's pictures and what was seen in them: of these `local` features, by that index."""

    local: Sequence[LocalFeatures]
    backend: LocalBackend
    stands: Stands
    shots: Sequence[Shot]
    sights: Sequence[Sight]


class Ahead:
    """Of one upload, whose pictures are given to `see` in order.

    Where hashes know its first pictures nothing is looked up ahead: they may settle it, and then
    nobody asks for more (`Judge.settled`). `known`: whether they do. Of a short upload every other
    picture may be set aside: rows are numbered as if all were there.
    """

    def __init__(
        self, index: ReferenceIndex, known: Callable[[Iterable[Fingerprint]], bool], *, aside: bool
    ) -> None:
        """`aside`: every other picture of a short upload is set aside."""
        self._index = index
        self._known = known
        self._aside = aside
        self._looks: bool | None = None  # None: no picture has told yet
        self._backend: LocalBackend | None = None
        self._stands: Stands | None = None
        self._pictures: dict[int, int] = {}  # by track, how many were seen
        self._found: dict[int, dict[int, sighting.Nominated]] = {}
        self._sighted: dict[int, Sighted] = {}

    def see(self, part: MediaFingerprints) -> None:
        """Some pictures more: their local features, and once the codes so far. Whatever fails is
        left to the look-up of all pictures, which says so."""
        if self._looks is False:
            return
        try:
            if self._looks is None:
                self._begin(part.fingerprints)
            step = 2 if self._aside and sets_aside(part.coverage.total_s) else 1
            for track in sorted({f.track for f in part.local}):
                first = self._pictures.get(track, 0)
                mine = [f for f in part.local if f.track == track]
                rows = sighting.by_row(sighting.shots(mine, first, step))
                self._pictures[track] = first + step * len(rows)
                if self._looks and self._backend is not None:
                    found = {row: sighting.nominated(s, self._backend) for row, s in rows.items()}
                    self._found.setdefault(track, {}).update(found)
        except Exception:
            log.exception("looking pictures up ahead failed")
            self._looks = False

    def _begin(self, codes: Sequence[Fingerprint]) -> None:
        if not codes:
            return
        self._index.refresh()
        self._stands = self._index.stands
        indexed = self._index.local()
        self._looks = indexed is not None and not self._known(codes)
        self._backend = None if indexed is None else indexed[0]

    @property
    def saw_nothing(self) -> bool:
        """Whether all that was given was looked up, and shows nothing known."""
        rows = (row for found in self._found.values() for row in found.values())
        return self._looks is True and sum(_inliers(row) for row in rows) < SEEN

    def found(
        self, track: int, backend: LocalBackend, stands: Stands
    ) -> Mapping[int, sighting.Nominated]:
        """What was found of the track's pictures, by row; nothing where the index is another one by
        now, or `stands` elsewhere."""
        if backend is not self._backend or stands != self._stands:
            return {}
        return self._found.get(track, {})

    def keep(self, track: int, sighted: Sighted) -> None:
        """What was seen of a track, for who looks the same pictures up again."""
        self._sighted[track] = sighted

    def kept(
        self, track: int, local: Sequence[LocalFeatures], backend: LocalBackend, stands: Stands
    ) -> Sighted | None:
        """What was seen of a track of the very same features, where the index is the same."""
        found = self._sighted.get(track)
        if found is None or found.local is not local:
            return None
        return found if found.backend is backend and found.stands == stands else None


def _inliers(found: sighting.Nominated) -> int:
    return max((sight.agreement.inliers for sight in found.sights), default=0)
