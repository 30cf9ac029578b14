"""What a look-back finds is shown beside the old verdict, to moderators and to the pipeline."""

from __future__ import annotations

from typing import Any

from api.purging import Purge
from hashdb.model import Role
from tests.http.conftest import OTHER, PICTURE, Make, Service, part, problem
from tests.parts.store_samples import later


def looked_back(service: Service) -> list[str]:
    with service.parts.store.read() as tx:
        rows = tx.uploads.rows_since(later(-1), limit=100)
    return [found.upload_id for found in service.parts.look_back.look(rows)]


def get(service: Service, path: str, role: Role = Role.MODERATOR) -> Any:
    answer = service.ask(role, "GET", path)
    assert answer.status_code == 200, answer.text
    return answer.json


def published_and_found(service: Service, bank: str = "attacks", **more: Any) -> dict[str, Any]:
    """An upload that was allowed, and the reference that came later."""
    assert service.match(upload_id="u1").json["action"] == "allow"
    service.bank(bank, **more)
    reference = service.reference(bank)
    assert looked_back(service) == ["u1"]
    return reference


def test_a_moderator_sees_what_was_found_beside_the_verdict(service: Service) -> None:
    service.match(OTHER, upload_id="other")
    reference = published_and_found(service, label="terror")
    (listed,) = get(service, "/reviews")["items"]
    assert listed["queue"] == "look-back"
    review = get(service, f"/reviews/{listed['id']}")
    assert {name: review[name] for name in listed} == listed
    verdict, found = review["verdict"], review["found_later"]
    assert (verdict["action"], verdict["matches"]) == ("allow", [])
    assert (found["action"], found["new_references"]) == ("block", [reference["id"]])
    (match,) = found["matches"]
    assert (match["bank"], match["label"], match["reference_id"], match["exact"]) == (
        "attacks",
        "terror",
        reference["id"],
        True,
    )
    assert match["segments"] == [
        {
            "query": {"start": 0.0, "end": 0.0},
            "reference": {"start": 0.0, "end": 0.0},
            "backwards": False,
        }
    ]
    assert reference["id"] in found["reason"]["text"]
    assert found["found_at"] > verdict["judged_at"]
    assert found["policy_version"] == verdict["policy_version"]
    assert review["decision"] is None
    body = {"review_id": listed["id"], "action": "block", "rationale": "it is the attack"}
    decision = service.ask(Role.MODERATOR, "POST", "/decisions", json=body).json
    decided = get(service, f"/reviews/{listed['id']}")
    assert decided == {**review, "decision": decision}


def test_the_pipeline_is_told_of_its_own_uploads(service: Service) -> None:
    data = {"media": part(OTHER), "upload_id": "theirs"}
    service.ask(Role.ADMIN, "POST", "/match", data=data)
    before = service.match(upload_id="u1").json
    assert get(service, "/verdicts/u1", Role.PIPELINE)["found_later"] is None
    assert get(service, "/found-later", Role.PIPELINE) == {"items": [], "next": None}
    service.bank()
    references = [service.reference(media=media)["id"] for media in (PICTURE, OTHER)]
    assert sorted(looked_back(service)) == ["theirs", "u1"]
    (told,) = get(service, "/found-later", Role.PIPELINE)["items"]
    assert (told["upload_id"], told["verdict"]) == ("u1", before)
    assert told["found_later"]["action"] == "block"
    assert told["found_later"]["new_references"] == references[:1]
    assert get(service, "/verdicts/u1", Role.PIPELINE) == {
        **before,
        "found_later": told["found_later"],
        "decision": None,
    }
    assert service.match(upload_id="u1").json == before  # nothing is overwritten
    after = get(service, f"/found-later?cursor={told['number']}", Role.PIPELINE)
    assert after == {"items": [], "next": None}
    everyones = get(service, "/found-later")["items"]
    assert sorted(item["upload_id"] for item in everyones) == ["theirs", "u1"]
    problem(service.ask(Role.PIPELINE, "GET", "/verdicts/theirs"), "not-found")
    problem(service.ask(Role.PARTNER, "GET", "/found-later"), "forbidden")


def test_finds_come_in_pages_and_none_twice(service: Service) -> None:
    for n in range(3):
        service.match(upload_id=f"u{n}")
    service.bank()
    service.reference()
    assert looked_back(service) == ["u0", "u1", "u2"]
    assert looked_back(service) == ["u0", "u1", "u2"]  # found again, and recorded once
    first = get(service, "/found-later?limit=2", Role.PIPELINE)
    rest = get(service, f"/found-later?cursor={first['next']}", Role.PIPELINE)
    assert [i["upload_id"] for i in first["items"] + rest["items"]] == ["u0", "u1", "u2"]
    assert first["next"] == first["items"][-1]["number"]
    assert rest["next"] is None


def test_what_is_found_still_later_is_told_of_too(service: Service) -> None:
    first = published_and_found(service)
    (review,) = get(service, "/reviews")["items"]
    body = {"review_id": review["id"], "action": "allow", "rationale": "news"}
    service.ask(Role.MODERATOR, "POST", "/decisions", json=body)
    service.bank("more")
    second = service.reference("more")
    assert looked_back(service) == ["u1"]
    told = [i["found_later"]["new_references"] for i in get(service, "/found-later")["items"]]
    assert [set(each) for each in told] == [{first["id"]}, {first["id"], second["id"]}]
    (again,) = get(service, "/reviews")["items"]
    assert again["id"] != review["id"]
    assert set(again["found_later"]["new_references"]) == {first["id"], second["id"]}
    now_ = get(service, "/verdicts/u1", Role.PIPELINE)
    assert set(now_["found_later"]["new_references"]) == {first["id"], second["id"]}
    # ruled before the second was known: the pipeline can tell by the times
    assert now_["decision"]["at"] < now_["found_later"]["found_at"]
    assert get(service, f"/reviews/{review['id']}")["found_later"]["new_references"] == [
        first["id"]
    ]


def test_an_exact_copy_is_found_although_an_allow_list_explains_its_pictures(
    service: Service,
) -> None:
    service.match(upload_id="u1")
    service.bank()
    service.bank("news", action="allow")
    service.reference()
    service.reference("news")
    today = service.match(upload_id="u2").json
    assert looked_back(service) == ["u1"]
    (found,) = get(service, "/found-later")["items"]
    assert found["found_later"]["action"] == today["action"] == "block"
    assert {m["bank"]: m["exact"] for m in found["found_later"]["matches"]} == {
        m["bank"]: m["exact"] for m in today["matches"]
    }


def test_an_open_review_is_told_of_what_was_found(service: Service) -> None:
    service.bank("maybe", action="review")
    known = service.reference("maybe")["id"]
    assert service.match(upload_id="u1").json["action"] == "review"
    service.bank()
    reference = service.reference()["id"]
    assert looked_back(service) == ["u1"]
    (listed,) = get(service, "/reviews")["items"]
    assert (listed["queue"], listed["found_later"]["action"]) == ("default", "block")
    review = get(service, f"/reviews/{listed['id']}")
    assert [m["reference_id"] for m in review["verdict"]["matches"]] == [known]
    assert listed["found_later"]["new_references"] == [reference]


def test_the_picture_of_what_was_found(service: Service) -> None:
    service.match(upload_id="u1")
    problem(service.ask(Role.PIPELINE, "GET", "/timelines/u1?of=found_later"), "not-found")
    service.bank()
    reference = service.reference()["id"]
    looked_back(service)
    was = service.ask(Role.PIPELINE, "GET", "/timelines/u1").text
    found = service.ask(Role.PIPELINE, "GET", "/timelines/u1?of=found_later").text
    assert "<title>allow: u1</title>" in was
    assert reference not in was
    assert "<title>block: u1</title>" in found
    assert reference in found
    problem(service.ask(Role.PIPELINE, "GET", "/timelines/u1?of=both"), "bad-argument")


def test_reviews_that_no_look_back_opened(service: Service) -> None:
    service.bank("maybe", action="review")
    service.reference("maybe")
    service.match(upload_id="u1")
    (listed,) = get(service, "/reviews")["items"]
    assert listed["found_later"] is None
    review = get(service, f"/reviews/{listed['id']}")
    assert (review["verdict"]["action"], review["found_later"]) == ("review", None)
    problem(service.ask(Role.MODERATOR, "GET", "/reviews/rev_0"), "not-found")
    problem(service.ask(Role.PIPELINE, "GET", f"/reviews/{listed['id']}"), "forbidden")


def test_what_was_found_is_erased_with_its_upload(make_service: Make) -> None:
    service = make_service()
    published_and_found(service)
    (review,) = get(service, "/reviews")["items"]
    problem(service.ask(Role.ADMIN, "DELETE", "/uploads/u1"), "upload-busy")
    body = {"review_id": review["id"], "action": "block", "rationale": "seen"}
    service.ask(Role.MODERATOR, "POST", "/decisions", json=body)
    assert service.ask(Role.ADMIN, "DELETE", "/uploads/u1").status_code == 200
    assert get(service, "/found-later")["items"] == []


def test_what_was_found_is_not_purged_by_time(service: Service) -> None:
    published_and_found(service)
    Purge(service.parts.store, service.parts.settings).run(at=later(5000))
    assert [i["upload_id"] for i in get(service, "/found-later")["items"]] == ["u1"]
