"""Archives: a folder, a bucket, and any other place that fsspec opens keep the same promises."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from api import archive as archives
from api.archive import Archive, Entry
from hashdb.errors import (
    BadArgument,
    Denied,
    EmptyMedia,
    MediaTooLarge,
    NotFound,
    SeawallError,
    Unavailable,
)
from tests.archives import Files, archive_of, s3_server
from tests.unprivileged import unprivileged


@pytest.fixture(scope="module")
def s3() -> Iterator[Mapping[str, str]]:
    with s3_server() as environment:
        yield environment


@pytest.fixture(params=["folder", "memory", "s3"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Files]:
    s3 = request.getfixturevalue("s3") if request.param == "s3" else None
    with archive_of(request.param, tmp_path, s3) as made:
        yield made


def opened(files: Files, tmp_path: Path, sub: str = "", limit: int = 1000) -> Archive:
    return Archive(f"{files.url}{sub}", folder=tmp_path / "tmp", limit=limit)


def names(archive: Archive, after: str | None = None) -> list[str]:
    found = [e for page in archive.pages(after) for e in page.entries]
    return sorted(e.path.rpartition("/")[2] for e in found)


def entry(archive: Archive) -> Entry:
    (found,) = [e for page in archive.pages() for e in page.entries]
    return found


def test_all_objects_but_hidden_ones_are_found(files: Files, tmp_path: Path) -> None:
    shown = {"a.mp4": b"1", "b/c.mp4": b"22", "b/d/e": b"3"}
    files.put({**shown, ".hidden": b"x", "b/.hidden/f": b"x", "b/.g": b"x"})
    archive = opened(files, tmp_path)
    archive.check()
    assert names(archive) == ["a.mp4", "c.mp4", "e"]
    assert names(opened(files, tmp_path, "/b")) == ["c.mp4", "e"]
    assert names(opened(files, tmp_path, "/b/c.mp4")) == ["c.mp4"]
    sizes = {e.path.rpartition("/")[2]: e.size for p in archive.pages() for e in p.entries}
    assert sizes == {"a.mp4": 1, "c.mp4": 2, "e": 1}


def test_a_folder_is_not_the_one_whose_name_begins_alike(files: Files, tmp_path: Path) -> None:
    files.put({"2024/a": b"1", "2024-old/b": b"2"})
    assert names(opened(files, tmp_path, "/2024")) == ["a"]
    assert names(opened(files, tmp_path, "/2024/")) == ["a"]


def test_pages_are_small_and_a_bucket_goes_on_behind_any(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "PAGE", 3)
    files.put({f"{n:02d}": b"x" for n in range(10)})
    archive = opened(files, tmp_path)
    pages = list(archive.pages())
    assert [len(p.entries) for p in pages] == [3, 3, 3, 1]
    assert len({e.key for p in pages for e in p.entries}) == 10
    for n, page in enumerate(pages):
        if page.cursor is not None:
            assert files.url.startswith("s3")
            assert names(archive, page.cursor) == [f"{i:02d}" for i in range(3 * n + 3, 10)]


def test_an_object_is_read_with_its_digests(files: Files, tmp_path: Path) -> None:
    files.put({"a": b"some bytes"})
    archive = opened(files, tmp_path)
    found = entry(archive)
    with archive.opened(found.path, found.size, found.version) as (media, digests):
        assert media.read() == b"some bytes"
        assert media.fileno() > 0  # the sandbox is handed a descriptor
    assert digests.sha256 == hashlib.sha256(b"some bytes").hexdigest()


def test_other_bytes_under_the_same_name_are_another_object(files: Files, tmp_path: Path) -> None:
    files.put({"a": b"before"})
    archive = opened(files, tmp_path)
    before = entry(archive)
    assert entry(archive).key == before.key
    files.put({"a": b"and after"})
    assert entry(archive).key != before.key
    with (
        pytest.raises(NotFound, match="another"),
        archive.opened(before.path, before.size, before.version),
    ):
        pass
    files.remove("a")
    with pytest.raises(NotFound), archive.opened(before.path, before.size, before.version):
        pass


def test_what_is_empty_or_too_large_is_not_read(files: Files, tmp_path: Path) -> None:
    files.put({"a": b"x" * 11})
    archive = opened(files, tmp_path, limit=10)
    found = entry(archive)
    with pytest.raises(MediaTooLarge), archive.opened(found.path, found.size, found.version):
        pass
    with pytest.raises(EmptyMedia), archive.opened(found.path, 0, found.version):
        pass


def test_what_is_not_there_is_told(files: Files, tmp_path: Path) -> None:
    files.put({"a": b"1"})
    nothing = opened(files, tmp_path, "/nothing")
    if files.url.startswith("s3"):  # a bucket has no folders: there is just nothing in it
        assert names(nothing) == []
        return
    with pytest.raises(NotFound):
        nothing.check()


def test_a_bucket_that_is_not_there_is_told(s3: Mapping[str, str], tmp_path: Path) -> None:
    with archive_of("s3", tmp_path, s3), pytest.raises(NotFound):
        Archive("s3://no-such-bucket/x", folder=tmp_path, limit=10).check()


def test_a_server_that_is_away_is_told(
    s3: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with archive_of("s3", tmp_path, {**s3}) as files:
        files.put({"a": b"1"})
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        type(files._fs).clear_instance_cache()
        with pytest.raises(Unavailable):
            Archive(files.url, folder=tmp_path, limit=10).check()


@pytest.mark.parametrize("url", ["nonsense://a/b", "s4://bucket"])
def test_a_url_that_nothing_opens_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(BadArgument):
        Archive(url, folder=tmp_path, limit=10)


def test_what_cannot_be_read_is_listed_and_told(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    for path in ("shut/a", "names-only/b", "good"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"1")
    (folder / "closed").write_bytes(b"1")
    (folder / "link").symlink_to(folder)
    (folder / "torn").symlink_to("nothing")
    os.mkfifo(folder / "pipe")
    modes = {"shut": 0o700, "names-only": 0o700, "closed": 0o600}
    for name, mode in modes.items():
        (folder / name).chmod(mode & 0o400 if name == "names-only" else 0)
    archive, told = archive_at(folder), {}
    with unprivileged():
        assert [e.path for e in next(archive_at(folder / "shut").pages()).entries] == [
            f"{folder}/shut"
        ]
        for found in next(archive.pages()).entries:
            try:
                with archive.opened(found.path, found.size, found.version):
                    why: object = None
            except SeawallError as error:
                why = type(error)
            told[found.path.rpartition("/")[2]] = why
    for name, mode in modes.items():
        (folder / name).chmod(mode)
    refused = dict.fromkeys(("shut", "b", "closed"), Denied)
    assert told == {"good": None, "torn": NotFound, **refused} | dict.fromkeys(
        ("link", "pipe"), BadArgument
    )


def archive_at(folder: Path) -> Archive:
    return Archive(str(folder), folder=folder, limit=1000)
