"""What the first look at an upload costs, beside decoding all of it, as keyframes lie near or far.

    python -m bench.decode FOLDER [--seconds 60] [--lines 1080] [--kbps 5000]

Encodes the videos of FOLDER, one after the other, scaled and with a little grain, into H.264 of 30
pictures a second with a keyframe every 48 and every 250 pictures, with and without pictures that no
other refers to, and prints CPU seconds, one thread, the lesser of two runs each: every frame
decoded by PyAV; keyframes alone; and Seawall's first look (decoding, PDQ in all placings, pHash),
which fills gaps of more than two seconds. `share` is of the full decode. Where `make bench-peers`
has installed vPDQ and videohash, what they take of the same clip, at one frame a second, stands
beside.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from bench.copies import videos
from bench.cost import decoded
from bench.robustness.peers import PeerMissing, Worker
from matcher.decode.pyav import PyAvDecoder
from matcher.fingerprint import FrameParts, fingerprint
from matcher.ports import Limits, Sampling
from matcher.worker import frame_parts

RATE, GRAIN, RUNS = 30, 2.0, 2
CLIPS: dict[str, tuple[int, dict[str, str]]] = {
    "keyframe every 48": (48, {}),
    "keyframe every 250": (250, {}),
    "every 250, no B-frames": (250, {"bf": "0"}),
}
SIGNALS = ("pdq", "phash")
PEERS = {"vpdq": "vPDQ", "videohash": "videohash"}


def pictures(folder: Path, height: int) -> Iterator[NDArray[np.uint8]]:
    """Pictures of all videos in turn, scaled to `height` lines of 16:9, with grain; endless."""
    width = round(height * 16 / 9 / 2) * 2
    rng = np.random.default_rng(1)
    grain = [rng.normal(0, GRAIN, (height, width)) for _ in range(5)]
    number = 0
    while True:
        for path in videos(folder):
            with av.open(str(path)) as container:
                for frame in islice(container.decode(video=0), 15 * RATE):
                    planes = frame.reformat(width, height, format="yuv420p").to_ndarray()
                    luma = planes[:height] + grain[number % len(grain)]
                    planes[:height] = np.clip(luma, 0, 255)
                    number += 1
                    yield planes


def encode(some: Iterator[NDArray[np.uint8]], folder: Path, kbps: int) -> dict[str, Path]:
    """The same pictures as one clip for each of `CLIPS`."""
    outputs: list[tuple[Any, Any]] = []
    paths = {name: folder / f"{number}.mp4" for number, name in enumerate(CLIPS)}
    for planes in some:
        height, width = planes.shape[0] * 2 // 3, planes.shape[1]
        if not outputs:
            outputs = [_output(paths[name], height, width, kbps, *CLIPS[name]) for name in CLIPS]
            stamps = iter(range(1 << 30))
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts, frame.time_base = next(stamps), Fraction(1, RATE)
        for container, stream in outputs:
            container.mux(stream.encode(frame))
    for container, stream in outputs:
        container.mux(stream.encode(None))
        container.close()
    return paths


def _output(
    path: Path, height: int, width: int, kbps: int, gop: int, options: dict[str, str]
) -> tuple[Any, Any]:
    container = av.open(str(path), "w")
    stream: Any = container.add_stream("libx264", rate=RATE)
    stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
    stream.bit_rate = kbps * 1000
    stream.options = {"preset": "veryfast", "g": str(gop), "sc_threshold": "0", **options}
    return container, stream


@dataclass(frozen=True, slots=True)
class Clip:
    """CPU seconds on one clip: all frames decoded, keyframes alone, the first look, and those of
    `PEERS` that are installed."""

    name: str
    every: float
    keyframes: float
    look: float
    peers: dict[str, float]


def looked_at(path: Path, parts: FrameParts) -> float:
    """CPU seconds of the first look."""
    began = time.process_time()
    with path.open("rb") as media:
        opened = PyAvDecoder(Limits()).open(media)
        fingerprint(opened, parts, Sampling(dense=False, seconds=600), SIGNALS)
    return time.process_time() - began


def peak_mb(path: Path) -> float:
    """MB that looking at a video takes (`bench.peak`)."""
    command = [sys.executable, "-m", "bench.peak", str(path)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measured(folder: Path, work: Path, seconds: float, lines: int, kbps: int) -> Iterator[Clip]:
    """The clips of the module's text, made in `work`."""
    count = round(seconds * RATE)
    some = tqdm(islice(pictures(folder, lines), count), total=count, disable=None)
    paths = encode(iter(some), work, kbps)
    parts = frame_parts()
    peers = {name: peer for name in PEERS if (peer := _started(name)) is not None}
    for name, path in paths.items():
        ask = {"enroll": [name, str(path)]}
        yield Clip(
            name,
            every=min(decoded(path) for _ in range(RUNS)),
            keyframes=min(decoded(path, "NONKEY") for _ in range(RUNS)),
            look=min(looked_at(path, parts) for _ in range(RUNS)),
            peers={p: min(w.ask(ask)["cpu_s"] for _ in range(RUNS)) for p, w in peers.items()},
        )
    for peer in peers.values():
        peer.close()


def _started(name: str) -> Worker | None:
    try:
        return Worker(name)
    except PeerMissing:
        return None


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--lines", type=int, default=1080)
    parser.add_argument("--kbps", type=int, default=5000)
    options = parser.parse_args()
    print(
        f"{'clip':24} {'every frame':>12} {'keyframes':>10} {'first look':>11} {'share':>6} peers"
    )
    with tempfile.TemporaryDirectory() as work:
        for c in measured(options.folder, Path(work), options.seconds, options.lines, options.kbps):
            beside = (f"{PEERS[p]} {s:.2f} ({s / c.look:.1f} times)" for p, s in c.peers.items())
            print(
                f"{c.name:24} {c.every:12.2f} {c.keyframes:10.2f} {c.look:11.2f}"
                f" {c.look / c.every:6.2f} {', '.join(beside) or '-'}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
