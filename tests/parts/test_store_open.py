"""Opening the database, sharing it with threads and processes, and losing it."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import exc, make_url, text

from hashdb.errors import BadArgument, BadSetting, DatabaseUnavailable, NotUpgraded
from hashdb.store import Store, schema_is_current, upgrade
from hashdb.store.engine import parse_url
from hashdb.store.failures import TRANSLATIONS, translate
from tests.conftest import Postgres
from tests.parts.store_samples import add, prints, record, together, verdict


def child(code: str, *arguments: str) -> subprocess.Popen[str]:
    """A process of its own that runs the code, with `url` as its first argument."""
    program = "import sys\nfrom hashdb.store import Store\nurl = sys.argv[1]\n"
    command = [sys.executable, "-c", program + textwrap.dedent(code), *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def finished(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


# URLs


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_spelling_of_postgresql_goes_through_psycopg_3(scheme: str) -> None:
    url = parse_url(f"{scheme}://user:pass%40word@host:5433/name?sslmode=require")
    assert url.drivername == "postgresql+psycopg"
    assert (url.password, url.port, url.database) == ("pass@word", 5433, "name")
    assert dict(url.query) == {"sslmode": "require"}


@pytest.mark.parametrize(
    "url",
    ["", "x", "sqlite://", "sqlite:///:memory:", "sqlite:///file:x?uri=true", "mysql://h/d"]
    + ["postgresql+psycopg2://h/d", "sqlite+aiosqlite:///x.db"],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(BadSetting) as error:
        Store.open(url)
    assert "password" not in str(error.value)


def test_a_plain_url_opens_a_real_postgresql(postgres_url: str) -> None:
    plain = postgres_url.replace("postgresql+psycopg://", "postgres://")
    store = Store.open(plain)
    store.ping()
    store.close()


# Making and checking


def test_sqlite_makes_its_folder_and_its_schema(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b" / "ü %20.db"
    store = Store.open(f"sqlite:///{file}")
    with store.begin() as tx:
        tx.banks.create("attacks")
    store.close()
    assert file.exists()
    again = Store.open(f"sqlite:///{file}")
    with again.read() as tx:
        assert tx.banks.get("attacks").name == "attacks"
    again.close()


def test_sqlite_is_set_up_to_keep_what_it_has_acknowledged(sqlite_url: str) -> None:
    store = Store.open(sqlite_url)
    with store._engine.connect() as raw:
        settings = {
            name: raw.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
        }
    store.close()
    full = 2
    assert settings == {
        "journal_mode": "wal",
        "foreign_keys": 1,
        "synchronous": full,
        "busy_timeout": 10_000,
    }


def test_postgresql_is_upgraded_only_when_told(empty_postgres_url: str) -> None:
    assert not schema_is_current(empty_postgres_url)
    with pytest.raises(NotUpgraded, match="seawall db upgrade"):
        Store.open(empty_postgres_url)
    with pytest.raises(NotUpgraded):
        Store.open(empty_postgres_url, upgrade=False)
    Store.open(empty_postgres_url, upgrade=True).close()
    assert schema_is_current(empty_postgres_url)
    Store.open(empty_postgres_url).close()


def test_sqlite_can_be_told_not_to_upgrade(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'x.db'}"
    with pytest.raises(NotUpgraded):
        Store.open(url, upgrade=False)


def test_a_newer_database_is_refused_and_left_alone(store_url: str) -> None:
    store = Store.open(store_url)
    with store._engine.connect().execution_options(seawall_write=True) as raw, raw.begin():
        raw.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for told in (None, True, False):
        with pytest.raises(NotUpgraded, match="9999"):
            Store.open(store_url, upgrade=told)
    with pytest.raises(NotUpgraded):
        upgrade(store_url)
    store.close()


def test_each_database_has_its_own_lasting_identity(store: Store, store_url: str) -> None:
    first = store.identity()
    assert len(first) == 32
    again = Store.open(store_url, upgrade=True)
    assert again.identity() == first
    again.close()


def test_identities_differ(tmp_path: Path) -> None:
    made = [Store.open(f"sqlite:///{tmp_path / name}") for name in ("a.db", "b.db")]
    assert made[0].identity() != made[1].identity()
    for store in made:
        store.close()


# Sharing


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_processes_that_start_at_once_make_one_database(
    engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if engine == "sqlite":
        url = f"sqlite:///{tmp_path / 'new' / 'x.db'}"
    else:
        url = request.getfixturevalue("empty_postgres_url")
    code = """
        print("ready", flush=True); sys.stdin.readline()
        store = Store.open(url, upgrade=True)
        with store.begin() as tx:
            tx.banks.create(sys.argv[2])
        print(store.identity())
    """
    processes = [child(code, url, f"bank{i}") for i in range(3)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    assert len({finished(process) for process in processes}) == 1
    store = Store.open(url)
    with store.read() as tx:
        assert [b.name for b in tx.banks.list()] == ["bank0", "bank1", "bank2"]
    store.close()


def test_threads_that_open_at_once_make_one_database(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new' / 'x.db'}"

    def identity() -> str:
        store = Store.open(url)
        try:
            return store.identity()
        finally:
            store.close()

    answers = together(*[identity] * 6)
    assert len(set(answers)) == 1, answers


def test_threads_and_processes_write_at_once(store: Store, store_url: str) -> None:
    with store.begin() as tx:
        bank = tx.banks.create("attacks")
    code = """
        from hashdb.model import *
        store = Store.open(url)
        for i in range(20):
            with store.begin() as tx:
                tx.banks.add_reference(tx.banks.get("attacks"), kind=MediaKind.IMAGE,
                    digests=Digests(f"{sys.argv[2]}-{i}"), fingerprints=[])
    """
    processes = [child(code, store_url, f"p{i}") for i in range(2)]

    def write(name: str) -> None:
        for i in range(20):
            with store.begin() as tx:
                add(tx, bank, f"{name}-{i}", fingerprints=[prints(20)])

    answers = together(*[lambda n=n: write(n) for n in "abcd"])
    assert answers == [None] * 4
    for process in processes:
        finished(process)
    with store.read() as tx:
        log = tx.changes.since(0)
        assert len({c.reference_id for c in log}) == len(log) == 6 * 20
        assert len(tx.banks.references(limit=1000)[0]) == 6 * 20


def test_a_forked_child_has_its_own_connections(store_url: str) -> None:
    """As a pre-forking server does: open, use, fork, use on both sides."""
    code = """
        import os
        store = Store.open(url)
        store.ping()
        children = [os.fork() for _ in range(1)]
        name = "child" if children == [0] else "parent"
        for i in range(15):
            with store.begin() as tx:
                tx.banks.create(f"{name}{i}")
        if name == "parent":
            assert os.waitpid(children[0], 0)[1] == 0
            with store.read() as tx:
                print(len(tx.banks.list()))
    """
    assert finished(child(code, store_url)) == "30\n"


def test_a_read_sees_one_moment(store: Store) -> None:
    with store.begin() as tx:
        tx.banks.create("before")
    with store.read() as reader:
        assert [b.name for b in reader.banks.list()] == ["before"]
        with store.begin() as tx:
            bank = tx.banks.create("later")
            add(tx, bank)
        assert [b.name for b in reader.banks.list()] == ["before"]
        assert reader.changes.head() == 0
    with store.read() as reader:
        assert len(reader.banks.list()) == 2


def test_a_read_cannot_write(store: Store) -> None:
    def writes() -> None:
        with store.read() as tx:
            tx.banks.create("attacks")

    [error] = together(writes)
    assert isinstance(error, DatabaseUnavailable)
    with store.begin() as tx:
        assert tx.banks.list() == []


def test_a_single_query_sees_what_is_committed_and_holds_nothing(store: Store) -> None:
    for name in ("first", "second", "third"):
        with store.ask() as tx:
            before = [b.name for b in tx.banks.list()]
        with store.ask() as asking:
            with store.begin() as tx:
                tx.banks.create(name)
            assert sorted(b.name for b in asking.banks.list()) == sorted([*before, name])
    with store.read() as reader:  # the connection is as it was for others
        assert len(reader.banks.list()) == 3
        with store.begin() as tx:
            tx.banks.create("later")
        assert len(reader.banks.list()) == 3


def test_a_single_query_cannot_write_to_sqlite(sqlite_url: str) -> None:
    store = Store.open(sqlite_url)

    def writes() -> None:
        with store.ask() as tx:
            tx.banks.create("attacks")

    [error] = together(writes)
    assert isinstance(error, DatabaseUnavailable)
    with store.begin() as tx:
        assert tx.banks.list() == []
    store.close()


def test_an_error_undoes_the_transaction(store: Store) -> None:
    def fails() -> None:
        with store.begin() as tx:
            record(tx, "u1", verdict=verdict("u1"))
            raise ZeroDivisionError

    [error] = together(fails)
    assert isinstance(error, ZeroDivisionError)
    with store.read() as tx:
        assert tx.uploads.verdict("key_a", "u1") is None


@pytest.mark.parametrize("seed", [1, 2])
def test_what_was_acknowledged_survives_a_killed_process(store_url: str, seed: int) -> None:
    code = """
        import numpy as np
        from hashdb.model import *
        store = Store.open(url)
        with store.begin() as tx:
            bank = tx.banks.create("attacks")
        codes = np.zeros((50, 32), np.uint8)
        times = np.arange(50.0)
        prints = Fingerprint("pdq", "t", codes, times, times, codes[:, 0])
        for i in range(100_000):
            with store.begin() as tx:
                made, _ = tx.banks.add_reference(bank, kind=MediaKind.VIDEO,
                    digests=Digests(f"{i:064x}"), fingerprints=[prints])
            print(made.id, flush=True)
    """
    process = child(code, store_url)
    assert process.stdout is not None
    first = process.stdout.readline().strip()
    assert first, process.stderr and process.stderr.read()
    time.sleep(random.Random(seed).uniform(0.05, 0.4))
    process.send_signal(signal.SIGKILL)
    lines = process.stdout.read().splitlines(keepends=True)
    process.communicate()
    acknowledged = [first] + [line.strip() for line in lines if line.endswith("\n")]
    store = Store.open(store_url)
    with store.read() as tx:
        log = [c.reference_id for c in tx.changes.since(0, limit=1_000_000)]
        found = {name: len(f) for name, f in tx.banks.all_fingerprints(["pdq"])}
        assert log[: len(acknowledged)] == acknowledged
        assert len(log) <= len(acknowledged) + 1
        assert found == dict.fromkeys(log, 50)
    store.close()


# Losing it


def test_a_closed_port() -> None:
    url = "postgresql://postgres@127.0.0.1:1/seawall"
    for call in (Store.open, upgrade, schema_is_current):
        with pytest.raises(DatabaseUnavailable, match="127.0.0.1"):
            call(url)


def test_a_wrong_password_is_not_repeated_in_the_error() -> None:
    with pytest.raises(DatabaseUnavailable) as error:
        Store.open("postgresql://postgres:open-sesame@127.0.0.1:1/seawall")
    assert "open-sesame" not in str(error.value)


def test_a_server_that_stops_and_comes_back(own_postgres: Postgres) -> None:
    store = Store.open(own_postgres.url("seawall"))
    with store.begin() as tx:
        tx.banks.create("before")

    def stopped_within() -> None:
        with store.begin() as tx:
            tx.banks.create("lost")
            own_postgres.stop()
            tx.banks.create("never")

    def writes() -> None:
        with store.begin() as tx:
            tx.banks.create("never")

    def reads() -> None:
        with store.read() as tx:
            tx.banks.list()

    def asks() -> None:
        with store.ask() as tx:
            tx.banks.list()

    for call in (stopped_within, writes, reads, asks, store.ping, store.identity):
        with pytest.raises(DatabaseUnavailable):
            call()
    own_postgres.start()
    with store.begin() as tx:
        tx.banks.create("after")
    with store.read() as tx:
        assert [b.name for b in tx.banks.list()] == ["after", "before"]
    store.close()


def test_a_broken_connection_is_replaced(postgres_url: str, postgres: Postgres) -> None:
    """An administrator, or a load balancer, cuts all idle connections."""
    store = Store.open(postgres_url)
    store.ping()
    name = make_url(postgres_url).database
    postgres.execute(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    )
    store.ping()
    store.close()


@pytest.mark.parametrize("garbage", [b"not a database " * 1000, bytes(range(256)) * 32])
def test_a_file_of_garbage(sqlite_url: str, garbage: bytes) -> None:
    store = Store.open(sqlite_url)
    store.ping()
    store.close()
    Path(sqlite_url.removeprefix("sqlite:///")).write_bytes(garbage)

    def writes() -> None:
        with store.begin() as tx:
            tx.banks.create("attacks")

    for call in (writes, store.identity, lambda: Store.open(sqlite_url)):
        with pytest.raises(DatabaseUnavailable, match="not a database"):
            call()
    store.close()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseUnavailable, match="file"):
        Store.open(f"sqlite:///{tmp_path}/file/x.db")


def test_a_folder_in_the_files_place(tmp_path: Path) -> None:
    (tmp_path / "x.db").mkdir()
    with pytest.raises(DatabaseUnavailable, match="unable to open"):
        Store.open(f"sqlite:///{tmp_path}/x.db")


def test_a_database_that_stays_locked(sqlite_url: str) -> None:
    store = Store.open(sqlite_url + "?timeout=0.2")
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as other:
        other.isolation_level = None
        other.execute("BEGIN IMMEDIATE")

        def writes() -> None:
            with store.begin() as tx:
                tx.banks.create("attacks")

        with pytest.raises(DatabaseUnavailable, match="locked"):
            writes()
        with store.read() as tx:  # readers go on
            assert tx.banks.list() == []
        other.execute("ROLLBACK")
        writes()
    store.close()


# Errors


def test_every_database_error_is_in_the_table() -> None:
    def below(kind: type[exc.SQLAlchemyError]) -> set[type[exc.SQLAlchemyError]]:
        return {kind}.union(*(below(k) for k in kind.__subclasses__()))

    assert below(exc.DBAPIError) <= set(TRANSLATIONS)
    assert {exc.TimeoutError, exc.DisconnectionError} <= set(TRANSLATIONS)


def test_defects_in_statements_are_not_called_unavailable() -> None:
    cause = ValueError("no such column")
    for kind in (exc.IntegrityError, exc.ProgrammingError):
        assert translate(kind("SELECT secret", {"p": "secret"}, cause)) is None
    gone = translate(exc.OperationalError("SELECT secret", {"p": "secret"}, cause))
    assert isinstance(gone, DatabaseUnavailable)
    assert str(gone) == "database: no such column"


@pytest.mark.parametrize("bad", ["a lone surrogate \ud800", {"x": float("nan")}, {"x": "\ud800"}])
def test_a_value_that_cannot_be_kept_is_the_callers_error(store: Store, bad: object) -> None:
    def keeps() -> None:
        with store.begin() as tx:
            detail = bad if isinstance(bad, dict) else {}
            tx.audit.record(bad if isinstance(bad, str) else "a", "act", "subject", detail)

    with pytest.raises(BadArgument, match="cannot be stored"):
        keeps()
    with store.read() as tx:
        assert tx.audit.list() == ([], None)


def test_a_nul_character_is_kept_or_refused_but_never_cut(store: Store) -> None:
    def keeps() -> None:
        with store.begin() as tx:
            record(tx, "a\x00b")

    [error] = together(keeps)
    assert error is None or isinstance(error, BadArgument)
    with store.read() as tx:
        assert tx.uploads.verdict("key_a", "a") is None
        if error is None:
            assert tx.uploads.verdicts_by_upload("a\x00b") != []
