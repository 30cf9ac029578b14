"""`seawall reference add`, `match` and `hash` on real media."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from pathlib import Path

import imageio_ffmpeg
import pytest
from PIL import Image

from hashdb.store import Store
from tests.commands import Seawall, seawall_at
from tests.services import Place

MEDIA = Path(__file__).parent.parent / "media"
VIDEO = MEDIA / "o554_movie.mp4"
OTHER = MEDIA / "o084_oa4_launch.webm"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation whose bank holds one video."""
    place = Place(tmp_path_factory.mktemp("cli") / "data")
    place.run("bank", "create", "attacks")
    place.run("reference", "add", "--bank", "attacks", str(VIDEO))
    return place.folder


@pytest.fixture
def seawall(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Seawall:
    return seawall_at(folder, f"sqlite:///{folder / 'seawall.db'}", monkeypatch, capfd)


def test_adding_a_file_again_gives_its_reference(seawall: Seawall, tmp_path: Path) -> None:
    copy = tmp_path / "a" / "named otherwise.mp4"
    copy.parent.mkdir()
    shutil.copyfile(VIDEO, copy)
    added = seawall(
        "reference", "add", "--bank", "attacks", str(VIDEO), str(tmp_path), "--json"
    ).lines()
    assert [a["file"] for a in added] == [str(VIDEO), str(copy)]
    (reference,) = seawall("reference", "list", "--json").lines()
    assert {a["reference_id"] for a in added} == {reference["id"]}
    assert reference["source"] == str(VIDEO)


def test_verdicts_come_in_order_beside_problems(seawall: Seawall, tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("no film")
    (tmp_path / "empty.mp4").touch()
    paths = [str(p) for p in (OTHER, text, tmp_path / "gone.mp4", VIDEO, tmp_path / "empty.mp4")]
    told = seawall("match", *paths, "--json")
    assert told.code == 1
    found = told.lines()
    assert [f["file"] for f in found] == paths
    assert [f.get("action") for f in found] == ["allow", None, None, "block", None]
    problems = [f["problem"] for f in found if "problem" in f]
    assert [p["status"] for p in problems] == [422, 404, 422]
    assert all(p.keys() >= {"type", "title", "status", "detail"} for p in problems)
    (match,) = found[3]["matches"]
    assert (match["bank"], match["exact"]) == ("attacks", True)


def test_a_block_is_no_failure_and_is_told_in_words(seawall: Seawall) -> None:
    told = seawall("match", str(VIDEO))
    assert told.code == 0
    assert told.out.startswith("BLOCK")
    assert "attacks" in told.out


def test_an_upload_id_names_one_upload(seawall: Seawall) -> None:
    (first,) = seawall("match", "--upload-id", "up-1", str(VIDEO), "--json").lines()
    assert first["upload_id"] == "up-1"
    (again,) = seawall("match", "--upload-id", "up-1", str(VIDEO), "--json").lines()
    assert again == first
    (other,) = seawall("match", "--upload-id", "up-1", str(OTHER), "--json").lines()
    assert other["problem"]["status"] == 409
    assert seawall("match", "--upload-id", "up-2", str(VIDEO), str(OTHER)).code == 2


def test_what_was_judged_is_on_record(seawall: Seawall, folder: Path) -> None:
    (judged,) = seawall("match", str(OTHER), "--json").lines()
    store = Store.open(f"sqlite:///{folder / 'seawall.db'}")
    with store.read() as tx:
        (verdict,) = tx.uploads.verdicts_by_upload(judged["upload_id"])
    store.close()
    assert verdict.action == judged["action"]


def test_hashes(seawall: Seawall) -> None:
    (hashed,) = seawall("hash", str(OTHER), "--json").lines()
    (again,) = seawall("hash", str(OTHER), "--json").lines()
    assert hashed == again
    assert hashed["file"] == str(OTHER)
    pdq = next(f for f in hashed["fingerprints"] if f["signal_type"] == "pdq")
    assert all(len(frame["hash"]) == 64 for frame in pdq["frames"])
    (dense,) = seawall("hash", "--dense", str(OTHER), "--json").lines()
    assert dense["coverage"]["frames"] > hashed["coverage"]["frames"]


def test_hashes_in_the_form_of_vpdq_can_be_added(seawall: Seawall, tmp_path: Path) -> None:
    listed = seawall("hash", "--format", "vpdq", str(OTHER)).out
    assert all(len(line.split(",")) == 4 for line in listed.splitlines())
    (tmp_path / "list.txt").write_text(listed)
    seawall("bank", "create", "lists")
    seawall(
        "reference", "add", "--bank", "lists", "--vpdq", str(tmp_path / "list.txt"), "--json"
    ).lines()
    (verdict,) = seawall("match", str(OTHER), "--json").lines()
    assert [m["bank"] for m in verdict["matches"]] == ["lists"]
    assert seawall("hash", "--format", "vpdq", str(OTHER), str(VIDEO)).code == 2


def test_an_interrupted_run_ends_at_once(folder: Path) -> None:
    process = Place(folder).start("match", *[str(VIDEO), str(OTHER)] * 50, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, told = process.communicate(timeout=30)
    assert time.monotonic() - began < 10
    assert process.returncode == 130
    assert told.strip().endswith("seawall: interrupted")
    assert "Traceback" not in told


def black_video(path: Path, *sound: str) -> str:
    picture = ("-f", "lavfi", "-i", "color=black:size=160x120:duration=4")
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", *picture, *sound, str(path)]
    subprocess.run(command, check=True)
    return str(path)


def test_media_that_only_the_very_same_file_can_match_is_told(
    seawall: Seawall, tmp_path: Path
) -> None:
    flat = [str(tmp_path / name) for name in ("black.png", "dot.png")]
    Image.new("RGB", (320, 240), "black").save(flat[0])
    Image.new("RGB", (1, 1), "red").save(flat[1])
    flat.append(black_video(tmp_path / "black.mp4"))
    add = ("reference", "add", "--bank", "attacks")
    told = seawall(*add, *flat)
    assert told.code == 0
    assert [line.split(": ")[:3] for line in told.err.splitlines()] == [
        ["seawall", "warning", path] for path in flat
    ]
    rows = seawall(*add, *flat, str(VIDEO), "--json").lines()  # again, and one that is not flat
    assert [row.get("exact_only") for row in rows] == [True, True, True, None]
    (judged,) = seawall("match", flat[0], "--json").lines()
    assert judged["action"] == "block"


def test_a_black_video_with_a_sound_is_found_by_it(seawall: Seawall, tmp_path: Path) -> None:
    """docs/moderator.md advises to add a sound so: no warning."""
    sound = ("-ss", "1", "-t", "4", "-i", str(MEDIA / "o597_bbb.mp4"), "-map", "0:v", "-map", "1:a")
    told = seawall("reference", "add", "--bank", "attacks", black_video(tmp_path / "s.mp4", *sound))
    assert (told.code, told.err) == (0, "")
