"""What tests of several parts share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands import Seawall, seawall_at


@pytest.fixture
def seawall(
    sqlite_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Seawall:
    """Commands on an empty database."""
    return seawall_at(tmp_path / "data", sqlite_url, monkeypatch, capfd)
