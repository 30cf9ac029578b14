"""Real `seawall` processes for tests: commands, and services on free loopback ports."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import random
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parent.parent
SEAWALL = (sys.executable, "-m", "api.cli")
START_S = 90.0


@dataclass(frozen=True)
class Place:
    """One installation: a data folder, and a database where it is not the embedded one."""

    folder: Path
    database_url: str | None = None
    program: Sequence[str] = SEAWALL
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("SEAWALL_", "PYTHON"))}
        kept["SEAWALL_DATA_DIR"] = str(self.folder)
        kept["SEAWALL_RATE_LIMIT"] = "100000/minute"
        kept["SEAWALL_LOG_LEVEL"] = "WARNING"
        if self.program[0] == sys.executable:
            kept["PYTHONPATH"] = str(ROOT)
        if self.database_url is not None:
            kept["SEAWALL_DATABASE_URL"] = self.database_url
        kept |= self.settings
        return kept

    def start(self, *arguments: str, **more: Any) -> subprocess.Popen[str]:
        """A command in a process group of its own, so that it can be killed with its workers."""
        return subprocess.Popen(
            [*self.program, *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **more,
        )

    def run(self, *arguments: str, expect: int = 0) -> str:
        """A command, to its end; what it printed. Fails where the exit code is another."""
        done = subprocess.run(
            [*self.program, *arguments],
            env=self.environment,
            cwd=self.folder.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == expect, (arguments, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def lines(self, *arguments: str, expect: int = 0) -> list[dict[str, Any]]:
        """A command with `--json`; its lines."""
        out = self.run(*arguments, "--json", expect=expect)
        return [json.loads(line) for line in out.splitlines()]

    def key(self, role: str) -> str:
        return self.run("key", "create", "--role", role).strip()


@dataclass
class Service:
    """A running `seawall serve`."""

    url: str
    process: subprocess.Popen[str]

    def client(self, key: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60)

    def kill(self) -> None:
        """SIGKILL, master and workers at once, as a power failure would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.terminate()
        try:
            return self.process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            self.kill()
            raise


@contextmanager
def serving(place: Place, *arguments: str, ready: bool = True, **more: Any) -> Iterator[Service]:
    """A service that is ready, unless it cannot be; killed at the end where the test has not
    stopped it."""
    process = place.start("serve", "--port", "0", "--json", *arguments, **more)
    try:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        until = time.monotonic() + START_S
        while ready and not _ready(url):
            assert process.poll() is None, "the service ended before it was ready"
            assert time.monotonic() < until, "the service did not become ready"
            time.sleep(0.1)
        yield Service(url, process)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


SLICES = tuple(int(n) for n in platform.release().split(".")[:2]) >= (6, 12)
"""Whether this machine's kernel listens to how long tasks want to run at a time."""


def slice_of(pid: int) -> int:
    """Nanoseconds for which the kernel lets it run at a time, by sched_getattr(2)."""
    number = {"x86_64": 315, "aarch64": 275}[platform.machine()]
    told = ctypes.create_string_buffer(56)
    ctypes.CDLL(None).syscall(number, pid, told, 56, 0)
    return int(struct.unpack_from("=Q", told.raw, 24)[0])


def hashes(seed: int, frames: int = 8) -> list[dict[str, Any]]:
    """The fingerprints of a made-up video of so many seconds, one PDQ code a second."""
    codes = random.Random(seed)
    listed = [
        {"offset": float(n), "hash": f"{codes.getrandbits(256):064x}", "quality": 100}
        for n in range(frames)
    ]
    return [{"signal_type": "pdq", "frames": listed}]


def verdict_on(client: httpx.Client, seed: int) -> dict[str, Any]:
    """What is said of an upload that shows the made-up video."""
    body = {"upload_id": f"up-{seed}-{time.time_ns()}", "fingerprints": hashes(seed)}
    answer = client.post("/match", json=body)
    assert answer.status_code == 200, answer.text
    verdict: dict[str, Any] = answer.json()
    return verdict


def add_hashes(client: httpx.Client, bank: str, seed: int) -> str:
    """Adds the made-up video; the reference's id."""
    answer = client.post("/references", json={"bank": bank, "fingerprints": hashes(seed)})
    assert answer.status_code in (200, 201), answer.text
    return str(answer.json()["id"])
