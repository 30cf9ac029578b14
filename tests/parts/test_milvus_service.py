"""Real services that keep their frame hashes on one real Milvus."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from hashdb.index.milvus_server import MilvusServer
from tests.milvus_part import Milvus, milvus_running
from tests.services import Place, add_hashes, hashes, serving, verdict_on

pytestmark = pytest.mark.heavy

BACK_S = 60.0


@pytest.fixture
def own_milvus(tmp_path: Path) -> Iterator[Milvus]:
    """A server of the test's own, as it comes, which it may kill."""
    with milvus_running(tmp_path / "milvus") as server:
        yield server


def place(folder: Path, url: str, milvus: Milvus) -> Place:
    settings = {"SEAWALL_INDEX": "milvus", "SEAWALL_MILVUS": milvus.uri}
    return Place(folder, url, settings=settings)


def soon(what: Callable[[], bool], seconds: float = BACK_S) -> bool:
    until = time.monotonic() + seconds
    while not what():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def asked(client: httpx.Client, seed: int) -> httpx.Response:
    body = {"upload_id": f"up-{seed}-{time.time_ns()}", "fingerprints": hashes(seed)}
    return client.post("/match", json=body)


def test_what_one_adds_the_next_request_to_another_finds(
    postgres_url: str, tmp_path: Path, milvus: Milvus
) -> None:
    places = [place(tmp_path / name, postgres_url, milvus) for name in "ab"]
    places[0].run("bank", "create", "attacks")
    key = places[0].key("admin")
    with ExitStack() as held:
        services = [held.enter_context(serving(each)) for each in places]
        clients = [held.enter_context(service.client(key)) for service in services]
        for seed in range(6):
            adding, asking = clients[seed % 2], clients[1 - seed % 2]
            assert verdict_on(asking, seed)["action"] == "allow"
            reference_id = add_hashes(adding, "attacks", seed)
            assert verdict_on(asking, seed)["action"] == "block"
            assert verdict_on(adding, seed)["action"] == "block"
            if seed % 3 == 2:
                adding.delete(f"/references/{reference_id}").raise_for_status()
                assert verdict_on(asking, seed)["action"] == "allow"
        assert 'seawall_index_codes{signal_type="pdq"} 32.0' in clients[0].get("/metrics").text
    (report,) = places[1].lines("index", "verify")
    assert report["ok"], report
    assert report["codes"]["pdq"] == 32


def test_a_milvus_that_dies_and_comes_back(
    postgres_url: str, tmp_path: Path, own_milvus: Milvus
) -> None:
    """Nothing is allowed while it is away, and nothing is lost of what came meanwhile."""
    places = [place(tmp_path / name, postgres_url, own_milvus) for name in "ab"]
    places[0].run("bank", "create", "attacks")
    key = places[0].key("admin")
    with ExitStack() as held:
        services = [held.enter_context(serving(each)) for each in places]
        one, other = (held.enter_context(service.client(key)) for service in services)
        for seed in range(4):
            add_hashes(one, "attacks", seed)
        assert verdict_on(other, 3)["action"] == "block"

        own_milvus.kill()
        for client in (one, other):
            for seed in (0, 99):
                answer = asked(client, seed)
                assert answer.status_code == 503, answer.text
                assert answer.headers["Content-Type"] == "application/problem+json"
                assert answer.json()["type"] == "/problems/index-unavailable"
                assert int(answer.headers["Retry-After"]) > 0
            ready = client.get("/readyz")
            assert ready.status_code == 503
            assert ready.json()["checks"]["index"] == "failed"
            assert client.get("/healthz").status_code == 200
        add_hashes(one, "attacks", 4)  # the database takes it

        own_milvus.start()
        for client in (one, other):
            assert soon(lambda c=client: c.get("/readyz").status_code == 200)
            for seed in range(5):
                assert verdict_on(client, seed)["action"] == "block"
            assert verdict_on(client, 99)["action"] == "allow"

        own_milvus.halt()  # it takes connections, and says nothing
        answer = asked(one, 0)
        assert answer.status_code == 503, answer.text
        own_milvus.go_on()
        assert soon(lambda: asked(one, 0).status_code == 200)
        assert verdict_on(one, 0)["action"] == "block"
    (report,) = places[0].lines("index", "verify")
    assert report["ok"], report


def test_a_service_starts_without_its_milvus(tmp_path: Path, own_milvus: Milvus) -> None:
    """And is ready when that is there."""
    here = place(tmp_path / "a", f"sqlite:///{tmp_path}/seawall.db", own_milvus)
    here.run("bank", "create", "attacks")
    key = here.key("admin")
    with serving(here) as service, service.client(key) as client:
        add_hashes(client, "attacks", 1)
    own_milvus.kill()
    with serving(here, ready=False) as service, service.client(key) as client:
        assert soon(lambda: answers(client))
        assert client.get("/readyz").status_code == 503
        assert asked(client, 1).status_code == 503
        own_milvus.start()
        assert soon(lambda: client.get("/readyz").status_code == 200)
        assert verdict_on(client, 1)["action"] == "block"


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def test_a_server_that_wants_a_token(tmp_path: Path) -> None:
    """And a database of its own; what the token is stands in no log and no answer."""
    file = tmp_path / "token"
    file.write_text("root:Milvus\n")
    with milvus_running(tmp_path / "milvus", {"authorization_enabled": True}) as server:
        admin = MilvusServer(server.uri, "root:Milvus")
        admin.ask(lambda client, seconds: client.create_database("seawall", timeout=seconds))
        here = place(tmp_path / "a", f"sqlite:///{tmp_path}/seawall.db", server)
        uri = f"{server.uri}/seawall"
        settings = {**here.settings, "SEAWALL_MILVUS": uri, "SEAWALL_MILVUS_TOKEN_FILE": str(file)}
        here = replace(here, settings=settings)
        here.run("bank", "create", "attacks")
        key = here.key("admin")
        with serving(here) as service, service.client(key) as client:
            add_hashes(client, "attacks", 1)
            assert verdict_on(client, 1)["action"] == "block"
        assert admin.ask(lambda client, seconds: client.list_collections(timeout=seconds)) == []
        file.write_text("root:a-wrong-word")
        with (
            (tmp_path / "log").open("w") as log,
            serving(here, ready=False, stderr=log) as service,
            service.client(key) as client,
        ):
            assert soon(lambda: answers(client))
            answer = asked(client, 1)
            assert answer.status_code == 503
            assert client.get("/readyz").status_code == 503
    assert "a-wrong-word" not in (tmp_path / "log").read_text() + answer.text
    assert "Milvus" in (tmp_path / "log").read_text()
