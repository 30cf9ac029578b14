"""What is known in an upload beside its hashes: by local features, by sound, by descriptors.

Each finder sees every change committed before the call, and gives nothing where the index holds
nothing of its kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from hashdb.model import (
    Action,
    Alignment,
    MediaFingerprints,
    MediaKind,
    Reference,
)
from hashdb.ports import LocalBackend, Nominee
from hashdb.snapshot import ReferenceIndex, Stands
from hashdb.store import Store
from matcher import (
    consensus,
    described,
    heard,
    nearest,
    sighting,
    stills,
    telling,
)
from matcher.ahead import Ahead, Sighted
from matcher.align import is_still
from matcher.beside import NOTHING_BESIDE, Beside
from matcher.beyond import is_unsteady, passes_again
from matcher.laying import Found, usual
from matcher.moment_finder import MomentFinder, Moments
from matcher.played import (
    NOT_WATCHED,
    SURE,
    Seen,
    Watched,
    codes_by_offset,
    played_otherwise,
    sure_of,
)
from matcher.ports import DescriptorModel, Guide
from matcher.score import as_one_scene, not_sure
from matcher.seeking import Budget, Seeker

FLOOR = 0.05
"""Alignments of less evidence are noise: one picture at the edge of the radius says 0.75."""

MOST_ALIKE = 300
"""Hits kept of one query's descriptor: a bank of one kind of footage looks alike all over."""

MOST_REFERENCES = 100
"""References that are aligned for one upload, of allow-lists and of all others: the likeliest."""


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
        every: Watched = NOT_WATCHED,
    ) -> Beside:
        """`usual_only`: at about normal speed, or told by motion: of a few seconds looked at
        closely a line of any other speed is found by chance. `ahead`: was given its pictures.
        `every`: what a look at every picture saw."""
        if not look.local:
            return NOTHING_BESIDE
        self._index.refresh()
        stands = self._index.stands
        indexed = self._index.local()
        if indexed is None:
            return NOTHING_BESIDE
        found, budget = NOTHING_BESIDE, Budget()
        for track in sorted({f.track for f in look.local}):
            sighted = _sighted(look, track, indexed[0], stands, ahead)
            seen = self._seen(look, sighted, track, indexed[1], every)
            find = partial(
                self._track,
                backend=indexed[0],
                names=indexed[1],
                closer=usual_only,
                budget=budget,
            )
            told = find(seen)
            if seen.total_s > 0 and not look.strands:
                told = played_otherwise(seen, told, indexed[1], find)
            sure = {*sure_of(told), *told.refuted}
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
        budget: Budget,
        otherwise: bool = False,
        pieces: bool = False,
    ) -> Beside:
        single = seen.total_s <= 0
        seeker = None
        if seen.greys and self._guide is not None:
            seeker = Seeker(seen.greys, self._guide, budget)
        if single:
            moments = self._in_image(seen, backend, names)
        else:
            finder = MomentFinder(self._store, backend, names, self._guide, seeker)
            moments = finder.find(seen, closer=closer, otherwise=otherwise, pieces=pieces)
        tell = partial(
            telling.alignment,
            track=seen.track,
            samples=np.unique([s.offset for s in seen.shots]),
            total_s=seen.total_s,
            alike=seen.alike,
        )
        odd = not (closer or otherwise)
        kept = [f for f in moments.at if odd or usual(f.speed) or f.told or f.paced]
        told = [tell(found, names[found.reference]) for found in kept]
        if seeker is not None:
            seek = partial(_sought, seeker, seen, backend, tell=tell, pieces=pieces)
            told = [
                seek(found, names[found.reference], a) for found, a in zip(kept, told, strict=True)
            ]
        alignments = [
            not_sure(a) if a.reference_id in moments.untold else a
            for a in told
            if a is not None and a.evidence >= FLOOR
        ]
        return _beside(seen, moments, kept, alignments, names)

    def _seen(
        self,
        look: MediaFingerprints,
        sighted: Sighted,
        track: int,
        names: Sequence[str],
        every: Watched,
    ) -> Seen:
        alone = look.coverage.total_s <= 0
        named = {names[s.nominee.reference]: s.nominee.reference for s in sighted.sights}
        with self._store.read() as tx:
            references = tx.banks.references_by_ids(named)
        counted = {named[i] for i, r in references.items() if r.enforceable}
        return Seen(
            track,
            look.coverage.total_s,
            sighted.shots,
            [s for s in sighted.sights if s.nominee.reference in counted],
            [named[i] for i, r in references.items() if r.kind is MediaKind.IMAGE],
            [named[i] for i, r in references.items() if r.bank.action is not Action.ALLOW],
            look.motion,
            every,
            codes_by_offset(look.fingerprints, track),
            next((one for one in look.greys if one.track == track), None) if alone else None,
            {} if alone else {one.offset: one for one in look.greys if one.track == track},
        )

    def _in_image(self, seen: Seen, backend: LocalBackend, names: Sequence[str]) -> Moments:
        """What an image shows, which has no moments."""
        each = stills.shown(
            seen.sights, backend, still=seen.still, image=seen.image, guide=self._guide
        )
        sure = {names[found.reference] for found, told in each if told}
        untold = {names[found.reference] for found, told in each if not told} - sure
        return Moments([found for found, _ in each], untold=untold)


def _sighted(
    look: MediaFingerprints,
    track: int,
    backend: LocalBackend,
    stands: Stands,
    ahead: Ahead | None,
) -> Sighted:
    """What is seen in a track, looked up `ahead` or now; kept for who asks again."""
    kept = None if ahead is None else ahead.kept(track, look.local, backend, stands)
    if kept is not None:
        return kept
    shots = sighting.shots(f for f in look.local if f.track == track)
    before = ahead.found(track, backend, stands) if ahead else sighting.NOTHING_AHEAD
    sights = sighting.sighted(shots, backend, before, alone=look.coverage.total_s <= 0)
    sighted = Sighted(look.local, backend, stands, shots, sights)
    if ahead is not None:
        ahead.keep(track, sighted)
    return sighted


def _beside(
    seen: Seen,
    moments: Moments,
    kept: Sequence[Found],
    alignments: Sequence[Alignment],
    names: Sequence[str],
) -> Beside:
    """What is told of one track: the `alignments` of what was found and `kept`, and the rest."""
    single = seen.total_s <= 0
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
        doubted=tuple(moments.doubted),
        refuted=frozenset(moments.refuted),
    )


def _sought(
    seeker: Seeker,
    seen: Seen,
    backend: LocalBackend,
    found: Found,
    name: str,
    alignment: Alignment | None,
    *,
    tell: Callable[[Found, str], Alignment | None],
    pieces: bool,
) -> Alignment | None:
    """What was found as an alignment, once all features were looked for where they should be: surer
    or longer where that shows more, and none where it shows nothing; where a camera passes a place
    again, what one picture says, and of pieces none."""
    if found.reference not in seen.banned or found.reference in seen.still:
        return alignment
    if found.drifts and not seeker.shows_clearly(found):
        return None
    if alignment is not None and seeker.shows_nothing(found):
        return None
    if pieces and alignment is None:
        return None
    pictures = backend.pictures(found.reference, found.track)
    if pieces:
        return None if is_unsteady(found, seeker, pictures) else alignment
    shown = _shown(seeker, seen, found, alignment, pictures)
    more = None if shown is None else tell(shown, name)
    if shown is not None and more is not None and _says_more(more, alignment):
        found, alignment = shown, more
    if alignment is None or not passes_again(found, seeker, pictures):
        return alignment
    return not_sure(as_one_scene(alignment, every=True))


def _shown(
    seeker: Seeker,
    seen: Seen,
    found: Found,
    alignment: Alignment | None,
    pictures: Sequence[Nominee],
) -> Found | None:
    """With all that its line shows, where that may say more; None where it does not."""
    if telling.in_places(found):
        return None
    sure = alignment is not None and alignment.score >= SURE
    if sure and not seeker.leads_on(found, seen.shots, pictures):
        return None
    shown = seeker.shown_on(found, seen.shots, pictures)
    if shown is None or telling.in_places(shown, telling.IN_MOST):
        return None
    return shown


def _says_more(more: Alignment, alignment: Alignment | None) -> bool:
    """Whether it is surer or, where both are sure, longer."""
    if alignment is None or min(more.score, alignment.score) < SURE:
        return alignment is None or more.score > alignment.score
    return len(more.frames) > len(alignment.frames)


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


def best_references(bounds: Mapping[str, float], references: Mapping[str, Reference]) -> list[str]:
    """The references with the highest bounds, of allow-lists and of all others."""
    chosen: list[str] = []
    for allowed in (False, True):
        side = [i for i in bounds if (references[i].bank.action is Action.ALLOW) == allowed]
        chosen += sorted(side, key=lambda i: (-bounds[i], i))[:MOST_REFERENCES]
    return chosen
