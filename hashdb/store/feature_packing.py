"""References' features at rest: one blob for each track.

Local features, version 1, all little-endian, one array after the other: offsets (f,) f8 in seconds,
counts (f,) u4, sizes (f, 2) u2 in pixels, codes (n, 32) u1, places (n, 4) u2: x, y and diameter in
1/64 pixel, angle in 1/100 degree. `n` is the number of features, and f follows from the length.

Sound, version 1, likewise: seconds f8, times (n,) i4 in 1/20,000 s, pitches (n,) u2, levels (n,)
u1. `n` is the number of peaks.

Motion, beside local features, version 1: the side of a grid u2, offsets (f,) f8, grids
(f, side, side) i1, all but the side deflated (RFC 1950). `n` is f.

Descriptors, version 1, likewise: offsets (n,) f8 in seconds, vectors (n, d) f2. `pipeline` is the
model; d follows from the length.

Where a signal type was looked for and nothing was found there is one row with `n` = 0 and no data,
so that nobody looks for it again.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from sqlalchemy import RowMapping

from hashdb.errors import BadFingerprint, DatabaseUnavailable
from hashdb.model import Descriptors, LocalFeatures, Motion, SoundPeaks

VERSION = 1
MOTION = "motion"
"""What stands in the column `signal_type`; it is none, but comes and goes with `local`."""

_UNITS = np.array([64.0, 64.0, 64.0, 100.0])
_PICTURE, _FEATURE = 8 + 4 + 4, 32 + 8
_TICKS = 20_000  # a second
_LATEST = 2**31 - 1
_PEAK = 4 + 2 + 1


def pack_all(
    local: Iterable[LocalFeatures],
    motion: Iterable[Motion],
    sound: Iterable[SoundPeaks],
    descriptors: Iterable[Descriptors],
) -> list[dict[str, Any]]:
    """The columns of all of them, but of those that are empty. Raises `BadFingerprint`."""
    packed = [pack_local(f) for f in local if len(f.codes)]
    packed += [pack_motion(m) for m in motion if len(m)]
    packed += [pack_sound(s) for s in sound if len(s)]
    packed += [pack_descriptors(d) for d in descriptors if len(d)]
    return packed


def pack_local(features: LocalFeatures) -> dict[str, Any]:
    """The columns of a track's local features; `BadFingerprint` where its arrays do not fit."""
    n, frames = len(features.codes), len(features)
    if features.codes.shape != (n, 32) or features.places.shape != (n, 4):
        raise BadFingerprint("local: codes and places are not one for each feature")
    starts = features.starts
    if (
        len(starts) != frames + 1
        or starts[0] != 0
        or starts[-1] != n
        or (np.diff(starts) < 0).any()
    ):
        raise BadFingerprint("local: pictures and features do not fit together")
    if features.sizes.shape != (frames, 2):
        raise BadFingerprint("local: sizes are not one for each picture")
    places = np.clip(np.rint(features.places * _UNITS), 0, 65535)
    parts = (
        features.offsets.astype("<f8"),
        np.diff(features.starts).astype("<u4"),
        features.sizes.astype("<u2"),
        features.codes.astype("u1"),
        places.astype("<u2"),
    )
    return {
        "signal_type": "local",
        "pipeline": features.pipeline,
        "track": features.track,
        "version": VERSION,
        "n": n,
        "data": b"".join(np.ascontiguousarray(part).tobytes() for part in parts),
    }


def unpack_local(row: RowMapping) -> LocalFeatures:
    """The local features of a row; `DatabaseUnavailable` where it cannot be what was written."""
    n, data = row["n"], bytes(row["data"])
    frames, rest = divmod(len(data) - n * _FEATURE, _PICTURE)
    if row["version"] != VERSION:
        raise DatabaseUnavailable(f"local features have the unknown layout {row['version']}")
    if n < 0 or frames < 0 or rest:
        raise DatabaseUnavailable(f"{n} local features have {len(data)} bytes")
    counts = np.frombuffer(data, "<u4", frames, offset=8 * frames)
    if int(counts.sum()) != n:
        raise DatabaseUnavailable(f"{n} local features lie in pictures of {int(counts.sum())}")
    after = _PICTURE * frames
    places = np.frombuffer(data, "<u2", 4 * n, offset=after + 32 * n).reshape(n, 4)
    return LocalFeatures(
        pipeline=row["pipeline"],
        offsets=np.frombuffer(data, "<f8", frames).astype(np.float64),
        starts=np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64),
        sizes=np.frombuffer(data, "<u2", 2 * frames, offset=12 * frames)
        .reshape(frames, 2)
        .astype(np.uint16),
        codes=np.frombuffer(data, "u1", 32 * n, offset=after).reshape(n, 32).copy(),
        places=(places / _UNITS).astype(np.float32),
        track=row["track"],
    )


def pack_motion(motion: Motion) -> dict[str, Any]:
    """The columns of a track's motion; `BadFingerprint` where its arrays do not fit."""
    frames, side = len(motion), motion.grids.shape[-1]
    if motion.grids.shape != (frames, side, side) or motion.grids.dtype != np.int8:
        raise BadFingerprint("motion: grids are not one for each picture")
    data = motion.offsets.astype("<f8").tobytes() + np.ascontiguousarray(motion.grids).tobytes()
    return {
        "signal_type": MOTION,
        "pipeline": "",
        "track": motion.track,
        "version": VERSION,
        "n": frames,
        "data": struct.pack("<H", side) + zlib.compress(data),
    }


def unpack_motion(row: RowMapping) -> Motion:
    """The motion of a row; `DatabaseUnavailable` where it cannot be what was written."""
    n, data = row["n"], bytes(row["data"])
    if row["version"] != VERSION:
        raise DatabaseUnavailable(f"motion has the unknown layout {row['version']}")
    try:
        (side,) = struct.unpack_from("<H", data)
        size = max(0, n) * (8 + side * side)
        inflater = zlib.decompressobj()
        inflated = inflater.decompress(data[2:], size + 1)
    except (struct.error, zlib.error) as error:
        raise DatabaseUnavailable(f"motion cannot be read: {error}") from None
    if n < 0 or len(inflated) != size or not inflater.eof:
        raise DatabaseUnavailable(f"motion of {n} pictures has {len(inflated)} bytes")
    return Motion(
        offsets=np.frombuffer(inflated, "<f8", n).astype(np.float64),
        grids=np.frombuffer(inflated, "i1", n * side * side, offset=8 * n)
        .reshape(n, side, side)
        .copy(),
        track=row["track"],
    )


def pack_sound(peaks: SoundPeaks) -> dict[str, Any]:
    """The columns of a track's peaks; `BadFingerprint` where its arrays do not fit."""
    n = len(peaks)
    if not peaks.times.shape == peaks.pitches.shape == peaks.levels.shape == (n,):
        raise BadFingerprint("sound: pitches and levels are not one for each time")
    if not (np.isfinite(peaks.times).all() and np.isfinite(peaks.seconds)):
        raise BadFingerprint("sound: times are finite seconds")
    ticks = np.clip(np.rint(peaks.times * _TICKS), -_LATEST, _LATEST)
    parts = (
        np.array([peaks.seconds], dtype="<f8"),
        ticks.astype("<i4"),
        peaks.pitches.astype("<u2"),
        peaks.levels.astype("u1"),
    )
    return {
        "signal_type": "sound",
        "pipeline": peaks.pipeline,
        "track": peaks.track,
        "version": VERSION,
        "n": n,
        "data": b"".join(part.tobytes() for part in parts),
    }


def unpack_sound(row: RowMapping) -> SoundPeaks:
    """The peaks of a row; `DatabaseUnavailable` where it cannot be what was written."""
    n, data = row["n"], bytes(row["data"])
    if row["version"] != VERSION:
        raise DatabaseUnavailable(f"peaks of sound have the unknown layout {row['version']}")
    if n < 0 or len(data) != 8 + _PEAK * n:
        raise DatabaseUnavailable(f"{n} peaks of sound have {len(data)} bytes")
    return SoundPeaks(
        pipeline=row["pipeline"],
        times=np.frombuffer(data, "<i4", n, offset=8) / _TICKS,
        pitches=np.frombuffer(data, "<u2", n, offset=8 + 4 * n).astype(np.uint16),
        levels=np.frombuffer(data, "u1", n, offset=8 + 6 * n).copy(),
        track=row["track"],
        seconds=float(np.frombuffer(data, "<f8", 1)[0]),
    )


def pack_descriptors(descriptors: Descriptors) -> dict[str, Any]:
    """The columns of a track's descriptors; `BadFingerprint` where its arrays do not fit."""
    n, vectors = len(descriptors), descriptors.vectors
    if vectors.ndim != 2 or len(vectors) != n or not vectors.shape[1]:
        raise BadFingerprint("neural: there is not one vector for each offset")
    if not (np.isfinite(vectors).all() and np.isfinite(descriptors.offsets).all()):
        raise BadFingerprint("neural: a vector or an offset is not finite")
    parts = (descriptors.offsets.astype("<f8"), vectors.astype("<f2"))
    return {
        "signal_type": "neural",
        "pipeline": descriptors.model,
        "track": descriptors.track,
        "version": VERSION,
        "n": n,
        "data": b"".join(part.tobytes() for part in parts),
    }


def unpack_descriptors(row: RowMapping) -> Descriptors:
    """The descriptors of a row; `DatabaseUnavailable` where it cannot be what was written."""
    n, data = row["n"], bytes(row["data"])
    if row["version"] != VERSION:
        raise DatabaseUnavailable(f"descriptors have the unknown layout {row['version']}")
    wide, rest = divmod(len(data) - 8 * n, 2 * n) if n > 0 else (0, 1)
    if wide < 1 or rest:
        raise DatabaseUnavailable(f"{n} descriptors have {len(data)} bytes")
    return Descriptors(
        model=row["pipeline"],
        offsets=np.frombuffer(data, "<f8", n).astype(np.float64),
        vectors=np.frombuffer(data, "<f2", n * wide, offset=8 * n)
        .reshape(n, wide)
        .astype(np.float16),
        track=row["track"],
    )


def pack_nothing(signal_type: str, model: str = "") -> dict[str, Any]:
    """The columns that say that the signal type was looked for in vain; `neural` with a `model`."""
    return {
        "signal_type": signal_type,
        "pipeline": model,
        "track": 0,
        "version": VERSION,
        "n": 0,
        "data": b"",
    }
