"""The moment of a reference that is told by every picture of an upload. Pure but for what
describes pictures.

Where few pictures leave the moment open (`matcher.moments`), all of them are looked at; how they
change leads to one line of time (`matcher.every_picture`), and is held against what features say.
Or it is told by what is there for an instant only (`matcher.instants`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hashdb.model import Grey, Motion
from hashdb.ports import Nominee
from matcher import moving
from matcher.correlation import Line
from matcher.every_picture import Told, followed, line_by_all
from matcher.instants import line_by_instants
from matcher.laying import Found
from matcher.moments import AGREED, AGREED_ABOVE, SAME, SAME_FASTER, on_told_line
from matcher.motion import SAME_S, laid_by
from matcher.ports import Guide
from matcher.sighting import Shot

FEW_EVENTS, MANY_EVENTS, MOST_OF_ALL = 4.0, 8.0, 0.5
"""Changes that count alike on the line that every picture tells, where features say that it is
another moment: fewer are one event, which happens alike at another hour; so many are no chance, if
they are so large a part of all, or agree by `SAME`. (Flames have 9 of 13 to 32 of 42, somebody who
walks by 4, a title that slides in over somebody 4 to 6, a car that passes as another did 9.7 of
44.)"""

SAME_EVENTS = 7.0
"""As many are enough where they agree by `SAME_FASTER`. (A sharpened copy of somebody who comes has
7.3 that agree by 0.94; other hours agree by 0.59 at most.)"""


def at_moment_of_all(
    found: Found,
    moment: Found | None,
    mine: Sequence[Shot],
    pictures: Sequence[Nominee],
    upload: Motion,
    reference: Motion,
) -> Found | None:
    """What was found, on the line of time that is told by how all pictures change (`upload`: of
    each of them); None where they tell none, and of a picture that moves about, of which not each
    has a map. `moment`: where `at_its_moment` has it; where that is nowhere, or elsewhere, few
    events must not be those of another hour."""
    if found.own_maps:
        return None
    laid = laid_by(found)
    told = line_by_all(found.shown_at, laid, upload, reference)
    settled = None if told is None else on_told_line(found, told.line, mine, pictures)
    if told is None or settled is None:
        return None
    elsewhere = moment is None or not _leads_alike(moment, told.line)
    if elsewhere and not _is_no_chance(told):
        if not _is_clear(told):
            return None
        if not _leads_alike(found, told.line) and _is_missing(settled, told, pictures):
            return None
    seen = {s.shot.row for s in settled.sights}
    unseen = np.array([s.offset for s in mine if s.row not in seen])
    there = followed(told.line, unseen, laid, upload, reference)
    return replace(settled, timed=True, followed=tuple(unseen[there].tolist()))


def at_its_instants(
    found: Found,
    mine: Sequence[Shot],
    pictures: Sequence[Nominee],
    greys: Sequence[Grey],
    guide: Guide,
) -> Found | None:
    """What was found before a camera that stands still, on the line of time that what is there for
    an instant only tells; None where it tells none. As for `line_by_instants`."""
    told = line_by_instants(found, pictures, greys, guide)
    settled = None if told is None else on_told_line(found, told.line, mine, pictures)
    return None if settled is None else replace(settled, timed=True)


def _leads_alike(found: Found, line: Line) -> bool:
    """Whether the line leads all that was found to about the same moments."""
    apart = (found.speed - line.speed) * found.shown_at + found.offset - line.offset
    return bool(np.abs(apart).max() <= SAME_S)


def _is_no_chance(told: Told) -> bool:
    """Whether so much agrees that it is no event that happens alike at another hour, whatever
    features say: it goes on throughout, as flames do, or what moves is the same."""
    if told.correlation >= SAME_FASTER and told.events >= SAME_EVENTS:
        return True
    goes_on = told.events >= MOST_OF_ALL * told.changes
    return told.events >= MANY_EVENTS and (goes_on or told.correlation >= SAME)


def _is_clear(told: Told) -> bool:
    """Whether so much agrees, on this line and on no other, that features need not say the same."""
    clear = told.correlation >= AGREED and told.above >= AGREED_ABOVE
    return clear and told.events >= FEW_EVENTS


def _is_missing(settled: Found, told: Told, pictures: Sequence[Nominee]) -> bool:
    """Whether what moves, or is seen at one time only, is not found on the told line."""
    alike = told.correlation >= SAME
    if not alike and moving.moved(settled, moving.Masks(pictures)) is None:
        return True
    return moving.lacks_what_comes(settled, pictures)
