"""What goes between the service and its child: requests as JSON, answers as JSON and plain arrays.

No pickle. The child has touched hostile media, so its answer is checked as hostile input: kinds,
shapes, lengths and ranges, and nothing is run that it sends.

An answer: `<IQ` lengths of head and body, the head (JSON, UTF-8), the body (arrays, little-endian,
one after the other).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashdb.model import (
    Coverage,
    Fingerprint,
    Grey,
    LocalFeatures,
    MediaFingerprints,
    MediaKind,
    Motion,
    Orientation,
    Pictures,
    Rendering,
    SoundPeaks,
    Strand,
    View,
)
from hashdb.signals import SIGNAL_TYPES
from matcher.ports import PEAKS_PER_S, Sampling, Window

FRAME = struct.Struct("<IQ")
ALL = b"a"
"""What the service sends where the pictures that were set aside are wanted too."""

LONGEST_HEAD = 1 << 24
_MOST_FRAMES = 50_000_000
_MOST_PICTURES = 4096
_LONGEST_S = 1e12
_MOST_SOUNDS = 100
_MOST_STRANDS = 8
_MOST_LISTED = 10_000
_LEAST_SIDE, _MOST_SIDE = 8, 4096
_LONGEST_SOUND_S = 1e6
_FINEST = 64


class BadAnswer(Exception):
    """What the child sent is no answer."""


def pack_request(sampling: Sampling, signal_types: Sequence[str]) -> bytes:
    """The request as JSON; the open file goes beside it."""
    return json.dumps({"sampling": asdict(sampling), "signal_types": list(signal_types)}).encode()


def unpack_request(text: bytes) -> tuple[Sampling, tuple[str, ...]]:
    """What `pack_request` packed."""
    body = json.loads(text)
    given = dict(body["sampling"])
    given["windows"] = tuple(Window(**w) for w in given["windows"])
    return Sampling(**given), tuple(body["signal_types"])


def pack_whole_video(media_format: str, duration: float) -> bytes:
    """The request to a child that runs the videohash package."""
    return json.dumps({"format": media_format, "duration": duration}).encode()


def unpack_whole_video(text: bytes) -> tuple[str, float]:
    """What `pack_whole_video` packed."""
    body = json.loads(text)
    return str(body["format"]), float(body["duration"])


def pack_answer(
    answer: MediaFingerprints, media_format: str, *, part: bool = False, waits: bool = False
) -> tuple[bytes, bytes]:
    """Head and body of a good answer; of a `part`, after which others come and the answer last.
    `waits`: pictures were set aside, whose features another answer has if they are wanted."""
    head: dict[str, Any] = {
        "part": part,
        "waits": waits,
        "kind": answer.kind.value,
        "format": media_format,
        "coverage": asdict(answer.coverage),
        "fingerprints": [_fingerprint_head(one) for one in answer.fingerprints],
        "pictures": [list(p.shape) for p in answer.pictures],
        "local": [_local_head(one) for one in answer.local],
        "motion": [[m.track, *m.grids.shape, m.usual is not None] for m in answer.motion],
        "sound": [_sound_head(one) for one in answer.sound],
        "to_describe": [[*some.pixels.shape[:2], some.track] for some in answer.to_describe],
        "strands": [[one.track, len(one.offsets), one.seconds] for one in answer.strands],
        "greys": [[*one.luma.shape, one.track, one.offset] for one in answer.greys],
    }
    return json.dumps(head).encode(), b"".join(_parts(answer))


def _parts(answer: MediaFingerprints) -> Iterator[bytes | memoryview]:
    """The body's arrays, in the order of the head."""
    for one in answer.fingerprints:
        yield np.ascontiguousarray(one.codes, dtype=np.uint8).tobytes()
        yield one.offsets.astype("<f8").tobytes()
        yield one.spans.astype("<f8").tobytes()
        yield one.quality.astype(np.uint8).tobytes()
        if one.boxes is not None:
            yield np.ascontiguousarray(one.boxes, dtype=np.uint8).tobytes()
    for picture in answer.pictures:
        yield np.ascontiguousarray(picture, dtype=np.uint8).tobytes()
    for local in answer.local:
        yield local.offsets.astype("<f8").tobytes()
        yield np.diff(local.starts).astype("<u4").tobytes()
        yield local.sizes.astype("<u2").tobytes()
        yield np.ascontiguousarray(local.codes, dtype=np.uint8).tobytes()
        yield local.places.astype("<f4").tobytes()
    for motion in answer.motion:
        yield motion.offsets.astype("<f8").tobytes()
        yield np.ascontiguousarray(motion.grids, dtype=np.int8).tobytes()
        if motion.usual is not None:
            yield np.ascontiguousarray(motion.usual, dtype=np.uint8).tobytes()
    for sound in answer.sound:
        yield sound.times.astype("<f8").tobytes()
        yield sound.pitches.astype("<u2").tobytes()
        yield sound.levels.astype(np.uint8).tobytes()
    for some in answer.to_describe:
        yield some.offsets.astype("<f8").tobytes()
        # joined without another copy: they may be a tenth of the child's memory
        yield np.ascontiguousarray(some.pixels, dtype=np.uint8).data.cast("B")
    for strand in answer.strands:
        yield strand.offsets.astype("<f8").tobytes()
        yield strand.moments.astype("<f8").tobytes()
    for grey in answer.greys:
        yield np.ascontiguousarray(grey.luma, dtype=np.uint8).tobytes()


def _fingerprint_head(one: Fingerprint) -> dict[str, Any]:
    return {
        "signal_type": one.signal_type,
        "pipeline": one.pipeline,
        "rows": len(one),
        "track": one.track,
        "view": one.view.value,
        "orientation": one.orientation.value,
        "boxes": one.boxes is not None,
    }


def _local_head(one: LocalFeatures) -> dict[str, Any]:
    return {
        "pipeline": one.pipeline,
        "pictures": len(one),
        "rows": len(one.codes),
        "track": one.track,
        "rendering": one.rendering.value,
    }


def _sound_head(one: SoundPeaks) -> dict[str, Any]:
    return {
        "pipeline": one.pipeline,
        "rows": len(one),
        "track": one.track,
        "seconds": one.seconds,
    }


def pack_problem(kind: str, text: str) -> tuple[bytes, bytes]:
    """Head and body of an answer that says why there is none; `kind` names one of our errors."""
    return json.dumps({"problem": kind, "text": text[:2000]}).encode(), b""


def unpack_head(head: bytes) -> dict[str, Any]:
    """Raises `BadAnswer` where it is not a JSON object."""
    try:
        body = json.loads(head)
    except ValueError:
        raise BadAnswer("the head is not JSON") from None
    if not isinstance(body, dict):
        raise BadAnswer("the head is not an object")
    return body


class _Body:
    """The arrays, taken one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        count = int(np.prod(shape, dtype=object))
        size = count * np.dtype(dtype).itemsize
        if count < 0 or self._at + size > len(self._data):
            raise BadAnswer("the body is too short")
        flat = np.frombuffer(self._data, dtype=dtype, count=count, offset=self._at)
        self._at += size
        return flat.reshape(shape).copy()

    def end(self) -> None:
        if self._at != len(self._data):
            raise BadAnswer("the body is too long")


def unpack_answer(head: dict[str, Any], body: bytes) -> MediaFingerprints:
    """Raises `BadAnswer` where anything is not as it must be."""
    rest = _Body(body)
    try:
        kind = MediaKind(head["kind"])
        coverage = _coverage(head["coverage"])
        listed = head["fingerprints"]
        pictures = head["pictures"]
        if not isinstance(listed, list) or len(listed) > _MOST_LISTED:
            raise BadAnswer("too many fingerprints")
        if not isinstance(pictures, list) or len(pictures) > _MOST_PICTURES:
            raise BadAnswer("too many pictures")
        fingerprints = tuple(_fingerprint(one, rest) for one in listed)
        shown = tuple(_picture(shape, rest) for shape in pictures)
        for name in ("local", "motion"):
            if not isinstance(head[name], list) or len(head[name]) > _MOST_LISTED:
                raise BadAnswer(f"too much of {name}")
        local = tuple(_local(one, rest) for one in head["local"])
        motion = tuple(_motion(one, rest) for one in head["motion"])
        if not isinstance(head["sound"], list) or len(head["sound"]) > _MOST_SOUNDS:
            raise BadAnswer("too many sounds")
        sound = tuple(_sound(one, rest) for one in head["sound"])
        if not isinstance(head["to_describe"], list) or len(head["to_describe"]) > 1000:
            raise BadAnswer("too many tracks of pictures")
        to_describe = tuple(_pictures(shape, rest) for shape in head["to_describe"])
        if not isinstance(head["strands"], list) or len(head["strands"]) > _MOST_STRANDS:
            raise BadAnswer("too many strands")
        strands = tuple(_strand(shape, rest) for shape in head["strands"])
        if not isinstance(head["greys"], list) or len(head["greys"]) > _MOST_LISTED:
            raise BadAnswer("too many grey pictures")
        greys = tuple(_grey(shape, rest) for shape in head["greys"])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BadAnswer(f"a field is missing or wrong: {error!r}") from None
    rest.end()
    return MediaFingerprints(
        kind, fingerprints, coverage, shown, local, sound, motion, to_describe, strands, greys
    )


def _whole(value: object, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise BadAnswer(f"{value!r} is out of range")
    return value


def _seconds(value: object) -> float:
    if not isinstance(value, int | float) or not 0 <= value <= _LONGEST_S:
        raise BadAnswer(f"{value!r} is out of range")
    return float(value)


def _coverage(body: dict[str, Any]) -> Coverage:
    return Coverage(
        judged_s=_seconds(body["judged_s"]),
        total_s=_seconds(body["total_s"]),
        frames=_whole(body["frames"], _MOST_FRAMES),
        flat_frames=_whole(body["flat_frames"], _MOST_FRAMES),
        truncated=bool(body["truncated"]),
    )


def _fingerprint(body: dict[str, Any], rest: _Body) -> Fingerprint:
    signal = SIGNAL_TYPES[body["signal_type"]]
    rows = _whole(body["rows"], _MOST_FRAMES)
    pipeline = body["pipeline"]
    if not isinstance(pipeline, str) or len(pipeline) > 100:
        raise BadAnswer("no pipeline")
    codes = rest.take((rows, signal.bits // 8), "u1")
    offsets, spans = rest.take((rows,), "<f8"), rest.take((rows,), "<f8")
    quality = rest.take((rows,), "u1")
    boxes = rest.take((rows, 4), "u1") if body["boxes"] is True else None
    times = np.concatenate([offsets, spans])
    if not (np.isfinite(times).all() and (times >= 0).all() and (times <= _LONGEST_S).all()):
        raise BadAnswer("times are out of range")
    if rows and quality.max() > 100:
        raise BadAnswer("quality is out of range")
    return Fingerprint(
        signal_type=signal.name,
        pipeline=pipeline,
        codes=codes,
        offsets=offsets.astype(np.float64),
        spans=spans.astype(np.float64),
        quality=quality,
        track=_whole(body["track"], 1000),
        view=View(body["view"]),
        orientation=Orientation(body["orientation"]),
        boxes=boxes,
    )


def _local(body: dict[str, Any], rest: _Body) -> LocalFeatures:
    pictures, rows = _whole(body["pictures"], _MOST_FRAMES), _whole(body["rows"], _MOST_FRAMES)
    pipeline = body["pipeline"]
    if not isinstance(pipeline, str) or len(pipeline) > 100:
        raise BadAnswer("no pipeline")
    offsets = rest.take((pictures,), "<f8").astype(np.float64)
    starts = np.concatenate([[0], np.cumsum(rest.take((pictures,), "<u4"), dtype=np.int64)])
    sizes = rest.take((pictures, 2), "<u2").astype(np.uint16)
    codes = rest.take((rows, 32), "u1")
    places = rest.take((rows, 4), "<f4").astype(np.float32)
    if int(starts[-1]) != rows or not (offsets >= 0).all() or not (offsets <= _LONGEST_S).all():
        raise BadAnswer("local features that do not fit together")
    if not np.isfinite(places).all() or (rows and places[:, 2].min() <= 0):
        raise BadAnswer("places are out of range")
    return LocalFeatures(
        pipeline,
        offsets,
        starts.astype(np.int64),
        sizes,
        codes,
        places,
        _whole(body["track"], 1000),
        Rendering(body["rendering"]),
    )


def _motion(shape: object, rest: _Body) -> Motion:
    if not isinstance(shape, list) or len(shape) != 5 or shape[2] != shape[3]:
        raise BadAnswer("no motion")
    pictures, side = _whole(shape[1], _MOST_FRAMES), _whole(shape[2], _FINEST)
    offsets = rest.take((pictures,), "<f8").astype(np.float64)
    if not (
        (offsets >= 0).all() and (offsets <= _LONGEST_S).all() and (np.diff(offsets) > 0).all()
    ):
        raise BadAnswer("motion's times are out of range")
    grids = rest.take((pictures, side, side), "i1")
    usual = rest.take((side, side), "u1") if shape[4] is True else None
    return Motion(offsets, grids, _whole(shape[0], 1000), usual)


def _sound(body: dict[str, Any], rest: _Body) -> SoundPeaks:
    rows, seconds = _whole(body["rows"], _MOST_FRAMES), _seconds(body["seconds"])
    pipeline = body["pipeline"]
    if not isinstance(pipeline, str) or len(pipeline) > 100:
        raise BadAnswer("no pipeline")
    times = rest.take((rows,), "<f8").astype(np.float64)
    pitches, levels = rest.take((rows,), "<u2"), rest.take((rows,), "u1")
    if seconds > _LONGEST_SOUND_S or not (np.abs(times) <= _LONGEST_SOUND_S).all():
        raise BadAnswer("times are out of range")
    if (np.diff(times) < 0).any():
        raise BadAnswer("times do not rise")
    # So many in one second of the clock are so many more in any; the search's cost hangs on it.
    most = 2 * PEAKS_PER_S
    if (times[most:] - times[:-most] < 1.0).any() or rows > PEAKS_PER_S * (seconds + 2):
        raise BadAnswer("more peaks than a sound has")
    return SoundPeaks(
        pipeline, times, pitches.astype(np.uint16), levels, _whole(body["track"], 1000), seconds
    )


def _pictures(shape: object, rest: _Body) -> Pictures:
    if not isinstance(shape, list) or len(shape) != 3:
        raise BadAnswer("no pictures")
    count, side = _whole(shape[0], 1_000_000), _whole(shape[1], _MOST_SIDE)
    offsets = rest.take((count,), "<f8").astype(np.float64)
    if not count or side < _LEAST_SIDE:
        raise BadAnswer("no pictures")
    if not (
        (offsets >= 0).all() and (offsets <= _LONGEST_S).all() and (np.diff(offsets) > 0).all()
    ):
        raise BadAnswer("times are out of range, or do not rise")
    return Pictures(offsets, rest.take((count, side, side, 3), "u1"), _whole(shape[2], 1000))


def _strand(shape: object, rest: _Body) -> Strand:
    if not isinstance(shape, list) or len(shape) != 3:
        raise BadAnswer("no strand")
    track, count, seconds = _whole(shape[0], 1000), _whole(shape[1], _MOST_FRAMES), shape[2]
    offsets, moments = (rest.take((count,), "<f8").astype(np.float64) for _ in range(2))
    for times in (offsets, moments):
        if not ((times >= 0).all() and (times <= _LONGEST_S).all() and (np.diff(times) > 0).all()):
            raise BadAnswer("a strand's times are out of range, or do not rise")
    return Strand(track, offsets, moments, _seconds(seconds))


def _grey(shape: object, rest: _Body) -> Grey:
    if not isinstance(shape, list) or len(shape) != 4:
        raise BadAnswer("no grey picture")
    height, width = (_whole(side, _MOST_SIDE) for side in shape[:2])
    if min(height, width) < _LEAST_SIDE:
        raise BadAnswer("a grey picture without a pixel")
    luma = rest.take((height, width), "u1")
    return Grey(luma, _whole(shape[2], 1000), _seconds(shape[3]))


def _picture(shape: object, rest: _Body) -> NDArray[np.uint8]:
    if not isinstance(shape, list) or len(shape) != 3 or shape[2] != 3:
        raise BadAnswer("no picture")
    sides = (_whole(shape[0], 4096), _whole(shape[1], 4096), 3)
    return rest.take(sides, "u1")
