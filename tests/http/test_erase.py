"""Erasure on request: one upload's record, with an entry in the audit, unless it is needed."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select

from api.jobs import Runner
from hashdb.model import Role
from hashdb.tables import metadata
from tests.http.conftest import OTHER, PICTURE, Make, Service, part, problem

KEPT = ("uploads", "upload_fingerprints", "verdicts", "seen", "reviews", "decisions", "jobs")


def rows(service: Service) -> dict[str, int]:
    with service.parts.store._engine.connect() as raw:
        return {
            name: raw.scalar(select(func.count()).select_from(metadata.tables[name])) or 0
            for name in KEPT
        }


def erase(service: Service, upload_id: str, role: Role = Role.ADMIN) -> Any:
    return service.ask(role, "DELETE", f"/uploads/{upload_id}")


def reviewed(service: Service, upload_id: str) -> str:
    service.bank("maybe", action="review")
    service.reference("maybe")
    assert service.match(upload_id=upload_id).json["action"] == "review"
    (review,) = service.ask(Role.MODERATOR, "GET", "/reviews").json["items"]
    return str(review["id"])


def test_all_that_is_kept_of_an_upload_is_erased_and_nothing_else(service: Service) -> None:
    review = reviewed(service, "u/1")
    service.match(OTHER, upload_id="other")
    before = rows(service)
    problem(erase(service, "u/1"), "upload-busy")
    assert rows(service) == before
    body = {"review_id": review, "action": "allow", "rationale": "news"}
    decision = service.ask(Role.MODERATOR, "POST", "/decisions", json=body).json
    answer = erase(service, "u/1")
    assert answer.json == {
        "upload_id": "u/1",
        "key_id": service.keys[Role.PIPELINE].id,
        "action": "review",
        "decisions": [decision["id"]],
    }
    assert rows(service) == {
        "uploads": 1,
        "upload_fingerprints": before["upload_fingerprints"] // 2,
        "verdicts": 1,
        "seen": 0,
        "reviews": 0,
        "decisions": 0,
        "jobs": 0,
    }
    problem(service.ask(Role.PIPELINE, "GET", "/verdicts/u/1"), "not-found")
    problem(erase(service, "u/1"), "not-found")
    entries = service.ask(Role.ADMIN, "GET", "/audit").json["items"]
    (erased,) = [e for e in entries if e["act"] == "upload.erase"]
    assert (erased["actor"], erased["subject"]) == (service.keys[Role.ADMIN].id, "u/1")
    assert erased["detail"]["decisions"] == [decision["id"]]
    (ruled,) = [e for e in entries if e["act"] == "decide"]  # who ruled stays on record
    assert (ruled["actor"], ruled["subject"]) == (
        service.keys[Role.MODERATOR].id,
        decision["id"],
    )
    assert service.ask(Role.MODERATOR, "GET", "/references").json["items"] != []
    assert service.match(upload_id="u/1").json["action"] == "review"  # a new upload, judged anew


def test_only_an_admin_erases(service: Service) -> None:
    service.match(upload_id="u1")
    for role in (Role.PIPELINE, Role.MODERATOR, Role.PARTNER):
        problem(erase(service, "u1", role), "forbidden")
    problem(service.ask(None, "DELETE", "/uploads/u1"), "unauthenticated")
    assert rows(service)["uploads"] == 1


def test_of_two_keys_with_the_same_id_one_must_be_named(service: Service) -> None:
    service.match(upload_id="u1")
    data = {"media": part(OTHER), "upload_id": "u1"}
    service.ask(Role.ADMIN, "POST", "/match", data=data)
    problem(erase(service, "u1"), "conflict")
    key = service.keys[Role.ADMIN].id
    answer = service.ask(Role.ADMIN, "DELETE", f"/uploads/u1?key_id={key}")
    assert answer.json["key_id"] == key
    assert service.ask(Role.PIPELINE, "GET", "/verdicts/u1").status_code == 200
    problem(service.ask(Role.ADMIN, "DELETE", f"/uploads/u1?key_id={key}"), "not-found")


def test_a_promise_is_kept_first_and_erased_with_its_upload(make_service: Make) -> None:
    service = make_service()
    promised = service.match(upload_id="u1", headers={"Prefer": "respond-async"})
    assert promised.status_code == 202
    key = service.keys[Role.PIPELINE].id
    named = f"/uploads/u1?key_id={key}"
    problem(service.ask(Role.ADMIN, "DELETE", named), "upload-busy")
    assert Runner(service.parts).step("w")
    job = service.ask(Role.PIPELINE, "GET", promised.headers["Location"]).json
    assert job["verdict"]["action"] == "allow"
    assert erase(service, "u1").status_code == 200
    problem(service.ask(Role.PIPELINE, "GET", promised.headers["Location"]), "not-found")
    assert set(rows(service).values()) == {0}


def test_promises_that_failed_are_erased_with_their_files(make_service: Make) -> None:
    service = make_service()
    for _ in range(2):
        service.match(b"no picture", upload_id="u1", headers={"Prefer": "respond-async"})
        assert Runner(service.parts).step("w")
    assert rows(service)["jobs"] == 2
    spool = service.parts.settings.data_dir / "spool"
    with service.parts.store.read() as tx:
        left = tx.retention._promised(service.keys[Role.PIPELINE].id, "u1", "match")
    (spool / left[0].payload["file"]).write_bytes(PICTURE)  # as a crash leaves it
    key = service.keys[Role.PIPELINE].id
    answer = service.ask(Role.ADMIN, "DELETE", f"/uploads/u1?key_id={key}")
    assert answer.json["action"] is None
    assert rows(service)["jobs"] == 0
    assert list(spool.iterdir()) == []
