"""Fingerprints into matches: search, align, keep what may count.

What one upload's check, a live stream and the look-back over past uploads have in common.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from hashdb.model import (
    Action,
    Alignment,
    Codes,
    Digests,
    Fingerprint,
    Floats,
    Match,
    MediaFingerprints,
    MediaKind,
    Motion,
    Reference,
    Segment,
    SegmentPair,
)
from hashdb.snapshot import ReferenceIndex
from hashdb.store import Store
from matcher import heard
from matcher.ahead import Ahead
from matcher.align import align, is_still
from matcher.beside import NOTHING_BESIDE, Beside, seen_otherwise
from matcher.cameras import Cameras
from matcher.finders import FLOOR, LocalFinder, NeuralFinder, SoundFinder
from matcher.kinship import Kinship
from matcher.laying import usual
from matcher.looks import close_part, sure_of_all
from matcher.lookup import Found, Lookup, likeliest, samples_of
from matcher.moment_finder import motion_of
from matcher.motion import odd
from matcher.played import NOT_WATCHED, Watched, codes_by_offset
from matcher.ports import DescriptorModel, Guide
from matcher.rarity import Kin, Picture, Rarities, counts, hit_of, picture, rarities, sightings_of
from matcher.score import as_match, as_one_scene, not_sure
from matcher.seeking import Budget
from matcher.sound_kinship import SoundKinship
from matcher.sound_rarity import sound_rarities
from matcher.still_scenes import MOST_IN_PARTS, UNTOLD, Moment, moment_of

CLOSE = 0.1
"""The part of its pictures of which more must be close, where local features see the place at
another moment. (Another fire before a fixed camera has 1 of 12, a copy of it at 144 lines 10 of
47.)"""

CLOSE_BACKWARDS = 0.25
"""The part of its pictures that must be close of footage played backwards, where local features see
another moment. (Another hour of a conveyor belt has 5 of 31, copies of flames 24 of 58 and up.)"""


class Judge:
    """Finds what is known in an upload. Any number of threads may use one.

    `orientations`: (n, bytes) PDQ codes to (n, 8, bytes), for uploads of which only codes came.
    `degenerate`: which PDQ codes come of no picture (or were made up); they match nothing.
    `guide`: looks for what an image should show of a reference.
    `descriptor`: the model that the index holds descriptors of, where `neural` is wanted.
    """

    def __init__(
        self,
        store: Store,
        index: ReferenceIndex,
        *,
        signal_types: Sequence[str],
        orientations: Callable[[Codes], Codes],
        degenerate: Callable[[Codes], NDArray[np.bool_]],
        descriptor: DescriptorModel | None = None,
        guide: Guide | None = None,
    ) -> None:
        self._store = store
        self._index = index
        self._signal_types = frozenset(signal_types)
        self._lookup = Lookup(index, self._signal_types, orientations, degenerate)
        self._cameras = Cameras(store)
        self._kinship = Kinship(store, orientations)
        self._sound_kinship = SoundKinship(store, index)
        wanted = self._signal_types
        self._local = LocalFinder(store, index, guide) if "local" in wanted else None
        self._sound = SoundFinder(store, index) if "sound" in wanted else None
        self._neural = (
            NeuralFinder(store, index, descriptor) if descriptor and "neural" in wanted else None
        )

    @property
    def describes(self) -> int:
        """The side in pixels of the pictures that `find_neural` wants of an upload; 0: none."""
        return 0 if self._neural is None else self._neural.side

    def exact(self, digests: Digests, *, total_s: float | None = None) -> tuple[Match, ...]:
        """Matches by the file's digests; `total_s` is the upload's duration where it is known."""
        if digests == Digests():  # of hashes alone: nobody is asked
            return ()
        with self._store.ask() as tx:
            found = tx.banks.by_digest(digests)
        names: dict[str, list[str]] = {}
        references = {}
        for reference, name in found:
            if reference.enforceable and name in self._signal_types:
                references[reference.id] = reference
                names.setdefault(reference.id, []).append(name)
        return tuple(
            as_match(references[i], (), exact=kinds, whole=_whole(references[i], total_s))
            for i, kinds in names.items()
        )

    def find(
        self,
        fingerprints: Iterable[Fingerprint],
        *,
        total_s: float,
        beside: Beside = NOTHING_BESIDE,
        motion: Sequence[Motion] = (),
    ) -> tuple[Match, ...]:
        """Matches by fingerprints, and by what was found `beside` them, likeliest first. A still
        picture of a reference says nothing of another moment, and not much of any, unless the
        upload's `motion` tells which it is. Sees every change committed before the call."""
        self._index.refresh()
        fingerprints = tuple(fingerprints)
        found = self._lookup.find(fingerprints)
        if not found and not beside.alignments:
            return ()
        samples = samples_of(fingerprints)
        named = {f.reference_id for f in found} | {a.reference_id for a in beside.alignments}
        references = self._references(named)
        likely = likeliest(found, references)
        codes = self.usable(fingerprints) if beside.alignments else []
        known = [
            self._as_seen(self._as_hashed(a, beside, codes), beside, motion)
            for a in beside.alignments
            if a.reference_id in references and references[a.reference_id].enforceable
        ]
        weigh = self._weighing(likely, known, references, fingerprints)
        find_moment = partial(self._moment, motion=motion, budget=Budget(MOST_IN_PARTS))
        aligned = [
            self._aligned(one, references[one.reference_id], samples, beside, find_moment, total_s)
            for one in likely
        ]
        hashed = [a for a in aligned if a is not None and a.signal_type == "pdq"]
        known = self._beside_hash(known, beside, hashed, fingerprints)
        alignments: dict[str, list[Alignment]] = {}
        for alignment in (*known, *(a for a in aligned if a is not None)):
            weighed = alignment
            if references[alignment.reference_id].bank.action is not Action.ALLOW:
                weighed = weigh(alignment, total_s > 0)
            if weighed is alignment or weighed.evidence >= FLOOR:
                alignments.setdefault(weighed.reference_id, []).append(weighed)
        matches = [as_match(references[i], found_in) for i, found_in in alignments.items()]
        return tuple(sorted(matches, key=lambda m: (-m.score, m.reference.id)))

    def _references(self, named: Collection[str]) -> dict[str, Reference]:
        """Those of these ids; nobody is asked for none."""
        if not named:
            return {}
        with self._store.read() as tx:
            return tx.banks.references_by_ids(named)

    def _aligned(
        self,
        one: Found,
        reference: Reference,
        samples: dict[int, Floats],
        beside: Beside,
        find_moment: Callable[[Alignment, Fingerprint], Moment],
        total_s: float,
    ) -> Alignment | None:
        """One query fingerprint's hits in one reference as an alignment; None where they say
        nothing, or not of this moment."""
        alignment = align(
            reference.id,
            one.query,
            one.hits,
            still=reference.kind is MediaKind.IMAGE,
            total_s=total_s,
            samples=samples[one.query.track],
        )
        if alignment is not None and self._hardly_backwards(alignment, beside):
            return None
        odd_line = alignment is not None and self._odd(alignment)
        if alignment is not None and (
            odd_line or is_still(alignment) or self._by_chance(alignment, beside)
        ):
            moment = find_moment(alignment, one.query)
            another = self._another(moment, beside, in_part=one.query.view.in_part)
            if moment.alignment is not None and not another:
                alignment = moment.alignment
            elif self._cameras.told_by_hashes(alignment, one.query):
                pass  # features of what moves, which are few and blurred, do not speak against it
            elif reference.id in beside.other_moment or (odd_line and moment.other):
                return None
            elif another or reference.id in beside.any_moment:
                if moment.other:
                    return None
                alignment = not_sure(as_one_scene(alignment, every=another))
            elif one.query.view.in_part and self._cameras.stand_still(reference.id):
                return None  # nothing that moves in that part of the picture tells the moment
        if alignment is None or alignment.evidence < FLOOR:
            return None
        if not counts(one.query.signal_type):
            alignment = replace(alignment, segments=(_whole(reference, total_s),))
        return alignment

    def _another(self, moment: Moment, beside: Beside, *, in_part: bool) -> bool:
        """Whether what moves before a camera that stands still is another that goes the same way:
        the reference's own is not seen, or it goes faster or slower, and it is not the same. In a
        part of the picture also where features see another moment."""
        told = moment.alignment
        if told is None or moment.same:
            return False
        unseen = beside.other_moment if in_part else beside.missing
        doubted = told.reference_id in unseen or not usual(told.speed)
        return doubted and self._cameras.stand_still(told.reference_id)

    def _beside_hash(
        self,
        known: Iterable[Alignment],
        beside: Beside,
        hashed: Sequence[Alignment],
        fingerprints: Iterable[Fingerprint],
    ) -> list[Alignment]:
        """The alignments, those by features of images held against those by hashes. Where
        an image is a reference's whole picture, features tell the place (or a program's window),
        and the hash of all of it what is there: of two that are far apart it may be anything. With
        nothing over it what the hash tells counts alone."""
        by_hash = {a.reference_id for a in hashed}
        coded = any(len(f) for f in self.usable(fingerprints) if f.signal_type == "pdq")
        kept = []
        for one in known:
            local, name = one.signal_type == "local", one.reference_id
            if local and name in beside.bare and name in by_hash:
                continue
            alone = local and name in beside.whole and name not in by_hash
            kept.append(not_sure(one) if alone and coded and self._cameras.hashes(name) else one)
        return kept

    def _as_hashed(self, one: Alignment, beside: Beside, codes: Sequence[Fingerprint]) -> Alignment:
        """An alignment by features, which is doubted where hashes of all of the picture have it at
        another moment before a camera that stands still."""
        if beside.is_of_whole_pictures(one) and self._cameras.refuted_by_hashes(one, codes):
            return not_sure(as_one_scene(one, every=True))
        return one

    def _as_seen(self, one: Alignment, beside: Beside, motion: Sequence[Motion]) -> Alignment:
        """An alignment by sound, which is taken for a repetition where what is seen of the same
        reference is of another moment."""
        if one.signal_type != "sound" or not motion or not beside.untold(one.reference_id):
            return one
        known = motion_of(self._store, one.reference_id)
        if known is None or not seen_otherwise(one, beside.places, motion, known):
            return one
        return heard.as_repeated(one)

    def _weighing(
        self,
        hit: Sequence[Found],
        known: Sequence[Alignment],
        references: dict[str, Reference],
        fingerprints: Sequence[Fingerprint],
    ) -> Callable[[Alignment, bool], Alignment]:
        """What takes from an alignment (of a video?) what unrelated incidents have too."""
        kin = self._kinship.of_one_upload()
        rare = self._rarities(hit, known, references, fingerprints, kin)
        heard = [a for a in known if a.signal_type == "sound"]
        sounds = sound_rarities(heard, self._sound_kinship.of_one_upload(kin, heard))
        return lambda one, video: sounds.weighed(rare.weighed(one, video=video))

    def _rarities(
        self,
        hit: Sequence[Found],
        known: Sequence[Alignment],
        references: dict[str, Reference],
        fingerprints: Sequence[Fingerprint],
        kin: Kin,
    ) -> Rarities:
        """How rare the upload's pictures are. An image is all that it shows, so that its picture
        is its own, and takes nothing from others'."""
        sightings = [
            hit_of(f.reference_id, f.query, f.hits) for f in hit if counts(f.query.signal_type)
        ]
        sightings += [s for alignment in known for s in sightings_of(alignment)]
        moving = [s for s in sightings if references[s.reference_id].kind is MediaKind.VIDEO]

        def codes() -> dict[Picture, Codes]:
            tracks = {s.track for s in moving}
            each = ((t, codes_by_offset(fingerprints, t)) for t in tracks)
            return {picture(t, offset): code for t, some in each for offset, code in some.items()}

        return rarities(moving, kin, codes)

    def usable(self, fingerprints: Iterable[Fingerprint]) -> list[Fingerprint]:
        """As `Lookup.usable`."""
        return self._lookup.usable(fingerprints)

    def ahead(self, *, aside: bool) -> Ahead:
        """Looks pictures up by local features as they come, for `find_local`. `aside`: every other
        one of a short upload is set aside."""
        return Ahead(self._index, lambda codes: bool(self._lookup.find(codes)), aside=aside)

    def find_local(
        self,
        look: MediaFingerprints,
        *,
        usual_only: bool = False,
        ahead: Ahead | None = None,
        every: Watched = NOT_WATCHED,
    ) -> Beside:
        """See `finders.LocalFinder`; nothing where local features are not wanted."""
        if self._local is None:
            return NOTHING_BESIDE
        return self._local.find(look, usual_only=usual_only, ahead=ahead, every=every)

    def settled(self, look: MediaFingerprints, matches: Iterable[Match]) -> bool:
        """Whether hashes found (`matches`) all of the upload, so that local features need not be
        looked up: they could neither find more of it, nor tell another moment."""
        total = look.coverage.total_s
        sure = [a for m in matches for a in sure_of_all(m, total)]
        codes = self.usable(look.fingerprints) if sure else []
        return any(self._cameras.is_one_moment(a, codes, total) for a in sure)

    def find_sound(self, look: MediaFingerprints) -> Beside:
        """See `finders.SoundFinder`; nothing where sound is not wanted."""
        return self._sound.find(look) if self._sound else NOTHING_BESIDE

    def find_neural(self, look: MediaFingerprints) -> Beside:
        """See `finders.NeuralFinder`; nothing where descriptors are not wanted or have no model."""
        return self._neural.find(look) if self._neural else NOTHING_BESIDE

    def standing(self, beside: Beside, matches: Iterable[Match]) -> tuple[float, ...]:
        """When pictures show references, of others than allow-lists, whose camera stands still, in
        seconds of the upload."""
        seen = [(place.reference_id, place.offsets.tolist()) for place in beside.places]
        seen += [
            (match.reference.id, [f.offset for f in alignment.frames])
            for match in matches
            for alignment in match.alignments
            if alignment.signal_type in ("pdq", "local")
        ]
        stands = {
            name: reference.bank.action is not Action.ALLOW and self._cameras.stand_still(name)
            for name, reference in self._references({name for name, _ in seen}).items()
        }
        shown = {at for name, offsets in seen if stands.get(name) for at in offsets}
        return tuple(sorted(shown))

    def _moment(
        self, alignment: Alignment, query: Fingerprint, motion: Sequence[Motion], budget: Budget
    ) -> Moment:
        """What motion says of an alignment by PDQ, of that query, in which all may be one scene."""
        known = motion_of(self._store, alignment.reference_id) if motion else None
        if alignment.signal_type != "pdq" or known is None:
            return UNTOLD
        return moment_of(alignment, query, motion, known, budget)

    def _by_chance(self, alignment: Alignment, beside: Beside) -> bool:
        """Whether it is at a moment that local features cannot tell, or of another: of a camera
        that stands still the pictures differ by who walks through them, and some line of time goes
        through those that look alike. So it is of any camera where local features see the place at
        another moment, and hardly any picture is close."""
        name = alignment.reference_id
        if name in beside.other_moment and close_part(alignment) <= CLOSE:
            return True
        return beside.untold(name) and self._cameras.stand_still(name)

    def _hardly_backwards(self, alignment: Alignment, beside: Beside) -> bool:
        """Whether a camera that moves is shown backwards by few pictures that are close, where
        local features, which look backwards, too, see another moment."""
        name = alignment.reference_id
        if alignment.speed >= 0 or name not in beside.other_moment:
            return False
        if self._cameras.stand_still(name):
            return False
        return 0 < close_part(alignment) <= CLOSE_BACKWARDS

    def _odd(self, alignment: Alignment) -> bool:
        """Whether it is of a camera that stands still, at a speed that few copies have, and has no
        picture that is close."""
        if is_still(alignment) or close_part(alignment) > 0 or not odd(alignment.speed):
            return False
        return self._cameras.stand_still(alignment.reference_id)


def _whole(reference: Reference, total_s: float | None) -> SegmentPair:
    if reference.kind is MediaKind.IMAGE:
        return SegmentPair(Segment(0.0, 0.0), Segment(0.0, 0.0))
    seconds = reference.duration_s or total_s or 0.0
    return SegmentPair(Segment(0.0, total_s or seconds), Segment(0.0, seconds))
