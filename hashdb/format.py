"""The one file format of arrays that Seawall keeps: snapshots of the index.

All numbers are little-endian. A prelude of 64 bytes::

    0   8  magic, after PNG's (RFC 2083, section 3.1): shows transfers that change line ends
    8   4  version of this format, u32
    12  4  zero
    16  8  size of the whole file in bytes, u64
    24  8  where the header begins, u64, a multiple of 64
    32 32  SHA-256 of the 32 bytes before, and of the header

Then the arrays, C order, each at a multiple of 64 bytes from the start of the file (a cache line,
so that a memory map of them is aligned), filled up with zeros. Then the header, to the end of the
file, JSON in UTF-8: `{"kind", "meta", "arrays": {name: {"dtype", "shape", "offset", "sha256"}}}`.
An array's digest is that of its bytes and of what fills them up.

So the prelude and the header vouch for every byte, and are checked in a moment; arrays that are
mapped may be looked at one by one, whenever there is time.

No pickle: nothing in a file can make the reader run code. The digests find damage, not malice:
whoever can write the folder can write a file that is valid and wrong.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import math
import mmap
import os
import struct
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from hashdb.errors import BadSnapshot

Array = NDArray[Any]

VERSION = 2
_MAGIC = b"\x89SWL\r\n\x1a\n"
_PRELUDE = struct.Struct("<8sIIQQ")
_DIGEST_SIZE = 32
_START = _PRELUDE.size + _DIGEST_SIZE
_ALIGN = 64
_CHUNK = 1 << 22
_MOST_HEADER = 1 << 26
_ENTERED = 0.7  # of the memory
_ADVISED = 1 << 28
_POPULATE_READ = 22  # MADV_POPULATE_READ
_DTYPES = ("|u1", "|i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f4", "<f8")
_TEMPORARY = ".writing-"

CHECKED_AT_ONCE = 1 << 22
"""Bytes of arrays, the small ones first, that are checked whenever a file is opened: 3 ms."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an array lies, and the digest of it. `length` is without what fills it up."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
    sha256: str

    @property
    def length(self) -> int:
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """What one file holds. `kind` says what it is, `meta` is small JSON, `arrays` are read-only
    maps of the file, shared by all processes that map it. `digest` names these contents: SHA-256 in
    hex; `stamp` names this copy of them. `size`: bytes of the file."""

    kind: str
    meta: Mapping[str, Any]
    arrays: Mapping[str, Array]
    digest: str
    stamp: str
    size: int
    _map: memoryview = field(repr=False)
    _unchecked: Mapping[str, _Place] = field(repr=False)

    @property
    def whole(self) -> bool:
        """Whether all of it was checked when it was opened."""
        return not self._unchecked

    def check(self) -> None:
        """Check what was not checked at the opening; reads all of it, at more than a GB a second.
        `BadSnapshot` where a bit has changed."""
        for name, place in self._unchecked.items():
            _check_array(self._map, name, place)

    def enter(self) -> None:
        """Have the kernel read all of the file and enter it into this process's page tables, so
        that no search waits for that; nothing where it would take most of the memory. (Linux.)"""
        if sys.platform != "linux" or self.size > _ENTERED * _memory():
            return
        begin, advise = np.frombuffer(self._map, np.uint8).ctypes.data, ctypes.CDLL(None).madvise
        for first in range(0, self.size, _ADVISED):
            length = min(_ADVISED, self.size - first)
            at = (ctypes.c_void_p(begin + first), ctypes.c_size_t(length))
            if advise(*at, _POPULATE_READ):  # a kernel before 5.14
                return


class Room:
    """Room for one array in a file that is being written: filled from the front, by rows."""

    def __init__(self, file: BinaryIO, dtype: np.dtype[Any], shape: tuple[int, ...], offset: int):
        self._file = file
        self.dtype, self.shape, self.offset = dtype, shape, offset
        self._at = 0
        self.length = math.prod(shape) * dtype.itemsize

    def append(self, array: Array) -> None:
        """Write the next rows."""
        array = np.ascontiguousarray(array, dtype=self.dtype)
        if array.shape[1:] != self.shape[1:] or self._at + array.nbytes > self.length:
            raise ValueError(f"{array.shape} rows do not fit into {self.shape}")
        flat = array.reshape(-1).view(np.uint8).data
        for first in range(0, len(flat), _CHUNK):
            self._file.seek(self.offset + self._at)
            self._at += self._file.write(flat[first : first + _CHUNK])

    def view(self) -> Array:
        """A map of what was written."""
        self._file.flush()
        if not self.length:
            return np.empty(self.shape, self.dtype)
        whole = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        return np.ndarray(self.shape, self.dtype, buffer=whole, offset=self.offset)


class Writer:
    """A file that is being written, array by array."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._rooms: dict[str, Room] = {}
        self._end = _START

    def add(self, name: str, array: Array) -> None:
        """Write a whole array; `ValueError` for other than plain numbers."""
        array = np.asarray(array)
        self.room(name, array.dtype, array.shape).append(array)

    def room(self, name: str, dtype: DTypeLike, shape: tuple[int, ...]) -> Room:
        """Room for an array that is written row by row; what is not written is zero."""
        kept = np.dtype(dtype).newbyteorder("<")
        if kept.str not in _DTYPES or name in self._rooms:
            raise ValueError(f"{name}: arrays of {kept} are not kept")
        room = self._rooms[name] = Room(self._file, kept, shape, self._end)
        self._end += _filled(room.length)
        self._file.truncate(self._end)
        return room

    def seal(self, kind: str, meta: Mapping[str, Any]) -> None:
        """Write header and prelude, with the digests of what the file then holds."""
        self._file.flush()
        places = {
            name: {
                "dtype": room.dtype.str,
                "shape": list(room.shape),
                "offset": room.offset,
                "sha256": self._digest(room.offset, _filled(room.length)),
            }
            for name, room in self._rooms.items()
        }
        whole = {"kind": kind, "meta": dict(meta), "arrays": places}
        header = json.dumps(whole, allow_nan=False, separators=(",", ":")).encode()
        prelude = _PRELUDE.pack(_MAGIC, VERSION, 0, self._end + len(header), self._end)
        self._file.seek(self._end)
        self._file.write(header)
        self._file.seek(0)
        self._file.write(prelude + hashlib.sha256(prelude + header).digest())

    def _digest(self, offset: int, length: int) -> str:
        digest = hashlib.sha256()
        self._file.seek(offset)
        while length > 0 and (chunk := self._file.read(min(length, _CHUNK))):
            digest.update(chunk)
            length -= len(chunk)
        return digest.hexdigest()


@contextlib.contextmanager
def writing(path: Path, kind: str, meta: Mapping[str, Any]) -> Iterator[Writer]:
    """Write a file, all of it or none: a reader sees the old one or the new one, and after a loss
    of power too (temporary file in the same folder, fsync, rename, fsync of the folder).

    Several processes may write the same path at once: the last rename stands. `OSError` where the
    disk refuses, the old file untouched.
    """
    with replacing(path) as temporary, temporary.open("w+b") as file:
        writer = Writer(file)
        yield writer
        writer.seal(kind, meta)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside, to be written, that takes the place of `path` where nothing is raised; else it
    is deleted, and the old file is as it was."""
    handle, name = tempfile.mkstemp(prefix=f"{_TEMPORARY}{path.name}-", dir=path.parent)
    os.close(handle)
    try:
        yield Path(name)
        with open(name, "rb") as file:
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    _sync_folder(path.parent)


def write_file(path: Path, kind: str, meta: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Write a file of arrays that are all at hand, as `writing` does."""
    with writing(path, kind, meta) as writer:
        for name, array in arrays.items():
            writer.add(name, array)


def sweep(folder: Path, *, older_s: float = 3600.0) -> None:
    """Delete what writers that were killed have left behind, `older_s` seconds ago or more."""
    for path in folder.glob(f"{_TEMPORARY}*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime >= older_s:
                path.unlink()


def read_file(path: Path, kind: str, *, whole: bool = True) -> Contents:
    """Map a file. It may be replaced meanwhile, but must not be written in place.

    `whole`: check all of it; else what takes a moment (prelude, header, the small arrays), and
    `Contents.check` the rest, later. `BadSnapshot` where the file is missing, cut short, changed in
    a bit that was looked at, of another kind or version, or describes arrays that do not lie
    within it.
    """
    try:
        with open(path, "rb") as file:
            begin, digest = _check_prelude(file)
            found = os.fstat(file.fileno())
            size, stamp = found.st_size, f"{found.st_ino}.{found.st_mtime_ns}"
            data = memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ))
        header = _read_header(data[begin:])
        if header.get("kind") != kind:
            raise BadSnapshot(f"a file of {header.get('kind')!r}, not of {kind!r}")
        meta, places = header.get("meta"), header.get("arrays")
        if not isinstance(meta, dict) or not isinstance(places, dict):
            raise BadSnapshot("the header lacks meta or arrays")
        places = {name: _place(name, place, begin) for name, place in places.items()}
        left = _checked(data, places, math.inf if whole else CHECKED_AT_ONCE)
        arrays = {name: _array(data, place) for name, place in places.items()}
        return Contents(kind, meta, arrays, digest, stamp, size, data, left)
    except OSError as error:
        raise BadSnapshot(f"{path}: {error.strerror or error}") from error
    except BadSnapshot as error:
        raise BadSnapshot(f"{path}: {error}") from None


def _memory() -> int:
    """Bytes of memory that this machine, or the container that this process is in, may use."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(machine, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):  # no cgroups of version 2, or no limit: "max"
        return machine


def _filled(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _check_prelude(file: BinaryIO) -> tuple[int, str]:
    """Check magic, version, sizes and the digest of prelude and header: where the header begins,
    and that digest."""
    prelude = file.read(_PRELUDE.size)
    stated = file.read(_DIGEST_SIZE)
    if len(prelude) + len(stated) < _START:
        raise BadSnapshot("cut short")
    magic, version, zero, size, begin = _PRELUDE.unpack(prelude)
    if magic != _MAGIC:
        raise BadSnapshot("not a file of Seawall's")
    if version != VERSION:
        raise BadSnapshot(f"version {version}; this is version {VERSION}")
    actual = os.fstat(file.fileno()).st_size
    if size != actual:
        raise BadSnapshot(f"{actual} bytes; it says {size}")
    if zero or begin % _ALIGN or not _START <= begin <= size <= begin + _MOST_HEADER:
        raise BadSnapshot("the prelude is damaged")
    file.seek(begin)
    digest = hashlib.sha256(prelude + file.read())
    if digest.digest() != stated:
        raise BadSnapshot("the digest differs: the file is damaged")
    return int(begin), digest.hexdigest()


def _read_header(text: memoryview) -> dict[str, Any]:
    try:
        header = json.loads(bytes(text))
    except (ValueError, RecursionError) as error:
        raise BadSnapshot(f"the header is not JSON: {error}") from None
    if not isinstance(header, dict):
        raise BadSnapshot("the header is no object")
    return header


def _place(name: str, place: Any, end: int) -> _Place:
    """The place of an array, which lies before `end`."""
    if not isinstance(place, dict):
        raise BadSnapshot(f"{name}: no place")
    dtype, shape, offset = place.get("dtype"), place.get("shape"), place.get("offset")
    digest = place.get("sha256")
    if dtype not in _DTYPES or not isinstance(shape, list) or len(shape) > 4:
        raise BadSnapshot(f"{name}: dtype {dtype!r}, shape {shape!r}")
    if type(offset) is not int or not all(type(n) is int and n >= 0 for n in (*shape, offset)):
        raise BadSnapshot(f"{name}: shape {shape!r}, offset {offset!r}")
    if not isinstance(digest, str):
        raise BadSnapshot(f"{name}: no digest")
    found = _Place(dtype, tuple(shape), offset, digest)
    fits = _START <= offset <= end - _filled(found.length)
    if max(shape, default=0) > end or offset % _ALIGN or not fits:
        raise BadSnapshot(f"{name}: {found.length} bytes at {offset} do not lie within the file")
    return found


def _checked(data: memoryview, places: Mapping[str, _Place], most: float) -> dict[str, _Place]:
    """Check arrays, the smallest first, up to `most` bytes in all; those that are left."""
    left, seen = dict(places), 0
    for name in sorted(places, key=lambda name: places[name].length):
        seen += places[name].length
        if seen > most:
            break
        _check_array(data, name, left.pop(name))
    return left


def _check_array(data: memoryview, name: str, place: _Place) -> None:
    digest, end = hashlib.sha256(), place.offset + _filled(place.length)
    for first in range(place.offset, end, _CHUNK):
        digest.update(data[first : min(first + _CHUNK, end)])
    if digest.hexdigest() != place.sha256:
        raise BadSnapshot(f"the digest of {name} differs: the file is damaged")


def _array(data: memoryview, place: _Place) -> Array:
    return np.ndarray(place.shape, np.dtype(place.dtype), buffer=data, offset=place.offset)
