"""What is known in an upload beside its hashes: by local features, by sound, by descriptors.

Each finder sees every change committed before the call, and gives nothing where the index holds
nothing of its kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from hashdb.model import (
    Action,
    Alignment,
    Floats,
    MediaFingerprints,
    MediaKind,
    Motion,
    Reference,
)
from hashdb.ports import LocalBackend, Nominee
from hashdb.snapshot import ReferenceIndex
from hashdb.store import Store
from matcher import (
    consensus,
    described,
    heard,
    localize,
    moving,
    nearest,
    sighting,
    stills,
    telling,
)
from matcher.ahead import Ahead
from matcher.align import is_still
from matcher.beside import NOTHING_BESIDE, Beside, Place
from matcher.laying import Found, usual
from matcher.moments import is_missing, is_surely_told
from matcher.moments_of_all import at_moment_of_all
from matcher.motion import laid_by, of_pictures, stands_still
from matcher.pieces import pieces as cut_up
from matcher.played import Seen, codes_by_offset, is_another_pass, played_otherwise, sure_of
from matcher.ports import DescriptorModel, Guide
from matcher.score import not_sure
from matcher.settling import first_moment, laid

FLOOR = 0.05
"""Alignments of less evidence are noise: one picture at the edge of the radius says 0.75."""

MOST_ALIKE = 300
"""Hits kept of one query's descriptor: a bank of one kind of footage looks alike all over."""

MOST_REFERENCES = 100
"""References that are aligned for one upload, of allow-lists and of all others: the likeliest."""


MOST_TIMED = 8
"""Lines of time in a track, those of the references that are seen best, that are asked of every
picture: one takes up to a second (`every_picture.MOST_HELD`)."""


@dataclass(frozen=True, slots=True, eq=False)
class _Moments:
    """Of one track: what was found `at` its moments, where scenes lie (`places`), and references
    whose moment is another one, or, of an image, any (`untold`). `untimed`: when places of others
    than allow-lists are shown whose moment what moves does not tell, seconds. `missing`: of the
    others those whose moving features are not seen."""

    at: list[Found]
    places: list[Place]
    other: set[str]
    untold: set[str]
    untimed: list[Floats]
    missing: set[str]


class LocalFinder:
    """By local features of keyframes."""

    def __init__(self, store: Store, index: ReferenceIndex, guide: Guide | None = None) -> None:
        """`guide`: looks for what an image should show; without it features say what they find."""
        self._store = store
        self._index = index
        self._guide = guide
        nearest.warm()
        consensus.warm()

    def find(
        self,
        look: MediaFingerprints,
        *,
        usual_only: bool,
        ahead: Ahead | None = None,
        all_motion: Sequence[Motion] = (),
    ) -> Beside:
        """`usual_only`: at about normal speed, or told by motion: of a few seconds looked at
        closely a line of any other speed is found by chance. `ahead`: was given its pictures.
        `all_motion`: what moves in every picture, where that was looked at."""
        if not look.local:
            return NOTHING_BESIDE
        self._index.refresh()
        stands = self._index.stands
        indexed = self._index.local()
        if indexed is None:
            return NOTHING_BESIDE
        found = NOTHING_BESIDE
        for track in sorted({f.track for f in look.local}):
            before = ahead.found(track, indexed[0], stands) if ahead else sighting.NOTHING_AHEAD
            seen = self._seen(look, track, *indexed, before, all_motion)
            find = partial(self._track, backend=indexed[0], names=indexed[1], closer=usual_only)
            told = find(seen)
            if seen.total_s > 0 and not look.strands:
                told = played_otherwise(seen, told, indexed[1], find)
            sure = sure_of(told)
            left = [s for s in seen.clear if indexed[1][s.nominee.reference] not in sure]
            unsure = tuple(sorted({s.shot.offset for s in left}))
            told = replace(told, unsure=unsure, untimed=told.untimed if left else ())
            found = found.and_also(told)
        return found

    def _track(
        self,
        seen: Seen,
        *,
        backend: LocalBackend,
        names: Sequence[str],
        closer: bool,
        otherwise: bool = False,
        pieces: bool = False,
    ) -> Beside:
        single = seen.total_s <= 0
        if single:
            moments = self._in_image(seen, backend, names)
        else:
            moments = self._at_moments(
                seen, backend, names, closer=closer, otherwise=otherwise, pieces=pieces
            )
        tell = partial(
            telling.alignment,
            track=seen.track,
            samples=np.unique([s.offset for s in seen.shots]),
            total_s=seen.total_s,
            alike=seen.alike,
        )
        odd = not (closer or otherwise)
        kept = [f for f in moments.at if odd or usual(f.speed) or f.told]
        told = (tell(found, names[found.reference]) for found in kept)
        alignments = [
            not_sure(a) if a.reference_id in moments.untold else a
            for a in told
            if a is not None and a.evidence >= FLOOR
        ]
        # where nothing that moves is seen, it may be another moment as well
        aligned = {a.reference_id for a in alignments}
        moves = {a.reference_id for a in alignments if not is_still(a)}
        not_still = aligned - moments.untold if single else moves
        images = {names[i] for i in seen.still}
        shown = [f for f in kept if single and f.reference in seen.still and not f.all_over]
        pictures = [(names[f.reference], sight) for f in shown for sight in f.sights]
        return Beside(
            tuple(alignments),
            frozenset(moments.other - aligned),
            frozenset(aligned - images - not_still),
            places=tuple(moments.places),
            whole=frozenset(name for name, sight in pictures if telling.is_whole(sight)),
            bare=frozenset(name for name, sight in pictures if telling.is_bare(sight)),
            untimed=tuple(moments.untimed),
            missing=frozenset(moments.missing - aligned),
        )

    def _seen(
        self,
        look: MediaFingerprints,
        track: int,
        backend: LocalBackend,
        names: Sequence[str],
        before: Mapping[int, sighting.Nominated],
        all_motion: Sequence[Motion],
    ) -> Seen:
        shots = sighting.shots(f for f in look.local if f.track == track)
        alone = look.coverage.total_s <= 0
        sights = sighting.sighted(shots, backend, before, alone=alone)
        named = {names[s.nominee.reference]: s.nominee.reference for s in sights}
        with self._store.read() as tx:
            references = tx.banks.references_by_ids(named)
        counted = {named[i] for i, r in references.items() if r.enforceable}
        return Seen(
            track,
            look.coverage.total_s,
            shots,
            [s for s in sights if s.nominee.reference in counted],
            [named[i] for i, r in references.items() if r.kind is MediaKind.IMAGE],
            [named[i] for i, r in references.items() if r.bank.action is not Action.ALLOW],
            look.motion,
            all_motion,
            codes_by_offset(look.fingerprints, track),
            next((one for one in look.stills if one.track == track), None),
        )

    def _at_moments(
        self,
        seen: Seen,
        backend: LocalBackend,
        names: Sequence[str],
        *,
        closer: bool,
        otherwise: bool,
        pieces: bool,
    ) -> _Moments:
        moments = _Moments([], [], set(), set(), [], set())
        if pieces:
            some = cut_up(seen.shots, self._moving(seen.sights, names), backend)
        else:
            some = localize.lines(seen.shots, seen.sights, backend, still=seen.still)
        for found in some:
            name = names[found.reference]
            if found.reference in seen.still:
                moments.at.append(found)
                continue
            pictures = backend.pictures(found.reference, found.track)
            fixed = otherwise and self._is_fixed(found, name, pictures)
            if pieces and fixed:
                continue  # any of its moments has pieces of any other
            found, mine, sharp = laid(found, seen, pictures, pieces=pieces)
            if otherwise and not fixed and is_another_pass(sharp):
                continue
            moments.places.append(Place(name, seen.track, found.shown_at, laid_by(found)))
            motion = of_pictures(seen.motion, found.shown_at).get(seen.track)
            both = partial(self._motion_beside, motion, name, found.track)
            moment = first_moment(found, mine, pictures, both, closer=closer)
            told = moment is not None and moment.told
            if not told and found.reference in seen.banned and len(found.sights) > 1:
                moments.untimed.append(found.shown_at)
                every = self._all_motion(found, seen, name)
                if every is not None and len(moments.untimed) <= MOST_TIMED:
                    moment = at_moment_of_all(found, moment, mine, pictures, *every) or moment
            if fixed and moment and not (moment.timed or is_surely_told(moment, both)):
                moment = None
            if moment is None:
                moments.other.add(name)
                if is_missing(found, mine, pictures, both):
                    moments.missing.add(name)
            else:
                moments.at.append(moment)
        return moments

    def _in_image(self, seen: Seen, backend: LocalBackend, names: Sequence[str]) -> _Moments:
        """What an image shows, which has no moments."""
        each = stills.shown(
            seen.sights, backend, still=seen.still, image=seen.image, guide=self._guide
        )
        sure = {names[found.reference] for found, told in each if told}
        untold = {names[found.reference] for found, told in each if not told} - sure
        return _Moments([found for found, _ in each], [], set(), untold, [], set())

    def _all_motion(self, found: Found, seen: Seen, name: str) -> tuple[Motion, Motion] | None:
        """As `_motion_beside`, of every picture."""
        motion = of_pictures(seen.all_motion, found.shown_at).get(seen.track)
        return self._motion_beside(motion, name, found.track)

    def _moving(
        self, sights: Sequence[sighting.Sight], names: Sequence[str]
    ) -> list[sighting.Sight]:
        """Those of references whose camera is not known to stand still."""
        known = {i: motion_of(self._store, names[i]) for i in {s.nominee.reference for s in sights}}
        still = {i for i, one in known.items() if one is not None and stands_still(one)}
        return [s for s in sights if s.nominee.reference not in still]

    def _is_fixed(self, found: Found, name: str, pictures: Sequence[Nominee]) -> bool:
        """Whether it was filmed by a camera that stands still, by what is seen of it or by all."""
        if moving.is_fixed(found.sights, moving.Masks(pictures)):
            return True
        known = motion_of(self._store, name)
        return known is not None and stands_still(known)

    def _motion_beside(
        self, motion: Motion | None, name: str, track: int
    ) -> tuple[Motion, Motion] | None:
        """The upload's motion and that of a reference's track, where both are known."""
        known = None if motion is None else motion_of(self._store, name)
        if motion is None or known is None or known.track != track:
            return None
        return motion, known


class SoundFinder:
    """By landmarks of the sound."""

    def __init__(self, store: Store, index: ReferenceIndex) -> None:
        self._store = store
        self._index = index

    def find(self, look: MediaFingerprints) -> Beside:
        """Alignments by sound, of the likeliest references."""
        if not look.sound:
            return NOTHING_BESIDE
        self._index.refresh()
        indexed = self._index.sound()
        if indexed is None:
            return NOTHING_BESIDE
        backend, names = indexed
        references: dict[str, Reference] = {}

        def counted(ordinals: Iterable[int]) -> set[int]:
            named = {names[o]: o for o in ordinals}
            with self._store.read() as tx:
                references.update(tx.banks.references_by_ids(named))
            return {named[i] for i in named if i in references and references[i].enforceable}

        found = [
            (match.evidence, heard.alignment(match, names[match.ordinal], peaks.track))
            for peaks in look.sound
            for match in heard.sounds(peaks, backend, counted)
        ]
        clearest: dict[str, float] = {}
        for nats, one in found:
            if one is not None:
                clearest[one.reference_id] = max(nats, clearest.get(one.reference_id, 0.0))
        best = set(best_references(clearest, references))
        return Beside(tuple(a for _, a in found if a is not None and a.reference_id in best))


class NeuralFinder:
    """By the descriptors that a model makes of pictures."""

    def __init__(self, store: Store, index: ReferenceIndex, model: DescriptorModel) -> None:
        self._store = store
        self._index = index
        self._model = model

    @property
    def side(self) -> int:
        """The side in pixels of the pictures that are described."""
        return self._model.side

    def find(self, look: MediaFingerprints) -> Beside:
        """Alignments by descriptors. Raises `DescriptorUnavailable`."""
        if not look.to_describe:
            return NOTHING_BESIDE
        self._index.refresh()
        indexed = self._index.neural()
        if indexed is None or not len(indexed[0]):
            return NOTHING_BESIDE
        backend, names = indexed
        levels = described.Levels(self._model.floor, self._model.sure)
        alignments: list[Alignment] = []
        for query in described.describe(self._model, look.to_describe):
            hits = backend.search(query.vectors, self._model.floor, MOST_ALIKE)
            mine = {names[ordinal]: some for ordinal, some in described.by_reference(hits)}
            with self._store.read() as tx:
                references = tx.banks.references_by_ids(mine)
            counted = [i for i in mine if i in references and references[i].enforceable]
            bounds = {i: described.upper_bound(mine[i], levels) for i in counted}
            for name in best_references(bounds, references):
                found = described.alignment(
                    name, query, mine[name], levels, total_s=look.coverage.total_s
                )
                if found is not None and found.score >= FLOOR:
                    alignments.append(found)
        return Beside(tuple(alignments))


def motion_of(store: Store, name: str) -> Motion | None:
    """What moves in a reference's first track, where it is known."""
    with store.read() as tx:
        found = next(tx.banks.motion([name]), None)
    return None if found is None else found[1]


def best_references(bounds: Mapping[str, float], references: Mapping[str, Reference]) -> list[str]:
    """The references with the highest bounds, of allow-lists and of all others."""
    chosen: list[str] = []
    for allowed in (False, True):
        side = [i for i in bounds if (references[i].bank.action is Action.ALLOW) == allowed]
        chosen += sorted(side, key=lambda i: (-bounds[i], i))[:MOST_REFERENCES]
    return chosen
