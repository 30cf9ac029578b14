"""What a child answers is checked as hostile input."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hashdb.model import (
    Coverage,
    Fingerprint,
    MediaFingerprints,
    MediaKind,
    Orientation,
    View,
)
from matcher import wire
from matcher.ports import Sampling, Window


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
    return MediaFingerprints(MediaKind.VIDEO, (one,), Coverage(1.0, 2.0, 3, 0, True), (picture,))


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
