"""What is drawn over footage: logos, captions, subtitles, banners, stickers, games' displays.

All text and colours follow from the drawn `seed`. Layers are made at the first frame, for its size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

import cv2
import numpy as np

from bench.robustness import words
from bench.robustness.pictures import Params, Scene
from bench.robustness.video import Frame, Picture
from bench.robustness.words import Layer, centred, label, paste

Drawing = Callable[[Frame, float], None]
"""Draws into the frame, at seconds from the start."""


def over(prepare: Callable[[int, int], Drawing]) -> Picture:
    """An edit that draws into a copy of each frame; `prepare` is told width and height once."""
    drawings: dict[tuple[int, int], Drawing] = {}

    def edit(frame: Frame, t: float) -> Frame:
        out = frame.copy()
        size = (out.shape[1], out.shape[0])
        if size not in drawings:
            drawings[size] = prepare(*size)
        drawings[size](out, t)
        return out

    return edit


def logo(p: Params, scene: Scene) -> Picture:
    def prepare(width: int, height: int) -> Drawing:
        rng = Random(p["seed"])
        ground = (*words.colour(rng, 0, 200), 255 if rng.random() < 0.7 else 0)
        layer = label(words.name(rng), 60, ground=ground, outline=2, margin=14)
        w = round(width * p["width"])
        layer = cv2.resize(layer, (w, round(layer.shape[0] * w / layer.shape[1])))
        gap = width * 0.03
        x = gap if p["corner"] in ("top left", "bottom left") else width - w - gap
        y = gap if p["corner"].startswith("top") else height - layer.shape[0] - gap
        return lambda frame, t: paste(frame, layer, x, y, p["opacity"])

    return over(prepare)


def caption(p: Params, scene: Scene) -> Picture:
    """`place`: "above" and "below" add a band outside of the picture, "top" and "bottom" don't."""
    rng = Random(p["seed"])
    text = rng.choice([words.shout(rng), words.sentence(rng)])
    dark = rng.random() < 0.5
    ink, paper = ((255, 255, 255), (0, 0, 0)) if dark else ((0, 0, 0), (255, 255, 255))
    layers: dict[int, Layer] = {}

    def edit(frame: Frame, t: float) -> Frame:
        height, width = frame.shape[:2]
        size = round(width * p["size"])
        outside = p["place"] in ("above", "below")
        if width not in layers:
            lines = words.wrapped(text, size, int(width * 0.92))
            layers[width] = label(lines, size, ink if outside else (255, 255, 255), outline=0)
            if not outside:
                layers[width] = label(lines, size, (255, 255, 255), outline=max(2, size // 12))
        layer = layers[width]
        band = layer.shape[0] + size
        out = frame.copy()
        if outside:
            above, below = (band, 0) if p["place"] == "above" else (0, band)
            out = cv2.copyMakeBorder(out, above, below, 0, 0, cv2.BORDER_CONSTANT, value=paper)
        y = band / 2 if p["place"] in ("above", "top") else out.shape[0] - band / 2
        centred(out, layer, width / 2, y)
        return out

    return edit


def subtitles(p: Params, scene: Scene) -> Picture:
    def prepare(width: int, height: int) -> Drawing:
        rng = Random(p["seed"])
        size = max(9, round(height * p["size"]))
        ground = (0, 0, 0, 150) if rng.random() < 0.4 else (0, 0, 0, 0)
        texts = [words.wrapped(words.sentence(rng), size, int(width * 0.85)) for _ in range(12)]
        layers = [label(text, size, outline=2, ground=ground) for text in texts]

        def drawing(frame: Frame, t: float) -> None:
            layer = layers[int(t / p["every"]) % len(layers)]
            if t % p["every"] < p["every"] * 0.85:
                centred(frame, layer, width / 2, height * 0.95 - layer.shape[0] / 2)

        return drawing

    return over(prepare)


def banner(p: Params, scene: Scene) -> Picture:
    """News: a box over the lower part, a headline, a ticker that runs, a logo."""

    def prepare(width: int, height: int) -> Drawing:
        rng = Random(p["seed"])
        main, strip = words.colour(rng, 0, 170), words.colour(rng, 0, 120)
        top, line = round(height * (1 - p["height"])), round(height * p["height"] * 0.3)
        size = max(8, round(line * 0.62))
        head = label(words.shout(rng).upper(), round(size * 1.1), (255, 255, 255), margin=2)
        under = label(words.sentence(rng), size, (255, 255, 255), margin=2)
        ticker = label("   +++   ".join(words.sentence(rng) for _ in range(10)), size, margin=2)
        ground = (*words.colour(rng, 0, 120), 255)
        live = label(rng.choice(["LIVE", "NEWS", "BREAKING"]), size, ground=ground, margin=6)

        def drawing(frame: Frame, t: float) -> None:
            frame[top:] = main
            frame[height - line :] = strip
            paste(frame, head, width * 0.03, top + line * 0.25)
            paste(frame, under, width * 0.03, top + line * 1.35)
            paste(frame, ticker, width - t * width * p["ticker"], height - line * 0.85)
            paste(frame, live, width * 0.03, height * 0.04)

        return drawing

    return over(prepare)


def sticker(p: Params, scene: Scene) -> Picture:
    def prepare(width: int, height: int) -> Drawing:
        size = max(16, round(p["width"] * width))
        layer = cv2.resize(_shape(p["shape"], p["seed"]), (size, size), interpolation=3)
        return lambda frame, t: centred(frame, layer, width * p["x"], height * p["y"])

    return over(prepare)


def _shape(shape: str, seed: int) -> Layer:
    """256 x 256: a face, a heart, a star or a blot."""
    rng = Random(seed)
    out = np.zeros((256, 256, 4), np.uint8)
    if shape == "face":
        cv2.circle(out, (128, 128), 124, (40, 200, 255, 255), -1)
        for x in (86, 170):
            cv2.ellipse(out, (x, 100), (16, 26), 0, 0, 360, (20, 40, 60, 255), -1)
        cv2.ellipse(out, (128, 140), (70, 66), 0, 10, 170, (20, 40, 60, 255), rng.choice([10, -1]))
        return out
    colour = (*words.colour(rng, 30, 255), 255)
    turns = np.linspace(0, 2 * math.pi, 200, endpoint=False)
    if shape == "heart":
        x = 16 * np.sin(turns) ** 3
        y = 13 * np.cos(turns) - 5 * np.cos(2 * turns) - 2 * np.cos(3 * turns) - np.cos(4 * turns)
        points = np.stack([128 + x * 7.4, 120 - y * 7.4], 1)
    else:
        waves = 5 if shape == "star" else rng.randint(7, 12)
        far = 88 + 36 * np.cos(waves * turns)
        points = np.stack([128 + far * np.sin(turns), 128 - far * np.cos(turns)], 1)
    cv2.fillPoly(out, [points.astype(np.int32)], colour)
    return out


def text_all_over(p: Params, scene: Scene) -> Picture:
    def prepare(width: int, height: int) -> Drawing:
        rng = Random(p["seed"])
        size = max(9, round(height * p["size"]))
        ink = rng.choice([(255, 255, 255), (0, 0, 0), (40, 220, 250), (60, 60, 230)])
        lines = []
        for _ in range(int(height / size / 1.25) + 2):
            parts = [rng.choice([words.shout, words.sentence])(rng) for _ in range(10)]
            lines.append("   ".join(parts))
        layer = label("\n".join(lines), size, ink, align="left")
        drift = width * p["drift"]
        return lambda frame, t: paste(frame, layer, -20 - drift * t, -4, p["opacity"])

    return over(prepare)


def game(p: Params, scene: Scene) -> Picture:
    """A shooter's display: map, health, score, cross hairs, and the weapon in the corner."""

    def prepare(width: int, height: int) -> Drawing:
        rng = Random(p["seed"])
        minimap = _minimap(round(height * p["map"]), rng)
        ink = rng.choice([(255, 255, 255), (80, 255, 80), (60, 200, 255)])
        size = max(9, round(height * 0.06))
        score = label(f"SCORE {rng.randint(100, 99999)}", size, ink, outline=2)
        ammo = label(f"{rng.randint(1, 60)} / {rng.randint(60, 300)}", size, ink, outline=2)
        weapon = _weapon(round(width * p["weapon"]), rng)
        rate = rng.uniform(0.5, 2)

        def drawing(frame: Frame, t: float) -> None:
            sway = math.sin(t * 4) * height * 0.012
            paste(frame, weapon, width - weapon.shape[1], height - weapon.shape[0] * 0.95 + sway)
            paste(frame, minimap, width * 0.02, height * 0.03)
            paste(frame, score, width * 0.97 - score.shape[1], height * 0.03)
            paste(frame, ammo, width * 0.97 - ammo.shape[1], height * 0.9)
            _health(frame, 0.5 + 0.45 * math.sin(t * rate))
            _cross(frame, ink)

        return drawing

    return over(prepare)


def _minimap(side: int, rng: Random) -> Layer:
    small = np.zeros((side, side, 4), np.uint8)
    middle = (side // 2, side // 2)
    cv2.circle(small, middle, side // 2 - 1, (50, 70, 50, 235), -1)
    for _ in range(7):
        a, b = ((rng.randrange(side), rng.randrange(side)) for _ in range(2))
        cv2.line(small, a, b, (120, 140, 120, 235), 3)
    for _ in range(5):
        cv2.circle(small, (rng.randrange(side), rng.randrange(side)), 3, (40, 40, 240, 255), -1)
    cv2.circle(small, middle, side // 2 - 1, (230, 230, 230, 255), 2)
    return small


def _weapon(width: int, rng: Random) -> Layer:
    """A barrel from the right lower corner towards the middle."""
    out = np.zeros((width, width, 4), np.uint8)
    metal = (*words.colour(rng, 20, 90), 255)
    barrel = np.array([[0.05, 0.1], [0.13, 0.02], [1.0, 0.62], [1.0, 1.0], [0.62, 1.0]])
    cv2.fillPoly(out, [(barrel * width).astype(np.int32)], metal)
    grip = np.array([[0.45, 0.6], [0.6, 0.55], [0.62, 1.0], [0.42, 1.0]])
    cv2.fillPoly(out, [(grip * width).astype(np.int32)], (30, 50, 80, 255))
    sight = (np.array([[0.2, 0.08], [0.26, 0.02], [0.36, 0.2]]) * width).astype(np.int32)
    cv2.fillPoly(out, [sight], (10, 10, 10, 255))
    return out


def _health(frame: Frame, share: float) -> None:
    height, width = frame.shape[:2]
    x, y, w, h = (round(v) for v in (width * 0.03, height * 0.91, width * 0.28, height * 0.045))
    cv2.rectangle(frame, (x, y), (x + w, y + h), (30, 30, 30), -1)
    cv2.rectangle(
        frame, (x + 2, y + 2), (x + 2 + round((w - 4) * share), y + h - 2), (60, 60, 220), -1
    )


def _cross(frame: Frame, ink: words.Colour) -> None:
    height, width = frame.shape[:2]
    x, y, arm = width // 2, height // 2, height // 18
    for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        near = (x + dx * arm // 3, y + dy * arm // 3)
        cv2.line(frame, near, (x + dx * arm, y + dy * arm), ink, 2)
