"""The digests of a file's bytes."""

from __future__ import annotations

import hashlib
from typing import BinaryIO

from hashdb.model import Digests

CHUNK = 1 << 20


def digest_file(media: BinaryIO) -> Digests:
    """SHA-256 and MD5 of a seekable file from its beginning; rewinds it before and after."""
    sha256 = hashlib.sha256()
    md5 = hashlib.md5(usedforsecurity=False)
    media.seek(0)
    while chunk := media.read(CHUNK):
        sha256.update(chunk)
        md5.update(chunk)
    media.seek(0)
    return Digests(sha256=sha256.hexdigest(), md5=md5.hexdigest())
