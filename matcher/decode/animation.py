"""How long each picture of an animation is shown, read from the file's bytes without decoding.

GIF89a specification (CompuServe, 1990), sections 20 to 23; WebP container specification (RFC 9649,
2.7.1.2); PNG specification, third edition, 11.3.6.2 (fcTL). Seconds, one a picture; an empty list
where the file is none. Damaged files give what was read until the damage, as Pillow does; stray
bytes between the blocks of a GIF are passed over, as there.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from hashdb.errors import MediaTooLarge

# Browsers show pictures that ask for 10 ms or less for a tenth of a second.
_SHORTEST_S, INSTEAD_S = 0.0105, 0.1
_MOST = 1_000_000  # five hours at 50 a second


def _shown(seconds: float) -> float:
    return seconds if seconds >= _SHORTEST_S else INSTEAD_S


def _gif(data: bytes) -> Iterator[float]:
    def table(flags: int) -> int:
        return 3 << ((flags & 7) + 1) if flags & 0x80 else 0

    at = 13 + table(data[10])
    delay = 0.0
    while True:
        kind = data[at]
        if kind == 0x21:  # an extension; 0xF9 is the graphic control
            if data[at + 1] == 0xF9:
                delay = int.from_bytes(data[at + 4 : at + 6], "little") / 100
            at += 2
        elif kind == 0x2C:  # a picture
            at += 10 + table(data[at + 9]) + 1
            yield _shown(delay)
            delay = 0.0
        elif kind == 0x3B:  # the trailer
            return
        else:
            at += 1
            continue
        while data[at]:
            at += data[at] + 1
        at += 1


def _webp(data: bytes) -> Iterator[float]:
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"ANMF":
            yield _shown(int.from_bytes(data[at + 20 : at + 23], "little") / 1000)
        at += 8 + size + size % 2


def _png(data: bytes) -> Iterator[float]:
    at = 8
    animated = any_yet = False
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        if kind == b"acTL":
            animated = True
        elif kind == b"fcTL" and animated:
            number, parts = struct.unpack_from(">HH", data, at + 28)
            any_yet = True
            yield _shown(number / (parts or 100))
        elif kind == b"IDAT" and animated and not any_yet:
            any_yet = True
            yield INSTEAD_S  # a picture for programs that cannot animate, looked at too
        at += 12 + size


READERS: dict[str, Callable[[bytes], Iterator[float]]] = {"gif": _gif, "webp": _webp, "png": _png}


def durations(name: str, data: bytes) -> list[float]:
    """Seconds of each picture of a file of the format `name` (a key of `READERS`). Raises
    `MediaTooLarge` where there are more than a million: what lies behind them would not be judged.
    """
    found: list[float] = []
    try:
        for seconds in READERS[name](data):
            if len(found) == _MOST:
                raise MediaTooLarge(f"an animation of more than {_MOST} pictures")
            found.append(seconds)
    except (IndexError, struct.error):
        pass
    return found
