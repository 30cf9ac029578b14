"""The API's document, its browser, the types of problems, health and metrics."""

from __future__ import annotations

import inspect
import re
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from openapi_spec_validator import validate
from werkzeug import exceptions as http

from api import problems, schemas
from api.problems import BY_ERROR, PROBLEMS
from api.routes import health
from api.routes.table import ROUTES
from hashdb import errors
from hashdb.model import Role
from tests.http.conftest import OTHER, Make, Service, problem

DOCS = Path(__file__).parents[2] / "docs"


def test_the_document_is_valid_and_whole(service: Service) -> None:
    answer = service.client.get("/openapi.json")
    document = answer.json
    assert document["openapi"].startswith("3.1")
    validate(document)
    for route in ROUTES:
        operation = document["paths"][route.path][route.method.lower()]
        assert operation["operationId"] == route.name
        assert bool(operation["security"]) == bool(route.roles)
    assert sum(len(p) for p in document["paths"].values()) == len(ROUTES)


def test_every_registered_route_is_in_the_document(service: Service) -> None:
    rules = service.client.application.url_map.iter_rules()
    names = {r.endpoint for r in rules if r.endpoint != "static"}
    assert names == {r.name for r in ROUTES}


def test_the_browser_needs_nothing_from_elsewhere(service: Service) -> None:
    page = service.client.get("/docs")
    assert page.status_code == 200
    assert page.content_type == "text/html; charset=utf-8"
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(links) == 3
    for link in links:
        assert link.startswith("/static/")
        assert service.client.get(link).status_code == 200


def test_every_error_has_its_own_problem() -> None:
    ours = {
        error
        for _, error in inspect.getmembers(errors, inspect.isclass)
        if issubclass(error, errors.SeawallError)
    }
    assert ours <= set(BY_ERROR)


def test_the_pages_of_problems(service: Service) -> None:
    index = service.client.get("/problems").text
    for kind in PROBLEMS.values():
        page = service.client.get(kind.uri)
        assert page.status_code == 200
        assert kind.slug in page.text
        assert kind.uri in index
    problem(service.client.get("/problems/none"), "not-found")


def test_the_docs_tell_every_problem_as_the_service_does() -> None:
    text = (DOCS / "problems.md").read_text()
    sections = dict(re.findall(r'<a id="([^"]+)"></a>\n\n(.*?)(?=\n<a id=|\Z)', text, re.S))
    assert list(sections) == list(PROBLEMS)
    for slug, kind in PROBLEMS.items():
        assert kind.title in sections[slug]
        assert str(kind.status) in sections[slug]
        assert kind.text in " ".join(sections[slug].split())


def test_every_route_is_in_the_docs() -> None:
    text = (DOCS / "api.md").read_text()
    for route in ROUTES:
        assert f"`{route.method} {route.path}`" in text


@pytest.mark.parametrize("error", sorted(http.default_exceptions.items()))
def test_every_http_error_is_a_client_s_or_ours(error: tuple[int, type]) -> None:
    code, kind = error
    made = kind(response=None) if code != 405 else kind(["GET"])
    status = problems.problem_type(made).status
    assert status // 100 == code // 100 or code >= 500


def test_words_of_inner_errors_are_kept_back() -> None:
    inner = errors.DatabaseUnavailable("postgresql://user:pw@host is down")
    assert "pw" not in str(problems.problem(inner))
    assert "pw" not in str(problems.problem(ValueError("pw")))
    assert problems.problem(ValueError("pw"))["status"] == 500
    shown = problems.problem(errors.CorruptMedia("frame 3 is torn"))
    assert shown["detail"] == "frame 3 is torn"
    assert schemas.ProblemOut.model_validate(shown)


def test_health_and_readiness(service: Service) -> None:
    assert service.client.get("/healthz").json == {"status": "ok"}
    ready = service.client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json == {
        "ready": True,
        "checks": {"database": "ok", "index": "ok", "sandbox": "ok", "storage": "ok"},
    }


@pytest.fixture
def room() -> Iterator[Callable[[int], None]]:
    """Sets how many bytes a file may have, as if the disk had no more room."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def set_room(size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))

    yield set_room
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_it_is_not_ready_where_nothing_can_be_stored(
    service: Service, room: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "PROBE_EVERY_S", 0.0)

    def storage() -> tuple[int, str]:
        ready = service.client.get("/readyz")
        return ready.status_code, ready.json["checks"]["storage"]

    full = (503, "failed: No space left on device")
    assert storage() == (200, "ok")
    room(health.ROOM // 2)
    assert storage() == full
    room(health.ROOM)  # no more than one upload has left
    assert storage() == full
    room(2 * health.ROOM)
    assert storage() == (200, "ok")
    room(health.ROOM)
    assert storage() == (200, "ok")
    assert list((service.parts.settings.data_dir / "tmp").iterdir()) == []


def test_it_is_not_ready_where_the_folder_is_gone(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "PROBE_EVERY_S", 0.0)
    spool = service.parts.settings.data_dir / "spool"
    spool.parent.mkdir(parents=True, exist_ok=True)
    spool.write_text("a file in its place")
    ready = service.client.get("/readyz")
    assert (ready.status_code, ready.json["checks"]["storage"]) == (503, "failed: File exists")


def test_storage_is_looked_at_now_and_then(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []
    monkeypatch.setattr(health, "_write_to", lambda folder, size: written.append(folder))
    for _ in range(3):
        assert service.client.get("/readyz").status_code == 200
    assert len(written) == len(set(written)) <= 3


def test_metrics_count_what_happened(make_service: Make) -> None:
    service, other = make_service(), make_service()
    service.bank()
    service.reference()
    service.match(OTHER)
    service.match()
    service.match(b"text")
    text = service.ask(Role.MODERATOR, "GET", "/metrics").text

    def value(name: str) -> float:
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.M)
        assert found, (name, text)
        return float(found[1])

    asked = 'seawall_requests_total{method="POST",route="/match",status="%d"}'
    assert value(asked % 200) == 2
    assert value(asked % 422) == 1
    assert value('seawall_index_codes{signal_type="pdq"}') == 1
    assert value('seawall_jobs{state="pending"}') == 0
    assert value('seawall_stage_seconds_count{stage="total"}') == 2
    assert 'seawall_verdicts_total{action="block"' in text
    assert "/match" not in other.ask(Role.MODERATOR, "GET", "/metrics").text
