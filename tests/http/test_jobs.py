"""Promises."""

from __future__ import annotations

import json
import logging
import threading
import time
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from werkzeug.test import TestResponse

from api.jobs import Runner
from api.metrics import Metrics
from hashdb.errors import DatabaseUnavailable, SandboxFailed
from hashdb.model import Role
from hashdb.store.jobs import Jobs
from hashdb.store.uploads import Uploads
from tests.conftest import connect
from tests.fakes import FakeSandbox
from tests.http.conftest import OTHER, PICTURE, Make, Service, part, problem

ASYNC = {"Prefer": "respond-async"}


def runner(service: Service, **more: Any) -> Runner:
    return Runner(service.parts, Metrics({}), **more)


def job(service: Service, path: str, role: Role = Role.PIPELINE) -> dict[str, Any]:
    answer = service.ask(role, "GET", path)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json
    return found


def test_a_promise_is_kept(service: Service) -> None:
    service.bank()
    service.reference()
    answer = service.match(upload_id="u1", headers=ASYNC)
    assert answer.status_code == 202
    assert answer.headers["Preference-Applied"] == "respond-async"
    path = answer.headers["Location"]
    assert path == f"/jobs/{answer.json['job_id']}"
    assert (answer.json["status"], answer.json["verdict"]) == ("pending", None)
    problem(service.ask(Role.PIPELINE, "GET", "/verdicts/u1"), "not-found")
    assert runner(service).step("w")
    done = job(service, path)
    assert (done["status"], done["verdict"]["action"], done["problem"]) == ("done", "block", None)
    stored = service.ask(Role.PIPELINE, "GET", "/verdicts/u1").json
    assert stored == {**done["verdict"], "found_later": None, "decision": None}
    assert service.match(upload_id="u1").json == done["verdict"]
    assert list((service.parts.settings.data_dir / "spool").iterdir()) == []
    assert not runner(service).step("w")


def test_the_same_upload_has_one_promise(service: Service) -> None:
    first = service.match(upload_id="u1", headers=ASYNC)
    again = service.match(upload_id="u1", headers=ASYNC)
    assert first.json == again.json
    problem(service.match(OTHER, upload_id="u1", headers=ASYNC), "upload-conflict")
    assert len(list((service.parts.settings.data_dir / "spool").iterdir())) == 1
    runner(service).step("w")
    assert service.match(upload_id="u1", headers=ASYNC).json["status"] == "done"


def test_an_upload_that_was_judged_is_not_promised_with_other_bytes(service: Service) -> None:
    judged = service.match(upload_id="u1").json
    problem(service.match(OTHER, upload_id="u1", headers=ASYNC), "upload-conflict")
    assert list((service.parts.settings.data_dir / "spool").iterdir()) == []
    assert not runner(service).step("w")
    right = service.match(upload_id="u1", headers=ASYNC)
    assert right.status_code == 202
    runner(service).step("w")
    assert job(service, right.headers["Location"])["verdict"] == judged


def test_a_promised_upload_id_is_not_judged_with_other_content(service: Service) -> None:
    path = service.match(upload_id="u1", headers=ASYNC).headers["Location"]
    problem(service.match(OTHER, upload_id="u1"), "upload-conflict")
    hashes = {"sha256": sha256(OTHER).hexdigest(), "upload_id": "u1"}
    problem(service.ask(Role.PIPELINE, "POST", "/match", json=hashes), "upload-conflict")
    assert service.match(OTHER, upload_id="u2").status_code == 200
    same = service.match(upload_id="u1").json
    runner(service).step("w")
    assert job(service, path)["verdict"] == same


@pytest.mark.parametrize(("first", "second"), [({}, ASYNC), (ASYNC, {})])
def test_of_two_contents_at_the_same_moment_one_is_taken(
    make_service: Make,
    postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
    first: dict[str, str],
    second: dict[str, str],
) -> None:
    """The other one comes when the first has done all but its commit."""
    service = make_service(database_url=postgres_url)
    other = replace(service, client=service.client.application.test_client())
    answers: list[TestResponse] = []
    thread = threading.Thread(
        target=lambda: answers.append(other.match(OTHER, upload_id="u1", headers=second))
    )
    holder, method = (Jobs, "add") if first else (Uploads, "record")
    does = getattr(holder, method)

    def then_the_other(*args: Any, **more: Any) -> Any:
        done = does(*args, **more)
        thread.start()
        until = time.monotonic() + 30
        while thread.is_alive() and not waits_for_a_lock(postgres_url):
            assert time.monotonic() < until
            time.sleep(0.01)
        return done

    monkeypatch.setattr(holder, method, then_the_other)
    taken = service.match(upload_id="u1", headers=first)
    thread.join(30)
    assert taken.status_code == (202 if first else 200)
    problem(answers[0], "upload-conflict")
    assert runner(service).step("w") == bool(first)
    assert list((service.parts.settings.data_dir / "spool").glob("*")) == []
    if first:
        assert job(service, taken.headers["Location"])["status"] == "done"


def waits_for_a_lock(url: str) -> bool:
    """Whether any connection to that database does."""
    query = "SELECT count(*) FROM pg_stat_activity"
    query += " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with closing(connect(url)) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return bool(row[0])


def test_a_promise_that_failed_does_not_hold_the_upload_id(service: Service) -> None:
    made = []
    for media in (b"text", b"text", PICTURE):
        answer = service.match(media, upload_id="u1", headers=ASYNC)
        assert (answer.status_code, answer.json["status"]) == (202, "pending")
        made.append(answer.headers["Location"])
        again = service.match(media, upload_id="u1", headers=ASYNC)
        assert again.json == answer.json
        if media is PICTURE:
            problem(service.match(OTHER, upload_id="u1"), "upload-conflict")
        assert runner(service).step("w")
    assert [job(service, path)["status"] for path in made] == ["failed", "failed", "done"]
    assert len(set(made)) == 3
    problem(service.match(b"text", upload_id="u1", headers=ASYNC), "upload-conflict")
    assert list((service.parts.settings.data_dir / "spool").iterdir()) == []


def test_hashes_are_promised_too(service: Service) -> None:
    service.bank()
    service.reference()
    body = {"sha256": sha256(PICTURE).hexdigest(), "upload_id": "e1"}
    answer = service.ask(Role.PIPELINE, "POST", "/match", json=body, headers=ASYNC)
    assert answer.status_code == 202
    runner(service).step("w")
    assert job(service, answer.headers["Location"])["verdict"]["action"] == "block"


def test_classifications_reach_the_verdict(service: Service) -> None:
    sent = json.dumps([{"label": "gore", "score": 0.5}])
    answer = service.match(classifications=sent, headers=ASYNC)
    runner(service).step("w")
    verdict = job(service, answer.headers["Location"])["verdict"]
    assert verdict["classifications"][0]["label"] == "gore"


def test_media_that_cannot_be_judged_ends_with_a_problem(service: Service) -> None:
    answer = service.match(b"text", headers=ASYNC)
    runner(service).step("w")
    ended = job(service, answer.headers["Location"])
    assert (ended["status"], ended["verdict"]) == ("failed", None)
    assert ended["problem"]["type"] == "/problems/corrupt-media"
    assert list((service.parts.settings.data_dir / "spool").iterdir()) == []


def test_media_that_kills_its_worker_again_and_again_is_given_up(make_service: Make) -> None:
    def die() -> None:
        raise SandboxFailed("the child died")

    sandbox = FakeSandbox(die)
    service = make_service(sandbox=sandbox)
    answer = service.match(headers=ASYNC)
    tries = runner(service, lease_s=0.02)
    for _ in range(5):
        tries.step("w")
        time.sleep(0.03)
    ended = job(service, answer.headers["Location"])
    assert sandbox.calls == 3
    assert (ended["status"], ended["verdict"]) == ("failed", None)
    assert ended["problem"]["type"] == "/problems/job-abandoned"
    assert ended["problem"]["status"] == 503


def test_a_lease_is_kept_while_the_work_goes_on(make_service: Make) -> None:
    began, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        began.set()
        assert go_on.wait(10)

    service = make_service(sandbox=FakeSandbox(wait))
    service.match(headers=ASYNC)
    worker = threading.Thread(target=runner(service, lease_s=2).step, args=("w1",))
    worker.start()
    assert began.wait(10)
    time.sleep(2.5)
    assert not runner(service).step("w2")
    go_on.set()
    worker.join(10)
    assert not worker.is_alive()


def test_a_job_is_seen_by_its_key_and_by_moderators(service: Service) -> None:
    made = service.ask(
        Role.ADMIN,
        "POST",
        "/match",
        json={"sha256": "0" * 64},
        headers=ASYNC,
    )
    path = made.headers["Location"]
    problem(service.ask(Role.PIPELINE, "GET", path), "not-found")
    assert job(service, path, Role.MODERATOR)["status"] == "pending"
    problem(service.ask(Role.PIPELINE, "GET", "/jobs/job_0"), "not-found")


def test_the_service_keeps_its_promises_by_itself(make_service: Make) -> None:
    service = make_service(jobs=True)
    path = service.match(headers=ASYNC).headers["Location"]
    deadline = time.monotonic() + 10
    while job(service, path)["status"] != "done":
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_only_the_preference_itself_counts(service: Service) -> None:
    assert service.match(headers={"Prefer": "wait=10"}).status_code == 200
    preferred = {"Prefer": "handling=strict, Respond-Async; x=1"}
    assert service.match(headers=preferred).status_code == 202


def test_a_database_that_is_away_is_one_line_in_the_log(
    make_service: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = make_service()

    def away() -> None:
        raise DatabaseUnavailable("database: nobody there")

    for way in ("begin", "read", "ping"):
        monkeypatch.setattr(service.parts.store, way, away)
    works = runner(service, poll_s=0.01)
    works.start()
    time.sleep(0.5)
    works.stop()
    assert len(caplog.records) == 1
    assert service.client.get("/readyz").status_code == 503
    problem(service.ask(Role.PIPELINE, "GET", "/verdicts/u1"), "database-unavailable")
    told = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert {"seawall.jobs", "seawall.http"} < {r.name for r in told}
    assert not any(r.exc_info for r in told)


def promised_reference(service: Service, media: bytes, bank: str = "attacks") -> str:
    data = {"bank": bank, "source": "a partner", "media": part(media)}
    answer = service.ask(Role.MODERATOR, "POST", "/references", data=data, headers=ASYNC)
    assert answer.status_code == 202, answer.text
    assert (answer.json["upload_id"], answer.json["reference"]) == (None, None)
    return str(answer.headers["Location"])


def test_a_reference_is_promised_too(service: Service) -> None:
    service.bank()
    paths = [promised_reference(service, PICTURE) for _ in range(2)]
    assert service.match().json["action"] == "allow"
    while runner(service).step("w"):
        pass
    jobs = [job(service, path, Role.MODERATOR) for path in paths]
    assert {j["status"] for j in jobs} == {"done"}
    assert {j["reference"]["source"] for j in jobs} == {"a partner"}
    assert len({j["reference"]["id"] for j in jobs}) == 1  # promised twice, it is one
    assert service.match(upload_id="later").json["action"] == "block"
    problem(service.ask(Role.PIPELINE, "GET", paths[0]), "not-found")
    assert list((service.parts.settings.data_dir / "spool").iterdir()) == []


def test_a_reference_that_cannot_be_enrolled_ends_with_a_problem(service: Service) -> None:
    service.bank()
    path = promised_reference(service, b"text")
    assert runner(service).step("w")
    ended = job(service, path, Role.MODERATOR)
    assert (ended["status"], ended["reference"]) == ("failed", None)
    assert ended["problem"]["type"] == "/problems/corrupt-media"
    data = {"bank": "nowhere", "media": part(PICTURE)}
    answer = service.ask(Role.MODERATOR, "POST", "/references", data=data, headers=ASYNC)
    problem(answer, "not-found")


def test_promises_come_before_the_items_of_runs(service: Service) -> None:
    with service.parts.store.begin() as tx:
        run = tx.runs.open("look-back", "uploads", {"since": "2020-01-01T00:00:00+00:00"})
        tx.runs.claim("w", 60, kinds=["look-back"])
        tx.runs.advance(run, "w", None, [(str(n), {"uploads": []}) for n in range(3)])
    path = service.match(headers=ASYNC).headers["Location"]
    assert runner(service).step("w")
    assert job(service, path)["status"] == "done"
    with service.parts.store.read() as tx:
        assert tx.runs.counts(run.id).in_hand == 3
    assert runner(service).step("w")
    with service.parts.store.read() as tx:
        assert tx.runs.counts(run.id).in_hand == 2
        (item,) = tx.runs.items(run.id, "nothing")
    problem(service.ask(Role.ADMIN, "GET", f"/jobs/{item.id}"), "not-found")  # no promise
