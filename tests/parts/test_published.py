"""Snapshots that other machines fetch: from a folder, and from a real S3 server (moto's)."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from api import tasks, wiring
from api.settings import Settings
from api.spool import Spool
from hashdb.errors import BadSetting, BadSnapshot, Unavailable
from hashdb.format import read_file
from hashdb.index.hamming import HammingIndex
from hashdb.model import Bank
from hashdb.ports import Published
from hashdb.published import LATEST, PublishedSnapshots
from hashdb.snapshot import FILE, KIND, ReferenceIndex, SnapshotState
from hashdb.store import Store
from tests.snapshots import add, fingerprint, found, withdraw


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["folder", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "folder":
        return str(tmp_path / "published" / "here")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", request.getfixturevalue("s3"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    address = f"s3://bucket-{os.urandom(4).hex()}/indices"
    PublishedSnapshots(address)._files.mkdir(address.rsplit("/", 1)[0])
    return address


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store.open(f"sqlite:///{tmp_path / 'seawall.db'}")) as opened:
        yield opened


@pytest.fixture
def bank(store: Store) -> Bank:
    with store.begin() as tx:
        return tx.banks.create("confirmed")


Opened = Callable[..., ReferenceIndex]


@pytest.fixture
def machine(store: Store, tmp_path: Path) -> Opened:
    """An index whose snapshot lies in a folder of that name."""

    def opened(name: str, source: object = None) -> ReferenceIndex:
        index = ReferenceIndex(store, HammingIndex, folder=tmp_path / name, source=source)  # type: ignore[arg-type]
        index.open()
        index.wait()
        return index

    return opened


def publish(index: ReferenceIndex, url: str) -> Published:
    published, file = index.published()
    PublishedSnapshots(url).publish(published, file)
    return published


def not_to_be_called(*_: object) -> None:
    raise AssertionError("the database was read anew")


def listed(url: str) -> set[str]:
    source = PublishedSnapshots(url)
    paths = source._files.ls(source._root, detail=False, refresh=True)
    return {path.rsplit("/", 1)[-1] for path in paths}


def write(url: str, name: str, data: bytes) -> None:
    source = PublishedSnapshots(url)
    source._files.pipe_file(source._path(name), data)


def test_what_is_published_is_fetched(
    store: Store, bank: Bank, machine: Opened, url: str, tmp_path: Path
) -> None:
    add(store, bank, fingerprint(2000))
    source = PublishedSnapshots(url)
    published, file = machine("one").published()
    told: list[tuple[int, int]] = []
    source.publish(published, file, lambda done, every: told.append((done, every)))
    assert source.latest() == published
    assert published.number == 1
    assert published.size == file.stat().st_size
    assert told[-1] == (published.size, published.size)
    told.clear()
    source.fetch(published, tmp_path / "fetched", lambda done, every: told.append((done, every)))
    assert (tmp_path / "fetched").read_bytes() == file.read_bytes()
    assert told[-1] == (published.size, published.size)


def test_the_last_two_are_kept(store: Store, bank: Bank, machine: Opened, url: str) -> None:
    names = []
    for _ in range(4):
        add(store, bank, fingerprint())
        names.append(publish(machine("one"), url).file)
    assert listed(url) == {LATEST, *names[-2:]}
    again = publish(machine("one"), url).file
    assert again == names[-1]
    assert again in listed(url)


def test_a_new_replica_fetches_and_catches_up(
    store: Store, bank: Bank, machine: Opened, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prints = [fingerprint() for _ in range(3)]
    ids = [add(store, bank, f) for f in prints]
    publish(machine("one"), url)
    withdraw(store, ids[0])
    prints.append(fingerprint())
    ids.append(add(store, bank, prints[-1]))
    monkeypatch.setattr(ReferenceIndex, "_built", not_to_be_called)
    replica = machine("two", PublishedSnapshots(url))
    assert replica.snapshot is SnapshotState.GOOD
    assert replica.number == 5
    assert [found(replica, f) for f in prints] == [set(), *({i} for i in ids[1:])]
    assert replica.verify().ok


class Counting(PublishedSnapshots):
    fetched = 0

    def fetch(self, *given: object) -> None:
        self.fetched += 1
        super().fetch(*given)  # type: ignore[arg-type]


def test_a_snapshot_is_fetched_where_the_own_one_is_much_older(
    store: Store, bank: Bank, machine: Opened, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine("two")
    for _ in range(3):
        add(store, bank, fingerprint())
    published = publish(machine("one"), url)
    source = Counting(url)
    monkeypatch.setattr("hashdb.publishing._FETCHED", published.size // 3 - 1)
    assert machine("two", source).number == 3
    assert source.fetched == 0
    monkeypatch.setattr("hashdb.publishing._FETCHED", published.size // 3 + 1)
    for _ in range(2):
        index = machine("two", source)
        assert (index.number, index._saved) == (3, 3)
        assert source.fetched == 1  # the second time its own is as new


def damage(url: str, published: Published) -> None:
    source = PublishedSnapshots(url)
    data = bytearray(source._files.cat_file(source._path(published.file)))
    data[100] ^= 1
    write(url, published.file, bytes(data))


def cut(url: str, published: Published) -> None:
    source = PublishedSnapshots(url)
    write(url, published.file, source._files.cat_file(source._path(published.file))[:-5])


def take_away(url: str, published: Published) -> None:
    source = PublishedSnapshots(url)
    source._files.rm_file(source._path(published.file))


def name_another(url: str, published: Published) -> None:
    latest = {"file": published.file, "digest": "00" * 32, "size": published.size}
    latest |= {"database": published.database, "number": 1, "version": published.version}
    write(url, LATEST, json.dumps(latest).encode())


def scribble(url: str, _: Published) -> None:
    write(url, LATEST, b"<html>")


def name_a_path(url: str, published: Published) -> None:
    latest = {"file": "../" + published.file, "digest": published.digest, "size": published.size}
    latest |= {"database": published.database, "number": 1, "version": published.version}
    write(url, LATEST, json.dumps(latest).encode())


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (damage, "digest"),
        (cut, "it says"),
        (take_away, "FileNotFound"),
        (name_another, "not what was published"),
        (scribble, "cannot be read"),
        (name_a_path, "elsewhere"),
    ],
)
def test_what_is_spoilt_there_is_not_used(
    store: Store,
    bank: Bank,
    machine: Opened,
    url: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[[str, Published], None],
    why: str,
) -> None:
    print_ = fingerprint()
    reference = add(store, bank, print_)
    spoil(url, publish(machine("one"), url))
    with caplog.at_level(logging.WARNING):
        replica = machine("two", PublishedSnapshots(url))
    assert found(replica, print_) == {reference}
    (record,) = [r for r in caplog.records if r.name.startswith("hashdb")]
    assert "no snapshot could be fetched" in record.getMessage()
    assert why in record.getMessage()
    assert os.listdir(tmp_path / "two") == [FILE]


def test_a_snapshot_of_another_database_is_left_there(
    store: Store, bank: Bank, machine: Opened, url: str, tmp_path: Path
) -> None:
    with closing(Store.open(f"sqlite:///{tmp_path / 'other.db'}")) as other:
        index = ReferenceIndex(other, HammingIndex, folder=tmp_path / "other")
        index.open()
        publish(index, url)
    print_ = fingerprint()
    add(store, bank, print_)
    source = Counting(url)
    assert found(machine("two", source), print_)
    assert source.fetched == 0


def test_nothing_is_published_or_nobody_answers(
    store: Store, bank: Bank, machine: Opened, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    print_ = fingerprint()
    add(store, bank, print_)
    assert PublishedSnapshots(url).latest() is None
    assert found(machine("two", PublishedSnapshots(url)), print_)


def test_a_server_that_is_away_does_not_stop_a_start(
    store: Store,
    bank: Bank,
    machine: Opened,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    print_ = fingerprint()
    add(store, bank, print_)
    source = PublishedSnapshots("s3://bucket/indices")
    index = machine("two", source)
    assert found(index, print_)
    assert "no snapshot could be fetched" in caplog.text
    published, file = index.published()
    with pytest.raises(BadSnapshot, match="s3://bucket"):
        source.publish(published, file)


def test_a_damaged_snapshot_is_not_published(store: Store, bank: Bank, machine: Opened) -> None:
    add(store, bank, fingerprint(50))
    index = machine("one")
    file = index.save()
    codes = read_file(file, KIND).arrays["pdq/codes"].tobytes()
    data = bytearray(file.read_bytes())
    data[data.index(codes) + 5] ^= 1
    file.with_name("changed").write_bytes(data)
    os.replace(file.with_name("changed"), file)
    with pytest.raises(BadSnapshot, match="digest"):
        index.published()


@pytest.mark.parametrize("url", ["nowhere://bucket/x"], indirect=False)
def test_an_address_that_fsspec_does_not_know(url: str) -> None:
    with pytest.raises(BadSetting, match="nowhere"):
        PublishedSnapshots(url)


def test_a_server_that_is_asked_at_once_and_is_away(
    sqlite_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    away = "ftp://127.0.0.1:1/x"
    with pytest.raises(Unavailable, match=away):
        PublishedSnapshots(away)
    settings = Settings(data_dir=tmp_path, database_url=sqlite_url)
    with pytest.raises(Unavailable, match=away):
        tasks.archive(settings, away)
    with pytest.raises(Unavailable, match=away):
        Spool(replace(settings, spool=away))
    with closing(wiring.build(replace(settings, index_source=away))):  # a start goes on
        assert f"no snapshot can be fetched: {away}" in caplog.text
