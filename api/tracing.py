"""Spans for OpenTelemetry, where its standard environment variables ask for them.

Without them nothing of OpenTelemetry is imported: it is the extra `otel`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec
from typing import Any, Protocol

from hashdb.errors import BadSetting

_ASKING = (
    "OTEL_TRACES_EXPORTER",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
)


class Tracing(Protocol):
    def request(
        self, method: str, route: str, headers: Iterable[tuple[str, str]]
    ) -> AbstractContextManager[Callable[[int], None]]:
        """A span of one request, a child of the caller's where the headers name one (W3C Trace
        Context). Within it the answer's status is to be told; what is raised is noted."""
        ...

    def stage(self, name: str) -> AbstractContextManager[object]:
        """A span within the request's."""
        ...


class Silent:
    """No spans."""

    def request(
        self, method: str, route: str, headers: Iterable[tuple[str, str]]
    ) -> AbstractContextManager[Callable[[int], None]]:
        return nullcontext(lambda status: None)

    def stage(self, name: str) -> AbstractContextManager[object]:
        return nullcontext()


SILENT = Silent()


class Spans:
    """`Tracing` by a provider of OpenTelemetry's SDK."""

    def __init__(self, provider: Any) -> None:
        from opentelemetry import propagate, trace

        self._tracer = provider.get_tracer("seawall")
        self._extract = propagate.extract
        self._kind = trace.SpanKind.SERVER
        self._failed = trace.Status(trace.StatusCode.ERROR)

    @contextmanager
    def request(
        self, method: str, route: str, headers: Iterable[tuple[str, str]]
    ) -> Iterator[Callable[[int], None]]:
        carrier = {name.lower(): value for name, value in headers}
        with self._tracer.start_as_current_span(
            f"{method} {route}",
            context=self._extract(carrier),
            kind=self._kind,
            attributes={"http.request.method": method, "http.route": route},
        ) as span:

            def answered(status: int) -> None:
                span.set_attribute("http.response.status_code", status)
                if status >= 500:
                    span.set_status(self._failed)

            yield answered

    def stage(self, name: str) -> AbstractContextManager[object]:
        made: AbstractContextManager[object] = self._tracer.start_as_current_span(name)
        return made


def from_env(env: Mapping[str, str] = os.environ) -> Tracing:
    """What the OTEL_* variables ask for; make it after the process has forked, for it starts a
    thread. Raises what `check` raises."""
    exporter = check(env)
    return SILENT if exporter is None else Spans(_provider(exporter, env))


def check(env: Mapping[str, str] = os.environ) -> str | None:
    """The exporter that is asked for; None where nothing is. Raises `BadSetting`, also where the
    extra is not installed."""
    asked = any(env.get(name, "").strip() for name in _ASKING)
    exporter = env.get("OTEL_TRACES_EXPORTER", "").strip() or "otlp"
    if not asked or exporter == "none" or env.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    if exporter not in ("otlp", "console"):
        raise BadSetting(f"OTEL_TRACES_EXPORTER={exporter!r}: it is otlp, console or none")
    if find_spec("opentelemetry") is None:
        raise BadSetting("OTEL_* settings need OpenTelemetry: pip install 'seawall[otel]'")
    return exporter


def _provider(exporter: str, env: Mapping[str, str]) -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

    named = {} if env.get("OTEL_SERVICE_NAME") else {"service.name": "seawall"}
    provider = TracerProvider(resource=Resource.create(named))
    made = ConsoleSpanExporter() if exporter == "console" else OTLPSpanExporter()
    provider.add_span_processor(BatchSpanProcessor(made))
    return provider
