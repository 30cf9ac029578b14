"""The template that children are forked from, as its parent sees it.

One process of our own imports and warms up what children need, and never sees media. Asked over
a socket, it forks a child, hands it what the parent sent along, and tells on the child's line its
number and at last how it ended (`matcher.forking`). Shutting the line kills the child.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from typing import IO

from hashdb.errors import SandboxFailed
from matcher.child import TEMPLATE, Child, Spawned, last_words, spawn
from matcher.forking import SAID
from matcher.ports import Limits

log = logging.getLogger(__name__)

FORKS = sys.platform.startswith("linux")
"""Elsewhere the system's own libraries do not survive a fork, and nothing kills a child whose
template died."""

_START_S = 60.0  # as long as a start may take on a loaded machine
_END_S = 10.0  # so long a template may take to kill a child


class Template:
    """Started at the first `fork`, and anew where it has died; safe to call from many threads."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._running: _Running | None = None
        self._closed = False

    def fork(self) -> Child:
        """A child, which may still wait for the template's start. Raises `SandboxFailed` where
        no process can be had."""
        with self._lock:
            for _ in range(2):
                running = self._running = self._running or _Running.start(self._limits)
                child = running.fork()
                if child is None:
                    log.warning("the template process died: %s", running.words())
                if child is None or self._closed:
                    self._running = None
                    running.leave()
                if child is not None:
                    return child
        raise SandboxFailed("the decoding child could not be started: its template died twice")

    def forget(self, child: Child) -> bool:
        """Whether the child is of the present template, which then forks no more."""
        with self._lock:
            running = self._running
            if running is None or not running.has(child):
                return False
            self._running = None
        running.leave()
        return True

    def words(self) -> str:
        """The end of what the template wrote to its standard error."""
        with self._lock:
            return self._running.words() if self._running else ""

    def close(self) -> None:
        """End the template, as soon as the children at work have ended. A later `fork` starts one
        for that child alone."""
        with self._lock:
            self._closed = True
            running, self._running = self._running, None
        if running is not None:
            running.leave()

    def abandon(self) -> None:
        """After a fork of this process: the template is the parent's. Takes no lock: a thread of
        the parent's may have held it."""
        if self._running is not None:
            self._running.abandon()


class _Running:
    """A template's process. It is ended with its last child once nobody forks from it."""

    def __init__(self, process: Spawned, requests: socket.socket) -> None:
        self.process = process
        self._requests = requests
        self._lock = threading.Lock()
        self._children = 0
        self._left = False

    @classmethod
    def start(cls, limits: Limits) -> _Running:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(_START_S)
        given = {"socket": theirs.fileno(), "limits": asdict(limits)}
        try:
            return cls(spawn(TEMPLATE, given, (theirs.fileno(),)), ours)
        except OSError as error:
            ours.close()
            raise SandboxFailed(f"the decoding child could not be started: {error}") from None
        finally:
            theirs.close()

    def fork(self) -> Child | None:
        """None where the template has died. Raises `SandboxFailed` where too many files are
        open."""
        try:
            pairs = [socket.socketpair() for _ in range(3)]
            ending, life = os.pipe()
        except OSError as error:
            raise SandboxFailed(f"the decoding child could not be started: {error}") from None
        (channel, errors, line), theirs = zip(*pairs, strict=True)
        given = [theirs[0].fileno(), ending, theirs[1].fileno(), theirs[2].fileno()]
        try:
            socket.send_fds(self._requests, [b"f"], given, socket.MSG_NOSIGNAL)
        except OSError:
            for end in (channel, errors, line):
                end.close()
            os.close(life)
            return None
        finally:
            for end in theirs:
                end.close()
            os.close(ending)
        with self._lock:
            self._children += 1
        stderr = os.fdopen(errors.detach(), "rb", buffering=0)
        return Child(Forked(line, stderr, self), channel, life)

    def words(self) -> str:
        """The end of what it wrote to its standard error, once."""
        return last_words(self.process.stderr)

    def has(self, child: Child) -> bool:
        return isinstance(child.process, Forked) and child.process.template is self

    def child_ended(self) -> None:
        with self._lock:
            self._children -= 1
            last = self._left and not self._children
        if last:
            self._end()

    def leave(self) -> None:
        """Nobody forks from it any more."""
        with self._lock:
            self._left = True
            last = not self._children
        self._requests.close()
        if last:
            self._end()

    def _end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.abandon()

    def abandon(self) -> None:
        self._requests.close()
        self.process.abandon()


class Forked:
    """A template's child: a `matcher.child.Process` that is watched and killed by its line."""

    def __init__(self, line: socket.socket, stderr: IO[bytes], template: _Running) -> None:
        self.stderr: IO[bytes] | None = stderr
        self.returncode: int | None = None
        self.template = template
        self._line = line
        self._number: int | None = None

    @property
    def pid(self) -> int:
        """Waits for the fork. Raises `SandboxFailed` where it did not come."""
        deadline = time.monotonic() + _START_S
        while self._number is None and self.returncode is None:
            if not self._listen(deadline):
                break
        if self._number is None:
            raise SandboxFailed("the decoding child did not start")
        return self._number

    def poll(self) -> int | None:
        self.ended(0.0)
        return self.returncode

    def ended(self, within: float) -> None:
        deadline = time.monotonic() + within
        while self.returncode is None and self._listen(deadline):
            pass

    def kill(self) -> None:
        """Where the template has not come to fork it yet, nothing is waited for: the template
        kills it as soon as it finds the line shut."""
        if self.poll() is None:
            with suppress(OSError):
                self._line.shutdown(socket.SHUT_WR)
            if self._number is None:
                self._over(-signal.SIGKILL)

    def wait(self) -> int:
        """A template that lets us wait for a child that was killed does not work any more: it is
        killed, and all its children with it."""
        self.ended(_END_S)
        if self.returncode is None:
            self.template.process.kill()
            self.ended(_END_S)
        if self.returncode is None:
            self._over(-signal.SIGKILL)
        assert self.returncode is not None
        return self.returncode

    def abandon(self) -> None:
        self._line.close()
        if self.stderr is not None:
            self.stderr.close()

    def _listen(self, deadline: float) -> bool:
        """Take up the next thing that the template says; False where nothing came in time."""
        self._line.settimeout(max(deadline - time.monotonic(), 0.0))
        try:
            said = self._line.recv(SAID.size)
        except (TimeoutError, BlockingIOError):
            return False
        except OSError:
            said = b""
        if len(said) < SAID.size:  # the template died, and its children with it
            self._over(-signal.SIGKILL)
        elif self._number is None:
            (self._number,) = SAID.unpack(said)
        else:
            self._over(os.waitstatus_to_exitcode(*SAID.unpack(said)))
        return True

    def _over(self, code: int) -> None:
        self.returncode = code
        self._line.close()
        self.template.child_ended()
