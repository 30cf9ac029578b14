"""Commands against a real database."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from hashdb.format import read_file, write_file
from hashdb.snapshot import FILE, KIND
from hashdb.store import Store
from tests.commands import Seawall
from tests.feeds import KEY, Feed, add, serving, withdraw
from tests.parts.store_samples import record
from tests.services import ROOT


def test_any_command_makes_the_embedded_database(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "api.cli", "bank", "list", "--json"],
        env={"SEAWALL_DATA_DIR": str(tmp_path / "new"), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "new" / "seawall.db").exists()


def test_postgresql_waits_for_its_upgrade(
    empty_postgres_url: str, seawall: Seawall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEAWALL_DATABASE_URL", empty_postgres_url)
    told = seawall("bank", "list")
    assert told.code == 3
    assert "seawall db upgrade" in told.err
    assert "Traceback" not in told.err
    assert seawall("serve", "--port", "0").code == 3
    assert seawall("db", "upgrade").code == 0
    assert seawall("bank", "create", "attacks").code == 0
    assert [b["name"] for b in seawall("bank", "list", "--json").lines()] == ["attacks"]
    assert seawall("db", "downgrade", "base", "--yes").code == 0
    assert seawall("bank", "list").code == 3


def test_banks(seawall: Seawall) -> None:
    (made,) = seawall("bank", "create", "attacks", "--label", "violence", "--json").lines()
    assert (made["name"], made["action"], made["label"]) == ("attacks", "block", "violence")
    assert seawall("bank", "create", "news", "--action", "allow").code == 0
    listed = seawall("bank", "list", "--json").lines()
    assert [(b["name"], b["action"]) for b in listed] == [("attacks", "block"), ("news", "allow")]
    assert "attacks" in seawall("bank", "list").out


def test_a_name_that_is_taken(seawall: Seawall) -> None:
    seawall("bank", "create", "attacks")
    told = seawall("bank", "create", "attacks")
    assert (told.code, told.out) == (1, "")
    assert told.err.startswith("seawall: error: ")
    problem = json.loads(seawall("bank", "create", "attacks", "--json").err)
    assert problem["status"] == 409
    assert problem["type"].endswith("name-taken")


def test_keys_are_shown_once(seawall: Seawall, sqlite_url: str) -> None:
    told = seawall("key", "create", "--role", "pipeline", "--name", "ingest")
    secret = told.out.strip()
    assert told.out == f"{secret}\n"
    with Store.open(sqlite_url).read() as tx:
        key = tx.access.find(secret)
    assert key is not None
    assert (key.name, key.role.value) == ("ingest", "pipeline")
    listed = seawall("key", "list", "--json")
    assert [k["name"] for k in listed.lines()] == ["ingest"]
    assert secret not in listed.out
    assert seawall("key", "revoke", key.id).code == 0
    with Store.open(sqlite_url).read() as tx:
        assert tx.access.find(secret) is None
        acts = {e.act for e in tx.audit.list()[0]}
    assert acts == {"key.create", "key.revoke"}


def test_a_key_is_named_after_its_role(seawall: Seawall) -> None:
    (made,) = seawall("key", "create", "--role", "partner", "--json").lines()
    assert made["name"] == "partner"
    assert made["key"].startswith("swk_")
    assert seawall("key", "create", "--role", "king").code == 2


def vpdq_list(path: Path, frames: int = 12) -> Path:
    codes = (sha256(str(n).encode()).hexdigest() for n in range(frames))
    lines = (f"{n},100,{code},{n * 0.5:.3f}" for n, code in enumerate(codes))
    path.write_text("\n".join(lines) + "\n")
    return path


def test_vpdq_lists_go_in_and_out(seawall: Seawall, tmp_path: Path) -> None:
    seawall("bank", "create", "attacks")
    path = vpdq_list(tmp_path / "list.txt")
    arguments = ("reference", "add", "--bank", "attacks", "--vpdq", "--json", str(path))
    (added,) = seawall(*arguments).lines()
    assert added.keys() == {"file", "reference_id"}
    assert seawall(*arguments).lines() == [added]
    exported = seawall("reference", "export", added["reference_id"])
    codes = [line.split(",")[2] for line in exported.out.splitlines()]
    assert codes == [sha256(str(n).encode()).hexdigest() for n in range(12)]


def test_references_are_listed_and_withdrawn(seawall: Seawall, tmp_path: Path) -> None:
    seawall("bank", "create", "attacks")
    for n in (3, 4):
        path = vpdq_list(tmp_path / f"list-{n}.txt", n)
        seawall("reference", "add", "--bank", "attacks", "--vpdq", str(path))
    first, second = seawall("reference", "list", "--json").lines()
    assert (first["bank"], first["frames"], second["frames"]) == ("attacks", 3, 4)
    (found,) = seawall("reference", "list", "--text", "list-4", "--json").lines()
    assert found["id"] == second["id"]
    assert seawall("reference", "withdraw", first["id"]).code == 0
    assert [
        r["id"] for r in seawall("reference", "list", "--state", "withdrawn", "--json").lines()
    ] == [first["id"]]
    assert "withdrawn" in seawall("reference", "list").out
    assert seawall("reference", "withdraw", "ref_nothing").code == 1
    assert seawall("reference", "list", "--bank", "nowhere").code == 1


def test_a_file_that_fails_does_not_stop_the_others(seawall: Seawall, tmp_path: Path) -> None:
    seawall("bank", "create", "attacks")
    (tmp_path / "bad.txt").write_text("1,2,3\n")
    good = vpdq_list(tmp_path / "good.txt")
    paths = [str(tmp_path / "bad.txt"), str(tmp_path / "gone.txt"), str(good)]
    told = seawall("reference", "add", "--bank", "attacks", "--vpdq", "--json", *paths)
    assert told.code == 1
    bad, gone, added = told.lines()
    assert (bad["file"], bad["problem"]["status"]) == (paths[0], 400)
    assert (gone["file"], gone["problem"]["status"]) == (paths[1], 404)
    assert added["file"] == paths[2]
    words = seawall("reference", "add", "--bank", "attacks", "--vpdq", *paths)
    assert words.code == 1
    assert "2 of 3 files failed" in words.err


def test_a_bank_that_is_not_there_is_told_before_any_file(seawall: Seawall) -> None:
    told = seawall("reference", "add", "--bank", "nowhere", "--json", "some.mp4")
    assert (told.code, told.out) == (1, "")
    assert json.loads(told.err)["status"] == 404


def test_the_index_is_verified_and_rebuilt(seawall: Seawall, tmp_path: Path) -> None:
    seawall("bank", "create", "attacks")
    seawall("reference", "add", "--bank", "attacks", "--vpdq", str(vpdq_list(tmp_path / "l.txt")))
    (report,) = seawall("index", "verify", "--json").lines()
    assert (report["ok"], report["references"], report["codes"]["pdq"]) == (True, 1, 12)
    (rebuilt,) = seawall("index", "rebuild", "--json").lines()
    assert Path(rebuilt["path"]).exists()
    assert rebuilt["codes"]["pdq"] == 12
    damaged = Path(rebuilt["path"])
    damaged.write_bytes(damaged.read_bytes()[:-9])
    assert seawall("index", "verify").code == 0  # the database is the truth


def test_verify_says_what_the_snapshot_is_and_leaves_it(seawall: Seawall, tmp_path: Path) -> None:
    seawall("bank", "create", "attacks")
    seawall("reference", "add", "--bank", "attacks", "--vpdq", str(vpdq_list(tmp_path / "l.txt")))
    (rebuilt,) = seawall("index", "rebuild", "--json").lines()
    file = Path(rebuilt["path"])

    def verified() -> str:
        told = seawall("index", "verify", "--json")
        (report,) = told.lines()
        assert (told.code, report["ok"]) == (0, True)
        return str(report["snapshot"])

    assert verified() == "good"
    whole = file.read_bytes()
    file.write_bytes(whole[:-9])
    assert verified() == verified() == "damaged"
    assert file.read_bytes() == whole[:-9]
    assert "snapshot is DAMAGED" in seawall("index", "verify").out
    file.unlink()
    assert verified() == "missing"
    assert not file.exists()
    file.write_bytes(whole)
    contents = read_file(file, KIND)
    write_file(file, KIND, {**contents.meta, "database": "another"}, contents.arrays)
    assert verified() == "stale"


def test_the_index_is_published_and_fetched(
    seawall: Seawall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seawall("bank", "create", "attacks")
    seawall("reference", "add", "--bank", "attacks", "--vpdq", str(vpdq_list(tmp_path / "l.txt")))
    shelf = tmp_path / "published"
    (told,) = seawall("index", "publish", str(shelf), "--json").lines()
    assert told["url"] == str(shelf)
    assert (shelf / told["file"]).stat().st_size == told["size"]
    (tmp_path / "data" / "index" / FILE).unlink()
    monkeypatch.setenv("SEAWALL_INDEX_SOURCE", str(shelf))
    with monkeypatch.context() as patched:
        patched.setattr("hashdb.snapshot.ReferenceIndex._built", None)
        again = seawall("index", "publish", str(shelf))
    assert again.code == 0
    assert told["file"] in again.out
    assert (tmp_path / "data" / "index" / FILE).read_bytes() == (shelf / told["file"]).read_bytes()
    (tmp_path / "occupied").write_text("a file where the folder should be")
    refused = seawall("index", "publish", str(tmp_path / "occupied" / "here"), "--json")
    assert refused.code == 1
    assert json.loads(refused.err.splitlines()[-1])["type"] == "/problems/bad-snapshot"
    unknown = seawall("index", "publish", "nowhere://x/y")
    assert unknown.code == 2


def test_a_rebuild_whose_snapshot_cannot_be_written(seawall: Seawall, tmp_path: Path) -> None:
    (tmp_path / "data" / "index" / FILE).mkdir(parents=True)
    told = seawall("index", "rebuild", "--json")
    assert told.code == 1
    assert told.out == ""
    body = json.loads(told.err.splitlines()[-1])
    assert body["type"] == "/problems/bad-snapshot"
    assert "cannot be written" in body["detail"]
    assert FILE in body["detail"]
    told = seawall("index", "rebuild")
    assert (told.code, "seawall: error: the index was made" in told.err) == (1, True)
    (report,) = seawall("index", "verify", "--json").lines()
    assert (report["ok"], report["snapshot"]) == (True, "damaged")


def test_what_is_old_is_purged(seawall: Seawall, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = ["jobs", "fingerprints", "verdicts"]
    told = seawall("purge", "--dry-run", "--json").lines()
    assert [(t["kind"], t["deleted"], t["dry_run"]) for t in told] == [(k, 0, True) for k in kinds]
    monkeypatch.setenv("SEAWALL_KEEP_VERDICTS_DAYS", "0")
    monkeypatch.setenv("SEAWALL_KEEP_AUDIT_DAYS", "90")
    told = seawall("purge", "--json").lines()
    assert {t["kind"]: t["keep_days"] for t in told} == {"jobs": 7, "fingerprints": 30, "audit": 90}
    assert "jobs: 0 deleted (kept for 7 days)" in seawall("purge").out
    for wrong in ("-1", "a year", "1.5"):
        monkeypatch.setenv("SEAWALL_KEEP_JOBS_DAYS", wrong)
        told = seawall("purge")
        assert (told.code, "SEAWALL_KEEP_JOBS_DAYS" in told.err) == (2, True)


def test_a_look_back_says_what_is_too_old_to_be_found(
    seawall: Seawall, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = seawall("look-back", "--since", "2020-01-01", "--jobs", "1")
    assert "more than 365 days ago are not found" in told.err
    assert "more than 30 days ago are found by their digests alone" in told.err
    monkeypatch.setenv("SEAWALL_KEEP_VERDICTS_DAYS", "0")
    monkeypatch.setenv("SEAWALL_RETENTION_DAYS", "0")
    assert "days ago" not in seawall("look-back", "--since", "2020-01-01", "--jobs", "1").err


def test_an_upload_is_erased(seawall: Seawall, sqlite_url: str) -> None:
    with closing(Store.open(sqlite_url)) as store, store.begin() as tx:
        record(tx, "u1")
        record(tx, "u1", key="key_b")
    told = seawall("uploads", "erase", "u1")
    assert (told.code, "several keys" in told.err) == (1, True)
    (erased,) = seawall("uploads", "erase", "u1", "--key", "key_b", "--json").lines()
    assert erased == {"upload_id": "u1", "key_id": "key_b", "decisions": []}
    assert seawall("uploads", "erase", "u1").out == "u1 of key_a is erased\n"
    told = seawall("uploads", "erase", "u1", "--json")
    assert told.code == 1
    assert json.loads(told.err.splitlines()[-1])["type"] == "/problems/not-found"


def test_a_partners_feed_is_pulled(seawall: Seawall, monkeypatch: pytest.MonkeyPatch) -> None:
    seawall("bank", "create", "theirs")
    feed = Feed([add(1), add(2), withdraw(3, of=1)])
    with serving(feed) as url:
        told = seawall("sync", "pull", url, "--bank", "theirs")
        assert told.code == 2
        assert "SEAWALL_SYNC_KEY" in told.err
        monkeypatch.setenv("SEAWALL_SYNC_KEY", KEY)
        (done,) = seawall("sync", "pull", url, "--bank", "theirs", "--json").lines()
        assert (done["added"], done["withdrawn"], done["checkpoint"]) == (2, 1, "3")
        feed.lines.append(add(4, md5="bad"))
        told = seawall("sync", "pull", url, "--bank", "theirs")
        assert told.code == 1
        assert "passed over" in told.err
        monkeypatch.setenv("SEAWALL_SYNC_KEY", "swk_wrong")
        told = seawall("sync", "pull", url, "--bank", "theirs")
        assert told.code == 3
        assert "refuses the key" in told.err


def test_a_partner_that_was_replaced_is_pulled_from_the_start(
    seawall: Seawall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEAWALL_SYNC_KEY", KEY)
    seawall("bank", "create", "theirs")
    feed = Feed([add(1), add(2)])
    with serving(feed) as url:
        pull = ("sync", "pull", url, "--bank", "theirs", "--json")
        assert seawall(*pull).code == 0
        feed.lines = [add(n, checkpoint=f"new.{n}") for n in (2, 3)]
        feed.answers = [(409, {"Content-Type": "application/problem+json"}, b"{}")]
        told = seawall(*pull)
        assert told.code == 3
        assert "--from-start" in json.loads(told.err.splitlines()[-1])["detail"]
        (done,) = seawall(*pull, "--from-start").lines()
        assert (done["added"], done["known"], done["checkpoint"]) == (1, 1, "new.3")
        (done,) = seawall(*pull).lines()
        assert (done["added"], done["known"]) == (0, 0)


def test_what_is_overruled_is_told_and_is_no_failure(seawall: Seawall, tmp_path: Path) -> None:
    seawall("bank", "create", "theirs")
    path = tmp_path / "feed.jsonl"
    path.write_text("".join(json.dumps(add(n)) + "\n" for n in (1, 2)))
    pull = ("sync", "pull", str(path), "--bank", "theirs")
    assert seawall(*pull).out == "2 added, 0 known, 0 withdrawn\n"
    first, _ = seawall("reference", "list", "--json").lines()
    seawall("reference", "withdraw", str(first["id"]))
    told = seawall(*pull, "--from-start")
    assert (told.code, told.out) == (0, "0 added, 1 known, 0 withdrawn, 1 overruled\n")
    (done,) = seawall(*pull, "--from-start", "--json").lines()
    assert (done["overruled"], done["refused"]) == (1, [])
    (gone,) = seawall("reference", "list", "--state", "withdrawn", "--json").lines()
    assert gone["standing"] == "negative"


def test_a_key_may_lie_in_a_file(seawall: Seawall, tmp_path: Path) -> None:
    seawall("bank", "create", "theirs")
    (tmp_path / "key").write_text(KEY + "\n")
    with serving(Feed([add(1)])) as url:
        arguments = ("--bank", "theirs", "--key-file", str(tmp_path / "key"))
        assert seawall("sync", "pull", url, *arguments).code == 0


def test_a_file_of_json_lines_is_pulled(seawall: Seawall, tmp_path: Path) -> None:
    seawall("bank", "create", "theirs")
    (tmp_path / "feed.jsonl").write_text(json.dumps(add(1)))
    told = seawall("sync", "pull", str(tmp_path / "feed.jsonl"), "--bank", "theirs", "--json")
    assert told.lines()[0]["added"] == 1


def test_lines_of_a_feed_that_cannot_be_read_are_told_shortly(
    seawall: Seawall, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seawall("bank", "create", "theirs")
    path = tmp_path / "feed.jsonl"
    lines = [json.dumps(add(1)), "not json", json.dumps(add(3, md5="bad")), json.dumps(add(4))]
    path.write_text("\n".join(lines) + "\n")
    told = seawall("sync", "pull", str(path), "--bank", "theirs")
    assert (told.code, told.out) == (1, "2 added, 0 known, 0 withdrawn, 2 refused\n")
    assert told.err.splitlines() == [
        "seawall: line 2 was passed over: it is no JSON",
        f"seawall: {add(3)['reference_id']} was passed over: md5: not lower-case hex of its length",
    ]
    assert caplog.records == []
    path.write_text("\n".join([*lines, "not json", '{"checkpoint": "5", "ch']))
    told = seawall("sync", "pull", str(path), "--bank", "theirs")
    assert told.code == 3
    assert told.err.startswith("seawall: line 5 was passed over")
    assert "line 6 of the feed is cut off" in told.err


def test_settings_that_cannot_be_read(seawall: Seawall, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEAWALL_RETENTION_DAYS", "a month")
    told = seawall("bank", "list")
    assert told.code == 2
    assert "SEAWALL_RETENTION_DAYS" in told.err


def test_a_reader_that_goes_away_is_no_failure(tmp_path: Path) -> None:
    code = "import sys; from api.cli import main; sys.argv = ['seawall', '--help']; main()"
    done = subprocess.run(
        f'{sys.executable} -c "{code}" | true',
        shell=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert done.stderr == ""


def test_no_command_brings_the_metrics_before_it_is_known_how_workers_count() -> None:
    """prometheus_client looks for the workers' shared folder when it is imported."""
    code = "import sys, api.cli; sys.exit('prometheus_client' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
