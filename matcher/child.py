"""A child process with a socket to it: how it is started, asked and ended."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, Protocol

from hashdb.errors import SandboxFailed
from matcher import wire
from matcher.ports import Limits

_PIECE = 1 << 20
FRAMES = "main"
TEMPLATE = "template_main"
VIDEOHASH = "videohash_main"
_ROOT = str(Path(__file__).resolve().parent.parent)
# The child finds its modules where its parent found them, whatever its own start says.
_START = (
    "import sys, json; sys.path[:] = json.loads(sys.argv.pop()); import matcher.worker as w; w."
)
# What a child may know of its parent's environment. OpenBLAS's two belong together: with the first
# alone, its newer builds crash on machines that need both.
_KEPT = (
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
    "SYSTEMROOT",
)
_SET = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
}


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """No secrets, no addresses, one thread."""
    return {**_SET, **{name: environ[name] for name in _KEPT if name in environ}}


class Process(Protocol):
    """A child's process, our own child or a template's."""

    stderr: IO[bytes] | None

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None:
        """Its exit code, negative where a signal ended it; None while it is alive."""

    def ended(self, within: float) -> None:
        """Wait until it has ended, at most so many seconds."""

    def kill(self) -> None:
        """Kill it, with all that it started."""

    def wait(self) -> int:
        """Its exit code, once it has ended."""

    def abandon(self) -> None:
        """Close our ends of what tells of it."""


class Spawned(subprocess.Popen[bytes]):
    """A process of our own, in a session of its own."""

    def ended(self, within: float) -> None:
        """It is not reaped: its number stays its own."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline and self.returncode is None:
            if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                return
            time.sleep(0.005)

    def kill(self) -> None:
        if self.returncode is None:
            with suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)
        super().kill()

    def abandon(self) -> None:
        if self.stderr is not None:
            self.stderr.close()


def spawn(entry: str, given: Mapping[str, Any], descriptors: Sequence[int]) -> Spawned:
    """Start a process that goes the way `entry` of `matcher.worker`, is `given` values for JSON
    and keeps these descriptors. Raises `OSError` where no process can be had."""
    path = list(dict.fromkeys([p for p in sys.path if os.path.isabs(p)] + [_ROOT]))
    code = f"{_START}{entry}()"
    return Spawned(
        [sys.executable, "-I", "-B", "-c", code, json.dumps(given), json.dumps(path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=child_environment(os.environ),
        cwd="/",
        pass_fds=descriptors,
        start_new_session=True,
    )


@dataclass(slots=True, eq=False)
class Child:
    """One started child, and our ends of what leads to it."""

    process: Process
    channel: socket.socket
    life: int
    in_force: dict[str, Any] | None = None
    words: str = ""

    @classmethod
    def start(cls, entry: str, limits: Limits, folder: str | None = None) -> Child:
        """`entry` names the child's way in `matcher.worker`; `folder` is the one it may write in,
        if any. Raises `SandboxFailed` where no process can be had."""
        ours, theirs = socket.socketpair()
        ending, life = os.pipe()
        given = {
            "socket": theirs.fileno(),
            "life": ending,
            "limits": asdict(limits),
            "folder": folder,
        }
        try:
            process = spawn(entry, given, (theirs.fileno(), ending))
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
        data = bytearray()
        while len(data) < size:
            self.channel.settimeout(max(deadline - time.monotonic(), 1e-3))
            got = self.channel.recv(min(size - len(data), _PIECE))
            if not got:
                raise EOFError
            data += got
        return bytes(data)

    def wait(self, seconds: float) -> None:
        """Wait until it has ended, at most so long."""
        self.process.ended(seconds)

    def end(self) -> int:
        """Kill it, with all that it started, and close our ends; its exit code."""
        self.process.kill()
        code = self.process.wait()
        self.words = last_words(self.process.stderr) or self.words
        self.abandon()
        return code

    def abandon(self) -> None:
        """Close our ends."""
        self.channel.close()
        if self.life >= 0:
            os.close(self.life)
            self.life = -1
        self.process.abandon()


def last_words(stream: IO[bytes] | None) -> str:
    """The end of what a process wrote to its standard error, as far as it was not read yet."""
    if stream is None or stream.closed:
        return ""
    os.set_blocking(stream.fileno(), False)
    with suppress(OSError):
        return os.read(stream.fileno(), 1 << 16).decode(errors="replace")[-2000:]
    return ""


class OpenFile:
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
