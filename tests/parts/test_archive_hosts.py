"""Archives on hosts: FTP, SFTP and SMB, whose file systems' paths do not say whose they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.ftp import FTPFileSystem
from fsspec.registry import _registry as registered

from api import tasks
from api.archive import Archive, Entry
from api.routes.health import png
from api.settings import Settings
from hashdb import filesystems
from hashdb.errors import BadArgument, SeawallError, Unavailable
from hashdb.model import RunCounts
from tests.archives import Files
from tests.fakes import build
from tests.ftp_server import PASSWORD, USER, ftp_server
from tests.hosted import Hosted
from tests.runs import begun, done, items


@pytest.fixture
def hosts() -> Iterator[None]:
    fsspec.register_implementation("hosted", Hosted, clobber=True)
    yield
    Hosted.forget()


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """As from the variable FSSPEC_FTP_PASSWORD, which fsspec reads when it is imported."""
    monkeypatch.setitem(fsspec.config.conf, "ftp", {"password": PASSWORD})
    FTPFileSystem.clear_instance_cache()


def at(url: str, tmp_path: Path) -> Archive:
    return Archive(url, folder=tmp_path / "tmp", limit=1000)


def entries(archive: Archive) -> list[Entry]:
    return [e for page in archive.pages() for e in page.entries]


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("hosted://one/videos/", "hosted://one/videos"),
        ("hosted://ONE/videos", "hosted://one/videos"),
        ("hosted://one:2121/videos", "hosted://one:2121/videos"),
        ("hosted://guest@one/a#b c%20", "hosted://guest@one/a#b c%20"),
        ("hosted://one", "hosted://one"),
    ],
)
def test_an_address_keeps_its_host(hosts: None, tmp_path: Path, url: str, kept: str) -> None:
    archive = at(url, tmp_path)
    assert archive.url == kept
    again = at(archive.url, tmp_path)
    assert (again.url, again._fs.host) == (kept, archive._fs.host.lower())


def test_two_hosts_have_two_objects(hosts: None, tmp_path: Path) -> None:
    found = []
    for host, data in (("one", b"first"), ("two", b"other")):
        Files(f"hosted://{host}/v").put({"a#1.png": data})
        archive = at(f"hosted://{host}/v", tmp_path)
        archive.check()
        (entry,) = entries(archive)
        assert entry.path == f"hosted://{host}/v/a#1.png"
        with archive.opened(entry.path, entry.size, entry.version) as (media, _):
            assert media.read() == data
        found.append(entry)
    assert found[0].size == found[1].size
    assert found[0].key != Entry(found[1].path, found[0].size, found[0].version).key


def test_a_connection_of_sftp_is_made_anew_with_its_own_options_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(registered, "sftp", Hosted)
    archive = at("sftp://me@one:2222/v", tmp_path)
    assert archive._fs.connection == {"port": 2222, "username": "me"}
    assert at(archive.url, tmp_path)._fs is not archive._fs


def test_a_password_in_an_address_is_refused_and_not_repeated(tmp_path: Path) -> None:
    for url in ("ftp://me:s3cr@t@127.0.0.1/v", "zip://*::sftp://me:s3cr@t@127.0.0.1/v.zip"):
        with pytest.raises(BadArgument, match="FTP_PASSWORD") as told:
            at(url, tmp_path)
        assert "s3cr" not in str(told.value)
    with pytest.raises(Unavailable) as away:
        filesystems.opened("ftp://me:s3cr@t@127.0.0.1:9/v")
    assert "me@127.0.0.1:9" in str(away.value)
    assert "s3cr" not in str(away.value)


def test_a_server_of_ftp_is_judged(credentials: None, store_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "served" / "v"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.png", "deep/b.png"):
        (folder / name).write_bytes(png(64))
    parts = build(Settings(data_dir=tmp_path / "data", database_url=store_url))
    with ftp_server(tmp_path / "served") as port:
        url = f"ftp://{USER}@127.0.0.1:{port}/v"
        assert tasks.archive(parts.settings, url).url == url
        run = begun(parts, Files(url))
        assert done(parts, run) == RunCounts(2, {"allow": 2})
        told = {j.payload["path"] for j in items(parts, run, "allow")}
        assert told == {f"{url}/a.png", f"{url}/deep/b.png"}
        (folder / "a.png").write_bytes(png(64))  # as many bytes, written later
        with parts.store.begin() as tx:
            tx.runs.walk_again(run.id)
        assert done(parts, run).listed == 3
    parts.close()


def shut(url: str, tmp_path: Path) -> None:
    """Of an archive that holds `a` and the folders `empty` and `shut`, the last one is told."""
    archive, told = at(url, tmp_path), {}
    for found in entries(archive):
        try:
            with archive.opened(found.path, found.size, found.version):
                told[found.path] = ""
        except SeawallError as error:
            told[found.path] = f"{type(error).__name__} {error}"
    assert set(told) == {f"{url}/a", f"{url}/shut"}
    assert told[f"{url}/a"] == ""
    assert told[f"{url}/shut"].startswith(f"Denied {url}/shut: ")
    assert [e.path for e in entries(at(f"{url}/shut", tmp_path))] == [f"{url}/shut"]


def test_a_folder_that_may_not_be_listed_is_told(hosts: None, tmp_path: Path) -> None:
    files = Files("hosted://one/v")
    files.put({"a": b"1", "shut/b": b"2", "shut/.c": b"3"})
    files._fs.makedirs("/v/empty")
    shut(files.url, tmp_path)


def test_a_folder_of_ftp_that_may_not_be_listed_is_told(credentials: None, tmp_path: Path) -> None:
    for name in ("v/a", "v/shut/b"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"1")
    (tmp_path / "v" / "empty").mkdir()
    with ftp_server(tmp_path) as port:
        shut(f"ftp://{USER}@127.0.0.1:{port}/v", tmp_path)


def test_a_folder_that_may_not_be_listed_fails_as_an_object(
    hosts: None, store_url: str, tmp_path: Path
) -> None:
    parts = build(Settings(data_dir=tmp_path / "data", database_url=store_url))
    files = Files("hosted://one/v")
    files.put({"a.png": png(64), "shut/b.png": png(65)})
    run = begun(parts, files)
    assert done(parts, run) == RunCounts(2, {"allow": 1, "failed": 1})
    (failed,) = items(parts, run, "failed")
    assert failed.payload["path"] == "hosted://one/v/shut"
    assert "Permission denied" in (failed.problem or {})["detail"]
    parts.close()


@pytest.mark.parametrize(
    "url", ["ftp://joe@site.example:secret@host/x", "sftp://joe@a@b:secret@host:22/x"]
)
def test_so_is_one_behind_a_user_who_is_an_address(url: str) -> None:
    with pytest.raises(BadArgument) as refused:
        filesystems.refuse_password(url)
    assert "secret" not in str(refused.value)
    filesystems.refuse_password(url.replace(":secret", ""))
