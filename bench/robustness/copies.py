"""Makes a file from a recipe: an edited copy, a made picture, news that quote, foreign sound."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from bench.robustness import negatives, overlays, scenes, sound, timing
from bench.robustness.edits import EVERY_EDIT
from bench.robustness.layouts import put
from bench.robustness.pictures import Scene, cover, fit
from bench.robustness.recipes import Made, Recipe, as_it_is
from bench.robustness.video import (
    AV1,
    SOUND_RATE,
    Coding,
    Frame,
    Sound,
    endless,
    excerpt,
    read,
    write,
)


def make(recipe: Recipe, folder: Path) -> Made:
    makers = {"copy": copy, "made": made, "news": news, "sound": foreign_sound}
    if recipe.maker == "file":
        return as_it_is(recipe)
    return makers[recipe.maker](recipe, folder)


def coding(p: dict[str, Any]) -> Coding:
    """`codec`, if there is one, and `crf` of the drawn numbers."""
    crf = str(p["crf"])
    if p.get("codec") == "vp9":
        options = {"crf": crf, "b": "0", "deadline": "realtime", "cpu-used": "8"}
        return Coding(".webm", "libvpx-vp9", options, "libopus", 64_000)
    if p.get("codec") == "mpeg4":
        return Coding(codec="mpeg4", options={"qmin": crf, "qmax": crf})
    if p.get("codec") == "av1":
        return Coding(codec=AV1, options={"crf": crf, "preset": "10"})
    return Coding(options={"crf": crf, "preset": "veryfast"})


def in_time(recipe: Recipe) -> dict[str, Any]:
    """The numbers of all edits that are not of the picture, together."""
    names = [name for name in recipe.edits if EVERY_EDIT[name].build is None]
    return {key: value for name in names for key, value in recipe.params[name].items()}


def copy(recipe: Recipe, folder: Path) -> Made:
    p, changes = recipe.params, in_time(recipe)
    fps, speed = changes.get("fps", p["fps"]), changes.get("speed", 1.0)
    body = timing.Counted(_footage(recipe, fps / speed))
    scene = Scene(fps, p["seconds"] / speed, recipe.other_paths)
    edits = [
        EVERY_EDIT[name].build(p[name], scene)  # type: ignore[misc]
        for name in recipe.edits
        if EVERY_EDIT[name].build
    ]
    frames = timing.edited(iter(body), edits, fps)
    if "drop" in changes:
        frames = timing.dropped(frames, changes)
    if "run" in changes:
        frames = timing.interleaved(frames, scene.other(0, changes["from"]), changes)
    shown = timing.Counted(timing.even_sides(frames))
    before = int(changes.get("before", 0) * fps)
    after = int(changes.get("after", 0) * fps)
    whole = timing.framed(_before(changes, scene, before), iter(shown), _after(scene, after))
    used = coding({**p, **changes})
    path = folder / (recipe.id + used.suffix)
    heard = None if changes.get("insert") else _heard(recipe, changes, fps, before, after)
    seconds = write(path, whole, fps, used, heard)
    start = before / fps
    end, last = start + shown.count / fps, p["start"] + body.count * speed / fps
    return Made(path, seconds, (start, end), (p["start"], last))


def _footage(recipe: Recipe, fps: float) -> Iterator[Frame]:
    p = recipe.params
    if recipe.footage:
        return read(Path(recipe.footage), p["start"], p["seconds"], fps, p["long_side"])
    size = (p["width"], p["height"])
    return negatives.frames(p["picture"], p["seed"], p["seconds"], fps, size)


def _before(changes: dict[str, Any], scene: Scene, count: int) -> Iterator[Frame]:
    if changes.get("card"):
        return timing.title_card(changes["seed"], count)
    return itertools.islice(scene.other(), count) if count else iter(())


def _after(scene: Scene, count: int) -> Iterator[Frame]:
    return itertools.islice(scene.other(1), count) if count else iter(())


def _heard(
    recipe: Recipe, changes: dict[str, Any], fps: int, before: int, after: int
) -> Sound | None:
    """The sound of the copy, at the copy's speed, between that of the other footage."""
    p, speed = recipe.params, changes.get("speed", 1.0)
    body = excerpt(Path(recipe.footage), p["start"], p["seconds"]) if recipe.footage else None
    if body is None or not body.size:
        return None
    length = round(int(p["seconds"] * fps / speed + 1e-6) / fps * SOUND_RATE)
    body = sound.faster(body, speed)[:length]
    body = np.pad(body, (0, length - body.size))
    first = _lasting(recipe, 0, before / fps, silent=bool(changes.get("card")))
    return np.concatenate([first, body, _lasting(recipe, 1, after / fps)])


def _lasting(recipe: Recipe, number: int, seconds: float, *, silent: bool = False) -> Sound:
    """Other footage's sound or silence, just as long as that."""
    none = np.zeros(round(seconds * SOUND_RATE), np.float32)
    if silent or not seconds or not recipe.others:
        return none
    path = recipe.other_paths[number % len(recipe.others)]
    heard = excerpt(path, 0.0, seconds)
    return heard if heard.size else none


def made(recipe: Recipe, folder: Path) -> Made:
    p = recipe.params
    heard: Sound | None = None
    if p["sound"] == "other's":
        heard = excerpt(recipe.other_paths[0], 0.0, p["seconds"])
    elif p["sound"] != "none":
        heard = sound.MADE[p["sound"]](Random(p["seed"]), p["seconds"])
    used = coding(p)
    path = folder / (recipe.id + used.suffix)
    return Made(path, write(path, _footage(recipe, p["fps"]), p["fps"], used, heard))


def news(recipe: Recipe, folder: Path) -> Made:
    """Clips of other footage with a banner; for `quote` seconds from `at` on the reference's."""
    p = recipe.params
    fps, count = p["fps"], int(p["seconds"] * p["fps"])
    first = round(p["at"] * fps)
    quoted = timing.Counted(read(Path(recipe.footage), p["start"], p["quote"], fps, 640))
    banner = overlays.banner(p["news banner"], Scene(fps, p["seconds"]))
    frames = _quoting(recipe, count, first, iter(quoted))
    path = folder / f"{recipe.id}.mp4"
    heard = _news_sound(recipe, count / fps, first / fps)
    whole = timing.even_sides(timing.edited(frames, [banner], fps))
    seconds = write(path, whole, fps, coding(p), heard)
    query = (first / fps, (first + quoted.count) / fps)
    return Made(path, seconds, query, (p["start"], p["start"] + quoted.count / fps))


def _quoting(recipe: Recipe, count: int, first: int, quoted: Iterator[Frame]) -> Iterator[Frame]:
    p = recipe.params
    clips = _clips(recipe)
    for number in range(count):
        frame = next(clips)
        part = next(quoted, None) if number >= first else None
        if part is None:
            yield frame
        elif not p["window"]:
            yield cover(part, 640, 360)
        else:
            frame = frame.copy()
            small = fit(part, round(640 * p["window"]), 230)
            put(frame, small, round((640 - small.shape[1]) * p["x"]), 20)
            yield frame


def _clips(recipe: Recipe) -> Iterator[Frame]:
    """Each of the other videos for `clip` seconds, in turn, 640 x 360."""
    p = recipe.params
    for path in itertools.cycle(recipe.other_paths):
        frames = endless(path, p["from"], p["fps"], 640)
        for frame in itertools.islice(frames, int(p["clip"] * p["fps"])):
            yield cover(frame, 640, 360)


def _news_sound(recipe: Recipe, seconds: float, at: float) -> Sound:
    """Somebody speaks; under the quote, its own sound is heard."""
    p = recipe.params
    heard = sound.speech(Random(p["seed"]), seconds)
    quote = excerpt(Path(recipe.footage), p["start"], p["quote"])
    start = round(at * SOUND_RATE)
    part = heard[start : start + quote.size]
    part[:] = quote[: part.size]
    return heard


def foreign_sound(recipe: Recipe, folder: Path) -> Made:
    """The reference's sound under another picture."""
    p = recipe.params
    own = excerpt(Path(recipe.footage), p["start"], p["seconds"])
    heard, speed = sound.edited(own, recipe.kind, p["edit"])
    fps, count = p["fps"], int(heard.size / SOUND_RATE * p["fps"])
    if p["still"]:
        frame = scenes.title_card(Random(p["seed"]), 640, 360)(9.0)
        frames: Iterator[Frame] = itertools.repeat(frame, count)
    else:
        frames = itertools.islice(endless(recipe.other_paths[0], p["from"], fps, 480), count)
    used = sound.CODINGS[p["edit"].get("codec", "aac 128k")]
    path = folder / (recipe.id + used.suffix)
    seconds = write(path, timing.even_sides(frames), fps, used, heard)
    return Made(path, seconds, (0.0, seconds), (p["start"], p["start"] + seconds * speed))
