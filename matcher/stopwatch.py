"""How long the stages of one upload take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Span = Callable[[str], AbstractContextManager[object]]
"""What is told of a stage while it runs: a span of a trace, say."""


class Stopwatch:
    """Milliseconds by stage, summed where a stage runs twice."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._began = time.perf_counter()
        self._stages: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            with self._span(name):
                yield
        finally:
            spent = 1000 * (time.perf_counter() - began)
            self._stages[name] = self._stages.get(name, 0.0) + spent

    def milliseconds(self) -> dict[str, float]:
        total = 1000 * (time.perf_counter() - self._began)
        return {name: round(ms, 2) for name, ms in {**self._stages, "total": total}.items()}
