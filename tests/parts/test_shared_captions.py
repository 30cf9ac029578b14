"""Captions that change at the same moments lie over two videos that show nothing else in common:
real videos, the whole way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from api.wiring import Parts
from hashdb.model import Action
from tests.media_maker import Rgb
from tests.parts.test_laid_over import (
    BUNNY,
    RATE,
    ROCKET,
    SIZE,
    add,
    check,
    parts,
    pictures,
    saved,
)

__all__ = ["parts"]

WORDS = (
    "SO BASICALLY HE SAID",
    "WAIT FOR IT NOW",
    "THIS IS CRAZY STUFF",
    "NO WAY THAT IS IT",
    "LOOK AT THAT ONE",
    "OH MY GOD PLEASE",
)
EVERY = 12  # pictures: 1.2 s
BAR = 56


def captioned(frames: Sequence[Rgb], words: Sequence[str] = WORDS) -> list[Rgb]:
    """Two bars over a third of the picture, with words that change."""
    width, height = SIZE
    bars = ((8, (30, 30, 30), (255, 255, 0)), (height - BAR - 8, (255, 255, 255), (200, 0, 0)))
    made = []
    for number, frame in enumerate(frames):
        shown = frame.copy()
        for i, (top, ground, ink) in enumerate(bars):
            cv2.rectangle(shown, (20, top), (width - 20, top + BAR), ground, -1)
            text, at = words[(number // EVERY + i) % len(words)], (30, top + BAR - 14)
            cv2.putText(shown, text, at, cv2.FONT_HERSHEY_TRIPLEX, 1.3, ink, 3, cv2.LINE_AA)
        made.append(shown)
    return made


@pytest.mark.parametrize(
    ("banked", "other"),
    [pytest.param(ROCKET, BUNNY, id="fixed"), pytest.param(BUNNY, ROCKET, id="film")],
)
def test_captions_alone_are_no_copy(
    parts: Parts, tmp_path: Path, banked: Path, other: Path
) -> None:
    mine, others = pictures(banked), pictures(other)
    add(parts, "attacks", saved(tmp_path, captioned(mine), "banked.mp4"))
    innocent = check(parts, saved(tmp_path, captioned(others), "innocent.mp4"))
    assert innocent.action is Action.ALLOW
    copy = check(parts, saved(tmp_path, captioned(mine, WORDS[::-1]), "copy.mp4"))
    assert copy.action is Action.BLOCK
    cropped = [np.ascontiguousarray(f[20:-20, 60:-60]) for f in captioned(mine)]
    copy = check(parts, saved(tmp_path, cropped, "cropped.mp4"))
    assert copy.action is Action.BLOCK
    assert len(mine) == len(others) == RATE * 8
