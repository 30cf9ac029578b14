"""Single pictures: taken out of videos, edited, written as image files.

What platforms are sent as images: everything that is done to a video's frames (`edits`), the codecs
of images, memes' text, and the picture shown inside another program.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.robustness import edits, words
from bench.robustness.overlays import Drawing, over
from bench.robustness.pictures import Edit, Params, Scene, cover, fit
from bench.robustness.video import Frame, Picture, read
from bench.robustness.words import centred, label, paste

LONG_SIDE = 1280
"""Pixels of the longer side of a still as it is taken, at the most."""

MOMENT = 1.0
"""Seconds that an edit is told: titles have faded in by then."""

FLATTEST = 15.0
"""Standard deviation of 255 shades below which a still shows next to nothing and is drawn anew."""

SAME_LEVELS, SAME_SIDE = 12, 32
"""Two pictures are the same to the eye where no cell of so many to each side differs by more."""


def still(path: Path, at: float) -> Frame:
    """The picture that a video shows `at` seconds. Raises `StopIteration` beyond its end."""
    return _still(path, round(at, 3)).copy()


@lru_cache(maxsize=64)
def _still(path: Path, at: float) -> Frame:
    return next(read(path, at, 0.2, 10, LONG_SIDE))


def picture(path: Path) -> Frame:
    """An image file."""
    found = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if found is None:
        raise ValueError(f"{path.name}: no picture")
    return np.asarray(found, np.uint8)


def within(frame: Frame, side: int) -> Frame:
    """The picture with its longer side at most `side` pixels."""
    return fit(frame, side, side) if max(frame.shape[:2]) > side else frame


def is_flat(frame: Frame) -> bool:
    return float(grid(frame, 64).std()) < FLATTEST


def grid(frame: Frame, side: int = SAME_SIDE) -> NDArray[np.float32]:
    """(side, side) mean shades."""
    grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY).astype(np.float32)
    return np.asarray(cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA))


def same_picture(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Whether two grids (`grid`) hardly differ anywhere: then nobody could tell the moments."""
    return bool(np.abs(one - other).max() <= SAME_LEVELS)


def write(path: Path, frame: Frame, codec: Mapping[str, Any]) -> None:
    """`codec`: `format` "jpeg", "webp" or "png", and `quality` 0 to 100."""
    ways = {
        "jpeg": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, int(codec.get("quality", 90))]),
        "webp": (".webp", [cv2.IMWRITE_WEBP_QUALITY, int(codec.get("quality", 90))]),
        "png": (".png", [cv2.IMWRITE_PNG_COMPRESSION, 3]),
    }
    suffix, flags = ways[codec["format"]]
    good, data = cv2.imencode(suffix, frame, flags)
    if not good:
        raise RuntimeError(f"{path.name}: the picture can't be encoded")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.tobytes())


def edited(
    frame: Frame, names: Sequence[str], params: Mapping[str, Any], others: Sequence[Path]
) -> Frame:
    """All edits of those names, one after the other, with the drawn numbers."""
    scene = Scene(1, 2 * MOMENT, tuple(others))
    for name in names:
        build = EDITS[name].build
        if build is not None:
            frame = build(params[name], scene)(frame, MOMENT)
    return frame


def meme(p: Params, scene: Scene) -> Picture:
    """Large letters across the picture, above and below."""

    def prepare(width: int, height: int) -> Drawing:
        rng = Random(p["seed"])
        size = round(width * p["size"])
        layers = [
            label(words.wrapped(text.upper(), size, int(width * 0.94)), size, outline=size // 9 + 1)
            for text in (words.shout(rng), words.sentence(rng))
        ]

        def draw(frame: Frame, t: float) -> None:
            centred(frame, layers[0], width / 2, size * 0.4 + layers[0].shape[0] / 2)
            centred(frame, layers[1], width / 2, height - size * 0.4 - layers[1].shape[0] / 2)

        return draw

    return over(prepare)


def screenshot(p: Params, scene: Scene) -> Picture:
    """The picture as a post inside a program: on a phone (upright), or in a browser's window."""

    def edit(frame: Frame, t: float) -> Frame:
        rng = Random(p["seed"])
        dark = rng.random() < 0.5
        paper, ink = ((24, 20, 18), (235, 235, 235)) if dark else ((250, 250, 250), (30, 30, 30))
        return (_phone if p["phone"] else _browser)(frame, rng, paper, ink)

    return edit


def _phone(frame: Frame, rng: Random, paper: words.Colour, ink: words.Colour) -> Frame:
    width, height = 720, 1480
    out = np.full((height, width, 3), paper, np.uint8)
    shown = fit(frame, width, 900)
    paste(out, label("12:41", 24, ink), 24, 8)
    paste(out, label(words.name(rng), 40, ink), 24, 60)
    top = 220
    cv2.circle(out, (60, 170), 32, words.colour(rng), -1)
    paste(out, label(words.sentence(rng)[:28], 26, ink), 110, 140)
    left = (width - shown.shape[1]) // 2
    out[top : top + shown.shape[0], left : left + shown.shape[1]] = shown
    below = top + shown.shape[0] + 24
    for place in range(3):
        cv2.circle(out, (50 + 90 * place, below + 20), 22, ink, 3)
    paste(out, label(f"{rng.randint(2, 999)} likes", 26, ink), 20, below + 60)
    for row in range((height - below - 220) // 60):
        paste(out, label(words.sentence(rng)[:44], 24, ink), 20, below + 110 + 60 * row)
    cv2.line(out, (0, height - 90), (width, height - 90), ink, 1)
    for place in range(5):
        x = 50 + place * 145
        cv2.rectangle(out, (x, height - 64), (x + 40, height - 26), ink, 3)
    return out


def _browser(frame: Frame, rng: Random, paper: words.Colour, ink: words.Colour) -> Frame:
    width, height = 1280, 800
    out = np.full((height, width, 3), paper, np.uint8)
    out[:90] = words.colour(rng, 60, 200)
    out[44:82, 120 : width - 160] = 240
    paste(out, label(words.sentence(rng)[:30], 20, (60, 60, 60)), 140, 46)
    for row in range(9):
        paste(out, label(words.sentence(rng)[:22], 19, ink), 16, 120 + 64 * row)
    shown = fit(frame, 680, 520)
    left, top = 290 + (680 - shown.shape[1]) // 2, 170
    paste(out, label(words.sentence(rng), 24, ink), 290, 112)
    out[top : top + shown.shape[0], left : left + shown.shape[1]] = shown
    paste(out, label(f"{rng.randint(2, 999)} comments", 22, ink), 290, top + shown.shape[0] + 12)
    for row in range(4):
        y = 110 + row * 165
        small = np.full((100, 230, 3), words.colour(rng, 60, 220), np.uint8)
        out[y : y + 100, 1010:1240] = cover(small, 230, 100)
        paste(out, label(words.sentence(rng)[:24], 17, ink), 1010, y + 104)
    return out


_SEED = (0, 10**6)

OWN = (
    Edit("JPEG", "everyday", "codec", {"format": "jpeg", "quality": (8, 40)}),
    Edit("WebP", "everyday", "codec", {"format": "webp", "quality": (5, 40)}),
    Edit("PNG", "everyday", "codec", {"format": "png"}),
    Edit("meme text", "everyday", "overlay", {"size": (0.05, 0.1), "seed": _SEED}, meme),
    Edit(
        "screenshot", "hostile", "screen",
        {"phone": [True, False], "seed": _SEED}, screenshot,
    ),
)  # fmt: skip

_SHARED = tuple(e for e in edits.EDITS.values() if e.build is not None and e.family != "zoom")
EDITS = {edit.name: edit for edit in (*OWN, *_SHARED)}
"""All edits of an image: those of a video's pictures, without those that need time."""

FIXED = (
    ("grey", "square crop", "caption"),
    ("crop to 90 %", "screenshot"),
    ("mirrored", "crop to 90 %", "logo"),
    ("meme text", "240p", "JPEG"),
    ("filmed screen", "rotated by 2 to 15 degrees", "240p"),
    ("off-centre crop", "meme text", "screenshot"),
    ("picture in picture", "caption", "mirrored"),
)
"""Edits that are often met together; some of the combined copies are these."""


def ordered(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(names, key=lambda name: edits.ORDER.index(EDITS[name].family)))
