"""References' local features as they lie in the database."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashdb.errors import BadFingerprint, DatabaseUnavailable
from hashdb.model import LocalFeatures, Motion, Rendering
from hashdb.store import feature_packing
from hashdb.store.feature_packing import VERSION, pack_local, unpack_local


def made(*counts: int, seed: int = 1) -> LocalFeatures:
    """Pictures of so many features each."""
    rng = np.random.default_rng(seed)
    n = sum(counts)
    places = np.column_stack(
        [
            rng.uniform(0, 448, n),
            rng.uniform(0, 448, n),
            31 * 1.25 ** rng.integers(0, 8, n),
            rng.uniform(0, 360, n),
        ]
    )
    return LocalFeatures(
        pipeline="orb-1",
        offsets=np.cumsum(rng.uniform(0.4, 4, len(counts))),
        starts=np.cumsum([0, *counts], dtype=np.int64),
        sizes=rng.integers(32, 449, (len(counts), 2)).astype(np.uint16),
        codes=rng.integers(0, 256, (n, 32), dtype=np.uint8),
        places=places.astype(np.float32).reshape(n, 4),
        track=3,
    )


def read_back(features: LocalFeatures) -> LocalFeatures:
    row: Any = pack_local(features)
    return unpack_local(row)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 30), max_size=8), st.integers(0, 5))
def test_what_is_read_is_what_was_written(counts: list[int], seed: int) -> None:
    features = made(*counts, seed=seed)
    again = read_back(features)
    assert (again.pipeline, again.track, again.rendering) == ("orb-1", 3, Rendering.PLAIN)
    assert len(again) == len(counts)
    for name in ("offsets", "starts", "sizes", "codes"):
        mine, read = getattr(features, name), getattr(again, name)
        assert np.array_equal(mine, read), name
        assert (mine.dtype, mine.shape) == (read.dtype, read.shape), name
    assert again.places.dtype == np.float32
    assert again.places.shape == features.places.shape
    off = np.abs(again.places.astype(np.float64) - features.places)
    assert (off[:, :3] <= 0.5 / 64 + 1e-4).all()
    assert (off[:, 3] <= 0.5 / 100 + 1e-4).all()


def test_rounding_happens_once() -> None:
    once = read_back(made(5, 9))
    assert pack_local(once)["data"] == pack_local(made(5, 9))["data"]
    assert np.array_equal(read_back(once).places, once.places)


def test_what_was_read_can_be_written_to() -> None:
    again = read_back(made(4))
    again.codes[0] = 0
    again.places[0] = 1
    again.offsets[0] = 2


def test_a_feature_takes_forty_bytes() -> None:
    row = pack_local(made(100, 50))
    assert len(row["data"]) == 40 * 150 + 16 * 2
    assert (row["signal_type"], row["pipeline"], row["track"]) == ("local", "orb-1", 3)
    assert (row["version"], row["n"]) == (VERSION, 150)


def test_the_layout_is_little_endian_whatever_came() -> None:
    features = made(3, 2)
    swapped = replace(
        features,
        offsets=features.offsets.astype(">f8"),
        starts=features.starts.astype(">i8"),
        sizes=features.sizes.astype(">u2"),
        places=features.places.astype(">f4"),
    )
    assert pack_local(swapped)["data"] == pack_local(features)["data"]


def test_places_at_the_ends_of_what_can_be_written() -> None:
    """Coordinates beyond 0 to 1023.98 are not wrapped around to other places."""
    features = made(2)
    features.places[0] = (-0.4, 1023.9, 31.0, 359.99)
    features.places[1] = (0.0, 2000.0, 5000.0, 0.0)
    again = read_back(features).places
    assert again[0] == pytest.approx([0.0, 1023.9, 31.0, 359.99], abs=0.01)
    assert again[1] == pytest.approx([0.0, 1023.98, 1023.98, 0.0], abs=0.01)


BAD = {
    "codes of another length": {"codes": np.zeros((5, 16), np.uint8)},
    "fewer codes": {"codes": np.zeros((4, 32), np.uint8)},
    "fewer places": {"places": np.zeros((4, 4), np.float32)},
    "places of three": {"places": np.zeros((5, 3), np.float32)},
    "a start too few": {"starts": np.array([0, 5])},
    "a start too many": {"starts": np.array([0, 2, 3, 5])},
    "starts that end early": {"starts": np.array([0, 2, 4])},
    "starts that end late": {"starts": np.array([0, 2, 6])},
    "no starts at all": {"starts": np.zeros(0, np.int64)},
    "a moment too few": {"offsets": np.array([1.0])},
}


@pytest.mark.parametrize("name", BAD)
def test_arrays_that_do_not_fit_are_refused(name: str) -> None:
    with pytest.raises(BadFingerprint):
        pack_local(replace(made(2, 3), **BAD[name]))


UNREADABLE = {
    "starts that begin late": {"starts": np.array([1, 3, 5])},
    "starts that fall": {"starts": np.array([0, 7, 5])},
    "sizes of three": {"sizes": np.zeros((2, 3), np.uint16)},
    "sizes too few": {"sizes": np.zeros((1, 2), np.uint16)},
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_could_not_be_read_again_is_refused(name: str) -> None:
    with pytest.raises(BadFingerprint):
        pack_local(replace(made(2, 3), **UNREADABLE[name]))


@pytest.mark.parametrize("version", [0, VERSION + 1, 255])
def test_a_row_of_another_version_is_not_guessed_at(version: int) -> None:
    row: Any = pack_local(made(3)) | {"version": version}
    with pytest.raises(DatabaseUnavailable, match="layout"):
        unpack_local(row)


@pytest.mark.parametrize("n", [-1, 0, 1, 7, 9, 2**31])
def test_a_row_of_another_count_is_refused(n: int) -> None:
    row: Any = pack_local(made(3, 5)) | {"n": n}
    with pytest.raises(DatabaseUnavailable):
        unpack_local(row)


@pytest.mark.parametrize("cut", [1, 8, 16, 40, 56])
def test_a_row_cut_short_or_grown_is_refused(cut: int) -> None:
    row: Any = pack_local(made(3, 5))
    for data in (row["data"][:-cut], row["data"] + bytes(cut), b""):
        with pytest.raises(DatabaseUnavailable):
            unpack_local(row | {"data": data})


def test_damaged_counts_are_refused() -> None:
    row: Any = pack_local(made(3, 5))
    data = bytearray(row["data"])
    data[16] += 1  # after two moments: the first picture's count
    with pytest.raises(DatabaseUnavailable):
        unpack_local(row | {"data": bytes(data)})


def test_the_database_may_give_a_memoryview() -> None:
    row: Any = pack_local(made(3, 5))
    assert np.array_equal(
        unpack_local(row | {"data": memoryview(row["data"])}).codes, made(3, 5).codes
    )


def motion(frames: int = 5, side: int = 16) -> Motion:
    rng = np.random.default_rng(frames)
    grids = rng.integers(-127, 128, (frames, side, side), dtype=np.int8)
    return Motion(np.arange(frames) / 4, grids, track=3)


@pytest.mark.parametrize(("frames", "side"), [(1, 16), (5, 16), (2, 1), (3, 64)])
def test_motion_there_and_back(frames: int, side: int) -> None:
    sent = motion(frames, side)
    back = feature_packing.unpack_motion(feature_packing.pack_motion(sent))  # type: ignore[arg-type]
    assert back.track == 3
    assert np.array_equal(back.offsets, sent.offsets)
    assert np.array_equal(back.grids, sent.grids)
    assert back.grids.dtype == np.int8
    back.grids[0] = 0  # it is its own


@pytest.mark.parametrize(
    "grids",
    [np.zeros((4, 16, 16), np.int8), np.zeros((5, 16, 8), np.int8), np.zeros((5, 16, 16))],
    ids=["too few", "not square", "no bytes"],
)
def test_motion_that_does_not_fit_is_refused(grids: np.ndarray) -> None:
    with pytest.raises(BadFingerprint):
        feature_packing.pack_motion(replace(motion(), grids=grids))


@pytest.mark.parametrize(
    "damage",
    [
        {"n": 4},
        {"n": 6},
        {"n": -1},
        {"version": 2},
        {"data": b""},
        {"data": b"\x10"},
        {"data": b"\x10\x00nonsense"},
    ],
)
def test_damaged_motion_is_refused(damage: dict[str, object]) -> None:
    row = feature_packing.pack_motion(motion()) | damage
    with pytest.raises(DatabaseUnavailable):
        feature_packing.unpack_motion(row)  # type: ignore[arg-type]


def test_motion_cut_short_is_refused() -> None:
    row = feature_packing.pack_motion(motion())
    for length in range(len(row["data"])):
        with pytest.raises(DatabaseUnavailable):
            feature_packing.unpack_motion(row | {"data": row["data"][:length]})  # type: ignore[arg-type]


def test_motion_that_inflates_without_end_takes_no_memory() -> None:
    row = feature_packing.pack_motion(motion())
    bomb = row["data"][:2] + zlib.compress(b"\0" * (1 << 27))
    with pytest.raises(DatabaseUnavailable):
        feature_packing.unpack_motion(row | {"data": bomb})  # type: ignore[arg-type]
