"""Videos that are woven into each other, taken apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import pytest

from matcher.ports import Frame
from matcher.strands import GLANCE_S, Strands, strands_of, stretches

RATE = 24


def scene(seed: int, number: int) -> np.ndarray:
    """A picture of a scene that the camera pans over."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(20, 235, (9, 24), dtype=np.uint8)
    wide = cv2.resize(coarse, (480, 90), interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(wide[:, number : number + 160])


def shown(seeds: Sequence[int]) -> Iterator[Frame]:
    """A frame of each scene in turn; every scene goes on where it was left."""
    at: dict[int, int] = {}
    for number, seed in enumerate(seeds):
        yield Frame(number / RATE, scene(seed, at.setdefault(seed, 0)))
        at[seed] += 1


def by_turns(run: int, other_run: int, times: int, scenes: Sequence[int] = (1, 2)) -> list[int]:
    one, *others = scenes
    woven = []
    for turn in range(times):
        woven += [one] * run + [others[turn % len(others)]] * other_run
    return woven


def apart(seeds: Sequence[int]) -> dict[int, list[tuple[float, float, int]]]:
    """By strand, of each picture its moment, when it is shown, and the scene that it is of."""
    strands = Strands(shown(seeds))
    pictures: dict[int, list[tuple[float, float, int]]] = {}
    taken = list(strands.frames())
    clocks = {c.track: c for c in strands.clocks}
    for frame in taken:
        clock = clocks[frame.track]
        at = float(clock.offsets[np.flatnonzero(clock.moments == frame.offset)[0]])
        pictures.setdefault(frame.track, []).append((frame.offset, at, seeds[round(at * RATE)]))
    return pictures


@pytest.mark.parametrize(("run", "other_run"), [(3, 8), (8, 3), (10, 10), (5, 6), (1, 1), (2, 5)])
def test_each_strand_is_one_video_by_its_own_clock(run: int, other_run: int):
    seeds = by_turns(run, other_run, 160 // (run + other_run))
    pictures = apart(seeds)
    assert {len({scene for *_, scene in some}) for some in pictures.values()} == {1}
    assert {some[0][2] for some in pictures.values()} == {1, 2}
    for some in pictures.values():
        own = [i / RATE for i, seed in enumerate(seeds) if seed == some[0][2]]
        for moment, at, _ in some:
            assert moment == pytest.approx(own.index(pytest.approx(at)) / RATE, abs=1e-6)
        assert len(some) >= 5


def test_a_cut_within_a_strand_leaves_it_whole():
    """Also one that does not fall on a change of the strands."""
    seeds = by_turns(6, 6, 6) + [1, 1, 1, 3, 3, 3] + [2] * 6 + by_turns(6, 6, 6, (3, 2))
    found = stretches(shown(seeds))
    scenes = [seeds[round(stretch.start * RATE)] for stretch in found]
    both = set(zip(scenes, strands_of(found), strict=True))
    strand_of = dict(both)
    assert len(strand_of) == len(both)
    assert strand_of[1] == strand_of[3] != strand_of[2]


def test_what_is_shown_between_may_be_another_thing_each_time():
    pictures = apart(by_turns(6, 6, 12, (1, *range(2, 14))) + [1] * 6)
    assert any({scene for *_, scene in some} == {1} for some in pictures.values())


@pytest.mark.parametrize(
    "seeds",
    [
        [1] * 200,
        [seed for seed in range(20) for _ in range(10)],
        by_turns(72, 72, 3),
        [0],
        [],
    ],
    ids=["one scene", "many scenes", "a conversation", "a picture", "nothing"],
)
def test_where_nothing_is_woven_in_there_are_no_strands(seeds: list[int]):
    strands = Strands(shown(seeds))
    assert list(strands.frames()) == []
    assert strands.clocks == ()


def test_a_glance_is_enough_where_nothing_returns():
    taken = 0

    def counted() -> Iterator[Frame]:
        nonlocal taken
        for frame in shown([1] * 1000):
            taken += 1
            yield frame

    assert stretches(counted()) == []
    assert taken <= GLANCE_S * RATE + 2


def test_a_large_picture_is_kept_small():
    def large() -> Iterator[Frame]:
        for frame in shown(by_turns(5, 5, 8)):
            yield Frame(frame.offset, cv2.resize(frame.luma, (1600, 900)))

    assert {f.luma.shape for f in Strands(large()).frames()} == {(360, 640)}


def test_other_tracks_are_left_aside():
    def both() -> Iterator[Frame]:
        for frame in shown(by_turns(5, 5, 8)):
            yield frame
            yield Frame(frame.offset, scene(7, 0), track=1)

    assert len(list(Strands(both()).frames())) == len(
        list(Strands(shown(by_turns(5, 5, 8))).frames())
    )
