"""Banks and references."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest

from hashdb.model import Role
from tests.http.conftest import OTHER, PICTURE, Service, part, problem


def ask(service: Service, method: str, path: str, **more: object):
    return service.ask(Role.MODERATOR, method, path, **more)


def test_banks_are_made_listed_changed(service: Service) -> None:
    made = ask(service, "POST", "/banks", json={"name": "b1", "action": "review", "label": "x"})
    assert made.status_code == 201
    assert made.headers["Location"] == "/banks/b1"
    assert made.json["enabled"] is True
    assert ask(service, "GET", "/banks").json["items"] == [made.json]
    assert ask(service, "GET", "/banks/b1").json == made.json
    assert ask(service, "GET", f"/banks/{made.json['id']}").json == made.json
    changes = {"name": "b2", "label": None, "action": "allow", "enabled": False}
    changed = ask(service, "PATCH", "/banks/b1", json=changes).json
    assert changed == {**made.json, **changes}
    problem(ask(service, "GET", "/banks/b1"), "not-found")


def test_bad_banks(service: Service) -> None:
    service.bank("b1")
    problem(ask(service, "POST", "/banks", json={"name": "b1"}), "name-taken")
    for body in (
        {},
        {"name": ""},
        {"name": "a b"},
        {"name": "a", "action": "delete"},
        {"name": "bank_" + "0" * 32},
        [],
    ):
        problem(ask(service, "POST", "/banks", json=body), "bad-argument")
    for body in ({}, {"enabled": None}, {"enabled": 1}, {"id": "x"}):
        problem(ask(service, "PATCH", "/banks/b1", json=body), "bad-argument")
    problem(ask(service, "PATCH", "/banks/b9", json={"enabled": True}), "not-found")


def test_a_file_is_added_once(service: Service) -> None:
    service.bank()
    data = {"bank": "attacks", "source": "case 7", "metadata": '{"by": "ann"}'}
    first = ask(service, "POST", "/references", data={**data, "media": part(PICTURE)})
    again = ask(service, "POST", "/references", data={**data, "media": part(PICTURE)})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json == again.json
    assert first.headers["Location"] == f"/references/{first.json['id']}"
    assert first.json["sha256"] == sha256(PICTURE).hexdigest()
    assert (first.json["source"], first.json["metadata"]) == ("case 7", {"by": "ann"})


def test_bad_references(service: Service) -> None:
    service.bank()
    data = {"bank": "nobank", "media": part(PICTURE)}
    problem(ask(service, "POST", "/references", data=data), "not-found")
    data = {"bank": "attacks", "media": part(b"text")}
    problem(ask(service, "POST", "/references", data=data), "corrupt-media")
    data = {"bank": "attacks", "media": part(b"")}
    problem(ask(service, "POST", "/references", data=data), "empty-media")
    problem(ask(service, "POST", "/references", data={"media": part(b"x")}), "bad-argument")
    problem(ask(service, "POST", "/references", json={"bank": "attacks"}), "bad-argument")
    assert ask(service, "GET", "/references").json == {"items": [], "next": None}


def test_hashes_are_references_too(service: Service) -> None:
    service.bank()
    frames = [
        {"offset": t / 2, "hash": sha256(bytes([t])).hexdigest(), "quality": 90} for t in range(20)
    ]
    body = {
        "bank": "attacks",
        "fingerprints": [{"signal_type": "pdq", "frames": frames}],
        "duration": 10.0,
    }
    made = ask(service, "POST", "/references", json=body)
    assert made.status_code == 201
    assert (made.json["kind"], made.json["frames"], made.json["sha256"]) == ("video", 20, None)
    sent = {"fingerprints": body["fingerprints"], "duration": 10.0}
    verdict = service.ask(Role.PIPELINE, "POST", "/match", json=sent).json
    assert verdict["action"] == "block"
    (segment,) = verdict["matches"][0]["segments"]
    assert segment["query"]["end"] - segment["query"]["start"] > 8


@pytest.mark.parametrize(("digest", "action"), [("sha256", "block"), ("md5", "review")])
def test_digests_alone(service: Service, digest: str, action: str) -> None:
    import hashlib

    service.bank()
    value = hashlib.new(digest, OTHER).hexdigest()
    made = ask(service, "POST", "/references", json={"bank": "attacks", digest: value.upper()})
    assert made.status_code == 201
    assert made.json[digest] == value
    assert service.match(OTHER).json["action"] == action


def test_disabled_and_withdrawn_references_match_nothing(service: Service) -> None:
    service.bank()
    path = f"/references/{service.reference()['id']}"
    assert ask(service, "PATCH", path, json={"enabled": False}).json["enabled"] is False
    assert service.match().json["action"] == "allow"
    assert ask(service, "PATCH", path, json={"enabled": True}).json["enforceable"] is True
    assert service.match().json["action"] == "block"
    withdrawn = ask(service, "DELETE", path)
    assert withdrawn.json["withdrawn_at"]
    assert ask(service, "DELETE", path).json == withdrawn.json
    assert service.match().json["action"] == "allow"
    assert ask(service, "GET", path).json == withdrawn.json
    assert service.reference()["id"] not in path


def test_a_bank_that_is_off_matches_nothing(service: Service) -> None:
    service.bank()
    service.reference()
    ask(service, "PATCH", "/banks/attacks", json={"enabled": False})
    assert service.match().json["action"] == "allow"


def test_unknown_references(service: Service) -> None:
    for method, more in (("GET", {}), ("DELETE", {}), ("PATCH", {"json": {"enabled": True}})):
        problem(ask(service, method, "/references/ref_0", **more), "not-found")
    problem(ask(service, "PATCH", "/references/ref_0", json={}), "bad-argument")


def test_search_and_pages(service: Service) -> None:
    service.bank("b1")
    service.bank("b2")
    made = []
    for i in range(5):
        digest = sha256(bytes([i])).hexdigest()
        body = {"bank": "b1" if i < 3 else "b2", "sha256": digest, "source": f"case-{i}"}
        made.append(ask(service, "POST", "/references", json=body).json["id"])
    ask(service, "PATCH", f"/references/{made[0]}", json={"enabled": False})
    ask(service, "DELETE", f"/references/{made[1]}")

    def found(**query: object) -> list[str]:
        items = ask(service, "GET", "/references", query_string=query).json["items"]
        return [item["id"] for item in items]

    assert found() == made
    assert found(bank="b2") == made[3:]
    assert found(state="disabled") == [made[0]]
    assert found(state="withdrawn") == [made[1]]
    assert found(state="enabled") == made[2:]
    assert found(text="CASE-4") == [made[4]]
    assert found(digest=sha256(b"\2").hexdigest().upper()) == [made[2]]
    problem(ask(service, "GET", "/references?bank=b9"), "not-found")
    for wrong in ("zz", "a" * 31, "a" * 63, "g" * 64):
        body = problem(ask(service, "GET", f"/references?digest={wrong}"), "bad-argument")
        assert [e["pointer"] for e in body["errors"]] == ["/digest"]
    pages, cursor = [], None
    while True:
        query = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = ask(service, "GET", "/references", query_string=query).json
        pages += [item["id"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert pages == made


def test_large_metadata_is_refused(service: Service) -> None:
    service.bank()
    data = {"bank": "attacks", "media": part(PICTURE), "metadata": json.dumps({"a": "x" * 20_000})}
    body = problem(ask(service, "POST", "/references", data=data), "bad-argument")
    assert body["errors"][0]["pointer"] == "/metadata"
    data = {"bank": "attacks", "media": part(PICTURE), "metadata": "x" * 2_000_000}
    problem(ask(service, "POST", "/references", data=data), "body-too-large")
