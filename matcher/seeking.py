"""Whether pictures on a line of time show all of a reference's, or nothing of them. Pure but for
what describes pictures.

A detector finds some of a picture's corners again: two in five at best, few where it was enlarged,
covered or coded coarsely, and in another picture of the same make some by chance. But a line and a
map are known, so each of the reference's features can be looked for where it should be
(`matcher.ports.Guide`). Of a copy some are there in any case, to the pixel; of what agreed by
chance, or of another moment of what moves, none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from hashdb.model import Floats, Grey, Ints, Rendering
from hashdb.ports import Nominee
from matcher import verify
from matcher.all_over import FOUND_BITS, rendered
from matcher.laying import SHIFT_S, STEP, Found, led_to, on_line, usual
from matcher.ports import FrameFeatures, Guide
from matcher.sighting import Shot, Sight, picture_of
from matcher.verify import Agreement, Map

T = TypeVar("T")

SHOWS, CHANCE = 0.15, 0.02
"""The part of the features that a picture must show by the map that all pictures of the line share,
and the part that it shows by chance. (Of 267 lines of copies at about their speed the median
picture shows 0.14 and more of it but for one, 0.22 and more but for three; of others 0.00 to 0.02,
but before a camera that stands still.)"""

FEWEST_SHOWN, SHOWN_PART = 4, 0.3
"""Pictures that must show so much, at least, and the part of those that are asked."""

MOST, MOSTLY = 24, 0.75
"""Pictures that are asked, at most, spread over the line; and the part of those that a line leads
to the reference of which fewer are not nearly all."""

ELSEWHERE = 0.5
"""The part of that which the same places may show of the reference `SHIFT_S` earlier and later."""

NOTHING, CLEAR, NOTHING_PART, FEWEST_ASKED = 0.1, 0.5, 0.125, 4
"""Where of so many pictures or more no larger part shows so much of the features as the first, and
none as much as the second, what agreed did so by chance: a face looks like itself."""

MOST_OF_IT = 0.6
"""The part that the median picture must show where the picture drifts. (A window that floats over
other footage 0.88 and more, a man at another time 0.45.)"""

FEWEST, FEWEST_LOOKED_FOR = 8, 20
"""Features by which a map is fitted once more; and those that must be looked for in a picture that
is to say anything."""

BUDGET = 300
"""Pictures of one look, all tracks and references together, in which a reference's are looked for:
each takes 4 ms and more, and a hostile upload has many tracks that show many references."""


@dataclass(frozen=True, slots=True, eq=False)
class Sought:
    """Of one picture what was found of one of the reference's: `bits` (n,), and `at` (n, 2) where,
    by the `map`."""

    map: Map
    bits: Ints
    at: Floats

    @property
    def near(self) -> Ints:
        """The rows of the features that are there."""
        return np.flatnonzero((self.bits >= 0) & (self.bits <= FOUND_BITS))

    @property
    def asked(self) -> int:
        return int((self.bits >= 0).sum())

    @property
    def part(self) -> float:
        """0 where there is too little to look for."""
        return len(self.near) / self.asked if self.asked >= FEWEST_LOOKED_FOR else 0.0


class Budget:
    """What may still be looked for."""

    def __init__(self, left: int = BUDGET) -> None:
        self._left = left

    def affords(self, count: int) -> bool:
        return self._left >= count

    def spend(self) -> None:
        self._left -= 1


class Seeker:
    """Looks for references in some pictures of one track: `greys`, by their offsets. As long as the
    `budget` lasts: then nothing is dropped, and nothing made more of."""

    def __init__(self, greys: Mapping[float, Grey], guide: Guide, budget: Budget) -> None:
        self._greys = greys
        self._guide = guide
        self._budget = budget

    def shown_on(
        self, found: Found, shots: Sequence[Shot], pictures: Sequence[Nominee]
    ) -> Found | None:
        """The same with all that its pictures, and others on its line, show of the reference; None
        where they do not show it at its moment, and clearly less of it at others.

        `shots`: the upload's; `pictures`: the reference's.
        """
        if not usual(found.speed) or found.speed <= 0 or found.stands or found.own_maps:
            return None
        if not found.sights or not self._budget.affords(4 * MOST):
            return None
        led = self._led(found, shots, pictures)
        sights = {s.shot.row: s for s in found.sights}
        asked = spread([pair for pair in led if self.is_kept(pair[0])], MOST)
        maps = {row: sight.agreement.map for row, sight in sights.items()}
        shown = [
            (shot, one, sought)
            for shot, one in asked
            if (sought := self.sought(shot, one, _nearest(maps, shot.row))).part >= SHOWS
        ]
        if len(shown) < max(FEWEST_SHOWN, SHOWN_PART * len(asked)):
            return None
        if self._is_shown_elsewhere(shown, pictures):
            return None
        clear = {shot.row: self._sight(shot, one, sought) for shot, one, sought in shown}
        left = [pair for pair in asked if pair[0].row not in clear]
        maps = {row: sight.agreement.map for row, sight in clear.items()}
        for shot, one in sorted(left, key=lambda pair: _away(maps, pair[0].row)):
            sought = self.sought(shot, one, _nearest(maps, shot.row))
            if sought.part >= SHOWS:  # the picture may be zoomed or moved, a little at a time
                clear[shot.row] = self._sight(shot, one, sought)
                maps[shot.row] = clear[shot.row].agreement.map
        sights |= clear
        on = [sights[row] for row in sorted(sights)]
        return on_line(found, found.speed, found.offset, [shot for shot, _ in led], on)

    def leads_on(self, found: Found, shots: Sequence[Shot], pictures: Sequence[Nominee]) -> bool:
        """Whether its line leads to the reference many pictures that were not found to show it."""
        led = [shot for shot, _ in self._led(found, shots, pictures) if self.is_kept(shot)]
        return len(found.sights) < MOSTLY * len(led)

    def _led(
        self, found: Found, shots: Sequence[Shot], pictures: Sequence[Nominee]
    ) -> list[tuple[Shot, Nominee]]:
        mine = [s for s in shots if s.rendering is found.rendering]
        return led_to(found.speed, found.offset, mine, pictures)

    def shows_nothing(self, found: Found) -> bool:
        """Whether hardly any of its pictures shows what the reference does."""
        sights = spread([s for s in found.sights if self.is_kept(s.shot)], MOST)
        if len(sights) < FEWEST_ASKED or not self._budget.affords(len(sights)):
            return False
        asked = shown = 0
        for sight in sights:
            sought = self.sought(sight.shot, sight.nominee, sight.agreement.map)
            asked += sought.asked >= FEWEST_LOOKED_FOR
            shown += sought.part >= NOTHING
            if sought.part >= CLEAR or shown > NOTHING_PART * len(sights):
                return False
        return asked >= FEWEST_ASKED

    def shows_clearly(self, found: Found) -> bool:
        """Whether most of its pictures show most of the features, or too few can be asked."""
        sights = spread([s for s in found.sights if self.is_kept(s.shot)], MOST)
        if len(sights) < FEWEST_ASKED or not self._budget.affords(len(sights)):
            return True
        each = [self.sought(s.shot, s.nominee, s.agreement.map) for s in sights]
        return float(np.median([sought.part for sought in each])) >= MOST_OF_IT

    def affords(self, count: int) -> bool:
        """Whether so much may still be looked for."""
        return self._budget.affords(count)

    def is_kept(self, shot: Shot) -> bool:
        """Whether there is a picture of it in grey, as it was described."""
        grey, picture = self._greys.get(shot.offset), shot.picture
        return grey is not None and grey.luma.shape == (picture.height, picture.width)

    def sought(self, shot: Shot, one: Nominee, found: Map) -> Sought:
        """What a shot, of which a picture is kept, shows of one of the reference's by a map. It
        takes one from the budget, whether that affords it or not."""
        self._budget.spend()
        luma = rendered(self._greys[shot.offset], shot.rendering)
        reference = FrameFeatures(Rendering.PLAIN, one.codes, one.places, one.width, one.height)
        return Sought(found, *self._guide(luma, found, reference))

    def refined(self, shot: Shot, one: Nominee, found: Map) -> Sought:
        """What is found by a map, or by one that it tells itself where that shows more."""
        return self._by_its_own(shot, one, self.sought(shot, one, found))

    def _by_its_own(self, shot: Shot, one: Nominee, sought: Sought) -> Sought:
        if len(sought.near) < FEWEST:
            return sought
        source = one.places[sought.near, :2].astype(np.float64)
        own = verify.fitted(sought.at[sought.near], source)
        again = sought if own is None else self.sought(shot, one, own)
        return max((sought, again), key=lambda some: some.part)

    def _is_shown_elsewhere(
        self, shown: Sequence[tuple[Shot, Nominee, Sought]], pictures: Sequence[Nominee]
    ) -> bool:
        """Whether the same places show much of other moments as well: nothing moves there."""
        here, there = [], []
        for shot, one, sought in spread(shown, MOST // 3):
            others = [
                self.sought(shot, other, sought.map).part
                for shift in (-SHIFT_S, SHIFT_S)
                if (other := _picture_at(one.offset + shift, pictures)) is not None
            ]
            if others:
                here.append(sought.part)
                there.append(max(others))
        return not here or bool(np.median(there) > ELSEWHERE * np.median(here))

    def _sight(self, shot: Shot, one: Nominee, sought: Sought) -> Sight:
        """What is found, by a map that it tells itself where that shows more, as a sight: features
        of the shot lie where those of the reference were found."""
        sought = self._by_its_own(shot, one, sought)
        reference, near = picture_of(one), sought.near
        places = reference.places[near].copy()
        places[:, :2] = sought.at[near]
        seen = replace(shot.picture, codes=one.codes[near], places=places)
        agreement = Agreement(
            map=sought.map,
            inliers=round(len(near) - CHANCE * sought.asked),
            visible=sought.asked,
            spread=verify.spread(reference.places[near], reference, sought.map, seen),
            queries=np.arange(len(near)),
            references=near,
        )
        pairs = verify.candidates(shot.picture, reference)
        return Sight(replace(shot, picture=seen), one, pairs, agreement)


def _picture_at(moment: float, pictures: Sequence[Nominee]) -> Nominee | None:
    """The reference's picture that shows that moment; of a scene that stands still few are kept."""
    first, last = pictures[0].offset, pictures[-1].offset
    if not first - STEP <= moment <= last + STEP:
        return None
    return min(pictures, key=lambda p: abs(p.offset - moment))


def _away(rows: Iterable[int], row: int) -> int:
    return min(abs(other - row) for other in rows)


def _nearest(maps: Mapping[int, Map], row: int) -> Map:
    """That of the nearest row."""
    return maps[min(maps, key=lambda other: abs(other - row))]


def spread(some: Sequence[T], most: int) -> list[T]:
    """At most so many of them."""
    at = np.linspace(0, len(some) - 1, min(len(some), most)).round().astype(int)
    return [some[i] for i in at.tolist()]
