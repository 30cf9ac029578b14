"""What Prometheus is told. One registry for each app, so that two apps in one process are apart.

Where `PROMETHEUS_MULTIPROC_DIR` is set before this is imported, the numbers of all server processes
are added up (see prometheus_client's documentation); else each process tells its own. `seawall
serve` sees to that where it has several workers: `added_up`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    values,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from hashdb.errors import SeawallError
from hashdb.model import Verdict

disable_created_metrics()  # type: ignore[no-untyped-call]

log = logging.getLogger("seawall.metrics")

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
ROOM = 1 << 20
"""Bytes of each file in that folder; a service that has answered all there is fills a fifth."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)

PURGED = ("jobs", "fingerprints", "verdicts", "audit")

_FILES = ("counter", "histogram", "gauge_livesum")
"""What prometheus_client begins the names of its files with: one for each kind that is counted."""

Measure = Callable[[], Mapping[str, float]]


def count_as(name: str) -> None:
    """Where processes count together: begin where the last one of that name has ended. Where there
    is no room for it, this process counts alone.

    prometheus_client maps files without any blocks, and a process that writes to one on a full disk
    is ended by SIGBUS: so they are filled with zeros before, which is how new ones look.
    """
    folder = os.environ.get(FOLDER)
    if not folder:
        return
    try:
        for kind in _FILES:
            _reserve(Path(folder, f"{kind}_{name}.db"))
    except OSError as error:
        log.warning("this process counts alone, for its metrics: %s", error)
        del os.environ[FOLDER]
        values.ValueClass = values.MutexValue
    else:
        values.ValueClass = values.MultiProcessValue(lambda: name)  # type: ignore[no-untyped-call]


def _reserve(path: Path) -> None:
    if path.exists():
        return
    partial = path.with_suffix(".part")  # which nobody reads
    try:
        partial.write_bytes(bytes(ROOM))
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)


class Gauges(Collector):
    """Numbers that are read when they are asked for; one that cannot be read is left out."""

    def __init__(self, measures: Mapping[str, tuple[str, str, Measure]]):
        self._measures = measures

    def collect(self) -> Iterable[Metric]:
        for name, (text, label, measure) in self._measures.items():
            gauge = GaugeMetricFamily(name, text, labels=[label])
            try:
                values = measure()
            except SeawallError:
                continue
            for value, number in values.items():
                gauge.add_metric([value], number)
            yield gauge


class Metrics:
    """Counts what happens; `gauges` maps a name to its help text, its label and how to read it."""

    def __init__(self, gauges: Mapping[str, tuple[str, str, Measure]]):
        self._registry = CollectorRegistry()
        self._gauges = Gauges(gauges)
        self._requests = Counter(
            "seawall_requests",
            "Answered requests",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "seawall_request_seconds",
            "Time from request to answer",
            ["method", "route"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._verdicts = Counter(
            "seawall_verdicts",
            "Uploads judged, by action and the reason's code",
            ["action", "reason"],
            registry=self._registry,
        )
        self._stages = Histogram(
            "seawall_stage_seconds",
            "Time of one upload's stages",
            ["stage"],
            buckets=_SECONDS,
            registry=self._registry,
        )

        self._problems = Counter(
            "seawall_problems",
            "Requests answered with a problem document, by its type",
            ["type"],
            registry=self._registry,
        )
        self._purged = Counter(
            "seawall_purged",
            "Things deleted because they were old",
            ["kind"],
            registry=self._registry,
        )
        for kind in PURGED:  # told as 0 until something went
            self._purged.labels(kind)
        self._in_hand = Gauge(
            "seawall_uploads_in_hand",
            "Uploads with media, by what is done with them",
            ["state"],
            registry=self._registry,
            multiprocess_mode="livesum",
        )

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def verdict(self, verdict: Verdict, *, since: datetime) -> None:
        """Count a verdict; not one that was judged before `since`, which is a stored one that is
        given again."""
        if verdict.judged_at < since:
            return
        self._verdicts.labels(verdict.action.value, verdict.reason.code).inc()
        for stage, milliseconds in verdict.timings_ms.items():
            self._stages.labels(stage).observe(milliseconds / 1000)

    def problem(self, slug: str) -> None:
        """Count an answer that is a problem document of that type."""
        self._problems.labels(slug).inc()

    def purged(self, kind: str, number: int) -> None:
        """Count what was deleted because it was old."""
        self._purged.labels(kind).inc(number)

    def in_hand(self, counts: Mapping[str, float]) -> None:
        """How many uploads with media this process has, by state."""
        for state, number in counts.items():
            self._in_hand.labels(state).set(number)

    def text(self) -> bytes:
        """All of it in Prometheus's text format."""
        if os.environ.get(FOLDER):
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        else:
            registry = self._registry
        shown = CollectorRegistry()
        shown.register(self._gauges)
        return generate_latest(registry) + generate_latest(shown)
