"""Media into fingerprints, in a child process that can do nothing else.

Each piece of media gets a child of its own, which is forked beforehand from a template
(`matcher.template`), locks itself in (`matcher.lockdown`) before it sees a byte of it, and is given
the open file, never a path. It sends back arrays, which are checked. What it costs is limited by
the kernel, and how long it takes by the clock here.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np

from hashdb import errors
from hashdb.errors import BadMedia, CorruptMedia, MediaTimeout, SandboxFailed
from hashdb.model import LocalFeatures, MediaFingerprints, MediaKind, Rendering
from matcher import wire
from matcher.child import FRAMES, VIDEOHASH, Child, OpenFile
from matcher.ports import Early, Limits, Sampling, WantsAll
from matcher.template import FORKS, Template

log = logging.getLogger(__name__)

LOOK_SHARE = 0.7
"""The part of the wall limit after which a look ends with what it has seen: what is left is for the
sound, for a picture that is being decoded, and for the answer."""

_START_S = 60.0  # a loaded machine may take long to start a child
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


class Sandbox:
    """Callable as `matcher.ports.FingerprintMedia`; safe to call from many threads.

    `max_children` work at a time, others wait their turn; `spare` children stand ready, so that
    nobody waits for their start. The first call, or `warm`, starts them; `close` ends them.
    They are forked from a template, unless `forks` is false: then each is started by itself.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        max_children: int | None = None,
        spare: int = 1,
        forks: bool = FORKS,
    ) -> None:
        self.limits = limits or Limits()
        self._children = max_children or os.cpu_count() or 2
        self._spare = spare
        self._forks = forks
        self._in_force: dict[str, Any] | None = None
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._owner = os.getpid()
        self._room = threading.BoundedSemaphore(self._children)
        self._lock = threading.Lock()
        self._waiting: deque[Child] = deque()
        self._template = Template(self.limits)

    def __call__(
        self,
        media: BinaryIO,
        sampling: Sampling,
        signal_types: Sequence[str],
        *,
        early: Early | None = None,
        wants_all: WantsAll | None = None,
    ) -> MediaFingerprints:
        """Fingerprints of the media, from its beginning; `media` stays the caller's to close.

        Raises the `BadMedia` family where the media cannot be judged, and `SandboxFailed` where
        the child ended without an answer. What `early` and `wants_all` raise ends the look.
        """
        self._leave_parents_children()
        with self._room, OpenFile(media) as descriptor:
            clock_s = min(sampling.clock_s, LOOK_SHARE * self._wall(sampling))
            request = wire.pack_request(replace(sampling, clock_s=clock_s), signal_types)
            found, media_format = self._ask(
                self._take(), descriptor, request, sampling, early, wants_all
            )
            if "videohash" in signal_types and found.kind is MediaKind.VIDEO:
                found = self._with_videohash(found, media_format, descriptor, sampling)
            return found

    def warm(self) -> None:
        """Start the children that stand ready. Raises `SandboxFailed` where that fails."""
        self._leave_parents_children()
        self._refill()

    def report(self) -> dict[str, object]:
        """What is in force in the children: `seccomp`, `landlock` (ABI version), `limits`."""
        if self._in_force is None:
            child = self._take()
            try:
                self._in_force = self._ready(child)
            finally:
                child.end()
        return {"platform": sys.platform, **(self._in_force or {})}

    def close(self) -> None:
        """End the children that stand ready; those at work end with their calls."""
        self._closed = True
        self._leave_parents_children()
        self._end_waiting()
        self._template.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _take(self) -> Child:
        """A child that is alive; another is started in its place."""
        child = self._pop()
        while child is not None and child.process.poll() is not None:
            child.end()
            child = self._pop()
        child = child or self._start()
        with suppress(SandboxFailed):  # who needs the next one will be told
            self._refill()
        return child

    def _pop(self) -> Child | None:
        with self._lock:
            return self._waiting.popleft() if self._waiting else None

    def _refill(self) -> None:
        with self._lock:
            while not self._closed and len(self._waiting) < self._spare:
                self._waiting.append(self._start())

    def _start(self) -> Child:
        return self._template.fork() if self._forks else Child.start(FRAMES, self.limits)

    def _end_waiting(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, deque()
        for child in waiting:
            child.end()

    def _renew_template(self, child: Child) -> None:
        """Fork from a new template from now on, if this child is of the present one."""
        if self._template.forget(child):
            self._end_waiting()

    def _leave_parents_children(self) -> None:
        """After a fork of this process: the children that stand ready, and those at work, are the
        parent's. Ours begin anew, with locks that nobody holds."""
        if self._owner != os.getpid():
            theirs, template = self._waiting, self._template
            self._begin()
            template.abandon()
            for child in theirs:
                child.abandon()

    def _ready(self, child: Child) -> dict[str, Any]:
        try:
            return child.ready(time.monotonic() + _START_S)
        except (TimeoutError, EOFError, OSError, wire.BadAnswer):
            child.wait(1.0)
            child.end()
            words = child.words or self._template.words()
            self._renew_template(child)
            log.error("the decoding child did not start: %s", words)
            raise SandboxFailed("the decoding child did not start") from None

    def _ask(
        self,
        child: Child,
        descriptor: int,
        request: bytes,
        sampling: Sampling,
        early: Early | None = None,
        wants_all: WantsAll | None = None,
    ) -> tuple[MediaFingerprints, str]:
        """The child's answer and the media's format; the child is ended, whatever happens."""
        wall = self._wall(sampling)
        try:
            self._ready(child)
            child.ask(descriptor, request)
            deadline, most = time.monotonic() + wall, self.limits.output_mb << 20
            return _heard(child, deadline, most, early, wants_all)
        except TimeoutError:
            raise MediaTimeout(f"the media could not be judged within {wall:g} s") from None
        except (EOFError, OSError):
            problem = _death(child)
            if isinstance(problem, CorruptMedia):
                # Its memory was laid out as that of all children of this template is: whoever
                # tries out a decoder's bug meets another layout at the next try.
                self._renew_template(child)
            raise problem from None
        except wire.BadAnswer as error:
            log.error("the decoding child's answer is no answer: %s", error)
            raise SandboxFailed("the decoding child's answer could not be read") from None
        finally:
            child.end()

    def _wall(self, sampling: Sampling) -> float:
        """Seconds by the clock after which a child is killed."""
        budget = max(sampling.seconds, self.limits.cpu_s) * 1.25 + 10
        return self.limits.wall_s or 3 * budget

    def _with_videohash(
        self, found: MediaFingerprints, media_format: str, descriptor: int, sampling: Sampling
    ) -> MediaFingerprints:
        """With the videohash package's code; where it cannot be had, the look is truncated, so
        that nobody takes its absence for a difference."""
        request = wire.pack_whole_video(media_format, found.coverage.total_s)
        with tempfile.TemporaryDirectory(prefix="seawall-") as folder:
            child = Child.start(VIDEOHASH, self.limits, folder)
            try:
                whole, _ = self._ask(child, descriptor, request, sampling)
            except (BadMedia, SandboxFailed) as error:
                log.warning("no videohash: %s", error)
                return replace(found, coverage=replace(found.coverage, truncated=True))
        return replace(found, fingerprints=found.fingerprints + whole.fingerprints)


def _heard(
    child: Child, deadline: float, most: int, early: Early | None, wants_all: WantsAll | None
) -> tuple[MediaFingerprints, str]:
    """All that the child says, of `most` bytes, as one answer, and the media's format."""
    told: list[LocalFeatures] = []
    answer, found, most = _next(child, deadline, most)
    while answer.get("part"):
        told += found.local
        if early is not None:
            early(found)
        answer, found, most = _next(child, deadline, most)
    told += found.local
    if answer.get("waits") and (wants_all is None or wants_all(found)):
        child.channel.sendall(wire.ALL)
        _, rest, _ = _next(child, deadline, most)
        told += rest.local
    return replace(found, local=_joined(told)), str(answer.get("format", ""))


def _next(
    child: Child, deadline: float, most: int
) -> tuple[dict[str, Any], MediaFingerprints, int]:
    """What the child says next, with its head, and how many bytes are left of `most`. Raises what
    it says is wrong."""
    head, body = child.receive(deadline, most)
    answer = wire.unpack_head(head)
    if "problem" in answer:
        raise _problem(answer)
    return answer, wire.unpack_answer(answer, body), most - len(head) - len(body)


def _joined(local: Sequence[LocalFeatures]) -> tuple[LocalFeatures, ...]:
    """One value a track and rendering, of values that each have some pictures, by their times."""
    same: dict[tuple[int, int, str], list[LocalFeatures]] = {}
    order = list(Rendering)
    for one in local:
        same.setdefault((one.track, order.index(one.rendering), one.pipeline), []).append(one)
    each = (first.followed_by(later) for _, (first, *later) in sorted(same.items()))
    return tuple(one.take(np.argsort(one.offsets, kind="stable")) for one in each)


def _problem(answer: dict[str, Any]) -> errors.SeawallError:
    kind = _PROBLEMS.get(str(answer["problem"]), SandboxFailed)
    text = str(answer.get("text", ""))[:2000]
    if kind is SandboxFailed:
        log.error("the decoding child failed: %s", text)
        text = "the decoding child failed"
    problem: errors.SeawallError = kind(text)
    return problem


def _death(child: Child) -> errors.SeawallError:
    """Why a child ended without an answer."""
    child.wait(5.0)
    code = child.end()
    if code == -signal.SIGXCPU:
        return MediaTimeout("the limit of CPU time was reached")
    if -code in _CRASHES:
        return CorruptMedia("the media crashed the decoder")
    log.error("the decoding child ended with %d: %s", code, child.words)
    return SandboxFailed("the decoding child ended without an answer")
