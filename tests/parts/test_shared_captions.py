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
    assert innocent.action is not Action.BLOCK
    copy = check(parts, saved(tmp_path, captioned(mine, WORDS[::-1]), "copy.mp4"))
    assert copy.action is Action.BLOCK
    cropped = [np.ascontiguousarray(f[20:-20, 60:-60]) for f in captioned(mine)]
    copy = check(parts, saved(tmp_path, cropped, "cropped.mp4"))
    assert copy.action is Action.BLOCK
    assert len(mine) == len(others) == RATE * 8


@pytest.mark.parametrize(
    ("kept", "actions"),
    [
        pytest.param(0.5, (Action.BLOCK,), id="half of it"),
        pytest.param(0.4, (Action.BLOCK, Action.REVIEW), id="less than half of it"),
    ],
)
@pytest.mark.parametrize("banked", [ROCKET, BUNNY], ids=["fixed", "film"])
def test_a_copy_over_which_other_footage_lies_is_no_caption(
    parts: Parts, tmp_path: Path, banked: Path, kept: float, actions: Sequence[Action]
) -> None:
    mine, others = pictures(banked), pictures(BUNNY if banked == ROCKET else ROCKET)
    add(parts, "attacks", saved(tmp_path, mine, "banked.mp4"))
    column = round(kept * SIZE[0])
    covered = [np.hstack([a[:, :column], b[:, column:]]) for a, b in zip(mine, others, strict=True)]
    assert check(parts, saved(tmp_path, covered, "covered.mp4")).action in actions
