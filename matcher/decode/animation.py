"""How long each picture of an animation is shown, read from the file's bytes without decoding.

GIF89a specification (CompuServe, 1990), sections 20 to 23; WebP container specification (RFC 9649,
2.7.1.2); PNG specification, third edition, 11.3.6.2 (fcTL). Seconds, one a picture; an empty list
where the file is none. Damaged files give what was read until the damage, as Pillow does.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from itertools import islice

from hashdb.errors import MediaTooLarge
from matcher.decode import blocks

# Browsers show pictures that ask for 10 ms or less for a tenth of a second.
_SHORTEST_S, INSTEAD_S = 0.0105, 0.1
_MOST = 1_000_000  # five hours at 50 a second


def _shown(seconds: float) -> float:
    return seconds if seconds >= _SHORTEST_S else INSTEAD_S


def _gif(read: blocks.Read) -> Iterator[float]:
    delay = 0.0
    for kind, at in blocks.gif_blocks(read):
        if kind == blocks.EXTENSION and read(at + 1, 1) == b"\xf9":  # the graphic control
            delay = int.from_bytes(read(at + 4, 2), "little") / 100
        elif kind == blocks.PICTURE:
            yield _shown(delay)
            delay = 0.0


def _webp(read: blocks.Read) -> Iterator[float]:
    at = 12
    while len(head := read(at, 8)) == 8:
        size = int.from_bytes(head[4:], "little")
        if head[:4] == b"ANMF":
            yield _shown(int.from_bytes(read(at + 20, 3), "little") / 1000)
        at += 8 + size + size % 2


def _png(read: blocks.Read) -> Iterator[float]:
    animated = any_yet = False
    for kind, at, _ in blocks.png_chunks(read):
        if kind == b"acTL":
            animated = True
        elif kind == b"fcTL" and animated:
            number, parts = struct.unpack(">HH", read(at + 28, 4))
            any_yet = True
            yield _shown(number / (parts or 100))
        elif kind == b"IDAT" and animated and not any_yet:
            any_yet = True
            yield INSTEAD_S  # a picture for programs that cannot animate, looked at too


READERS: dict[str, Callable[[blocks.Read], Iterator[float]]] = {
    "gif": _gif,
    "webp": _webp,
    "png": _png,
}


def moves(name: str, read: blocks.Read) -> bool:
    """Whether a file of the format `name` (a key of `READERS`) holds more pictures than one."""
    try:
        return len(list(islice(READERS[name](read), 2))) > 1
    except struct.error:
        return False


def durations(name: str, data: bytes) -> list[float]:
    """Seconds of each picture of a file of the format `name` (a key of `READERS`). Raises
    `MediaTooLarge` where there are more than a million: what lies behind them would not be judged.
    """
    found: list[float] = []
    try:
        for seconds in READERS[name](lambda at, size: data[at : at + size]):
            if len(found) == _MOST:
                raise MediaTooLarge(f"an animation of more than {_MOST} pictures")
            found.append(seconds)
    except struct.error:
        pass
    return found
