"""What a decoding child costs: forked from a template, or started by itself.

    python -m bench.children [--uploads 20]

Looks at one video of two seconds (640 x 360, H.264, 30 pictures a second) again and again, one
upload after the other, in rounds that alternate between the ways. Prints per upload: CPU seconds
of the service and all that it started, milliseconds with no pause between uploads, the same where
the spare child had time to get ready, and milliseconds until a child that did not stand by is
locked in. Take the ratios: the times are this machine's.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections import defaultdict
from contextlib import ExitStack

from bench.robustness.engines import cpu_seconds
from matcher.ports import Sampling
from matcher.sandbox import Sandbox
from tests import media_maker as make

WAYS = {
    "started, 1 spare": {"forks": False, "spare": 1},
    "forked, 1 spare": {"forks": True, "spare": 1},
    "forked, no spare": {"forks": True, "spare": 0},
}
SIGNALS = ("pdq", "phash", "local")
FIGURES = ("CPU s", "ms at once", "ms at leisure", "ms to ready")
ROUNDS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--uploads", type=int, default=20, help="in all, of each way")
    uploads = max(1, parser.parse_args().uploads // ROUNDS)
    video = make.video(make.scenes(2, rate=30, size=(640, 360)), rate=30)
    found: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    with ExitStack() as stack:
        ways = {name: stack.enter_context(Sandbox(**given)) for name, given in WAYS.items()}
        for sandbox in ways.values():
            look(sandbox, video)
        for _ in range(ROUNDS):
            for name, sandbox in ways.items():
                found[name].append(measure(sandbox, video, uploads))
    print(f"{'':20}" + "".join(f"{figure:>16}" for figure in FIGURES))
    for name, rounds in found.items():
        row = [statistics.median(column) for column in zip(*rounds, strict=True)]
        print(f"{name:20}{row[0]:16.3f}" + "".join(f"{value:16.1f}" for value in row[1:]))


def look(sandbox: Sandbox, video: bytes) -> None:
    sandbox(io.BytesIO(video), Sampling(dense=False), SIGNALS)


def measure(sandbox: Sandbox, video: bytes, uploads: int) -> tuple[float, ...]:
    """The `FIGURES` of one round."""
    stand_by(sandbox)
    spent, began = cpu_seconds(), time.monotonic()
    for _ in range(uploads):
        look(sandbox, video)
    at_once = time.monotonic() - began
    stand_by(sandbox)
    spent = cpu_seconds() - spent
    leisure = ready = 0.0
    for _ in range(uploads):
        stand_by(sandbox)
        began = time.monotonic()
        look(sandbox, video)
        leisure += time.monotonic() - began
        began = time.monotonic()
        child = sandbox._start()
        sandbox._ready(child)
        ready += time.monotonic() - began
        child.end()
    return (spent / uploads, *(1e3 * s / uploads for s in (at_once, leisure, ready)))


def stand_by(sandbox: Sandbox) -> None:
    """Wait until the spare child is ready, so that its cost is counted where it belongs."""
    for child in sandbox._waiting:
        sandbox._ready(child)


if __name__ == "__main__":
    main()
