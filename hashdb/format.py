"""The one file format of arrays that Seawall keeps: snapshots of the index, and its segments.

All numbers are little-endian. A prelude of 64 bytes::

    0   8  magic, after PNG's (RFC 2083, section 3.1): shows transfers that change line ends
    8   4  version of this format, u32
    12  4  zero
    16  8  size of the whole file in bytes, u64
    24  8  size of the header in bytes, u64, a multiple of 64
    32 32  SHA-256 of the file without these 32 bytes

Then the header, JSON in UTF-8 filled up with spaces: `{"kind", "meta", "arrays": {name: {"dtype",
"shape", "offset"}}}`. Then the arrays, C order, each at a multiple of 64 bytes from the start of
the file (a cache line, so that a memory map of them is aligned), filled up with zeros.

No pickle: nothing in a file can make the reader run code. The digest finds damage, not malice:
whoever can write the folder can write a file that is valid and wrong.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import mmap
import os
import struct
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hashdb.errors import BadSnapshot

Array = NDArray[Any]

VERSION = 1
_MAGIC = b"\x89SWL\r\n\x1a\n"
_PRELUDE = struct.Struct("<8sIIQQ")
_DIGEST_SIZE = 32
_ALIGN = 64
_CHUNK = 1 << 22
_DTYPES = ("|u1", "|i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f4", "<f8")
_TEMPORARY = ".writing-"


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """What one file holds. `kind` says what it is, `meta` is small JSON, `arrays` are read-only."""

    kind: str
    meta: Mapping[str, Any]
    arrays: Mapping[str, Array]


def write_file(path: Path, kind: str, meta: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Write a file, all of it or none: a reader sees the old one or the new one, and after a loss
    of power too (temporary file in the same folder, fsync, rename, fsync of the folder).

    Several processes may write the same path at once: the last rename stands. `ValueError` for
    arrays of other than plain numbers; `OSError` where the disk refuses, the old file untouched.
    """
    plain = {name: _plain(name, array) for name, array in arrays.items()}
    header, size = _layout(kind, meta, plain)
    handle, name = tempfile.mkstemp(prefix=f"{_TEMPORARY}{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            prelude = _PRELUDE.pack(_MAGIC, VERSION, 0, size, len(header))
            digest = hashlib.sha256(prelude)
            file.write(prelude + bytes(_DIGEST_SIZE))
            for piece in _pieces(header, plain):
                digest.update(piece)
                file.write(piece)
            file.seek(_PRELUDE.size)
            file.write(digest.digest())
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    _sync_folder(path.parent)


def sweep(folder: Path, *, older_s: float = 3600.0) -> None:
    """Delete what writers that were killed have left behind, `older_s` seconds ago or more."""
    for path in folder.glob(f"{_TEMPORARY}*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime >= older_s:
                path.unlink()


def read_file(path: Path, kind: str, *, mapped: bool = False) -> Contents:
    """Read and check a file. `mapped`: the arrays are memory maps of it, shared by all processes
    that map it; the file may be replaced meanwhile, but must not be written in place.

    `BadSnapshot` where the file is missing, cut short, changed in any bit, of another kind or
    version, or describes arrays that do not lie within it.
    """
    try:
        with open(path, "rb") as file:
            header_size = _check_prelude(file)
            header = _read_header(file, header_size)
            return _contents(file, header, kind, _PRELUDE.size + _DIGEST_SIZE + header_size, mapped)
    except OSError as error:
        raise BadSnapshot(f"{path}: {error.strerror or error}") from error
    except BadSnapshot as error:
        raise BadSnapshot(f"{path}: {error}") from None


def _plain(name: str, array: Array) -> Array:
    """The array as it lies in the file."""
    array = np.asarray(array)
    if array.dtype.kind not in "uif":
        raise ValueError(f"{name}: arrays of {array.dtype} are not kept")
    array = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
    if array.dtype.str not in _DTYPES:
        raise ValueError(f"{name}: arrays of {array.dtype} are not kept")
    return array


def _layout(kind: str, meta: Mapping[str, Any], arrays: Mapping[str, Array]) -> tuple[bytes, int]:
    """The header's bytes and the size of the file. Offsets count from the end of the header in the
    first draft, whose length then gives room enough for the true ones."""

    def header(first: int) -> tuple[bytes, int]:
        places, end = {}, first
        for name, array in arrays.items():
            places[name] = {"dtype": array.dtype.str, "shape": list(array.shape), "offset": end}
            end += _filled(array.nbytes)
        whole = {"kind": kind, "meta": dict(meta), "arrays": places}
        return json.dumps(whole, allow_nan=False, separators=(",", ":")).encode(), end

    room = _filled(len(header(0)[0]) + 20 * len(arrays))
    text, size = header(_PRELUDE.size + _DIGEST_SIZE + room)
    return text.ljust(room), size


def _filled(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN


def _pieces(header: bytes, arrays: Mapping[str, Array]) -> Iterator[bytes | memoryview]:
    yield header
    for array in arrays.values():
        flat = array.reshape(-1).view(np.uint8).data
        for first in range(0, len(flat), _CHUNK):
            yield flat[first : first + _CHUNK]
        yield bytes(_filled(array.nbytes) - array.nbytes)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _check_prelude(file: BinaryIO) -> int:
    """Check magic, version, sizes and the digest of all; the header's size."""
    prelude = file.read(_PRELUDE.size)
    stated = file.read(_DIGEST_SIZE)
    if len(prelude) + len(stated) < _PRELUDE.size + _DIGEST_SIZE:
        raise BadSnapshot("cut short")
    magic, version, zero, size, header_size = _PRELUDE.unpack(prelude)
    if magic != _MAGIC:
        raise BadSnapshot("not a file of Seawall's")
    if version != VERSION:
        raise BadSnapshot(f"version {version}; this is version {VERSION}")
    actual = os.fstat(file.fileno()).st_size
    if size != actual:
        raise BadSnapshot(f"{actual} bytes; it says {size}")
    room = size - _PRELUDE.size - _DIGEST_SIZE
    if zero or header_size > room or header_size % _ALIGN:
        raise BadSnapshot("the prelude is damaged")
    digest = hashlib.sha256(prelude)
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    if digest.digest() != stated:
        raise BadSnapshot("the digest differs: the file is damaged")
    return int(header_size)


def _read_header(file: BinaryIO, size: int) -> dict[str, Any]:
    file.seek(_PRELUDE.size + _DIGEST_SIZE)
    try:
        header = json.loads(file.read(size))
    except (ValueError, RecursionError) as error:
        raise BadSnapshot(f"the header is not JSON: {error}") from None
    if not isinstance(header, dict):
        raise BadSnapshot("the header is no object")
    return header


def _contents(
    file: BinaryIO, header: dict[str, Any], kind: str, start: int, mapped: bool
) -> Contents:
    if header.get("kind") != kind:
        raise BadSnapshot(f"a file of {header.get('kind')!r}, not of {kind!r}")
    meta, places = header.get("meta"), header.get("arrays")
    if not isinstance(meta, dict) or not isinstance(places, dict):
        raise BadSnapshot("the header lacks meta or arrays")
    size = os.fstat(file.fileno()).st_size
    arrays = {name: _array(file, name, p, start, size, mapped) for name, p in places.items()}
    return Contents(kind, meta, arrays)


def _array(file: BinaryIO, name: str, place: Any, start: int, size: int, mapped: bool) -> Array:
    """One array, read only after its place was found to lie between `start` and `size`."""
    if not isinstance(place, dict):
        raise BadSnapshot(f"{name}: no place")
    dtype, shape, offset = place.get("dtype"), place.get("shape"), place.get("offset")
    if dtype not in _DTYPES or not isinstance(shape, list) or len(shape) > 4:
        raise BadSnapshot(f"{name}: dtype {dtype!r}, shape {shape!r}")
    if type(offset) is not int or not all(type(n) is int and n >= 0 for n in (*shape, offset)):
        raise BadSnapshot(f"{name}: shape {shape!r}, offset {offset!r}")
    length = math.prod(shape) * np.dtype(dtype).itemsize
    if max(shape, default=0) > size or offset % _ALIGN or not start <= offset <= size - length:
        raise BadSnapshot(f"{name}: {length} bytes at {offset} do not lie within the file")
    if mapped and length:
        whole = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return np.ndarray(tuple(shape), np.dtype(dtype), buffer=whole, offset=offset)
    file.seek(offset)
    data = file.read(length)
    if len(data) < length:
        raise BadSnapshot(f"{name}: cut short while it was read")
    return np.ndarray(tuple(shape), np.dtype(dtype), buffer=data)
