"""Banned footage and other footage in one picture: what is found, and what an allow-list lets pass.

    python -m bench.compositions FOLDER --work DIR [--seed 2019] [--videos 10] [--docs docs/]

Banned videos and films are drawn from the folder, and composed: one over the other, in halves,
half transparent; two banned ones too. Other banned videos are shown in reports (under a banner, in
a window, in one half), of which each is edited again as viewers do. All are judged by the packaged
policy twice, with the banned videos alone and with the films and reports in an allow-list. An
allow-list must not let more of the compositions pass, and must let the copies of its reports pass.
Files that are there already, of the same videos and seed, are kept: it can be stopped and started
again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import av
from tqdm import tqdm

from api.wiring import build
from bench import settings
from bench.copies import enrol
from bench.robustness import layouts, sources
from bench.robustness.edits import EDITS, EVERYDAY
from bench.robustness.found import digest_of
from bench.robustness.pictures import Edit, Scene, draw
from bench.robustness.plan import slug
from bench.robustness.timing import edited, even_sides
from bench.robustness.video import Coding, read, write
from hashdb.model import Action, new_id
from matcher.digest import digest_file

FPS, LONG_SIDE = 25, 640
SECONDS = (6.0, 10.0)
COPIES = 5
ACTIONS = (Action.ALLOW, Action.REVIEW, Action.BLOCK)

_HALVES = EDITS["split screen"]


def _window(low: float, high: float) -> Edit:
    own = {"width": (low, high), "still": False}
    inset = EDITS["picture in picture"]
    return Edit(inset.name, "hostile", "frame", {**inset.ranges, **own}, layouts.inset, others=1)


BANNER = EDITS["news banner"]
BLENDED = Edit(
    "half transparent", "hostile", "frame", {"part": (0.4, 0.75), "from": (0.0, 5.0)},
    layouts.blended, others=1,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Layout:
    """`edit`: what is done with the frames of `main` and of the `other`: "banned", "film", or
    "second", another banned one."""

    name: str
    edit: Edit
    main: str
    other: str


COMPOSED = (
    Layout("film over 0.35 to 0.5 of it", _window(0.35, 0.5), "film", "banned"),
    Layout("film over 0.5 to 0.65 of it", _window(0.5, 0.65), "film", "banned"),
    Layout("film over 0.65 to 0.8 of it", _window(0.65, 0.8), "film", "banned"),
    Layout("window of 0.3 to 0.4 in a film", _window(0.3, 0.4), "banned", "film"),
    Layout("window of 0.4 to 0.6 in a film", _window(0.4, 0.6), "banned", "film"),
    Layout("halves, with a film", _HALVES, "banned", "film"),
    Layout("half transparent, with a film", BLENDED, "banned", "film"),
    Layout("window in another banned one", _window(0.4, 0.6), "banned", "second"),
    Layout("halves, two banned ones", _HALVES, "banned", "second"),
)
REPORTS = (
    Layout("banner", BANNER, "banned", "film"),
    Layout("window", _window(0.35, 0.65), "banned", "film"),
    Layout("half", _HALVES, "banned", "film"),
)
COPY = tuple(e for e in EVERYDAY if e.build is not None and not e.others and e.name != "1080p")
"""What is done to a report: edits of the picture alone."""


@dataclass(frozen=True, slots=True)
class Case:
    """One file to be judged. `expected`: what should become of it where films and reports are
    allowed."""

    row: str
    path: Path
    expected: Action


def compose(layout: Layout, videos: dict[str, Path], path: Path, rng: Random) -> Path:
    """An excerpt of both in one picture, written to `path` unless it is there."""
    seconds = rng.uniform(*SECONDS)
    scene = Scene(FPS, seconds, (videos[layout.other],))
    return _written(path, videos[layout.main], seconds, layout.edit, scene, rng, 23)


def copied(report: Path, edit: Edit, path: Path, rng: Random) -> Path:
    return _written(path, report, SECONDS[1], edit, Scene(FPS, SECONDS[1]), rng, 28)


def _written(
    path: Path, main: Path, seconds: float, edit: Edit, scene: Scene, rng: Random, crf: int
) -> Path:
    assert edit.build is not None
    numbers = draw(edit.ranges, rng)
    if not path.exists():
        frames = read(main, 0.0, seconds, FPS, LONG_SIDE)
        changed = edited(frames, [edit.build(numbers, scene)], FPS)
        coding = Coding(options={"crf": str(crf), "preset": "veryfast"})
        write(path, even_sides(changed), FPS, coding)
    return path


@dataclass(frozen=True, slots=True)
class Cast:
    """The videos. `banned`, `films`: of the compositions; `reported`, `studios`: of the reports."""

    banned: tuple[Path, ...]
    films: tuple[Path, ...]
    reported: tuple[Path, ...]
    studios: tuple[Path, ...]


def cast(folder: Path, seed: int, count: int, cache: Path) -> Cast:
    """No footage is in two parts."""
    found = sources.find(folder, seed, cache)
    rng = Random(f"{seed} compositions")
    some, others = ([s.path for s in part] for part in (found.references, found.distractors))
    rng.shuffle(some)
    rng.shuffle(others)
    count = min(count, len(some) // 2, len(others) // 2)
    if count < 2:
        raise ValueError(f"{folder}: eight videos or more are needed")
    return Cast(*(tuple(p[i : i + count]) for p in (some, others) for i in (0, count)))


def made(cast: Cast, seed: int, folder: Path) -> tuple[list[Case], list[Path]]:
    """What is judged, and the reports that are allowed."""
    reports = list(_reports(cast, seed, folder))
    copies = [
        Case(
            f"copies of reports: {layout.name}",
            copied(
                path, edit, folder / f"{path.stem}-{slug(edit.name)}.mp4",
                Random(f"{seed} {path.stem} {edit.name}"),
            ),
            Action.ALLOW,
        )
        for layout, path in tqdm(reports, desc="copies of reports", disable=None)
        for edit in Random(f"{seed} {path.stem}").sample(COPY, COPIES)
    ]  # fmt: skip
    return list(_composed(cast, seed, folder)) + copies, [path for _, path in reports]


def _composed(cast: Cast, seed: int, folder: Path) -> Iterator[Case]:
    for number, banned in enumerate(tqdm(cast.banned, desc="compositions", disable=None)):
        second = cast.banned[(number + 1) % len(cast.banned)]
        videos = {"banned": banned, "film": cast.films[number], "second": second}
        for layout in COMPOSED:
            name = f"composed-{slug(layout.name)}-{number:02d}"
            path = compose(layout, videos, folder / f"{name}.mp4", Random(f"{seed} {name}"))
            yield Case(layout.name, path, Action.BLOCK)


def _reports(cast: Cast, seed: int, folder: Path) -> Iterator[tuple[Layout, Path]]:
    for number, banned in enumerate(tqdm(cast.reported, desc="reports", disable=None)):
        videos = {"banned": banned, "film": cast.studios[number]}
        for layout in REPORTS:
            name = f"report-{slug(layout.name)}-{number:02d}"
            yield layout, compose(layout, videos, folder / f"{name}.mp4", Random(f"{seed} {name}"))


def judged(cases: Sequence[Case], banned: Iterable[Path], allowed: Iterable[Path]) -> list[Action]:
    """What the packaged policy makes of each case."""
    with tempfile.TemporaryDirectory() as data:
        parts = build(settings(data))
        try:
            enrol(parts, banned, "banned")
            enrol(parts, allowed, "allowed", Action.ALLOW)
            actions = []
            for case in tqdm(cases, desc="judged", disable=None):
                with case.path.open("rb") as media:
                    digests = digest_file(media)
                    verdict = parts.checker.check_media("bench", new_id("upload"), media, digests)
                actions.append(verdict.action)
            return actions
        finally:
            parts.close()


def table(cases: Sequence[Case], alone: Sequence[Action], listed: Sequence[Action]) -> str:
    """Markdown: a row for each layout, allow / review / block without the list and with it."""
    rows = dict.fromkeys(case.row for case in cases)
    lines = [
        "| allow / review / block | of | banned alone | and what is allowed | should be |",
        "| --- | ---: | ---: | ---: | --- |",
    ]
    for row in rows:
        own = [n for n, case in enumerate(cases) if case.row == row]
        counts = [_counts(actions[n] for n in own) for actions in (alone, listed)]
        expected = cases[own[0]].expected.value
        lines.append(f"| {row} | {len(own)} | {counts[0]} | {counts[1]} | {expected} |")
    return "\n".join(lines) + "\n"


def hidden(cases: Sequence[Case], alone: Sequence[Action], listed: Sequence[Action]) -> list[Case]:
    """Compositions that pass with the list alone."""
    return [
        case
        for case, before, now in zip(cases, alone, listed, strict=True)
        if case.expected is Action.BLOCK and now is Action.ALLOW and before is not Action.ALLOW
    ]


def _counts(actions: Iterable[Action]) -> str:
    counted = Counter(actions)
    return " / ".join(str(counted[action]) for action in ACTIONS)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="where the files are made")
    parser.add_argument("--seed", type=int, default=2019)
    parser.add_argument("--videos", type=int, default=10, help="how many of each part")
    parser.add_argument("--docs", type=Path, help="write the table there too")
    options = parser.parse_args()
    av.logging.set_level(av.logging.ERROR)
    work = options.work.resolve()
    chosen = cast(options.folder.resolve(), options.seed, options.videos, work / "groups.json")
    banned = chosen.banned + chosen.reported
    of = digest_of(banned + chosen.films + chosen.studios)
    cases, reports = made(chosen, options.seed, work / f"compositions-{options.seed}-{of}")
    alone = judged(cases, banned, ())
    listed = judged(cases, banned, [*chosen.films, *reports])
    text = table(cases, alone, listed)
    for case, before, now in zip(cases, alone, listed, strict=True):
        print(f"{case.path.name}: {before.value}, {now.value}")
    print(text)
    if options.docs:
        (options.docs / "robustness-compositions.md").write_text(text)
    bypasses = hidden(cases, alone, listed)
    print(f"hidden by the list: {', '.join(c.path.name for c in bypasses) or 'nothing'}")
    return 1 if bypasses else 0


if __name__ == "__main__":
    sys.exit(main())
