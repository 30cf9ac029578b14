"""Pictures are hashed beside decoding, or by who decodes them: what comes of it is the same."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
import pytest

from hashdb.model import MediaKind
from matcher.fingerprint import fingerprint
from matcher.helper import Helper
from matcher.ports import Frame, MediaInfo, Sampling
from tests.films import BOTH, PARTS, UPLOAD, Film, Luma, boxed, film, halves, scene


def test_a_helper_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matcher.fingerprint.AT_ONCE_BYTES", 0)
    opened = film(*(scene(i) for i in range(6)), boxed(scene(7)), halves(120, 160, 90))
    for sampling in (UPLOAD, Sampling(dense=True), replace(UPLOAD, max_frames=3)):
        helper = Helper()
        helper.start()
        alone = fingerprint(opened, PARTS, sampling, BOTH)
        beside = fingerprint(opened, PARTS, sampling, BOTH, helper)
        assert beside.coverage == alone.coverage
        assert len(beside.fingerprints) == len(alone.fingerprints)
        for one, other in zip(beside.fingerprints, alone.fingerprints, strict=True):
            assert one.orientation is other.orientation
            assert np.array_equal(one.codes, other.codes)
            assert np.array_equal(one.offsets, other.offsets)


@pytest.mark.parametrize(
    ("side", "apart", "beside"), [(720, False, True), (720, True, False), (719, False, False)]
)
def test_large_pictures_are_hashed_beside_decoding_where_many_are_decoded(
    side: int, apart: bool, beside: bool
) -> None:
    helper, threads = Helper(), set[int]()
    helper.start()

    def picture(_: int) -> Luma:
        threads.add(threading.get_ident())
        return np.zeros((1, 1, 3), np.uint8)

    one = Frame(0.0, cv2.resize(scene(1), (side, side)), picture=picture, apart=apart)
    opened = Film([one, replace(one, offset=1.0)], MediaInfo(MediaKind.VIDEO, 2.0, 1))
    fingerprint(opened, PARTS, Sampling(dense=False, pictures=2), BOTH, helper)
    assert (threading.get_ident() not in threads) is beside


def test_a_lone_keyframe_does_not_wait_for_what_is_hashed_beside() -> None:
    helper, go, threads = Helper(), threading.Event(), list[int]()
    helper.start()

    def picture(_: int) -> Luma:
        go.wait(5.0)
        threads.append(threading.get_ident())
        return np.zeros((1, 1, 3), np.uint8)

    class Followed(Film):
        def frames(self, sampling: Sampling) -> Iterator[Frame]:
            yield from self.shown
            go.set()

    one = Frame(0.0, cv2.resize(scene(1), (720, 720)), picture=picture)
    shown = [one, replace(one, offset=1.0, apart=True)]
    opened = Followed(shown, MediaInfo(MediaKind.VIDEO, 2.0, 1))
    fingerprint(opened, PARTS, Sampling(dense=False, pictures=2), BOTH, helper)
    assert len(threads) == 2
    assert threading.get_ident() not in threads
