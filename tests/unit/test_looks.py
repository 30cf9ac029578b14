"""Looks at an upload, in numbers."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from hashdb.model import (
    Action,
    Alignment,
    Bank,
    Coverage,
    Digests,
    Fingerprint,
    FrameMatch,
    LocalFeatures,
    Match,
    MediaFingerprints,
    MediaKind,
    Orientation,
    Reference,
    Rendering,
    Segment,
    SegmentPair,
    Signal,
    Standing,
    View,
)
from matcher.align import STILL
from matcher.coverage import judged_seconds
from matcher.looks import (
    BRIEF,
    CLOSER_SECONDS,
    DENSE_SECONDS,
    END_S,
    LONG_S,
    MARGIN,
    SAME_LENGTH_S,
    SURE,
    SURE_MARGIN,
    WHOLE_S,
    all_windows,
    around,
    as_look,
    checking_windows,
    closer_windows,
    dense_windows,
    described_at,
    filling_windows,
    is_as_long,
    is_sparse,
    joined_codes,
    joined_local,
    near,
    outside,
    sure_of_all,
    surer,
    timing_windows,
    unsure,
    woven_windows,
)
from matcher.ports import Window
from matcher.score import UNSURE

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


def test_a_long_sure_match_is_looked_at_again_around_its_inner_ends_only():
    assert dense_windows([match("a", SURE, (0.0, 100.0))], look(100.0)) == ()
    (window,) = dense_windows([match("a", SURE, (0.0, 50.0))], look(100.0))
    assert (window.start, window.end) == (50 - SURE_MARGIN, 50 + SURE_MARGIN)


@pytest.mark.parametrize(
    ("score", "end", "total"), [(SURE - 0.01, 100.0, 100.0), (SURE, LONG_S - 0.1, LONG_S + 2.0)]
)
def test_a_short_or_unsure_match_is_looked_at_again_around_both_ends(score, end, total):
    windows = dense_windows([match("a", score, (0.0, end))], look(total))
    assert windows[0].start == 0.0
    assert windows[-1].end == min(end + MARGIN, total)


@pytest.mark.parametrize(
    ("segment", "total", "again"),
    [
        ((0.0, WHOLE_S), WHOLE_S, False),
        ((END_S, 9.0 - END_S), 9.0, False),
        ((0.0, WHOLE_S - 0.1), WHOLE_S - 0.1, True),
        ((2 * END_S, 9.0), 9.0, True),
        ((0.0, 9.0 - 2 * END_S), 9.0, True),
    ],
)
def test_a_sure_match_of_all_the_upload_is_not_looked_at_again(segment, total, again):
    found = match("a", SURE, segment)
    assert bool(dense_windows([found], look(total))) is again
    assert is_as_long(found, total) is not again
    pair = SegmentPair(found.segments[0].query, Segment(0.0, total + 2 * SAME_LENGTH_S))
    longer = replace(found, segments=(pair,))
    assert dense_windows([longer], look(total))  # at another speed
    assert not is_as_long(longer, total)
    beside = [match("a", SURE, segment), match("b", SURE - 0.01, (0.0, total))]
    assert dense_windows(beside, look(total))  # what is not sure is looked at, whatever else is


@pytest.mark.parametrize(
    ("what", "sure"),
    [
        ({}, True),
        ({"score": SURE - 0.01}, False),
        ({"signal_type": "local"}, False),
        ({"signal_type": "phash"}, False),
        ({"end": 20.0 - 2 * END_S}, False),
        ({"distance": UNSURE + 1}, False),
        ({"groups": (0, 0, 0)}, False),
        ({"groups": (STILL, STILL, 1)}, False),
    ],
)
def test_hashes_are_sure_of_all_of_an_upload(what, sure):
    """Distinct pictures, close ones among them, from end to end; not a scene that stands still."""
    given = {
        "score": SURE, "signal_type": "pdq", "end": 20.0, "distance": UNSURE, "groups": (0, 1, 2)
    } | what  # fmt: skip
    pair = SegmentPair(Segment(0.0, given["end"]), Segment(5.0, 5.0 + given["end"]))
    frames = tuple(
        FrameMatch(float(i), 5.0 + i, given["distance"], group, 0, View.FULL)
        for i, group in enumerate(given["groups"])
    )
    alignment = Alignment(
        "a", given["signal_type"], Orientation.ORIGINAL, (pair,), frames, given["score"]
    )
    found = replace(match("a", 0.99, (0.0, 20.0)), alignments=(alignment,))
    assert sure_of_all(found, 20.0) == ([alignment] if sure else [])


def test_windows_are_no_longer_than_the_budget():
    found = [match(str(i), 0.9, (i * 20.0, i * 20.0 + 1)) for i in range(50)]
    windows = dense_windows(found, look(1000.0))
    assert 0.8 * DENSE_SECONDS < sum(w.end - w.start for w in windows) <= DENSE_SECONDS


def test_the_dense_looks_codes_stand_for_the_sparse_ones_beside_them():
    (both,) = joined_codes([fingerprint(0, 2, 4, 6)], [fingerprint(2.05, 2.2, 3.98, mark=255)])
    assert both.offsets.tolist() == [0, 2.05, 2.2, 3.98, 6]
    assert both.codes[:, 0].tolist() == [0, 255, 255, 255, 0]
    (kept,) = joined_codes([fingerprint(0, 2)], [])
    assert kept.offsets.tolist() == [0, 2]


def test_the_boxes_of_panes_go_with_their_codes():
    def pane(*offsets, mark):
        boxes = np.full((len(offsets), 4), mark, np.uint8)
        return replace(fingerprint(*offsets, mark=mark), view=View.PANE, boxes=boxes)

    (both,) = joined_codes([pane(0, 2, 4, mark=1)], [pane(2.05, 3, mark=9)])
    assert both.boxes is not None
    assert both.boxes[:, 0].tolist() == both.codes[:, 0].tolist() == [1, 9, 9, 1]


def test_of_two_looks_the_surer_match():
    one, two = match("a", 0.9), match("a", 0.4)
    assert surer([one], [two]) == (one,)
    assert surer([two], [one]) == (one,)
    assert {m.reference.id for m in surer([one], [match("b", 0.1)])} == {"a", "b"}


@pytest.mark.parametrize(
    ("moments", "windows"),
    [
        ((), []),
        ((5.0,), [(4.0, 6.0)]),
        ((5.0, 6.0), [(4.0, 7.0)]),
        ((0.3,), [(0.0, 1.3)]),
        ((29.8,), [(28.8, 30.0)]),
        ((5.0, 20.0), [(4.0, 6.0), (19.0, 21.0)]),
        ((5.0, 6.0, 7.0), [(4.0, 8.0)]),
        ((5.0, 6.0, 7.0, 8.0), []),  # seen for long enough
        ((5.0, 6.0, 7.0, 8.0, 15.0), [(14.0, 16.0)]),
        ((15.0, 5.0), [(4.0, 6.0), (14.0, 16.0)]),
    ],
)
def test_brief_sights_are_looked_at_closer(moments, windows):
    found = closer_windows(moments, np.arange(0.0, 30.0), 30.0)
    assert [(w.start, w.end) for w in found] == windows


@pytest.mark.parametrize(
    ("moments", "windows"),
    [
        ((6.0, 8.0, 10.0), [(5.0, 11.0)]),
        ((6.0, 8.0, 10.0, 20.0), [(5.0, 11.0), (19.0, 21.0)]),
        (tuple(np.arange(4.0, 28.0, 2.0)), []),  # more than a closer look goes over
    ],
)
def test_what_was_seen_by_keyframes_alone_is_looked_at_closer(moments, windows):
    found = closer_windows(moments, np.arange(0.0, 30.0, 2.0), 30.0)
    assert [(w.start, w.end) for w in found] == windows


@pytest.mark.parametrize(
    ("moments", "windows"),
    [
        ((), []),
        ((6.0, 8.0, 10.0), [(4.0, 12.0)]),
        ((10.0, 6.0, 8.0), [(4.0, 12.0)]),
        ((0.0,), [(0.0, 2.0)]),
        ((58.0,), [(56.0, 60.0)]),
        ((6.0, 8.0, 12.0), [(4.0, 14.0)]),  # one between shows it not
        ((6.0, 20.0), [(4.0, 8.0), (18.0, 22.0)]),
        (tuple(np.arange(4.0, 50.0, 2.0)), [(2.0, 32.0)]),  # its beginning
        ((4.0, *np.arange(20.0, 50.0, 2.0)), [(2.0, 6.0), (18.0, 44.0)]),
    ],
)
def test_gaps_are_filled_around_what_a_camera_shows_that_stands_still(moments, windows):
    found = filling_windows(moments, np.arange(0.0, 60.0, 2.0), 60.0)
    assert [(w.start, w.end) for w in found] == windows


def test_where_pictures_lie_close_there_are_no_gaps_to_fill():
    assert filling_windows((6.0, 7.0, 8.0), np.arange(0.0, 30.0), 30.0) == ()
    some = np.concatenate([np.arange(0.0, 30.0), np.arange(30.0, 60.0, 2.0)])
    found = filling_windows((6.0, 7.0, 8.0, 40.0), some, 60.0)
    assert [(w.start, w.end) for w in found] == [(38.0, 42.0)]


def test_a_closer_look_has_a_bound():
    moments = np.arange(0, 600, 3 + BRIEF).tolist()
    found = closer_windows(moments, np.arange(0.0, 600.0), 600.0)
    assert 0 < sum(w.end - w.start for w in found) <= CLOSER_SECONDS


@pytest.mark.parametrize(
    ("moments", "windows"),
    [
        ((), []),
        ((7.0,), []),
        ((7.0, 9.5), [(6.0, 30.0)]),
        ((9.5, 0.5), [(0.0, 30.0)]),
    ],
)
def test_what_may_be_woven_in_is_looked_for_where_something_was_seen(moments, windows):
    assert [(w.start, w.end) for w in woven_windows(moments, 30.0)] == windows


def test_the_look_for_what_is_woven_in_has_a_bound():
    (window,) = woven_windows((100.0, 500.0), 600.0)
    assert (window.start, window.end - window.start) == (99.0, DENSE_SECONDS)


@pytest.mark.parametrize(
    ("shown", "windows"),
    [
        ([], []),
        ([[20.0, 21.0]], [(14.0, 27.0)]),
        ([[2.0, 3.0, 38.0]], [(0.0, 30.0)]),  # its beginning
        ([[2.0, 3.0], [4.0, 5.0, 6.0]], [(0.0, 12.0)]),
        ([[2.0, 3.0], [20.0, 30.0, 38.0]], [(14.0, 40.0)]),  # what is shown most often, first
    ],
)
def test_where_places_are_shown_every_picture_is_looked_at(shown, windows):
    found = timing_windows([np.array(each) for each in shown], 40.0)
    assert [(w.start, w.end) for w in found] == windows


@pytest.mark.parametrize(
    ("shown", "middles"),
    [
        ([], []),
        ([[3.0, 2.0], [9.0]], [2.0, 3.0, 9.0]),
        ([[2.0], [4.0, 5.0], [6.0, 7.0, 8.0]], [4.0, 5.0, 6.0, 7.0, 8.0]),  # two places
        ([range(1, 38)], [1.0, 5.0, 9.0, 13.0, 17.0, 21.0, 25.0, 29.0, 33.0, 37.0]),
    ],
)
def test_what_is_doubtful_is_looked_at_around_some_of_its_pictures(shown, middles):
    found = checking_windows([np.array(each, dtype=float) for each in shown], 40.0)
    assert [(w.start + w.end) / 2 for w in found] == pytest.approx(middles)
    assert [w.end - w.start for w in found] == pytest.approx([0.6] * len(middles))


def test_what_is_looked_at_around_doubtful_pictures_lies_in_the_upload():
    found = checking_windows([np.array([0.1, 0.5, 39.9])], 40.0)
    assert [w.start for w in found] == pytest.approx([0.0, 39.6])
    assert [w.end for w in found] == pytest.approx([0.8, 40.0])


def test_every_picture_counts_around_those_that_show_a_place():
    assert around(np.array([4.0, 2.0, 7.0])) == (1.5, 7.5)
    assert around(np.array([4.0, 5.0])) == (3.0, 6.0)


def test_windows_of_several_kinds_are_joined():
    a, b, c = Window(0, 3), Window(2, 5), Window(8, 9)
    assert all_windows((a, c), (b,)) == (Window(0, 5), c)
    assert all_windows((), ()) == ()


def local(*offsets, counts, mark=0, rendering=Rendering.PLAIN):
    n = sum(counts)
    return LocalFeatures(
        "test",
        np.array(offsets, float),
        np.cumsum([0, *counts]),
        np.full((len(offsets), 2), 100 + mark, np.uint16),
        np.full((n, 32), mark, np.uint8),
        np.full((n, 4), mark, np.float32),
        rendering=rendering,
    )


def test_what_lies_outside_of_some_windows_is_told_by_its_moment():
    one = local(0.0, 2.0, 4.0, 6.0, counts=(1, 2, 1, 3))
    (kept,) = outside([one], (Window(1.0, 2.0), Window(5.0, 9.0)))
    assert kept.offsets.tolist() == [0.0, 4.0]
    assert len(kept.codes) == 2
    (none,) = outside([one], (Window(0.0, 6.0),))
    assert none.offsets.tolist() == []


@pytest.mark.parametrize(
    ("looked", "sparse"),
    [([], False), ([3.0], False), ([0.0, 1.0, 2.0], False), ([0.0, 2.0, 4.0], True)],
)
def test_keyframes_two_seconds_apart_are_sparse(looked, sparse):
    assert is_sparse(np.array(looked)) is sparse


def test_it_is_known_of_which_pictures_features_were_taken():
    assert described_at(look(5)).tolist() == []
    both = local(0.0, 2.0, counts=(1, 1)), local(1.0, 2.0, counts=(1, 1))
    assert described_at(replace(look(5), local=both)).tolist() == [0.0, 1.0, 2.0]


def test_pictures_of_two_looks_stand_in_order_and_once():
    sparse = local(0.0, 1.0, 2.0, counts=(1, 2, 3), mark=1)
    dense = local(0.75, 1.0, 1.25, counts=(4, 5, 6), mark=2)
    (both,) = joined_local((sparse,), (dense,))
    assert both.offsets.tolist() == [0.0, 0.75, 1.0, 1.25, 2.0]
    assert np.diff(both.starts).tolist() == [1, 4, 5, 6, 3]
    assert both.sizes[:, 0].tolist() == [101, 102, 102, 102, 101]
    assert both.codes[:, 0].tolist() == [1] + [2] * 15 + [1] * 3
    assert both.places[:, 0].tolist() == [1] + [2] * 15 + [1] * 3


def test_pictures_are_taken_in_the_order_that_is_asked_for():
    counts = np.array([2, 0, 3])
    some = LocalFeatures(
        "made",
        np.array([0.0, 1.0, 2.0]),
        np.concatenate([[0], np.cumsum(counts)]),
        np.array([[4, 3], [5, 3], [6, 3]], np.uint16),
        np.arange(5 * 32, dtype=np.uint8).reshape(5, 32),
        np.arange(20, dtype=np.float32).reshape(5, 4),
    )
    taken = some.take(np.array([2, 0]))
    assert taken.offsets.tolist() == [2.0, 0.0]
    assert taken.starts.tolist() == [0, 3, 5]
    assert taken.sizes.tolist() == [[6, 3], [4, 3]]
    assert taken.codes.tolist() == some.codes[[2, 3, 4, 0, 1]].tolist()
    assert taken.places.tolist() == some.places[[2, 3, 4, 0, 1]].tolist()
    assert some.take(np.arange(3)) is some
    assert len(some.take(np.array([], np.int64)).codes) == 0


def test_renderings_of_two_looks_are_kept_apart():
    sparse = (local(0.0, counts=(1,)), local(0.0, counts=(2,), rendering=Rendering.MIRRORED))
    dense = (local(0.5, counts=(3,), rendering=Rendering.INVERTED),)
    found = {f.rendering: np.diff(f.starts).tolist() for f in joined_local(sparse, dense)}
    assert found == {Rendering.PLAIN: [1], Rendering.MIRRORED: [2], Rendering.INVERTED: [3]}
    assert joined_local((), ()) == ()


class TestUnsure:
    SEEN, FLAT = Coverage(9.0, 9.0, 10, 0), Coverage(9.0, 9.0, 10, 6)

    def test_nothing_hit_and_enough_seen_is_sure(self):
        assert not unsure(Action.ALLOW, (), self.SEEN)

    def test_any_hit_is_a_lead(self):
        assert unsure(Action.ALLOW, (match("r", 0.06, (0, 1)),), self.SEEN)
        assert unsure(Action.REVIEW, (match("r", 0.7, (0, 1)),), self.SEEN)

    def test_a_block_needs_no_more(self):
        assert not unsure(Action.BLOCK, (match("r", 0.9, (0, 9)),), self.FLAT)

    def test_a_block_beside_what_is_allowed_depends_on_where_each_is(self):
        assert unsure(Action.BLOCK, (match("r", 0.9, (0, 9)),), self.SEEN, allowed=True)

    def test_a_look_that_hashes_saw_little_of_is_not(self):
        assert unsure(Action.REVIEW, (), self.FLAT)


def test_the_seconds_that_may_be_filled_are_shared() -> None:
    """Half a minute of one place does not take what is behind it."""
    moments = (*np.arange(4.0, 42.0, 2.0), 50.0, *np.arange(60.0, 100.0, 2.0))
    found = filling_windows(moments, np.arange(0.0, 120.0, 2.0), 120.0)
    assert [(w.start, w.end) for w in found] == [(2.0, 15.0), (48.0, 52.0), (58.0, 71.0)]


def test_of_pictures_further_apart_one_is_enough_to_fill_around_it() -> None:
    found = filling_windows((10.0,), np.arange(0.0, 60.0, 5.0), 60.0)
    assert [(w.start, w.end) for w in found] == [(8.0, 12.0)]


def test_keyframes_beside_a_window_are_near_it() -> None:
    assert near(np.arange(0.0, 30.0, 2.0), Window(9.0, 11.0)).tolist() == [8.0, 10.0, 12.0]
