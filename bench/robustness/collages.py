"""Effects of phones' editors that lay the picture beside, under or before other things, or look at
it askew. Builders as in `pictures`."""

from __future__ import annotations

import math
from itertools import pairwise

import cv2
import numpy as np

from bench.robustness.pictures import Params, Scene, cover
from bench.robustness.video import Frame, Picture


def _to_and_fro(at: float) -> float:
    """0 to 1 and back, as `at` grows by 2."""
    return abs(at % 2 - 1)


def floating(p: Params, scene: Scene) -> Picture:
    """Small, and wandering over other footage."""
    other = scene.other(0, p["from"])

    def edit(frame: Frame, t: float) -> Frame:
        out = cover(next(other), frame.shape[1], frame.shape[0]).copy()
        small = cv2.resize(frame, None, fx=p["size"], fy=p["size"], interpolation=cv2.INTER_AREA)
        x = int(_to_and_fro(2 * p["across"] * t) * (frame.shape[1] - small.shape[1]))
        y = int(_to_and_fro(2 * p["down"] * t + 0.5) * (frame.shape[0] - small.shape[0]))
        out[y : y + small.shape[0], x : x + small.shape[1]] = small
        return out

    return edit


def person_before_it(p: Params, scene: Scene) -> Picture:
    """Head and shoulders, cut out of other footage."""
    other = scene.other(0, p["from"])

    def edit(frame: Frame, t: float) -> Frame:
        height, width = frame.shape[:2]
        mask = np.zeros((height, width), np.uint8)
        x = int(width * (p["x"] + 0.02 * math.sin(t)))
        for y, across, down in ((0.5, 0.13, 0.22), (1.05, 0.3, 0.38)):
            axes = int(width * across), int(height * down)
            cv2.ellipse(mask, (x, int(height * y)), axes, 0, 0, 360, 255, -1)
        out = frame.copy()
        out[mask > 0] = cover(next(other), width, height)[mask > 0]
        return out

    return edit


def stack_of_three(p: Params, scene: Scene) -> Picture:
    """Upright, as for phones: other footage above and below."""
    others = [scene.other(i, p["from"]) for i in range(2)]

    def edit(frame: Frame, t: float) -> Frame:
        mine = min(240, 360 * frame.shape[0] // frame.shape[1])
        above = (640 - mine) // 2
        upper, lower = (next(other) for other in others)
        parts = (upper, above), (frame, mine), (lower, 640 - mine - above)
        return np.concatenate([cover(picture, 360, lines) for picture, lines in parts], 0)

    return edit


def screened(p: Params, scene: Scene) -> Picture:
    """Other footage's light over it."""
    other = scene.other(0, p["from"])

    def edit(frame: Frame, t: float) -> Frame:
        over = cover(next(other), frame.shape[1], frame.shape[0]) / 255 * p["opacity"]
        return np.asarray(255 * (1 - (1 - frame / 255) * (1 - over)), np.uint8)

    return edit


def falling_faces(p: Params, scene: Scene) -> Picture:
    """`count` faces that fall over it."""
    rng = np.random.default_rng(p["seed"])
    x, y, pace = rng.random(p["count"]), rng.random(p["count"]), 0.1 + 0.25 * rng.random(p["count"])
    colours = ((0, 200, 255), (60, 60, 230), (230, 120, 60), (80, 200, 80))

    def edit(frame: Frame, t: float) -> Frame:
        out, (height, width) = frame.copy(), frame.shape[:2]
        size = width // 20
        for i in range(p["count"]):
            at = int(x[i] * width), int(((y[i] + pace[i] * t) % 1.1 - 0.05) * height)
            cv2.circle(out, at, size, colours[i % len(colours)], -1)
            for side in (-1, 1):
                eye = at[0] + side * size // 3, at[1] - size // 4
                cv2.circle(out, eye, max(1, size // 6), (0, 0, 0), -1)
        return out

    return edit


def big_clock(p: Params, scene: Scene) -> Picture:
    """A running clock over the middle."""

    def edit(frame: Frame, t: float) -> Frame:
        out, (height, width) = frame.copy(), frame.shape[:2]
        place = int(0.08 * width), int(0.62 * height)
        text, thick = f"{int(t):02d}:{int(t * 100 % 100):02d}", max(2, height // 24)
        cv2.putText(out, text, place, cv2.FONT_HERSHEY_DUPLEX, height / 133, (255, 255, 255), thick)
        return out

    return edit


def glitch(p: Params, scene: Scene) -> Picture:
    """Colours beside each other, and stripes that slip."""
    rng = np.random.default_rng(p["seed"])

    def edit(frame: Frame, t: float) -> Frame:
        out, (height, width) = frame.copy(), frame.shape[:2]
        off = max(1, int(p["shift"] * width))
        out[..., 0], out[..., 2] = np.roll(frame[..., 0], off, 1), np.roll(frame[..., 2], -off, 1)
        for _ in range(6):
            top, lines = int(rng.random() * height), max(2, int(rng.random() * height * 0.12))
            slip = int((rng.random() - 0.5) * width * 0.3)
            out[top : top + lines] = np.roll(out[top : top + lines], slip, 1)
        return out

    return edit


def beats(p: Params, scene: Scene) -> Picture:
    """It flashes and jumps nearer `every` so many seconds."""

    def edit(frame: Frame, t: float) -> Frame:
        height, width = frame.shape[:2]
        left = 1 - t % p["every"] / p["every"]
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), 0, 1 + 0.35 * left)
        flash = 0.8 * max(0.0, 3 * left - 2)
        near = cv2.warpAffine(frame, matrix, (width, height))
        return cv2.addWeighted(near, 1 - flash, np.full_like(near, 255), flash, 0)

    return edit


def kaleidoscope(p: Params, scene: Scene) -> Picture:
    """A corner of it, four times, in mirrors."""

    def edit(frame: Frame, t: float) -> Frame:
        height, width = frame.shape[:2]
        corner = frame[: height * 2 // 3, : width * 2 // 3]
        corner = cv2.resize(corner, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        upper = np.concatenate([corner, corner[:, ::-1]], 1)
        return np.concatenate([upper, upper[::-1]], 0)

    return edit


def tumbling(p: Params, scene: Scene) -> Picture:
    """As a card that turns about its axes."""

    def edit(frame: Frame, t: float) -> Frame:
        height, width = frame.shape[:2]
        a = math.radians(p["degrees"]) * math.sin(2 * math.pi * p["rate"] * t)
        b = 0.6 * math.radians(p["degrees"]) * math.sin(1.4 * math.pi * p["rate"] * t + 1)
        here = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        x, y = (here - (width / 2, height / 2)).T
        x, deep = x * math.cos(a), -x * math.sin(a)
        y, deep = y * math.cos(b) - deep * math.sin(b), y * math.sin(b) + deep * math.cos(b)
        near = 1.3 * width / (1.45 * width + deep)
        there = np.stack([x * near + width / 2, y * near + height / 2], 1).astype(np.float32)
        return cv2.warpPerspective(frame, cv2.getPerspectiveTransform(here, there), (width, height))

    return edit


def filmed_askew(p: Params, scene: Scene) -> Picture:
    """A screen filmed from the side by a hand that shakes, parts of it out of the picture."""
    rng = np.random.default_rng(p["seed"])
    corners = np.array([[0.12, 0.05], [1.08, 0.2], [0.98, 0.92], [-0.03, 0.83]])

    def edit(frame: Frame, t: float) -> Frame:
        height, width = frame.shape[:2]
        shake = [[math.sin(3 * t + i), math.cos(2.3 * t + 2 * i)] for i in range(4)]
        there = corners + 0.006 * np.array(shake)
        if p["from_the_left"]:
            there = np.array([1, 0]) - there[[1, 0, 3, 2]] * (1, -1)
        here = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        matrix = cv2.getPerspectiveTransform(here, (there * (width, height)).astype(np.float32))
        soft = cv2.GaussianBlur(frame, (0, 0), 1.2)
        out = cv2.warpPerspective(soft, matrix, (width, height), borderValue=(40, 45, 50))
        return np.clip(out * 0.8 + 25 + rng.normal(0, 7, out.shape), 0, 255).astype(np.uint8)

    return edit


def panning_window(p: Params, scene: Scene) -> Picture:
    """Half of its width, to and fro."""

    def edit(frame: Frame, t: float) -> Frame:
        half = frame.shape[1] // 2
        x = int((0.5 + 0.5 * math.sin(2 * math.pi * p["rate"] * t)) * (frame.shape[1] - half))
        return np.ascontiguousarray(frame[:, x : x + half])

    return edit


def strips(p: Params, scene: Scene) -> Picture:
    """Three strips in another order, `turned` on by so many."""

    def edit(frame: Frame, t: float) -> Frame:
        ends = np.linspace(0, frame.shape[1], 4).astype(int)
        three = [frame[:, start:end] for start, end in pairwise(ends)]
        return np.concatenate([*three[p["turned"] :], *three[: p["turned"]]], 1)

    return edit


def narrowed(p: Params, scene: Scene) -> Picture:
    """To that part of its width."""
    return lambda frame, t: cv2.resize(frame, None, fx=p["width"], fy=1.0)


def tinted(p: Params, scene: Scene) -> Picture:
    """Half transparent under one colour that becomes another."""
    first, last = np.array([20, 160, 230]), np.array([200, 40, 160])

    def edit(frame: Frame, t: float) -> Frame:
        part = np.linspace(0, 1, frame.shape[1])[None, :, None]
        return (0.5 * frame + 0.5 * (first * (1 - part) + last * part)).astype(np.uint8)

    return edit


def gif(p: Params, scene: Scene) -> Picture:
    """`columns` wide, few colours in dots, and few pictures a second."""
    bayer = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) / 16 - 0.5
    shown: dict[int, Frame] = {}

    def edit(frame: Frame, t: float) -> Frame:
        turn = int(t * p["fps"])
        if turn not in shown:
            shown.clear()
            height, width = frame.shape[:2]
            lines = p["columns"] * height // width
            small = cv2.resize(frame, (p["columns"], lines), interpolation=cv2.INTER_AREA)
            dots = np.tile(bayer, (lines // 4 + 1, p["columns"] // 4 + 1))[:lines, : p["columns"]]
            few = np.round((small / 255 + 0.3 * dots[..., None]) * 2) / 2
            few = np.clip(few * 255, 0, 255).astype(np.uint8)
            shown[turn] = cv2.resize(few, (width, height), interpolation=cv2.INTER_NEAREST)
        return shown[turn]

    return edit
