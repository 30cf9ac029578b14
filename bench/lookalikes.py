"""The hardest negatives at hand: the same place at another moment.

    python -m bench.lookalikes FOLDER

The first half of every video becomes a reference, and the second halves are judged by the packaged
policy's thresholds. Nothing of a second half was shown in a first (where a video repeats nothing),
so each confident match is an alarm of the kind that a fixed camera or a talking head raises.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

from api.settings import Settings
from api.wiring import Parts, build
from bench.copies import copies_in, related, videos
from hashdb.errors import SeawallError
from hashdb.model import Digests, Fingerprint, MediaKind, Orientation
from matcher.ports import Sampling

GAP_S = 1.0  # left out before the middle


def halves(
    parts: Parts, path: Path
) -> tuple[float, tuple[Fingerprint, ...], tuple[Fingerprint, ...]]:
    """Seconds; the first half as references are hashed, the second as uploads are."""
    signals = ("pdq", "phash")
    with path.open("rb") as media:
        dense = parts.sandbox(media, Sampling(dense=True, seconds=600), signals)
        media.seek(0)
        sparse = parts.sandbox(media, Sampling(dense=False), signals)
    middle = sparse.coverage.total_s / 2
    first = tuple(f.take(f.offsets + f.spans < middle - GAP_S) for f in dense.fingerprints)
    return (
        sparse.coverage.total_s,
        first,
        tuple(f.take(f.offsets > middle) for f in sparse.fingerprints),
    )


def judge_all(parts: Parts, paths: list[Path]) -> list[tuple[str, str, float]]:
    """(video, whose first half was found in it, score) of every match that policy looks at."""
    with parts.store.begin() as tx:
        bank = tx.banks.create("first-halves")
    second: dict[str, tuple[float, tuple[Fingerprint, ...]]] = {}
    for path in tqdm(paths, desc="halves", disable=None):
        try:
            seconds, first, rest = halves(parts, path)
        except SeawallError:
            continue
        if any(len(f) for f in first):
            second[path.name] = (seconds, rest)
            parts.enroller.add_hashes(
                bank,
                Digests(),
                [f for f in first if f.orientation is Orientation.ORIGINAL],
                kind=MediaKind.VIDEO,
                actor="bench",
                source=path.name,
                origin=path.name,
                duration_s=seconds / 2,
            )
    limits = parts.policy.for_bank(bank)
    return [
        (name, match.reference.source or "", match.score)
        for name, (seconds, rest) in second.items()
        for match in parts.judge.find(rest, total_s=seconds)
        if match.score >= limits.possible
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    copies = copies_in(related(options.folder))
    paths = [p for p in videos(options.folder) if p.name not in copies]
    with tempfile.TemporaryDirectory() as scratch:
        parts = build(Settings.from_env({"SEAWALL_DATA_DIR": scratch}))
        try:
            found = judge_all(parts, paths)
            confident = parts.policy.defaults.confident
        finally:
            parts.close()
    print(f"{len(paths)} videos, second halves against all first halves:")
    for name, source, score in sorted(found, key=lambda row: -row[2]):
        own = "its own" if name == source else f"ANOTHER'S, {source}"
        print(f"  {score:.3f}  {name}: {own} first half")
    alarms = sum(score >= confident for *_, score in found)
    others = sum(name != source for name, source, _ in found)
    print(f"{alarms} confident, {len(found) - alarms} possible; {others} by another video")
    return 0


if __name__ == "__main__":
    sys.exit(main())
