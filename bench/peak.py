"""The most memory that a look at a video takes, in MB: python -m bench.peak FILE

Imports what the decoding child does and no more, looks as it does, with every signal of
pictures, and packs what is seen as it does.
"""

from __future__ import annotations

import sys
from pathlib import Path

from hashdb.model import MediaFingerprints
from matcher import wire
from matcher.decode.pyav import PyAvDecoder
from matcher.fingerprint import fingerprint
from matcher.ports import Limits, Sampling
from matcher.worker import frame_parts

SIGNALS = ("pdq", "phash", "local")


def _pack(found: MediaFingerprints) -> None:
    wire.pack_answer(found, "")


def main() -> None:
    with Path(sys.argv[1]).open("rb") as media:
        opened = PyAvDecoder(Limits()).open(media)
        sampling = Sampling(dense=False, seconds=600)
        found = fingerprint(opened, frame_parts(), sampling, SIGNALS, early=_pack)
        _pack(found)
    # getrusage's ru_maxrss would count what the parent held as well.
    status = Path("/proc/self/status").read_text()
    print(next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line) / 1024)


if __name__ == "__main__":
    main()
