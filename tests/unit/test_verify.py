"""Geometric verification in made places and codes: numbers only, no pictures."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from matcher import verify
from matcher.verify import Agreement, Candidates, Picture, agreement, candidates, common, measured

WIDTH, HEIGHT = 448, 336
Map = NDArray[np.float64]
PLAIN: Map = np.array([[1.0, 0, 0], [0, 1, 0]])


def similar(turn: float = 0.0, size: float = 1.0, x: float = 0.0, y: float = 0.0) -> Map:
    """Turned by degrees and scaled, then moved."""
    a, b = size * np.cos(np.radians(turn)), size * np.sin(np.radians(turn))
    return np.array([[a, -b, x], [b, a, y]])


def made(seed: int, n: int = 300, width: int = WIDTH, height: int = HEIGHT) -> Picture:
    rng = np.random.default_rng(seed)
    places = np.column_stack(
        [
            rng.uniform(0, width, n),
            rng.uniform(0, height, n),
            31 * 1.25 ** rng.integers(0, 8, n),
            rng.uniform(0, 360, n),
        ]
    )
    codes = rng.integers(0, 256, (n, 32), dtype=np.uint8)
    return Picture(codes, places.astype(np.float32), width, height)


def flipped(codes: NDArray[np.uint8], bits: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    every = np.unpackbits(codes, axis=1)
    for row in every:
        row[rng.choice(256, bits, replace=False)] ^= 1
    return np.packbits(every, axis=1)


def shown(
    source: Picture,
    by: Map,
    *,
    outliers: float = 0.0,
    noise: float = 1.0,
    bits: int = 25,
    seed: int = 99,
) -> Picture:
    """The picture as the map puts it, in noisy places and with noisy codes; of a share of its
    features the code is found, but anywhere, turned and scaled anyhow."""
    rng = np.random.default_rng(seed)
    places = source.places.astype(np.float64).copy()
    n = len(places)
    places[:, :2] = places[:, :2] @ by[:, :2].T + by[:, 2] + rng.normal(0, noise, (n, 2))
    places[:, 2] *= np.sqrt(abs(np.linalg.det(by[:, :2])))
    places[:, 3] += np.degrees(np.arctan2(by[1, 0] - by[0, 1], by[0, 0] + by[1, 1]))
    places[:, 3] = (places[:, 3] + rng.normal(0, 4, n)) % 360
    wrong = rng.permutation(n)[: round(outliers * n)]
    places[wrong] = made(seed + 1, n).places[wrong]
    codes = flipped(source.codes, bits, rng)
    return Picture(codes, places.astype(np.float32), source.width, source.height)


def agreed(query: Picture, reference: Picture) -> Agreement:
    found = agreement(candidates(query, reference))
    assert found is not None
    return found


def worst(found: Map, expected: Map) -> float:
    """Pixels between two maps, anywhere in the picture."""
    corners = np.array([[0, 0], [WIDTH, 0], [0, HEIGHT], [WIDTH, HEIGHT]], dtype=np.float32)
    return float(np.abs(verify.mapped(found, corners) - verify.mapped(expected, corners)).max())


MAPS = {
    "same": PLAIN,
    "moved": similar(x=40, y=-25),
    "turned": similar(turn=35, x=120, y=-60),
    "upside down": similar(turn=180, x=WIDTH, y=HEIGHT),
    "smaller": similar(size=0.6, x=90, y=70),
    "larger": similar(size=1.8, x=-180, y=-140),
    "stretched": np.array([[1.2, 0.05, -20], [0.0, 0.85, 20.0]]),
}


@pytest.mark.parametrize("name", MAPS)
def test_a_map_is_found_among_outliers(name: str) -> None:
    reference = made(1)
    found = agreed(shown(reference, MAPS[name], outliers=0.6), reference)
    assert worst(found.map, MAPS[name]) < 3.0
    inside = int(verify.seen_inside(MAPS[name], reference, shown(reference, MAPS[name])).sum())
    assert found.inliers > 0.25 * inside
    assert len(found.queries) == len(found.references) >= found.inliers
    # features of the two pictures that belong together have one row here
    assert np.mean(found.queries == found.references) > 0.95


def test_the_inliers_are_those_that_were_no_outliers() -> None:
    reference = made(2)
    n = len(reference.codes)
    found = agreed(shown(reference, PLAIN, outliers=0.6), reference)
    assert 0.9 * 0.4 * n <= found.inliers <= 1.1 * 0.4 * n


@pytest.mark.parametrize("seed", range(5))
def test_codes_that_are_not_alike_are_no_pairs(seed: int) -> None:
    one, other = made(seed), made(seed + 100)
    some = candidates(Picture(other.codes, one.places, WIDTH, HEIGHT), one)
    assert len(some.q) == 0
    assert agreement(some) is None


@pytest.mark.parametrize("seed", range(5))
def test_alike_codes_in_scrambled_places_do_not_agree(seed: int) -> None:
    reference = made(seed)
    some = candidates(shown(reference, PLAIN, outliers=1.0, seed=seed), reference)
    assert len(some.q) > 250
    found = agreement(some)
    assert found is None or found.inliers < 10


def mirrored(source: Picture, *, angles: bool) -> Picture:
    places = source.places.copy()
    places[:, 0] = source.width - places[:, 0]
    if angles:
        places[:, 3] = (180 - places[:, 3]) % 360
    return Picture(source.codes, places, source.width, source.height)


@pytest.mark.parametrize("angles", [True, False])
def test_a_mirrored_map_is_refused(angles: bool) -> None:
    """Whether or not the features' own angles say so too."""
    reference = made(3)
    assert agreement(candidates(mirrored(reference, angles=angles), reference)) is None


@pytest.mark.parametrize(
    "squeezed", [np.array([[1.0, 0, 0], [0, 0.2, 100]]), similar(size=0.05, x=100, y=100)]
)
def test_a_picture_squeezed_to_nothing_is_refused(squeezed: Map) -> None:
    reference = made(4)
    query = shown(reference, squeezed, noise=0.1)
    places = query.places.copy()
    places[:, 2] = reference.places[:, 2]  # though each feature is as large as before
    found = agreement(candidates(Picture(query.codes, places, WIDTH, HEIGHT), reference))
    assert found is None or worst(found.map, squeezed) > 20


@pytest.mark.parametrize("n", [0, 1, 3])
def test_too_few_features_agree_on_nothing(n: int) -> None:
    few, many = made(5, n), made(5)
    for query, reference in ((few, many), (many, few), (few, few)):
        some = candidates(query, reference)
        assert len(some.q) == len(some.r) == len(some.near) == 0
        assert agreement(some) is None


def test_all_features_in_one_place_agree_on_nothing() -> None:
    reference = made(6, 50)
    places = reference.places.copy()
    places[:, :2] = 100.0
    heap = Picture(reference.codes, places, WIDTH, HEIGHT)
    for query, of in ((heap, heap), (heap, reference), (reference, heap)):
        assert agreement(candidates(query, of)) is None


def test_pairs_are_near_and_stand_out() -> None:
    """Of a feature that the reference has twice, nobody can say which it is; very near ones are
    paired all the same, since patterns repeat."""
    rng = np.random.default_rng(8)
    base = made(9, 40)
    twice = base.codes.copy()
    twice[1] = flipped(twice[0:1], 4, rng)[0]
    reference = Picture(twice, base.places, WIDTH, HEIGHT)
    codes = np.stack(
        [
            flipped(twice[0:1], 50, rng)[0],  # as near to 0 as to 1, and near to none
            flipped(twice[5:6], verify.RADIUS, rng)[0],
            flipped(twice[6:7], verify.RADIUS + 1, rng)[0],
            twice[1],
        ]
    )
    q, r, near = verify.pairs(Picture(codes, base.places[:4], WIDTH, HEIGHT), reference)
    assert list(zip(q.tolist(), r.tolist(), near.tolist(), strict=True)) == [
        (1, 5, verify.RADIUS),
        (3, 1, 0),
    ]


def test_a_reference_of_few_features_needs_no_second_best() -> None:
    one = made(10, 4)
    single = Picture(one.codes[:1], one.places[:1], WIDTH, HEIGHT)
    q, r, near = verify.pairs(one, single)
    assert (q.tolist(), r.tolist(), near.tolist()) == ([0], [0], [0])


def test_the_tolerance_grows_with_the_querys_picture() -> None:
    one = made(11, 10)
    large = candidates(Picture(one.codes, one.places, 896, 100), one)
    assert large.tolerance == pytest.approx(2 * verify.TOLERANCE)
    assert candidates(one, one).tolerance == pytest.approx(verify.TOLERANCE)


def test_share_counts_what_falls_within_the_query() -> None:
    """The query shows the upper left quarter, twice as large: nearly all that can be found there
    is, and what lies beside it is not missed."""
    reference = made(12)
    crop = similar(size=2.0)
    query = shown(reference, crop)
    inside = (query.places[:, 0] < WIDTH) & (query.places[:, 1] < HEIGHT)
    inside &= (query.places[:, :2] >= 0).all(axis=1)
    cut = Picture(query.codes[inside], query.places[inside], WIDTH, HEIGHT)
    found = agreed(cut, reference)
    assert found.visible == pytest.approx(int(inside.sum()), abs=6)
    assert found.visible < 0.35 * len(reference.codes)
    assert found.share > 0.9


def test_share_does_not_miss_what_has_become_too_small() -> None:
    """At half the size, only patches of twice the least one are still found."""
    reference = made(13)
    half = similar(size=0.5, x=100, y=80)
    query = shown(reference, half)
    large = reference.places[:, 2] * 0.5 >= verify.SMALLEST_PATCH
    kept = Picture(query.codes[large], query.places[large], WIDTH, HEIGHT)
    found = agreed(kept, reference)
    assert large.sum() <= found.visible < 0.75 * len(reference.codes)
    assert found.share > 0.7
    smallest = reference.places[verify.seen_inside(half, reference, kept), 2].min()
    assert 0.7 * verify.SMALLEST_PATCH <= 0.5 * smallest <= verify.SMALLEST_PATCH


def test_share_falls_with_what_is_missing() -> None:
    reference = made(14)
    whole, part = (agreed(shown(reference, PLAIN, outliers=o), reference) for o in (0.0, 0.7))
    assert whole.visible == pytest.approx(part.visible, abs=20)
    assert whole.share > 0.9
    assert part.share == pytest.approx(0.3, abs=0.08)


def only(source: Picture, rows: NDArray[np.bool_]) -> Picture:
    return Picture(source.codes[rows], source.places[rows], source.width, source.height)


def test_spread_tells_a_cluster_from_a_picture() -> None:
    reference = made(15, 600)
    query = shown(reference, PLAIN)
    near = (np.abs(reference.places[:, :2] - (200, 150)) < 40).all(axis=1)
    wide, cluster = agreed(query, reference), agreed(only(query, near), reference)
    assert cluster.inliers >= 10
    assert cluster.spread < 0.12
    assert wide.spread > 0.8


def test_covered_counts_the_cells_that_are_seen() -> None:
    """A window that two pictures share fills half of one: all of its cells, none of the rest."""
    reference = made(18, 600)
    query = shown(reference, PLAIN)
    left = reference.places[:, 0] < WIDTH / 2
    whole, half = agreed(query, reference), agreed(only(query, left), reference)
    assert verify.covered(whole, reference, query) == 1.0
    assert verify.covered(half, reference, query) == pytest.approx(0.5, abs=0.07)


def test_covered_does_not_miss_what_was_cropped_away() -> None:
    reference = made(19, 600)
    crop = similar(size=2.0)
    query = shown(reference, crop)
    inside = (query.places[:, 0] < WIDTH) & (query.places[:, 1] < HEIGHT)
    cut = only(query, inside & (query.places[:, :2] >= 0).all(axis=1))
    assert verify.covered(agreed(cut, reference), reference, cut) > 0.9


def test_spread_of_features_on_one_line_is_nothing() -> None:
    reference = made(16)
    places = reference.places.copy()
    places[:, 1] = 100 + np.random.default_rng(1).normal(0, 2, len(places))
    line = Picture(reference.codes, places, WIDTH, HEIGHT)
    assert measured(PLAIN, candidates(line, line)).spread < 0.1


def test_spread_is_of_what_both_pictures_could_share() -> None:
    """A crop of a quarter, filled all over, is spread as wide as can be."""
    reference = made(17, 600)
    query = shown(reference, similar(size=2.0))
    inside = (query.places[:, :2] < (WIDTH, HEIGHT)).all(axis=1)
    assert agreed(only(query, inside), reference).spread > 0.8


def test_a_feature_counts_once_however_often_it_is_found() -> None:
    reference = made(18, 60)
    query = shown(reference, PLAIN, bits=5)
    thrice = Picture(
        np.concatenate([query.codes] * 3), np.concatenate([query.places] * 3), WIDTH, HEIGHT
    )
    once, often = agreed(query, reference), agreed(thrice, reference)
    assert once.inliers <= often.inliers <= len(reference.codes)
    assert len(set(often.references.tolist())) == len(often.references)


def test_many_features_in_one_spot_count_as_one() -> None:
    """The same corner on eight scales is little more than one corner."""
    reference = made(19, 64)
    places = reference.places.copy()
    places[:, :2] = np.repeat(places[::8, :2], 8, axis=0)
    heaps = Picture(reference.codes, places, WIDTH, HEIGHT)
    assert measured(PLAIN, candidates(heaps, heaps)).inliers == 8


def few_pairs(
    by: Map, seed: int, true: int = 3, false: int = 6
) -> tuple[Candidates, NDArray[np.int64]]:
    """Pictures that share `true` features by the map, and others by none."""
    reference = made(seed, true + false)
    query = shown(reference, by, noise=0.5, seed=seed + 1000)
    places = query.places.copy()
    places[true:] = made(seed + 2000, false).places
    some = candidates(Picture(query.codes, places, WIDTH, HEIGHT), reference)
    return some, np.arange(true)


def test_pictures_with_few_pairs_each_share_one_map() -> None:
    by = similar(turn=12, size=0.9, x=40, y=-10)
    some = [few_pairs(by, seed)[0] for seed in range(20)]
    alone = [agreement(one) for one in some]
    assert all(a is None or a.inliers < 6 for a in alone)
    rough = by + np.array([[0.005, 0, 3.0], [0, 0.005, -3.0]])
    maps = [similar(x=90), PLAIN, rough, similar(turn=-40), mirror_map()]
    found = common(some, maps)
    assert found is not None
    assert worst(found, by) < worst(rough, by)
    assert worst(found, by) < 2.0
    told = sum(measured(found, one).inliers for one in some)
    assert told >= 0.9 * 3 * len(some)


def mirror_map() -> Map:
    return np.array([[-1.0, 0, WIDTH], [0, 1, 0]])


def test_where_pictures_share_no_map_none_explains_more_than_its_own() -> None:
    maps = [similar(turn=40 * i, x=20 * i) for i in range(8)]
    some = [few_pairs(by, i, true=8, false=2)[0] for i, by in enumerate(maps)]
    found = common(some, maps)
    assert found is not None
    told = [measured(found, one).inliers for one in some]
    assert max(told) >= 6
    assert sorted(told)[-2] <= 2


def test_one_picture_cannot_outvote_many() -> None:
    """A picture with 400 pairs by its own map stands against 20 with 10 pairs by another."""
    mine, theirs = similar(x=60), similar(x=-60, turn=20)
    large = candidates(shown(made(30, 400), mine), made(30, 400))
    some = [large, *(few_pairs(theirs, 40 + i, true=10)[0] for i in range(20))]
    found = common(some, [mine, theirs])
    assert found is not None
    assert worst(found, theirs) < 5


def test_nothing_in_common() -> None:
    some = [candidates(made(i), made(i + 50)) for i in range(3)]
    assert common(some, [PLAIN]) is None
    assert common([], [PLAIN]) is None
    assert common([few_pairs(PLAIN, 1)[0]], []) is None


@pytest.mark.parametrize("towards", [(1.0, 0.0), (0.0, -1.0), (-0.6, 0.8)])
def test_a_small_shift_of_the_whole_picture_is_followed(towards: tuple[float, float]) -> None:
    reference = made(20)
    x, y = (4.0 * verify.TOLERANCE * part for part in towards)
    some = candidates(shown(reference, similar(x=x, y=y), noise=0.5), reference)
    still = measured(PLAIN, some)
    followed = measured(PLAIN, some, 2.0, shift=5.0)
    assert still.inliers < 20
    assert followed.inliers > 0.9 * len(reference.codes)
    assert worst(followed.map, similar(x=x, y=y)) < 2


def test_a_large_shift_is_not_followed() -> None:
    reference = made(21)
    far = similar(x=10 * verify.TOLERANCE)
    some = candidates(shown(reference, far, noise=0.5), reference)
    assert measured(PLAIN, some, 2.0, shift=5.0).inliers < 20


def test_following_a_shift_loses_nothing_where_there_is_none() -> None:
    reference = made(22)
    some = candidates(shown(reference, PLAIN, outliers=0.3), reference)
    plain, followed = measured(PLAIN, some, 2.0), measured(PLAIN, some, 2.0, shift=5.0)
    assert followed.inliers >= 0.97 * plain.inliers
    assert worst(followed.map, PLAIN) < 2


def test_a_given_map_is_not_changed() -> None:
    reference = made(23)
    given = PLAIN.copy()
    measured(given, candidates(shown(reference, similar(x=12)), reference), 2.0, shift=5.0)
    assert np.array_equal(given, PLAIN)


@pytest.mark.parametrize(("column", "by"), [(3, 90.0), (2, 4.0)])
def test_a_feature_turned_or_scaled_otherwise_is_not_on_the_map(column: int, by: float) -> None:
    """It lies in the right place, by accident."""
    reference = made(24)
    places = reference.places.copy()
    places[::2, column] = (
        (places[::2, column] + by) % 360 if column == 3 else places[::2, column] * by
    )
    some = candidates(Picture(reference.codes, places, WIDTH, HEIGHT), reference)
    found = measured(PLAIN, some)
    assert set(found.references.tolist()) <= set(range(1, len(places), 2))
    assert found.inliers > 0.9 * len(places) / 2


def test_nothing_to_measure() -> None:
    found = measured(PLAIN, candidates(made(25), made(26)), 2.0, shift=5.0)
    assert (found.inliers, found.spread, found.share) == (0, 0.0, 0.0)
    nowhere = measured(similar(x=5000), candidates(made(25), made(25)))
    assert (nowhere.inliers, nowhere.visible, nowhere.share) == (0, 0, 0.0)
