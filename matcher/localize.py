"""Local features into alignments: pictures that agree in time and place. Pure but for the index
that is asked.

1. Each picture of the query that shows something of a reference is verified (`matcher.sighting`).
2. What is verified of one reference in one rendering is a vote for a line of time, as with hashes.
3. Pictures of the query that lie on the line but were not nominated are verified too: they may be
   dimmer, or much covered.
4. What of the reference stands still says that the place is the same, what moves says that it is
   the same moment. Where a reference's moving features are missing, it is another moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hashdb.model import Floats, Rendering
from hashdb.ports import LocalBackend, Nominee
from matcher import verify
from matcher.align import SPEEDS, FrameHits, best_line
from matcher.cells import in_place
from matcher.sighting import Shot, Sight, asked_about, cells_of, picture_of
from matcher.verify import Candidates

NOMINATING = 10
"""Inliers of a picture that starts a line."""

STEP = 0.5
"""Seconds between the pictures that are kept of a reference."""

FULL = 40.0
"""Inliers at which one picture says about all that one can: `1 - exp(-inliers / FULL)`."""

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

ANY_SHARE = 0.08
"""Of a place that looks alike at all moments the part is less, whichever of them is found: what
moves must tell it (`matcher.moments`)."""

ELSEWHERE_LESS = 0.75
"""The part of that which the same shots may show of the reference `SHIFT_S` earlier and later."""

MOST_REFERENCES = 40
MOST_LINES, FEWEST_MORE = 3, 3
"""Lines of time of one reference; sights of any but the strongest one. Two pictures of a place that
is shown throughout are on some line."""

SHIFT_S, STANDING = 2.0, 0.8
"""A scene stands still where lines so many seconds beside the right one show so much of it too."""

USUAL = 0.15
"""Octaves around the normal speed. A line of another speed is found sooner by chance, and must
explain more."""

OFF_LINE_S, CLEARLY = 1.0, 3.0
"""A shot contradicts its line where it has so many times as many inliers so many seconds off it."""

FORWARD = SPEEDS[(SPEEDS >= 0.49) & (SPEEDS <= 2.05)]
TOLD = 60
"""Inliers of one picture that count, where two lines are compared."""

ABOUT_NORMAL = FORWARD[np.abs(np.log2(FORWARD)) <= USUAL]
"""The usual ones."""

_TRIED = ((FORWARD, 1.0), (SPEEDS[-1:], 0.85))
"""Moving lines, and a frozen picture. A scene that stands still is on both."""


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
    map does."""

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

    @property
    def shown_at(self) -> Floats:
        """When the upload shows it, seconds."""
        return np.array([s.shot.offset for s in self.sights])

    @property
    def own_maps(self) -> bool:
        """Whether each picture is laid by a map of its own (one that all share may be shifted)."""
        turns = [s.agreement.map[:, :2] for s in self.sights]
        return any(not np.array_equal(turn, turns[0]) for turn in turns)


def lines(
    some: Sequence[Shot], sights: Sequence[Sight], index: LocalBackend, *, still: Sequence[int]
) -> list[Found]:
    """The references seen, each in its renderings, with the sights that agree in time and place.

    `still`: ordinals of references that are images, which have no time to agree with.
    """
    groups: dict[tuple[int, int, Rendering], list[Sight]] = {}
    for sight in sights:
        shown = (sight.nominee.reference, sight.nominee.track, sight.shot.rendering)
        groups.setdefault(shown, []).append(sight)
    ranked = sorted(groups.items(), key=lambda g: -sum(s.agreement.inliers for s in g[1]))
    found = []
    for (reference, track, rendering), seen in ranked[:MOST_REFERENCES]:
        if max(s.agreement.inliers for s in seen) >= NOMINATING:
            mine = [s for s in some if s.rendering == rendering]
            pictures = index.pictures(reference, track)
            mine_found = _lines_of(reference, rendering, mine, seen, pictures, reference in still)
            same = [s for s in sights if s.nominee.reference == reference]
            other = [s for s in same if s.nominee.track == track]
            found += [replace(f, track=track) for f in mine_found if not outshone(f, other)]
    return found


def outshone(found: Found, sights: Iterable[Sight]) -> bool:
    """Whether the pictures on a line show the reference better in another rendering, at whatever
    moment, where the line does: a copy is mirrored or it is not, while somebody who moves looks
    like himself in a mirror now and then. Beside it, both are shown: half of a picture and that
    half in a mirror. `sights`: of that reference, in all renderings."""
    place = 0
    for sight in found.sights:
        place |= cells_of(sight)
    better: dict[int, int] = {}
    for sight in sights:
        if sight.shot.rendering is found.rendering:
            continue
        cells = cells_of(sight)
        if in_place(cells, place) or in_place(place, cells):
            row = sight.shot.row
            better[row] = max(better.get(row, 0), sight.agreement.inliers)
    both = [s for s in found.sights if asked_about(Rendering.MIRRORED, s.shot.row)]
    return sum(better.get(s.shot.row, 0) for s in both) > sum(s.agreement.inliers for s in both)


def _lines_of(
    reference: int,
    rendering: Rendering,
    mine: Sequence[Shot],
    seen: Sequence[Sight],
    pictures: Sequence[Nominee],
    still: bool,
) -> list[Found]:
    found: list[Found] = []
    rest = list(seen)
    known: dict[tuple[int, float], Candidates] = {
        (s.shot.row, s.nominee.offset): s.pairs for s in seen
    }
    while rest and len(found) < MOST_LINES:
        best, strength, rows = None, 0.0, {rest[0].shot.row}
        for speeds, favour in _TRIED:
            speed, offset, on = _line(rest, mine, speeds, still=still)
            led, seen_there = together(speed, offset, on, mine, pictures, known, still=still)
            told = favour * inliers_of(seen_there)
            if told > strength:
                nothing = Found(reference, rendering, 0.0, 0.0, (), 0, seen=tuple(seen))
                best = on_line(nothing, speed, offset, led, seen_there)
                strength, rows = told, {s.shot.row for s in (*on, *seen_there)}
        if best is not None and (not found or len(best.sights) >= FEWEST_MORE):
            # what is laid by maps of its own shows less at other moments
            asked = not (still or best.own_maps)
            stands = asked and _stands_still(best, mine, pictures, known)
            clear = _clearest(seen) if asked else []
            own = clear if _much_more(clear, best.sights, ANY_SHARE) else []
            found.append(replace(best, stands=stands, own=tuple(own)))
        rest = [s for s in rest if s.shot.row not in rows]
    return found


def at_usual_speed(found: Found, mine: Sequence[Shot], pictures: Sequence[Nominee]) -> Found:
    """The same on the best line at about the normal speed, where that shows more."""
    known = {(s.shot.row, s.nominee.offset): s.pairs for s in found.seen}
    speed, offset, on = _line(found.seen, mine, ABOUT_NORMAL, still=False)
    led, seen = together(speed, offset, on, mine, pictures, known, still=False)
    if inliers_of(seen) <= inliers_of(found.sights):
        return found
    other = on_line(found, speed, offset, led, seen)
    return replace(other, stands=_stands_still(other, mine, pictures, known))


def _line(
    sights: Sequence[Sight], mine: Sequence[Shot], speeds: Floats, *, still: bool
) -> tuple[float, float, list[Sight]]:
    """Speed and offset of the best line of time, and the sights on it."""
    offsets = np.zeros(max(s.row for s in mine) + 1)
    for shot in mine:
        offsets[shot.row] = shot.offset
    hits = FrameHits(
        np.array([s.shot.row for s in sights], dtype=np.int64),
        np.array([max(0.0, s.nominee.offset - STEP / 2) for s in sights]),
        np.full(len(sights), STEP),
        np.array([distance_of(s.agreement.inliers) for s in sights], dtype=np.int64),
    )
    line = best_line(offsets, hits, "local", still=still, speeds=speeds)
    rows = line.hits.queries
    speed, offset = fitted(offsets[rows], line.moments, line.speed)
    on = [s for s in sights if still or abs(speed * s.shot.offset + offset - s.nominee.offset) < 1]
    return speed, offset, on


def fitted(t: Floats, moments: Floats, speed: float) -> tuple[float, float]:
    """Speed and offset through the moments; the line's own speed where they cannot tell, and an
    offset that leads nowhere (nan) where there are none."""
    if not len(t):
        return speed, float("nan")
    if len(t) > 2 and float(np.ptp(t)) > 1.0:
        slope, start = (float(x) for x in np.polyfit(t, moments, 1))
        if 0.4 <= abs(slope) <= 2.5:
            return slope, start
    return speed, float(np.median(moments - speed * t))


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
    if still or speed <= 0 or not usual(speed) or not _much_more(_clearest(on), seen, OWN_SHARE):
        return shots, seen
    own = _by_their_own(led)
    told = _much_more(own, seen, OWN_SHARE)
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


def _clearest(sights: Iterable[Sight]) -> list[Sight]:
    """Of each shot the one with most inliers, if it is clear."""
    found: dict[int, Sight] = {}
    for sight in sorted(sights, key=lambda s: s.agreement.inliers):
        if sight.agreement.inliers >= NOMINATING:
            found[sight.shot.row] = sight
    return list(found.values())


def _much_more(own: Sequence[Sight], common: Sequence[Sight], share: float) -> bool:
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
    times = np.array([p.offset for p in pictures])
    if not len(times):
        return []  # withdrawn since its pictures were nominated
    led = []
    for shot in mine:
        moment = float(times[0]) if still else speed * shot.offset + offset
        at = int(np.abs(times - moment).argmin())
        if abs(times[at] - moment) <= (STILL_STEP if _stands(pictures, at) else STEP):
            led.append((shot, pictures[at], _pairs(shot, pictures[at], known)))
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


def _stands_still(
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


def distance_of(inliers: float) -> int:
    """0 to 100: how far one picture is from full agreement (`FrameMatch.distance` of `local`)."""
    return round(100 * float(np.exp(-inliers / FULL)))
