"""At which moments of its references one track of an upload shows them, by local features, by what
moves and, where those leave it open or doubtful, by what a look at every picture saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from hashdb.model import Floats, Grey, Motion, Rendering
from hashdb.ports import LocalBackend, Nominee
from hashdb.store import Store
from matcher import localize, moving
from matcher.beside import Place
from matcher.beyond import is_paced
from matcher.instants import are_missing
from matcher.laying import Found
from matcher.moments import is_doubtful, is_missing, is_surely_told
from matcher.moments_of_all import at_its_instants, at_moment_of_all
from matcher.motion import laid_by, of_pictures, stands_still
from matcher.pieces import pieces as cut_up
from matcher.played import Seen, is_another_pass
from matcher.ports import Guide
from matcher.seeking import Seeker
from matcher.settling import first_moment, laid
from matcher.sighting import Shot, Sight

MOST_DOUBTED, MOST_LOOKED_FOR = 4, 3
"""Moments of a track that are doubted, and references whose instants are looked for to tell one: of
a camera that many references are of there are many. Each takes one to three seconds."""

MOST_TIMED = 8
"""Lines of time in a track, those of the references that are seen best, that are asked of every
picture: one takes up to a second (`every_picture.MOST_HELD`)."""


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Of one track: what was found `at` its moments, where scenes lie (`places`), and references
    whose moment is another one, or, of an image, any (`untold`). `untimed`: when places of others
    than allow-lists are shown whose moment what moves does not tell, seconds. `missing`: of the
    others those whose moving features are not seen. `doubted` and `refuted`: as of `Beside`."""

    at: list[Found] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    other: set[str] = field(default_factory=set)
    untold: set[str] = field(default_factory=set)
    untimed: list[Floats] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)
    doubted: list[Floats] = field(default_factory=list)
    refuted: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True, eq=False)
class _Scene:
    """What was `found` of the reference `name`, in the shots of its rendering (`mine`), of all its
    `pictures`; `both`: what moves in the upload and in the reference, where both are known."""

    name: str
    found: Found
    mine: Sequence[Shot]
    pictures: Sequence[Nominee]
    both: Callable[[], tuple[Motion, Motion] | None]


class MomentFinder:
    """Of one track, by an index as it stands now; `names`: of its references, by their ordinals;
    `seeker`: looks for references in some of its pictures, where there are any."""

    def __init__(
        self,
        store: Store,
        backend: LocalBackend,
        names: Sequence[str],
        guide: Guide | None,
        seeker: Seeker | None = None,
    ) -> None:
        self._store = store
        self._backend = backend
        self._names = names
        self._guide = guide
        self._seeker = seeker
        self._asked = 0  # moments that every picture told, whose instants were looked for
        self._looked_for: set[tuple[int, int, Rendering]] = set()  # references whose instants were

    def find(self, seen: Seen, *, closer: bool, otherwise: bool, pieces: bool) -> Moments:
        """`closer`: of a few seconds that were looked at closely; `otherwise`: as an upload may
        play it; `pieces`: cut up."""
        moments = Moments()
        if pieces:
            some = cut_up(seen.shots, self._moving(seen.sights), self._backend)
        else:
            some = localize.lines(seen.shots, seen.sights, self._backend, still=seen.still)
        for found in some:
            if found.reference in seen.still:
                moments.at.append(found)
                continue
            name = self._names[found.reference]
            pictures = self._backend.pictures(found.reference, found.track)
            fixed = otherwise and self._is_fixed(found, name, pictures)
            if pieces and fixed:
                continue  # any of its moments has pieces of any other
            found, mine, sharp = laid(found, seen, pictures, pieces=pieces)
            paced = False
            if otherwise and not fixed and is_another_pass(sharp):
                paced = not pieces and self._is_paced(found, seen, pictures)
                if not paced:
                    continue
            place = Place(name, seen.track, found.shown_at, laid_by(found), found.wanders)
            moments.places.append(place)
            both = partial(self._motion_beside, seen.motion, found, name, seen.track)
            scene = _Scene(name, found, mine, pictures, both)
            moment = self._moment(scene, seen, moments, closer=closer)
            if (
                not otherwise
                and moment is not None
                and self._is_refuted(moment, scene, seen, moments)
            ):
                moment = None
            if fixed and moment and not (moment.timed or is_surely_told(moment, both)):
                moment = None
            if moment is not None:
                same = (moment.speed, moment.offset) == (found.speed, found.offset)
                moments.at.append(replace(moment, paced=paced and same))
                continue
            moments.other.add(name)
            if is_missing(found, mine, pictures, both):
                moments.missing.add(name)
        return moments

    def _is_paced(self, found: Found, seen: Seen, pictures: Sequence[Nominee]) -> bool:
        """Whether nothing but its pace speaks against what is shown backwards, and that is believed
        (`beyond.is_paced`), where it can be asked."""
        if self._seeker is None or found.reference not in seen.banned:
            return False
        if is_another_pass(found, any_pace=True):
            return False
        return is_paced(found, self._seeker, pictures)

    def _moment(self, scene: _Scene, seen: Seen, moments: Moments, *, closer: bool) -> Found | None:
        """At which moment it is found, if at any; by every picture where few leave that open."""
        found, pictures = scene.found, scene.pictures
        moment = first_moment(found, scene.mine, pictures, scene.both, closer=closer)
        if found.reference not in seen.banned or len(found.sights) < 2:
            return moment
        if moment is None or not moment.told:
            moments.untimed.append(found.shown_at)
            if len(moments.untimed) <= MOST_TIMED:
                moment = self._timed(scene, moment, seen)
        return moment

    def _is_refuted(self, moment: Found, scene: _Scene, seen: Seen, moments: Moments) -> bool:
        """Whether the moment may be another one before a camera that stands still, and what is
        there at that moment only was looked for, and is not."""
        if moment.timed or moment.reference not in seen.banned or len(moment.sights) < 2:
            return False
        if len(moments.doubted) >= MOST_DOUBTED:
            return False
        if not self._is_fixed(moment, scene.name, scene.pictures):
            return False
        if not is_doubtful(moment, scene.both):
            return False
        moments.doubted.append(moment.shown_at)
        greys = seen.every.of(seen.track)
        if self._guide is None or not are_missing(moment, scene.pictures, greys, self._guide):
            return False
        moments.refuted.add(scene.name)
        return True

    def _timed(self, scene: _Scene, moment: Found | None, seen: Seen) -> Found | None:
        """What was found, at the moment that every picture tells, or else its instants; else at the
        `moment` that few tell, unless what is there at an instant only is missing where every
        picture told one."""
        found, mine, pictures = scene.found, scene.mine, scene.pictures
        both = self._motion_beside(seen.every.motion, found, scene.name, seen.track)
        timed = None if both is None else at_moment_of_all(found, moment, mine, pictures, *both)
        greys = seen.every.of(seen.track)
        if timed is None:
            return self._at_instants(scene, greys) or moment
        if self._lacks_instants(timed, scene, greys):
            return self._at_instants(scene, greys)
        return timed

    def _at_instants(self, scene: _Scene, greys: Sequence[Grey]) -> Found | None:
        """At the moment that its instants tell, of pictures that were looked at; looked for once,
        wherever else a reference is found."""
        found = scene.found
        of = (found.reference, found.track, found.rendering)
        if self._guide is None or not greys or of in self._looked_for:
            return None
        if len(self._looked_for) >= MOST_LOOKED_FOR:
            return None
        if not self._is_fixed(found, scene.name, scene.pictures):
            return None
        self._looked_for.add(of)
        return at_its_instants(found, scene.mine, scene.pictures, greys, self._guide)

    def _lacks_instants(self, timed: Found, scene: _Scene, greys: Sequence[Grey]) -> bool:
        """Whether what every picture tells is somebody else who goes the same way: what is there at
        that moment only is not, before a camera that stands still."""
        if self._guide is None or not greys or self._asked >= MOST_DOUBTED:
            return False
        if not self._is_fixed(timed, scene.name, scene.pictures):
            return False
        self._asked += 1
        return are_missing(timed, scene.pictures, greys, self._guide)

    def _moving(self, sights: Sequence[Sight]) -> list[Sight]:
        """Those of references whose camera is not known to stand still."""
        known = {
            i: motion_of(self._store, self._names[i]) for i in {s.nominee.reference for s in sights}
        }
        still = {i for i, one in known.items() if one is not None and stands_still(one)}
        return [s for s in sights if s.nominee.reference not in still]

    def _is_fixed(self, found: Found, name: str, pictures: Sequence[Nominee]) -> bool:
        """Whether it was filmed by a camera that stands still, by what is seen of it or by all."""
        if moving.is_fixed(found.sights, moving.Masks(pictures)):
            return True
        known = motion_of(self._store, name)
        return known is not None and stands_still(known)

    def _motion_beside(
        self, motion: Sequence[Motion], found: Found, name: str, track: int
    ) -> tuple[Motion, Motion] | None:
        """The upload's motion and that of a reference's track, where both are known."""
        mine = of_pictures(motion, found.shown_at).get(track)
        known = None if mine is None else motion_of(self._store, name)
        if mine is None or known is None or known.track != found.track:
            return None
        return mine, known


def motion_of(store: Store, name: str) -> Motion | None:
    """What moves in a reference's first track, where it is known."""
    with store.read() as tx:
        found = next(tx.banks.motion([name]), None)
    return None if found is None else found[1]
