"""Copies that play what they show otherwise: backwards, looped, shuffled, cut, slowed or hurried.

    python -m bench.playing FOLDER [--seed 1] [--only PART-OF-A-NAME ...]

The first half of every video becomes a reference (of a short one all of it). An excerpt of it is
played in every way, cropped to 60 to 80 % of its width and height, at random, encoded anew, and
judged by all signals and the packaged policy. Printed are the copies that are blocked, of each way,
of cameras that move and of those that stand still (by what moves in the reference), and the names
of those that are not.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path
from random import Random

import numpy as np
from tqdm import tqdm

from api.wiring import Parts, build
from bench import settings
from bench.lookalikes import FPS, GAP_S, LONGEST_S, chosen
from bench.robustness.video import Coding, Frame, facts, read, write
from hashdb.model import Action, new_id
from matcher.digest import digest_file
from matcher.moment_finder import motion_of
from matcher.motion import stands_still

HALVED_S, EXCERPT_S, KEPT = 28.0, (10.0, 14.0), (0.6, 0.8)
"""Seconds from which on half of a video is the reference; seconds of an excerpt; the part of its
width and height that is kept."""

Frames = list[Frame]


def _pieces(frames: Frames, seconds: float) -> list[Frames]:
    size = round(FPS * seconds)
    return [frames[i : i + size] for i in range(0, len(frames), size)]


def _shuffled(frames: Frames, rng: Random) -> Frames:
    some = _pieces(frames, 2.0)
    rng.shuffle(some)
    return [*chain.from_iterable(some)]


def _to_and_fro(frames: Frames, rng: Random) -> Frames:
    some = frames[: round(rng.uniform(2.0, 3.5) * FPS)]
    return (some + some[::-1]) * 2


def _mirrored_now_and_then(frames: Frames, _: Random) -> Frames:
    some = _pieces(frames, 2.0)
    turned = [[np.ascontiguousarray(f[:, ::-1]) for f in piece] for piece in some[1::2]]
    for i, piece in enumerate(turned):
        some[2 * i + 1] = piece
    return [*chain.from_iterable(some)]


WAYS: dict[str, Callable[[Frames, Random], Frames]] = {
    "backwards": lambda frames, _: frames[::-1],
    "backwards, half as fast": lambda frames, _: [f for f in frames[175::-1] for _ in range(2)],
    "backwards, twice as fast": lambda frames, _: frames[::-2],
    "each 2 s backwards": lambda frames, _: [
        *chain.from_iterable(piece[::-1] for piece in _pieces(frames, 2.0))
    ],
    "to and fro": _to_and_fro,
    "looped": lambda frames, rng: frames[: round(rng.uniform(2.0, 3.5) * FPS)] * 4,
    "shuffled": _shuffled,
    "one second of 2.5": lambda frames, _: [
        *chain.from_iterable(piece[:FPS] for piece in _pieces(frames, 2.5))
    ],
    "second half first": lambda frames, _: frames[len(frames) // 2 :] + frames[: len(frames) // 2],
    "mirrored now and then": _mirrored_now_and_then,
    "a still every 2 s": lambda frames, _: [f for f in frames[::50] for _ in range(50)],
}


def reference(path: Path, folder: Path) -> float:
    """Makes it; its seconds."""
    seconds = min(facts(path).seconds, LONGEST_S)
    if seconds >= HALVED_S:
        seconds /= 2
    write(folder / f"{path.stem}.mp4", read(path, 0.0, seconds - GAP_S, FPS), FPS, Coding())
    return seconds - GAP_S


def played(path: Path, seconds: float, way: str, rng: Random) -> Iterator[Frame]:
    """An excerpt of the reference's `seconds`, played in that way and cropped."""
    shown = min(rng.uniform(*EXCERPT_S), seconds)
    start = rng.uniform(0.0, seconds - shown)
    frames = WAYS[way](list(read(path, start, shown, FPS, 640)), rng)
    height, width = (int(n * rng.uniform(*KEPT)) // 2 * 2 for n in frames[0].shape[:2])
    top, left = rng.randint(0, len(frames[0]) - height), rng.randint(0, len(frames[0][0]) - width)
    for frame in frames:
        yield np.ascontiguousarray(frame[top : top + height, left : left + width])


def enrolled(parts: Parts, references: Sequence[Path]) -> dict[str, bool]:
    """Makes a bank of them; by name, whether the camera stands still."""
    still = {}
    with parts.store.begin() as tx:
        bank = tx.banks.create("bench")
    for path in tqdm(references, "references", disable=None):
        with path.open("rb") as media:
            added, _ = parts.enroller.add_media(bank, media, digest_file(media), actor="bench")
        known = motion_of(parts.store, added.id)
        still[path.stem] = known is not None and stands_still(known)
    return still


def judged(parts: Parts, path: Path) -> Action:
    with path.open("rb") as media:
        return parts.checker.check_media(
            "bench", new_id("upload"), media, digest_file(media)
        ).action


def measured(paths: Sequence[Path], seed: int) -> Iterator[tuple[str, str, bool, Action]]:
    """(way, video, whether its camera stands still, what was decided)."""
    with tempfile.TemporaryDirectory() as scratch:
        banked, copy = Path(scratch, "banked"), Path(scratch, "copy.mp4")
        banked.mkdir()
        lengths = {path: reference(path, banked) for path in tqdm(paths, "halves", disable=None)}
        with closing(build(settings(scratch))) as parts:
            still = enrolled(parts, sorted(banked.iterdir()))
            for path in tqdm(paths, "videos", disable=None):
                for way in WAYS:
                    rng = Random(f"{seed} {path.name} {way}")
                    coding = Coding(options={"crf": str(rng.randint(22, 32)), "preset": "veryfast"})
                    write(copy, played(path, lengths[path], way, rng), FPS, coding)
                    yield way, path.stem, still[path.stem], judged(parts, copy)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=[""], help="videos with this in their names")
    options = parser.parse_args()
    paths = chosen(options.folder, options.only)
    found = list(measured(paths, options.seed))
    for still in (False, True):
        rows: dict[str, list[tuple[str, Action]]] = defaultdict(list)
        for way, name, stands, action in found:
            if stands is still:
                rows[way].append((name, action))
        count = len({name for _, name, stands, _ in found if stands is still})
        print(f"{count} cameras that {'stand still' if still else 'move'}:")
        for way, some in rows.items():
            missed = [f"{name} {action.value}" for name, action in some if action != Action.BLOCK]
            print(f"  {way:24} {len(some) - len(missed):3} of {len(some)}   {', '.join(missed)}")
        blocked = sum(action == Action.BLOCK for some in rows.values() for _, action in some)
        print(f"  {'all':24} {blocked:3} of {sum(map(len, rows.values()))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
