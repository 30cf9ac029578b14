"""An archive of media: a folder, or whatever fsspec opens (`s3://bucket/prefix`), walked page by
page and read object by object.

A walk holds one page. A bucket is listed in the order of its keys, so a walk goes on behind any
of them; a folder has no such order and is walked anew, and who asked knows its objects again by
their keys. Other stores are listed directory by directory, and hold one directory.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from api.files import must_be_file
from api.names import printable
from api.uploads import IncomingFile
from hashdb import filesystems
from hashdb.errors import (
    BadArgument,
    Denied,
    EmptyMedia,
    MediaTooLarge,
    NotFound,
    SeawallError,
    Unavailable,
)
from hashdb.model import Digests
from matcher.digest import digest_file

PAGE = 500
_CHUNK = 1 << 20
_VERSIONS = (
    "ETag", "etag", "md5", "content_md5", "mtime", "LastModified", "modified", "modify", "created",
)  # fmt: skip
"""What file systems call that which tells one version of an object from another."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An object: its path as its file system says it, behind its host where that says none; its
    bytes, and its `version`, which changes when they do (an ETag, or when it was last written)."""

    path: str
    size: int
    version: str

    @property
    def key(self) -> str:
        """What it is known by: 32 hex digits. The same path with other bytes is another object."""
        words = f"{self.path}\n{self.size}\n{self.version}"
        return hashlib.sha256(words.encode("utf-8", "surrogateescape")).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Page:
    """Some objects, and where a walk goes on behind them; None where it must begin anew."""

    entries: Sequence[Entry]
    cursor: str | None


class Archive:
    """One archive. `folder`: where objects are copied to while they are read; they may have
    `limit` bytes. Raises `BadArgument` for a URL that nothing here can open, `Unavailable`."""

    def __init__(self, url: str, *, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        filesystems.refuse_password(url)
        self._fs, self._root = filesystems.opened(url, use_listings_cache=False)
        protocol = self._fs.protocol
        self._protocol: str = protocol if isinstance(protocol, str) else protocol[0]
        self._host = filesystems.host_of(self._fs, self._protocol, url)
        self.url: str = self._host + self._root
        if not self._host:
            self.url = self._fs.unstrip_protocol(self._root)

    def check(self) -> None:
        """Raises `NotFound` where there is no such archive, `Unavailable` where it is away."""
        with _translated(self.url):
            if self._protocol == "s3":
                self._listed(*_bucket_and_prefix(self._root), None, 1)
            elif not self._fs.exists(self._root):
                raise NotFound(f"{self.url}: there is no such thing")

    def pages(self, after: str | None = None) -> Iterator[Page]:
        """All objects but hidden ones, those behind the cursor `after` where it is given."""
        with _translated(self.url):
            if self._protocol == "s3":
                yield from self._bucket(after)
                return
            entries = iter(self._scanned(self._root) if self._is_local() else self._walked())
            while some := list(islice(entries, PAGE)):
                yield Page(some, None)

    @contextmanager
    def opened(self, path: str, size: int, version: str) -> Iterator[tuple[BinaryIO, Digests]]:
        """An object as a file at its beginning, and its digests. Raises `NotFound` where it is
        gone or another one by now, `Denied` where it may not be read, `BadArgument` where it is no
        file, the `BadMedia` family for its size, `Unavailable`."""
        name = printable(path)
        if self._is_local():
            with _translated(name):
                must_be_file(path)
        elif size == 0 and self._protocol != "s3":
            with _translated(name):
                self._must_be_no_folder(path.removeprefix(self._host))
        if size == 0:
            raise EmptyMedia("the object has 0 bytes")
        if size > self._limit:
            raise MediaTooLarge(f"the object is larger than {self._limit} bytes")
        if self._is_local():
            with ExitStack() as held:
                with _translated(name):
                    file = held.enter_context(open(path, "rb"))
                    if _version_of(os.fstat(file.fileno())) != version:
                        raise NotFound(f"{name} is another file than the one that was listed")
                    digests = digest_file(file)
                yield file, digests
            return
        with IncomingFile(self._folder, self._limit) as copy:
            with _translated(name), self._fs.open(path.removeprefix(self._host), "rb") as source:
                shutil.copyfileobj(source, copy, _CHUNK)
            if copy.size != size:
                raise NotFound(f"{name} is another object than the one that was listed")
            yield copy.media(), copy.digests

    def _is_local(self) -> bool:
        return self._protocol == "file"

    def _bucket(self, after: str | None) -> Iterator[Page]:
        """A bucket in the order of its keys; a prefix is a folder, or one object."""
        bucket, prefix = _bucket_and_prefix(self._root)
        folder = f"{prefix}/" if prefix else ""
        found = self._listed(bucket, folder, after, PAGE)
        if prefix and after is None and not found:
            found = [o for o in self._listed(bucket, prefix, None, 1) if o["Key"] == prefix]
        while found:
            last = str(found[-1]["Key"])
            yield Page([_object(bucket, o) for o in found if not _hidden(o["Key"], folder)], last)
            found = self._listed(bucket, folder, last, PAGE) if last != prefix else []

    def _listed(
        self, bucket: str, prefix: str, after: str | None, most: int
    ) -> list[Mapping[str, Any]]:
        more = {"StartAfter": after} if after else {}
        answer = self._fs.call_s3(
            "list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=most, **more
        )
        return list(answer.get("Contents", ()))

    def _scanned(self, path: str) -> Iterator[Entry]:
        """What cannot be read is an object too: why is told when it is tried."""
        try:
            found = os.scandir(path)
        except NotADirectoryError:
            yield _file(path)
            return
        except PermissionError:
            yield Entry(path, 0, "")
            return
        except FileNotFoundError:
            if path == self._root:
                raise
            return  # it went while its neighbours were listed
        with found:
            for each in found:
                if each.name.startswith("."):
                    continue
                if each.is_dir(follow_symlinks=False):
                    yield from self._scanned(each.path)
                else:
                    yield _file(each.path)

    def _walked(self) -> Iterator[Entry]:
        if self._fs.isfile(self._root):
            yield self._entry(self._fs.info(self._root))
        else:
            yield from self._within(self._root)

    def _within(self, folder: str) -> Iterator[Entry]:
        """A folder that cannot be listed is an object, as one of this machine is."""
        try:
            found = filesystems.listed(self._fs, folder)
        except (PermissionError, FileNotFoundError):
            yield Entry(f"{self._host}{folder}", 0, "")
            return
        for info in found:
            path = info["name"].rstrip("/")
            if path.rpartition("/")[2].startswith("."):
                continue
            if info["type"] == "directory":
                yield from self._within(path)
            else:
                yield self._entry(info)

    def _must_be_no_folder(self, path: str) -> None:
        """Raises `BadArgument` for a folder, and the `OSError` that stands in the way of listing
        it."""
        if self._fs.isdir(path):
            filesystems.listed(self._fs, path)
            raise BadArgument("a folder")

    def _entry(self, info: Mapping[str, Any]) -> Entry:
        path = f"{self._host}{info['name']}"
        return Entry(path, int(info["size"] or 0), _version_told(info))


def _bucket_and_prefix(root: str) -> tuple[str, str]:
    bucket, _, prefix = root.partition("/")
    return bucket, prefix.strip("/")


def _hidden(key: str, folder: str) -> bool:
    """Hidden below the folder, or the mark of a folder."""
    return key.endswith("/") or any(p.startswith(".") for p in key.removeprefix(folder).split("/"))


def _object(bucket: str, found: Mapping[str, Any]) -> Entry:
    return Entry(f"{bucket}/{found['Key']}", int(found["Size"]), str(found["ETag"]).strip('"'))


def _file(path: str) -> Entry:
    try:
        found = os.stat(path)
    except OSError:  # a link to nothing, or in a folder that tells names and no more
        return Entry(path, 0, "")
    return Entry(path, found.st_size, _version_of(found))


def _version_of(found: os.stat_result) -> str:
    return f"{found.st_size}-{found.st_mtime_ns}"


def _version_told(info: Mapping[str, Any]) -> str:
    """By whatever file system; each names differently what tells one version from another."""
    return next((str(info[name]) for name in _VERSIONS if info.get(name)), "")


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Each file system has errors of its own; most are `OSError`s, but not those of a driver."""
    try:
        yield
    except SeawallError:
        raise
    except FileNotFoundError as error:
        raise NotFound(f"{what}: there is no such thing") from error
    except PermissionError as error:
        raise Denied(f"{what}: {error.strerror or error}") from error
    except Exception as error:
        raise Unavailable(f"{what}: {type(error).__name__}: {error}") from error
