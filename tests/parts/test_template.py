"""The template that children are forked from: with real processes."""

from __future__ import annotations

import gc
import io
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bench.robustness.engines import cpu_seconds
from hashdb.errors import CorruptMedia, SandboxFailed
from matcher import lockdown
from matcher import template as templates
from matcher.child import Child, Spawned
from matcher.forking import SAID
from matcher.ports import Limits, Sampling
from matcher.sandbox import Sandbox
from matcher.template import Forked, Template, _Running
from matcher.worker import SLICE_S, YIELDS
from tests import media_maker as make
from tests.services import SLICES, slice_of

pytestmark = pytest.mark.skipif(not templates.FORKS, reason="children are not forked here")

ROOT = Path(__file__).resolve().parents[2]
UPLOAD = Sampling(dense=False, seconds=30)
PICTURE = make.image(make.scene(1))


def look(sandbox: Sandbox, data: bytes = PICTURE) -> bytes:
    found = sandbox(io.BytesIO(data), UPLOAD, ("pdq",))
    return found.fingerprints[0].codes.tobytes()


def process_of(sandbox: Sandbox) -> Spawned:
    """The present template's process."""
    running = sandbox._template._running
    assert running is not None
    return running.process


def children_of(pid: int) -> list[int]:
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def state(pid: int) -> str:
    """As in ps: R, S, Z for a zombie; empty where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def until(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not true() and time.monotonic() < deadline:
        time.sleep(0.01)
    return true()


def niceness(pid: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, pid)


def gone(pid: int) -> bool:
    return until(lambda: state(pid) in ("", "Z"))


def descriptors(pid: int | str) -> list[str]:
    """What is open in a process, without the one that lists it."""
    folder = Path(f"/proc/{pid}/fd")
    try:
        listed = [entry.name for entry in folder.iterdir()]
    except PermissionError:
        pytest.skip("only root may look into a locked-in process")
    found = []
    for name in listed:
        try:
            found.append(os.readlink(folder / name))
        except FileNotFoundError:
            continue
    return found


@pytest.fixture
def made() -> Iterator[Sandbox]:
    """A sandbox whose one child stands ready, locked in."""
    with Sandbox(max_children=2) as sandbox:
        sandbox.warm()
        sandbox._waiting[0].ready(time.monotonic() + 60)
        yield sandbox


# --- a template of the test's own, whose children run lines of the test -------------------------


def template_of(body: str, before: str = "") -> _Running:
    """A template whose children run the body, with `channel`, a socket to `Child.channel`; `before`
    is run in the template."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    script = f"""
import os, socket, sys, threading, time
sys.path.insert(0, {str(ROOT)!r})
from matcher.forking import fork_children
seen = []
{textwrap.dedent(before)}
number, life = fork_children(socket.socket(fileno={theirs.fileno()}))
channel = socket.socket(fileno=number)
{textwrap.dedent(body)}
"""
    process = Spawned(
        [sys.executable, "-c", script],
        stderr=subprocess.PIPE,
        pass_fds=(theirs.fileno(),),
        start_new_session=True,
    )
    theirs.close()
    return _Running(process, ours)


def forked(running: _Running) -> Child:
    child = running.fork()
    assert child is not None
    return child


def answer(child: Child) -> bytes:
    child.channel.settimeout(20)
    return child.channel.recv(100)


def test_what_one_child_changes_the_next_does_not_see():
    running = template_of("seen.append(1); channel.send(bytes([len(seen)])); time.sleep(60)")
    first = forked(running)
    assert answer(first) == b"\1"
    second = forked(running)
    assert answer(second) == b"\1"
    first.end()
    third = forked(running)
    assert answer(third) == b"\1"
    assert len({second.process.pid, third.process.pid, running.process.pid}) == 3
    second.end()
    third.end()
    running.leave()


def test_a_child_holds_nothing_of_the_templates_nor_of_its_siblings():
    """Its three standard streams, its socket and its life pipe; a process group of its own, in
    the template's session."""
    running = template_of(
        """
        listed = os.listdir("/proc/self/fd")
        channel.send(f"{len(listed) - 1} {os.getpgid(0) == os.getpid() != os.getsid(0)}".encode())
        time.sleep(60)
        """
    )
    children = [forked(running) for _ in range(3)]
    assert [answer(child) for child in children] == [b"5 True"] * 3
    for child in children:
        child.end()
    running.leave()


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        ("os._exit(0)", 0),
        ("os._exit(7)", 7),
        ("os.kill(os.getpid(), 6)", -signal.SIGABRT),
        ("raise SystemExit('last words')", 1),
    ],
)
def test_how_a_child_ended_is_told(ends: str, code: int):
    running = template_of(ends)
    child = forked(running)
    child.wait(20)
    assert child.process.poll() == code
    assert child.end() == code
    assert ("last words" in child.words) == (code == 1)
    running.leave()


@pytest.mark.parametrize(("ends", "code"), [("time.sleep(60)", -signal.SIGKILL), ("pass", 0)])
def test_with_a_child_ends_what_it_started(ends: str, code: int):
    running = template_of(
        f"""
        if other := os.fork():
            channel.send(str(other).encode())
            {ends}
        else:
            time.sleep(60)
        """
    )
    child = forked(running)
    other = int(answer(child))
    child.wait(0.0 if code else 20.0)
    assert child.end() == code
    assert gone(other)
    running.leave()


def test_where_no_process_can_be_had_the_template_goes_on():
    running = template_of(
        "channel.send(b'here')",
        before="""
        true_fork, failures = os.fork, [BlockingIOError, BlockingIOError]
        def fork():
            if failures:
                raise failures.pop()("no process")
            return true_fork()
        os.fork = fork
        """,
    )
    for _ in range(2):
        refused = forked(running)
        assert answer(refused) == b""
        with pytest.raises(SandboxFailed, match="start"):
            assert refused.process.pid
        assert refused.end() == -signal.SIGKILL
    child = forked(running)
    assert answer(child) == b"here"
    child.end()
    running.leave()


def test_nothing_is_forked_where_a_library_has_started_a_thread():
    running = template_of("", before="threading.Thread(target=time.sleep, args=(60,)).start()")
    child = forked(running)
    assert answer(child) == b""
    assert child.end() == -signal.SIGKILL
    assert running.process.stderr is not None
    assert b"started threads (2)" in running.process.stderr.readline()
    running.leave()


def test_the_cost_of_children_that_have_ended_is_counted():
    """By the benchmark, which adds up the CPU time of what descends from it."""
    burn = "while time.process_time() < 0.4: pass\nchannel.send(b'done')\ntime.sleep(60)"
    running = template_of(burn)
    before = cpu_seconds()
    for _ in range(2):
        child = forked(running)
        assert answer(child) == b"done"
        child.end()
    with_template = cpu_seconds()
    running.leave()
    assert with_template - before >= 0.78  # in ticks of a hundredth, rounded down
    assert cpu_seconds() - before >= 0.78


# --- the real one ------------------------------------------------------------------------------


def test_the_template_has_one_thread_and_no_file_or_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("SEAWALL_DATABASE_URL", "postgresql://u:secret@db/x")
    with (tmp_path / "secret").open("w") as leak, Sandbox() as sandbox:
        os.set_inheritable(leak.fileno(), True)
        look(sandbox)
        pid = process_of(sandbox).pid
        assert len(list(Path(f"/proc/{pid}/task").iterdir())) == 1
        names = descriptors(pid)
        assert not [n for n in names if n.startswith("/") and n != "/dev/null"]
        assert b"secret" not in Path(f"/proc/{pid}/environ").read_bytes()


def test_decoding_stands_back_for_answering(made: Sandbox):
    look(made)
    child = made._waiting[0].process.pid
    wanted = min(niceness(os.getpid()) + YIELDS, 19)
    assert [niceness(pid) for pid in (process_of(made).pid, child)] == [wanted, wanted]
    group = Path(f"/proc/{child}/autogroup")
    if group.exists():
        assert group.read_text().split()[-2:] == ["nice", str(YIELDS)]
        idle = lockdown._grouped_by_session()
        assert (os.sched_getscheduler(child) == os.SCHED_IDLE) is idle
        if idle:
            return
    if SLICES:
        assert slice_of(child) == round(1e9 * SLICE_S)


def test_fifty_uploads_leave_no_zombie_and_no_descriptor(made: Sandbox):
    def counted() -> tuple[Counter[str], Counter[str]]:
        made._waiting[0].ready(time.monotonic() + 60)
        kinds = [
            Counter(name.partition(":")[0] for name in descriptors(pid))
            for pid in ("self", process_of(made).pid)
        ]
        return kinds[0], kinds[1]

    def as_few() -> bool:
        return all(now <= then for now, then in zip(counted(), before, strict=True))

    look(made)
    template = process_of(made).pid
    gc.collect()  # what other tests left open is not this one's
    before = counted()
    codes = {look(made) for _ in range(50)}
    assert len(codes) == 1
    assert until(as_few)  # the template closes a line after its last word
    assert process_of(made).pid == template
    assert children_of(template) == [made._waiting[0].process.pid]
    assert [state(pid) for pid in children_of(os.getpid())].count("Z") == 0


def test_forked_and_started_children_say_the_same(made: Sandbox):
    data = make.video(make.scenes(2))
    with Sandbox(forks=False, spare=0) as plain:
        sides = [s(io.BytesIO(data), UPLOAD, ("pdq", "phash")) for s in (made, plain)]
        assert plain.report() == made.report()
        assert plain._template._running is None
    assert sides[0].coverage == sides[1].coverage
    assert len(sides[0].fingerprints) == len(sides[1].fingerprints) > 0
    for one, other in zip(sides[0].fingerprints, sides[1].fingerprints, strict=True):
        assert np.array_equal(one.codes, other.codes)


def test_closing_does_not_wait_for_a_template_that_is_not_ready(monkeypatch: pytest.MonkeyPatch):
    sandbox = Sandbox(spare=2)
    sandbox.warm()
    process, children = process_of(sandbox), list(sandbox._waiting)
    os.kill(process.pid, signal.SIGSTOP)
    monkeypatch.setattr(templates, "_END_S", 600.0)
    sandbox.close()
    assert [child.process.poll() for child in children] == [-signal.SIGKILL] * 2
    assert process.poll() == -signal.SIGKILL


def test_a_child_that_is_ended_before_it_is_forked_is_killed_at_once():
    template = template_of("channel.send(b'x'); time.sleep(60)", before="time.sleep(0.3)")
    unborn = forked(template)
    assert unborn.end() == -signal.SIGKILL
    child = forked(template)
    assert answer(child) == b"x"
    assert until(lambda: children_of(template.process.pid) == [child.process.pid])
    child.end()
    template.leave()


@pytest.mark.parametrize("spare", [0, 1])
def test_after_the_templates_death_another_is_started(spare: int):
    with Sandbox(spare=spare) as sandbox:
        first = look(sandbox)
        killed = process_of(sandbox).pid
        waiting = [child.process.pid for child in sandbox._waiting]
        os.kill(killed, signal.SIGKILL)
        assert gone(killed)
        assert all(gone(pid) for pid in waiting)
        assert look(sandbox) == first
        assert process_of(sandbox).pid != killed
        assert state(killed) == ""


def test_a_template_that_dies_takes_its_children_along(made: Sandbox):
    """Also one that hangs; the media that it was at is not judged, and others are."""
    child, template = made._waiting[0].process.pid, process_of(made).pid
    os.kill(child, signal.SIGSTOP)

    def kill() -> None:
        time.sleep(0.3)
        os.kill(template, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(SandboxFailed):
        look(made)
    killer.join()
    assert gone(child)
    assert look(made)


def test_a_template_that_hangs_is_killed(made: Sandbox, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(templates, "_END_S", 0.3)
    assert made._waiting[0].process.pid  # that was said: of a child it never told of nobody waits
    hanging = process_of(made).pid
    os.kill(hanging, signal.SIGSTOP)
    first = look(made)
    assert gone(hanging)
    assert look(made) == first
    assert process_of(made).pid != hanging


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_after_a_crash_children_come_of_another_template(made: Sandbox, number: signal.Signals):
    """All children of one template have their memory laid out alike; so a bug in a decoder cannot
    be tried out against one layout."""
    template, child = process_of(made).pid, made._waiting[0].process.pid
    os.kill(child, signal.SIGSTOP)

    def kill() -> None:
        time.sleep(0.3)
        os.kill(child, number)
        os.kill(child, signal.SIGCONT)

    killer = threading.Thread(target=kill)
    killer.start()
    crashed = number == signal.SIGSEGV
    with pytest.raises(CorruptMedia if crashed else SandboxFailed):
        look(made)
    killer.join()
    assert len(made._waiting) == (0 if crashed else 1)
    assert look(made)
    assert (process_of(made).pid != template) == crashed
    assert (state(template) == "") == crashed


def test_children_at_work_outlive_the_close_and_the_template_ends_with_them():
    template = Template(Limits())
    child = template.fork()
    child.ready(time.monotonic() + 60)
    running = template._running
    assert running is not None
    template.close()
    pid = running.process.pid
    assert child.process.poll() is None
    assert state(pid) not in ("", "Z")
    child.end()
    assert state(pid) == ""
    late = template.fork()
    late.ready(time.monotonic() + 60)
    assert template._running is None
    assert isinstance(late.process, Forked)
    pid = late.process.template.process.pid
    late.end()
    assert state(pid) == ""


def test_the_template_dies_with_a_parent_that_is_killed():
    script = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
from matcher.sandbox import Sandbox
made = Sandbox(spare=2)
made.warm()
for child in made._waiting:
    child.ready(time.monotonic() + 60)
numbers = [made._template._running.process.pid, *(c.process.pid for c in made._waiting)]
print(*numbers, flush=True)
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    numbers = [int(n) for n in parent.stdout.readline().split()]
    assert len(numbers) == 3
    assert all(state(pid) not in ("", "Z") for pid in numbers)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert all(gone(pid) for pid in numbers)


def test_what_the_template_says_of_a_child_is_its_number_and_its_end():
    """The line's own form, which both ends agree on."""
    assert SAID.size == 4
    assert os.waitstatus_to_exitcode(*SAID.unpack(SAID.pack(signal.SIGSEGV))) == -signal.SIGSEGV
