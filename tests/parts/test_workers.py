"""Several real processes on one PostgreSQL: told of changes, and workers that are killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.archives import archive_of, s3_server
from tests.conftest import Postgres, connect
from tests.services import Place, Service, add_hashes, serving, verdict_on

pytestmark = pytest.mark.heavy
MEDIA = Path(__file__).parents[1] / "media"


def soon(what: Callable[[], bool], seconds: float = 90.0) -> bool:
    until = time.monotonic() + seconds
    while not what():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def codes(client: httpx.Client) -> int:
    """How many PDQ codes the asked process has in its index. Asking does not refresh it."""
    text = client.get("/metrics").text
    found = re.search(r'^seawall_index_codes\{signal_type="pdq"\} (\S+)$', text, re.M)
    assert found, text
    return int(float(found[1]))


def test_every_process_is_told_of_changes_and_loses_and_doubles_none(
    own_postgres: Postgres, tmp_path: Path
) -> None:
    url = own_postgres.url("seawall")
    places = [Place(tmp_path / name, url) for name in "abc"]
    places[0].run("bank", "create", "attacks")
    key = places[0].key("admin")
    with ExitStack() as held:
        services = [held.enter_context(serving(place)) for place in places]
        clients = [held.enter_context(service.client(key)) for service in services]
        added = 0

        def told(seconds: float) -> bool:
            return soon(lambda: all(codes(c) == 8 * added for c in clients), seconds)

        for seed in range(12):
            if seed % 3 == 1:
                own_postgres.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name = 'seawall-feed'"
                )
            add_hashes(clients[seed % 3], "attacks", seed)
            added += 1
            assert told(1.0), (seed, [codes(c) for c in clients])
        own_postgres.stop()
        time.sleep(1.5)
        own_postgres.start()
        assert soon(lambda: clients[0].get("/readyz").status_code == 200)
        for seed in range(12, 16):
            add_hashes(clients[seed % 3], "attacks", seed)
            added += 1
        assert told(5.0)  # the listeners come back within a second or so
        add_hashes(clients[0], "attacks", 16)
        added += 1
        assert told(1.0)
        for client in clients:
            assert all(verdict_on(client, seed)["action"] == "block" for seed in range(added))
    for place in places:
        (report,) = place.lines("index", "verify")
        assert report["ok"], report


@contextmanager
def working(place: Place, *arguments: str) -> Iterator[Service]:
    """A `seawall worker` that is ready; killed at the end where the test has not done so."""
    process = place.start("worker", "--port", "0", "--json", *arguments)
    try:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        assert soon(lambda: ready(url))
        yield Service(url, process)
    finally:
        kill(process)


def ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def kill(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    with closing(connect(url)) as connection:
        return [tuple(row) for row in connection.execute(query.encode()).fetchall()]


def test_what_a_killed_worker_had_in_hand_another_does_once(
    postgres_url: str, tmp_path: Path
) -> None:
    place = Place(tmp_path / "data", postgres_url)
    place.run("bank", "create", "attacks")
    key = place.key("admin")
    with serving(place, "--jobs", "0") as service, service.client(key) as client:
        paths = []
        for n in range(6):
            with (MEDIA / "p555_movie.ogv").open("rb") as media:
                answer = client.post(
                    "/match",
                    files={"media": media},
                    data={"upload_id": f"u{n}"},
                    headers={"Prefer": "respond-async"},
                )
            assert answer.status_code == 202
            paths.append(answer.headers["Location"])
        with (MEDIA / "o554_movie.mp4").open("rb") as media:
            answer = client.post(
                "/references",
                files={"media": media},
                data={"bank": "attacks", "source": "later"},
                headers={"Prefer": "respond-async"},
            )
        assert answer.status_code == 202, answer.text
        enrolled = answer.headers["Location"]

        def state(name: str) -> int:
            found = rows(postgres_url, f"SELECT count(*) FROM jobs WHERE state = '{name}'")
            return int(str(found[0][0]))

        assert state("pending") == 7  # `serve --jobs 0` leaves them alone
        with working(place, "--jobs", "2") as worker:
            assert soon(lambda: state("running") == 2)
            assert soon(lambda: state("done") >= 1)
            assert soon(lambda: state("running") == 2)
            worker.kill()
        assert state("running") == 2
        with working(place, "--jobs", "1"), working(place, "--jobs", "1"):
            assert soon(lambda: state("done") == 7)
        jobs = [client.get(path).json() for path in paths]
        assert {j["status"] for j in jobs} == {"done"}
        assert {j["verdict"]["upload_id"] for j in jobs} == {f"u{n}" for n in range(6)}
        reference = client.get(enrolled).json()["reference"]
        assert (reference["source"], reference["bank"]) == ("later", "attacks")
    assert rows(postgres_url, "SELECT count(*) FROM uploads") == [(6,)]
    assert rows(postgres_url, "SELECT count(*) FROM verdicts") == [(6,)]
    assert rows(postgres_url, "SELECT count(*) FROM bank_references") == [(1,)]
    assert rows(postgres_url, "SELECT count(*) FROM audit WHERE act = 'add'") == [(1,)]
    assert list((place.folder / "spool").iterdir()) == []


def test_a_worker_that_is_told_to_stop_gives_back_what_it_has(
    postgres_url: str, tmp_path: Path
) -> None:
    place = Place(tmp_path / "data", postgres_url)
    key = place.key("pipeline")
    with serving(place, "--jobs", "0") as service, service.client(key) as client:
        for _ in range(20):
            with (MEDIA / "o597_bbb.mp4").open("rb") as media:
                headers = {"Prefer": "respond-async"}
                client.post("/match", files={"media": media}, headers=headers).raise_for_status()
        with working(place, "--jobs", "4") as worker:
            done = "SELECT count(*) FROM jobs WHERE state = 'done'"
            assert soon(lambda: rows(postgres_url, done) != [(0,)])
            assert worker.stop() == 0
    assert rows(postgres_url, "SELECT count(*) FROM jobs WHERE state = 'running'") == [(0,)]
    assert rows(postgres_url, "SELECT max(attempts) FROM jobs WHERE state = 'pending'") in (
        [(0,)],
        [(None,)],
    )


def picture(seed: int, path: Path) -> None:
    """Random blotches: a picture of its own, with enough in it for a good hash."""
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((256, 256), Image.Resampling.BICUBIC).save(path)


def filled(folder: Path) -> Path:
    """An archive: 40 pictures of which one is banned, five torn files, an empty one, a video."""
    for n in range(40):
        (folder / f"{n % 4}").mkdir(parents=True, exist_ok=True)
        picture(n, folder / f"{n % 4}" / f"{n:03d}.png")
    for n in range(5):
        (folder / f"torn-{n}.png").write_bytes(b"\x89PNG torn" * n + bytes([n]))
    (folder / "empty.mp4").touch()
    (folder / "video.mp4").write_bytes((MEDIA / "o597_bbb.mp4").read_bytes())
    return folder


ENDED = {"allow": 40, "block": 1, "failed": 6}


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_a_backfill_that_is_killed_again_and_again_judges_all_and_each_once(
    database: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = request.getfixturevalue("postgres_url") if database == "postgres" else None
    place = Place(tmp_path / "data", url)
    archive = filled(tmp_path / "archive")
    place.run("bank", "create", "attacks")
    place.run("reference", "add", "--bank", "attacks", str(archive / "1" / "001.png"))
    arguments = ("backfill", str(archive), "--jobs", "2")

    def status() -> dict[str, object]:
        (found,) = place.lines("backfill", str(archive), "--status")
        return found

    for seconds in (4.0, 6.0):
        process = place.start(*arguments, stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        kill(process)
    with working(place, "--jobs", "1") as worker:
        time.sleep(2.0)
        worker.kill()
    (summary,) = place.lines(*arguments, expect=1)
    assert (summary["walked"], summary["in_hand"]) == (True, 0)
    assert summary["listed"] == 47
    assert summary["ended"] == ENDED
    blocked = place.lines("backfill", str(archive), "--list", "block")
    assert [Path(b["path"]).name for b in blocked] == ["001.png"]
    failed = place.lines("backfill", str(archive), "--list", "failed")
    assert len(failed) == 6
    assert {f["problem"]["status"] for f in failed} == {422}
    (again,) = place.lines(*arguments, expect=1)  # nothing is new: nothing is done
    assert again == summary
    assert status() == summary
    if url is not None:
        assert rows(url, "SELECT count(*) FROM uploads") == [(41,)]
        assert rows(url, "SELECT count(DISTINCT upload_id) FROM uploads") == [(41,)]
        assert rows(url, "SELECT count(*) FROM seen") == [(1,)]
        assert rows(url, "SELECT count(*) FROM reviews") == [(0,)]


def test_workers_backfill_a_bucket(postgres_url: str, tmp_path: Path) -> None:
    place = Place(tmp_path / "data", postgres_url)
    folder = filled(tmp_path / "archive")
    with s3_server() as s3, archive_of("s3", tmp_path, s3) as bucket:
        files = [p for p in folder.rglob("*") if p.is_file()]
        bucket.put({str(p.relative_to(folder)): p.read_bytes() for p in files})
        arguments = ("backfill", bucket.url, "--jobs", "0")
        with working(place, "--jobs", "1"), working(place, "--jobs", "1"):
            (summary,) = place.lines(*arguments, "--rate", "20", expect=1)
            assert summary["ended"] == {"allow": 41, "failed": 6}
            bucket.put({"new.mp4": (MEDIA / "made_av1.mp4").read_bytes()})
            (summary,) = place.lines(*arguments, expect=1)
            assert summary["ended"] == {"allow": 42, "failed": 6}
        assert place.run("backfill", f"{bucket.url}/nothing", expect=0)
        assert place.run("backfill", "s3://no-such-bucket/x", expect=1) == ""
