"""Snapshots in a folder or an object store, by any protocol that fsspec speaks (S3: extra `s3`).

`latest.json` says which file there is the latest; files are named by what is in them and never
changed, so that whoever reads one beside a writer reads one whole snapshot.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from hashdb import filesystems
from hashdb.errors import BadArgument, BadSetting, BadSnapshot
from hashdb.ports import Published

LATEST = "latest.json"

Progress = Callable[[int, int], None]


class PublishedSnapshots:
    """A `hashdb.ports.SnapshotSource` at `url`: a folder's path, `s3://bucket/folder`, ... Raises
    `BadSetting` where what fsspec needs for that protocol is missing, `Unavailable`."""

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            self._files, root = filesystems.opened(url, skip_instance_cache=True)
        except BadArgument as error:
            raise BadSetting(str(error)) from None
        self._root = root.rstrip("/")
        protocol = self._files.protocol
        self._is_folder = "file" in ((protocol,) if isinstance(protocol, str) else protocol)

    def latest(self) -> Published | None:
        """As `SnapshotSource.latest`."""
        with self._translated():
            try:
                text = self._files.cat_file(self._path(LATEST))
            except FileNotFoundError:
                return None
        return _published(text)

    def fetch(self, published: Published, to: Path, progress: Progress | None = None) -> None:
        """As `SnapshotSource.fetch`."""
        with self._translated():
            self._files.get_file(self._path(published.file), str(to), **_told(progress))
        if progress is not None:
            progress(published.size, published.size)  # a folder's copying does not tell

    def publish(self, published: Published, file: Path, progress: Progress | None = None) -> None:
        """Publish a snapshot's file as the latest, and delete old ones. `BadSnapshot` where the
        other side refuses; what was the latest then still is."""
        with self._translated():
            if self._is_folder:  # a bucket is its owner's to make
                self._files.makedirs(self._root, exist_ok=True)
            self._put(published.file, lambda path: self._files.put_file(
                str(file), path, **_told(progress)
            ))  # fmt: skip
            before = self._before()
            text = json.dumps(asdict(published)).encode()
            self._put(LATEST, lambda path: self._files.pipe_file(path, text))
            self._sweep({published.file, before})
        if progress is not None:
            progress(published.size, published.size)

    def _before(self) -> str:
        """The file that was the latest until now."""
        with suppress(BadSnapshot, FileNotFoundError):
            return _published(self._files.cat_file(self._path(LATEST))).file
        return ""

    def _put(self, name: str, write: Callable[[str], object]) -> None:
        """All of it or nothing: in a folder, by a file beside that is renamed."""
        if not self._is_folder:
            write(self._path(name))  # an object store shows an object when it has all of it
            return
        beside = self._path(f".writing-{name}")
        write(beside)
        self._files.mv(beside, self._path(name))

    def _sweep(self, kept: set[str]) -> None:
        for path in self._files.ls(self._root, detail=False, refresh=True):
            name = path.rsplit("/", 1)[-1]
            if name.startswith("references-") and name not in kept:
                self._files.rm_file(path)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """What fsspec and the libraries under it raise, which has no common root."""
        try:
            yield
        except BadSnapshot:
            raise
        except Exception as error:
            raise BadSnapshot(f"{self.url}: {type(error).__name__}: {error}") from error


def _published(text: bytes) -> Published:
    try:
        found = json.loads(text)
        published = Published(**{f.name: found[f.name] for f in fields(Published)})
    except (ValueError, KeyError, TypeError):
        raise BadSnapshot(f"{LATEST} cannot be read") from None
    types = {f.name: str if f.type == "str" else int for f in fields(Published)}
    for name, wanted in types.items():
        if type(getattr(published, name)) is not wanted:
            raise BadSnapshot(f"{LATEST} cannot be read: {name}")
    if "/" in published.file:
        raise BadSnapshot(f"{LATEST} names a file elsewhere")
    return published


def _told(progress: Progress | None) -> dict[str, Any]:
    """What makes fsspec tell of its progress."""
    if progress is None:
        return {}
    from fsspec.callbacks import Callback

    tell = progress

    class Told(Callback):  # type: ignore[misc]
        def call(self, hook_name: str | None = None, **_: object) -> None:
            tell(self.value or 0, self.size or 0)

    return {"callback": Told()}
