"""The template's way: one process imports and warms up once, and forks a child for each request.

The other end is `matcher.template`. The template never sees media: over its socket come only the
descriptors that a child is to have, and a child keeps none of the template's own. It has one
thread, so that no lock can be held in a copy by a thread that the copy lacks.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
from contextlib import suppress
from pathlib import Path

from matcher import lockdown

SAID = struct.Struct("<i")
"""What the template says of a child on the child's line: its number, then its wait status."""

GIVEN = 4  # descriptors in a request: the child's socket, life pipe, standard error, line


def fork_children(requests: socket.socket) -> tuple[int, int]:
    """Fork a child for each request: one byte, and the `GIVEN` descriptors.

    Returns in each child: the descriptors of its socket and of its life pipe. In the template it
    never returns: where nobody can ask any more and the last child has ended, the process ends.
    A child is killed as soon as the other end of its line is shut or closed. Where the system
    has no process left, the line is closed without a number on it.
    """
    threads = _threads()
    if threads > 1:
        raise SystemExit(f"a library has started threads ({threads}): nothing can be forked")
    return _Template(requests).run()


def _threads() -> int:
    """How many threads this process has, those of libraries included (Linux)."""
    return len(list(Path("/proc/self/task").iterdir()))


class _Template:
    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._asked = True
        self._lines: dict[int, socket.socket] = {}  # by the child's number, until it is reaped
        self._alive: dict[int, int] = {}  # by the line's descriptor, until the child is killed
        self._awake, self._wake = os.pipe()
        os.set_blocking(self._awake, False)
        os.set_blocking(self._wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        self._poll = select.poll()
        self._poll.register(requests, select.POLLIN)
        self._poll.register(self._awake, select.POLLIN)

    def run(self) -> tuple[int, int]:
        while self._asked or self._lines:
            for descriptor, _ in self._poll.poll():
                if descriptor == self._awake:
                    self._reap()
                elif descriptor in self._alive:
                    self._kill(descriptor)
                elif descriptor == self._requests.fileno():
                    child = self._fork()
                    if child is not None:
                        return child
        os._exit(0)

    def _fork(self) -> tuple[int, int] | None:
        """In the child: its two descriptors. In the template: None."""
        asked, given, _, _ = socket.recv_fds(self._requests, 1, GIVEN)
        if not asked:
            self._poll.unregister(self._requests)
            self._asked = False
            return None
        if len(given) != GIVEN:  # too many are open here
            for descriptor in given:
                os.close(descriptor)
            return None
        channel, life, errors, told = given
        line = socket.socket(fileno=told)
        template = os.getpid()
        try:
            number = os.fork()
        except OSError:
            number = -1
        if number == 0:
            line.close()
            self._become_child(template, errors)
            return channel, life
        for descriptor in (channel, life, errors):
            os.close(descriptor)
        if number > 0:
            self._lines[number] = line
            self._alive[told] = number
            self._poll.register(line, select.POLLIN)
            _say(line, number)
        else:
            line.close()
        return None

    def _become_child(self, template: int, errors: int) -> None:
        """Close what is the template's; a process group and a standard error of its own; the
        kernel ends it with the template. It stays in the template's session, which gives way to
        others as a whole."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._requests.close()
        os.close(self._awake)
        os.close(self._wake)
        for line in self._lines.values():
            line.close()
        os.setpgid(0, 0)
        os.dup2(errors, 2)
        os.close(errors)
        lockdown.die_with_parent()
        if os.getppid() != template:
            os._exit(0)

    def _kill(self, descriptor: int) -> None:
        """The child whose line was shut, with all that it started."""
        number = self._alive[descriptor]
        try:
            self._lines[number].recv(1, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return  # it was another line of the same number
        except OSError:
            pass
        self._poll.unregister(descriptor)
        del self._alive[descriptor]
        _kill_group(number)
        os.kill(number, signal.SIGKILL)  # where it has no group of its own yet

    def _reap(self) -> None:
        """Say how children ended. Until it is reaped, a child's number is nobody else's."""
        with suppress(BlockingIOError):
            while os.read(self._awake, 4096):
                pass
        for number in list(self._lines):
            if os.waitid(os.P_PID, number, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                continue
            _kill_group(number)
            _, status = os.waitpid(number, 0)
            line = self._lines.pop(number)
            if self._alive.pop(line.fileno(), None) is not None:
                self._poll.unregister(line)
            _say(line, status)
            line.close()


def _kill_group(number: int) -> None:
    with suppress(OSError):
        os.killpg(number, signal.SIGKILL)


def _say(line: socket.socket, number: int) -> None:
    with suppress(OSError):  # nobody listens any more
        line.send(SAID.pack(number), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
