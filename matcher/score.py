"""What an alignment's evidence says, as one score and as segments. Pure.

Each distinct picture adds evidence on a scale of log-odds. So it means the same for an image (one
picture), a short clip (a few) and a film (many), and a still scene counts as the one picture that
it is: docs/decisions/0009-one-score.md. `matcher.calibration` makes the score of it, a probability.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, reduce

import numpy as np
from numpy.typing import NDArray

from hashdb.model import (
    Alignment,
    Floats,
    FrameMatch,
    Match,
    Reference,
    Segment,
    SegmentPair,
    Signal,
)
from hashdb.signals import SIGNAL_TYPES
from matcher.calibration import CALIBRATION, Scale
from matcher.segments import continues, leads_on, overlap, segments_of, still_segment, union

UNSURE = 18
"""Bits of PDQ at which one picture alone is not confident by the default policy."""

EVEN = 0.5
"""The score that an image has at most where it may be of another moment."""

LONE = 0.12
"""What a picture's evidence is worth where no others agree with it in time."""

USUAL = 0.15
"""Speeds within so much of 1, as log2, are about normal: 0.90 to 1.11."""

STILL = -1
"""The group of a still scene's pictures."""

SURELY = 0.95
"""The score of alignments of which none is worse than another."""

COMMON = 0.1
"""The rarity up to which a picture is no part of a segment, as it adds next to nothing."""

TOLERANCE = 0.35
"""Seconds by which a hit may lie off its line: half a query's finest sampling, and rounding."""


@dataclass(frozen=True, slots=True)
class Weight:
    """What one picture at Hamming distance d says: `at_zero * (1 - d / vanishes)` in log-odds."""

    at_zero: float
    vanishes: float

    def of(self, distances: NDArray[np.int64]) -> Floats:
        return np.maximum(0.0, self.at_zero * (1.0 - distances / self.vanishes))

    def at(self, distance: int) -> float:
        """The same of one, to the last bit."""
        return max(0.0, self.at_zero * (1.0 - distance / self.vanishes))


WEIGHTS = {
    "pdq": Weight(6.5, 52.0),
    # 64 bits: one picture alone must never reach a policy's thresholds (chance hits are real, from
    # 9 bits on many), nor three of a drawn film whose faces are alike, at the edge of the radius.
    "phash": Weight(2.2, 9.0),
    "card": Weight(6.5, 52.0),  # as the same codes of footage
    "videohash": Weight(3.5, 7.0),
    "sound": Weight(6.5, 100.0),  # its distances are `matcher.heard.alignment`'s
    "local": Weight(6.5, 100.0),  # its distance is `matcher.localize.distance_of`
    # What looks alike is not the same: `matcher.described` asks for three distinct pictures, and
    # one alone stays below a policy's thresholds.
    "neural": Weight(2.2, 100.0),  # its distances are `matcher.described.Levels.distances`
}

_SHARPEST = ("sha256", "md5", "pdq", "phash", "local", "card", "videohash", "sound", "neural")

_JOINING = ("pdq", "phash", "local")
"""Of these what goes on between two pieces was seen: sound goes on under other pictures."""


def rescore(
    alignment: Alignment,
    frames: Sequence[FrameMatch],
    *,
    video: bool,
    prior: float | None = None,
) -> Alignment | None:
    """The same alignment with the given frames as its only evidence; None where none is left.
    `prior`: at which the score is stated, the calibration's own where it is not given."""
    if not frames:
        return None
    ordered = tuple(sorted(frames, key=lambda f: (f.track, f.offset)))
    shown = [f for f in ordered if f.rarity > COMMON] or ordered
    told = evidence(alignment.signal_type, ordered)
    return replace(
        alignment,
        frames=ordered,
        segments=segments_of(shown) if video else still_segment(shown),
        score=CALIBRATION.probability(
            by_kind(alignment.signal_type, ordered),
            scale=_scale(alignment.signal_type, video=video),
            prior=prior,
        ),
        evidence=told,
    )


def _scale(signal_type: str, *, video: bool) -> Scale:
    kind = SIGNAL_TYPES[signal_type]
    if signal_type == "neural" or (kind.hashed and not kind.per_frame):
        return Scale.LONE
    return Scale.VIDEO if video else Scale.IMAGE


@cache
def _even(signal_type: str) -> int:
    """The distance from which on an image is no likelier to show a reference than not to."""
    weight = WEIGHTS[signal_type]
    distances = np.arange(math.ceil(weight.vanishes) + 1)
    kind = signal_type if signal_type == "local" else "hashes"
    likely = [
        CALIBRATION.probability({kind: told}, scale=Scale.IMAGE) > EVEN
        for told in weight.of(distances).tolist()
    ]
    return likely.index(False)


def not_sure(alignment: Alignment) -> Alignment:
    """The same alignment with no frame so close that one alone makes it confident."""
    video = any(p.query.seconds > 0 for p in alignment.segments)
    least = UNSURE if video else _even(alignment.signal_type)
    frames = [replace(f, distance=max(f.distance, least)) for f in alignment.frames]
    return rescore(alignment, frames, video=video) or alignment


def as_one_scene(alignment: Alignment, *, every: bool = False) -> Alignment:
    """The same alignment where a line of any but about the normal speed is chance: its frames count
    as one picture. `every`: so is each line."""
    lines: dict[int, list[FrameMatch]] = {}
    for frame in alignment.frames:
        lines.setdefault(frame.line, []).append(frame)
    odd = {number for number, line in lines.items() if every or not _is_usual(line)}
    frames = [replace(f, group=STILL) if f.line in odd else f for f in alignment.frames]
    video = any(p.query.seconds > 0 for p in alignment.segments)
    return rescore(alignment, frames, video=video) or alignment


def as_match(
    reference: Reference,
    alignments: Sequence[Alignment],
    exact: Sequence[str] = (),
    whole: SegmentPair | None = None,
    *,
    prior: float | None = None,
) -> Match:
    """One reference's alignments (and the digests that are equal) as one match.

    The score is that of all evidence together, each signal's that of its own best alignment. The
    segments are the best alignment's (of sure ones, hashes', whose ends are the sharpest), made
    longer where others continue them, joined where sure pictures do, and others' where they speak
    of other times; of an exact match, `whole`. `prior`: at which the score is stated, as the
    alignments' are.
    """
    ranked = sorted(
        alignments,
        key=lambda a: (
            -min(a.score, SURELY),
            _SHARPEST.index(a.signal_type),
            -a.score,
            a.orientation.value,
        ),
    )
    best: dict[str, float] = dict.fromkeys(exact, 1.0)
    for alignment in ranked:
        best.setdefault(alignment.signal_type, alignment.score)
    segments: list[SegmentPair] = [whole] if whole else []
    for alignment in ranked:
        for pair in alignment.segments:
            beside = [p for p in segments if overlap(p.query, pair.query) or leads_on(p, pair)]
            joins = alignment.signal_type in _JOINING and alignment.score >= SURELY
            if not all(continues(p, pair) for p in beside) or (len(beside) > 1 and not joins):
                continue
            longest_first = sorted(beside, key=lambda p: -p.query.seconds)
            segments = [p for p in segments if p not in beside]
            segments.append(reduce(union, [*longest_first, pair]))
    return Match(
        reference,
        score=max([*best.values(), together(alignments, prior)]),
        signals=tuple(Signal(name, value) for name, value in best.items()),
        segments=tuple(
            sorted(
                (_within(pair, reference.duration_s) for pair in segments),
                key=lambda p: (p.query.start, p.query.end),
            )
        ),
        alignments=tuple(ranked),
    )


def _within(pair: SegmentPair, seconds: float | None) -> SegmentPair:
    """The same, of a reference that is so long, where that is known: a line of time is not so exact
    that it ends where the reference does."""
    if not seconds or pair.reference.end <= seconds:
        return pair
    shown = Segment(min(pair.reference.start, seconds), seconds)
    return replace(pair, reference=shown)


def strongest(alignments: Iterable[Alignment]) -> dict[str, float]:
    """By kind (`matcher.calibration.NAMES`) the most evidence of one alignment; likeness is not."""
    found: dict[str, float] = {}
    for one in (a for a in alignments if a.signal_type != "neural"):
        for kind, told in by_kind(one.signal_type, one.frames).items():
            found[kind] = max(told, found.get(kind, 0.0))
    return found


def by_kind(signal_type: str, frames: Sequence[FrameMatch]) -> dict[str, float]:
    """What one alignment's frames say, by kind of evidence."""
    if not frames:
        return {}
    told = evidence(signal_type, frames)
    if signal_type in ("local", "sound"):
        return {signal_type: told}
    if signal_type == "neural":
        return {"hashes": told}
    lines: dict[int, list[FrameMatch]] = {}
    for frame in frames:
        lines.setdefault(frame.line, []).append(frame)
    usual = [frame for line in lines.values() if _is_usual(line) for frame in line]
    return {"odd_hashes": told, "hashes": evidence(signal_type, usual) if usual else 0.0}


def _is_usual(line: Sequence[FrameMatch]) -> bool:
    """Whether a line is of about normal speed; one picture has no speed to be odd."""
    t = np.array([f.offset for f in line])
    if len({f.group for f in line}) < 2 or not np.ptp(t) > 0:
        return True
    speed = float(np.polyfit(t, [f.reference_offset for f in line], 1)[0])
    return speed > 0 and abs(math.log2(speed)) <= USUAL


def bounds(match: Match, prior: float) -> tuple[float, float] | None:
    """Between what and what the score of a match lies, as far as the calibration knows; None where
    it is not calibrated: of an exact match, a hash of a whole video, or likeness.
    `prior`: at which the score is stated."""
    if match.exact or not match.alignments or not match.segments:
        return None
    best = max(match.alignments, key=lambda a: a.score)
    alone = match.score <= best.score
    video = any(pair.query.seconds > 0 for pair in best.segments)
    scale = _scale(best.signal_type, video=video) if alone else Scale.VIDEO
    if scale is Scale.LONE:
        return None
    told = by_kind(best.signal_type, best.frames) if alone else strongest(match.alignments)
    return CALIBRATION.ends(told, scale=scale, prior=prior) if told else None


def together(alignments: Iterable[Alignment], prior: float | None = None) -> float:
    """The score of pictures and sound together; 0 where only one of them shows the reference."""
    alignments = tuple(alignments)
    if all(a.signal_type != "sound" for a in alignments):
        return 0.0
    found = strongest(alignments)
    if "sound" not in found or found.keys() == {"sound"}:
        return 0.0
    return CALIBRATION.probability(found, prior=prior)


def evidence(signal_type: str, frames: Sequence[FrameMatch]) -> float:
    """What distinct pictures say together, in log-odds, 0 or more; see the module's text.

    A group of look-alike frames counts once, by the one that says most. A picture counts in full
    where its line says more than any few hits would by chance (`_agrees`), else by `LONE`; the one
    that says most counts in full always. What other incidents hold too counts by its rarity.
    """
    weight_at = WEIGHTS[signal_type].at
    weights = [weight_at(f.distance) * f.rarity for f in frames]
    agreeing = agreeing_lines(frames)
    best: dict[int, float] = {}
    for frame, weight in zip(frames, weights, strict=True):
        share = 1.0 if frame.line in agreeing else LONE
        best[frame.group] = max(best.get(frame.group, 0.0), weight * share)
    return max(sum(best.values()), *weights)


def agreeing_lines(frames: Sequence[FrameMatch]) -> set[int]:
    """The numbers of the lines whose hits agree in time."""
    lines: dict[int, list[FrameMatch]] = {}
    for frame in frames:
        lines.setdefault(frame.line, []).append(frame)
    return {number for number, on_line in lines.items() if _agrees(on_line)}


def _agrees(frames: Sequence[FrameMatch]) -> bool:
    """Whether the hits on a line agree in time. Through any two hits goes a line of some speed, so
    two distinct pictures agree only at about normal speed, and three at any."""
    groups = len({f.group for f in frames})
    if groups != 2:
        return groups > 2
    first, last = min(frames, key=lambda f: f.offset), max(frames, key=lambda f: f.offset)
    seconds = last.offset - first.offset
    moved = last.reference_offset - first.reference_offset
    return abs(moved - seconds) <= max(2 * TOLERANCE, 0.1 * seconds)


def joined(exact: Sequence[Match], found: Sequence[Match]) -> tuple[Match, ...]:
    """One match a reference, where it was found by its digest and by its pictures."""
    by_id = {m.reference.id: m for m in exact}
    merged = []
    for match in found:
        twin = by_id.pop(match.reference.id, None)
        if twin is not None:
            names = [s.signal_type for s in twin.signals]
            match = as_match(match.reference, match.alignments, names, twin.segments[0])
        merged.append(match)
    return (*by_id.values(), *merged)
