"""`seawall` commands within the test's own process, which spares their start."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from api.cli import run


@dataclass(frozen=True)
class Answer:
    """What one command printed, and its exit code."""

    code: int
    out: str
    err: str

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Seawall = Callable[..., Answer]


def seawall_at(
    folder: Path,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Seawall:
    """Runs commands on the installation in that folder."""
    monkeypatch.setenv("SEAWALL_DATA_DIR", str(folder))
    monkeypatch.setenv("SEAWALL_DATABASE_URL", database_url)

    def call(*arguments: str) -> Answer:
        capfd.readouterr()
        code = run(arguments)
        told = capfd.readouterr()
        return Answer(code, told.out, told.err)

    return call
