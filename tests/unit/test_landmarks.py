"""Peaks into landmarks: what changes a key and what does not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashdb.model import SoundPeaks
from matcher.landmarks import (
    FAN,
    PLAYER_VARIANTS,
    VARIANTS,
    landmarks,
    pack_moments,
    unpack_moments,
)


def peaks(times, pitches) -> SoundPeaks:
    order = np.argsort(times, kind="stable")
    return SoundPeaks(
        "peaks-1",
        np.asarray(times, dtype=np.float64)[order],
        np.asarray(pitches, dtype=np.uint16)[order],
        np.full(len(order), 20, dtype=np.uint8),
    )


def some_peaks(count: int = 400, seed: int = 1, seconds: float = 20.0) -> SoundPeaks:
    rng = np.random.default_rng(seed)
    return peaks(rng.uniform(0, seconds, count), rng.integers(20, 520, count))


def shared(one, other) -> float:
    return len(np.intersect1d(one.keys, other.keys)) / len(np.unique(one.keys))


def test_three_peaks_are_one_landmark():
    found = landmarks(peaks([1.0, 1.32, 1.64], [100, 140, 60]))
    assert found.keys.tolist() == [(((((100 // 48) << 6 | 37) << 6 | 27) << 5 | 5) << 5) | 10]
    assert (found.times.tolist(), found.pitches.tolist(), found.peaks.tolist()) == (
        [1.0],
        [100],
        [0],
    )


@pytest.mark.parametrize(
    ("times", "pitches"),
    [
        ([], []),
        ([1.0], [100]),
        ([1.0, 1.5], [100, 120]),
        ([1.0, 1.5, 4.0], [100, 120, 140]),  # too late
        ([1.0, 1.02, 1.04], [100, 120, 140]),  # too soon
        ([1.0, 1.3, 1.6], [100, 400, 140]),  # too far off in pitch
    ],
)
def test_what_is_no_landmark(times, pitches):
    assert len(landmarks(peaks(times, pitches))) == 0


def test_a_later_copy_has_the_same_keys():
    one = some_peaks()
    later = SoundPeaks("peaks-1", one.times + 1234.5, one.pitches, one.levels)
    assert np.array_equal(landmarks(one).keys, landmarks(later).keys)


@pytest.mark.parametrize("variant", [*VARIANTS[1:], *PLAYER_VARIANTS], ids=str)
def test_what_was_done_to_a_copy_is_taken_back_by_asking_with_it(variant):
    rng = np.random.default_rng(1)
    one = peaks(rng.uniform(0, 20, 400), rng.integers(200, 340, 400))
    pitches = (one.pitches.astype(int) + variant.higher).astype(np.uint16)
    done = SoundPeaks("peaks-1", one.times / variant.tempo, pitches, one.levels)
    assert shared(landmarks(done, variant=variant), landmarks(one)) > 0.98
    assert shared(landmarks(done), landmarks(one)) < 0.9


@pytest.mark.parametrize("steps", [-8, -4, 4, 8])
def test_a_few_percent_of_pitch_leave_most_keys(steps):
    one = some_peaks()
    higher = SoundPeaks("peaks-1", one.times, one.pitches + np.uint16(8 + steps), one.levels)
    base = SoundPeaks("peaks-1", one.times, one.pitches + np.uint16(8), one.levels)
    assert shared(landmarks(higher), landmarks(base)) > 0.75


def test_landmarks_lie_in_the_order_of_their_peaks_at_most_ten_each():
    found = landmarks(some_peaks())
    assert (np.diff(found.peaks) >= 0).all()
    assert np.bincount(found.peaks).max() <= FAN * (FAN - 1) // 2
    assert found.keys.dtype == np.uint32
    assert int(found.keys.max()) < 1 << 26


def test_other_sounds_share_next_to_nothing():
    assert shared(landmarks(some_peaks(seed=1)), landmarks(some_peaks(seed=2))) < 0.01


@given(st.floats(0, 60_000), st.integers(0, 600))
def test_a_moment_comes_back_to_a_64th_of_a_second(seconds, pitch):
    times, pitches = unpack_moments(
        pack_moments(np.array([seconds]), np.array([pitch], dtype=np.uint16))
    )
    assert times[0] == pytest.approx(seconds, abs=1 / 128 + 1e-9)
    assert pitches[0] == pitch


def test_moments_before_the_first_picture_and_after_the_last_hour_are_kept_within_bounds():
    times, _ = unpack_moments(pack_moments(np.array([-0.5, 1e6]), np.zeros(2, dtype=np.uint16)))
    assert times[0] == 0.0
    assert times[1] == pytest.approx(65_536, abs=1)
