"""Hashes that a caller made into fingerprints, and the digest that stands for them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import numpy as np

from api import schemas
from api.parts import Parts
from api.problems import FieldError, InvalidFields
from hashdb.errors import BadFingerprint
from hashdb.model import Digests, Fingerprint
from hashdb.signals import codes_from_hex

_Frames = Sequence[schemas.Frame256In] | Sequence[schemas.Frame64In]


def digests_of(asked: schemas.Hashes) -> Digests:
    """The digests that were sent, in lower case."""
    return Digests(
        sha256=asked.sha256.lower() if asked.sha256 else None,
        md5=asked.md5.lower() if asked.md5 else None,
    )


def fingerprints_of(parts: Parts, asked: schemas.Hashes) -> list[Fingerprint]:
    """The fingerprints that were sent, each in the order of its offsets.

    `InvalidFields` where there are more than `schemas.MAX_FRAMES` frames in all, or where a vPDQ
    list cannot be read.
    """
    found = [_fingerprint(parts, i, sent) for i, sent in enumerate(asked.fingerprints)]
    frames = sum(len(f) for f in found)
    if frames > schemas.MAX_FRAMES:
        limit = f"{frames} frames in all; {schemas.MAX_FRAMES} are the most"
        raise InvalidFields([FieldError("/fingerprints", limit)])
    return found


def _fingerprint(parts: Parts, i: int, sent: schemas.FingerprintIn) -> Fingerprint:
    if isinstance(sent, schemas.VpdqIn):
        try:
            return parts.read_vpdq(sent.list)
        except BadFingerprint as e:
            raise InvalidFields([FieldError(f"/fingerprints/{i}/list", str(e))]) from None
    frames: _Frames = sent.frames
    order = sorted(range(len(frames)), key=lambda row: frames[row].offset)
    ordered = [frames[row] for row in order]
    return Fingerprint(
        signal_type=sent.signal_type,
        pipeline=sent.pipeline,
        codes=codes_from_hex(sent.signal_type, [f.hash for f in ordered]),
        offsets=np.array([f.offset for f in ordered], dtype=np.float64),
        spans=np.array([f.span for f in ordered], dtype=np.float64),
        quality=np.array([f.quality for f in ordered], dtype=np.uint8),
        track=sent.track,
        view=sent.view,
    )


def request_digest(asked: schemas.Hashes) -> str:
    """SHA-256 of what makes two requests the same upload: digests, kind, duration and hashes, in
    one canonical spelling. Labels and metadata are about the upload, not part of it."""
    fields = {"sha256", "md5", "fingerprints", "kind", "duration"}
    value = asked.model_dump(mode="json", include=fields)
    text = json.dumps(value, sort_keys=True, separators=(",", ":")).lower()
    return "hashes:" + hashlib.sha256(text.encode()).hexdigest()
