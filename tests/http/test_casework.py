"""Reviews and decisions."""

from __future__ import annotations

import pytest

from hashdb.model import Role
from tests.http.conftest import OTHER, PICTURE, Service, part, problem


def open_review(service: Service, upload_id: str, role: Role = Role.PIPELINE) -> None:
    data = {"media": part(PICTURE), "upload_id": upload_id}
    answer = service.ask(role, "POST", "/match", data=data)
    assert answer.json["action"] == "review", answer.json


def reviewing(service: Service) -> None:
    service.bank("maybe", action="review")
    service.reference("maybe")


def decide(service: Service, **body: object):
    whole = {"action": "block", "rationale": "seen\nit", **body}
    return service.ask(Role.MODERATOR, "POST", "/decisions", json=whole)


def test_a_review_is_listed_until_it_is_decided(service: Service) -> None:
    reviewing(service)
    open_review(service, "u1")
    service.match(OTHER, upload_id="u2")
    (review,) = service.ask(Role.MODERATOR, "GET", "/reviews").json["items"]
    assert review["upload_id"] == "u1"
    made = decide(service, review_id=review["id"], label="terror")
    assert made.status_code == 201
    assert made.json["reviewer"] == service.keys[Role.MODERATOR].id
    assert (made.json["upload_id"], made.json["rationale"]) == ("u1", "seen\nit")
    assert service.ask(Role.MODERATOR, "GET", "/reviews").json["items"] == []
    listed = service.ask(Role.MODERATOR, "GET", "/reviews?state=decided").json["items"]
    assert [r["id"] for r in listed] == [review["id"]]
    assert service.ask(Role.MODERATOR, "GET", "/decisions").json["items"] == [made.json]
    problem(decide(service, review_id=review["id"]), "already-decided")


def test_a_decision_by_upload(service: Service) -> None:
    reviewing(service)
    open_review(service, "u1")
    open_review(service, "u2")
    assert decide(service, upload_id="u2").status_code == 201
    problem(decide(service, upload_id="u2"), "not-found")
    open_review(service, "u1", Role.ADMIN)
    problem(decide(service, upload_id="u1"), "conflict")
    page = service.ask(Role.MODERATOR, "GET", "/decisions?upload_id=u2").json
    assert len(page["items"]) == 1
    assert service.ask(Role.MODERATOR, "GET", "/decisions?upload_id=u1").json["items"] == []


def test_reviews_come_in_pages(service: Service) -> None:
    reviewing(service)
    for i in range(3):
        open_review(service, f"u{i}")
    first = service.ask(Role.MODERATOR, "GET", "/reviews?limit=2").json
    rest = service.ask(Role.MODERATOR, "GET", f"/reviews?cursor={first['next']}").json
    assert [r["upload_id"] for r in first["items"] + rest["items"]] == ["u0", "u1", "u2"]
    assert rest["next"] is None


def test_bad_decisions(service: Service) -> None:
    problem(decide(service), "bad-argument")
    problem(decide(service, review_id="r", upload_id="u"), "bad-argument")
    problem(decide(service, review_id="r"), "not-found")
    problem(decide(service, review_id="r", action="maybe"), "bad-argument")
    problem(decide(service, review_id="r", rationale="a\0b"), "bad-argument")


def test_a_pipeline_learns_what_was_ruled_on_its_own_upload(service: Service) -> None:
    reviewing(service)
    open_review(service, "u1", Role.ADMIN)
    (theirs,) = service.ask(Role.MODERATOR, "GET", "/reviews").json["items"]
    open_review(service, "u1")
    assert service.ask(Role.PIPELINE, "GET", "/verdicts/u1").json["decision"] is None
    assert decide(service, review_id=theirs["id"], action="allow").status_code == 201
    assert service.ask(Role.PIPELINE, "GET", "/verdicts/u1").json["decision"] is None
    made = decide(service, upload_id="u1", label="terror").json
    found = service.ask(Role.PIPELINE, "GET", "/verdicts/u1").json
    ruling = {"action": "block", "label": "terror", "at": made["at"]}
    assert (found["action"], found["decision"]) == ("review", ruling)
    newest = service.ask(Role.MODERATOR, "GET", "/verdicts/u1").json
    assert newest["decision"] == ruling


@pytest.mark.parametrize("path", ["/reviews", "/decisions", "/references", "/audit"])
@pytest.mark.parametrize("cursor", ["", "x", "ref_1", "job_" + "0" * 32, "rev_" + "g" * 32])
def test_a_cursor_of_no_list_is_refused(service: Service, path: str, cursor: str) -> None:
    answer = service.ask(Role.ADMIN, "GET", f"{path}?cursor={cursor}")
    assert problem(answer, "bad-argument")["errors"][0]["pointer"] == "/cursor"
