"""Other people's matchers, each in a process of its own and in an environment of their own."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PACKAGES: dict[str, tuple[str, ...]] = {
    "vpdq": ("vpdq==0.2.5", "numpy>=2"),
    "threatexchange": ("threatexchange==1.2.17", "vpdq==0.2.5", "faiss-cpu>=1.11"),
    "videomd5": ("threatexchange==1.2.17",),
    "videohash": ("videohash==3.0.1", "imageio-ffmpeg>=0.6"),
    "perception": ("perception==0.9.3",),
    "tmk": ("perception==0.9.3", "pdqhash==0.2.8"),
    "phash": ("imagehash==4.3.2", "opencv-contrib-python-headless>=4.10,<5"),
}
"""What pip installs for each. vpdq is compiled: it needs cmake, pkg-config, a C++ compiler and
FFmpeg's development files (on Debian libavcodec-dev, libavdevice-dev, libavfilter-dev,
libavformat-dev, libavutil-dev, libswscale-dev); pdqhash needs the compiler."""

PICTURE_PACKAGES: dict[str, tuple[str, ...]] = {
    "pdq": ("threatexchange==1.2.17", "pdqhash==0.2.8", "opencv-contrib-python-headless>=4.10,<5"),
    "pdq-8": ("pdqhash==0.2.8", "opencv-contrib-python-headless>=4.10,<5"),
    "phash-image": ("imagehash==4.3.2", "opencv-contrib-python-headless>=4.10,<5"),
}
"""The same for those that are asked about single pictures (`pictures.py`)."""

ROOT = Path(__file__).parents[3]
VENV = ROOT / "build" / "peers"
WORKER = Path(__file__).with_name("worker.py")
PICTURES = Path(__file__).with_name("pictures.py")


class PeerMissing(Exception):
    """The peer cannot be installed or started; the message says why."""


class WorkerEnded(Exception):
    """The peer's process died, or gave no answer in time."""


def packages_of(name: str) -> tuple[str, ...]:
    return (PACKAGES | PICTURE_PACKAGES)[name]


def scripts_of(name: str) -> tuple[Path, ...]:
    """What runs the peer first, then what that imports."""
    return (PICTURES, WORKER) if name in PICTURE_PACKAGES else (WORKER,)


def install(name: str, venv: Path = VENV) -> None:
    """Make the peers' environment and put one peer into it. Raises `PeerMissing`."""
    python = venv / "bin" / "python"
    if not python.exists():
        _run([sys.executable, "-m", "venv", str(venv)])
    _run([str(python), "-m", "pip", "install", "--quiet", *packages_of(name)])


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["no reason given"]
        errors = [line for line in said if "error" in line.lower()]
        raise PeerMissing(f"{' '.join(command[1:4])}: {(errors or said)[-1].strip()}")


class Worker:
    """One peer's process. Raises `PeerMissing` where it does not start."""

    def __init__(self, name: str, venv: Path = VENV) -> None:
        python = venv / "bin" / "python"
        if not python.exists():
            raise PeerMissing(f"{venv} has not been made")
        self._process = subprocess.Popen(
            [str(python), str(scripts_of(name)[0]), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": ""},
        )
        self._rest = b""
        try:
            said = self._read(120.0)
        except WorkerEnded as error:
            self.close()
            raise PeerMissing(str(error)) from None
        if "missing" in said:
            self.close()
            raise PeerMissing(said["missing"])
        self.versions: dict[str, str] = said["ready"]
        self.rule: str = said["rule"]

    def ask(self, question: dict[str, Any], *, seconds: float = 900.0) -> dict[str, Any]:
        """The answer. Raises `WorkerEnded`; the worker is of no more use then."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise WorkerEnded(self._how()) from None
        return self._read(seconds)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _read(self, seconds: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        source = self._process.stdout.fileno()
        while b"\n" not in self._rest:
            if not select.select([source], [], [], seconds)[0]:
                raise WorkerEnded(f"no answer within {seconds:g} s")
            some = os.read(source, 1 << 16)
            if not some:
                raise WorkerEnded(self._how())
            self._rest += some
        line, self._rest = self._rest.split(b"\n", 1)
        said: dict[str, Any] = json.loads(line)
        return said

    def _how(self) -> str:
        return f"the peer's process ended with {self._process.wait()}"
