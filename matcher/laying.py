"""Pictures of an upload on a line of time, laid on those of the reference that it leads to: by one
map, or each by a map of its own. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hashdb.model import Floats, Rendering
from hashdb.ports import Nominee
from matcher import verify
from matcher.sighting import Shot, Sight, asked_about, picture_of
from matcher.verify import Candidates

NOMINATING = 10
"""Inliers of a picture that starts a line."""

STEP = 0.5
"""Seconds between the pictures that are kept of a reference."""

STILL_STEP = 4.0
"""Seconds that a picture of a still scene stands for."""

FEWEST_TOGETHER = 3
"""Inliers of a picture, where the map is known from other pictures."""

HYPOTHESES = 12
SLACK, SHIFT = 2.0, 5.0
"""Times `verify.TOLERANCE`: around the common map, and by which the whole picture may move."""

OWN_MAPS, FEWEST_OWN_MAPS = 1.5, 6
"""How many times as much shots must show by maps of their own to keep them, and the fewest of them.
"""

OWN_SHARE = 0.2
"""And the part of what should be seen that they must, at the median: a copy that is much covered or
dim keeps the common map, by which fewer count."""

ELSEWHERE_LESS = 0.75
"""The part of that which the same shots may show of the reference `SHIFT_S` earlier and later."""

SHIFT_S, STANDING = 2.0, 0.8
"""A scene stands still where lines so many seconds beside the right one show so much of it too."""

USUAL = 0.15
"""Octaves around the normal speed. A line of another speed is found sooner by chance, and must
explain more."""

OFF_LINE_S, CLEARLY = 1.0, 3.0
"""A shot contradicts its line where it has so many times as many inliers so many seconds off it."""

TOLD = 60
"""Inliers of one picture that count, where two lines are compared."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """One track of a reference in one rendering: its sights on one line of time, all by one map.
    `led`: shots between the first and the last sight that the line leads to a picture of the
    reference, seen there or not; `elsewhere`: those of them that clearly show another moment of it;
    `blank`: those of them that show it at no moment; `seen`: sights of it, on any line; `stands`:
    two seconds earlier or later the reference shows about the same at the same place; `moved`: of
    each sight the features found that move in the reference (`matcher.moments`); `told`: all that
    moves tells this line (`matcher.motion`); `timed`: and how every picture changes does
    (`matcher.every_picture`), which goes on at shots that do not show it, `followed`, seconds;
    `own`: the clearest sight of each shot, at any moment, where those show much more than any one
    map does; `drifts`: no one map lays it, and what moves agrees no more than elsewhere;
    `paced`: many of its pictures show it clearly and lie still, so that its speed is no chance
    (`matcher.beyond.is_paced`); `all_over`: of an image, which shows a picture of it all over
    (`matcher.all_over`)."""

    reference: int
    rendering: Rendering
    speed: float
    offset: float
    sights: tuple[Sight, ...]
    led: int
    elsewhere: int = 0
    blank: int = 0
    seen: tuple[Sight, ...] = ()
    stands: bool = False
    moved: tuple[int, ...] = ()
    told: bool = False
    timed: bool = False
    followed: tuple[float, ...] = ()
    own: tuple[Sight, ...] = ()
    track: int = 0
    all_over: bool = False
    drifts: bool = False
    paced: bool = False

    @property
    def shown_at(self) -> Floats:
        """When the upload shows it, seconds."""
        return np.array([s.shot.offset for s in self.sights])

    @property
    def own_maps(self) -> bool:
        """Whether each picture is laid by a map of its own (one that all share may be shifted)."""
        turns = [s.agreement.map[:, :2] for s in self.sights]
        return any(not np.array_equal(turn, turns[0]) for turn in turns)

    @property
    def wanders(self) -> float:
        """How far a map that all share is shifted from picture to picture at most, in parts of the
        upload's longer side."""
        shifts = np.array([s.agreement.map[:, 2] for s in self.sights])
        picture = self.sights[0].shot.picture
        return float(np.ptp(shifts, axis=0).max() / max(picture.width, picture.height))


def together(
    speed: float,
    offset: float,
    on: Sequence[Sight],
    mine: Sequence[Shot],
    pictures: Sequence[Nominee],
    known: dict[tuple[int, float], Candidates],
    *,
    still: bool,
) -> tuple[list[Shot], list[Sight]]:
    """The shots that the line leads to a picture of the reference, and those that one map lays
    where those `on` the line lie; or each a map of its own, where one cannot lay them all. `known`:
    pairs that were looked for already."""
    led = _led(speed, offset, mine, pictures, known, still=still)
    strongest = sorted(on, key=lambda s: -s.agreement.inliers)[:HYPOTHESES]
    common = verify.common([pairs for *_, pairs in led], [s.agreement.map for s in strongest])
    if common is None:
        return [], []
    seen = [Sight(*one, verify.measured(common, one[2], SLACK, SHIFT)) for one in led]
    seen = [s for s in seen if s.agreement.inliers >= FEWEST_TOGETHER]
    shots = [one[0] for one in led]
    if still or speed <= 0 or not usual(speed) or not much_more(clearest(on), seen, OWN_SHARE):
        return shots, seen
    own = _by_their_own(led)
    told = much_more(own, seen, OWN_SHARE)
    if told and _tells_the_moment(speed, offset, own, mine, pictures, known):
        return shots, own
    return shots, seen


def by_their_own(
    speed: float, offset: float, mine: Sequence[Shot], pictures: Sequence[Nominee]
) -> tuple[list[Shot], list[Sight]]:
    """As `together`, each shot by a map of its own."""
    led = _led(speed, offset, mine, pictures, {}, still=False)
    return [one[0] for one in led], _by_their_own(led)


def _by_their_own(led: Sequence[tuple[Shot, Nominee, Candidates]]) -> list[Sight]:
    """Those that a map of their own lays clearly."""
    found = [Sight(*one, own) for one in led if (own := verify.agreement(one[2])) is not None]
    return [s for s in found if s.agreement.inliers >= NOMINATING]


def steadiness(sights: Sequence[Sight]) -> float:
    """The part of the features of all shots, where each may be shifted (`SHIFT`), that one map lays
    as well: the map with the median shift."""
    common = sights[0].agreement.map.copy()
    common[:, 2] = np.median([s.agreement.map[:, 2] for s in sights], axis=0)
    steady = sum(verify.measured(common, s.pairs, SLACK).inliers for s in sights)
    return steady / max(1, sum(s.agreement.inliers for s in sights))


def clearest(sights: Iterable[Sight]) -> list[Sight]:
    """Of each shot the one with most inliers, if it is clear."""
    found: dict[int, Sight] = {}
    for sight in sorted(sights, key=lambda s: s.agreement.inliers):
        if sight.agreement.inliers >= NOMINATING:
            found[sight.shot.row] = sight
    return list(found.values())


def much_more(own: Sequence[Sight], common: Sequence[Sight], share: float) -> bool:
    """Whether shots show so much more by maps of their `own`, one each, than by a `common` one that
    the picture turns, sways or jumps: then no map is common to all. `share`: so much of what should
    be seen they show at least, at the median."""
    if len(own) < FEWEST_OWN_MAPS or inliers_of(own) < OWN_MAPS * inliers_of(common):
        return False
    return float(np.median([s.agreement.share for s in own])) >= share


def _tells_the_moment(
    speed: float,
    offset: float,
    own: Sequence[Sight],
    mine: Sequence[Shot],
    pictures: Sequence[Nominee],
    known: dict[tuple[int, float], Candidates],
) -> bool:
    """Whether the same shots show clearly less of the reference at other moments, whatever map lays
    them there: maps of their own follow any camera over one flat place, from moment to moment."""
    rows = {s.shot.row: s.agreement.inliers for s in own}
    same = [shot for shot in mine if shot.row in rows]
    for shift in (-SHIFT_S, SHIFT_S):
        led = _led(speed, offset + shift, same, pictures, known, still=False)
        there = [verify.agreement(pairs) for *_, pairs in led]
        now = sum(rows[shot.row] for shot, *_ in led)
        if sum(a.inliers for a in there if a is not None) > ELSEWHERE_LESS * now:
            return False
    return True


def inliers_of(sights: Iterable[Sight]) -> int:
    """Inliers of the sights, of each no more than tell something."""
    return sum(min(s.agreement.inliers, TOLD) for s in sights)


def _led(
    speed: float,
    offset: float,
    mine: Sequence[Shot],
    pictures: Sequence[Nominee],
    known: dict[tuple[int, float], Candidates],
    *,
    still: bool,
) -> list[tuple[Shot, Nominee, Candidates]]:
    """The shots that a line leads to a picture of the reference, with the pairs of each."""
    return [
        (shot, one, _pairs(shot, one, known))
        for shot, one in led_to(speed, offset, mine, pictures, still=still)
    ]


def led_to(
    speed: float,
    offset: float,
    mine: Sequence[Shot],
    pictures: Sequence[Nominee],
    *,
    still: bool = False,
) -> list[tuple[Shot, Nominee]]:
    """The shots that a line leads to a picture of the reference, and which; `still`: to its only
    one."""
    times = np.array([p.offset for p in pictures])
    if not len(times):
        return []  # withdrawn since its pictures were nominated
    led = []
    for shot in mine:
        moment = float(times[0]) if still else speed * shot.offset + offset
        at = int(np.abs(times - moment).argmin())
        if abs(times[at] - moment) <= (STILL_STEP if _stands(pictures, at) else STEP):
            led.append((shot, pictures[at]))
    return led


def on_line(
    found: Found, speed: float, offset: float, led: Sequence[Shot], sights: Sequence[Sight]
) -> Found:
    """The same on that line of time: what `together` tells of it, and what speaks against it."""
    if not sights:
        return replace(found, speed=speed, offset=offset, sights=(), led=0, elsewhere=0, blank=0)
    first = min(s.shot.offset for s in sights)
    last = max(s.shot.offset for s in sights)
    on = {s.shot.row: s.agreement.inliers for s in sights}
    most = dict.fromkeys((s.shot.row for s in found.seen), 0)
    off = dict.fromkeys(most, 0)
    for sight in found.seen:
        row, inliers = sight.shot.row, sight.agreement.inliers
        most[row] = max(most[row], inliers)
        if abs(sight.nominee.offset - speed * sight.shot.offset - offset) > OFF_LINE_S:
            off[row] = max(off[row], inliers)
    rows = [s.row for s in led if first <= s.offset <= last]
    asked = [row for row in rows if asked_about(found.rendering, row)]
    return replace(
        found,
        speed=speed,
        offset=offset,
        sights=tuple(sights),
        led=len(rows),
        elsewhere=sum(
            off.get(row, 0) >= NOMINATING and off[row] > CLEARLY * on.get(row, 0) for row in rows
        ),
        blank=sum(row not in on and not most.get(row) for row in asked),
    )


def alike_beside(
    found: Found,
    mine: Sequence[Shot],
    pictures: Sequence[Nominee],
    known: dict[tuple[int, float], Candidates],
) -> bool:
    """Whether lines that lie `SHIFT_S` beside it explain about as much by the same map."""
    now = np.mean([min(s.agreement.inliers, TOLD) for s in found.sights])
    first = found.sights[0].agreement.map
    for shift in (-SHIFT_S, SHIFT_S):
        moved = found.offset + shift
        led = _led(found.speed, moved, mine, pictures, known, still=False)
        told = [min(verify.measured(first, pairs, SLACK, SHIFT).inliers, TOLD) for *_, pairs in led]
        if told and float(np.mean(told)) >= STANDING * now:
            return True
    return False


def _pairs(shot: Shot, nominee: Nominee, known: dict[tuple[int, float], Candidates]) -> Candidates:
    place = (shot.row, nominee.offset)
    if place not in known:
        known[place] = verify.candidates(shot.picture, picture_of(nominee))
    return known[place]


def _stands(pictures: Sequence[Nominee], at: int) -> bool:
    """Whether the next picture that was kept is far: what lies between looks the same."""
    return at + 1 < len(pictures) and pictures[at + 1].offset - pictures[at].offset > 2 * STEP


def usual(speed: float) -> bool:
    """Whether it is about the normal one, or 0: a picture that stands has no speed of its own."""
    return speed >= 0 and abs(float(np.log2(speed or 1.0))) <= USUAL
