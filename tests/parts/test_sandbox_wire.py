"""What a child answers is checked as hostile input."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from hashdb.model import (
    Coverage,
    Fingerprint,
    Grey,
    MediaFingerprints,
    MediaKind,
    Motion,
    Orientation,
    Pictures,
    SoundPeaks,
    Strand,
    View,
)
from matcher import wire
from matcher.ports import PEAKS_PER_S, Sampling, Window


def answer() -> MediaFingerprints:
    one = Fingerprint(
        signal_type="pdq",
        pipeline="pdq-luma-1",
        codes=np.arange(96, dtype=np.uint8).reshape(3, 32),
        offsets=np.array([0.0, 0.5, 1.0]),
        spans=np.array([0.1, 0.0, 0.2]),
        quality=np.array([100, 60, 51], dtype=np.uint8),
        track=1,
        view=View.TRIMMED,
        orientation=Orientation.FLIP_PLUS,
    )
    picture = np.full((224, 224, 3), 7, dtype=np.uint8)
    peaks = SoundPeaks(
        "peaks-1",
        np.array([-0.25, 1.5, 1.5, 9.0]),
        np.array([3, 7, 519, 65_535], dtype=np.uint16),
        np.array([6, 255, 9, 7], dtype=np.uint8),
        track=2,
        seconds=9.5,
    )
    pixels = np.arange(2 * 16 * 16 * 3, dtype=np.uint8).reshape(2, 16, 16, 3)
    shown = Pictures(np.array([0.5, 1.5]), pixels, 1)
    coverage = Coverage(1.0, 2.0, 3, 0, True)
    grids = np.arange(-64, 64, dtype=np.int8).reshape(2, 8, 8)
    motion = Motion(np.array([0.5, 0.75]), grids, track=1)
    strand = Strand(1, np.array([0.5, 1.75]), np.array([0.0, 0.25]), 1.5)
    return MediaFingerprints(
        MediaKind.VIDEO,
        (one,),
        coverage,
        (picture,),
        (),
        (peaks,),
        (motion,),
        (shown,),
        (strand,),
        (Grey(np.arange(72, dtype=np.uint8).reshape(8, 9), 2, 1.5),),
    )


def test_the_usual_brightness_goes_with_what_moves_where_it_is_known():
    usual = np.arange(64, dtype=np.uint8).reshape(8, 8)
    sent = answer()
    for given in (None, usual):
        motion = replace(sent.motion[0], usual=given)
        head, body = wire.pack_answer(replace(sent, motion=(motion,)), "avi")
        (got,) = wire.unpack_answer(wire.unpack_head(head), body).motion
        assert np.array_equal(got.grids, motion.grids)
        assert (got.usual is None) is (given is None)
        assert given is None or np.array_equal(got.usual, given)


@pytest.mark.parametrize("waits", [True, False])
def test_an_answer_says_whether_pictures_wait(waits: bool):
    head, _ = wire.pack_answer(answer(), "avi", waits=waits)
    assert wire.unpack_head(head)["waits"] is waits


def test_there_and_back():
    head, body = wire.pack_answer(answer(), "avi")
    said = wire.unpack_head(head)
    found = wire.unpack_answer(said, body)
    sent = answer().fingerprints[0]
    got = found.fingerprints[0]
    assert said["format"] == "avi"
    assert (found.kind, found.coverage) == (MediaKind.VIDEO, Coverage(1.0, 2.0, 3, 0, True))
    for name in ("signal_type", "pipeline", "track", "view", "orientation"):
        assert getattr(got, name) == getattr(sent, name)
    for name in ("codes", "offsets", "spans", "quality"):
        assert np.array_equal(getattr(got, name), getattr(sent, name))
    assert np.array_equal(found.pictures[0], answer().pictures[0])
    (moved,), (said_motion,) = found.motion, answer().motion
    assert moved.track == 1
    for name in ("offsets", "grids"):
        assert np.array_equal(getattr(moved, name), getattr(said_motion, name))
        assert getattr(moved, name).dtype == getattr(said_motion, name).dtype
    (shown,), (said_shown,) = found.to_describe, answer().to_describe
    assert shown.track == 1
    assert np.array_equal(shown.offsets, said_shown.offsets)
    assert np.array_equal(shown.pixels, said_shown.pixels)
    (strand,) = found.strands
    assert (strand.track, strand.seconds) == (1, 1.5)
    assert strand.offsets.tolist() == [0.5, 1.75]
    assert strand.moments.tolist() == [0.0, 0.25]
    (grey,) = found.greys
    assert grey.luma.tolist() == answer().greys[0].luma.tolist()
    assert (grey.track, grey.offset) == (2, 1.5)
    (heard,), (said_peaks,) = found.sound, answer().sound
    assert (heard.pipeline, heard.track, heard.seconds) == ("peaks-1", 2, 9.5)
    for name in ("times", "pitches", "levels"):
        assert np.array_equal(getattr(heard, name), getattr(said_peaks, name))
        assert getattr(heard, name).dtype == getattr(said_peaks, name).dtype


def test_boxes_of_panes_there_and_back():
    boxes = np.arange(12, dtype=np.uint8).reshape(3, 4)
    one = replace(answer().fingerprints[0], view=View.PANE_2, boxes=boxes)
    sent = replace(answer(), fingerprints=(one, *answer().fingerprints))
    head, body = wire.pack_answer(sent, "avi")
    pane, whole = wire.unpack_answer(wire.unpack_head(head), body).fingerprints
    assert pane.boxes is not None
    assert np.array_equal(pane.boxes, boxes)
    assert np.array_equal(pane.codes, one.codes)
    assert whole.boxes is None


def test_requests_there_and_back():
    sampling = Sampling(dense=True, windows=(Window(1.5, 2.5),), pictures=3, seconds=9.0)
    assert wire.unpack_request(wire.pack_request(sampling, ("pdq",))) == (sampling, ("pdq",))


def changed(**fields: object) -> dict[str, object]:
    said = wire.unpack_head(wire.pack_answer(answer(), "avi")[0])
    for way, value in fields.items():
        *parents, last = way.split("__")
        at = said
        for key in parents:
            at = at[int(key) if key.isdigit() else key]
        at[last] = value
    return said


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "song"},
        {"kind": None},
        {"coverage": None},
        {"coverage__judged_s": -1},
        {"coverage__judged_s": float("nan")},
        {"coverage__total_s": "9"},
        {"coverage__frames": 1.5},
        {"coverage__frames": 10**12},
        {"fingerprints": {}},
        {"fingerprints": [3]},
        {"fingerprints": [{}] * 20_000},
        {"fingerprints__0__rows": -1},
        {"fingerprints__0__boxes": True},
        {"fingerprints__0__rows": 2},
        {"fingerprints__0__rows": 4},
        {"fingerprints__0__rows": 10**15},
        {"fingerprints__0__rows": True},
        {"fingerprints__0__signal_type": "nonsense"},
        {"fingerprints__0__signal_type": "phash"},
        {"fingerprints__0__pipeline": 5},
        {"fingerprints__0__view": "sideways"},
        {"fingerprints__0__orientation": ""},
        {"fingerprints__0__track": -1},
        {"pictures": [[224, 224]]},
        {"pictures": [[224, 224, 4]]},
        {"pictures": [[10**9, 10**9, 3]]},
        {"pictures": [[-224, -224, 3]]},
        {"pictures": []},
        {"local": None},
        {"local": [{}] * 10_001},
        {"motion": None},
        {"motion": [[1, 0, 8, 8, False]] * 10_001},
        {"motion": [[1, 2, 8]]},
        {"motion": [[1, 2, 8, 9, False]]},
        {"motion": [[1, 3, 8, 8, False]]},
        {"motion": [[1, 1, 8, 8, False]]},
        {"motion": [[1, -2, 8, 8, False]]},
        {"motion": [[-1, 2, 8, 8, False]]},
        {"motion": [[1, 2, 65, 65, False]]},
        {"motion": []},
        {"sound": None},
        {"sound": {}},
        {"sound": [{}]},
        {"sound": [{}] * 101},
        {"sound": []},
        {"sound__0__rows": 3},
        {"sound__0__rows": 5},
        {"sound__0__rows": 10**15},
        {"sound__0__rows": -1},
        {"sound__0__pipeline": None},
        {"sound__0__pipeline": "p" * 101},
        {"sound__0__track": -1},
        {"sound__0__track": "0"},
        {"sound__0__seconds": -1},
        {"sound__0__seconds": 1e7},
        {"sound__0__seconds": float("nan")},
        {"sound__0__seconds": None},
        {"to_describe": None},
        {"to_describe": []},
        {"to_describe": [{}]},
        {"to_describe": [[2, 16]]},
        {"to_describe": [[1, 16, 1]]},
        {"to_describe": [[3, 16, 1]]},
        {"to_describe": [[0, 16, 1]]},
        {"to_describe": [[-2, 16, 1]]},
        {"to_describe": [[2, 0, 1]]},
        {"to_describe": [[2, 10**6, 1]]},
        {"to_describe": [[10**15, 16, 1]]},
        {"to_describe": [[2, 16, -1]]},
        {"to_describe": [[2, 16, 1]] * 1001},
        {"strands": None},
        {"strands": []},
        {"strands": [{}]},
        {"strands": [[1, 2]]},
        {"strands": [[1, 1, 1.5]]},
        {"strands": [[1, 3, 1.5]]},
        {"strands": [[1, -2, 1.5]]},
        {"strands": [[-1, 2, 1.5]]},
        {"strands": [[1, 2, -1.5]]},
        {"strands": [[1, 2, "1"]]},
        {"strands": [[1, 2, float("nan")]]},
        {"strands": [[1, 0, 1.5]] * 9},
        {"greys": None},
        {"greys": []},
        {"greys": [{}]},
        {"greys": [[8, 9, 2]]},
        {"greys": [[9, 9, 2, 1.5]]},
        {"greys": [[-8, -9, 2, 1.5]]},
        {"greys": [[1, 72, 2, 1.5]]},
        {"greys": [[8, 9, -1, 1.5]]},
        {"greys": [[8, 9, 2, -1.5]]},
        {"greys": [[8, 9, 2, float("nan")]]},
        {"greys": [[8, 9, 2, "1"]]},
        {"greys": [[10**6, 10**6, 2, 1.5]]},
        {"greys": [[8, 9, 2, 1.5]] * 10_001},
    ],
)
def test_wrong_fields_are_no_answer(fields: dict[str, object]):
    body = wire.pack_answer(answer(), "avi")[1]
    with pytest.raises(wire.BadAnswer):
        wire.unpack_answer(changed(**fields), body)


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_a_short_body_is_no_answer(cut: int):
    head, body = wire.pack_answer(answer(), "avi")
    with pytest.raises(wire.BadAnswer):
        wire.unpack_answer(wire.unpack_head(head), body[:cut])


@pytest.mark.parametrize("at", [96, 96 + 24])
@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 1e300])
def test_absurd_times_are_no_answer(at: int, value: float):
    head, body = wire.pack_answer(answer(), "avi")
    spoiled = body[:at] + np.float64(value).tobytes() + body[at + 8 :]
    with pytest.raises(wire.BadAnswer):
        wire.unpack_answer(wire.unpack_head(head), spoiled)


@pytest.mark.parametrize("head", [b"", b"{", b"[]", b"7", b"\xff\xfe", json.dumps("x").encode()])
def test_heads_that_are_no_object(head: bytes):
    with pytest.raises(wire.BadAnswer):
        wire.unpack_head(head)


def heard(times: np.ndarray, seconds: float = 10.0) -> MediaFingerprints:
    n = len(times)
    peaks = SoundPeaks("p", times, np.zeros(n, np.uint16), np.zeros(n, np.uint8), 0, seconds)
    return MediaFingerprints(MediaKind.VIDEO, (), Coverage(0.0, 9.0, 1, 0), sound=(peaks,))


@pytest.mark.parametrize(
    "times",
    [
        np.array([np.nan]),
        np.array([np.inf]),
        np.array([-np.inf, 1.0]),
        np.array([1e9]),
        np.array([2.0, 1.0]),
        np.full(2 * PEAKS_PER_S + 1, 3.0),
        np.sort(np.tile(np.linspace(0, 9, 500), 3)),
    ],
    ids=["nan", "inf", "-inf", "far", "back", "at once", "many"],
)
def test_absurd_peaks_are_no_answer(times: np.ndarray):
    head, body = wire.pack_answer(heard(times), "avi")
    with pytest.raises(wire.BadAnswer):
        wire.unpack_answer(wire.unpack_head(head), body)


def test_as_many_peaks_as_are_ever_kept_are_an_answer():
    """The most of the end of one second and of the beginning of the next."""
    step = np.linspace(0, 0.01, PEAKS_PER_S)
    times = np.concatenate([0.98 + step, 1.0 + step, 2.98 + step, 3.0 + step])
    head, body = wire.pack_answer(heard(times), "avi")
    assert len(wire.unpack_answer(wire.unpack_head(head), body).sound[0]) == 4 * PEAKS_PER_S


@pytest.mark.parametrize(
    "offsets", [[0.5, 0.5], [1.5, 0.5], [-1.0, 0.5], [0.5, np.nan], [0.5, 1e13]]
)
def test_pictures_at_impossible_times_are_no_answer(offsets: list[float]):
    (shown,) = answer().to_describe
    bad = replace(answer(), to_describe=(replace(shown, offsets=np.array(offsets)),))
    head, body = wire.pack_answer(bad, "avi")
    with pytest.raises(wire.BadAnswer, match="times"):
        wire.unpack_answer(wire.unpack_head(head), body)
