"""The ways in which a copy is played, by the numbers of its frames."""

from __future__ import annotations

from itertools import groupby
from random import Random

import numpy as np
import pytest

from bench.playing import WAYS

FRAMES = [np.full((2, 4), number, np.uint16) for number in range(300)]


def numbers(way: str) -> list[int]:
    return [int(f[0, 0]) for f in WAYS[way](list(FRAMES), Random(3))]  # type: ignore[arg-type]


@pytest.mark.parametrize("way", WAYS)
def test_every_way_shows_the_excerpt_otherwise(way: str) -> None:
    shown = numbers(way)
    assert len(shown) >= 100
    assert set(shown) <= set(range(300))
    assert shown != list(range(300)) or way == "mirrored now and then"


def test_what_each_way_shows() -> None:
    assert numbers("backwards") == [*range(299, -1, -1)]
    assert numbers("backwards, half as fast") == [n for n in range(175, -1, -1) for _ in range(2)]
    assert numbers("backwards, twice as fast") == [*range(299, -1, -2)]
    assert numbers("each 2 s backwards")[:51] == [*range(49, -1, -1), 99]
    assert numbers("second half first") == [*range(150, 300), *range(150)]
    assert numbers("one second of 2.5")[20:30] == [*range(20, 25), *range(62, 67)]
    assert [n for n, _ in groupby(numbers("a still every 2 s"))] == [*range(0, 300, 50)]
    looped = numbers("looped")
    assert looped == looped[: len(looped) // 4] * 4
    to_and_fro = numbers("to and fro")
    once = to_and_fro[: len(to_and_fro) // 4]
    assert to_and_fro == (once + once[::-1]) * 2
    shuffled = numbers("shuffled")
    assert sorted(shuffled) == [*range(300)]
    assert all(np.diff(shuffled[i : i + 50]).tolist() == [1] * 49 for i in range(0, 300, 50))


def test_every_other_piece_is_mirrored() -> None:
    wide = [np.arange(8).reshape(2, 4) + number for number in range(150)]
    some = WAYS["mirrored now and then"](wide, Random(1))  # type: ignore[arg-type]
    kept = [np.array_equal(a, b) for a, b in zip(some, wide, strict=True)]
    assert kept == [*[True] * 50, *[False] * 50, *[True] * 50]
    assert np.array_equal(some[60][:, ::-1], wide[60])
