"""Media into fingerprints, in a child process that can do nothing else.

Each piece of media gets a child of its own, which is started beforehand, locks itself in
(`matcher.lockdown`) before it sees a byte of it, and is given the open file, never a path. It
sends back arrays, which are checked. What it costs is limited by the kernel, and how long it
takes by the clock here.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from hashdb import errors
from hashdb.errors import CorruptMedia, MediaTimeout, SandboxFailed
from hashdb.model import MediaFingerprints
from matcher import lockdown, wire
from matcher.ports import Limits, Sampling

log = logging.getLogger(__name__)

_START_S = 60.0  # a loaded machine may take long to start a child
_ROOT = str(Path(__file__).resolve().parent.parent)
_START = (
    "import sys, json; sys.path[:] = json.loads(sys.argv.pop()); "
    "from matcher.worker import main; main()"
)
# What a child may know of its parent's environment.
_KEPT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "OPENBLAS_CORETYPE", "SYSTEMROOT")
_SET = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
}
_CRASHES = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT})
_PROBLEMS = {
    name: getattr(errors, name)
    for name in (
        "EmptyMedia",
        "UnsupportedMedia",
        "CorruptMedia",
        "NoPicture",
        "MediaTooLarge",
        "MediaTimeout",
        "SandboxFailed",
    )
}


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """No secrets, no addresses, one thread."""
    return {**_SET, **{name: environ[name] for name in _KEPT if name in environ}}


@dataclass(slots=True, eq=False)
class _Child:
    """One started child, and our ends of what leads to it."""

    process: subprocess.Popen[bytes]
    channel: socket.socket
    life: int
    in_force: dict[str, Any] | None = field(default=None)

    @classmethod
    def start(cls, limits: Limits) -> _Child:
        """Raises `SandboxFailed` where no process can be had."""
        ours, theirs = socket.socketpair()
        ending, life = os.pipe()
        given = {"socket": theirs.fileno(), "life": ending, "limits": asdict(limits)}
        path = list(dict.fromkeys([p for p in sys.path if os.path.isabs(p)] + [_ROOT]))
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-B", "-c", _START, json.dumps(given), json.dumps(path)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=child_environment(os.environ),
                cwd="/",
                pass_fds=(theirs.fileno(), ending),
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            os.close(life)
            raise SandboxFailed(f"the decoding child could not be started: {error}") from None
        finally:
            theirs.close()
            os.close(ending)
        return cls(process, ours, life)

    def ready(self, deadline: float) -> dict[str, Any]:
        """Wait until it is locked in; what is in force there."""
        if self.in_force is None:
            head, _ = self.receive(deadline, wire.LONGEST_HEAD)
            self.in_force = wire.unpack_head(head)
        return self.in_force

    def ask(self, media: int, request: bytes) -> None:
        """Hand over the open file and the request."""
        frame = wire.FRAME.pack(len(request), 0)
        socket.send_fds(self.channel, [frame], [media])
        self.channel.sendall(request)

    def receive(self, deadline: float, most: int) -> tuple[bytes, bytes]:
        """Head and body of what it sends. Raises `TimeoutError`, `EOFError`, `wire.BadAnswer`."""
        head_size, body_size = wire.FRAME.unpack(self._read(wire.FRAME.size, deadline))
        if head_size > wire.LONGEST_HEAD or body_size > most:
            raise wire.BadAnswer("the answer is too long")
        return self._read(head_size, deadline), self._read(body_size, deadline)

    def _read(self, size: int, deadline: float) -> bytes:
        data = bytearray(size)
        view = memoryview(data)
        at = 0
        while at < size:
            self.channel.settimeout(max(deadline - time.monotonic(), 1e-3))
            got = self.channel.recv_into(view[at:])
            if not got:
                raise EOFError
            at += got
        return bytes(data)

    def last_words(self) -> str:
        """What it wrote before it ended (2,000 characters); it must have ended."""
        assert self.process.stderr is not None
        os.set_blocking(self.process.stderr.fileno(), False)
        with suppress(OSError):
            return (os.read(self.process.stderr.fileno(), 1 << 16) or b"").decode(errors="replace")[
                -2000:
            ]
        return ""

    def end(self) -> int:
        """Kill it, with all that it started; its exit code."""
        with suppress(OSError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        code = self.process.wait()
        self.abandon()
        return code

    def abandon(self) -> None:
        """Close our ends."""
        self.channel.close()
        with suppress(OSError):
            os.close(self.life)
        self.life = -1
        if self.process.stderr is not None:
            self.process.stderr.close()


class Sandbox:
    """Callable as `matcher.ports.FingerprintMedia`; safe to call from many threads.

    `max_children` work at a time, others wait their turn; `spare` children stand ready, so that
    nobody waits for their start. The first call, or `warm`, starts them; `close` ends them.
    """

    def __init__(
        self, limits: Limits | None = None, *, max_children: int | None = None, spare: int = 1
    ) -> None:
        self.limits = limits or Limits()
        self._room = threading.BoundedSemaphore(max_children or os.cpu_count() or 2)
        self._spare = spare
        self._waiting: deque[_Child] = deque()
        self._lock = threading.Lock()
        self._owner = os.getpid()
        self._in_force: dict[str, Any] | None = None
        self._closed = False

    def __call__(
        self, media: BinaryIO, sampling: Sampling, signal_types: Sequence[str]
    ) -> MediaFingerprints:
        """Fingerprints of the media, from its beginning; `media` stays the caller's to close.

        Raises the `BadMedia` family where the media cannot be judged, and `SandboxFailed` where
        the child ended without an answer.
        """
        with self._room, _OpenFile(media) as descriptor:
            child = self._take()
            try:
                return self._ask(child, descriptor, sampling, signal_types)
            finally:
                child.end()

    def warm(self) -> None:
        """Start the children that stand ready."""
        self._refill()

    def report(self) -> dict[str, object]:
        """What is in force in the children: `seccomp`, `landlock` (ABI version), `limits`."""
        if self._in_force is None:
            child = self._take()
            try:
                self._ready(child)
            finally:
                child.end()
        return {"platform": sys.platform, **(self._in_force or {})}

    def close(self) -> None:
        """End the children that stand ready."""
        self._closed = True
        with self._lock:
            waiting, self._waiting = self._waiting, deque()
        for child in waiting:
            if self._owner == os.getpid():
                child.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _take(self) -> _Child:
        """A child that is alive; another is started in its place."""
        self._leave_parents_children()
        child = None
        while child is None:
            with self._lock:
                if not self._waiting:
                    break
                child = self._waiting.popleft()
            if child.process.poll() is not None:
                child.end()
                child = None
        child = child or _Child.start(self.limits)
        self._refill()
        return child

    def _leave_parents_children(self) -> None:
        """After a fork of this process the children that stand ready belong to the parent."""
        with self._lock:
            if self._owner != os.getpid():
                for child in self._waiting:
                    child.channel.close()
                    os.close(child.life)
                self._waiting.clear()
                self._owner = os.getpid()

    def _refill(self) -> None:
        self._leave_parents_children()
        with self._lock:
            while not self._closed and len(self._waiting) < self._spare:
                self._waiting.append(_Child.start(self.limits))

    def _ready(self, child: _Child) -> None:
        try:
            self._in_force = child.ready(time.monotonic() + _START_S)
        except (TimeoutError, EOFError, OSError, wire.BadAnswer):
            child.process.kill()
            child.process.wait()
            words = child.last_words()
            log.error("the decoding child did not start: %s", words)
            raise SandboxFailed("the decoding child did not start") from None

    def _ask(
        self, child: _Child, descriptor: int, sampling: Sampling, signal_types: Sequence[str]
    ) -> MediaFingerprints:
        self._ready(child)
        budget = max(sampling.seconds, self.limits.cpu_s) * 1.25 + 10
        wall = self.limits.wall_s or 3 * budget
        try:
            child.ask(descriptor, wire.pack_request(sampling, signal_types))
            head, body = child.receive(time.monotonic() + wall, self.limits.output_mb << 20)
            answer = wire.unpack_head(head)
            if "problem" in answer:
                raise _problem(answer)
            return wire.unpack_answer(answer, body)
        except TimeoutError:
            raise MediaTimeout(f"the media could not be judged within {wall:g} s") from None
        except (EOFError, OSError):
            raise _death(child) from None
        except wire.BadAnswer as error:
            log.error("the decoding child's answer is no answer: %s", error)
            raise SandboxFailed("the decoding child's answer could not be read") from None


def _problem(answer: dict[str, Any]) -> errors.SeawallError:
    kind = _PROBLEMS.get(str(answer["problem"]), SandboxFailed)
    text = str(answer.get("text", ""))[:2000]
    if kind is SandboxFailed:
        log.error("the decoding child failed: %s", text)
        text = "the decoding child failed"
    problem: errors.SeawallError = kind(text)
    return problem


def _death(child: _Child) -> errors.SeawallError:
    """Why a child ended without an answer."""
    try:
        code = child.process.wait(5)
    except subprocess.TimeoutExpired:
        return SandboxFailed("the decoding child hung up")
    if code == -signal.SIGXCPU:
        return MediaTimeout("the limit of CPU time was reached")
    if -code in _CRASHES:
        return CorruptMedia("the media crashed the decoder")
    log.error("the decoding child ended with %d: %s", code, child.last_words())
    return SandboxFailed("the decoding child ended without an answer")


class _OpenFile:
    """The media as an open, read-only descriptor with a position of its own."""

    def __init__(self, media: BinaryIO) -> None:
        self._media = media
        self._opened = -1

    def __enter__(self) -> int:
        with suppress(AttributeError, OSError, ValueError):
            self._media.flush()
        try:
            number = self._media.fileno()
        except (AttributeError, OSError, ValueError):
            with tempfile.TemporaryFile() as copy:
                at = self._media.tell()
                self._media.seek(0)
                shutil.copyfileobj(self._media, copy)
                self._media.seek(at)
                copy.flush()
                self._opened = _reopened(copy.fileno())
        else:
            self._opened = _reopened(number)
        return self._opened

    def __exit__(self, *_: object) -> None:
        os.close(self._opened)


def _reopened(number: int) -> int:
    try:
        return os.open(f"/proc/self/fd/{number}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # no /proc: a copy shares its position with the caller's
        return os.dup(number)


def available() -> dict[str, object]:
    """What this machine's kernel offers, without starting a child."""
    return {"platform": sys.platform, "landlock": lockdown.landlock_abi()}
