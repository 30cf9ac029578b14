"""Which samples there are: recipes with all numbers drawn, from the seed and the sample's id."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from bench.robustness import sound
from bench.robustness.edits import (
    EDITS,
    EFFECTS,
    EVERY_EDIT,
    EVERYDAY,
    FIXED,
    HOSTILE,
    TOGETHER,
    ordered,
)
from bench.robustness.pictures import draw
from bench.robustness.recipes import Recipe
from bench.robustness.samples import Reference, Truth
from bench.robustness.sources import AUDIBLE, Source
from bench.robustness.video import excerpt

COUNTS = {"edit": 6, "effect": 4, "combined": 150, "sound": 60, "news": 30}
"""At size 1; `edit`: of every everyday and hostile edit, `effect`: of every effect."""

ALONE = ("1080p", "AV1")
"""Not together with others: the one takes long, the other came when the rest was drawn."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A reference and its source. `rest`: seconds of the source that the file doesn't have."""

    reference: Reference
    source: Source
    audible: bool
    rest: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Planner:
    seed: int
    size: float
    references: tuple[Enrolled, ...]
    distractors: tuple[Source, ...]

    def count(self, at_full_size: int) -> int:
        return max(1, round(at_full_size * self.size))

    def rng(self, name: str) -> Random:
        return Random(f"{self.seed} {name}")

    def others(self, rng: Random, split: str, count: int, but: str = "") -> list[Source]:
        """Distractors of the same split, as far as there are any."""
        pool = [s for s in self.distractors if s.split == split and s.name != but]
        pool = pool or [s for s in self.distractors if s.name != but] or list(self.distractors)
        return [pool[n % len(pool)] for n in rng.sample(range(max(count, len(pool))), count)]


def slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def in_turn(references: Sequence[Enrolled], rng: Random) -> Iterator[Enrolled]:
    """All references again and again, each time in another order, train and test in turn."""
    while True:
        sides = [[r for r in references if r.reference.split == s] for s in ("train", "test")]
        rng.shuffle(sides)
        for side in sides:
            rng.shuffle(side)
        for pair in itertools.zip_longest(*sides):
            yield from (r for r in pair if r is not None)


def shape(rng: Random) -> dict[str, Any]:
    return {
        "fps": rng.choice([15, 20, 24, 25, 30]),
        "long_side": rng.choice([480, 640, 640, 854]),
        "crf": rng.randint(20, 30),
    }


def span(
    rng: Random, total: float, drawn: dict[str, Any], low: float = 6, high: float = 15
) -> dict[str, float]:
    """Start and length of the excerpt, as far as the edits don't say; whole if shorter."""
    if "trim_start" in drawn:
        left = max(1.0, total - drawn["trim_start"] - drawn["trim_end"])
        return {"start": drawn["trim_start"], "seconds": round(min(left, high), 4)}
    wanted = drawn.get("seconds", rng.uniform(low, high))
    seconds = min(wanted, total - 0.02)
    return {
        "start": round(rng.uniform(0, max(0.0, total - seconds - 0.02)), 4),
        "seconds": round(seconds, 4),
    }


def edited(
    planner: Planner,
    name: str,
    tier: str,
    kind: str,
    edits: Sequence[str],
    source: Source,
    footage: str,
    total: float,
    *,
    reference: str = "",
    first: float = 0.0,
) -> Recipe:
    """An edited excerpt of the footage's `total` seconds from `first` on."""
    rng = planner.rng(name)
    names = ordered(tuple(edits))
    numbers = {edit: draw(EVERY_EDIT[edit].ranges, rng) for edit in names}
    merged = {key: value for edit in names for key, value in numbers[edit].items()}
    place = span(rng, total, merged)
    place["start"] = round(place["start"] + first, 4)
    needed = max((EVERY_EDIT[edit].others for edit in names), default=0)
    others = planner.others(rng, source.split, needed, source.name)
    return Recipe(
        name, "copy", tier, kind, source.split, footage, reference, names,
        {**shape(rng), **place, "others": [s.name for s in others], **numbers},
        tuple(str(s.path) for s in others), (source.name, *(s.name for s in others)),
    )  # fmt: skip


def copy_of(
    planner: Planner, name: str, tier: str, kind: str, edits: Sequence[str], shown: Enrolled
) -> Recipe:
    reference = shown.reference
    return edited(
        planner, name, tier, kind, edits, shown.source, reference.path, reference.seconds,
        reference=reference.id,
    )  # fmt: skip


def singles(planner: Planner) -> Iterator[Recipe]:
    for edit in (*EVERYDAY, *HOSTILE, *EFFECTS):
        turns = in_turn(planner.references, planner.rng(f"references of {edit.name}"))
        count = planner.count(COUNTS["effect" if edit.tier == "effects" else "edit"])
        for number, shown in enumerate(itertools.islice(turns, count)):
            name = f"{edit.tier}-{slug(edit.name)}-{number:02d}"
            yield copy_of(planner, name, edit.tier, edit.name, [edit.name], shown)


def combined(planner: Planner) -> Iterator[Recipe]:
    turns = in_turn(planner.references, planner.rng("combined"))
    count = planner.count(COUNTS["combined"])
    for number, shown in enumerate(itertools.islice(turns, count)):
        name = f"combined-{number:03d}"
        rng = planner.rng(f"{name} edits")
        names: Sequence[str] = FIXED[number // 5 % len(FIXED)]
        if number % 5:
            families = rng.sample(TOGETHER, rng.randint(3, 5))
            names = [rng.choice(_names(family)) for family in families]
        yield copy_of(planner, name, "combined", "three to five edits", names, shown)


def _names(families: tuple[str, ...]) -> list[str]:
    return [e.name for e in EDITS.values() if e.family in families and e.name not in ALONE]


def sounds(planner: Planner) -> Iterator[Recipe]:
    heard = [r for r in planner.references if r.audible]
    if not heard:
        return
    turns = in_turn(heard, planner.rng("sounds"))
    for number, kind in zip(
        range(planner.count(COUNTS["sound"])), itertools.cycle(sound.KINDS), strict=False
    ):
        shown, name = next(turns), f"sound-{number:03d}-{slug(kind)}"
        rng = planner.rng(name)
        reference = shown.reference
        other = planner.others(rng, reference.split, 1)[0]
        place = _loud_span(rng, shown)
        own = {"fps": 15, "still": rng.random() < 0.3, "seed": rng.randrange(10**6)}
        own |= {"from": round(rng.uniform(0, 3), 3), "other": other.name}
        yield Recipe(
            name, "sound", "sound", kind, reference.split, reference.path, reference.id, (kind,),
            {**place, **own, "edit": draw(sound.KINDS[kind], rng)}, (str(other.path),),
            (reference.source, other.name),
        )  # fmt: skip


def _loud_span(rng: Random, shown: Enrolled) -> dict[str, float]:
    """An excerpt in which something is heard; of ten the first such one."""
    for _ in range(10):
        place = span(rng, shown.reference.seconds, {}, 8, 20)
        heard = excerpt(Path(shown.reference.path), place["start"], place["seconds"])
        if sound.level(heard) >= AUDIBLE:
            break
    return place


def natural(planner: Planner) -> Iterator[Recipe]:
    for shown in planner.references:
        for pair in shown.source.pairs:
            reference = shown.reference
            kind = "natural reversed" if "time-reversed" in pair.edits else "natural"
            yield Recipe(
                f"natural-{slug(pair.path.name)}", "file", "natural", kind, reference.split,
                str(pair.path), reference.id, pair.edits, {}, (), (reference.source,),
                (Truth(reference.id, pair.query, pair.shown),),
            )  # fmt: skip


def news(planner: Planner) -> Iterator[Recipe]:
    turns = in_turn(planner.references, planner.rng("news"))
    count = planner.count(COUNTS["news"])
    for number, shown in enumerate(itertools.islice(turns, count)):
        name, reference = f"news-{number:03d}", shown.reference
        rng = planner.rng(name)
        seconds, quote = rng.uniform(30, 90), min(rng.uniform(1, 3), reference.seconds - 0.1)
        others = planner.others(rng, reference.split, 4)
        window = 0.0 if rng.random() < 0.5 else rng.uniform(0.4, 0.7)
        p = {
            "fps": rng.choice([15, 20]),
            "crf": rng.randint(22, 30),
            "seconds": round(seconds, 3),
            "quote": round(quote, 3),
            "at": round(rng.uniform(3, seconds - quote - 3), 3),
            "start": round(rng.uniform(0, reference.seconds - quote), 3),
            "window": round(window, 3),
            "x": round(rng.random(), 3),
            "clip": round(rng.uniform(6, 14), 3),
            "from": round(rng.uniform(0, 4), 3),
            "seed": rng.randrange(10**6),
            "news banner": draw(EDITS["news banner"].ranges, rng),
            "others": [s.name for s in others],
        }
        yield Recipe(
            name, "news", "news", "quoted in a window" if window else "quoted full screen",
            reference.split, reference.path, reference.id, ("news banner",), p,
            tuple(str(s.path) for s in others), (reference.source, *(s.name for s in others)),
        )  # fmt: skip
