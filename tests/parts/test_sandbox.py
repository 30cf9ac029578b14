"""The sandbox, with real children."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from hashdb.errors import (
    CorruptMedia,
    EmptyMedia,
    MediaTimeout,
    MediaTooLarge,
    NoPicture,
    SandboxFailed,
    UnsupportedMedia,
)
from hashdb.model import MediaFingerprints, MediaKind, Rendering
from matcher import lockdown, syscalls
from matcher.child import child_environment
from matcher.decode.pyav import PyAvDecoder
from matcher.features import PART
from matcher.fingerprint import fingerprint
from matcher.ports import Limits, Sampling, Window
from matcher.sandbox import Sandbox
from matcher.worker import _is_out_of_memory, frame_parts, hear
from tests import media_maker as make

ROOT = Path(__file__).resolve().parents[2]
MOVIE = ROOT / "tests" / "media" / "o554_movie.mp4"
UPLOAD = Sampling(dense=False, seconds=30)
SIGNALS = ("pdq", "phash")
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel is not Linux")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(max_children=2) as made:
        yield made


@pytest.fixture(params=[pytest.param(True, marks=LINUX), False], ids=["forked", "started"])
def lone(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A sandbox whose one child stands ready, locked in."""
    with Sandbox(Limits(wall_s=2.0), forks=request.param) as made:
        made.warm()
        made._waiting[0].ready(time.monotonic() + 60)
        yield made


# --- the ordinary way --------------------------------------------------------------------------


def test_what_the_child_says_is_what_the_parts_say(sandbox: Sandbox):
    with MOVIE.open("rb") as media:
        inside = sandbox(media, replace(UPLOAD, pictures=3), SIGNALS)
        outside = fingerprint(
            PyAvDecoder(Limits()).open(media), frame_parts(), replace(UPLOAD, pictures=3), SIGNALS
        )
    assert inside.kind is MediaKind.VIDEO
    assert inside.coverage == outside.coverage
    assert len(inside.fingerprints) == len(outside.fingerprints)
    for one, other in zip(inside.fingerprints, outside.fingerprints, strict=True):
        assert (one.signal_type, one.view, one.orientation) == (
            other.signal_type,
            other.view,
            other.orientation,
        )
        assert np.bitwise_count(one.codes ^ other.codes).sum(axis=1).max(initial=0) <= 2
        assert one.offsets.tolist() == other.offsets.tolist()
    assert [p.shape for p in inside.pictures] == [(224, 224, 3)] * 3
    assert inside.sound == ()


def test_pictures_are_told_some_at_a_time_before_the_answer(sandbox: Sandbox):
    told: list[MediaFingerprints] = []
    signals = (*SIGNALS, "local")
    with MOVIE.open("rb") as media:
        answer = sandbox(media, UPLOAD, signals, early=told.append)
        alone = sandbox(media, UPLOAD, signals)
        outside = fingerprint(PyAvDecoder(Limits()).open(media), frame_parts(), UPLOAD, signals)
    for rendering in Rendering:
        parts = [f for part in told for f in part.local if f.rendering is rendering]
        (whole,) = (f for f in answer.local if f.rendering is rendering)
        (same,) = (f for f in alone.local if f.rendering is rendering)
        (at_once,) = (f for f in outside.local if f.rendering is rendering)
        count = sum(map(len, parts))
        assert len(parts) == len(told) > 1
        assert all(len(f) == PART for f in parts)
        assert len(whole) - PART < count <= len(whole)
        assert np.concatenate([f.offsets for f in parts]).tolist() == whole.offsets[:count].tolist()
        assert np.array_equal(
            np.concatenate([f.codes for f in parts]), whole.codes[: whole.starts[count]]
        )
        for name in ("offsets", "starts", "sizes", "codes", "places"):
            assert np.array_equal(getattr(whole, name), getattr(same, name))
            assert np.array_equal(getattr(whole, name), getattr(at_once, name))
    assert {f.signal_type for f in told[0].fingerprints} == set(SIGNALS)
    assert not any(part.fingerprints for part in told[1:])


@pytest.mark.parametrize("wanted", [True, False, None])
def test_pictures_that_were_set_aside_are_described_where_all_are_wanted(
    sandbox: Sandbox, wanted: bool | None
):
    told: list[MediaFingerprints] = []
    asked: list[MediaFingerprints] = []

    def wants_all(found: MediaFingerprints) -> bool:
        asked.append(found)
        return bool(wanted)

    signals, aside = (*SIGNALS, "local"), replace(UPLOAD, aside=True)
    with MOVIE.open("rb") as media:
        whole = sandbox(media, UPLOAD, signals)
        answer = sandbox(
            media,
            aside,
            signals,
            early=told.append,
            wants_all=None if wanted is None else wants_all,
        )
    every = np.arange(len(whole.local[0]))
    for one, full in zip(answer.local, whole.local, strict=True):
        same = full.take(every[::2] if wanted is False else every)
        assert (one.track, one.rendering) == (same.track, same.rendering)
        for name in ("offsets", "starts", "sizes", "codes", "places"):
            assert np.array_equal(getattr(one, name), getattr(same, name))
    assert answer.coverage == whole.coverage
    assert len(answer.fingerprints) == len(whole.fingerprints)
    assert [m.offsets.tolist() for m in answer.motion] == [m.offsets.tolist() for m in whole.motion]
    if wanted is not None:
        (found,) = asked
        before = sum(len(f) for part in told for f in part.local)
        assert before
        assert before + sum(map(len, found.local)) == sum(
            len(f.take(every[::2])) for f in whole.local
        )
        assert len(found.fingerprints) == len(whole.fingerprints)


def test_a_child_that_waits_is_ended_with_who_asked(sandbox: Sandbox):
    def fail(_: MediaFingerprints) -> bool:
        raise ZeroDivisionError

    with MOVIE.open("rb") as media, pytest.raises(ZeroDivisionError):
        sandbox(media, replace(UPLOAD, aside=True), (*SIGNALS, "local"), wants_all=fail)


def test_what_an_early_listener_raises_ends_the_look(sandbox: Sandbox):
    def fail(_: MediaFingerprints) -> None:
        raise ZeroDivisionError

    with MOVIE.open("rb") as media, pytest.raises(ZeroDivisionError):
        sandbox(media, UPLOAD, (*SIGNALS, "local"), early=fail)
    picture = sandbox(
        io.BytesIO(make.image(make.scene(1))), UPLOAD, (*SIGNALS, "local"), early=fail
    )
    assert picture.kind is MediaKind.IMAGE  # of which nothing is told


def test_the_child_hears_what_we_hear(sandbox: Sandbox):
    with MOVIE.open("rb") as media:
        looks = [
            sandbox(media, sampling, ("pdq", "sound"))
            for sampling in (UPLOAD, replace(UPLOAD, windows=(Window(1.0, 2.0),)))
        ]
        outside = hear(media, 10.0, 100.0)
    assert [len(look.sound) for look in looks] == [2, 0]
    for one, other in zip(looks[0].sound, outside, strict=True):
        assert (one.track, one.pipeline, one.seconds) == (
            other.track,
            other.pipeline,
            other.seconds,
        )
        assert one.times.tolist() == other.times.tolist()
        assert one.pitches.tolist() == other.pitches.tolist()
    picture = sandbox(io.BytesIO(make.image(make.scene(1))), UPLOAD, ("pdq", "sound"))
    assert picture.sound == ()


@pytest.mark.parametrize("kind", ["bytes", "spooled", "file", "unnamed"])
def test_any_open_file_will_do_and_keeps_its_place(sandbox: Sandbox, kind: str, tmp_path: Path):
    data = make.image(make.scene(1))
    makers = {
        "bytes": lambda: io.BytesIO(data),
        "spooled": lambda: tempfile.SpooledTemporaryFile(max_size=1 << 20),  # noqa: SIM115
        "file": lambda: (tmp_path / "picture.png").open("w+b"),
        "unnamed": tempfile.TemporaryFile,
    }
    media = makers[kind]()
    with media:
        if kind != "bytes":
            media.write(data)
        media.seek(7)
        found = sandbox(media, UPLOAD, SIGNALS)
        assert (found.kind, found.coverage.frames) == (MediaKind.IMAGE, 1)
        assert media.tell() == 7


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(b"", EmptyMedia, id="empty"),
        pytest.param(b"text\n" * 99, UnsupportedMedia, id="text"),
        pytest.param(make.sound(), NoPicture, id="sound"),
        pytest.param(make.huge_png(20000, 20000), MediaTooLarge, id="large"),
        pytest.param(make.video(make.scenes(1))[:2000], CorruptMedia, id="truncated"),
    ],
)
def test_problems_come_through_with_their_texts(sandbox: Sandbox, data: bytes, problem):
    with pytest.raises(problem, match=r"\w{3}"):
        sandbox(io.BytesIO(data), UPLOAD, SIGNALS)


def test_many_at_once(sandbox: Sandbox):
    pictures = [make.image(make.scene(i)) for i in range(6)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda p: sandbox(io.BytesIO(p), UPLOAD, ("pdq",)), pictures))
    again = [sandbox(io.BytesIO(p), UPLOAD, ("pdq",)) for p in pictures[:2]]
    assert len({f.fingerprints[0].codes.tobytes() for f in found}) == 6
    for one, other in zip(found, again, strict=False):
        assert (one.fingerprints[0].codes == other.fingerprints[0].codes).all()


FILM = make.scenes(1)


@pytest.mark.parametrize(
    "data",
    [
        *(
            pytest.param(make.image(FILM[0], name), id=name)
            for name in ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "AVIF")
        ),
        *(
            pytest.param(make.animation(FILM[::5], name), id=f"animated {name}")
            for name in ("PNG", "WEBP", "GIF", "AVIF")
        ),
        pytest.param(make.video(FILM), id="h264"),
        pytest.param(
            make.video(FILM, codec="libx265", options={"x265-params": "log-level=none"}), id="hevc"
        ),
        pytest.param(make.video(FILM, codec="libvpx-vp9", container="webm"), id="vp9"),
        # Made beforehand: SVT-AV1, run by root, gives its process real-time priority (SCHED_FIFO).
        pytest.param((ROOT / "tests/media/made_av1.mp4").read_bytes(), id="av1"),
        pytest.param(make.video(FILM, codec="mpeg2video", container="mpegts"), id="mpeg2"),
        pytest.param(
            make.video(FILM, codec="ffv1", container="matroska", pix_fmt="bgra"), id="conversion"
        ),
    ],
)
def test_every_codec_works_locked_in(sandbox: Sandbox, data: bytes):
    """No codec opens a file, starts a thread or calls what the filter denies."""
    found = sandbox(io.BytesIO(data), replace(UPLOAD, pictures=1), SIGNALS)
    assert not found.coverage.truncated
    assert found.coverage.flat_frames == 0
    assert len(found.pictures) == 1


def test_a_child_serves_one_piece_of_media(lone: Sandbox):
    first = lone._waiting[0].process
    lone(io.BytesIO(make.image(make.scene(1))), UPLOAD, SIGNALS)
    assert first.poll() is not None
    assert lone._waiting[0].process.pid != first.pid


# --- children that fail ------------------------------------------------------------------------


def test_a_child_that_hangs_is_killed_at_the_limit_of_time(lone: Sandbox):
    process = lone._waiting[0].process
    os.kill(process.pid, signal.SIGSTOP)
    started = time.monotonic()
    with pytest.raises(MediaTimeout, match="2 s"):
        lone(io.BytesIO(make.image(make.scene(1))), UPLOAD, SIGNALS)
    assert 1.5 < time.monotonic() - started < 20
    assert process.poll() is not None


def test_a_look_that_the_clock_ends_gives_what_it_has_seen():
    """The child is let work for a hundredth of a second in ten: its CPU seconds would last."""
    data = make.video([make.scene(i, size=(640, 480)) for i in range(300)], gop=10)
    with Sandbox(Limits(wall_s=6.0)) as busy:
        busy.warm()
        child = busy._waiting[0]
        child.ready(time.monotonic() + 60)
        over = threading.Event()
        slower = threading.Thread(target=_slow_down, args=(child.process.pid, over))
        slower.start()
        try:
            found = busy(io.BytesIO(data), Sampling(dense=True), SIGNALS)
        finally:
            over.set()
            slower.join()
    assert found.coverage.truncated
    assert 0 < found.coverage.frames < 300
    assert found.coverage.judged_s > 0


def _slow_down(pid: int, over: threading.Event) -> None:
    with contextlib.suppress(ProcessLookupError):
        while not over.is_set():
            os.kill(pid, signal.SIGSTOP)
            over.wait(0.09)
            os.kill(pid, signal.SIGCONT)
            over.wait(0.01)


@pytest.mark.parametrize(
    ("number", "problem"),
    [
        (signal.SIGKILL, SandboxFailed),
        (signal.SIGSEGV, CorruptMedia),
        (signal.SIGXCPU, MediaTimeout),
    ],
)
def test_a_child_that_is_killed_at_work(lone: Sandbox, number: signal.Signals, problem):
    pid = lone._waiting[0].process.pid
    os.kill(pid, signal.SIGSTOP)

    def kill() -> None:
        time.sleep(0.3)
        os.kill(pid, number)
        with contextlib.suppress(ProcessLookupError):  # it may have been buried already
            os.kill(pid, signal.SIGCONT)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(problem):
        lone(io.BytesIO(make.image(make.scene(1))), UPLOAD, SIGNALS)
    killer.join()
    assert lone(io.BytesIO(make.image(make.scene(1))), UPLOAD, SIGNALS).coverage.frames == 1


def test_a_child_that_died_while_it_waited_is_replaced(lone: Sandbox):
    lone._waiting[0].process.kill()
    lone._waiting[0].process.wait()
    assert lone(io.BytesIO(make.image(make.scene(1))), UPLOAD, SIGNALS).coverage.frames == 1


def test_media_that_need_too_much_memory():
    picture = make.huge_png(9000, 9000)
    with Sandbox(Limits(memory_mb=850), spare=0) as small:
        with pytest.raises(MediaTooLarge, match="850 MB"):
            small(io.BytesIO(picture), UPLOAD, SIGNALS)
        assert small(io.BytesIO(make.image(make.scene(1))), UPLOAD, SIGNALS).coverage.frames == 1


@pytest.mark.parametrize("kind", ["grey", "turned", "webp"])
def test_a_picture_of_nearly_as_many_pixels_as_are_let_in_is_judged(kind: str):
    if kind == "grey":
        data = make.huge_png(12_000, 8_000)
    else:
        file, turned = io.BytesIO(), Image.Exif()
        turned[0x0112] = 6
        large = Image.new("RGB", (12_000, 8_000), (200, 30, 90))
        large.save(file, "WEBP" if kind == "webp" else "JPEG", method=0, exif=turned)
        data = file.getvalue()
    with Sandbox(Limits(), spare=0) as sandbox:
        assert sandbox(io.BytesIO(data), UPLOAD, SIGNALS).coverage.frames == 1


@pytest.mark.parametrize(
    ("code", "out_of_memory"), [(cv2.Error.StsNoMem, True), (cv2.Error.StsBadArg, False)]
)
def test_what_opencv_says_of_memory(code: int, out_of_memory: bool):
    error = cv2.error("made")
    error.code = code
    assert _is_out_of_memory(error) is out_of_memory
    assert _is_out_of_memory(MemoryError())
    assert not _is_out_of_memory(ValueError())


@pytest.mark.parametrize("program", ["/nonexistent/python", "/bin/false"])
def test_children_that_cannot_start(program: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", program)
    with Sandbox(spare=0) as broken, pytest.raises(SandboxFailed, match="start"):
        broken(io.BytesIO(make.image(make.scene(1))), UPLOAD, SIGNALS)


def test_closing_ends_the_children():
    made = Sandbox(spare=2)
    made.warm()
    processes = [c.process for c in made._waiting]
    made.close()
    assert len(processes) == 2
    assert all(p.poll() is not None for p in processes)


# --- what a child may know ---------------------------------------------------------------------


def test_the_environment_holds_no_secret():
    given = {
        "SEAWALL_DATABASE_URL": "postgresql://u:secret@db/x",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "HOME": "/home/someone",
        "PYTHONPATH": "/evil",
        "LD_PRELOAD": "/evil.so",
        "OPENBLAS_CORETYPE": "Haswell",
    }
    seen = child_environment(given)
    assert "secret" not in " ".join(seen.values())
    assert seen.keys().isdisjoint({"HOME", "PYTHONPATH", "LD_PRELOAD"})
    assert seen["OPENBLAS_CORETYPE"] == "Haswell"
    assert seen["OPENBLAS_NUM_THREADS"] == "1"


@LINUX
def test_a_real_child_has_that_environment_and_no_open_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("SEAWALL_DATABASE_URL", "postgresql://u:secret@db/x")
    with (tmp_path / "secret").open("w") as leak, Sandbox() as made:
        os.set_inheritable(leak.fileno(), True)
        made.warm()
        child = made._waiting[0]
        child.ready(time.monotonic() + 60)
        home = Path(f"/proc/{child.process.pid}")
        try:
            assert b"secret" not in (home / "environ").read_bytes()
            names = [os.readlink(p) for p in (home / "fd").iterdir()]
        except PermissionError:
            pytest.skip("only root may look into a locked-in child")
        assert not [n for n in names if n.startswith("/") and n != "/dev/null"]


def in_a_cage(body: str) -> dict[str, str]:
    """Run lines of Python after `lockdown.apply`; each prints what became of it."""
    script = f"""
import json, sys
sys.path.insert(0, {str(ROOT)!r})
import ctypes, mmap, os, resource, signal, socket, subprocess, threading, time
from matcher import lockdown
results = {{}}
def attempt(name, act):
    try:
        act()
        results[name] = "done"
    except BaseException as error:
        results[name] = type(error).__name__
asked, answered = threading.Event(), threading.Event()
def helper():
    asked.wait()
    attempt("helper reads", lambda: open("/etc/passwd").read())
    attempt("helper starts a thread", lambda: threading.Thread(target=print).start())
    answered.set()
start = threading.Thread(target=helper, daemon=True).start
results["in force"] = json.dumps(lockdown.apply(memory=1 << 30, start=start).as_dict())
asked.set()
answered.wait()
{textwrap.dedent(body)}
os.write(1, json.dumps(results).encode())
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, str] = json.loads(done.stdout)
    return found


NO_SECCOMP = not sys.platform.startswith("linux") or os.uname().machine not in (
    "x86_64",
    "aarch64",
)


RAW = ("ptrace", "io_uring_setup", "bpf", "mount", "process_vm_readv", "unshare", "keyctl")


@pytest.mark.skipif(NO_SECCOMP, reason="no seccomp filter for this machine")
def test_the_cage_holds(tmp_path: Path):
    path = str(tmp_path / "new")
    column = syscalls.ARCHITECTURES[os.uname().machine][0]
    raw = {name: syscalls.DENIED_TO_PROGRAMS[name][column] for name in RAW}
    found = in_a_cage(
        f"""
        attempt("read a file", lambda: open("/etc/passwd").read())
        attempt("write a file", lambda: open({path!r}, "w"))
        attempt("list a folder", lambda: os.listdir("/"))
        attempt("rename", lambda: os.rename("/tmp/a", "/tmp/b"))
        attempt("remove", lambda: os.unlink({str(MOVIE)!r}))
        attempt("tcp", lambda: socket.socket())
        attempt("unix", lambda: socket.socket(socket.AF_UNIX))
        attempt("pair", lambda: socket.socketpair())
        attempt("fork", os.fork)
        attempt("exec", lambda: os.execv("/bin/true", ["true"]))
        attempt("run", lambda: subprocess.run(["/bin/true"]))
        attempt("signal parent", lambda: os.kill(os.getppid(), 0))
        attempt("memfd", lambda: os.memfd_create("x"))
        attempt("code", lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC))
        attempt("memory", lambda: bytearray(2 << 30))
        attempt("thread", lambda: threading.Thread(target=int).start())
        attempt("nothing", lambda: os.times())
        libc = ctypes.CDLL(None, use_errno=True)
        for name, number in {raw}.items():
            results[name] = "denied" if libc.syscall(number, 0, 0, 0, 0, 0) == -1 else "done"
        """
    )
    files = ("read a file", "write a file", "list a folder", "rename", "remove", "memfd", "code")
    others = ("tcp", "unix", "pair", "fork", "exec", "run", "signal parent")
    wanted = dict.fromkeys((*files, *others), "PermissionError")
    wanted |= {"memory": "MemoryError", "thread": "RuntimeError", "nothing": "done"}
    wanted |= {"helper reads": "PermissionError", "helper starts a thread": "RuntimeError"}
    wanted |= dict.fromkeys(RAW, "denied")
    in_force = json.loads(found.pop("in force"))
    assert found == wanted
    assert in_force["seccomp"] is True
    assert {"RLIMIT_CORE", "RLIMIT_FSIZE", "RLIMIT_AS"} <= set(in_force["limits"])
    assert not Path(path).exists()


@LINUX
@pytest.mark.skipif(lockdown.landlock_abi() == 0, reason="the kernel has no Landlock")
def test_landlock_alone_denies_files(tmp_path: Path):
    """The second wall, seen without the first."""
    script = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import os
from matcher import lockdown
assert lockdown.restrict_files() > 0
for act in (lambda: open("/etc/passwd"), lambda: os.listdir("/"),
            lambda: open({str(tmp_path / "new")!r}, "w"), lambda: os.execv("/bin/true", ["true"])):
    try:
        act()
        os.write(1, b"done ")
    except PermissionError:
        os.write(1, b"denied ")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout.split() == [b"denied"] * 4


@LINUX
def test_cpu_time_is_limited_by_the_kernel():
    script = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from matcher import lockdown
lockdown.limit_cpu(1)
while True: pass
"""
    done = subprocess.run([sys.executable, "-c", script], check=False, timeout=60)
    assert done.returncode == -signal.SIGXCPU


def test_the_report_says_what_is_in_force(sandbox: Sandbox):
    report = sandbox.report()
    assert report["platform"] == sys.platform
    assert "RLIMIT_CORE" in report["limits"]
    if not NO_SECCOMP:
        assert report["seccomp"] is True
    assert report["landlock"] == lockdown.landlock_abi()


# --- processes ---------------------------------------------------------------------------------


def script(body: str) -> subprocess.Popen[bytes]:
    head = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
    code = head + textwrap.dedent(body)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)


def gone(pid: int, within: float) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat")
            if state.exists() and state.read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):  # it went, or went while it was looked at
            return True
        time.sleep(0.05)
    return False


def test_children_die_with_a_parent_that_is_killed():
    parent = script(
        """
        import time
        from matcher.sandbox import Sandbox
        made = Sandbox()
        made.warm()
        made._waiting[0].ready(time.monotonic() + 60)
        print(made._waiting[0].process.pid, flush=True)
        time.sleep(600)
        """
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    os.kill(child, 0)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert gone(child, 10)


def test_a_forked_service_does_not_share_children():
    """As a preloading WSGI server does it: made before the fork, used after."""
    parent = script(
        """
        import io, os, sys
        from matcher.ports import Sampling
        from matcher.sandbox import Sandbox
        from tests import media_maker as make
        made = Sandbox()
        made.warm()
        mine = made._waiting[0].process.pid
        picture = make.image(make.scene(1))
        forked = os.fork()
        found = made(io.BytesIO(picture), Sampling(dense=False), ("pdq",))
        assert found.coverage.frames == 1
        if forked == 0:
            assert made._waiting[0].process.pid != mine
            made.close()
            os._exit(0)
        status = os.waitpid(forked, 0)[1]
        made.close()
        print(status)
        """
    )
    out, _ = parent.communicate(timeout=120)
    assert parent.returncode == 0
    assert out.split() == [b"0"]


@pytest.mark.parametrize("greys", [0, 32])
def test_a_sliver_beside_a_film_hides_nothing_of_it(sandbox: Sandbox, greys: int):
    """A second track of 1280 by 16 pixels, of which nothing is kept in grey."""
    film = make.scenes(3)
    slivers = [np.zeros((16, 1280, 3), np.uint8) + np.uint8(n) for n in range(len(film))]
    media = io.BytesIO(make.two_tracks(film, slivers))
    sampling = replace(UPLOAD, greys=greys)
    found = sandbox(media, sampling, ("pdq", "local"))
    assert {grey.track for grey in found.greys} == ({0} if greys else set())
    assert {one.track for one in found.local} == {0}
    described = {o for one in found.local for o in one.offsets.tolist()}
    assert {grey.offset for grey in found.greys} <= described
    assert found.coverage.total_s == pytest.approx(3, abs=0.1)
