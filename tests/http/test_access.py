"""Keys, roles, rate limits, and what every answer carries."""

from __future__ import annotations

import io
import json
import logging
import re
import time
from pathlib import Path

import pytest
from limits.storage import MemoryStorage

from api.routes.route import Route
from api.routes.table import ROUTES
from api.settings import Settings
from hashdb.errors import BadSetting
from hashdb.model import Role
from tests.http.conftest import PICTURE, Make, Service, part, problem

PATHS = {
    "bank": "attacks",
    "job_id": "job_1",
    "reference_id": "ref_1",
    "review_id": "rev_1",
    "slug": "not-found",
    "upload_id": "u1",
}
WITH_KEY = [r for r in ROUTES if r.roles]
OPEN = {"/healthz", "/readyz", "/openapi.json", "/docs", "/problems", "/problems/{slug}"}


def at(path: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda m: PATHS[m[1]], path)


def test_only_health_and_the_document_are_open() -> None:
    assert {r.path for r in ROUTES if not r.roles} == OPEN


@pytest.mark.parametrize("route", WITH_KEY, ids=lambda r: r.name)
def test_every_other_route_wants_a_key_of_the_right_role(make_service: Make, route: Route) -> None:
    service = make_service()
    answer = service.ask(None, route.method, at(route.path))
    problem(answer, "unauthenticated")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    for role in Role:
        answer = service.ask(role, route.method, at(route.path))
        refused = role is not Role.ADMIN and role not in route.roles
        assert (answer.status_code == 403) == refused, (role, answer.status_code)
        if refused:
            problem(answer, "forbidden")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer x",
        "Bearer swk_" + "A" * 43,
        "Bearer swk_" + "A" * 44,
        "Basic c3drOg==",
        "Bearer swk_\x00" + "A" * 42,
        "Bearer " + "ü" * 47,
    ],
)
def test_wrong_keys(service: Service, header: str) -> None:
    answer = service.client.get("/banks", headers={"Authorization": header})
    problem(answer, "unauthenticated")


def test_a_revoked_key_opens_nothing(service: Service) -> None:
    assert service.ask(Role.MODERATOR, "GET", "/banks").status_code == 200
    with service.parts.store.begin() as tx:
        tx.access.revoke(service.keys[Role.MODERATOR].id)
    problem(service.ask(Role.MODERATOR, "GET", "/banks"), "unauthenticated")


class Unreadable(io.BytesIO):
    """A body that nobody may touch."""

    def read(self, *_: object) -> bytes:
        raise AssertionError("the body was read")

    readline = readinto = read1 = read


@pytest.mark.parametrize("role", [None, Role.PARTNER])
def test_a_wrong_key_is_answered_before_the_body_is_read(
    service: Service, role: Role | None
) -> None:
    answer = service.ask(
        role,
        "POST",
        "/match",
        input_stream=Unreadable(b"x" * 1000),
        content_type="multipart/form-data; boundary=b",
    )
    assert answer.status_code == (401 if role is None else 403)


def test_the_rate_limit_of_a_key(make_service: Make) -> None:
    service = make_service(rate_limit="3/minute")
    left = []
    for _ in range(3):
        answer = service.ask(Role.MODERATOR, "GET", "/banks")
        assert answer.status_code == 200
        left.append(answer.headers["RateLimit"].split(";")[1])
    assert left == ["r=2", "r=1", "r=0"]
    assert answer.headers["RateLimit-Policy"] == '"key";q=3;w=60'
    answer = service.ask(Role.MODERATOR, "GET", "/banks")
    problem(answer, "rate-limited")
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    assert answer.headers["RateLimit-Policy"] == '"key";q=3;w=60'
    assert answer.headers["RateLimit"].startswith('"key";r=0;t=')
    assert service.ask(Role.ADMIN, "GET", "/banks").status_code == 200


def test_a_clock_that_is_set_back_locks_nobody_out(
    make_service: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = make_service(rate_limit="1/second")
    assert service.ask(Role.MODERATOR, "GET", "/banks").status_code == 200
    earlier = time.time() - 3600
    monkeypatch.setattr(time, "time", lambda: earlier)
    answer = service.ask(Role.MODERATOR, "GET", "/banks")
    if answer.status_code == 429:  # else that second was over
        assert answer.headers["Retry-After"] == "1"
    time.sleep(1.1)
    assert service.ask(Role.MODERATOR, "GET", "/banks").status_code == 200


def test_a_role_that_may_not_is_counted_too(make_service: Make) -> None:
    service = make_service(rate_limit="2/minute")
    for left in (1, 0):
        answer = service.ask(Role.PARTNER, "GET", "/banks")
        problem(answer, "forbidden")
        assert answer.headers["RateLimit"].startswith(f'"key";r={left};')
    problem(service.ask(Role.PARTNER, "GET", "/banks"), "rate-limited")


@pytest.mark.parametrize("text", ["abc", "-1/minute", "0/minute", "1/second;5/minute", "5"])
def test_a_rate_that_is_none_is_a_bad_setting(text: str) -> None:
    with pytest.raises(BadSetting, match="SEAWALL_RATE_LIMIT"):
        Settings.from_env({"SEAWALL_RATE_LIMIT": text})
    assert Settings.from_env({"SEAWALL_RATE_LIMIT": "5 per hour"}).rate_limit == "5 per hour"


def test_wrong_keys_are_limited_by_address_and_right_ones_are_not(service: Service) -> None:
    wrong = {"Authorization": "Bearer swk_" + "A" * 43}
    codes = [service.client.get("/banks", headers=wrong).status_code for _ in range(31)]
    assert set(codes[:30]) == {401}
    assert codes[30] == 429
    assert service.ask(Role.MODERATOR, "GET", "/banks").status_code == 200


class BrokenStorage(MemoryStorage):
    """A storage of counts that is out of reach."""

    STORAGE_SCHEME = ["broken"]

    def acquire_entry(self, *_: object, **__: object) -> bool:
        raise ConnectionError("nobody there")


def test_a_storage_of_counts_that_does_not_answer_stops_answers(make_service: Make) -> None:
    service = make_service(rate_limit_storage="broken://")
    problem(service.ask(Role.MODERATOR, "GET", "/banks"), "unavailable")


def test_every_answer_is_guarded_and_numbered(service: Service) -> None:
    for path in ("/healthz", "/banks", "/nowhere", "/docs", "/static/docs.js"):
        answer = service.client.get(path)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Request-Id"].startswith("req_")
    given = service.client.get("/nowhere", headers={"X-Request-Id": "caller-0001"})
    assert given.headers["X-Request-Id"] == "caller-0001"
    assert given.json["request_id"] == "caller-0001"
    for evil in ("short", "x" * 65, "a b c d e f g"):
        answer = service.client.get("/healthz", headers={"X-Request-Id": evil})
        assert answer.headers["X-Request-Id"] != evil


def test_the_log_tells_the_upload_and_the_action_and_no_secret(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        service.match(upload_id="u-77", metadata=json.dumps({"secret": "hunter2"}))
    assert "upload_id=u-77" in caplog.text
    assert "action=allow" in caplog.text
    assert service.keys[Role.PIPELINE].id in caplog.text
    assert service.secrets[Role.PIPELINE] not in caplog.text
    assert "hunter2" not in caplog.text


def test_who_did_what_is_recorded(service: Service) -> None:
    bank = service.bank()
    reference = service.reference()
    service.ask(Role.MODERATOR, "PATCH", "/banks/attacks", json={"action": "review"})
    service.ask(Role.ADMIN, "PATCH", f"/references/{reference['id']}", json={"enabled": False})
    service.ask(Role.MODERATOR, "DELETE", f"/references/{reference['id']}")
    entries = service.ask(Role.ADMIN, "GET", "/audit").json["items"]
    moderator, admin = service.keys[Role.MODERATOR].id, service.keys[Role.ADMIN].id
    assert [(e["actor"], e["act"], e["subject"]) for e in reversed(entries)] == [
        (moderator, "bank.create", bank["id"]),
        (moderator, "add", reference["id"]),
        (moderator, "bank.change", bank["id"]),
        (admin, "disable", reference["id"]),
        (moderator, "withdraw", reference["id"]),
    ]
    page = service.ask(Role.ADMIN, "GET", "/audit?limit=2").json
    rest = service.ask(Role.ADMIN, "GET", f"/audit?limit=9&cursor={page['next']}").json
    assert [*page["items"], *rest["items"]] == entries


def test_unknown_and_doubled_parameters_are_named(service: Service) -> None:
    for path, pointer in (
        ("/references?lmit=3", "/lmit"),
        ("/references?limit=3&limit=4", "/limit"),
        ("/references?limit=0", "/limit"),
        ("/references?limit=x", "/limit"),
        ("/references?text=%00", "/text"),
        ("/banks?x=1", "/x"),
        ("/audit?cursor=abc", ""),
    ):
        body = problem(service.ask(Role.ADMIN, "GET", path), "bad-argument")
        if pointer:
            assert [e["pointer"] for e in body["errors"]] == [pointer]


def test_wrong_paths_and_methods(service: Service) -> None:
    problem(service.ask(Role.ADMIN, "GET", "/nowhere"), "no-such-route")
    answer = service.ask(Role.ADMIN, "PUT", "/banks")
    problem(answer, "method-not-allowed")
    assert answer.headers["Allow"] == "GET, HEAD, POST"
    problem(service.ask(Role.ADMIN, "OPTIONS", "/banks"), "method-not-allowed")
    problem(service.ask(Role.ADMIN, "GET", "/banks/%00"), "not-found")
    problem(service.ask(Role.ADMIN, "GET", "/references/%FF%FE"), "not-found")


def test_a_database_that_is_gone_is_unavailable(service: Service, tmp_path: Path) -> None:
    data = {"media": part(PICTURE)}
    for name in ("seawall.db", "seawall.db-wal", "seawall.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    service.parts.store.close()
    (tmp_path / "seawall.db").mkdir()
    answer = service.ask(Role.PIPELINE, "POST", "/match", data=data)
    assert answer.status_code == 503
    body = problem(answer, "database-unavailable")
    assert answer.headers["Retry-After"] == "5"
    assert "seawall.db" not in json.dumps(body)
    ready = service.client.get("/readyz")
    assert ready.status_code == 503
    assert ready.json["checks"]["database"] == "failed"
    assert service.client.get("/healthz").status_code == 200
