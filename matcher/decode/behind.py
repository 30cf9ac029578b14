"""Whether a picture's file holds another picture behind its end, which no viewer shows.

RIFF container of WebP (RFC 9649, 2.3); BITMAPFILEHEADER of BMP; of PNG and GIF: see `blocks`.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import BinaryIO

from matcher.decode import blocks, formats

_HEAD = 64
_MOST = 64 << 20  # of a film's headers
_VIDEO_TRACK = re.compile(rb"hdlr.{8}vide", re.DOTALL)


def holds_picture(media: BinaryIO, name: str) -> bool:
    """Whether a picture begins where the one of the format `name` ends, but for zeros and line
    ends between them. False where that format does not say where it ends, or the file ends before.
    """

    def read(at: int, size: int) -> bytes:
        media.seek(at)
        return media.read(size)

    end = _ENDS[name](read) if name in _ENDS else None
    return end is not None and formats.following_format(read(end, _HEAD)) is not None


def holds_video(media: BinaryIO) -> bool:
    """Whether an ISO media file that announces a picture has a track of video, which players go by.
    The tracks of an animated AVIF are of another kind, `pict`."""
    at = 0
    while True:
        media.seek(at)
        head = media.read(16)
        if len(head) < 8:
            return False
        size, kind, large = struct.unpack(">I4sQ", head.ljust(16, b"\0"))
        size = large if size == 1 else size
        if kind == b"moov":
            media.seek(at)
            return _VIDEO_TRACK.search(media.read(min(size or _MOST, _MOST))) is not None
        if size < 8:
            return False
        at += size


def _png(read: blocks.Read) -> int | None:
    return next((end for kind, _, end in blocks.png_chunks(read) if kind == b"IEND"), None)


def _gif(read: blocks.Read) -> int | None:
    found = blocks.gif_blocks(read)
    return next((at + 1 for kind, at in found if kind == blocks.TRAILER), None)


def _webp(read: blocks.Read) -> int | None:
    size = int.from_bytes(read(4, 4), "little")
    return 8 + size + size % 2


def _bmp(read: blocks.Read) -> int | None:
    return int.from_bytes(read(2, 4), "little") or None


_ENDS: dict[str, Callable[[blocks.Read], int | None]] = {
    "png": _png,
    "gif": _gif,
    "webp": _webp,
    "bmp": _bmp,
}
