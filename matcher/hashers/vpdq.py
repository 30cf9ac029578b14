"""vPDQ lists: other people's video hashes, one PDQ code a frame, read and written.

Two published forms (ThreatExchange, `vpdq/cpp/vpdq/cpp/io/vpdqio.cpp` and
`python-threatexchange/threatexchange/extensions/vpdq/vpdq_util.py`):

- text, one line a frame: `frame_number,quality,hex,seconds`;
- JSON, as the `threatexchange` library stores them: `["hex,quality,seconds", ...]`, and its
  older form `{"frame_number": {"quality": .., "hash": .., "timestamp": ..}, ...}`.

The library prints seconds with three significant digits: from 100 s on they are whole seconds,
from 1000 s on tens. Where frames come at a steady rate their times are worked out again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np

from hashdb.errors import BadFingerprint
from hashdb.model import Fingerprint, Floats
from hashdb.signals import code_from_hex, codes_to_hex

PIPELINE = "vpdq"
FINE_S = 0.01  # times printed no coarser than this are taken as they stand


@dataclass(frozen=True, slots=True)
class _Row:
    """One frame: `step` is its printed time's last digit, in seconds."""

    number: int
    quality: int
    code: bytes
    seconds: float
    step: float


def read_vpdq(text: str) -> Fingerprint:
    """A vPDQ list in either form as a `pdq` fingerprint of pipeline `vpdq`, in order of time.

    Raises `BadFingerprint`, which names the line (text) or the entry (JSON), both from 1.
    """
    start = text.lstrip("\ufeff \t\r\n")[:1]
    rows = list(_json_rows(text) if start in ("[", "{") else _text_rows(text))
    if not rows:
        raise BadFingerprint("the vPDQ list has no frames")
    seconds = _refined(rows)
    order = np.argsort(seconds, kind="stable")
    codes = np.frombuffer(b"".join(r.code for r in rows), dtype=np.uint8).reshape(-1, 32)
    return Fingerprint(
        signal_type="pdq",
        pipeline=PIPELINE,
        codes=codes[order],
        offsets=seconds[order],
        spans=np.zeros(len(rows)),
        quality=np.array([r.quality for r in rows], dtype=np.uint8)[order],
    )


def write_vpdq_text(fingerprint: Fingerprint) -> str:
    """The text form. A fingerprint knows times and no frame numbers: the lines are numbered.

    Raises `BadFingerprint` where the codes are not PDQ's.
    """
    rows = enumerate(_printed(fingerprint))
    return "".join(f"{n},{quality},{code},{seconds}\n" for n, (code, quality, seconds) in rows)


def write_vpdq_json(fingerprint: Fingerprint) -> str:
    """The `threatexchange` library's JSON form. Raises `BadFingerprint` as above."""
    return json.dumps([f"{code},{quality},{s}" for code, quality, s in _printed(fingerprint)])


def _printed(fingerprint: Fingerprint) -> Iterator[tuple[str, int, str]]:
    """Hex, quality, and seconds to the microsecond."""
    if fingerprint.signal_type != "pdq":
        raise BadFingerprint(f"a vPDQ list holds pdq codes, not {fingerprint.signal_type}")
    columns = (codes_to_hex(fingerprint.codes), fingerprint.quality, fingerprint.offsets)
    for code, quality, offset in zip(*columns, strict=True):
        yield code, int(quality), f"{float(offset):.6f}"


def _text_rows(text: str) -> Iterator[_Row]:
    for at, line in enumerate(text.lstrip("\ufeff").splitlines(), start=1):
        if not line.strip():
            continue
        parts = [part.strip() for part in line.split(",")]
        if len(parts) != 4:
            raise BadFingerprint(f"line {at}: not frame_number,quality,hex,seconds")
        yield _row(f"line {at}", parts[0], parts[1], parts[2], parts[3])


def _json_rows(text: str) -> Iterator[_Row]:
    try:  # numbers stay text: their digits tell how coarse they are
        listed = json.loads(text.lstrip("\ufeff"), parse_float=str, parse_int=str)
    except (ValueError, RecursionError) as e:
        raise BadFingerprint(f"neither a vPDQ list nor JSON: {e}") from None
    if isinstance(listed, dict):
        yield from _old_rows(listed)
        return
    for at, entry in enumerate(listed, start=1):
        parts = entry.split(",") if isinstance(entry, str) else []
        if len(parts) != 3:
            raise BadFingerprint(f"entry {at}: not a text of hex,quality,seconds")
        yield _row(f"entry {at}", str(at - 1), parts[1], parts[0], parts[2])


def _old_rows(listed: dict[str, Any]) -> Iterator[_Row]:
    for at, (number, entry) in enumerate(listed.items(), start=1):
        if not isinstance(entry, dict) or not {"quality", "hash", "timestamp"} <= entry.keys():
            raise BadFingerprint(f"entry {at}: not an object of quality, hash and timestamp")
        quality, code, seconds = (str(entry[k]) for k in ("quality", "hash", "timestamp"))
        yield _row(f"entry {at}", number, quality, code, seconds)


def _row(where: str, number: str, quality: str, code: str, seconds: str) -> _Row:
    try:
        packed = code_from_hex("pdq", code)
    except BadFingerprint as e:
        raise BadFingerprint(f"{where}: {e}") from None
    worth = _whole(quality)
    if worth is None or worth > 100:
        raise BadFingerprint(f"{where}: quality {quality!r} is no whole number from 0 to 100")
    frame = _whole(number)
    if frame is None:
        raise BadFingerprint(f"{where}: frame number {number!r} is no whole number from 0 on")
    time, step = _seconds(seconds)
    if not 0 <= time < math.inf:
        raise BadFingerprint(f"{where}: {seconds!r} is no time in seconds from 0 on")
    return _Row(frame, worth, packed, time, step)


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else None


def _seconds(text: str) -> tuple[float, float]:
    """The time and the worth of its last printed digit; (nan, 0) where it is no number."""
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        return math.nan, 0.0
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or abs(exponent) > 30:
        return math.nan, 0.0
    return float(number), 10.0**exponent


def _refined(rows: list[_Row]) -> Floats:
    """(n,) seconds; where some are coarse and one steady rate over the frame numbers explains
    them all within what was printed, the coarse ones from that rate.

    Each time, known to half its last digit, bounds the rate from both sides; together the bounds
    leave little.
    """
    seconds = np.array([r.seconds for r in rows])
    steps = np.array([r.step for r in rows])
    first = min(rows, key=lambda r: r.number)
    after = np.array([r.number - first.number for r in rows], dtype=np.float64)
    if steps.max() <= FINE_S or not after.any():
        return seconds
    later = after > 0
    slack = (steps[later] + (first.step if first.seconds else 0.0)) / 2 + 1e-9
    passed = seconds[later] - first.seconds
    lowest = float(np.max((passed - slack) / after[later]))
    highest = float(np.min((passed + slack) / after[later]))
    if lowest > highest or highest <= 0:
        return seconds
    steady = first.seconds + after * (max(lowest, 0.0) + highest) / 2
    return np.where(steps > FINE_S, steady, seconds)
