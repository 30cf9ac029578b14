"""An added line of a partner's feed, into values that a bank can take. Pure."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from hashdb.errors import BadFingerprint
from hashdb.model import Digests, Fingerprint, MediaKind, View
from hashdb.signals import SIGNAL_TYPES, codes_from_hex, meaningful

MAX_TRACK = 63
HEX = {"sha256": re.compile(r"[0-9a-f]{64}"), "md5": re.compile(r"[0-9a-f]{32}")}


@dataclass(frozen=True, slots=True)
class Shared:
    """What an added line carries."""

    kind: MediaKind
    digests: Digests
    fingerprints: tuple[Fingerprint, ...]
    duration_s: float | None


def read_addition(body: dict[str, Any]) -> Shared:
    """An added line's values; signal types and views that this version does not know are passed
    over. Raises `BadFingerprint` where a value is not what docs/exchange.md says, or where nothing
    is left that could match."""
    digests = Digests(sha256=_digest(body, "sha256"), md5=_digest(body, "md5"))
    items = body.get("fingerprints", [])
    if not isinstance(items, list):
        raise BadFingerprint("fingerprints: not a list")
    found = [f for item in items if (f := _fingerprint(item)) is not None and len(f)]
    if len({(f.signal_type, f.pipeline, f.track, f.view) for f in found}) != len(found):
        raise BadFingerprint("two fingerprints of one signal type, pipeline, track and view")
    if digests == Digests() and not found:
        raise BadFingerprint("neither a digest nor a hash that could match")
    try:
        kind = MediaKind(str(body.get("kind")))
    except ValueError:
        raise BadFingerprint(f"kind: {body.get('kind')!r} is neither image nor video") from None
    duration = body.get("duration_s")
    seconds = None if duration is None else _number(duration, "duration_s")
    return Shared(kind, digests, tuple(found), seconds)


def _digest(body: dict[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not HEX[name].fullmatch(value):
        raise BadFingerprint(f"{name}: not lower-case hex of its length")
    return value


def _fingerprint(item: Any) -> Fingerprint | None:
    if not isinstance(item, dict) or not isinstance(item.get("frames"), list):
        raise BadFingerprint("a fingerprint is not an object with a list of frames")
    kind = SIGNAL_TYPES.get(str(item.get("signal_type")))
    if (
        kind is None
        or kind.exact
        or not kind.hashed
        or item.get("view", "full") not in [v.value for v in View if not v.in_part]
    ):
        return None
    pipeline, track = item.get("pipeline"), item.get("track", 0)
    if not isinstance(pipeline, str) or not (0 < len(pipeline) <= 64 and pipeline.isprintable()):
        raise BadFingerprint("pipeline: not printable text of 1 to 64 characters")
    if not isinstance(track, int) or not 0 <= track <= MAX_TRACK:
        raise BadFingerprint(f"track: not a number from 0 to {MAX_TRACK}")
    frames = item["frames"]
    if not all(isinstance(f, dict) for f in frames):
        raise BadFingerprint("a frame is not an object")
    fingerprint = Fingerprint(
        kind.name,
        pipeline,
        codes_from_hex(kind.name, [f.get("hash") for f in frames]),
        np.array([_number(f.get("offset"), "offset") for f in frames], dtype=np.float64),
        np.array([_number(f.get("span", 0.0), "span") for f in frames], dtype=np.float64),
        np.array([_quality(f.get("quality")) for f in frames], dtype=np.uint8),
        track=track,
        view=View(item.get("view", "full")),
    )
    return meaningful(fingerprint.take(np.argsort(fingerprint.offsets, kind="stable")))


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadFingerprint(f"{name}: not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not (math.isfinite(number) and number >= 0):
        raise BadFingerprint(f"{name}: not a finite number from 0 up")
    return number


def _quality(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 100:
        raise BadFingerprint("quality: not a whole number from 0 to 100")
    return value
