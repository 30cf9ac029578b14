"""What is received of a large file is put on the disk on the way, and is what was sent."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from api import uploads, writeback
from api.uploads import IncomingFile

MB = 1 << 20


def received(folder: Path, size: int) -> IncomingFile:
    body = bytes(range(256)) * (size // 256)
    file = IncomingFile(folder, size)
    for start in range(0, size, 3 * MB):
        file.write(body[start : start + 3 * MB])
    assert file.media().read() == body
    assert file.digests.sha256 == hashlib.sha256(body).hexdigest()
    return file


def test_a_large_file_goes_to_the_disk_in_strides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []

    def put(descriptor: int, offset: int, size: int) -> None:
        assert os.fstat(descriptor).st_size >= offset + size, "it was written before"
        seen.append((offset, size))

    monkeypatch.setattr(uploads, "put_on_disk", put)
    received(tmp_path, 24 * MB).close()
    assert seen == [(0, 9 * MB), (9 * MB, 9 * MB)]
    seen.clear()
    received(tmp_path, 6 * MB).close()
    assert seen == [], "a small one may be gone before it would be written"


def test_the_bytes_are_what_they_were(tmp_path: Path) -> None:
    received(tmp_path, 24 * MB).close()
    path = tmp_path / "file"
    path.write_bytes(b"seawall" * 1000)
    with path.open("rb") as file:
        writeback.put_on_disk(file.fileno(), 0, 7000)
    assert path.read_bytes() == b"seawall" * 1000


def test_it_does_no_harm_where_there_is_no_disk() -> None:
    reader, writer = os.pipe()
    writeback.put_on_disk(writer, 0, 10)
    os.close(reader)
    os.close(writer)
