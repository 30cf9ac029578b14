"""The dashboard for Grafana and the API's page name what the service tells, all of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from api.purging import Purge
from hashdb.model import Role
from tests.http.conftest import Make, Service, problem

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "deploy" / "grafana" / "seawall.json"
PARTS = ("_bucket", "_count", "_sum")


def told(service: Service) -> dict[str, str]:
    """The metrics that are told, as a scrape names them, and the type of each."""
    text = service.ask(Role.MODERATOR, "GET", "/metrics").text
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))


@pytest.fixture(scope="module")
def dashboard() -> Any:
    return json.loads(DASHBOARD.read_text())


def expressions(dashboard: Any) -> list[str]:
    shown = [t["expr"] for p in dashboard["panels"] for t in p["targets"]]
    return [*shown, *(v["definition"] for v in dashboard["templating"]["list"][1:])]


def named(dashboard: Any) -> set[str]:
    return {n for e in expressions(dashboard) for n in re.findall(r"\bseawall_\w+", e)}


def test_each_metric_of_the_dashboard_is_told(service: Service, dashboard: Any) -> None:
    metrics = told(service)
    series = {n for n, kind in metrics.items() if kind != "histogram"}
    series |= {n + part for n, kind in metrics.items() if kind == "histogram" for part in PARTS}
    assert named(dashboard) <= series


def test_each_metric_that_is_told_is_on_the_dashboard_and_in_the_docs(
    service: Service, dashboard: Any
) -> None:
    shown, page = named(dashboard), (ROOT / "docs" / "api.md").read_text()
    metrics = told(service)
    assert len(metrics) >= 8
    for name in metrics:
        assert {name, *(name + part for part in PARTS)} & shown, name
        assert f"`{name}`" in page, name


def test_the_dashboards_labels_are_told(make_service: Make, dashboard: Any) -> None:
    service = make_service()
    service.bank()
    service.reference()
    service.match()
    service.match(b"no picture")
    Purge(service.parts.store, service.parts.settings).run()
    text = service.ask(Role.MODERATOR, "GET", "/metrics").text
    for expression in expressions(dashboard):
        for name, labels in re.findall(r"(seawall_\w+)\{([^}]*)\}", expression):
            wanted = set(re.findall(r"(\w+)(?:=~|!=|=)", labels)) - {"job"}
            grouped = re.search(r"by \(([^)]*)\)", expression)
            wanted |= set(re.split(r", *", grouped[1])) if grouped else set()
            line = re.search(rf"^{name}\{{([^}}]*)\}}", text, re.M)
            assert line, name
            assert wanted <= set(re.findall(r"(\w+)=", line[1])), expression


def test_it_is_as_grafana_reads_it(dashboard: Any) -> None:
    assert dashboard["uid"] == "seawall"
    ids = [p["id"] for p in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    places = {(p["gridPos"]["x"], p["gridPos"]["y"]) for p in dashboard["panels"]}
    assert len(places) == len(ids)
    for panel in dashboard["panels"]:
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["title"]
        assert all(t["legendFormat"] and t["refId"] for t in panel["targets"])


def test_refusals_are_counted_by_type(make_service: Make) -> None:
    service = make_service()
    problem(service.match(b"no picture"), "corrupt-media")
    problem(service.match(b"no picture"), "corrupt-media")
    problem(service.ask(None, "POST", "/match", json={}), "unauthenticated")
    text = service.ask(Role.MODERATOR, "GET", "/metrics").text
    assert 'seawall_problems_total{type="corrupt-media"} 2.0' in text
    assert 'seawall_problems_total{type="unauthenticated"} 1.0' in text
