"""What a made negative shows, by its kind. The others are plain or edited distractors."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from bench.robustness import scenes, screens
from bench.robustness.scenes import Maker
from bench.robustness.video import Frame

MADE: dict[str, Maker] = {
    "title card": scenes.title_card,
    "credits": scenes.credits,
    "countdown": scenes.countdown,
    "colour bars": scenes.colour_bars,
    "test pattern": scenes.test_pattern,
    "black": scenes.black,
    "white": scenes.white,
    "static noise": scenes.static,
    "slides": scenes.slides,
    "screen recording": screens.desktop,
    "terminal": screens.terminal,
    "chat": screens.chat,
    "game": screens.game,
    "moving shapes": screens.shapes,
    "flat ground": scenes.flat_ground,
}

SIZES = ((854, 480), (640, 360), (640, 480), (480, 854), (480, 480))
SOUNDS = ("none", "none", "tone", "noise", "speech", "music", "silence", "other's")
"""What is heard with a made picture; "other's": the sound of a distractor."""

OVERLAYS = (
    "caption",
    "logo",
    "subtitles",
    "news banner",
    "sticker",
    "game overlay",
    "text all over",
)
"""Edits that are put over distractors and flat grounds: alone they must not match anything."""


def frames(
    kind: str, seed: int, seconds: float, fps: float, size: tuple[int, int]
) -> Iterator[Frame]:
    """A made picture; `size` is width and height."""
    scenery = MADE[kind](Random(seed), *size)
    for number in range(int(seconds * fps + 1e-6)):
        yield scenery(number / fps)
