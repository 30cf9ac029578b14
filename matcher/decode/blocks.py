"""Where the parts of a picture's file begin: the blocks of a GIF, the chunks of a PNG.

GIF89a specification (CompuServe, 1990), sections 15 to 27; PNG specification, third edition, 5.3. A
damaged file gives what lies before the damage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

Read = Callable[[int, int], bytes]
"""So many bytes from a place on; fewer where the file ends before."""

EXTENSION, PICTURE, TRAILER = b"!", b",", b";"


def gif_blocks(read: Read) -> Iterator[tuple[bytes, int]]:
    """Each block's kind and place, the trailer last; stray bytes between them are passed over, as
    programs do."""
    head = read(0, 13)
    at = 13 + _table(head[10:11])
    while kind := read(at, 1):
        about = read(at, 10)
        if kind == TRAILER:
            yield kind, at
            return
        if kind == EXTENSION:
            yield kind, at
            at += 2
        elif kind == PICTURE and len(about) == 10:
            yield kind, at
            at += 10 + _table(about[9:]) + 1
        else:
            at += 1
            continue
        while (size := read(at, 1)) not in (b"", b"\0"):
            at += 1 + size[0]
        at += 1


def _table(flags: bytes) -> int:
    """Bytes of the colour table that the flags tell of."""
    return 3 << ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0


def png_chunks(read: Read) -> Iterator[tuple[bytes, int, int]]:
    """Each chunk's kind, its place, and the place behind it."""
    at = 8
    while len(head := read(at, 8)) == 8:
        end = at + 12 + int.from_bytes(head[:4], "big")
        yield head[4:], at, end
        at = end
