"""What an image shows by local features: each reference at the picture that is seen best. Pure but
for the index, and for what describes the image.

An image has no line of time. What it shows of a video's place may be of any moment, unless the
camera moves, what moves is there, or all of a picture is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hashdb.model import Grey, Rendering
from hashdb.ports import LocalBackend, Nominee
from matcher import moving
from matcher.all_over import NOT_ASKED, best_shown
from matcher.laying import NOMINATING, Found, alike_beside, on_line, together
from matcher.localize import MOST_REFERENCES, outshone
from matcher.ports import Guide
from matcher.sighting import Sight
from matcher.verify import Candidates

MOVED_ALONE = 8
"""Moving features by which an image tells a fixed camera's moment."""


def shown(
    sights: Sequence[Sight],
    index: LocalBackend,
    *,
    still: Sequence[int],
    image: Grey | None,
    guide: Guide | None,
) -> list[tuple[Found, bool]]:
    """The references that the image shows, each in its renderings at the picture of it that is seen
    best, if that is clear or the image shows it all over; and whether it is sure that this is the
    moment, and no other picture. `still`: ordinals of those that are images; without the `image`
    itself, and a `guide`, none is looked for all over."""
    groups: dict[tuple[int, int, Rendering], list[Sight]] = {}
    for sight in sights:
        nominee, rendering = sight.nominee, sight.shot.rendering
        groups.setdefault((nominee.reference, nominee.track, rendering), []).append(sight)
    best = {of: max(seen, key=_inliers) for of, seen in groups.items()}
    shows = []
    for of in sorted(best, key=lambda of: -_inliers(best[of]))[:MOST_REFERENCES]:
        same, (reference, track, _) = groups[of], of
        how, sight = NOT_ASKED, best[of]
        if image is not None and guide is not None:
            how, sight = best_shown(same, image, guide)
        if not (how.all_over or _inliers(best[of]) >= NOMINATING):
            continue
        found = _at(sight, same, index, still=reference in still)
        others = [s for s in sights if (s.nominee.reference, s.nominee.track) == of[:2]]
        if found is None or (outshone(found, others) and not how.all_over):
            continue
        pictures = index.pictures(reference, track)
        told = reference in still or told_alone(found, pictures, holes=how.holes)
        sure = how.all_over or (told and not how.lacks)
        shows.append((replace(found, all_over=how.all_over), sure))
    return shows


def _inliers(sight: Sight) -> int:
    return sight.agreement.inliers


def _at(sight: Sight, same: Sequence[Sight], index: LocalBackend, *, still: bool) -> Found | None:
    """What is found at the picture of that sight; `same`: all of its reference and rendering."""
    nominee, rendering, mine = sight.nominee, sight.shot.rendering, [sight.shot]
    pictures = index.pictures(nominee.reference, nominee.track)
    known: dict[tuple[int, float], Candidates] = {}
    led, seen = together(1.0, nominee.offset, [sight], mine, pictures, known, still=still)
    if not seen:
        return None
    nothing = Found(
        nominee.reference, rendering, 0.0, 0.0, (), 0, seen=tuple(same), track=nominee.track
    )
    found = on_line(nothing, 1.0, nominee.offset, led, seen)
    stands = not still and alike_beside(found, mine, pictures, known)
    return replace(found, stands=stands)


def told_alone(found: Found, pictures: Sequence[Nominee], *, holes: bool = False) -> bool:
    """Whether an image that shows a video's place is of the moment that it was found at: a camera
    that moves shows it so once; where it stands still, what moves must be there, and no `holes` in
    what is seen, for somebody else may be there as well."""
    moves = moving.Masks(pictures)
    if not found.sights or not moving.is_fixed(found.sights, moves):
        return bool(found.sights)
    if holes:
        return False
    # of pictures that differ by what moves only, any may lie on the line
    for sight in (*found.sights, *found.seen):
        moved = moving.moved(replace(found, sights=(sight,)), moves)
        if moved is not None and sum(moved) >= MOVED_ALONE:
            return True
    return False
