"""Pictures made up from nothing: cards, slides, screens, games. None shows any footage.

Each maker is told a random generator, width and height and gives the frame at a moment in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

import cv2
import numpy as np

from bench.robustness import words
from bench.robustness.video import Frame
from bench.robustness.words import centred, label, paste

Scenery = Callable[[float], Frame]
Maker = Callable[[Random, int, int], Scenery]


def plain(width: int, height: int, colour: words.Colour) -> Frame:
    frame = np.empty((height, width, 3), np.uint8)
    frame[:] = colour
    return frame


def gradient(rng: Random, width: int, height: int) -> Frame:
    """From one colour to another, in a random direction."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    angle = rng.uniform(0, 6.28)
    part = (x / width - 0.5) * math.cos(angle) + (y / height - 0.5) * math.sin(angle) + 0.5
    first, last = (np.array(words.colour(rng), np.float32) for _ in range(2))
    return np.clip(first + (last - first) * part[..., None], 0, 255).astype(np.uint8)


def title_card(rng: Random, width: int, height: int) -> Scenery:
    ground = gradient(rng, width, height) if rng.random() < 0.5 else None
    flat = plain(width, height, words.colour(rng, 0, 170)) if ground is None else ground
    size = height // rng.randint(7, 11)
    title = label(words.wrapped(words.shout(rng), size, int(width * 0.8)), size, outline=1)
    under = label(words.wrapped(words.sentence(rng), size // 2, int(width * 0.8)), size // 2)

    def scenery(t: float) -> Frame:
        frame = flat.copy()
        centred(frame, title, width / 2, height * 0.42, min(1.0, t / 1.5))
        centred(frame, under, width / 2, height * 0.7, max(0.0, min(1.0, t / 2 - 1)))
        return frame

    return scenery


def credits(rng: Random, width: int, height: int) -> Scenery:
    size = height // 18
    jobs = ("Directed by", "Music", "Camera", "Cut", "Lights", "Sound", "Written by", "Costumes")
    lines = []
    for _ in range(40):
        lines.append(f"{rng.choice(jobs)}   {words.sentence(rng).split(' ', 3)[1].title()} "
                     f"{rng.choice('ABCDEFGHKLMNPRST')}.")  # fmt: skip
    layer = label("\n".join(lines), size, words.colour(rng, 170, 255))
    speed = height * rng.uniform(0.08, 0.2)
    ground = plain(width, height, words.colour(rng, 0, 30))

    def scenery(t: float) -> Frame:
        frame = ground.copy()
        paste(frame, layer, (width - layer.shape[1]) / 2, height * 0.8 - t * speed)
        return frame

    return scenery


def countdown(rng: Random, width: int, height: int) -> Scenery:
    start = rng.randint(10, 60)
    ground, ink = words.colour(rng, 120, 230), words.colour(rng, 0, 60)
    numbers = {n: label(str(n), height // 2, ink) for n in range(start - 25, start + 1)}

    def scenery(t: float) -> Frame:
        frame = plain(width, height, ground)
        middle, far = (width // 2, height // 2), int(height * 0.42)
        angle = -90 + 360 * (t % 1)
        cv2.ellipse(frame, middle, (far, far), 0, -90, angle, (150, 150, 150), -1)
        for radius in (far, int(far * 0.9)):
            cv2.circle(frame, middle, radius, ink, 3)
        centred(frame, numbers[max(start - 25, start - int(t))], *middle)
        return frame

    return scenery


def colour_bars(rng: Random, width: int, height: int) -> Scenery:
    levels = [(191, 191, 191), (0, 191, 191), (191, 191, 0), (0, 191, 0), (191, 0, 191)]
    levels += [(0, 0, 191), (191, 0, 0)]
    frame = plain(width, height, (16, 16, 16))
    low = int(height * rng.uniform(0.6, 1.0))
    for number, level in enumerate(levels):
        left, right = number * width // 7, (number + 1) * width // 7
        frame[:low, left:right] = level
        if number % 2 == 0:
            frame[low : low + height // 12, left:right] = levels[6 - number]
    text = label(f"{words.name(rng)} TEST {rng.randint(1, 99)}", height // 14, outline=2)
    if rng.random() < 0.6:
        centred(frame, text, width / 2, height * 0.85)
    return lambda t: frame


def test_pattern(rng: Random, width: int, height: int) -> Scenery:
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    way = rng.choice(["grid", "zone plate", "gradient", "checks"])
    step = rng.randint(20, 70)
    if way == "gradient":
        frame = gradient(rng, width, height)
        return lambda t: frame
    if way == "grid":
        frame = plain(width, height, words.colour(rng, 0, 90))
        frame[(y % step < 2) | (x % step < 2)] = words.colour(rng, 150, 255)
        cv2.circle(frame, (width // 2, height // 2), int(height * 0.45), (255, 255, 255), 2)
        return lambda t: frame
    if way == "checks":
        grey = (((x // step + y // step) % 2) * rng.randint(120, 255)).astype(np.uint8)
        frame = cv2.merge([grey] * 3)
        return lambda t: frame
    far = (x - width / 2) ** 2 + (y - height / 2) ** 2
    rate, fine = rng.uniform(0, 4), rng.uniform(0.001, 0.004)
    return lambda t: cv2.merge([((np.sin(far * fine - t * rate) + 1) * 127).astype(np.uint8)] * 3)


def black(rng: Random, width: int, height: int) -> Scenery:
    frame = plain(width, height, (rng.choice([0, 0, 16]),) * 3)
    return lambda t: frame


def white(rng: Random, width: int, height: int) -> Scenery:
    frame = plain(width, height, (rng.choice([255, 255, 235]),) * 3)
    return lambda t: frame


def flat_ground(rng: Random, width: int, height: int) -> Scenery:
    frame = plain(width, height, words.colour(rng))
    return lambda t: frame


def static(rng: Random, width: int, height: int) -> Scenery:
    """The noise of a screen without a station."""
    noise = np.random.default_rng(rng.getrandbits(32))
    grain, colourful = rng.choice([1, 2, 4]), rng.random() < 0.3
    depth = 3 if colourful else 1

    def scenery(t: float) -> Frame:
        size = (height // grain, width // grain, depth)
        frame = noise.integers(0, 256, size, dtype=np.uint8)
        frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_NEAREST)
        return frame if colourful else cv2.merge([frame.reshape(height, width)] * 3)

    return scenery


def slides(rng: Random, width: int, height: int) -> Scenery:
    """A title and points, another every three seconds."""
    theme, size = words.colour(rng, 30, 200), height // 14
    pages = []
    for number in range(7):
        page = plain(width, height, (250, 250, 250))
        page[: height // 6] = theme
        title = label(words.shout(rng).title(), size, margin=0)
        paste(page, title, width * 0.05, height * 0.05)
        for row in range(rng.randint(2, 5)):
            point = label(f"-  {words.sentence(rng)}", int(size * 0.75), (40, 40, 40), margin=0)
            paste(page, point, width * 0.06, height * (0.25 + row * 0.13))
        if rng.random() < 0.5:
            for bar in range(5):
                top = int(height * rng.uniform(0.5, 0.8))
                left = int(width * (0.68 + bar * 0.05))
                page[top : int(height * 0.9), left : left + int(width * 0.035)] = theme
        paste(page, label(str(number + 1), size // 2, (90, 90, 90)), width * 0.95, height * 0.93)
        pages.append(page)
    return lambda t: pages[int(t / 3) % len(pages)]
