"""More made pictures: recordings of computers' screens, chats, games. As in `scenes`."""

from __future__ import annotations

import math
from random import Random

import cv2
import numpy as np

from bench.robustness import scenes, words
from bench.robustness.scenes import Scenery, plain
from bench.robustness.video import Frame
from bench.robustness.words import label, paste


def desktop(rng: Random, width: int, height: int) -> Scenery:
    """Windows with menus, one of them being typed into, and a pointer that moves."""
    ground = scenes.gradient(rng, width, height)
    for _ in range(rng.randint(1, 3)):
        _window(ground, rng)
    x, y, w, h = _window(ground, rng)
    ground[int(height * 0.95) :] = words.colour(rng, 20, 80)
    size = max(9, height // 30)
    text = ". ".join(words.sentence(rng) for _ in range(8))
    lines = words.wrapped(text, size, w - 20).split("\n")[: max(1, (h - 50) // int(size * 1.3))]
    speed, phases = rng.uniform(8, 25), [rng.uniform(0, 6) for _ in range(4)]

    def scenery(t: float) -> Frame:
        frame = ground.copy()
        left = int(t * speed)
        for row, line in enumerate(lines):
            if left <= 0:
                break
            written = label(line[:left], size, (20, 20, 20), margin=0)
            paste(frame, written, x + 10, y + 46 + row * size * 1.3)
            left -= len(line)
        _pointer(frame, t, phases)
        return frame

    return scenery


def _window(frame: Frame, rng: Random) -> tuple[int, int, int, int]:
    """Draw an empty window; its left, top, width and height."""
    height, width = frame.shape[:2]
    w, h = int(width * rng.uniform(0.4, 0.75)), int(height * rng.uniform(0.45, 0.75))
    x, y = rng.randint(5, width - w - 5), rng.randint(5, int(height * 0.93) - h)
    frame[y : y + h, x : x + w] = 248
    frame[y : y + 22, x : x + w] = words.colour(rng, 60, 200)
    paste(frame, label(words.sentence(rng)[:26], 13, margin=2), x + 6, y + 2)
    for number, colour in enumerate(((80, 80, 230), (60, 200, 230), (80, 190, 90))):
        cv2.circle(frame, (x + w - 12 - 18 * number, y + 11), 6, colour, -1)
    menu = label("File   Edit   View   Insert   Tools   Help", 12, (60, 60, 60), margin=2)
    paste(frame, menu[:, : w - 10], x + 6, y + 24)
    if rng.random() < 0.6:
        for row in range(6):
            top = y + 60 + row * (h - 70) // 6
            frame[top : top + 10, x + w // 2 : x + w - 20] = rng.randint(180, 230)
    cv2.rectangle(frame, (x, y), (x + w, y + h), (90, 90, 90), 1)
    return x, y, w, h


def _pointer(frame: Frame, t: float, phases: list[float]) -> None:
    height, width = frame.shape[:2]
    x = width * (0.5 + 0.25 * math.sin(t * 0.9 + phases[0]) + 0.2 * math.sin(t * 0.37 + phases[1]))
    y = height * (0.5 + 0.25 * math.sin(t * 0.7 + phases[2]) + 0.2 * math.sin(t * 0.5 + phases[3]))
    arrow = np.array([[0, 0], [0, 20], [5, 15], [9, 23], [13, 21], [9, 14], [15, 14]])
    shape = [(arrow * height / 480 + (x, y)).astype(np.int32)]
    cv2.fillPoly(frame, shape, (255, 255, 255))
    cv2.polylines(frame, shape, True, (0, 0, 0), 1)


def terminal(rng: Random, width: int, height: int) -> Scenery:
    """Lines that scroll up as a program writes them."""
    size, ink = max(9, height // 32), rng.choice([(220, 220, 220), (90, 240, 90), (90, 200, 250)])
    lines = []
    for number in range(120):
        kind = rng.randrange(4)
        lines.append(
            f"$ run --job {rng.randint(1, 999)} --mode {words.name(rng).lower()}" if kind == 0
            else f"[{number:03d}] {words.sentence(rng).lower()}" if kind < 3
            else f"  {rng.randint(1, 100)} % " + "#" * rng.randint(2, 30)
        )  # fmt: skip
    layers = [label(line, size, ink, margin=1) for line in lines]
    ground, rate = plain(width, height, words.colour(rng, 0, 40)), rng.uniform(2, 9)
    step = size * 1.35
    fits = int(height / step) - 1

    def scenery(t: float) -> Frame:
        frame = ground.copy()
        last = min(len(layers), 3 + int(t * rate))
        for row, layer in enumerate(layers[max(0, last - fits) : last]):
            paste(frame, layer, 8, 6 + row * step)
        return frame

    return scenery


def chat(rng: Random, width: int, height: int) -> Scenery:
    """Bubbles left and right, a new one every second or two."""
    size = max(10, height // 24)
    mine, ground = words.colour(rng, 120, 230), words.colour(rng, 215, 245)
    bubbles, at = [], 0.0
    for _ in range(24):
        own = rng.random() < 0.5
        text = rng.choice([words.shout(rng), words.sentence(rng)])
        paper = (*(mine if own else (255, 255, 255)), 255)
        text = words.wrapped(text, size, int(width * 0.5))
        bubbles.append((at, own, label(text, size, (20, 20, 20), ground=paper, margin=size // 2)))
        at += rng.uniform(0.6, 2.2)
    head = plain(width, height // 9, words.colour(rng, 60, 160))
    paste(head, label(words.sentence(rng)[:24], size, margin=2), width * 0.06, height * 0.025)

    def scenery(t: float) -> Frame:
        frame, bottom = plain(width, height, ground), height - 12.0
        for start, own, layer in reversed(bubbles):
            if start <= t and bottom > 0:
                bottom -= layer.shape[0]
                paste(frame, layer, width - layer.shape[1] - 14 if own else 14, bottom)
                bottom -= 8
        frame[: head.shape[0]] = head
        return frame

    return scenery


def game(rng: Random, width: int, height: int) -> Scenery:
    """A world of tiles that scrolls by, figures that jump, points that count up."""
    tile = rng.choice([24, 32, 40])
    rows = height // tile + 1
    colours = [words.colour(rng, 20, 220) for _ in range(5)]
    heights = [rng.randint(1, max(2, rows // 2)) for _ in range(400)]
    sky, speed = words.colour(rng, 120, 255), rng.uniform(1.5, 5) * tile
    figures = [(rng.random(), rng.uniform(2, 5), words.colour(rng)) for _ in range(6)]
    texts = {n: label(f"{n * 10:06d}", 24, outline=2) for n in range(60)}

    def scenery(t: float) -> Frame:
        frame, gone = plain(width, height, sky), t * speed
        for column in range(width // tile + 2):
            number = (int(gone // tile) + column) % len(heights)
            x = int(column * tile - gone % tile)
            for row in range(heights[number]):
                y = height - (row + 1) * tile
                colour = colours[(number * 7 + row) % 5] if row else colours[0]
                cv2.rectangle(frame, (x + 1, y + 1), (x + tile - 2, y + tile - 2), colour, -1)
        for place, rate, colour in figures:
            x = int(width * ((place + t * rate * 0.03) % 1))
            y = int(height * (0.45 - 0.25 * abs(math.sin(t * rate + place * 9))))
            cv2.rectangle(frame, (x, y), (x + tile, y + tile), colour, -1)
            cv2.circle(frame, (x + tile // 2, y - tile // 3), tile // 3, colour, -1)
        paste(frame, texts[int(t * 3) % 60], 12, 10)
        return frame

    return scenery


def shapes(rng: Random, width: int, height: int) -> Scenery:
    """Discs that move over a coloured ground: footage where there is no other."""
    ground = scenes.gradient(rng, width, height)
    discs = [
        (rng.random(), rng.random(), rng.uniform(0.2, 1.5), rng.uniform(0.03, 0.2),
         words.colour(rng))
        for _ in range(9)
    ]  # fmt: skip

    def scenery(t: float) -> Frame:
        frame = ground.copy()
        for x, y, rate, size, colour in discs:
            across = width * (0.5 + 0.5 * math.sin(t * rate + x * 9))
            along = height * (0.5 + 0.5 * math.cos(t * rate * 0.8 + y * 9))
            cv2.circle(frame, (int(across), int(along)), int(size * height), colour, -1)
        return frame

    return scenery
