"""Sound into peaks: what stands out is found where it is, what does not is not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashdb.model import SoundPeaks
from matcher.hashers import sound
from matcher.hashers.sound import LOWEST_HZ, RATE, PeakFinder, Samples, listen
from matcher.ports import PEAKS_PER_S

RNG = np.random.default_rng(3)
SECOND = np.arange(RATE) / RATE


def blips(moments: list[tuple[float, float]], seconds: float = 6.0, loud: float = 0.2):
    """Short tones: (second, Hz)."""
    samples = np.zeros(round(seconds * RATE), dtype=np.float32)
    length = RATE // 8
    for at, hertz in moments:
        first = round(at * RATE) - length // 2
        tone = np.sin(2 * np.pi * hertz * np.arange(length) / RATE) * np.hanning(length)
        samples[first : first + length] += (loud * tone).astype(np.float32)
    return samples


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)


def peaks_of(samples: Samples, start: float = 0.0, track: int = 0) -> SoundPeaks:
    """Of samples that are there as a whole."""
    finder = PeakFinder(start, track)
    finder.feed(samples)
    return finder.finish()


def step(hertz: float) -> float:
    return 144 * float(np.log2(hertz / LOWEST_HZ))


@pytest.mark.parametrize("loud", [0.002, 0.05, 0.8])
def test_blips_are_found_when_and_where_they_are_however_loud(loud):
    given_blips = [(1.0, 440.0), (1.9, 1000.0), (3.2, 620.0), (4.5, 2500.0)]
    peaks = peaks_of(blips(given_blips, loud=loud))
    tops = [
        np.argmax(np.where(np.abs(peaks.times - at) < 0.1, peaks.levels, 0))
        for at, _ in given_blips
    ]
    assert peaks.times[tops] == pytest.approx([at for at, _ in given_blips], abs=0.01)
    assert peaks.pitches[tops] == pytest.approx([step(hz) for _, hz in given_blips], abs=2.5)


def test_one_percent_of_pitch_is_two_steps():
    one = peaks_of(blips([(2.0, 1500.0)]))
    higher = peaks_of(blips([(2.0, 1515.0)]))
    moved = int(higher.pitches[np.argmax(higher.levels)]) - int(one.pitches[np.argmax(one.levels)])
    assert moved in (2, 3)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(RATE * 5),
        np.full(RATE * 5, 0.5),
        np.tile(np.sin(2 * np.pi * 440 * SECOND), 5),
        np.tile(sum(np.sin(2 * np.pi * 50 * k * SECOND + k) / k for k in range(1, 40)), 5) * 0.2,
        RNG.normal(0, 1e-5, RATE * 5),
    ],
    ids=["silence", "offset", "tone", "hum", "hiss of the converter"],
)
def test_what_stays_the_same_has_no_peaks(samples):
    assert len(peaks_of(samples.astype(np.float32))) == 0


def test_peaks_are_few_rise_and_stay_within_their_types():
    peaks = peaks_of(noise(20.0))
    assert 10 < len(peaks) / peaks.seconds < 35
    assert (np.diff(peaks.times) >= 0).all()
    assert (peaks.times.dtype, peaks.pitches.dtype, peaks.levels.dtype) == (
        np.float64,
        np.uint16,
        np.uint8,
    )
    assert peaks.pitches.max() < 1024
    assert peaks.seconds == 20.0
    assert peaks.pipeline == sound.PIPELINE


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 20 * RATE), max_size=8))
def test_the_same_samples_give_the_same_peaks_however_they_are_cut(cuts):
    samples = noise(20.0, seed=4)
    finder = PeakFinder()
    for stretch in np.split(samples, sorted(cuts)):
        finder.feed(stretch)
    whole, cut = peaks_of(samples), finder.finish()
    assert np.array_equal(whole.times, cut.times)
    assert np.array_equal(whole.pitches, cut.pitches)
    assert np.array_equal(whole.levels, cut.levels)


def test_memory_does_not_grow_with_length():
    finder = PeakFinder()
    for second in range(120):
        finder.feed(noise(1.0, seed=second))
        assert len(finder._levels) < 2000
        assert len(finder._samples) < 100_000


def test_a_level_twentyfold_lower_gives_the_same_peaks():
    samples = noise(10.0)
    loud, soft = peaks_of(samples), peaks_of(samples / 20)
    assert len(np.intersect1d(loud.times.round(3), soft.times.round(3))) > 0.95 * len(loud)


def test_times_count_from_the_start_that_was_given():
    samples = blips([(2.0, 700.0)])
    assert np.allclose(peaks_of(samples, start=10.5).times, peaks_of(samples).times + 10.5)


@pytest.mark.parametrize("count", [0, 1, 500, 1024, 1300])
def test_too_little_sound_has_no_peaks(count):
    assert len(peaks_of(noise(1.0)[:count])) == 0


def test_tracks_are_listened_to_apart():
    from matcher.decode.sound import SoundBlock

    one, other = noise(5.0, 1), noise(5.0, 2)
    blocks = [
        SoundBlock(1, 3.0, other[:9000]),
        SoundBlock(0, 0.0, one),
        SoundBlock(1, 3.0 + 9000 / RATE, other[9000:]),
    ]
    first, second = listen(blocks)
    assert (first.track, second.track) == (0, 1)
    assert np.array_equal(first.times, peaks_of(one).times)
    assert np.array_equal(second.pitches, peaks_of(other).pitches)


def test_taking_rows_keeps_the_rest():
    peaks = peaks_of(noise(5.0), track=2)
    some = peaks.take(peaks.times < 2.0)
    assert 0 < len(some) < len(peaks)
    assert (some.track, some.pipeline, some.seconds) == (2, peaks.pipeline, peaks.seconds)


def test_a_second_has_no_more_than_its_loudest_peaks():
    """Clicks that come and go, in step with the spectrogram, give hundreds of peaks a second."""
    times = np.arange(8 * RATE)
    clicks = np.where((times % 128 < 2) & (times % 16_000 < 13_600), 0.5, 0.0).astype(np.float32)
    peaks = peaks_of(clicks)
    counts = np.bincount(np.floor(peaks.times).astype(int))
    assert counts.max() == PEAKS_PER_S
    assert (np.diff(peaks.times) >= 0).all()
