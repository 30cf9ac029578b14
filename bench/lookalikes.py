"""The hardest negatives at hand: the same place at another moment.

    python -m bench.lookalikes FOLDER [--each 8] [--seed 1] [--only PART-OF-A-NAME ...]

One half of every video becomes a reference, and excerpts of its other half, at 0.8, 1 and 1.25 of
their speed, are judged by all signals and the packaged policy; then the other way round. Nothing of
one half was shown in the other (where a video repeats nothing), so each that is not allowed is an
alarm of the kind that another hour of a fixed camera raises, or a camera that passes a place again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

from av.error import FFmpegError
from tqdm import tqdm

from api.wiring import build
from bench import settings
from bench.copies import copies_in, enrol, related, videos
from bench.robustness.video import Coding, facts, read, write
from hashdb.model import Action, new_id
from matcher.digest import digest_file

GAP_S = 0.5
"""Seconds left out between the halves."""

LONGEST_S, SHORTEST_S = 60.0, 10.0
"""Of a longer video only so much is taken; of a shorter one nothing."""

EXCERPT_S = (4.0, 14.0)
SPEEDS = (1.0, 1.0, 1.0, 0.8, 1.25)
FPS = 25


def reference(path: Path, folder: Path, half: int) -> None:
    """One half of a video (0: the first), as a file of its own."""
    middle = min(facts(path).seconds, LONGEST_S) / 2
    pictures = read(path, half * middle, middle - GAP_S, FPS)
    write(folder / f"{path.stem}.mp4", pictures, FPS, Coding())


def excerpts(path: Path, folder: Path, half: int, each: int, seed: int) -> Iterator[Path]:
    """So many excerpts of a half, made one after the other."""
    middle = min(facts(path).seconds, LONGEST_S) / 2
    for number in range(each):
        rng = Random(f"{seed} {path.name} {half} {number}")
        seconds = rng.uniform(min(EXCERPT_S[0], middle / 2), min(EXCERPT_S[1], middle - GAP_S))
        start = half * middle + rng.uniform(0.0, middle - GAP_S - seconds)
        fps = round(FPS * rng.choice(SPEEDS))
        coding = Coding(options={"crf": str(rng.randint(20, 34)), "preset": "veryfast"})
        made = folder / f"{path.stem}-{number:02d}.mp4"
        write(made, read(path, start, seconds, FPS), fps, coding)
        yield made


def judged(
    paths: Sequence[Path], half: int, each: int, seed: int
) -> list[tuple[str, Action, float]]:
    """(excerpt, what was decided, score) of the other half's excerpts; `half`: the references'."""
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        banked, asked = Path(scratch, "banked"), Path(scratch, "asked")
        for path in tqdm(paths, desc="halves", disable=None):
            reference(path, banked, half)
        parts = build(settings(Path(scratch, "data")))
        try:
            enrol(parts, sorted(banked.iterdir()))
            for path in tqdm(paths, desc="excerpts", disable=None):
                for made in excerpts(path, asked, 1 - half, each, seed):
                    with made.open("rb") as media:
                        verdict = parts.checker.check_media(
                            "bench", new_id("upload"), media, digest_file(media)
                        )
                    scores = [match.score for match in verdict.matches]
                    found.append((made.stem, verdict.action, max(scores, default=0.0)))
                    made.unlink()
        finally:
            parts.close()
    return found


def long_enough(path: Path) -> bool:
    try:
        return facts(path).seconds >= SHORTEST_S
    except (FFmpegError, ValueError, OSError):
        return False


def chosen(folder: Path, only: Sequence[str]) -> list[Path]:
    """Its videos with one of these in their names that are long enough, and no others' copies."""
    copies = copies_in(related(folder))
    named = [p for p in videos(folder) if any(part in p.name for part in only)]
    return [p for p in named if p.name not in copies and long_enough(p)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--each", type=int, default=8, help="excerpts of every half")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=[""], help="videos with this in their names")
    options = parser.parse_args()
    paths = chosen(options.folder, options.only)
    for half, name in enumerate(("first", "second")):
        found = judged(paths, half, options.each, options.seed)
        print(f"{len(paths)} videos, the {name} halves are references:")
        for excerpt, action, score in sorted(found, key=lambda row: -row[2]):
            if action is not Action.ALLOW:
                print(f"  {action.value}  {score:.3f}  {excerpt}")
        counts = Counter(action.value for _, action, _ in found)
        told = ", ".join(f"{counts[action.value]} {action.value}" for action in Action)
        print(f"  of {len(found)} excerpts: {told}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
