"""Processes that count together, and what a full disk does to them."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import values

from api import metrics
from api.commands.service import _metrics_added_up
from api.metrics import FOLDER, ROOM, Metrics
from api.problems import PROBLEMS
from api.routes.table import ROUTES


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    monkeypatch.setenv(FOLDER, str(tmp_path))
    return tmp_path


def requests(told: Metrics) -> str:
    lines = told.text().decode().splitlines()
    return next(line for line in lines if line.startswith("seawall_requests_total"))


def test_a_process_goes_on_from_where_the_last_of_its_name_ended(folder: Path) -> None:
    for _ in range(3):
        metrics.count_as("1-0")
        Metrics({}).request("GET", "/banks", 200, 0.1)
    metrics.count_as("1-1")
    other = Metrics({})
    other.request("GET", "/banks", 200, 0.1)
    assert requests(other).endswith(" 4.0")
    assert len(list(folder.iterdir())) == 6


def test_every_file_has_its_blocks_before_it_is_mapped(folder: Path) -> None:
    """Also when all is counted that there is: none grows, for what is added would have none."""
    metrics.count_as("1-0")
    before = set(folder.iterdir())
    told = Metrics({})
    for route in ROUTES:
        for status in (200, *sorted({t.status for t in PROBLEMS.values()})):
            told.request(route.method, route.path, status, 0.1)
    for kind in PROBLEMS.values():
        told.problem(kind.slug)
    for number in range(40):
        told._stages.labels(f"a_stage_{number}").observe(0.1)
        told._verdicts.labels("review", f"the_code_of_reason_{number}").inc()
    told.in_hand({"receiving": 1, "waiting": 1, "judging": 1})
    assert set(folder.iterdir()) == before
    for path in before:
        found = path.stat()
        assert found.st_size == ROOM
        assert found.st_blocks * 512 >= ROOM, "sparse"


def test_a_process_that_finds_no_room_counts_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(path: Path, _: bytes) -> None:
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    metrics.count_as("1-0")
    told = Metrics({})
    told.request("GET", "/banks", 200, 0.1)
    assert requests(told).endswith(" 1.0")
    assert list(folder.iterdir()) == []
    assert "No space left" in caplog.text


def test_workers_start_where_no_folder_can_be_made(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(FOLDER, raising=False)
    monkeypatch.setattr("tempfile.tempdir", "/proc/nowhere")
    with _metrics_added_up(2):
        pass
    assert "counts alone" in caplog.text
