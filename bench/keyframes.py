"""Whether keyframes are enough: copies spliced into a minute of other footage, with a keyframe
every 48 pictures, judged as uploads are, and once more with every picture decoded.

    python -m bench.keyframes FOLDER --work DIR [--gop 48] [--step 1] [--every 1] [--tiers a,b]

DIR holds samples of `bench.robustness` that were made of FOLDER. What each of them shows, up to
`LONGEST_S` of it, is laid into other footage of FOLDER at a moment drawn at random; silent, for
sound would find it whatever is decoded; with keyframes at a fixed distance, so that none marks the
splice. Short copies are the hard ones: of six seconds three or four keyframes are seen. "All"
decodes every picture, takes one each `--step` seconds, and describes all that it takes. All else is
the same: the bank, the policy, second looks. Negatives are laid in as copies are; of them nothing
may be found.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from random import Random
from typing import Any, BinaryIO

import cv2
import numpy as np
from tqdm import tqdm

from bench.robustness import sources
from bench.robustness.__main__ import located
from bench.robustness.engines import Seawall
from bench.robustness.found import Found
from bench.robustness.metrics import is_found
from bench.robustness.report import table
from bench.robustness.samples import Benchmark, Sample, load
from bench.robustness.sources import Source
from bench.robustness.video import Coding, Frame, facts, read, write
from hashdb.model import MediaFingerprints
from matcher.decode import pyav
from matcher.decode.pace import Picker
from matcher.fingerprint import fingerprint
from matcher.ports import Limits, Sampling
from matcher.worker import frame_parts

UPLOAD_S, LONGEST_S = 60.0, 20.0
FPS, SIDE = 25, 1280
TIERS = "everyday,hostile,combined,effects,negative"


@dataclass(frozen=True, slots=True)
class Both:
    """What one upload was answered by keyframes and with every picture decoded."""

    sample: Sample
    keyframes: Found
    all: Found


def _every_picture(step: float) -> type[Picker]:
    """A picker that has every group decoded, and takes a picture each `step` seconds."""

    class Every(Picker):
        @classmethod
        def of(cls, sampling: Sampling, duration: float, *, every: bool = False) -> Picker:
            usual = Picker.of(sampling, duration, every=every)
            if usual.dense or usual.windows:
                return usual
            step_s = min(step, usual.step)
            return replace(
                usual, key_gap=0.0, max_gap=0.0, step=step_s, key_step=step_s, stretch=1.0
            )

    return Every


class EveryPicture:
    """A `matcher.ports.FingerprintMedia` in this process that decodes all of an upload."""

    def __init__(self, step: float) -> None:
        self._picker = _every_picture(step)
        self._decoder, self._parts = pyav.PyAvDecoder(Limits()), frame_parts()

    def __call__(
        self, media: BinaryIO, sampling: Sampling, signal_types: Sequence[str], **_: Any
    ) -> MediaFingerprints:
        media.seek(0)
        usual = pyav.Picker
        pyav.Picker = self._picker  # type: ignore[misc]
        try:
            return fingerprint(self._decoder.open(media), self._parts, sampling, signal_types)
        finally:
            pyav.Picker = usual  # type: ignore[misc]


def uploads(
    folder: Path, work: Path, benchmark: Benchmark, samples: Sequence[Sample], gop: int
) -> Iterator[tuple[Sample, Path]]:
    """Each sample laid into other footage; those that are there are kept."""
    others = sources.find(folder, benchmark.seed, work / "groups.json").distractors
    coding = Coding(options={"crf": "23", "preset": "veryfast", "g": str(gop), "sc_threshold": "0"})
    for sample in samples:
        target = work / "keyframes" / f"{sample.id}-{gop}.mp4"
        if not target.exists():
            rng = Random(f"{benchmark.seed} {sample.id}")
            path = located(work, sample.path)
            write(target, _spliced(path, sample, others, rng), FPS, coding)
        yield sample, target


def _spliced(path: Path, sample: Sample, others: Sequence[Source], rng: Random) -> Iterator[Frame]:
    shown = min(facts(path).seconds, LONGEST_S)
    frames = read(path, 0.0, shown, FPS, SIDE)
    first = next(frames)
    size = first.shape[1], first.shape[0]
    before = rng.uniform(0.0, UPLOAD_S - shown)
    filling = _filling([o.path for o in others if o.name not in sample.sources], size, rng)
    yield from islice(filling, round(before * FPS))
    yield from chain([first], frames)
    yield from islice(filling, round((UPLOAD_S - shown - before) * FPS))


def _filling(others: Sequence[Path], size: tuple[int, int], rng: Random) -> Iterator[Frame]:
    """Other footage without end, up to half a minute of each."""
    while True:
        path = rng.choice(others)
        for frame in read(path, 0.0, min(facts(path).seconds, UPLOAD_S / 2), FPS, SIDE):
            yield np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)


def rows(told: Sequence[Both]) -> Iterator[list[str]]:
    """By tier: how many were found either way, or alarmed on, and for how many CPU seconds."""
    tiers: dict[str, list[Both]] = defaultdict(list)
    for one in told:
        tiers[one.sample.tier if one.sample.truth else "negative"].append(one)
    for tier, some in tiers.items():
        if tier == "negative":
            found = [(b.keyframes.action == "block", b.all.action == "block") for b in some]
        else:
            found = [(is_found(b.sample, b.keyframes), is_found(b.sample, b.all)) for b in some]
        yield [
            tier + (", blocked" if tier == "negative" else ""),
            str(len(some)),
            str(sum(k for k, _ in found)),
            str(sum(a for _, a in found)),
            str(sum(k and not a for k, a in found)),
            str(sum(a and not k for k, a in found)),
            f"{sum(b.keyframes.cpu_s for b in some) / len(some):.2f}",
            f"{sum(b.all.cpu_s for b in some) / len(some):.2f}",
        ]


HEAD = ("tier", "of", "keyframes", "all", "only keyframes", "only all", "CPU s", "CPU s, all")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path, help="the videos that the samples were made of")
    parser.add_argument("--work", type=Path, required=True, help="samples of bench.robustness")
    parser.add_argument("--gop", type=int, default=48, help="pictures from keyframe to keyframe")
    parser.add_argument("--step", type=float, default=1.0, help="seconds between pictures of all")
    parser.add_argument("--every", type=int, default=1, help="each so many'th sample only")
    parser.add_argument("--tiers", default=TIERS)
    options = parser.parse_args()
    benchmark = load(options.work / "samples.json")
    wanted = options.tiers.split(",")
    samples = [s for s in benchmark.samples if s.tier in wanted and s.seconds > 0]
    bank = options.work / "keyframes-bank"
    usual = Seawall(bank, "")
    for reference in tqdm(benchmark.references, desc="references", disable=None):
        usual.enroll(reference, located(options.work, reference.path))
    whole = Seawall(bank, "", look=EveryPicture(options.step))
    told = []
    made = uploads(options.folder, options.work, benchmark, samples[:: options.every], options.gop)
    for sample, path in tqdm(made, desc="uploads", total=len(samples[:: options.every])):
        told.append(Both(sample, usual.judge(sample, path), whole.judge(sample, path)))
        one = told[-1]
        if one.keyframes.action != one.all.action:
            tqdm.write(f"{sample.id}: {one.keyframes.action}, all: {one.all.action}")
    print(table(HEAD, rows(told)))
    usual.close()
    whole.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
