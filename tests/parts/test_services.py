"""Several real processes: one database behind two services, and two services side by side."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.serve import SLICE_S
from hashdb.store import Store
from tests.services import (
    SLICES,
    Place,
    Service,
    add_hashes,
    serving,
    slice_of,
    verdict_on,
)

pytestmark = pytest.mark.heavy


def within_a_second(what: Callable[[], bool]) -> bool:
    until = time.monotonic() + 1.0
    while not what():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def test_what_one_process_adds_another_matches_within_a_second(
    postgres_url: str, tmp_path: Path
) -> None:
    one = Place(tmp_path / "one", postgres_url)
    two = Place(tmp_path / "two", postgres_url)
    one.run("bank", "create", "attacks")
    key = one.key("admin")
    with (
        serving(one) as first,
        serving(two) as second,
        first.client(key) as adding,
        second.client(key) as asking,
    ):
        for seed in range(20):
            assert verdict_on(asking, seed)["action"] == "allow"
            reference_id = add_hashes(adding, "attacks", seed)
            assert within_a_second(lambda s=seed: verdict_on(asking, s)["action"] == "block")
            if seed % 2:
                adding.delete(f"/references/{reference_id}").raise_for_status()
                assert within_a_second(lambda s=seed: verdict_on(asking, s)["action"] == "allow")
        answer = adding.patch("/banks/attacks", json={"enabled": False})
        assert answer.status_code == 200, answer.text
        assert within_a_second(lambda: verdict_on(asking, 0)["action"] == "allow")


def test_two_workers_answer_alike(tmp_path: Path) -> None:
    place = Place(tmp_path / "data")
    place.run("bank", "create", "attacks")
    key = place.key("admin")
    with serving(place, "--workers", "2") as service:
        for seed in range(10):
            with service.client(key) as client:
                add_hashes(client, "attacks", seed)
            for _ in range(4):  # each connection may be another worker's
                with service.client(key) as client:
                    assert verdict_on(client, seed)["action"] == "block"
        assert service.stop() == 0


@pytest.mark.skipif(not SLICES, reason="needs Linux 6.12")
def test_each_thread_of_a_worker_goes_before_tasks_that_compute(tmp_path: Path) -> None:
    place = Place(tmp_path / "data")
    place.run("bank", "create", "attacks")
    with serving(place, "--jobs", "0") as service:
        (worker,) = children(service.process.pid)
        with service.client(place.key("admin")) as client:
            assert verdict_on(client, 1)["action"] == "allow"
        threads = [int(task.name) for task in Path(f"/proc/{worker}/task").iterdir()]
        assert len(threads) > 1
        assert {slice_of(thread) for thread in threads} == {round(1e9 * SLICE_S)}


def test_workers_count_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever is asked for metrics; also when one of them is gone and was replaced."""
    place = Place(tmp_path / "data")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    with serving(place, "--workers", "2") as service:
        moderator = {"Authorization": f"Bearer {place.key('moderator')}"}

        def counted() -> set[float]:
            """What several workers say of the requests for /banks."""
            told = set()
            for _ in range(20):
                text = httpx.get(f"{service.url}/metrics", headers=moderator).text
                found = re.search(r'seawall_requests_total\{[^}]*"/banks"[^}]*\} (\S+)', text)
                told.add(float(found[1]) if found else 0.0)
                assert 'seawall_uploads_in_hand{state="judging"} 0.0' in text
            return told

        for _ in range(20):
            assert httpx.get(f"{service.url}/banks", headers=moderator).status_code == 200
        assert counted() == {20.0}
        (folder,) = temporary.glob("seawall-metrics-*")
        workers = children(service.process.pid)
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGKILL)
        until = time.monotonic() + 30
        while len(set(children(service.process.pid)) - {workers[0]}) < 2:
            assert time.monotonic() < until
            time.sleep(0.1)
        assert counted() == {20.0}
        assert len(list(folder.iterdir())) == 6, "three a worker, and none of those that are gone"
        service.stop()
    assert not folder.exists()


def children(pid: int) -> list[int]:
    """A process's own workers: gunicorn's, which are forked from it."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in listed]


def test_a_service_that_is_told_to_stop_finishes_its_answers(tmp_path: Path) -> None:
    place = Place(tmp_path / "data")
    place.run("bank", "create", "attacks")
    key = place.key("pipeline")
    video = Path(__file__).parent.parent / "media" / "o597_bbb.mp4"
    with serving(place) as service, service.client(key) as client, video.open("rb") as media:
        request = client.build_request("POST", "/match", files={"media": media})
        answers: list[httpx.Response] = []
        asking = threading.Thread(target=lambda: answers.append(client.send(request)))
        asking.start()
        time.sleep(0.5)
        assert service.stop() == 0
        asking.join()
    assert [a.status_code for a in answers] == [200]


def test_a_wrong_key_is_answered_before_the_upload_is_read(tmp_path: Path) -> None:
    place = Place(tmp_path / "data")
    with serving(place) as service:
        host, port = service.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(
                b"POST /match HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n"
                b"Content-Type: multipart/form-data; boundary=b\r\n"
                b"Authorization: Bearer swk_" + b"x" * 43 + b"\r\n\r\n--b\r\n"
            )
            assert b" 401 " in connection.recv(4096).split(b"\r\n")[0]


def test_half_requests_do_not_hold_the_threads_for_good(tmp_path: Path) -> None:
    quick = (
        "import os; os.environ.update(SEAWALL_DECODERS='1', SEAWALL_DECODE_QUEUE='1')\n"
        "import api.serve; api.serve.STALLED_AFTER_S = 2; from api.cli import main; main()"
    )  # 4 threads for uploads beside the 4 that are asked for
    place = Place(tmp_path / "data", program=(sys.executable, "-c", quick))
    with serving(place, "--threads", "4") as service, ExitStack() as open_connections:
        host, port = service.url.removeprefix("http://").split(":")
        for half in (b"GET /healthz HTT", b"POST /match HTTP/1.1\r\nHost: x\r\n") * 8:
            connection = socket.create_connection((host, int(port)), timeout=20)
            open_connections.enter_context(connection)
            connection.sendall(half)
        began = time.monotonic()
        assert httpx.get(f"{service.url}/healthz", timeout=30).status_code == 200
        assert 1.0 < time.monotonic() - began < 15.0


class Partners:
    """Two services of different owners; the second one pulls from the first."""

    def __init__(self, tmp_path: Path) -> None:
        self.theirs = Place(tmp_path / "theirs")
        self.ours = Place(tmp_path / "ours")
        self.theirs.run("bank", "create", "shared")
        self.ours.run("bank", "create", "pulled")
        self.their_admin = self.theirs.key("admin")
        self.our_admin = self.ours.key("admin")
        (tmp_path / "key").write_text(self.theirs.key("partner"))
        self._key_file = str(tmp_path / "key")

    def command(self, service: Service) -> tuple[str, ...]:
        return ("sync", "pull", service.url, "--bank", "pulled", "--key-file", self._key_file)

    def pull(self, service: Service) -> dict[str, Any]:
        (done,) = self.ours.lines(*self.command(service))
        return done

    def origins(self) -> list[str]:
        """The living references' origins, in our bank."""
        store = Store.open(f"sqlite:///{self.ours.folder / 'seawall.db'}")
        with store.read() as tx:
            found, _ = tx.banks.references(bank="pulled", state="enabled", limit=1000)
        store.close()
        return [str(r.origin) for r in found]


def test_a_list_goes_from_one_service_to_another_and_back_out(tmp_path: Path) -> None:
    partners = Partners(tmp_path)
    with (
        serving(partners.theirs) as theirs,
        serving(partners.ours) as ours,
        theirs.client(partners.their_admin) as them,
        ours.client(partners.our_admin) as us,
    ):
        ids = [add_hashes(them, "shared", seed) for seed in range(5)]
        assert verdict_on(us, 0)["action"] == "allow"
        assert partners.pull(theirs)["added"] == 5
        assert within_a_second(lambda: verdict_on(us, 0)["action"] == "block")
        assert verdict_on(us, 0)["matches"][0]["bank"] == "pulled"

        them.delete(f"/references/{ids[0]}").raise_for_status()
        them.patch(f"/references/{ids[1]}", json={"enabled": False}).raise_for_status()
        assert partners.pull(theirs)["withdrawn"] == 2
        assert within_a_second(lambda: verdict_on(us, 0)["action"] == "allow")
        them.patch(f"/references/{ids[1]}", json={"enabled": True}).raise_for_status()
        assert partners.pull(theirs)["added"] == 1
        assert within_a_second(lambda: verdict_on(us, 1)["action"] == "block")
        done = partners.pull(theirs)
        assert (done["added"], done["known"], done["withdrawn"]) == (0, 0, 0)
    assert sorted(partners.origins()) == sorted(ids[1:])


def test_a_pull_that_is_killed_loses_and_doubles_nothing(tmp_path: Path) -> None:
    moments = random.Random(2021)
    partners = Partners(tmp_path)
    with serving(partners.theirs) as theirs:
        with theirs.client(partners.their_admin) as them:
            ids = [add_hashes(them, "shared", seed) for seed in range(450)]
            gone = ids[::9]
            for reference_id in gone:
                them.delete(f"/references/{reference_id}").raise_for_status()
        killed = 0
        for _ in range(4):
            process = partners.ours.start(*partners.command(theirs))
            wanted = moments.randrange(1, len(ids))
            while process.poll() is None and len(partners.origins()) < wanted:
                time.sleep(0.01)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                killed += 1
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
        partners.pull(theirs)
        assert partners.pull(theirs)["added"] == 0
    assert killed > 0
    assert sorted(partners.origins()) == sorted(set(ids) - set(gone))
    (report,) = partners.ours.lines("index", "verify")
    assert report["ok"], report
