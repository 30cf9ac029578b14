"""The same place, or the same moment: what moves in a reference tells. Pure.

Another hour of a fixed camera shows most of what a reference shows, at any of its moments alike.
What stands still so says which place it is, and what moves (people, cars, a hand) which moment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from hashdb.model import Floats, Motion
from hashdb.ports import Nominee
from matcher import moving
from matcher.correlation import Line
from matcher.laying import Found, by_their_own, on_line, steadiness, together, usual
from matcher.motion import (
    ALIKE,
    LEAST,
    NOT_NEAR,
    UNLIKE,
    Agreement,
    agreement_on,
    coincides,
    compare,
    confirmed,
    laid_by,
    odd,
    stands_still,
)
from matcher.sighting import Shot

CLEARER = 1.1
"""How much more of what moves another line of time must show, where the first shows some."""

FEW_SIGHTS = 10
"""Sights at about the normal speed up to which what moves is asked whether it is of another moment,
where the camera moves: more of them are no chance."""

DRIFTS = 0.55
"""The steadiness below which a picture drifts (`laying.steadiness`): there what moves must agree
more than elsewhere, or the reference be clearly shown (`seeking.Seeker`). (A man who sits before a
camera at another time has 0.52, and what moves agrees by 0.17, by 0.22 elsewhere. Of the five
copies of 131 of which it agrees less than elsewhere, four of them solarised, none drifts so
throughout.)"""

FAINT = 0.08
"""Part of a moving reference's features from which on a picture that shows them says all it can."""

SAME = 0.75
"""A correlation at which the same moves, at whichever moment: a page that turns in a program's
window agrees with lines of many speeds."""

SAME_FASTER = 0.9
"""Where it moves faster or slower than it did there: somebody who stands at a table and leaves
agrees by 0.78, at 1.23 of the speed, with somebody else who did so."""

CLEAR = 0.25
"""How far what moves must agree better on a line than elsewhere where it is not the same, or what
is seen at one time only is asked for: somebody who stands at a table and leaves agrees with another
who did so at about the same speed by 0.76, and by 0.61 with others."""

CLEAR_FASTER, CLEAR_FASTER_LEAST = 0.35, 0.65
"""The same where it moves faster or slower, if it agrees so well at all. (A street that is slowed
down agrees by 0.69, and by 0.49 more; others who are faster by 0.27 more at most where they agree
by 0.6, or by 0.56 and 0.45 more.)"""

UNUSUAL_LEAST = 0.4
"""What moves faster or slower than it did there must agree by so much, by the differences from the
usual or by the changes."""

AGREED, AGREED_ABOVE = 0.6, 0.4
"""How every picture changes agrees by so much on a line, and so far above any other, that it is
believed where features alone have found the same; or how the pictures of a pane differ from the
usual, where hashes alone have found it (`still_scenes.told_in_part`). (A man who comes and goes
0.65 and 0.49, a woman who leaves as he did 0.52 and 0.44.)"""

AS_WELL, REPEATED = 0.9, 0.8
"""Another moment of a reference agrees as well where it does so to this part; what moves is not
repeated where no more than this part of it is found at other moments."""


def at_its_moment(
    found: Found,
    mine: Sequence[Shot],
    pictures: Sequence[Nominee],
    motion: Callable[[], tuple[Motion, Motion] | None] = lambda: None,
) -> Found | None:
    """What was found, at the moment that the reference's moving parts say; None where they are
    missing: the place is the same, the moment is another.

    `mine`: the query's shots in that rendering; `motion` gives the query's and the reference's,
    where both are known. They are held against each other where features leave the moment open, or
    the camera stands still: of an hour and an hour that takes some seconds.
    """
    moves = moving.Masks(pictures)
    moved = moving.moved(found, moves)
    if moved is not None:
        found = replace(found, moved=moved)
    both = motion() if found.own else None
    swaying = None if both is None else _told_of_own_maps(found, mine, pictures, moves, both)
    if swaying is not None:
        return swaying
    if moved is not None and usual(found.speed) and not found.stands:
        return _unless_elsewhere(found, pictures, motion)
    both = motion()
    still = both is not None and stands_still(both[1])
    if moved is not None and still and odd(found.speed):
        found = replace(found, stands=True)
    fixed = moving.is_fixed(found.sights, moves)
    if both is not None and (fixed or still):
        # where most features move, the camera may be a program's window: it must agree clearly
        told = _told_by_motion(found, mine, pictures, moves, both, LEAST if fixed else ALIKE)
        if told is not None:
            return told
        coincides_here = usual(found.speed) and _coincides(found, mine, both)
        if coincides_here and not _may_be_another(found, pictures, _agreement(found, both)):
            return replace(found, moved=(), told=True)
    doubted = found.stands or odd(found.speed) or (still and not usual(found.speed))
    agreement = _agreement(found, both) if moved is not None and doubted else None
    believed = moved is not None and not _contradicted(found, pictures, moves, agreement)
    if believed and not found.stands:
        return replace(found, told=_confirmed(found, moves, agreement))
    spoken_against = moved is not None and not believed
    if spoken_against and not (fixed or still):
        return None  # where the camera moves all does, and it passes the same place again
    kept = found if believed else None
    other = moving.line_by_moving(found, mine, pictures, moves)
    better = None if other is None else moving.moved(other, moves)
    if other is None or better is None:
        return kept
    stands = other.stands or (still and odd(other.speed))
    other = replace(other, moved=better, stands=stands)
    stranger = usual(found.speed) and not usual(other.speed)
    if believed and (stranger or sum(better) <= CLEARER * sum(found.moved)):
        return found
    agreement = _agreement(other, both)
    if _contradicted(other, pictures, moves, agreement) or (spoken_against and agreement is None):
        return kept
    return replace(other, told=not stands and _confirmed(other, moves, agreement))


def _told_of_own_maps(
    found: Found,
    mine: Sequence[Shot],
    pictures: Sequence[Nominee],
    moves: moving.Masks,
    motion: tuple[Motion, Motion],
) -> Found | None:
    """What was found, where pictures that move about show a place that stands still: at the moment
    that all that moves there tells, each picture laid by its own map, if the same moves there by
    `SAME`, or it agrees by `CLEAR` more than elsewhere and who comes is seen. (Copies have 0.80 and
    more, or 0.30 more; others who walk by had 0.65, and 0.16 more.)"""
    fixed = moving.is_fixed(found.own, moves)
    if not fixed and not stands_still(motion[1]):
        return None
    by_own = replace(found, sights=found.own, stands=True)
    told = _told_by_motion(by_own, mine, pictures, moves, motion, LEAST if fixed else ALIKE)
    agreement = None if told is None else _agreement(told, motion)
    if told is None or agreement is None:
        return None
    clear = agreement.on - agreement.elsewhere >= CLEAR
    seen = clear and not moving.lacks_what_comes(told, pictures)
    return told if agreement.on >= SAME or seen else None


def _unless_elsewhere(
    found: Found,
    pictures: Sequence[Nominee],
    motion: Callable[[], tuple[Motion, Motion] | None],
) -> Found | None:
    """What features tell at about the normal speed: of few pictures, of those that drift, or before
    a camera that stands still, not what moves as at another moment, and of faint ones with what
    moves as a witness."""
    few, faint, both = len(found.sights) <= FEW_SIGHTS, _faint(found), motion()
    still = both is not None and stands_still(both[1])
    drifts = steadiness(found.sights) < DRIFTS
    agreement = _agreement(found, both) if few or still or drifts else None
    less = -1.0 if agreement is None else agreement.elsewhere - agreement.on
    if less >= NOT_NEAR:
        return None
    if still and _may_be_another(found, pictures, agreement):
        return None
    doubted = drifts and less >= 0.0
    return replace(found, told=faint and _changes_confirm(found, both), drifts=doubted)


def is_surely_told(
    found: Found, motion: Callable[[], tuple[Motion, Motion] | None] = lambda: None
) -> bool:
    """Whether the same moves on the line, before a camera that stands still, or what moves agrees
    there by `AGREED`, and by so much more than elsewhere."""
    agreement = _agreement(found, motion())
    if agreement is None:
        return False
    clear = agreement.on - agreement.elsewhere >= AGREED_ABOVE
    return is_same(agreement, found.speed) or (agreement.on >= AGREED and clear)


def is_doubtful(
    found: Found, motion: Callable[[], tuple[Motion, Motion] | None] = lambda: None
) -> bool:
    """Whether what moves on the line, before a camera that stands still, may be somebody else who
    does much the same: it is not the same by `SAME_FASTER`, nor by `SAME` and `AGREED_ABOVE` more
    than elsewhere."""
    agreement = _agreement(found, motion())
    if agreement is None:
        return True
    clear = agreement.on - agreement.elsewhere >= AGREED_ABOVE
    return agreement.on < SAME_FASTER and not (agreement.on >= SAME and clear)


def is_missing(
    found: Found,
    mine: Sequence[Shot],
    pictures: Sequence[Nominee],
    motion: Callable[[], tuple[Motion, Motion] | None],
) -> bool:
    """Whether what moves in the reference is not seen: where it was found, or on the line of time
    that what moves tells. As for `at_its_moment`."""
    moved = moving.moved(found, moving.Masks(pictures))
    if moved is None or moving.lacks_what_comes(found, pictures):
        return True
    both = motion()
    compared = None if both is None else compare(_between(found, mine), laid_by(found), *both)
    if compared is None or compared.line is None:
        return False
    settled = on_told_line(found, compared.line, mine, pictures)
    return settled is not None and moving.lacks_what_comes(settled, pictures)


def on_told_line(
    found: Found, line: Line, mine: Sequence[Shot], pictures: Sequence[Nominee]
) -> Found | None:
    """What was found, on the line that what moves tells; None where nothing is seen on it."""
    if found.own_maps:
        led, seen = by_their_own(line.speed, line.offset, mine, pictures)
    else:
        led, seen = together(line.speed, line.offset, found.sights, mine, pictures, {}, still=False)
    if not seen:
        return None
    return replace(on_line(found, line.speed, line.offset, led, seen), moved=(), told=True)


def _coincides(found: Found, mine: Sequence[Shot], motion: tuple[Motion, Motion]) -> bool:
    line = Line(found.speed, found.offset)
    return coincides(line, _between(found, mine), laid_by(found), *motion)


def _between(found: Found, mine: Sequence[Shot]) -> Floats:
    """When the upload was looked at, from the first to the last time that the reference is seen."""
    first, last = (pick(s.shot.offset for s in found.sights) for pick in (min, max))
    return np.array([s.offset for s in mine if first <= s.offset <= last])


def _faint(found: Found) -> bool:
    """Whether pictures show so little of the reference that they say little by themselves."""
    return float(np.median([s.agreement.share for s in found.sights])) < FAINT


def _changes_confirm(found: Found, motion: tuple[Motion, Motion] | None) -> bool:
    """Whether what changes in the upload tells the same line."""
    if motion is None:
        return False
    return confirmed(Line(found.speed, found.offset), found.shown_at, laid_by(found), *motion)


def _agreement(found: Found, motion: tuple[Motion, Motion] | None) -> Agreement | None:
    """How well what moves agrees near a line, by the pictures that show the reference."""
    if motion is None:
        return None
    return agreement_on(Line(found.speed, found.offset), found.shown_at, laid_by(found), *motion)


def _contradicted(
    found: Found, pictures: Sequence[Nominee], moves: moving.Masks, agreement: Agreement | None
) -> bool:
    """Whether what moves speaks against a line of time that stands still or has an odd speed: it
    agrees too little there, or little and what is seen at one time only is missing; or the
    reference repeats itself (a timer, slides of one make), so that the upload's pictures show as
    much of what moves elsewhere in it."""
    if agreement is None or is_same(agreement, found.speed):
        return False
    if agreement.on < UNLIKE or (found.stands and moving.lacks_what_comes(found, pictures)):
        return True
    if agreement.on >= SAME:
        return False
    if usual(found.speed) and agreement.elsewhere < AS_WELL * agreement.on:
        return False
    return moving.moved_elsewhere(found, moves) > sum(found.moved)


def _confirmed(found: Found, moves: moving.Masks, agreement: Agreement | None) -> bool:
    """Whether what moves tells an odd line as clearly as it would of all lines, and the upload's
    pictures show much less of what moves elsewhere: the speed is no chance."""
    if agreement is None or agreement.on < ALIKE:
        return False
    alone = agreement.on - agreement.elsewhere >= NOT_NEAR
    return alone and moving.moved_elsewhere(found, moves) <= REPEATED * sum(found.moved)


def _told_by_motion(
    found: Found,
    mine: Sequence[Shot],
    pictures: Sequence[Nominee],
    moves: moving.Masks,
    motion: tuple[Motion, Motion],
    least: float,
) -> Found | None:
    """What was found, on the line of time that all that moves tells; None where it tells none, or
    where it does not agree by `SAME` and the features that move are missing both where it was found
    and there: another car that goes the same way. `least`: as of `compare`."""
    compared = compare(_between(found, mine), laid_by(found), *motion, least)
    if compared is None or compared.line is None:
        return None
    settled = on_told_line(found, compared.line, mine, pictures)
    if settled is None:
        return None
    if not found.moved and compared.told < SAME and moving.moved(settled, moves) is None:
        return None
    agreement = _agreement(settled, motion)
    if agreement is None:
        return settled
    if not usual(settled.speed) and max(agreement.on, compared.told) < UNUSUAL_LEAST:
        return None
    return None if _may_be_another(settled, pictures, agreement) else settled


def _may_be_another(found: Found, pictures: Sequence[Nominee], agreement: Agreement | None) -> bool:
    """Whether what moves agrees as others do, and what is seen at one time only is missing."""
    if agreement is None or not _is_one_of_many(found, agreement):
        return False
    return moving.lacks_what_comes(found, pictures)


def _is_one_of_many(found: Found, agreement: Agreement) -> bool:
    """Whether the pictures differ from the usual on other lines of time much as they do on this
    one: it is told by what others do as well; at another speed perhaps."""
    above = agreement.on - agreement.elsewhere
    if agreement.on >= SAME_FASTER:
        return False
    if usual(found.speed):
        return above < CLEAR
    return above < CLEAR_FASTER or agreement.on < CLEAR_FASTER_LEAST


def is_same(agreement: Agreement, speed: float) -> bool:
    """Whether the same moves, and no other that goes the same way, faster or slower."""
    if agreement.on >= SAME_FASTER:
        return True
    clear = agreement.on - agreement.elsewhere >= CLEAR
    return usual(speed) and agreement.on >= SAME and clear
