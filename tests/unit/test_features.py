"""Which pictures of a track are described, with a hasher that finds something in all of them."""

from __future__ import annotations

import numpy as np
import pytest

from hashdb.model import Rendering
from matcher.features import (
    LOCAL_DENSE_GAP_S,
    LOCAL_GAP_S,
    LOCAL_MOST,
    QUERY_GAP_S,
    STILL_S,
    GreyWatch,
    LocalLook,
)
from matcher.ports import Frame, FrameFeatures, Sampling, Window

NONE = np.zeros((64, 64), np.uint8)


class Everything:
    pipeline = "test"

    def reference(self, _, *, alone=False):
        return FrameFeatures(
            Rendering.PLAIN, np.zeros((9, 32), np.uint8), np.ones((9, 4), np.float32), 64, 64
        )

    def query(self, luma, *, alone=False):
        return (self.reference(luma),)

    def described(self, grey):
        return self.query(grey)

    def grey(self, luma, described=None):
        return luma


def look_at(sampling, duration, changes, step=1 / 30, at_once=lambda _: False):
    """A whole track, seen; `changes(moment)`: the picture's shade."""
    look = LocalLook(Everything(), 0, sampling, duration)
    for number in range(round(duration / step)):
        offset = number * step
        square = np.full((64, 64), changes(offset), np.float64)
        look.see(Frame(offset, NONE), square, at_once=at_once(offset))
    return look


def seen(sampling, duration, changes, step=1 / 30):
    """The offsets of the pictures that were described."""
    (found,) = look_at(sampling, duration, changes, step).features()
    return found.offsets


REFERENCE, UPLOAD = Sampling(dense=True), Sampling(dense=False)


def slowly(moment):
    return 17 * moment


def fast(moment):
    return 80 * moment % 255


@pytest.mark.parametrize(
    ("sampling", "duration", "changes", "gap"),
    [
        (REFERENCE, 20.0, slowly, LOCAL_GAP_S),
        (REFERENCE, 20.0, fast, LOCAL_GAP_S / 2),
        (REFERENCE, 20.0, lambda _: 9.0, STILL_S),
        (UPLOAD, 60.0, fast, QUERY_GAP_S),
        (UPLOAD, 60.0, lambda _: 9.0, QUERY_GAP_S),
        (UPLOAD, 5.0, slowly, 0.25),
        (UPLOAD, 1800.0, slowly, 1800.0 / LOCAL_MOST),
        (Sampling(dense=False, windows=(Window(0.0, 4.0),)), 4.0, slowly, LOCAL_DENSE_GAP_S),
    ],
    ids=["moving", "racing", "still", "upload", "still upload", "short", "long", "closer"],
)
def test_how_often(sampling, duration, changes, gap):
    steps = np.diff(seen(sampling, duration, changes, step=0.5 if duration > 900 else 1 / 30))
    assert np.median(steps) == pytest.approx(gap, abs=0.04)


def test_a_camera_that_races_for_a_while_is_followed_for_a_while():
    offsets = seen(REFERENCE, 20.0, lambda t: fast(t) if t < 10 else 17 * t)
    assert np.median(np.diff(offsets[offsets < 10])) == pytest.approx(LOCAL_GAP_S / 2, abs=0.04)
    assert np.median(np.diff(offsets[offsets > 10.5])) == pytest.approx(LOCAL_GAP_S, abs=0.04)


ASIDE = Sampling(dense=False, aside=True)


def test_every_other_picture_of_a_short_upload_waits():
    look = look_at(ASIDE, 10.0, slowly)
    assert look.waits
    motion = look.motion()
    (first,) = look.features()
    (rest,) = look.rest()
    assert not look.waits
    every = seen(UPLOAD, 10.0, slowly)
    assert first.offsets.tolist() == every[::2].tolist()
    assert rest.offsets.tolist() == every[1::2].tolist()
    assert motion is not None
    assert motion.offsets.tolist() == every.tolist()


def test_what_is_told_at_once_is_not_told_again_with_the_rest():
    look = look_at(ASIDE, 10.0, slowly)
    assert [len(f) for f in look.part()] == [10]
    assert [len(f) for f in look.rest()] == [10]


def test_a_picture_that_may_be_empty_does_not_wait():
    look = look_at(ASIDE, 10.0, slowly, at_once=lambda offset: offset >= 5)
    assert [len(f) for f in look.features()] == [15]


def test_motion_is_there_where_only_pictures_that_wait_have_features(monkeypatch):
    monkeypatch.setattr(Everything, "query", lambda *_, **__: ())
    assert look_at(ASIDE, 10.0, slowly).motion() is not None


@pytest.mark.parametrize(
    ("sampling", "duration"),
    [
        (UPLOAD, 10.0),
        (ASIDE, 20.0),
        (Sampling(dense=False, aside=True, windows=(Window(0.0, 4.0),)), 4.0),
        (Sampling(dense=True, aside=True), 10.0),
    ],
    ids=["not wanted", "long", "closer", "reference"],
)
def test_where_nothing_waits(sampling, duration):
    assert not look_at(sampling, duration, slowly).waits


def test_motion_is_there_beside_features():
    look = LocalLook(Everything(), 3, REFERENCE, 4.0)
    for number in range(120):
        look.see(Frame(number / 30, NONE), np.full((64, 64), number, np.float64))
    motion = look.motion()
    assert motion is not None
    assert motion.track == 3
    assert motion.grids.shape[1:] == (16, 16)
    assert np.median(np.diff(motion.offsets)) == pytest.approx(0.25, abs=0.04)
    assert LocalLook(Everything(), 0, REFERENCE, 4.0).motion() is None


def test_of_an_image_the_picture_is_kept():
    for alone, sampling, kept in (
        (True, UPLOAD, True),
        (False, UPLOAD, False),
        (True, REFERENCE, False),
    ):
        look = LocalLook(Everything(), 3, sampling, 0.0, alone=alone)
        look.see(Frame(0.0, NONE), np.zeros((64, 64)))
        assert [(grey.track, grey.luma is NONE) for grey in look.greys] == [(3, True)] * kept


@pytest.mark.parametrize("aside", [False, True])
@pytest.mark.parametrize(("seconds", "most"), [(3.0, 7), (10.0, 7), (60.0, 7), (60.0, 100)])
def test_of_a_video_some_pictures_are_kept_that_are_described(seconds, most, aside):
    sampling = Sampling(dense=False, greys=(most + 1) // 2, aside=aside)
    look = look_at(sampling, seconds, lambda at: 90.0 + at)
    kept = [grey.offset for grey in look.greys]
    described = {o for f in (*look.features(), *look.rest()) for o in f.offsets.tolist()}
    assert set(kept) <= described
    assert min(len(described), (most + 1) // 2) <= len(kept) <= most
    assert kept[0] == 0.0
    assert kept[-1] > 0.6 * seconds


def test_tracks_share_what_is_kept_and_slivers_are_not():
    """A sliver has no features, and says nothing of where they are."""
    for tracks, most in ((1, 63), (16, 3)):
        sampling = Sampling(dense=False, greys=32)
        look = LocalLook(Everything(), 0, sampling, 100.0, tracks=tracks)
        for number in range(100):
            look.see(Frame(number * 1.0, NONE), np.full((64, 64), number, np.float64))
        assert (most + 1) // 2 <= len(look.greys) <= most
    look = LocalLook(Everything(), 0, sampling, 100.0)
    for number in range(100):
        look.see(Frame(number * 1.0, NONE[:30]), np.full((64, 64), number, np.float64))
    assert not look.greys


def test_where_every_picture_is_looked_at_some_are_kept():
    watch = GreyWatch(Everything(), 3)
    for number in range(60):
        watch.see(Frame(number / 30, NONE))
    assert [(g.track, round(g.offset, 3)) for g in watch.greys] == [
        (3, round(number / 30, 3)) for number in range(0, 60, 4)
    ]


def test_no_more_of_them_are_kept_than_one_answer_holds():
    watch = GreyWatch(Everything(), 0, tracks=100)
    for number in range(60):
        watch.see(Frame(number, NONE))
    assert [g.offset for g in watch.greys] == [0, 1, 2, 3]
