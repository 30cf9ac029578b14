"""Edits in time: dropped frames, frames of other footage between, and what comes before and after.

All take and give iterators of frames; none keeps more than one frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import cv2
import numpy as np

from bench.robustness import words
from bench.robustness.pictures import Params, cover
from bench.robustness.video import Frame, Picture


class Counted:
    """Counts what passes through it."""

    def __init__(self, frames: Iterator[Frame]) -> None:
        self.frames, self.count = frames, 0

    def __iter__(self) -> Iterator[Frame]:
        for frame in self.frames:
            self.count += 1
            yield frame


def edited(frames: Iterator[Frame], edits: list[Picture], fps: float) -> Iterator[Frame]:
    """All edits of the picture, one after the other, on each frame."""
    for number, frame in enumerate(frames):
        for edit in edits:
            frame = edit(frame, number / fps)
        yield frame


def even_sides(frames: Iterator[Frame], longest: int = 1920) -> Iterator[Frame]:
    """All frames in the size of the first, with even sides: what encoders take."""
    size: tuple[int, int] | None = None
    for frame in frames:
        height, width = frame.shape[:2]
        if size is None:
            scale = min(1.0, longest / max(width, height))
            size = (max(16, int(width * scale) // 2 * 2), max(16, int(height * scale) // 2 * 2))
        if (width, height) != size:
            close = abs(width - size[0]) < 2 and abs(height - size[1]) < 2
            frame = frame[: size[1], : size[0]] if close else cv2.resize(frame, size)
            if frame.shape[:2] != (size[1], size[0]):
                frame = cv2.resize(frame, size)
        yield frame


def dropped(frames: Iterator[Frame], p: Params) -> Iterator[Frame]:
    """Each frame is lost with the chance `drop`; the one before stays on the screen instead."""
    rng = Random(p["seed"])
    held: Frame | None = None
    for frame in frames:
        if held is None or rng.random() >= p["drop"]:
            held = frame
        yield held


def interleaved(frames: Iterator[Frame], other: Iterator[Frame], p: Params) -> Iterator[Frame]:
    """`run` frames, then `other_run` of other footage, and so on. With `insert` the other frames
    come between, otherwise they take the place of frames."""
    place = 0
    for frame in frames:
        at = place % (p["run"] + p["other_run"])
        if at < p["run"] or not p["insert"]:
            yield frame if at < p["run"] else cover(next(other), frame.shape[1], frame.shape[0])
            place += 1
        if p["insert"] and place % (p["run"] + p["other_run"]) == p["run"]:
            for _ in range(p["other_run"]):
                yield cover(next(other), frame.shape[1], frame.shape[0])
            place += p["other_run"]


def framed(
    before: Iterator[Frame], frames: Iterator[Frame], after: Iterator[Frame]
) -> Iterator[Frame]:
    """`before`, `frames`, `after`, all in the size of the middle part."""
    first = next(frames)
    height, width = first.shape[:2]
    yield from (cover(frame, width, height) for frame in before)
    yield first
    yield from frames
    yield from (cover(frame, width, height) for frame in after)


def title_card(seed: int, count: int) -> Iterator[Frame]:
    """`count` frames of a coloured card with a title that fades in."""
    rng = Random(seed)
    ground = np.empty((480, 854, 3), np.uint8)
    ground[:] = words.colour(rng, 0, 160)
    text = words.wrapped(rng.choice([words.shout(rng), words.sentence(rng)]), 56, 760)
    layer = words.label(text, 56, words.colour(rng, 190, 255))
    for number in range(count):
        frame = ground.copy()
        words.centred(frame, layer, 427, 240, min(1.0, number / 12))
        yield frame
