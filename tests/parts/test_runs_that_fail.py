"""Runs over what cannot be read, or cannot be walked."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api import tasks
from api.jobs import Runner
from api.routes.health import png
from api.settings import Settings
from api.walks import WALKS, Page, Walker
from hashdb.errors import SandboxFailed
from hashdb.model import Run, RunCounts
from tests.archives import Files
from tests.fakes import FakeSandbox, ServiceParts, build
from tests.runs import begun, done, items
from tests.unprivileged import unprivileged


@pytest.fixture
def settings(store_url: str, tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", database_url=store_url)


@pytest.fixture
def parts(settings: Settings) -> Iterator[ServiceParts]:
    made = build(settings)
    yield made
    made.close()


def test_an_object_that_cannot_be_read_fails_with_the_reason(
    settings: Settings, tmp_path: Path
) -> None:
    def away() -> None:
        raise SandboxFailed("no decoder on this machine")

    files = Files(str(tmp_path / "archive"))
    files.put({"away.png": png(64), "shut.png": png(65)})
    (tmp_path / "archive" / "shut.png").chmod(0)
    parts = build(settings, FakeSandbox(away))
    run = begun(parts, files)
    Walker(parts.store, parts.settings).step("w")
    runner = Runner(parts, lease_s=0.05)
    with unprivileged():
        for _ in range(3):
            while runner.step("w"):
                pass
            time.sleep(0.1)
    told = {j.payload["path"].rpartition("/")[2]: j for j in items(parts, run, "failed")}
    parts.close()
    assert {name: (j.problem or {})["detail"].rpartition(": ")[2] for name, j in told.items()} == {
        "away.png": "no decoder on this machine",
        "shut.png": "Permission denied",
    }
    assert {name: j.attempts for name, j in told.items()} == {"away.png": 3, "shut.png": 1}


@pytest.mark.parametrize("into", [False, True])
def test_a_name_that_is_no_text_does_not_stop_the_others(
    parts: ServiceParts, tmp_path: Path, into: bool
) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    odd, gone = (Path(os.fsdecode(os.fsencode(folder) + b"/" + n)) for n in (b"a\xff.png", b"\xfe"))
    for path in (odd, gone, folder / "b.png"):
        path.write_bytes(png(64))
    url = tasks.archive(parts.settings, str(folder)).url
    with parts.store.begin() as tx:
        options = {"archive": url, "bank": tx.banks.create("attacks").id, "actor": "cli"}
        run = tx.runs.open(tasks.ENROLMENT if into else tasks.BACKFILL, url, options)
    Walker(parts.store, parts.settings, poll_s=0.01).step("w")
    gone.unlink()
    well = {"added": 1, "known": 1} if into else {"allow": 2}
    assert done(parts, run) == RunCounts(3, {**well, "failed": 1})
    (failed,) = items(parts, run, "failed")
    assert failed.problem is not None
    assert failed.problem["type"] == "/problems/not-found"
    assert failed.payload["path"] == f"{folder}/\\udcfe"
    if not into:
        judged = {j.payload["path"] for j in items(parts, run, "allow")}
        assert judged == {f"{folder}/a\\udcff.png", f"{folder}/b.png"}


def test_a_walk_that_would_break_off_again_ends_with_the_reason(
    parts: ServiceParts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Files(str(tmp_path / "archive"))
    files.put({"a.png": png(64)})
    run, walk = begun(parts, files), WALKS[tasks.BACKFILL]

    def breaks_off(store: Any, settings: Any, run: Run) -> Iterator[Page]:
        yield from walk(store, settings, run)
        raise ZeroDivisionError("no page")

    monkeypatch.setattr("api.walks.WALKS", {tasks.BACKFILL: breaks_off})
    assert done(parts, run) == RunCounts(1, {"allow": 1})
    with parts.store.read() as tx:
        ended = tx.runs.get(run.id)
    assert (ended.walked, ended.broken) == (True, "ZeroDivisionError: no page")
    assert not Walker(parts.store, parts.settings).step("w")
    monkeypatch.setattr("api.walks.WALKS", {tasks.BACKFILL: walk})
    again = begun(parts, files)
    assert (again.walked, again.broken) == (False, None)
    assert done(parts, run) == RunCounts(1, {"allow": 1})
