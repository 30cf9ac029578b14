"""Descriptors into alignments. The pictures' vectors are made so that every test knows their
cosines: a moment's vector turns by a right angle every `APART` seconds of a scene that moves."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from hashdb.index.descriptors import DescriptorIndex
from hashdb.model import Alignment, Descriptors, Pictures
from hashdb.ports import DescriptorHits
from matcher import described
from matcher.described import Levels

LEVELS = Levels(floor=0.70, sure=0.85)
APART = 2.0
WIDE = 200


def moving(times: NDArray[np.float64], first: int = 0) -> NDArray[np.float16]:
    """(n, WIDE): at time t between the axes `first + t // APART` and the next one."""
    vectors = np.zeros((len(times), WIDE))
    place = times / APART
    low = np.floor(place).astype(int)
    turned = (place - low) * np.pi / 2
    rows = np.arange(len(times))
    vectors[rows, first + low] = np.cos(turned)
    vectors[rows, first + low + 1] = np.sin(turned)
    return vectors.astype(np.float16)


def film(seconds: float, first: int = 0, step: float = 1.0, track: int = 0) -> Descriptors:
    times = np.arange(0.0, seconds, step)
    return Descriptors("m:1", times, moving(times, first), track)


def worse(query: Descriptors, cosine: float) -> Descriptors:
    """The query with all its cosines made so many times as small, as an edit does."""
    rest = np.zeros((len(query), WIDE))
    rest[:, -1] = np.sqrt(1 - cosine**2)
    vectors = cosine * query.vectors.astype(np.float64) + rest
    return Descriptors(query.model, query.offsets, vectors.astype(np.float16), query.track)


def find(
    query: Descriptors, *references: Descriptors, levels: Levels = LEVELS
) -> dict[int, Alignment]:
    index = DescriptorIndex()
    index.add(enumerate(references))
    hits = index.search(query.vectors, levels.floor, 1000)
    total = float(query.offsets.max(initial=0.0)) + 1.0
    found = {
        ordinal: described.alignment(f"ref{ordinal}", query, mine, levels, total_s=total)
        for ordinal, mine in described.by_reference(hits)
    }
    return {ordinal: one for ordinal, one in found.items() if one is not None}


def test_an_excerpt_is_found_where_it_lies_and_other_footage_is_not() -> None:
    times = np.arange(0.3, 12.0, 1.0)
    query = Descriptors("m:1", times, moving(times + 20.0), track=1)
    (found,) = find(query, film(60.0), film(60.0, first=60)).values()
    assert (found.reference_id, found.signal_type) == ("ref0", "neural")
    assert found.score > 0.95
    assert found.speed == pytest.approx(1.0, abs=0.05)
    (pair,) = found.segments
    assert (pair.query.start, pair.query.end) == pytest.approx((0.0, 12.3), abs=0.5)
    assert pair.reference.start == pytest.approx(20.0, abs=0.6)
    assert pair.reference.end == pytest.approx(32.3, abs=0.8)
    assert {f.track for f in found.frames} == {1}


def test_pictures_of_the_very_same_moments_are_found_at_those() -> None:
    """A reference that looks alike for long: lines through where two pictures meet tempt most."""
    times = np.arange(0.0, 30.0, 1.0)
    reference = Descriptors("m:1", times, moving(times / 6))
    query = Descriptors("m:1", times[:24], moving(times[:24] / 6))
    (found,) = find(query, reference, levels=Levels(0.3, 0.9)).values()
    assert (found.speed, found.score > 0.9) == (pytest.approx(1.0, abs=0.05), True)


@pytest.mark.parametrize("speed", [0.6, 1.0, 1.7])
def test_at_other_speeds(speed: float) -> None:
    times = np.arange(0.0, 16.0, 1.0)
    query = Descriptors("m:1", times, moving(5.0 + speed * times))
    (found,) = find(query, film(60.0, step=0.5)).values()
    assert found.score > 0.9
    assert found.speed == pytest.approx(speed, abs=0.1)


def test_the_score_falls_with_the_cosine() -> None:
    scores = []
    for cosine in (0.95, 0.85, 0.80, 0.75, 0.71):
        found = find(worse(film(8.0, step=0.5), cosine), film(60.0, step=0.5))
        scores.append(found[0].score if found else 0.0)
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 0.9
    assert scores[-1] < 0.5


def test_below_the_floor_nothing_is_said() -> None:
    assert find(worse(film(8.0), 0.69), film(60.0)) == {}


def test_pictures_that_do_not_agree_in_time_are_no_match() -> None:
    moments = np.array([50.0, 10.0, 33.0, 2.0, 41.0, 21.0])
    query = Descriptors("m:1", np.arange(6.0), moving(moments))
    assert find(query, film(60.0)) == {}


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_than_three_distinct_pictures_are_no_match(count: int) -> None:
    times = APART * np.arange(count)
    query = Descriptors("m:1", times, moving(10.0 + times))
    assert find(query, film(60.0)) == {}
    more = APART * np.arange(count + 3)
    assert find(Descriptors("m:1", more, moving(10.0 + more)), film(60.0))


def test_a_scene_that_looks_the_same_throughout_is_one_picture() -> None:
    """Nine pictures of one place, in a reference that shows it for a minute and moves before."""
    place = moving(np.array([20.0]))[0]
    vectors = np.concatenate([moving(np.arange(0.0, 20.0)), np.tile(place, (60, 1))])
    reference = Descriptors("m:1", np.arange(80.0), vectors)
    query = Descriptors("m:1", np.arange(9.0), np.tile(place, (9, 1)))
    assert find(query, reference) == {}


def test_a_place_that_lingers_in_the_reference_says_not_when() -> None:
    """Distinct pictures of the query, each of which the reference shows all the time."""
    axes = np.eye(WIDE)[:6]
    same = axes.sum(axis=0) / np.sqrt(6)
    reference = Descriptors("m:1", np.arange(40.0), np.tile(same, (40, 1)).astype(np.float16))
    mixed = 0.95 * same + 0.05 * axes * np.sqrt(6)
    mixed /= np.linalg.norm(mixed, axis=1, keepdims=True)
    query = Descriptors("m:1", np.arange(6.0), mixed.astype(np.float16))
    assert find(query, reference, levels=Levels(0.5, 0.995)) == {}


def test_pictures_that_agree_by_chance_far_apart_in_a_long_upload_are_no_match() -> None:
    """Half an hour against half an hour, every picture like some others at random."""
    random = np.random.default_rng(7)
    count, each = 400, 5
    vectors = random.normal(size=(count, 64))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    query = Descriptors("m:1", 4.0 * np.arange(count), vectors.astype(np.float16))
    starts = random.integers(0, 1800, count * each).astype(np.float64)
    hits = DescriptorHits(
        np.repeat(np.arange(count), each),
        np.zeros(count * each, dtype=np.int32),
        starts,
        starts + 1.0,
        random.uniform(0.70, 0.78, count * each).astype(np.float32),
    )
    found = described.alignment("ref", query, hits, LEVELS, total_s=1600.0)
    assert found is None or found.score < 0.5


def test_an_excerpt_of_a_long_upload_is_found_though_pictures_are_missed() -> None:
    times = np.arange(0.0, 300.0, 1.0)
    vectors = np.zeros((300, WIDE), dtype=np.float16)
    vectors[:, WIDE - 2] = 1.0
    shown = [n for n in range(100, 120) if n % 3]
    vectors[shown] = moving(np.array(shown) - 80.0)
    (found,) = find(Descriptors("m:1", times, vectors), film(60.0)).values()
    (pair,) = found.segments
    assert (pair.query.start, pair.query.end) == pytest.approx((101.0, 119.0), abs=1.5)
    assert found.score > 0.9


def test_distances() -> None:
    cosines = np.array([0.2, 0.70, 0.775, 0.85, 1.0], dtype=np.float32)
    assert LEVELS.distances(cosines).tolist() == [100, 100, 50, 0, 0]


def test_nothing_gives_nothing() -> None:
    assert find(film(0.0), film(60.0)) == {}
    assert find(film(9.0), film(0.0)) == {}
    assert described.describe(Model(), [Pictures(np.zeros(0), np.zeros((0, 8, 8, 3), "u1"))]) == ()


class Model:
    """The mean colour of a picture."""

    model, side, floor, sure = "mean:1", 8, 0.7, 0.9

    def describe(self, pictures: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        means = np.stack([p.reshape(-1, 3).mean(axis=0) for p in pictures]).astype(np.float32)
        return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True))


def test_pictures_are_described_track_by_track() -> None:
    red = np.zeros((2, 8, 8, 3), np.uint8)
    red[..., 0] = 200
    shown = [Pictures(np.array([0.5, 1.5]), red), Pictures(np.array([3.0]), red[:1, ..., ::-1], 2)]
    one, two = described.describe(Model(), shown)
    assert (one.model, one.track, two.track) == ("mean:1", 0, 2)
    assert one.vectors.tolist() == [[1, 0, 0], [1, 0, 0]]
    assert two.vectors.tolist() == [[0, 0, 1]]
    assert one.vectors.dtype == np.float16
    assert two.offsets.tolist() == [3.0]
