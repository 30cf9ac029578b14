"""The videohash package, in its own locked-in child."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hashdb.model import Fingerprint, MediaFingerprints
from matcher import lockdown
from matcher.ports import Sampling
from matcher.sandbox import Sandbox
from tests import media_maker as make

ROOT = Path(__file__).resolve().parents[2]
MEDIA = ROOT / "tests" / "media"
UPLOAD = Sampling(dense=False, seconds=60)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as made:
        yield made


def whole(found: MediaFingerprints) -> list[Fingerprint]:
    return [f for f in found.fingerprints if f.signal_type == "videohash"]


def bits_apart(one: Fingerprint, other: Fingerprint) -> int:
    return int(np.bitwise_count(one.codes ^ other.codes).sum())


def of_file(sandbox: Sandbox, name: str) -> Fingerprint:
    with (MEDIA / name).open("rb") as media:
        found = sandbox(media, UPLOAD, ("pdq", "videohash"))
    assert not found.coverage.truncated
    (one,) = whole(found)
    return one


@pytest.fixture(scope="module")
def movie(sandbox: Sandbox) -> Fingerprint:
    return of_file(sandbox, "o554_movie.mp4")


def plain_package(path: Path, folder: Path) -> str:
    """What the package itself says, run by hand with nothing but the constant that it misses."""
    program = f"""
import os, shutil, sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from matcher.hashers import videohash
bin = Path({str(folder)!r}) / "bin"
bin.mkdir()
(bin / "ffmpeg").symlink_to(videohash.ffmpeg_path())
os.environ["PATH"] = f"{{bin}}:/usr/bin:/bin"
print(videohash.load()(path={str(path)!r}, storage_path={str(folder)!r} + "/").hash)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    return done.stdout.decode().split()[-1]


def test_one_code_for_the_whole_video(movie: Fingerprint):
    assert movie.codes.shape == (1, 8)
    assert movie.offsets.tolist() == [0.0]
    assert movie.spans.tolist() == pytest.approx([10.0])
    assert movie.pipeline == "videohash-3.0.1"


def test_the_code_is_the_packages_own(movie: Fingerprint, tmp_path: Path):
    said = plain_package(MEDIA / "o554_movie.mp4", tmp_path)
    assert int(said, 2).to_bytes(8, "big") == movie.codes.tobytes()


def test_the_same_film_encoded_anew_is_near_and_another_is_not(
    sandbox: Sandbox, movie: Fingerprint
):
    assert bits_apart(movie, of_file(sandbox, "p555_movie.ogv")) <= 6
    assert bits_apart(movie, of_file(sandbox, "o084_oa4_launch.webm")) > 10


def test_it_is_off_unless_asked_for_and_pictures_have_none(sandbox: Sandbox):
    with (MEDIA / "o554_movie.mp4").open("rb") as media:
        assert not whole(sandbox(media, UPLOAD, ("pdq", "phash")))
    picture = io.BytesIO(make.image(make.scene(1)))
    found = sandbox(picture, UPLOAD, ("pdq", "videohash"))
    assert not whole(found)
    assert not found.coverage.truncated


def test_nothing_is_left_behind(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with (MEDIA / "o084_oa4_launch.webm").open("rb") as media:
        assert whole(sandbox(media, UPLOAD, ("videohash",)))
    assert list(tmp_path.iterdir()) == []


def test_a_stream_that_states_no_duration(sandbox: Sandbox):
    film = make.scenes(3, rate=10)
    data = make.video(film, rate=10, codec="mjpeg", container="mjpeg", pix_fmt="yuvj420p")
    found = sandbox(io.BytesIO(data), UPLOAD, ("videohash",))
    assert len(whole(found)) == 1
    assert not found.coverage.truncated


def test_where_it_fails_the_look_is_truncated_and_the_rest_stands(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The package quotes names for the shell twice, so a space in one is too much for it."""
    folder = tmp_path / "with a space"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with (MEDIA / "o554_movie.mp4").open("rb") as media:
        found = sandbox(media, UPLOAD, ("pdq", "videohash"))
    assert found.coverage.truncated
    assert not whole(found)
    assert any(len(f) for f in found.fingerprints if f.signal_type == "pdq")
    assert list(folder.iterdir()) == []


# --- the cage ----------------------------------------------------------------------------------


def in_the_cage(body: str, folder: Path) -> dict[str, str]:
    """Lines of Python in a child locked in as the package's is; what each came to."""
    script = f"""
import json, os, socket, subprocess, sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from matcher import lockdown
from matcher.hashers import videohash
folder = Path({str(folder)!r})
program = videohash.ffmpeg_path()
videohash.prepare(folder, program)
readable, runnable = videohash.needed_files(program)
held = lockdown.apply_for_programs(
    lockdown.Programs(readable, runnable, str(folder)), memory=2 << 30, file_size=1 << 26
)
results = {{}}
def attempt(name, act):
    try:
        act()
        results[name] = "done"
    except BaseException as error:
        results[name] = type(error).__name__
def ffmpeg(arguments):
    done = subprocess.run(f"ffmpeg -nostdin -v error {{arguments}}", shell=True,
                          capture_output=True, text=True)
    return "done" if done.returncode == 0 else "failed"
{textwrap.dedent(body)}
os.write(1, json.dumps(results).encode())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=100)
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, str] = json.loads(done.stdout)
    return found


CAGED = pytest.mark.skipif(
    lockdown.landlock_abi() == 0 or os.uname().machine not in ("x86_64", "aarch64"),
    reason="the kernel has no Landlock",
)


@CAGED
def test_only_the_shell_and_ffmpeg_run_and_only_in_their_folder(tmp_path: Path):
    folder, outside = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    outside.mkdir()
    (outside / "secret.mp4").write_bytes(make.video(make.scenes(1)))
    (folder / "media.mp4").write_bytes(make.video(make.scenes(1)))
    found = in_the_cage(
        f"""
        results["ffmpeg"] = ffmpeg(f"-i {{folder}}/media.mp4 {{folder}}/a%03d.jpeg")
        attempt("read outside", lambda: open({str(outside / "secret.mp4")!r}, "rb"))
        attempt("read passwd", lambda: open("/etc/passwd"))
        attempt("list outside", lambda: os.listdir({str(outside)!r}))
        attempt("write outside", lambda: open({str(outside / "new")!r}, "w"))
        attempt("write inside", lambda: (folder / "new").write_text("x"))
        attempt("socket", lambda: socket.socket())
        attempt("another program", lambda: subprocess.run(["/usr/bin/env"]))
        attempt("own program", lambda: (os.symlink("/usr/bin/env", folder / "env"),
                                        subprocess.run([str(folder / "env")])))
        attempt("written program", lambda: ((folder / "x").write_bytes(b"#!/bin/sh\\n"),
                                            os.chmod(folder / "x", 0o755),
                                            subprocess.run([str(folder / "x")])))
        attempt("signal", lambda: os.kill(os.getppid(), 0))
        """,
        folder,
    )
    denied = (
        "read outside",
        "read passwd",
        "list outside",
        "write outside",
        "socket",
        "another program",
        "own program",
        "written program",
        "signal",
    )
    assert found == {
        "ffmpeg": "done",
        "write inside": "done",
        **dict.fromkeys(denied, "PermissionError"),
    }


@CAGED
def test_ffmpeg_itself_can_open_nothing_else(tmp_path: Path):
    """Playlists and scripts that name other files: our decoder refuses them, and here ffmpeg
    could not open what they name."""
    folder, outside = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    outside.mkdir()
    secret = outside / "secret.ts"
    secret.write_bytes(make.video(make.scenes(1), container="mpegts"))
    (folder / "list.m3u8").write_bytes(make.playlist(str(secret)))
    (folder / "list.ffconcat").write_bytes(make.concat_script(str(secret)))
    found = in_the_cage(
        f"""
        all_of_it = "-protocol_whitelist file,crypto,data,tcp,http -allowed_extensions ALL"
        results["plain"] = ffmpeg("-i {secret} -f null -")
        results["hls"] = ffmpeg(f"{{all_of_it}} -i {{folder}}/list.m3u8 -f null -")
        results["concat"] = ffmpeg(f"-safe 0 -f concat -i {{folder}}/list.ffconcat -f null -")
        results["network"] = ffmpeg("-i http://127.0.0.1:9/x -f null -")
        results["write"] = ffmpeg("-f lavfi -i testsrc -t 1 {outside}/made.mp4")
        """,
        folder,
    )
    assert found == dict.fromkeys(("plain", "hls", "concat", "network", "write"), "failed")
    assert [p.name for p in outside.iterdir()] == ["secret.ts"]
