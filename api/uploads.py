"""Bodies of requests: multipart to temporary files, digested on the way; JSON within a limit.

A temporary file has no name (`O_TMPFILE` where the system has it, else unlinked at once): it is
gone when it is closed, also by a process that dies.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from flask import Request
from gunicorn.http.errors import ParseException
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

from api.problems import FieldError, InvalidFields
from api.writeback import put_on_disk
from hashdb.errors import EmptyMedia, MediaTooLarge, Unavailable
from hashdb.model import Digests, new_id

log = logging.getLogger("seawall.uploads")

JSON_LIMIT = 32 * 1024 * 1024  # 200,000 frames of about 150 bytes
FORM_LIMIT = 1024 * 1024  # all form fields that are not the media
MAX_PARTS = 32
_CHUNK = 1024 * 1024
_STRIDE = 8 * 1024 * 1024  # of a file, put on the disk at a time; smaller ones may never get there


class IncomingFile(io.RawIOBase):
    """A temporary file that knows its bytes' digests and refuses to grow over `limit` bytes."""

    def __init__(self, folder: Path, limit: int):
        super().__init__()
        with _storing():
            folder.mkdir(parents=True, exist_ok=True)
            self.file = cast(IO[bytes], tempfile.TemporaryFile(dir=folder))  # noqa: SIM115
        self.size = 0
        self._on_disk = 0
        self._limit = limit
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        """Append; `MediaTooLarge` over the limit, `Unavailable` where the disk is full."""
        view = memoryview(data)
        self.size += len(view)
        if self.size > self._limit:
            raise MediaTooLarge(f"the file is larger than {self._limit} bytes")
        self._sha256.update(view)
        self._md5.update(view)
        with _storing():
            self.file.write(view)
            if self.size - self._on_disk >= _STRIDE:
                self.file.flush()
                put_on_disk(self.file.fileno(), self._on_disk, self.size - self._on_disk)
                self._on_disk = self.size
        return len(view)

    def seek(self, offset: int, whence: int = 0) -> int:
        with _storing():  # what is in the buffer is written first
            return self.file.seek(offset, whence)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    @property
    def digests(self) -> Digests:
        return Digests(sha256=self._sha256.hexdigest(), md5=self._md5.hexdigest())

    def media(self) -> BinaryIO:
        """The file, flushed and at its beginning."""
        with _storing():
            self.file.flush()
            self.file.seek(0)
        return cast(BinaryIO, self.file)

    def close(self) -> None:
        with suppress(OSError):  # of what is in the buffer, which nobody wants any more
            self.file.close()
        super().close()


@dataclass(frozen=True, slots=True)
class Form:
    """A multipart body: text fields, each sent once, and the file of the part `media`."""

    fields: dict[str, str]
    media: IncomingFile


@contextmanager
def receive_form(request: Request, folder: Path, limit: int) -> Iterator[Form]:
    """Read a multipart body whose file part is called `media`; the file is gone afterwards.

    Raises `MediaTooLarge`, `EmptyMedia`, `InvalidFields`, `BadArgument` or `Unavailable`.
    """
    opened: list[IncomingFile] = []

    def open_part(*_: object, **__: object) -> IO[bytes]:
        opened.append(IncomingFile(folder, limit))
        return cast(IO[bytes], opened[-1])

    try:
        fields, files = _parse(request, open_part, limit)
        yield Form(_texts(fields, files), _media(fields, files))
    finally:
        for part in opened:
            part.close()


def _parse(
    request: Request, open_part: Any, limit: int
) -> tuple[MultiDict[str, str], MultiDict[str, FileStorage]]:
    request.max_content_length = limit + 2 * FORM_LIMIT
    parser = FormDataParser(
        stream_factory=open_part,
        max_form_memory_size=FORM_LIMIT,
        max_content_length=limit + 2 * FORM_LIMIT,
        max_form_parts=MAX_PARTS,
        silent=False,
    )
    try:
        with _reading():
            _, fields, files = parser.parse(
                request.stream, request.mimetype, request.content_length, request.mimetype_params
            )
    except RequestEntityTooLarge:
        if (request.content_length or 0) > limit + 2 * FORM_LIMIT:
            raise MediaTooLarge(f"the body is larger than {limit} bytes") from None
        raise
    except ValueError as e:
        log.info("a multipart body cannot be read: %s", e)
        raise BadRequest from None
    return fields, files


def _texts(fields: MultiDict[str, str], files: MultiDict[str, FileStorage]) -> dict[str, str]:
    wrong = [
        FieldError(_pointer(name), "sent more than once")
        for name in {*fields, *files}
        if len(fields.getlist(name)) + len(files.getlist(name)) > 1
    ]
    wrong += [FieldError(_pointer(n), "is no file field here") for n in files if n != "media"]
    if wrong:
        raise InvalidFields(wrong)
    return {name: text for name, text in fields.items() if name != "media"}


def _media(fields: MultiDict[str, str], files: MultiDict[str, FileStorage]) -> IncomingFile:
    if "media" in fields:
        raise InvalidFields([FieldError("/media", "must be a file part (with a filename)")])
    if "media" not in files:
        raise InvalidFields([FieldError("/media", "is missing")])
    media = cast(IncomingFile, files["media"].stream)
    if media.size == 0:
        raise EmptyMedia("the file has 0 bytes")
    return media


def _pointer(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")


def receive_json(request: Request, limit: int = JSON_LIMIT) -> bytes:
    """The body's bytes; werkzeug's `RequestEntityTooLarge` over the limit, `BadRequest` where the
    body is broken or ends before its `Content-Length`."""
    told = request.content_length
    if told is not None and told > limit:
        raise RequestEntityTooLarge
    # A chunked body has no length: werkzeug would end it at its limit without a word, so that
    # limit is one byte further than what is ever read.
    request.max_content_length = limit + 2
    body = bytearray()
    with _reading():
        while piece := request.stream.read(min(_CHUNK, limit + 1 - len(body))):
            body += piece
    if len(body) > limit:
        raise RequestEntityTooLarge
    if told is not None and len(body) < told:
        raise BadRequest
    return bytes(body)


def store_durably(source: BinaryIO, folder: Path) -> str:
    """Copy to a new file in the folder that outlives a crash of the machine; its name."""
    name = new_id("spool")
    partial = folder / f".{name}"
    try:
        with _storing():
            folder.mkdir(parents=True, exist_ok=True)
            with partial.open("xb") as target:
                shutil.copyfileobj(source, target, _CHUNK)
                target.flush()
                os.fsync(target.fileno())
            partial.rename(folder / name)
            _fsync_folder(folder)
    except Unavailable:
        partial.unlink(missing_ok=True)
        raise
    return name


def _fsync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _reading() -> Iterator[None]:
    """A body that breaks off, stalls or is chunked wrongly is the caller's trouble."""
    try:
        yield
    except (OSError, ParseException) as e:
        log.info("a body cannot be read: %s", e)
        raise BadRequest from None


@contextmanager
def _storing() -> Iterator[None]:
    """A full or failing disk is the service's trouble, not the caller's."""
    try:
        yield
    except OSError as e:
        log.error("an upload cannot be stored: %s", e)
        raise Unavailable("the upload cannot be stored") from e
