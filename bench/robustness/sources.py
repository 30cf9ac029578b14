"""A folder of videos: which files show the same footage, which become references, which don't."""

from __future__ import annotations

import csv
import json
import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.robustness.video import facts, read

log = logging.getLogger(__name__)

SUFFIXES = {".mp4", ".webm", ".mkv", ".mov", ".ogv", ".avi", ".ts", ".mjpeg"}
AUDIBLE = 0.008
"""Loudness (root mean square, 1.0 is full scale) from which on a sound counts as one."""

CUT_FROM_S = 16.0

ALIKE = 0.93
"""Correlation of two small pictures from which on they are taken for the same moment."""

ALIKE_MOMENTS = 3


@dataclass(frozen=True, slots=True)
class Pair:
    """A copy that somebody else made. `query`, `shown`: seconds of the copy and of the source."""

    path: Path
    query: tuple[float, float]
    shown: tuple[float, float]
    edits: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """One piece of footage; `path` is the file that stands for it."""

    name: str
    path: Path
    split: str
    pairs: tuple[Pair, ...] = ()

    @property
    def seconds(self) -> float:
        return facts(self.path).seconds

    @property
    def long(self) -> bool:
        """Long enough that as a reference only its first half is taken."""
        return self.seconds > CUT_FROM_S and not self.pairs

    @property
    def audible(self) -> bool:
        return facts(self.path).loudness >= AUDIBLE


@dataclass(frozen=True, slots=True)
class Sources:
    """`left_out`: files that show the footage of one of the others, nobody says where."""

    references: tuple[Source, ...]
    distractors: tuple[Source, ...]
    left_out: tuple[str, ...]


def find(folder: Path, seed: int, cache: Path) -> Sources:
    """`cache`: a file that keeps the groups, as finding them takes a while."""
    rows = _rows(folder / "natural_pairs.csv")
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    if len(paths) < 4:
        raise ValueError(f"{folder}: {len(paths)} videos, at least 4 are needed")
    groups = _groups(folder, paths, rows, cache)
    rng = Random(f"{seed} sources")
    found = [_source(group, folder, rows) for group in groups]
    natural = [s for s in found if s.pairs]
    rest = [s for s in found if not s.pairs]
    wanted = max(1, round(len(found) * 0.57) - len(natural))
    chosen = _alternating(rest, rng)[:wanted]
    others = [s for s in rest if s not in chosen]
    if not others:
        raise ValueError(f"{folder}: no video is left over as other footage")
    kept = {s.path.name for s in found} | {p.path.name for s in found for p in s.pairs}
    return Sources(
        _split([*natural, *chosen], rng),
        _split(others, rng),
        tuple(p.name for p in paths if p.name not in kept),
    )


def _alternating(sources: Iterable[Source], rng: Random) -> list[Source]:
    """In random order; long and short ones, with sound and without, in turn."""
    shuffled = list(sources)
    rng.shuffle(shuffled)
    ranks: dict[tuple[bool, bool], int] = {}
    keyed = []
    for source in shuffled:
        key = (not source.long, not source.audible)
        ranks[key] = ranks.get(key, -1) + 1
        keyed.append(((ranks[key], key), source))
    return [source for _, source in sorted(keyed, key=lambda pair: pair[0])]


def _split(sources: Sequence[Source], rng: Random) -> tuple[Source, ...]:
    """Half train, half test, alike in natural copies, length and sound."""
    strata: dict[tuple[bool, bool, bool], list[Source]] = {}
    for source in sources:
        strata.setdefault((bool(source.pairs), source.long, source.audible), []).append(source)
    out, number = [], rng.randrange(2)
    for key in sorted(strata):
        stratum = strata[key]
        rng.shuffle(stratum)
        for source in stratum:
            split = ("train", "test")[number % 2]
            out.append(Source(source.name, source.path, split, source.pairs))
            number += 1
    return tuple(sorted(out, key=lambda s: s.name))


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open() as file:
        return list(csv.DictReader(file))


def _source(group: set[str], folder: Path, rows: list[dict[str, str]]) -> Source:
    listed = sorted(r["reference"] for r in rows if r["reference"] in group)
    name = listed[0] if listed else min(group)
    pairs = tuple(
        Pair(
            folder / r["query"],
            (float(r["q_start"]), float(r["q_end"])),
            (float(r["r_start"]), float(r["r_end"])),
            tuple(r["edits"].split("|")),
        )
        for r in rows
        if r["reference"] == name and (folder / r["query"]).exists()
    )
    return Source(name, folder / name, "", pairs)


def _groups(
    folder: Path, paths: list[Path], rows: list[dict[str, str]], cache: Path
) -> list[set[str]]:
    """Files that show the same footage: by the lists in the folder, and by their pictures."""
    stamp = [f"{p.name} {p.stat().st_size}" for p in paths]
    if cache.exists() and (known := json.loads(cache.read_text()))["files"] == stamp:
        return [set(group) for group in known["groups"]]
    groups = [{p.name} for p in paths]
    names = {p.name for p in paths}
    for row in rows:
        _join(groups, {row["query"], row["reference"]} & names)
    for same in _same_work(_rows(folder / "manifest.csv")):
        _join(groups, same & names)
    copies = {row["query"] for row in rows}
    moments = [(p.name, _moments(p)) for p in paths if p.name not in copies]
    for number, (name, seen) in enumerate(moments):
        for other, theirs in moments[:number]:
            if _alike(seen, theirs):
                log.info("%s and %s show the same", other, name)
                _join(groups, {name, other})
    cache.parent.mkdir(parents=True, exist_ok=True)
    cache.write_text(json.dumps({"files": stamp, "groups": [sorted(g) for g in groups]}))
    return groups


def _join(groups: list[set[str]], names: set[str]) -> None:
    touching = [g for g in groups if g & names]
    if len(touching) > 1:
        groups[:] = [g for g in groups if not g & names] + [set().union(*touching)]


def _same_work(rows: list[dict[str, str]]) -> list[set[str]]:
    """Files whose licence names the same work: "Title (c) ..." or "Title, CC-BY-3.0 ...\""""
    works: dict[str, set[str]] = {}
    for row in rows:
        title = re.match(r"([A-Z][\w ]+)(?: \(c\)|, CC)", row.get("licence_as_stated") or "")
        if title:
            works.setdefault(title.group(1), set()).add(row["file"])
    return list(works.values())


def _moments(path: Path) -> NDArray[np.float32]:
    """(moments, 576): a small grey picture a second, of mean 0 and length 1; flat ones are left
    out."""
    rows = []
    for frame in read(path, 0.0, min(60.0, facts(path).seconds), 1.0, 96):
        small = cv2.resize(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), (24, 24), interpolation=3)
        values = small.astype(np.float32).reshape(-1)
        values -= values.mean()
        if values.std() > 10:
            rows.append(values / np.linalg.norm(values))
    return np.stack(rows) if rows else np.zeros((0, 576), np.float32)


def _alike(some: NDArray[np.float32], others: NDArray[np.float32]) -> bool:
    if not len(some) or not len(others):
        return False
    same = some @ others.T > ALIKE
    return min(int(same.any(0).sum()), int(same.any(1).sum())) >= ALIKE_MOMENTS
