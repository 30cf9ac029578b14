"""The table of signal types, and the one codec between hex text and packed codes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hashdb.errors import BadFingerprint
from hashdb.model import Codes, Fingerprint, SignalType

CARD = "card"
"""PDQ of a title card, a slide, a page of text: of a frame that is nearly all of one shade, whose
code is its layout."""

OF_PDQ = ("pdq", CARD)
"""The signal types whose codes are PDQ's."""

SIGNAL_TYPES: dict[str, SignalType] = {
    s.name: s
    for s in (
        SignalType("sha256", bits=256, radius=0, min_quality=0, exact=True, per_frame=False),
        SignalType("md5", bits=128, radius=0, min_quality=0, exact=True, per_frame=False),
        # Quality 50 of 100 as published with PDQ ("The TMK+PDQF Video-Hashing Algorithm and the
        # PDQ Image-Hashing Algorithm", Facebook, 2019). The published radius is 31; at 46 a logo in
        # the corner is still found, and how near a hit is, is weighed: docs/decisions/0009.
        SignalType("pdq", bits=256, radius=46, min_quality=50),
        # The published radius; of uploads that show nothing else: docs/decisions/0038.
        SignalType(CARD, bits=256, radius=31, min_quality=50),
        # 64 bits leave chance hits at looser radii: 128 frames against 50 M hashes draw 1.8 at 8.
        SignalType("phash", bits=64, radius=6, min_quality=50),
        SignalType("videohash", bits=64, radius=4, min_quality=0, per_frame=False),
        # True matches of ORB codes lie 24 to 34 bits apart at the median, 53 at nine in ten.
        SignalType("local", bits=256, radius=60, min_quality=0, hashed=False),
        # Landmarks of three peaks match only if equal; a second of sound stands for a frame.
        SignalType("sound", bits=32, radius=0, min_quality=0, per_frame=False, hashed=False),
        # Vectors, compared by the cosine of their angle. No evidence about a frame that an
        # allow-list may take from other signals: what looks alike is not the same.
        SignalType("neural", bits=0, radius=0, min_quality=50, per_frame=False, hashed=False),
    )
}


def signal_type(name: str) -> SignalType:
    """The signal type of that name; `BadFingerprint` where there is none."""
    try:
        return SIGNAL_TYPES[name]
    except KeyError:
        known = ", ".join(SIGNAL_TYPES)
        raise BadFingerprint(f"{name!r} is no signal type; there are {known}") from None


def code_from_hex(name: str, text: str) -> bytes:
    """One code's bytes from its hex text, most significant bit first, as PDQ and imagehash write
    them; `BadFingerprint` where it is not hex of the signal type's length."""
    length = signal_type(name).bits // 8
    try:
        code = bytes.fromhex(text)
    except (ValueError, TypeError):
        raise BadFingerprint(f"{text!r} is not hex") from None
    if len(code) != length or len(text) != 2 * length:
        raise BadFingerprint(f"{text!r}: a {name} hash has {2 * length} hex digits")
    return code


def codes_from_hex(name: str, texts: Sequence[str]) -> Codes:
    """(n, bits/8) uint8 from hex texts; `BadFingerprint` as `code_from_hex`."""
    length = signal_type(name).bits // 8
    try:  # all at once
        packed = bytes.fromhex("".join(texts))
        right = all(len(t) == 2 * length for t in texts) and len(packed) == len(texts) * length
    except (ValueError, TypeError):
        right = False
    if not right:  # one by one, which says what is wrong
        packed = b"".join(code_from_hex(name, t) for t in texts)
    return np.frombuffer(packed, dtype=np.uint8).reshape(-1, length).copy()


def codes_to_hex(codes: Codes) -> Sequence[str]:
    """Hex texts of (n, bytes) uint8 codes."""
    return [row.tobytes().hex() for row in np.ascontiguousarray(codes)]


def meaningful(fingerprint: Fingerprint) -> Fingerprint:
    """The fingerprint without the frames below its signal type's `min_quality`: frames too flat
    to mean anything match anything."""
    good = fingerprint.quality >= np.uint8(signal_type(fingerprint.signal_type).min_quality)
    return fingerprint if good.all() else fingerprint.take(good)
