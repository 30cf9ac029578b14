"""Commands that cannot do what they were told, or are told to stop it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from hashdb.store import Store
from tests.commands import Seawall
from tests.parts.store_samples import record


def test_a_backfill_is_cancelled(seawall: Seawall, sqlite_url: str, tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    arguments = ("backfill", str(tmp_path / "archive"), "--cancel")
    assert seawall(*arguments).code == 1  # there is none
    with closing(Store.open(sqlite_url)) as store, store.begin() as tx:
        run = tx.runs.open("backfill", f"file://{tmp_path}/archive", {})
        assert tx.runs.claim("w", 60, kinds=["backfill"]) == run
        tx.runs.advance(run, "w", None, [("a", {"path": "a"})])
    (told,) = seawall(*arguments, "--json").lines()
    assert (told["walked"], told["listed"], told["in_hand"], told["broken"]) == (True, 0, 0, None)
    with closing(Store.open(sqlite_url)) as store, store.begin() as tx:
        tx.runs.walk_again(run.id)
        assert tx.runs.claim("w", 60, kinds=["backfill"]) is not None
        assert tx.runs.break_off(run, "w", "it is no good")
    told_in_words = seawall(*arguments[:2], "--status").out
    assert "the walk broke off: it is no good" in told_in_words


def test_a_look_back_is_cancelled(seawall: Seawall, sqlite_url: str) -> None:
    arguments = ("look-back", "--since", "2026-01-02")
    assert seawall(*arguments, "--cancel").code == 1  # there is none
    with closing(Store.open(sqlite_url)) as store:
        with store.begin() as tx:
            begin = "2026-01-02T00:00:00+00:00"
            subject = f"uploads since {begin}, change {tx.changes.head()}"
            run = tx.runs.open("look-back", subject, {"since": begin})
            assert tx.runs.claim("w", 60, kinds=["look-back"]) == run
            tx.runs.advance(run, "w", None, [("a", {"uploads": []})])
            tx.runs.open("look-back", "uploads since 2026-01-03, change 1", {"since": "2026-01-03"})
        (told,) = seawall(*arguments, "--cancel", "--json").lines()
        assert (told["run_id"], told["walked"], told["listed"]) == (run.id, True, 0)
        with store.read() as tx:
            (other,) = tx.runs.begun("look-back", "uploads since 2026-01-03")
        assert not other.walked
        with store.begin() as tx:
            tx.runs.cancel(other.id)
            record(tx, "u1")
        (told,) = seawall(*arguments, "--jobs", "1", "--json").lines()
        assert (told["run_id"], told["listed"], told["in_hand"]) == (run.id, 1, 0)


@pytest.mark.parametrize("words", ["backfill", "index publish"])
def test_a_server_that_is_away_is_told(seawall: Seawall, words: str) -> None:
    told = seawall(*words.split(), "ftp://127.0.0.1:1/x")
    assert (told.code, told.out) == (3, "")
    assert told.err.startswith("seawall: error: ftp://127.0.0.1:1/x: ")


@pytest.mark.parametrize("command", ["serve", "worker", "match a.mp4", "bank list"])
def test_a_data_folder_that_is_a_file_is_told(
    seawall: Seawall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SEAWALL_DATA_DIR", str(tmp_path / "file"))
    monkeypatch.delenv("SEAWALL_DATABASE_URL")
    told = seawall(*command.split())
    assert (told.code, told.out) == (3, "")
    assert told.err.startswith("seawall: error: ")


def test_a_log_level_that_there_is_not_is_refused(
    seawall: Seawall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEAWALL_LOG_LEVEL", "foo")
    told = seawall("bank", "list")
    assert (told.code, "SEAWALL_LOG_LEVEL='foo'" in told.err) == (2, True)
    monkeypatch.setenv("SEAWALL_LOG_LEVEL", "warning")
    assert seawall("bank", "list").code == 0
