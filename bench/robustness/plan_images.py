"""Which images there are: references, uploads that show them, and others.

Half of the sources of references are enrolled as they are, as videos; of the others single stills
are, as images: plain ones, one as a meme and one as a screenshot. What is true of an upload:

- a copy of a still shows the image reference that it is of; a still of an enrolled video, at any
  moment, shows the video;
- a still of the same shot up to a second beside an image reference shows it too, as does a picture
  of another time in which no eye finds a difference (`stills.same_picture`): tier `near`, which is
  reported by itself, for neither finding nor passing it is wrong;
- a still of what follows on the enrolled part of a source stands for another clip of the same
  place: it shows no reference.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from bench.robustness import negatives, stills
from bench.robustness.edits import TOGETHER
from bench.robustness.pictures import draw
from bench.robustness.plan import Enrolled, Planner, in_turn, slug
from bench.robustness.recipes import Recipe
from bench.robustness.samples import Reference, Truth
from bench.robustness.video import Frame, read

COUNTS = {"edit": 8, "combined": 160, "near": 2, "lookalike": 8, "distractor": 6, "made": 6}
"""At size 1: of every edit, in all, of every image reference, of every reference's source, of every
distractor, of every kind of made picture."""

STILLS = 4
"""Stills that are enrolled of a source: two plain ones, a meme, a screenshot."""

SLIDES = 3
"""Slides of a text that are enrolled, a half; the other slides of their decks are negatives."""

AFTER_S, APART_S, NEAR_S = 2.0, 1.5, (0.2, 1.0)
MADE = [k for k in negatives.MADE if k != "moving shapes"]
TEMPLATES = ("meme text", "screenshot")

Kind = tuple[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Picture:
    """An image reference. `at`: seconds of the source's enrolled part; `edits` and `params` as in a
    recipe: what it was made with. `path` of the source's enrolled part, "" for a slide."""

    reference: Reference
    enrolled: Enrolled | None
    path: str
    at: float
    edits: tuple[str, ...]
    params: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    videos: tuple[Enrolled, ...]
    pictures: tuple[Picture, ...]
    recipes: tuple[Recipe, ...]


def plan(planner: Planner, folder: Path) -> Plan:
    """`folder`: where image references will lie."""
    videos, sources = _halves(planner)
    pictures = tuple(_pictures(planner, sources, folder))
    plain = [p for p in pictures if p.enrolled is not None]
    recipes = [
        *_singles(planner, videos, plain),
        *_combined(planner, videos, plain),
        *_near(planner, plain),
        *_lookalikes(planner, videos, pictures),
        *_distractors(planner),
        *_templates(planner, pictures),
        *_made(planner),
        *_slides(planner, pictures),
    ]
    return Plan(tuple(videos), pictures, tuple(recipes))


def _halves(planner: Planner) -> tuple[list[Enrolled], list[Enrolled]]:
    """Of each split's sources every other one for videos, long and short in turn."""
    sides: tuple[list[Enrolled], list[Enrolled]] = ([], [])
    for split in ("train", "test"):
        mine = [r for r in planner.references if r.reference.split == split]
        planner.rng(f"images {split}").shuffle(mine)
        mine.sort(key=lambda r: r.rest is None)
        for number, one in enumerate(mine):
            sides[number % 2].append(one)
    return sides


def _moment(rng: Random, path: Path, first: float, last: float, taken: Sequence[float]) -> float:
    """A moment at which there is something to see, apart from those taken; of twenty drawn."""
    for _ in range(20):
        at = round(rng.uniform(first, max(first, last)), 3)
        if all(abs(at - other) >= APART_S for other in taken) and not stills.is_flat(
            stills.still(path, at)
        ):
            break
    return at


def _pictures(planner: Planner, sources: Sequence[Enrolled], folder: Path) -> Iterator[Picture]:
    for one in sources:
        rng, taken = planner.rng(f"stills of {one.source.name}"), list[float]()
        path = Path(one.reference.path)
        for number in range(STILLS):
            at = _moment(rng, path, 0.1, one.reference.seconds - 0.4, taken)
            taken.append(at)
            names = ((), (), ("meme text",), ("screenshot",))[number]
            params = {n: draw(stills.EDITS[n].ranges, rng) for n in names}
            name = f"{slug(one.source.name)}-{number}"
            target = str(folder / f"{name}.jpg")
            about = Reference(name, target, one.source.name, one.reference.split, 0.0)
            yield Picture(about, one, one.reference.path, at, names, params)
    for split, number in itertools.product(("train", "test"), range(SLIDES)):
        rng = planner.rng(f"deck {split} {number}")
        name = f"slide-{split}-{number}"
        about = Reference(name, str(folder / f"{name}.jpg"), name, split, 0.0)
        yield Picture(about, None, "", 0.0, (), _deck(rng))


def _deck(rng: Random) -> dict[str, Any]:
    width, height = rng.choice(negatives.SIZES)
    return {"picture": "slides", "seed": rng.randrange(10**6), "width": width, "height": height}


def picture_frame(of: Picture) -> Frame:
    """What an image reference shows."""
    if of.enrolled is None:
        return made_frame(of.params, 1.0)
    return stills.edited(stills.still(Path(of.path), of.at), of.edits, of.params, ())


def made_frame(p: dict[str, Any], at: float) -> Frame:
    """A made picture at a moment in seconds."""
    scenery = negatives.MADE[p["picture"]](Random(p["seed"]), p["width"], p["height"])
    return scenery(at)


def _everyday_codec(rng: Random) -> dict[str, Any]:
    way = rng.choices(["jpeg", "webp", "png"], (6, 3, 1))[0]
    return {"format": way, "quality": rng.randint(40, 95)}


def _recipe(
    planner: Planner,
    name: str,
    tier: str,
    kind: str,
    split: str,
    footage: str,
    at: float,
    edits: Sequence[str],
    source: str,
    truth: tuple[Truth, ...] = (),
) -> Recipe:
    """An edited still; all numbers are drawn from its name."""
    rng = planner.rng(name)
    names = stills.ordered(edits)
    numbers = {edit: draw(stills.EDITS[edit].ranges, rng) for edit in names}
    codec = _everyday_codec(rng)
    for edit in names:
        if stills.EDITS[edit].build is None:
            codec = numbers[edit]
    needed = max((stills.EDITS[edit].others for edit in names), default=0)
    others = planner.others(rng, split, needed, source)
    side = rng.choice([480, 640, 800, 1080, stills.LONG_SIDE])
    return Recipe(
        name, "still", tier, kind, split, footage, truth[0].reference if truth else "", names,
        {"at": at, "side": side, "codec": codec, **numbers},
        tuple(str(s.path) for s in others), (source, *(s.name for s in others)), truth,
    )  # fmt: skip


Shown = tuple[Enrolled, "Picture | None"]


def _shown(
    planner: Planner, videos: Sequence[Enrolled], pictures: Sequence[Picture], name: str
) -> Iterator[Shown]:
    """Videos and image references in turn, of each half in turn."""
    rng = planner.rng(f"turns of {name}")
    of_videos = in_turn(videos, rng)
    sides = [[p for p in pictures if p.reference.split == s] for s in ("train", "test")]
    for side in sides:
        rng.shuffle(side)
    of_pictures = itertools.chain.from_iterable(
        zip(*(itertools.cycle(side) for side in sides), strict=False)
    )
    while True:
        for _ in range(2):
            yield next(of_videos), None
        for _ in range(2):
            picture = next(of_pictures)
            assert picture.enrolled is not None
            yield picture.enrolled, picture


def _copy(
    planner: Planner, name: str, tier: str, kind: str, edits: Sequence[str], shown: Shown
) -> Recipe:
    enrolled, picture = shown
    if picture is None:
        path = Path(enrolled.reference.path)
        last = enrolled.reference.seconds - 0.4
        at = _moment(planner.rng(f"{name} moment"), path, 0.1, last, ())
        truth = (Truth(enrolled.reference.id, (0.0, 0.0), (at, at)),)
        footage = enrolled.reference.path
    else:
        at, footage = picture.at, picture.reference.path
        truth = (Truth(picture.reference.id, (0.0, 0.0), (0.0, 0.0)),)
    return _recipe(
        planner, name, tier, kind, enrolled.reference.split, footage, at, edits,
        enrolled.source.name, truth,
    )  # fmt: skip


def _singles(
    planner: Planner, videos: Sequence[Enrolled], pictures: Sequence[Picture]
) -> Iterator[Recipe]:
    for edit in stills.EDITS.values():
        turns = _shown(planner, videos, pictures, edit.name)
        for number, shown in enumerate(itertools.islice(turns, planner.count(COUNTS["edit"]))):
            name = f"image-{edit.tier}-{slug(edit.name)}-{number:02d}"
            yield _copy(planner, name, edit.tier, edit.name, [edit.name], shown)


def _combined(
    planner: Planner, videos: Sequence[Enrolled], pictures: Sequence[Picture]
) -> Iterator[Recipe]:
    turns = _shown(planner, videos, pictures, "combined")
    count = planner.count(COUNTS["combined"])
    for number, shown in enumerate(itertools.islice(turns, count)):
        name = f"image-combined-{number:03d}"
        rng = planner.rng(f"{name} edits")
        names: Sequence[str] = stills.FIXED[number // 4 % len(stills.FIXED)]
        if number % 4:
            families = [f for f in TOGETHER if _names(f)]
            drawn = rng.sample(families, rng.randint(3, min(5, len(families))))
            names = [rng.choice(_names(family)) for family in drawn]
        yield _copy(planner, name, "combined", "three to five edits", names, shown)


@cache
def _names(families: tuple[str, ...]) -> list[str]:
    return [e.name for e in stills.EDITS.values() if e.family in families and e.name != "1080p"]


def _near(planner: Planner, pictures: Sequence[Picture]) -> Iterator[Recipe]:
    for of in pictures:
        if of.edits or of.enrolled is None:
            continue
        for number in range(planner.count(COUNTS["near"])):
            name = f"image-near-{number}-{of.reference.id}"
            rng = planner.rng(f"{name} moment")
            beside = rng.uniform(*NEAR_S) * rng.choice([-1, 1])
            at = round(min(max(0.0, of.at + beside), of.enrolled.reference.seconds - 0.3), 3)
            truth = (Truth(of.reference.id, (0.0, 0.0), (0.0, 0.0)),)
            yield _recipe(
                planner, name, "near", "up to a second beside an image", of.reference.split,
                of.path, at, (), of.reference.source, truth,
            )  # fmt: skip


def _two_edits(rng: Random, number: int) -> list[str]:
    """None, one or two."""
    names = [n for n in stills.EDITS if n != "1080p"]
    return rng.sample(names, 1 + rng.randrange(2)) if number % 2 else []


def _lookalikes(
    planner: Planner, videos: Sequence[Enrolled], pictures: Sequence[Picture]
) -> Iterator[Recipe]:
    for one in planner.references:
        if one.rest is None:
            continue
        of = {p.reference.id: stills.grid(stills.still(Path(p.path), p.at))
              for p in pictures if p.enrolled is one and not p.edits}  # fmt: skip
        first, last = one.rest[0] + AFTER_S, one.rest[1] - 0.4
        if last <= first:
            continue
        for number in range(planner.count(COUNTS["lookalike"])):
            name = f"image-lookalike-{number}-{slug(one.source.name)}"
            at = _moment(planner.rng(f"{name} moment"), one.source.path, first, last, ())
            names = _two_edits(planner.rng(f"{name} edits"), number)
            seen = stills.grid(stills.still(one.source.path, at))
            if one in videos:
                shown = [one.reference.id] if _in_video(seen, one) else []
            else:
                shown = [name_ for name_, other in of.items() if stills.same_picture(seen, other)]
            truth = tuple(Truth(r, (0.0, 0.0), (0.0, 0.0)) for r in shown)
            tier = "near" if truth else "negative"
            kind = "the same to the eye, at another time" if truth else "look-alike"
            if not truth and names:
                kind = "look-alike, edited"
            yield _recipe(
                planner, name, tier, kind, one.reference.split, str(one.source.path), at, names,
                one.source.name, truth,
            )  # fmt: skip


def _in_video(seen: np.ndarray, one: Enrolled) -> bool:
    return any(stills.same_picture(seen, other) for other in _moments(one.reference.path))


@cache
def _moments(path: str) -> tuple[np.ndarray, ...]:
    """Four pictures a second of a video, small."""
    return tuple(stills.grid(frame) for frame in read(Path(path), 0.0, 60.0, 4, 160))


def _distractors(planner: Planner) -> Iterator[Recipe]:
    for source in planner.distractors:
        for number in range(planner.count(COUNTS["distractor"])):
            name = f"image-other-{number}-{slug(source.name)}"
            at = _moment(planner.rng(f"{name} moment"), source.path, 0.0, source.seconds - 0.4, ())
            names = _two_edits(planner.rng(f"{name} edits"), number)
            kind = "other footage, edited" if names else "other footage"
            yield _recipe(
                planner, name, "negative", kind, source.split, str(source.path), at, names,
                source.name,
            )  # fmt: skip


def _templates(planner: Planner, pictures: Sequence[Picture]) -> Iterator[Recipe]:
    """The same meme's text, or the same program's window, as a reference has, around a picture of
    other footage."""
    for of in pictures:
        if not of.edits:
            continue
        split, (edit,) = of.reference.split, of.edits
        rng = planner.rng(f"template {of.reference.id}")
        source = planner.others(rng, split, 1)[0]
        at = _moment(rng, source.path, 0.0, source.seconds - 0.4, ())
        one = _recipe(
            planner, f"image-template-{of.reference.id}", "negative",
            f"a reference's {edit}, other picture", split, str(source.path), at, [edit],
            source.name,
        )  # fmt: skip
        one.params[edit] = of.params[edit]
        yield one


def _made(planner: Planner) -> Iterator[Recipe]:
    for kind in MADE:
        for number in range(planner.count(COUNTS["made"])):
            name = f"image-{slug(kind)}-{number:02d}"
            rng = planner.rng(name)
            width, height = rng.choice(negatives.SIZES)
            drawn = {"picture": kind, "seed": rng.randrange(10**6), "width": width}
            at = round(rng.uniform(1.5, 8.0), 3)
            over = [rng.choice(negatives.OVERLAYS)] if number % 2 else []
            yield _on_made(planner, name, kind, number, drawn | {"height": height}, at, over)


def _on_made(
    planner: Planner, name: str, kind: str, number: int, drawn: dict[str, Any], at: float,
    edits: Sequence[str],
) -> Recipe:  # fmt: skip
    one = _recipe(planner, name, "negative", kind, ("train", "test")[number % 2], "", at, edits, "")
    one.params.update(drawn)
    return one


def _slides(planner: Planner, pictures: Sequence[Picture]) -> Iterator[Recipe]:
    """Other slides of enrolled slides' decks, three seconds each."""
    for of in pictures:
        if of.enrolled is not None:
            continue
        for number in range(1, 5):
            one = _on_made(
                planner, f"image-{of.reference.id}-{number}", "another slide of a reference's deck",
                0, dict(of.params), 3.0 * number + 1, (),
            )  # fmt: skip
            yield replace(one, split=of.reference.split)
