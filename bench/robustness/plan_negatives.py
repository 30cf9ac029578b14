"""Which negatives there are; as `plan`, for samples that show no reference."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from random import Random

from bench.robustness import negatives
from bench.robustness.edits import EDITS, EFFECTS, ordered
from bench.robustness.pictures import draw
from bench.robustness.plan import ALONE, Planner, edited, shape, slug
from bench.robustness.recipes import Recipe
from bench.robustness.sources import Source

MADE = 14
"""Of every kind of made picture, at size 1."""

LOOKALIKES = 9
"""Of every reference that is a first half."""

WITH_EFFECTS = 6
"""The same with an effect, of every such reference."""

EDITED = 3
"""Of every distractor, with two edits each."""

OVERLAID = 6
"""Of every overlay, over distractors and over flat grounds each."""


def planned(planner: Planner) -> Iterator[Recipe]:
    yield from distractors(planner)
    yield from lookalikes(planner)
    yield from lookalikes_with_effects(planner)
    yield from overlaid(planner)
    yield from two_others(planner)
    yield from made(planner)


def distractors(planner: Planner) -> Iterator[Recipe]:
    """Each as it is, and some more with two edits."""
    some = planner.distractors[: planner.count(len(planner.distractors))]
    for source in some:
        stem = slug(source.name)
        yield Recipe(
            f"negative-plain-{stem}", "file", "negative", "other footage", source.split,
            str(source.path), sources=(source.name,),
        )  # fmt: skip
        for number in range(EDITED):
            name = f"negative-edited-{number}-{stem}"
            names = _two_edits(planner.rng(f"{name} edits"))
            yield edited(
                planner, name, "negative", "other footage, edited", names, source,
                str(source.path), source.seconds,
            )  # fmt: skip


def _two_edits(rng: Random) -> list[str]:
    """Of different families, none that costs much."""
    names = [name for name in EDITS if name not in (*ALONE, "trimmed", "3 to 10 s excerpt")]
    first, second = rng.sample(names, 2)
    return [first, second] if EDITS[first].family != EDITS[second].family else [first]


def lookalikes(planner: Planner) -> Iterator[Recipe]:
    """The same place at another moment: what follows on the part that is the reference. Every
    second one has an edit."""
    for shown in planner.references:
        if shown.rest is None:
            continue
        start, end = shown.rest
        for number in range(planner.count(LOOKALIKES)):
            name = f"negative-lookalike-{number}-{slug(shown.source.name)}"
            names = _two_edits(planner.rng(f"{name} edits"))[:1] if number % 2 else []
            yield edited(
                planner, name, "negative", "look-alike, edited" if names else "look-alike", names,
                shown.source, str(shown.source.path), end - start, first=start,
            )  # fmt: skip


def lookalikes_with_effects(planner: Planner) -> Iterator[Recipe]:
    """The same with an effect."""
    for shown in planner.references:
        if shown.rest is None:
            continue
        start, end = shown.rest
        for number in range(planner.count(WITH_EFFECTS)):
            name = f"negative-lookalike-effect-{number}-{slug(shown.source.name)}"
            effect = planner.rng(f"{name} effect").choice(EFFECTS).name
            yield edited(
                planner, name, "negative", "look-alike, effect", [effect],
                shown.source, str(shown.source.path), end - start, first=start,
            )  # fmt: skip


def _turns(planner: Planner, name: str) -> Iterator[Source]:
    order = list(planner.distractors)
    planner.rng(name).shuffle(order)
    return itertools.cycle(order)


def overlaid(planner: Planner) -> Iterator[Recipe]:
    for overlay in negatives.OVERLAYS:
        turns = _turns(planner, overlay)
        for number in range(planner.count(OVERLAID)):
            source, name = next(turns), f"negative-{slug(overlay)}-{number:02d}"
            yield edited(
                planner, name, "negative", "overlay on other footage", [overlay], source,
                str(source.path), source.seconds,
            )  # fmt: skip
            if number % 2 == 0:
                yield _on_flat_ground(planner, f"{name}-flat", overlay)


def _on_flat_ground(planner: Planner, name: str, overlay: str) -> Recipe:
    rng = planner.rng(name)
    p = {**shape(rng), **_picture(rng, "flat ground"), "start": 0.0}
    p[overlay] = draw(EDITS[overlay].ranges, rng)
    split = rng.choice(["train", "test"])
    return Recipe(
        name, "copy", "negative", "overlay on flat ground", split, edits=(overlay,), params=p
    )


def _picture(rng: Random, kind: str) -> dict[str, object]:
    width, height = rng.choice(negatives.SIZES)
    return {
        "picture": kind,
        "seed": rng.randrange(10**6),
        "seconds": round(rng.uniform(8, 20), 3),
        "width": width,
        "height": height,
    }


def two_others(planner: Planner) -> Iterator[Recipe]:
    """Split screens and pictures in pictures of two distractors, and news about something else."""
    kinds = {
        "split screen of others": ("split screen",),
        "picture in picture of others": ("picture in picture",),
        "news about something else": ("news banner", "picture in picture"),
    }
    for kind, names in kinds.items():
        turns = _turns(planner, kind)
        for number in range(planner.count(6)):
            source = next(turns)
            yield edited(
                planner, f"negative-{slug(kind)}-{number:02d}", "negative", kind, ordered(names),
                source, str(source.path), source.seconds,
            )  # fmt: skip


def made(planner: Planner) -> Iterator[Recipe]:
    for kind in negatives.MADE:
        few = kind in ("black", "white", "flat ground")
        for number in range(planner.count(4 if few else MADE)):
            name = f"negative-{slug(kind)}-{number:02d}"
            rng = planner.rng(name)
            heard = rng.choice(negatives.SOUNDS)
            split = rng.choice(["train", "test"])
            others = planner.others(rng, split, 1) if heard == "other's" else []
            fps = rng.choice([15, 20, 25])
            p = {**_picture(rng, kind), "fps": fps, "crf": rng.randint(20, 30), "sound": heard}
            yield Recipe(
                name, "made", "negative", kind, split, params=p,
                others=tuple(str(s.path) for s in others), sources=tuple(s.name for s in others),
            )  # fmt: skip
