"""Fingerprints at rest: one blob a fingerprint, not a row a frame.

Version 1, all little-endian, one array after the other: codes (n, bits/8) u1, offsets (n,) f8 and
spans (n,) f8 in seconds, quality (n,) u1. Only upright pictures are kept: the other placings
follow from them, or belong to a query.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from sqlalchemy import RowMapping

from hashdb.errors import BadFingerprint, DatabaseUnavailable
from hashdb.model import Fingerprint, Orientation, View
from hashdb.signals import signal_type

VERSION = 1


def pack(fingerprint: Fingerprint) -> dict[str, Any]:
    """The columns of a fingerprint; `BadFingerprint` where its arrays do not fit together."""
    _check(fingerprint)
    parts = (
        np.ascontiguousarray(fingerprint.codes, dtype="u1"),
        np.ascontiguousarray(fingerprint.offsets, dtype="<f8"),
        np.ascontiguousarray(fingerprint.spans, dtype="<f8"),
        np.ascontiguousarray(fingerprint.quality, dtype="u1"),
    )
    return {
        "signal_type": fingerprint.signal_type,
        "pipeline": fingerprint.pipeline,
        "track": fingerprint.track,
        "view": fingerprint.view.value,
        "version": VERSION,
        "n": len(fingerprint),
        "data": b"".join(part.tobytes() for part in parts),
    }


def unpack(row: RowMapping) -> Fingerprint:
    """The fingerprint of a row's columns.

    `DatabaseUnavailable` where the row cannot be what was written: another layout or length.
    """
    kind, n, data = row["signal_type"], row["n"], bytes(row["data"])
    width = signal_type(kind).bits // 8
    if row["version"] != VERSION:
        raise DatabaseUnavailable(f"a {kind} fingerprint has the unknown layout {row['version']}")
    if n < 0 or len(data) != n * (width + 8 + 8 + 1):
        raise DatabaseUnavailable(f"a {kind} fingerprint of {n} codes has {len(data)} bytes")
    codes = np.frombuffer(data, "u1", n * width).reshape(n, width)
    offsets = np.frombuffer(data, "<f8", n, offset=n * width)
    spans = np.frombuffer(data, "<f8", n, offset=n * (width + 8))
    quality = np.frombuffer(data, "u1", n, offset=n * (width + 16))
    return Fingerprint(
        signal_type=kind,
        pipeline=row["pipeline"],
        codes=codes.copy(),
        offsets=offsets.astype(np.float64),
        spans=spans.astype(np.float64),
        quality=quality.copy(),
        track=row["track"],
        view=View(row["view"]),
    )


def merged(fingerprints: Iterable[Fingerprint]) -> list[Fingerprint]:
    """One fingerprint for each signal type, pipeline, track and view, its codes in the order of
    their offsets. Fingerprints without a code, and those not upright, are left out."""
    groups: dict[tuple[str, str, int, View], list[Fingerprint]] = {}
    for f in fingerprints:
        if len(f) and f.orientation is Orientation.ORIGINAL:
            groups.setdefault((f.signal_type, f.pipeline, f.track, f.view), []).append(f)
    return [_joined(group) for group in groups.values()]


def frames(fingerprints: Iterable[Fingerprint]) -> int:
    """How many frames were kept: codes of the signal type and view that has the most."""
    counts: dict[tuple[str, str, View], int] = {}
    for f in fingerprints:
        key = (f.signal_type, f.pipeline, f.view)
        counts[key] = counts.get(key, 0) + len(f)
    return max(counts.values(), default=0)


def _joined(group: list[Fingerprint]) -> Fingerprint:
    first = group[0]
    if len(group) == 1:
        return first
    for f in group:
        _check(f)
    offsets = np.concatenate([f.offsets for f in group])
    joined = Fingerprint(
        first.signal_type,
        first.pipeline,
        np.concatenate([f.codes for f in group]),
        offsets,
        np.concatenate([f.spans for f in group]),
        np.concatenate([f.quality for f in group]),
        first.track,
        first.view,
    )
    return joined.take(np.argsort(offsets, kind="stable"))


def _check(f: Fingerprint) -> None:
    n, width = len(f.codes), signal_type(f.signal_type).bits // 8
    if f.codes.dtype != np.uint8 or f.codes.shape != (n, width):
        raise BadFingerprint(f"{f.signal_type} codes are uint8 of shape (n, {width})")
    for name, values in (("offsets", f.offsets), ("spans", f.spans), ("quality", f.quality)):
        if values.shape != (n,):
            raise BadFingerprint(f"{f.signal_type}: {name} is not one for each code")
    if not (np.isfinite(f.offsets).all() and np.isfinite(f.spans).all()):
        raise BadFingerprint(f"{f.signal_type}: offsets and spans are finite seconds")
