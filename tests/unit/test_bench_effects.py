"""The effects of the robustness benchmark, on one made picture."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import numpy as np
import pytest

from bench.robustness.edits import EDITS, EFFECTS, EVERY_EDIT, ordered
from bench.robustness.pictures import Edit, Scene, draw
from bench.robustness.video import Frame, Picture

RNG = np.random.default_rng(7)
SMOOTH = np.linspace(20, 230, 96)
PICTURE: Frame = np.clip(
    SMOOTH[None, :, None] + RNG.normal(0, 25, (64, 96, 3)) - 30 * (np.arange(3) - 1), 0, 255
).astype(np.uint8)


class Other(Scene):
    """Other footage without a file."""

    def other(self, number: int = 0, start: float = 0.0) -> Iterator[Frame]:
        while True:
            yield np.full((48, 64, 3), 40 * number, np.uint8)


def built(effect: Edit, **numbers: Any) -> Picture:
    assert effect.build is not None
    return effect.build({**draw(effect.ranges, Random(1)), **numbers}, Other(25, 4.0))


def film(seconds: float = 2.0) -> list[Frame]:
    """The picture, moving to the right, 25 times a second."""
    return [np.roll(PICTURE, i, 1) for i in range(round(25 * seconds))]


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda e: e.name)
def test_an_effect_makes_other_pictures_of_the_same_numbers(effect: Edit) -> None:
    before, given = film(), film()
    first, second = built(effect), built(effect)
    same = True
    for i, frame in enumerate(given):
        one, other = first(frame, i / 25), second(frame, i / 25)
        assert (one.dtype, one.ndim, one.shape[2]) == (np.uint8, 3, 3)
        assert np.array_equal(one, other)
        same &= np.array_equal(one, frame)
    assert not same
    assert np.array_equal(given, before), "the frames are left alone"


def moments(name: str, seconds: float, **numbers: Any) -> list[int]:
    """Which frame of the film each frame of the copy is."""
    made, shown = built(EVERY_EDIT[name], **numbers), film(seconds)
    known = {frame.tobytes(): i for i, frame in reversed(list(enumerate(shown)))}
    return [known[made(frame, i / 25).tobytes()] for i, frame in enumerate(shown)]


def test_forward_and_backwards_again() -> None:
    there = moments("boomerang", 1.6, every=0.4)
    assert there[:10] == list(range(10))
    assert there[10:20] == list(range(10, 0, -1))
    assert there[20:30] == list(range(20, 30))


def test_a_picture_that_stands_now_and_then() -> None:
    there = moments("stutter", 2.0, every=1.0, hold=0.4)
    assert there[1:10] == [0] * 9
    assert there[10:25] == list(range(10, 25))
    assert there[25:35] == [25] * 10


def test_faster_and_slower() -> None:
    there = moments("speed ramp", 3.6, depth=0.8, rate=0.3)
    steps = set(np.diff(there[50:]).tolist())
    assert steps >= {0, 1, 2}


def test_effects_are_drawn_for_nothing_else() -> None:
    """What a seed drew before they came stays."""
    names = {effect.name for effect in EFFECTS}
    assert len(names) == len(EFFECTS)
    assert not names & EDITS.keys()
    assert EVERY_EDIT.keys() == names | EDITS.keys()
    assert ordered(("spinning", "mirrored")) == ("mirrored", "spinning")


@pytest.mark.parametrize("across", [True, False])
def test_a_half_and_that_half_in_a_mirror(across: bool) -> None:
    made = built(EVERY_EDIT["half mirrored"], across=across)(PICTURE, 0.0)
    assert np.array_equal(made, made[:, ::-1] if across else made[::-1])
    half = (slice(None), slice(48)) if across else (slice(32),)
    assert np.array_equal(made[half], PICTURE[half])


def test_mirrored_tiles_meet_in_a_mirror() -> None:
    made = built(EVERY_EDIT["mirrored tiles"])(PICTURE, 0.0)
    assert np.array_equal(made, made[::-1, ::-1])
    assert np.array_equal(made, made[:, ::-1])
    plain = built(EVERY_EDIT["tiled"], count=2)(PICTURE, 0.0)
    assert np.array_equal(plain[:, :48], plain[:, 48:])


def test_what_moves_moves_with_time() -> None:
    for name in ("spinning", "swaying", "rolling", "bouncing", "falling snow", "waves"):
        edit = built(EVERY_EDIT[name])
        assert not np.array_equal(edit(PICTURE, 0.1), edit(PICTURE, 1.2))
    jumping = built(EVERY_EDIT["jumping"])
    assert not np.array_equal(jumping(PICTURE, 0.0), jumping(PICTURE, 0.0))


def test_a_negative_now_and_then() -> None:
    edit = built(EVERY_EDIT["flashing negative"], every=0.5)
    assert np.array_equal(edit(PICTURE, 0.2), PICTURE)
    assert np.array_equal(edit(PICTURE, 0.7), 255 - PICTURE)
