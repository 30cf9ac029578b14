"""What every index checks of its arguments, so that all engines refuse the same things."""

from __future__ import annotations

import numpy as np

from hashdb.errors import BadFingerprint
from hashdb.model import Codes, Ints
from hashdb.ports import CodeHits


def check_bits(bits: int) -> int:
    """`bits` itself; `ValueError` unless it is a positive multiple of 64, which lets every engine
    compare whole 64-bit words."""
    if bits <= 0 or bits % 64:
        raise ValueError(f"codes of {bits} bits: an index takes multiples of 64")
    return bits


def check_codes(codes: Codes, bits: int) -> Codes:
    """The same codes, contiguous; `BadFingerprint` unless they are (n, bits/8) uint8."""
    if not isinstance(codes, np.ndarray) or codes.dtype != np.uint8 or codes.ndim != 2:
        raise BadFingerprint(f"codes are (n, {bits // 8}) uint8, not {_described(codes)}")
    if codes.shape[1] != bits // 8:
        raise BadFingerprint(f"codes of {codes.shape[1]} bytes in an index of {bits // 8} bytes")
    return np.ascontiguousarray(codes)


def check_ids(ids: Ints) -> Ints:
    """The same ids as int64; `ValueError` unless they are (n,) integers, none negative."""
    given = np.asarray(ids)
    if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
        raise ValueError(f"ids are (n,) integers, not {_described(given)}")
    if given.size and (int(given.min()) < 0 or int(given.max()) > np.iinfo(np.int64).max):
        raise ValueError("ids are between 0 and 2**63 - 1")
    return np.ascontiguousarray(given, dtype=np.int64)


def check_entries(codes: Codes, ids: Ints, bits: int) -> tuple[Codes, Ints]:
    """Codes and ids that may be added together; `ValueError` where their numbers differ or an id
    stands there twice."""
    codes, ids = check_codes(codes, bits), check_ids(ids)
    if len(codes) != len(ids):
        raise ValueError(f"{len(codes)} codes under {len(ids)} ids")
    if len(ids) > 1 and not bool((ids[1:] > ids[:-1]).all()) and len(np.unique(ids)) < len(ids):
        raise ValueError("an id stands twice among the ids")
    return codes, ids


def check_radius(radius: int) -> int:
    """`radius` as an int; `ValueError` where it is negative or no whole number."""
    if isinstance(radius, bool) or int(radius) != radius or radius < 0:
        raise ValueError(f"a radius of {radius!r} bits")
    return int(radius)


def join_hits(parts: list[CodeHits], bits: int) -> CodeHits:
    """Several answers as one."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        none = np.empty(0, dtype=np.int64)
        return CodeHits(
            none, none.copy(), np.empty(0, np.int16), np.empty((0, bits // 8), np.uint8)
        )
    return CodeHits(
        np.concatenate([p.queries for p in parts]),
        np.concatenate([p.ids for p in parts]),
        np.concatenate([p.distances for p in parts]),
        np.concatenate([p.codes for p in parts]),
    )


def _described(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.shape} {value.dtype}"
    return type(value).__name__
