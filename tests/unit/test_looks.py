"""Looks at an upload, in numbers."""

from datetime import UTC, datetime

import numpy as np
import pytest

from hashdb.model import (
    Action,
    Bank,
    Coverage,
    Digests,
    Fingerprint,
    Match,
    MediaFingerprints,
    MediaKind,
    Reference,
    Segment,
    SegmentPair,
    Signal,
    Standing,
)
from matcher.coverage import judged_seconds
from matcher.looks import (
    DENSE_SECONDS,
    MARGIN,
    as_look,
    dense_windows,
    interleaved,
    surer,
    unsure,
)

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def fingerprint(*offsets, signal_type="pdq", mark=0):
    n = len(offsets)
    codes = np.full((n, 32), mark, np.uint8)
    quality = np.full(n, 100, np.uint8)
    return Fingerprint(signal_type, "test", codes, np.array(offsets, float), np.zeros(n), quality)


def match(name, score, *pairs):
    bank = Bank("bank_1", "attacks", Action.BLOCK, None, True, NOW)
    reference = Reference(
        name, bank, MediaKind.VIDEO, Digests(), None, None, 9.0, 9, Standing.POSITIVE, True, NOW
    )
    segments = tuple(SegmentPair(Segment(a, b), Segment(a, b)) for a, b in pairs)
    return Match(reference, score, (Signal("pdq", score),), segments)


def look(total, kind=MediaKind.VIDEO):
    return MediaFingerprints(kind, (), Coverage(total, total, 1, 0))


@pytest.mark.parametrize(
    ("offsets", "total", "seconds"),
    [
        ((), 10, 0),
        ((0,), 10, 1),
        ((5,), 10, 2),
        ((0, 2, 4), 5, 5),
        ((0, 9), 9.5, 2.5),
        ((3,), 2, 0),
    ],
)
def test_judged_seconds(offsets, total, seconds):
    assert judged_seconds(offsets, total) == pytest.approx(seconds)


def test_hashes_as_a_look():
    sent = fingerprint(0, 1, 2, 3)
    made = as_look([sent], [sent.take([0, 1])], duration_s=20.0)
    assert made.kind is MediaKind.VIDEO
    assert made.coverage == Coverage(4.0, 20.0, 4, 2)
    one = fingerprint(0)
    assert as_look([one], [one]).kind is MediaKind.IMAGE
    assert as_look([one], []).coverage.flat_frames == 1
    assert as_look([], []).coverage.frames == 0


def test_a_whole_videos_hash_looks_at_all_of_it_if_it_counts():
    whole = fingerprint(0, signal_type="videohash")
    assert as_look([whole], [whole], duration_s=30).coverage == Coverage(30, 30, 1, 0)
    assert as_look([whole], [], duration_s=30).coverage.frames == 0


def test_windows_lie_around_the_ends_of_segments():
    found = [match("a", 0.9, (20.0, 60.0)), match("b", 0.5, (61.0, 62.0))]
    windows = dense_windows(found, look(100.0))
    assert [(w.start, w.end) for w in windows] == [
        (20 - MARGIN, 20 + MARGIN),
        (60 - MARGIN, 62 + MARGIN),
    ]
    assert dense_windows(found, look(0.0, MediaKind.IMAGE)) == ()
    assert dense_windows([], look(100.0)) == ()


def test_windows_are_no_longer_than_the_budget():
    found = [match(str(i), 0.9, (i * 20.0, i * 20.0 + 1)) for i in range(50)]
    windows = dense_windows(found, look(1000.0))
    assert 0.8 * DENSE_SECONDS < sum(w.end - w.start for w in windows) <= DENSE_SECONDS


def test_the_dense_looks_codes_stand_for_the_sparse_ones_beside_them():
    (both,) = interleaved([fingerprint(0, 2, 4, 6)], [fingerprint(2.05, 2.2, 3.98, mark=255)])
    assert both.offsets.tolist() == [0, 2.05, 2.2, 3.98, 6]
    assert both.codes[:, 0].tolist() == [0, 255, 255, 255, 0]
    (kept,) = interleaved([fingerprint(0, 2)], [])
    assert kept.offsets.tolist() == [0, 2]


def test_of_two_looks_the_surer_match():
    one, two = match("a", 0.9), match("a", 0.4)
    assert surer([one], [two]) == (one,)
    assert surer([two], [one]) == (one,)
    assert {m.reference.id for m in surer([one], [match("b", 0.1)])} == {"a", "b"}


class TestUnsure:
    SEEN, FLAT = Coverage(9.0, 9.0, 10, 0), Coverage(9.0, 9.0, 10, 6)

    def test_nothing_hit_and_enough_seen_is_sure(self):
        assert not unsure(Action.ALLOW, (), self.SEEN)

    def test_any_hit_is_a_lead(self):
        assert unsure(Action.ALLOW, (match("r", 0.06, (0, 1)),), self.SEEN)
        assert unsure(Action.REVIEW, (match("r", 0.7, (0, 1)),), self.SEEN)

    def test_a_block_needs_no_more(self):
        assert not unsure(Action.BLOCK, (match("r", 0.9, (0, 9)),), self.FLAT)

    def test_a_look_that_hashes_saw_little_of_is_not(self):
        assert unsure(Action.REVIEW, (), self.FLAT)
