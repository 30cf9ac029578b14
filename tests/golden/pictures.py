"""Pictures that are made, not stored: the same on every machine, by whole numbers alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Luma = NDArray[np.uint8]


def noise(height: int, width: int, seed: int) -> Luma:
    """Every pixel for itself; `RandomState` is frozen by numpy's policy (NEP 19)."""
    return np.random.RandomState(seed).randint(0, 256, (height, width)).astype(np.uint8)


def hills(height: int, width: int, seed: int) -> Luma:
    """Smooth: a few random heights, joined by straight lines along both axes."""
    knots = np.random.RandomState(seed).randint(0, 256, (9, 9)).astype(np.int64)
    return _spread(_spread(knots, height).T, width).T.astype(np.uint8)


def _spread(knots: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    at = np.arange(size, dtype=np.int64) * (len(knots) - 1) * 1024 // max(size, 1)
    whole, part = at // 1024, (at % 1024)[:, None]
    return (knots[whole] * (1024 - part) + knots[whole + 1] * part) // 1024


def cards(height: int, width: int, seed: int) -> Luma:
    """Hard edges: rectangles of one colour each, laid over one another."""
    random = np.random.RandomState(seed)
    picture = np.zeros((height, width), dtype=np.uint8)
    for _ in range(40):
        top, left = random.randint(0, height), random.randint(0, width)
        tall, wide = random.randint(1, height + 1), random.randint(1, width + 1)
        picture[top : top + tall, left : left + wide] = random.randint(0, 256)
    return picture


def blocks(height: int, width: int, seed: int) -> Luma:
    """An 8 x 8 chequer of random greys: its frequencies repeat, and many tie with the median."""
    greys = np.random.RandomState(seed).randint(0, 256, (8, 8)).astype(np.uint8)
    rows, columns = np.arange(height) * 8 // height, np.arange(width) * 8 // width
    return greys[rows][:, columns]


def flat(height: int, width: int, seed: int) -> Luma:
    """One grey."""
    return np.full((height, width), seed % 256, dtype=np.uint8)


KINDS = {"noise": noise, "hills": hills, "cards": cards, "blocks": blocks, "flat": flat}

# Around the sizes at which PDQ's box gets wider (multiples of 128), at which it samples one to
# one (64), below its smallest (5), long strips, primes, and what cameras and platforms make.
SIZES = [
    (1, 1), (1, 300), (4, 4), (4, 500), (5, 5), (5, 64), (6, 7), (16, 16), (31, 33), (63, 64),
    (64, 64), (64, 65), (65, 63), (127, 128), (128, 128), (129, 127), (129, 129), (191, 193),
    (255, 257), (256, 256), (5, 900), (900, 5), (13, 601), (144, 176), (240, 320), (270, 480),
    (353, 641), (360, 640), (383, 385), (480, 854), (512, 512), (641, 769), (720, 405),
    (720, 1280), (1024, 577), (1080, 1920),
]  # fmt: skip


def cases() -> list[tuple[str, str, int, int, int]]:
    """(name, kind, height, width, seed) of every made picture that has a golden hash."""
    listed = []
    for at, (height, width) in enumerate(SIZES):
        for nth, kind in enumerate(("noise", "hills", "cards")):
            listed.append((f"{kind}-{height}x{width}", kind, height, width, 100 * nth + at))
    for height, width in ((64, 64), (128, 96), (240, 320), (404, 230)):
        listed.append((f"blocks-{height}x{width}", "blocks", height, width, height))
    for height, width in ((64, 64), (200, 300)):
        listed.append((f"flat-{height}x{width}", "flat", height, width, 128))
    return listed
