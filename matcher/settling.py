"""On which line of time, and at which moment, a video shows what was found in it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hashdb.model import Motion
from hashdb.ports import Nominee
from matcher import moving
from matcher.laying import Found, usual
from matcher.localize import at_usual_speed
from matcher.moments import at_its_moment
from matcher.pieces import shots_during
from matcher.played import Seen
from matcher.sharpen import at_normal_speed, sharpened
from matcher.sighting import Shot


def laid(
    found: Found, seen: Seen, pictures: Sequence[Nominee], *, pieces: bool
) -> tuple[Found, list[Shot], Found]:
    """It on its line, the shots of its rendering, and it on the line that is measured: which is its
    line, but of pieces, for two seconds tell no speed."""
    mine = [s for s in seen.shots if s.rendering is found.rendering]
    if pieces:
        mine = shots_during(found.sights, mine)
        return found, mine, sharpened(found, mine, pictures)
    odd = not (usual(found.speed) or found.own)
    if odd and moving.is_fixed(found.sights, moving.Masks(pictures)):
        found = at_usual_speed(found, mine, pictures)
    sharp = sharpened(found, mine, pictures)
    return sharp, mine, sharp


def first_moment(
    found: Found,
    mine: Sequence[Shot],
    pictures: Sequence[Nominee],
    both: Callable[[], tuple[Motion, Motion] | None],
    *,
    closer: bool,
) -> Found | None:
    """At which moment it is, at the normal speed if it may be."""
    settled = at_normal_speed(found, mine, pictures)
    moment = at_its_moment(settled, mine, pictures, both)
    if settled is not found and not closer and (moment is None or not moment.told):
        # of pictures a second apart only what moves tells that much
        return at_its_moment(found, mine, pictures, both)
    return moment
