"""`seawall serve` and `seawall worker`: gunicorn, embedded.

The application is made in each worker after the fork: database connections, FAISS's and other
threads do not survive one. What it imports and compiles is there before, and shared. gunicorn hands
the body to the application as it arrives, so that a wrong key is answered before an upload has been
read.
"""

from __future__ import annotations

import gc
import itertools
import json
import logging
import mmap
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.http.errors import InvalidHeader, UnsupportedTransferCoding
from gunicorn.util import write_nonblock
from gunicorn.workers.gthread import ThreadWorker
from prometheus_client.multiprocess import mark_process_dead

from api import metrics, problems, tracing, wiring
from api.app import SECURITY_HEADERS, create_app
from api.routes.route import Route
from api.routes.table import ROUTES
from api.settings import Settings
from api.slots import Queue
from api.tracing import Tracing
from hashdb.errors import SeawallError, Unavailable
from hashdb.model import new_id
from hashdb.store import Store
from matcher import lockdown
from matcher.policy import load_policy

log = logging.getLogger("seawall.serve")

STALLED_AFTER_S = 60
"""A connection that sends or takes nothing for so long gives its thread back."""
GRACE_S = 30
"""For how long SIGTERM waits for requests that are being answered."""
SWITCH_S = 0.0005
"""For how long a thread keeps Python's global lock while others want it. A request gives it up some
twenty times (each query, each look-up), and would wait for Python's own 5 ms each time while an
upload with media is judged beside it."""
SLICE_S = 0.0005
"""For how long the kernel lets a worker's thread run while others wait for the CPU. A request gives
it up some twenty times too, and one that wakes goes before tasks with a longer slice, as others
have it: so it need not wait each time until one of them has had its own."""
START_TRIES = 30
"""How often a service that was never up tries to start, a second apart."""
LONGEST_PAUSE_S = 10
BOOT_ERROR = 3
"""gunicorn's exit code of a worker that cannot start: its master then stops too."""


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker with a limit on stalled connections: without one, a few clients
    that each send half a request would hold every thread for good."""

    counts_as = ""

    def enqueue_req(self, conn: Any) -> None:
        if not conn.initialized:  # once a connection, not with each of its requests
            limit = struct.pack("ll", STALLED_AFTER_S, 0)
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        super().enqueue_req(conn)

    def handle_request(self, req: Any, conn: Any) -> bool:
        """gunicorn sends the headers, then the body; the caller is woken once, by both together.
        Who waits for "100 Continue" before he sends his own body is not kept waiting."""
        waits = any(name == "EXPECT" for name, _ in req.headers)
        conn.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, not waits)
        try:
            answered: bool = super().handle_request(req, conn)
        finally:
            with suppress(OSError):  # the caller hung up
                conn.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
        return answered

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Who waits for a database and is told to stop has nothing to end."""
        if not self.booted:
            sys.exit(0)
        super().handle_exit(sig, frame)

    def notify(self) -> None:
        """With `timeout` 0 nobody looks for a sign of life, which would be given with each event:
        a system call of the thread that all requests pass through."""

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Answer what did not reach the application, with a problem document as it does."""
        request_id = new_id("req")
        exc = _own_kind(exc)
        kind = problems.problem_type(exc)
        if kind.status == 500:
            log.error("%s: %s", request_id, exc, exc_info=exc)
        else:
            log.info("%s: refused: %s", request_id, exc)
        app = getattr(self, "wsgi", None)
        if app is not None:
            app.extensions["seawall"].metrics.problem(kind.slug)
        body = problems.dumps(problems.problem(exc, request_id=request_id)).encode()
        headers = {
            "Connection": "close",
            "Content-Type": problems.MEDIA_TYPE,
            "Content-Length": str(len(body)),
            "X-Request-Id": request_id,
            **SECURITY_HEADERS,
        }
        lines = [f"HTTP/1.1 {kind.status} {HTTPStatus(kind.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        with suppress(OSError):
            write_nonblock(client, "\r\n".join([*lines, "", ""]).encode("ascii") + body)


def _own_kind(exc: Exception) -> Exception:
    """A body that is zipped and not chunked is a bad header to gunicorn: it is one that is not
    read here, like a body that is both."""
    if not isinstance(exc, InvalidHeader) or exc.hdr != "TRANSFER-ENCODING":
        return exc
    values = [value for name, value in exc.req.headers if name == exc.hdr]
    codings = {coding.strip().lower() for value in values for coding in value.split(",")}
    other: Exception = UnsupportedTransferCoding(", ".join(values))
    return exc if codings == {"chunked"} else other


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn's master: binds, forks workers, replaces those that die."""

    def __init__(self, make_app: Callable[[], Flask], options: dict[str, Any]) -> None:
        self._make_app = make_app
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        return self._make_app()


@dataclass(frozen=True, slots=True)
class Where:
    """What the command line says; port 0 takes a free one. `jobs`: as `create_app` has it."""

    host: str
    port: int
    workers: int
    threads: int
    as_json: bool
    jobs: int | None = None
    routes: Sequence[Route] = ROUTES
    words: str = "Seawall listens on {url} (the API's pages: {url}/docs)"


def serve(settings: Settings, where: Where) -> None:
    """Serves until SIGTERM or SIGINT. Raises what stands in the way of a
    start (`NotUpgraded`, `BadPolicy`, ...) before anything is bound."""
    policy = load_policy(settings.policy)
    tracing.check()
    settings.make_data_dir()
    with closing(Store.open(settings.database_url)) as store:
        # Made and dropped: what it imports and compiles, workers then share.
        wiring.reference_index(settings, store, policy, None)
    gc.collect()
    gc.freeze()  # or each worker's collector would write to, and so copy, all that is shared
    been_up = mmap.mmap(-1, 1)  # one byte that all workers share
    Server(lambda: _app(settings, where, been_up), _options(settings, where)).run()


def _options(settings: Settings, where: Where) -> dict[str, Any]:
    return {
        "bind": f"{_bracketed(where.host)}:{where.port}",
        "workers": where.workers,
        "threads": where.threads + _upload_threads(settings),
        "worker_class": Worker,
        # The limit is on a worker's main loop, which does not answer requests but loads the
        # index: with many references that takes longer than any limit that would make sense.
        "timeout": 0,
        "graceful_timeout": GRACE_S,
        "keepalive": 30,
        # By default a client on this machine may set SCRIPT_NAME and PATH_INFO by headers.
        "forwarder_headers": "",
        "header_map": "drop",
        "loglevel": "warning" if settings.log_level == "INFO" else settings.log_level.lower(),
        "control_socket_disable": True,
        "pre_fork": _name,
        "post_fork": lambda arbiter, worker: metrics.count_as(worker.counts_as),
        "child_exit": lambda arbiter, worker: _forget(worker.counts_as),
        "worker_exit": _stop,
        "when_ready": lambda arbiter: _tell(arbiter.LISTENERS[0].sock, settings, where),
    }


def _name(arbiter: Any, worker: Worker) -> None:
    """A worker has the name of one that is gone, and goes on with what that one has counted."""
    taken = {other.counts_as for other in arbiter.WORKERS.values()}
    names = (f"{os.getpid()}-{number}" for number in itertools.count())
    worker.counts_as = next(name for name in names if name not in taken)


def _forget(name: str) -> None:
    """What a process had in hand went with it; what it has counted stays."""
    if os.environ.get(metrics.FOLDER):
        mark_process_dead(name)  # type: ignore[no-untyped-call]


def _stop(_server: Any, worker: Any) -> None:
    """What a worker has begun and cannot end in time is given back, so that nobody waits for it."""
    app = getattr(worker, "wsgi", None)
    if isinstance(app, Flask):
        app.extensions["seawall"].stop()


def _upload_threads(settings: Settings) -> int:
    """Threads that uploads with media may hold, so that as many are left as were asked for."""
    queue = Queue.of(settings.decoders, settings.decode_queue)
    return queue.receiving.slots + queue.judging.slots


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _tell(listener: socket.socket, settings: Settings, where: Where) -> None:
    host, port = listener.getsockname()[:2]
    url = f"http://{_bracketed(host)}:{port}"
    if where.as_json:
        print(json.dumps({"url": url, "data_dir": str(settings.data_dir)}), flush=True)
    else:
        print(where.words.format(url=url), flush=True)
        print(f"Its data live in {settings.data_dir}", flush=True)
    if host not in ("127.0.0.1", "::1"):
        print("seawall: reachable from other machines: put TLS in front of it", file=sys.stderr)


def _app(settings: Settings, where: Where, been_up: mmap.mmap) -> Flask:
    """The application of one worker, with what runs beside it."""
    sys.setswitchinterval(SWITCH_S)
    lockdown.run_at_a_time(SLICE_S)
    traces = tracing.from_env()
    parts = _build(settings, traces, been_up)
    threading.Thread(target=_tell_sandbox, args=(parts,), name="sandbox", daemon=True).start()
    return create_app(parts, jobs=where.jobs, routes=where.routes, tracing=traces)


def _build(settings: Settings, traces: Tracing, been_up: mmap.mmap) -> wiring.Parts:
    """The parts. Waits for a database that is away while a dead worker is replaced: as long as it
    takes, where a worker of this service has been up, for the others still answer."""
    master, tries = os.getppid(), 0
    while True:
        try:
            parts = wiring.build(settings, span=traces.stage)
        except SeawallError as error:
            log.error("cannot start: %s", error)
            tries += 1
            if not isinstance(error, Unavailable) or (tries >= START_TRIES and not been_up[0]):
                sys.exit(BOOT_ERROR)
            if os.getppid() != master:
                sys.exit(0)
        else:
            been_up[0] = 1
            return parts
        time.sleep(min(max(1, tries - START_TRIES), LONGEST_PAUSE_S))


def _tell_sandbox(parts: wiring.Parts) -> None:
    """Warns where this machine's kernel does not lock the decoding children in."""
    try:
        report = parts.sandbox.report()
    except SeawallError as error:
        log.error("media cannot be decoded: %s", error)
        return
    missing = [name for name in ("seccomp", "landlock") if not report.get(name)]
    if missing:
        log.warning("decoding children are locked in without %s", " and ".join(missing))
