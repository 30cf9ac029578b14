"""Spans of requests and their stages."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from api import tracing, wiring
from api.app import create_app
from api.settings import Settings
from api.tracing import SILENT, Spans
from hashdb.errors import BadSetting
from hashdb.model import Role

ROOT = Path(__file__).parents[2]
FRAMES = [{"offset": float(n), "hash": f"{(n + 1) * 0x5A5A:064x}"[::-1]} for n in range(3)]
HASHES = {"fingerprints": [{"signal_type": "pdq", "frames": FRAMES}]}


@dataclass(frozen=True)
class Traced:
    client: FlaskClient
    exporter: InMemorySpanExporter
    headers: dict[str, str]

    def spans(self) -> list[Any]:
        return list(self.exporter.get_finished_spans())


@pytest.fixture
def traced(tmp_path: Path) -> Iterator[Traced]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    spans = Spans(provider)
    parts = wiring.build(
        Settings.from_env({"SEAWALL_DATA_DIR": str(tmp_path / "data")}), span=spans.stage
    )
    with parts.store.begin() as tx:
        _, secret = tx.access.create(Role.PIPELINE, "pipeline")
    app = create_app(parts, background=False, tracing=spans)
    yield Traced(app.test_client(), exporter, {"Authorization": f"Bearer {secret}"})
    parts.close()


def test_a_request_and_its_stages(traced: Traced) -> None:
    caller = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    answer = traced.client.post("/match", json=HASHES, headers={**traced.headers, **caller})
    assert answer.status_code == 200
    *stages, request = traced.spans()
    assert request.name == "POST /match"
    assert request.kind.name == "SERVER"
    assert request.attributes["http.route"] == "/match"
    assert request.attributes["http.response.status_code"] == 200
    assert f"{request.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    assert f"{request.parent.span_id:016x}" == "b7ad6b7169203331"
    assert request.status.is_ok
    names = [s.name for s in stages]
    assert set(answer.json["timings_ms"]) - {"total"} == set(names) - {"record"}
    assert names[-1] == "record"
    assert {s.parent.span_id for s in stages} == {request.context.span_id}


def test_a_refusal_is_no_failure_of_the_service(traced: Traced) -> None:
    assert traced.client.post("/match", json={}, headers=traced.headers).status_code == 400
    (request,) = traced.spans()
    assert request.attributes["http.response.status_code"] == 400


def test_no_route_no_span(traced: Traced) -> None:
    assert traced.client.get("/nowhere/at/all").status_code == 404
    assert traced.spans() == []


def test_what_the_environment_asks_for() -> None:
    off: list[dict[str, str]] = [
        {},
        {"OTEL_SERVICE_NAME": "x"},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
    ]
    for env in off:
        assert tracing.from_env(env) is SILENT
    with pytest.raises(BadSetting, match="OTEL_TRACES_EXPORTER"):
        tracing.from_env({"OTEL_TRACES_EXPORTER": "jaeger"})
    assert isinstance(tracing.from_env({"OTEL_TRACES_EXPORTER": "console"}), Spans)
    assert tracing.check({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}) == "otlp"


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "find_spec", lambda name: None)
    with pytest.raises(BadSetting, match=r"seawall\[otel\]"):
        tracing.from_env({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})
    assert tracing.from_env({}) is SILENT


def test_silence_costs_no_span() -> None:
    with SILENT.request("GET", "/", []) as answered:
        answered(200)
    assert isinstance(SILENT.stage("x"), nullcontext)


UNTRACED = """
import sys
import api.serve
from api import tracing
tracing.from_env({})
assert not [m for m in sys.modules if m.startswith("opentelemetry")]
"""


def test_nothing_is_imported_where_nothing_is_asked_for() -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNTRACED], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
