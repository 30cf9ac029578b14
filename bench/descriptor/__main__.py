"""What a descriptor model tells apart: levels for its manifest, and what the matcher makes of it.

    python -m bench.descriptor FOLDER MANIFEST [--most 40] [--floor 0.7] [--sure 0.85]

The first half of every video becomes a reference. Judged by descriptors alone are edited copies of
it (single pictures edited, `bench.descriptor.edits`, not encoded again), its second half (the same
place at another moment: the hardest negative), and against all other videos' references. Files
of one footage (`natural_pairs.csv` in the folder) come in once.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from bench.copies import copies_in, related, videos
from bench.descriptor.edits import EDITS, Edit
from hashdb.errors import SeawallError
from hashdb.index.descriptors import DescriptorIndex
from hashdb.model import Descriptors, Pictures
from matcher import described
from matcher.descriptors.onnx import OnnxDescriptor
from matcher.policy import load_policy
from matcher.ports import Sampling
from matcher.sandbox import Sandbox

GAP_S = 1.0  # left out before the middle
SHARED = 0.97  # two videos with pictures as near as that show the same footage
SEED = 2019
EDITED_SIDE = 448  # of the pictures that are edited


@dataclass(frozen=True, slots=True, eq=False)
class Video:
    """`first`: a half, described as a reference is; `copy`, `second`: pictures of the first and
    the second half, taken as an upload's are."""

    name: str
    total_s: float
    first: Descriptors
    copy: Pictures
    second: Pictures


def part(pictures: Pictures, low: float, high: float) -> Pictures:
    rows = (pictures.offsets >= low) & (pictures.offsets < high)
    return replace(pictures, offsets=pictures.offsets[rows] - low, pixels=pictures.pixels[rows])


def look(sandbox: Sandbox, model: OnnxDescriptor, path: Path) -> Video | None:
    """None where a half has fewer pictures than must agree."""
    with path.open("rb") as media:
        dense = sandbox(media, Sampling(dense=True, describe=model.side, seconds=600), ())
        sparse = sandbox(media, Sampling(dense=False, describe=EDITED_SIDE), ())
    if not dense.to_describe or not sparse.to_describe:
        return None
    total = sparse.coverage.total_s
    middle = total / 2
    first = part(dense.to_describe[0], 0.0, middle - GAP_S)
    halves = [part(sparse.to_describe[0], 0.0, middle - GAP_S)]
    halves.append(part(sparse.to_describe[0], middle, total + 1.0))
    if min(len(first), *(len(h) for h in halves)) < described.DISTINCT:
        return None
    (reference,) = described.describe(model, [first])
    return Video(path.name, total, reference, *halves)


def edited(model: OnnxDescriptor, pictures: Pictures, edit: Edit) -> Descriptors:
    vectors = model.describe([edit(p) for p in pictures.pixels]).astype(np.float16)
    return Descriptors(model.model, pictures.offsets, vectors, pictures.track)


class Bench:
    """All first halves in one index, and what is found in it."""

    def __init__(self, model: OnnxDescriptor, levels: described.Levels, seen: list[Video]) -> None:
        self.model, self.levels, self.videos = model, levels, seen
        self.index = DescriptorIndex()
        self.index.add((number, video.first) for number, video in enumerate(seen))
        vectors = [v.first.vectors.astype(np.float32) for v in seen]
        self.kin = [
            {j for j, other in enumerate(vectors) if float((own @ other.T).max()) > SHARED}
            for own in vectors
        ]

    def unrelate(self, folder: Path) -> None:
        """What `natural_pairs.csv` says of videos that show the same footage."""
        for group in related(folder):
            numbers = {n for n, video in enumerate(self.videos) if video.name in group}
            for number in numbers:
                self.kin[number] |= numbers

    def found(self, query: Descriptors, total_s: float) -> dict[int, float]:
        """Scores by number of the reference."""
        hits = self.index.search(query.vectors, self.levels.floor, 2000)
        scores = {}
        for ordinal, mine in described.by_reference(hits):
            match = described.alignment(str(ordinal), query, mine, self.levels, total_s=total_s)
            if match is not None:
                scores[ordinal] = match.score
        return scores

    def best_cosines(self, number: int, query: Descriptors) -> tuple[list[float], list[float]]:
        """Of each picture the nearest of its own video within a second, and of unrelated ones."""
        own, other = [], []
        for row, offset in enumerate(query.offsets):
            hits = self.index.search(query.vectors[row : row + 1], -1.0, sys.maxsize)
            mine = hits.ordinals == number
            then = (hits.starts <= offset + 0.5) & (hits.ends >= offset - 0.5)
            strange = ~np.isin(hits.ordinals, list(self.kin[number]))
            own.append(float(hits.similarities[mine & then].max(initial=-1.0)))
            other.append(float(hits.similarities[strange].max(initial=-1.0)))
        return own, other


def quantiles(values: list[float], *at: float) -> str:
    return "  ".join(f"{float(np.quantile(values, q)):5.2f}" for q in at)


def measure(bench: Bench, possible: float) -> None:
    found: dict[str, list[bool]] = defaultdict(list)
    cosines: dict[str, list[float]] = defaultdict(list)
    alarms: list[str] = []
    for number, video in enumerate(tqdm(bench.videos, desc="judged", disable=None)):
        half_s = video.total_s / 2
        queries = {name: edited(bench.model, video.copy, edit) for name, edit in EDITS.items()}
        queries["its second half"] = edited(bench.model, video.second, EDITS["nothing"])
        for name, query in queries.items():
            scores = bench.found(query, half_s)
            found[name].append(scores.get(number, 0.0) >= possible)
            strangers = {k: s for k, s in scores.items() if k not in bench.kin[number]}
            found[f"{name}, by another video"].append(
                any(s >= possible for s in strangers.values())
            )
            alarms += [
                f"{video.name} ({name}) taken for {bench.videos[k].name}: {score:.2f}"
                for k, score in strangers.items()
                if score >= possible
            ]
            if name in EDITS:
                own, other = bench.best_cosines(number, query)
                cosines[name] += own
                cosines["unrelated"] += other
    print(f"\ncosine of the nearest picture{'5 %':>20}{'25 %':>7}{'50 %':>7}{'99 %':>7}{'most':>7}")
    for name, values in cosines.items():
        print(f"{name:>42}  {quantiles(values, 0.05, 0.25, 0.5, 0.99, 1.0)}")
    most = quantiles(cosines["unrelated"], 0.9, 0.95, 0.99)
    print(f"for a manifest's floor: 90 %, 95 % and 99 % of the unrelated lie below {most}")
    print(f"\nfound with a score of {possible} or more, of {len(bench.videos)}")
    for name in (*EDITS, "its second half"):
        others = sum(found[f"{name}, by another video"])
        print(f"{name:>42}  {sum(found[name]):4d}   by another video: {others}")
    for alarm in alarms:
        print(f"  {alarm}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--most", type=int, default=40, help="videos")
    parser.add_argument("--floor", type=float, help="instead of the manifest's")
    parser.add_argument("--sure", type=float, help="instead of the manifest's")
    options = parser.parse_args()
    try:
        model = OnnxDescriptor(options.manifest)
    except SeawallError as error:
        print(error, file=sys.stderr)
        return 2
    levels = described.Levels(options.floor or model.floor, options.sure or model.sure)
    seen: list[Video] = []
    began, pictures = time.process_time(), 0
    with Sandbox() as sandbox:
        copies = copies_in(related(options.folder))
        paths = [p for p in videos(options.folder) if p.name not in copies]
        random.Random(SEED).shuffle(paths)
        for path in tqdm(paths, desc="looked at", disable=None):
            if len(seen) == options.most:
                break
            try:
                video = look(sandbox, model, path)
            except SeawallError as error:
                print(f"{path.name}: {error}", file=sys.stderr)
                continue
            if video is not None:
                seen.append(video)
                pictures += len(video.first)
    spent = time.process_time() - began
    bench = Bench(model, levels, seen)
    bench.unrelate(options.folder)
    print(f"{model.model}, floor {levels.floor}, sure {levels.sure}: {len(seen)} videos")
    each = 1000 * spent / max(1, pictures)
    print(f"{pictures} pictures of references described, at {each:.1f} CPU ms each")
    measure(bench, load_policy(None).defaults.possible)
    return 0


if __name__ == "__main__":
    sys.exit(main())
