"""Whether a picture's file holds another picture behind its end, which no viewer shows.

PNG specification, third edition, 5.3; GIF89a specification (CompuServe, 1990), section 27; RIFF
container of WebP (RFC 9649, 2.3); BITMAPFILEHEADER of BMP.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from matcher.decode import formats

_HEAD = 64


def holds_picture(media: BinaryIO, name: str) -> bool:
    """Whether a picture begins where the one of the format `name` ends, but for zeros and line
    ends between them. False where that format does not say where it ends, or the file ends before.
    """
    if name not in _ENDS:
        return False
    end = _ENDS[name](media)
    if end is None:
        return False
    return formats.following_format(_read(media, end, _HEAD)) is not None


def _png(media: BinaryIO) -> int | None:
    at = 8
    while len(chunk := _read(media, at, 8)) == 8:
        at += 12 + int.from_bytes(chunk[:4], "big")
        if chunk[4:] == b"IEND":
            return at
    return None


def _webp(media: BinaryIO) -> int | None:
    size = int.from_bytes(_read(media, 4, 4), "little")
    return 8 + size + size % 2


def _bmp(media: BinaryIO) -> int | None:
    return int.from_bytes(_read(media, 2, 4), "little") or None


def _gif(media: BinaryIO) -> int | None:
    head = _read(media, 0, 13)
    at = 13 + _table(head[10]) if len(head) == 13 else 0
    while at and (kind := _read(media, at, 1)):
        if kind == b";":
            return at + 1
        if kind == b"!":
            at = _behind_blocks(media, at + 2)
        elif kind == b"," and len(about := _read(media, at, 10)) == 10:
            at = _behind_blocks(media, at + 10 + _table(about[9]) + 1)
        else:
            at += 1  # stray bytes, which programs pass over
    return None


def _table(flags: int) -> int:
    """Bytes of a colour table."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _behind_blocks(media: BinaryIO, at: int) -> int:
    while (size := _read(media, at, 1)) not in (b"", b"\0"):
        at += 1 + size[0]
    return at + 1


def _read(media: BinaryIO, at: int, size: int) -> bytes:
    media.seek(at)
    return media.read(size)


_ENDS: dict[str, Callable[[BinaryIO], int | None]] = {
    "png": _png,
    "gif": _gif,
    "webp": _webp,
    "bmp": _bmp,
}
