"""What PDQ costs a picture, beside `pdqhash`, the reference code's binding.

    python -m bench.pdq

Made pictures of 512 x 288 and 1920 x 1080, one thread, CPU milliseconds, the least of some rounds:
Seawall makes eight placings and the quality of a grey picture, `pdqhash.compute_dihedral` the same
of an RGB one, where `make bench-peers` has installed it.
"""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.robustness.peers import VENV
from matcher.hashers import pdq

SIZES = ((288, 512), (1080, 1920))
ROUNDS, PICTURES = 5, 20
PEER = """
import json, sys, time
import numpy as np, pdqhash
found = []
for height, width in json.loads(sys.argv[1]):
    picture = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    best = 1e9
    for _ in range(3):
        began = time.process_time()
        for _ in range(5):
            pdqhash.compute_dihedral(picture)
        best = min(best, (time.process_time() - began) / 5)
    found.append(best * 1000)
print(json.dumps(found))
"""


@dataclass(frozen=True, slots=True)
class Hashed:
    """CPU milliseconds a picture of so many pixels; `peer`: None where it is not installed."""

    width: int
    height: int
    ours: float
    peer: float | None


def measured() -> list[Hashed]:
    """One for each of `SIZES`."""
    peers = _peers()
    return [
        Hashed(width, height, _ours(height, width), peer)
        for (height, width), peer in zip(SIZES, peers, strict=True)
    ]


def _ours(height: int, width: int) -> float:
    rng = np.random.default_rng(1)
    picture: NDArray[np.uint8] = rng.integers(0, 256, (height, width), dtype=np.uint8)
    times = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(PICTURES):
            pdq.codes(pdq.look(picture).square)
        times.append((time.process_time() - began) / PICTURES)
    return min(times) * 1000


def _peers() -> list[float | None]:
    try:
        command = [str(VENV / "bin" / "python"), "-c", PEER, json.dumps(SIZES)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return [None] * len(SIZES)
    return [float(ms) for ms in json.loads(said)]


if __name__ == "__main__":
    for one in measured():
        beside = "-" if one.peer is None else f"{one.peer:.2f} ({one.peer / one.ours:.0f} times)"
        print(f"{one.width} x {one.height}: {one.ours:.2f} ms, pdqhash {beside}")
