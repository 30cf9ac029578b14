"""Random text, and text as pictures: captions, tickers, cards, windows."""

from __future__ import annotations

from functools import lru_cache
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from bench.robustness.video import Frame

Colour = tuple[int, int, int]
"""Blue, green, red, as in frames."""

Layer = NDArray[np.uint8]
"""(height, width, 4): blue, green, red, opacity."""

WHO = """the striker|our coach|a baker|the chef|a drummer|the mayor|every driver|the pilot|
my neighbour|the goalkeeper|an old sailor|the weather desk|a young violinist|the bus company|
two farmers|the whole team|a tired student|the river ferry|the night train|a small bakery"""
DOES = """scored|baked|found|repaired|played|painted|closed|opened|lost|sold|tasted|visited|
delayed|won|measured|forgot|recorded|cleaned|explained|tested"""
WHAT = """three goals in the rain|a lemon cake|the main road|a new song|the second half|
the bridge to the harbour|a recipe with beans|the wettest day of spring|seven red bicycles|
the early bus|a jazz concert|two tons of apples|the final of the cup|a map of the coast|
the longest queue|a pot of soup|the city marathon|an old piano|the warmest night|the ring road"""
SHOUTS = """Share THIS|Wait for it...|WATCH until the end|They don't want you to see this|
LOL|Repost!!|NOT CLICKBAIT|Follow for part 2|Must see|So true|Like and subscribe|OMG|
Nobody talks about this|Sound ON|Who did this|Before it gets deleted|Wow just wow"""
NAMES = "NEWS|LIVE|CH4|TV1|ZAP|MIX|GO!|HDTV|KLIP|WOW|24/7|PRO"


def _pick(rng: Random, words: str) -> str:
    return rng.choice(words.replace("\n", "").split("|"))


def sentence(rng: Random) -> str:
    text = f"{_pick(rng, WHO)} {_pick(rng, DOES)} {_pick(rng, WHAT)}"
    return text[0].upper() + text[1:]


def shout(rng: Random) -> str:
    return _pick(rng, SHOUTS)


def name(rng: Random) -> str:
    return _pick(rng, NAMES)


def colour(rng: Random, low: int = 0, high: int = 255) -> Colour:
    return rng.randint(low, high), rng.randint(low, high), rng.randint(low, high)


@lru_cache(maxsize=64)
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=max(6, size))


def wrapped(text: str, size: int, width: int) -> str:
    """The text with line breaks, so that at `size` pixels no line is wider than `width`."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font(size).getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(lines)


def label(
    text: str,
    size: int,
    colour: Colour = (255, 255, 255),
    *,
    ground: tuple[int, int, int, int] = (0, 0, 0, 0),
    outline: int = 0,
    margin: int = 4,
    align: str = "center",
) -> Layer:
    """Text as a layer of just its size. `ground`: blue, green, red, opacity around the letters."""
    used = font(size)
    measure = ImageDraw.Draw(Image.new("RGBA", (1, 1)))
    box = measure.multiline_textbbox((0, 0), text, font=used, stroke_width=outline)
    width, height = (int(box[2] - box[0]) + 2 * margin, int(box[3] - box[1]) + 2 * margin)
    clear = (*(ground[:3] if ground[3] else colour), ground[3])
    image = Image.new("RGBA", (max(1, width), max(1, height)), clear)
    ImageDraw.Draw(image).multiline_text(
        (margin - box[0], margin - box[1]),
        text,
        font=used,
        fill=(*colour, 255),
        stroke_width=outline,
        stroke_fill=(0, 0, 0, 255),
        align=align,
    )
    return np.asarray(image)


def paste(frame: Frame, layer: Layer, x: float, y: float, opacity: float = 1.0) -> None:
    """Draw the layer into the frame, its top left corner at `x`, `y`; parts outside are cut."""
    left, top = round(x), round(y)
    height, width = layer.shape[:2]
    x0, y0 = max(0, left), max(0, top)
    x1, y1 = min(frame.shape[1], left + width), min(frame.shape[0], top + height)
    if x0 >= x1 or y0 >= y1:
        return
    cut = layer[y0 - top : y1 - top, x0 - left : x1 - left]
    alpha = (cut[..., 3:].astype(np.uint16) * round(opacity * 256)) >> 8
    region = frame[y0:y1, x0:x1]
    mixed = region * (255 - alpha) + cut[..., :3] * alpha
    region[:] = ((mixed + 127) // 255).astype(np.uint8)


def centred(frame: Frame, layer: Layer, x: float, y: float, opacity: float = 1.0) -> None:
    """As `paste`, with the layer's middle at `x`, `y`."""
    paste(frame, layer, x - layer.shape[1] / 2, y - layer.shape[0] / 2, opacity)
