"""All edits by name, with the ranges that their numbers are drawn from.

Edits without a builder change time, sound or coding; `copies` does them by these keys:
`seconds` (length of the excerpt), `trim_start`, `trim_end`, `speed`, `fps`, `drop`, `run`,
`before`, `after`, `codec`, `crf`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import av

from bench.robustness import collages, delays, effects, filters, layouts, overlays
from bench.robustness import pictures as look
from bench.robustness.pictures import Edit, Params, Scene
from bench.robustness.video import AV1, Picture

_SEED = (0, 10**6)
_ANY = (0.0, 1.0)
_SIDE = ["left", "right"]
_CORNER = ["top left", "top right", "bottom left", "bottom right"]
_GROUND = [*look.GROUNDS, "blurred"]
_TEXT = (0.05, 0.085)

EVERYDAY = (
    Edit("H.264 crf 37", "everyday", "codec", {"codec": "h264", "crf": 37}),
    Edit("VP9", "everyday", "codec", {"codec": "vp9", "crf": (36, 46)}),
    Edit("MPEG-4", "everyday", "codec", {"codec": "mpeg4", "crf": (6, 14)}),
    Edit("144p", "everyday", "size", {"lines": 144}, look.scaled),
    Edit("240p", "everyday", "size", {"lines": 240}, look.scaled),
    Edit("1080p", "everyday", "size", {"lines": 1080, "seconds": (5.0, 8.0)}, look.scaled),
    Edit("frame rate", "everyday", "rate", {"fps": [10, 15, 50]}),
    Edit(
        "brightness", "everyday", "colour",
        {"contrast": (0.8, 1.25), "offset": [(-60.0, -25.0), (25.0, 60.0)]}, look.brightness,
    ),
    Edit("gamma", "everyday", "colour", {"gamma": [(0.45, 0.75), (1.4, 2.2)]}, look.gamma),
    Edit(
        "saturation", "everyday", "colour",
        {"factor": [(0.2, 0.6), (1.5, 2.3)]}, look.saturation,
    ),
    Edit("hue", "everyday", "colour", {"degrees": [(-60.0, -15.0), (15.0, 60.0)]}, look.hue),
    Edit("grey", "everyday", "colour", {}, look.grey),
    Edit("sepia", "everyday", "colour", {}, look.sepia),
    Edit(
        "sharpened", "everyday", "filter",
        {"amount": (0.8, 2.0), "sigma": (1.0, 3.0)}, look.sharpened,
    ),
    Edit("blurred", "everyday", "filter", {"sigma": (1.5, 3.5)}, look.blurred),
    Edit("noise", "everyday", "filter", {"sigma": (8.0, 22.0), "seed": _SEED}, look.noise),
    Edit("mirrored", "everyday", "mirror", {}, look.mirrored),
    Edit(
        "letterbox", "everyday", "frame",
        {"across": 0.0, "along": (0.08, 0.3), "ground": _GROUND}, look.bars,
    ),
    Edit(
        "pillarbox", "everyday", "frame",
        {"across": (0.1, 0.45), "along": 0.0, "ground": _GROUND}, look.bars,
    ),
    Edit(
        "logo", "everyday", "overlay",
        {"width": (0.12, 0.22), "corner": _CORNER, "opacity": (0.7, 1.0), "seed": _SEED},
        overlays.logo,
    ),
    Edit(
        "caption", "everyday", "overlay",
        {"place": ["above", "below", "top", "bottom"], "size": _TEXT, "seed": _SEED},
        overlays.caption,
    ),
    Edit(
        "subtitles", "everyday", "overlay",
        {"size": (0.05, 0.075), "every": (2.0, 4.0), "seed": _SEED}, overlays.subtitles,
    ),
    Edit(
        "crop to 90 %", "everyday", "crop", {"keep": (0.88, 0.94), "x": _ANY, "y": _ANY}, look.crop,
    ),
    Edit(
        "aspect squeeze", "everyday", "aspect",
        {"width": (0.7, 1.0), "height": (0.8, 1.0)}, look.squeezed,
    ),
    Edit("trimmed", "everyday", "cut", {"trim_start": (0.15, 1.3), "trim_end": (0.15, 1.3)}),
    Edit("3 to 10 s excerpt", "everyday", "cut", {"seconds": (3.0, 10.0)}),
    Edit("speed 0.9 to 1.1", "everyday", "speed", {"speed": [(0.9, 0.97), (1.03, 1.1)]}),
    Edit("spliced", "everyday", "splice", {"before": (5.0, 15.0), "after": (5.0, 15.0)}, others=2),
    Edit(
        "new opening", "everyday", "splice",
        {"before": (2.0, 8.0), "card": [True, False], "seed": _SEED}, others=1,
    ),
)  # fmt: skip

HOSTILE = (
    Edit("crop to 50-80 %", "hostile", "crop", {"keep": (0.5, 0.8), "x": 0.5, "y": 0.5}, look.crop),
    Edit(
        "off-centre crop", "hostile", "crop",
        {"keep": (0.5, 0.8), "keep_height": (0.5, 0.8), "x": [(0.0, 0.25), (0.75, 1.0)],
         "y": [(0.0, 0.25), (0.75, 1.0)]}, look.crop,
    ),
    Edit("square crop", "hostile", "crop", {"aspect": 1.0, "x": (0.2, 0.8)}, look.shape_crop),
    Edit("portrait crop", "hostile", "crop", {"aspect": 0.5625, "x": (0.2, 0.8)}, look.shape_crop),
    Edit(
        "picture in picture", "hostile", "frame",
        {"width": (0.35, 0.6), "corner": _CORNER, "gap": (0.0, 0.05), "still": [True, False],
         "from": (0.0, 5.0)}, layouts.inset, others=1,
    ),
    Edit(
        "split screen", "hostile", "frame",
        {"way": ["squeezed", "cropped"], "side": _SIDE, "from": (0.0, 5.0)},
        layouts.split_screen, others=1,
    ),
    Edit(
        "side by side", "hostile", "frame",
        {"twice": [True, False], "side": _SIDE, "from": (0.0, 5.0)},
        layouts.side_by_side, others=1,
    ),
    Edit(
        "reaction frame", "hostile", "frame",
        {"width": (0.5, 0.65), "side": _SIDE, "below": [True, False], "face": (0.7, 1.2),
         "ground": [*look.GROUNDS], "from": (0.0, 5.0)}, layouts.reaction, others=1,
    ),
    Edit(
        "news banner", "hostile", "overlay",
        {"height": (0.24, 0.35), "ticker": (0.1, 0.25), "seed": _SEED}, overlays.banner,
    ),
    Edit(
        "sticker", "hostile", "overlay",
        {"width": (0.2, 0.35), "x": (0.4, 0.6), "y": (0.4, 0.6), "seed": _SEED,
         "shape": ["face", "heart", "star", "blot"]}, overlays.sticker,
    ),
    Edit(
        "rotated by 2 to 15 degrees", "hostile", "rotation",
        {"degrees": [(-15.0, -2.0), (2.0, 15.0)], "corners": ["black", "zoomed"]}, look.rotated,
    ),
    Edit(
        "rotated by 90, 180, 270", "hostile", "rotation", {"degrees": [90, 180, 270]}, look.turned,
    ),
    Edit(
        "filmed screen", "hostile", "screen",
        {"inset": (0.06, 0.25), "tilt": (0.01, 0.05), "shake": (0.001, 0.006), "seed": _SEED,
         "moire": (0.03, 0.1), "vignette": (0.3, 0.9), "glare": (20.0, 90.0),
         "glare_size": (0.1, 0.3), "bands": (0.5, 2.0), "beat": (2.0, 12.0),
         "depth": (4.0, 16.0), "grain": (6, 20)}, layouts.filmed_screen,
    ),
    Edit("inverted colours", "hostile", "colour", {}, look.inverted),
    Edit("speed 0.5 to 2", "hostile", "speed", {"speed": [(0.5, 0.85), (1.2, 2.0)]}),
    Edit("frame drops", "hostile", "rate", {"drop": (0.2, 0.6), "seed": _SEED}),
    Edit(
        "interleaved", "hostile", "splice",
        {"run": (3, 10), "other_run": (3, 10), "insert": [True, False], "from": (0.0, 5.0)},
        others=1,
    ),
    Edit(
        "zoom and pan", "hostile", "zoom",
        {"zoom_from": (1.0, 1.5), "zoom_to": (1.2, 1.8), "x_from": _ANY, "y_from": _ANY,
         "x_to": _ANY, "y_to": _ANY}, look.zoom_and_pan,
    ),
    Edit(
        "game overlay", "hostile", "overlay",
        {"map": (0.2, 0.32), "weapon": (0.25, 0.4), "seed": _SEED}, overlays.game,
    ),
    Edit(
        "text all over", "hostile", "overlay",
        {"size": (0.05, 0.1), "opacity": (0.5, 1.0), "drift": [0.0, (0.02, 0.08)], "seed": _SEED},
        overlays.text_all_over,
    ),
)  # fmt: skip

_PLAIN_GROUND = [*look.GROUNDS]


def _effect(
    name: str, build: Callable[[Params, Scene], Picture], others: int = 0, **ranges: Any
) -> Edit:
    return Edit(name, "effects", "effect", ranges, build, others)


EFFECTS = (
    _effect("spinning", effects.spinning, pace=[(-60.0, -20.0), (20.0, 60.0)]),
    _effect("swaying", effects.swaying, degrees=(10.0, 25.0), rate=(0.2, 0.5)),
    _effect("pulsing zoom", effects.pulsing, zoom=(0.1, 0.3), rate=(0.3, 0.8)),
    _effect("jumping", effects.jumping, keep=(0.8, 0.92), seed=_SEED),
    _effect(
        "bouncing", effects.bouncing, size=(0.5, 0.65), across=(0.1, 0.25), down=(0.1, 0.25),
        ground=_PLAIN_GROUND,
    ),
    _effect("rolling", effects.rolling, pace=(0.1, 0.3)),
    _effect("half mirrored", effects.half_mirrored, across=[True, False]),
    _effect("tiled", effects.tiled, count=[2, 3], mirrored=False),
    _effect("mirrored tiles", effects.tiled, count=2, mirrored=True),
    _effect("halves swapped", effects.halves_swapped),
    _effect("fisheye", effects.fisheye, strength=[(-0.3, -0.12), (0.15, 0.5)]),
    _effect("waves", effects.waves, size=(0.012, 0.03), count=(2.0, 5.0), rate=(0.5, 2.0)),
    _effect("sheared", effects.sheared, slope=[(-0.4, -0.2), (0.2, 0.4)]),
    _effect("falling snow", effects.falling_snow, flakes=(100, 200), seed=_SEED),
    _effect("blinds", effects.blinds, count=(10, 18)),
    _effect("lattice", effects.lattice, count=(8, 16), width=(0.006, 0.012)),
    _effect(
        "half transparent over it", effects.half_transparent, 1, opacity=(0.3, 0.45),
        **{"from": (0.0, 5.0)},
    ),
    _effect("one of four", effects.one_of_four, 3, place=(0, 3), **{"from": (0.0, 5.0)}),
    _effect("in a phone", effects.in_a_phone, seed=_SEED),
    _effect("round window", effects.round_window, radius=(0.4, 0.5), ground=_PLAIN_GROUND),
    _effect("pixelated", filters.pixelated, columns=(48, 90)),
    _effect("posterised", filters.posterised, levels=(3, 6)),
    _effect("dithered", filters.dithered),
    _effect("heat map", filters.heat_map, map=[*filters.MAPS]),
    _effect("swapped colours", filters.swapped_colours),
    _effect("solarised", filters.solarised, above=(100, 160)),
    _effect("black or white", filters.black_or_white),
    _effect("cartoon", filters.cartoon),
    _effect("pencil sketch", filters.pencil_sketch, sigma=(5.0, 9.0)),
    _effect("embossed", filters.embossed),
    _effect("deep fried", filters.deep_fried, contrast=(2.0, 3.0), quality=(6, 12)),
    _effect("old tape", filters.old_tape, seed=_SEED),
    _effect("ghosting", filters.ghosting, kept=(0.75, 0.88)),
    _effect("dark", filters.dark, factor=(0.18, 0.3)),
    _effect("night vision", filters.night_vision, sigma=(15.0, 30.0), seed=_SEED),
    _effect("flashing negative", filters.flashing_negative, every=(0.3, 1.2)),
    _effect("local contrast", filters.local_contrast, limit=(3.0, 8.0)),
    _effect("boomerang", delays.boomerang, every=(1.0, 2.5)),
    _effect("speed ramp", delays.speed_ramp, depth=(0.4, 0.9), rate=(0.15, 0.35)),
    _effect("stutter", delays.stutter, every=(1.0, 2.0), hold=(0.4, 0.8)),
    _effect("four moments", delays.four_moments),
    _effect("slit scan", delays.slit_scan, depth=(0.3, 0.8)),
    _effect("over itself", delays.over_itself),
    _effect("strobe", delays.strobe, run=(1, 4)),
    _effect("wipes", delays.wipes, every=(0.7, 2.0), on_its_head=[True, False]),
    _effect(
        "floating over other footage", collages.floating, 1, size=(0.4, 0.55),
        across=(0.08, 0.2), down=(0.08, 0.2), **{"from": (0.0, 5.0)},
    ),
    _effect(
        "person before it", collages.person_before_it, 1, x=(0.3, 0.7), **{"from": (0.0, 5.0)},
    ),
    _effect("stack of three", collages.stack_of_three, 2, **{"from": (0.0, 5.0)}),
    _effect("screened", collages.screened, 1, opacity=(0.4, 0.7), **{"from": (0.0, 5.0)}),
    _effect("falling faces", collages.falling_faces, count=(12, 22), seed=_SEED),
    _effect("big clock", collages.big_clock),
    _effect("glitch", collages.glitch, shift=(0.01, 0.03), seed=_SEED),
    _effect("beats", collages.beats, every=(0.4, 0.8)),
    _effect("kaleidoscope", collages.kaleidoscope),
    _effect("tumbling", collages.tumbling, degrees=(25.0, 45.0), rate=(0.1, 0.3)),
    _effect("filmed askew", collages.filmed_askew, from_the_left=[True, False], seed=_SEED),
    _effect("panning window", collages.panning_window, rate=(0.1, 0.3)),
    _effect("strips", collages.strips, turned=[1, 2]),
    _effect("narrowed", collages.narrowed, width=(0.4, 0.6)),
    _effect("tinted", collages.tinted),
    _effect("gif", collages.gif, fps=(5, 8), columns=(120, 200)),
)  # fmt: skip
"""Of phones' editors, one each. Of most of them, and of all from "boomerang" on, nothing in the
matcher was set."""

if AV1 in av.codecs_available:
    EVERYDAY += (Edit("AV1", "everyday", "codec", {"codec": "av1", "crf": (38, 50)}),)

EDITS = {edit.name: edit for edit in (*EVERYDAY, *HOSTILE)}
"""Those that are put together, and laid over negatives."""

EVERY_EDIT = EDITS | {edit.name: edit for edit in EFFECTS}

ORDER = (
    "cut", "speed", "rate", "mirror", "crop", "aspect", "rotation", "zoom", "colour", "filter",
    "overlay", "frame", "screen", "effect", "size", "splice", "codec",
)  # fmt: skip
"""Families in the order of their doing."""

TOGETHER = (
    ("crop", "aspect", "zoom"),
    ("rotation", "mirror"),
    ("colour", "filter"),
    ("overlay",),
    ("frame", "screen"),
    ("speed", "rate"),
    ("codec", "size"),
    ("splice",),
)
"""A combined copy has at most one edit of each of these lists of families."""

FIXED = (
    ("grey", "square crop", "speed 0.5 to 2", "caption"),
    ("mirrored", "crop to 90 %", "speed 0.9 to 1.1", "logo"),
    ("picture in picture", "caption", "mirrored", "240p"),
    ("filmed screen", "rotated by 2 to 15 degrees", "240p"),
    ("portrait crop", "subtitles", "brightness", "H.264 crf 37"),
    ("reaction frame", "mirrored", "caption"),
    ("news banner", "zoom and pan", "letterbox"),
)
"""Edits that are often met together; some of the combined copies are these."""


def ordered(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(names, key=lambda name: ORDER.index(EVERY_EDIT[name].family)))
