"""Effects of phones' editors: pictures that turn, sway, jump, roll, bend or are laid several times,
and what is laid over them. Builders as in `pictures`; the list of all is `EFFECTS` in `edits`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import cv2
import numpy as np

from bench.robustness.pictures import GROUNDS, Params, Scene, cover
from bench.robustness.video import Frame, Picture


def _turning(how: Callable[[float], tuple[float, float]]) -> Picture:
    """About the middle: `how` gives degrees and zoom at t."""

    def edit(frame: Frame, t: float) -> Frame:
        height, width = frame.shape[:2]
        degrees, zoom = how(t)
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, zoom)
        return cv2.warpAffine(frame, matrix, (width, height))

    return edit


def spinning(p: Params, scene: Scene) -> Picture:
    """`pace`: degrees a second."""
    return _turning(lambda t: (p["pace"] * t, 1.0))


def swaying(p: Params, scene: Scene) -> Picture:
    """`rate`: times a second, here and below."""
    return _turning(lambda t: (p["degrees"] * math.sin(2 * math.pi * p["rate"] * t), 0.9))


def pulsing(p: Params, scene: Scene) -> Picture:
    return _turning(lambda t: (0.0, 1 + p["zoom"] * (1 + math.sin(2 * math.pi * p["rate"] * t))))


def jumping(p: Params, scene: Scene) -> Picture:
    """Each frame another part of the picture."""
    rng = np.random.default_rng(p["seed"])

    def edit(frame: Frame, t: float) -> Frame:
        height, width = frame.shape[:2]
        w, h = int(width * p["keep"]), int(height * p["keep"])
        x, y = int(rng.random() * (width - w)), int(rng.random() * (height - h))
        return cv2.resize(frame[y : y + h, x : x + w], (width, height))

    return edit


def _to_and_fro(at: float) -> float:
    """0 to 1 and back, as `at` grows by 2."""
    return abs(at % 2 - 1)


def bouncing(p: Params, scene: Scene) -> Picture:
    """Small, and wandering over a ground of one colour."""

    def edit(frame: Frame, t: float) -> Frame:
        out = np.empty_like(frame)
        out[:] = GROUNDS[p["ground"]]
        small = cv2.resize(frame, None, fx=p["size"], fy=p["size"], interpolation=cv2.INTER_AREA)
        free = (frame.shape[0] - small.shape[0], frame.shape[1] - small.shape[1])
        x = int(_to_and_fro(2 * p["across"] * t) * free[1])
        y = int(_to_and_fro(2 * p["down"] * t + 0.5) * free[0])
        out[y : y + small.shape[0], x : x + small.shape[1]] = small
        return out

    return edit


def rolling(p: Params, scene: Scene) -> Picture:
    """As a picture whose vertical hold is lost. `pace`: heights a second."""

    def edit(frame: Frame, t: float) -> Frame:
        bar = np.full((frame.shape[0] // 8, frame.shape[1], 3), 20, np.uint8)
        return np.roll(np.concatenate([frame, bar]), int(p["pace"] * t * frame.shape[0]), 0)

    return edit


def half_mirrored(p: Params, scene: Scene) -> Picture:
    """The left or upper half, and that half in a mirror."""

    def edit(frame: Frame, t: float) -> Frame:
        height, width = frame.shape[:2]
        if p["across"]:
            half = frame[:, : width // 2]
            return np.concatenate([half, half[:, ::-1]], 1)
        half = frame[: height // 2]
        return np.concatenate([half, half[::-1]], 0)

    return edit


def tiled(p: Params, scene: Scene) -> Picture:
    """`count` times `count` of it; `mirrored`: every other one."""

    def edit(frame: Frame, t: float) -> Frame:
        n, step = p["count"], 2 if p["mirrored"] else 1
        size = frame.shape[1] // n, frame.shape[0] // n
        one = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        row = np.concatenate([one[:, :: -1 if i % 2 * (step - 1) else 1] for i in range(n)], 1)
        return np.concatenate([row[:: -1 if i % 2 * (step - 1) else 1] for i in range(n)], 0)

    return edit


def halves_swapped(p: Params, scene: Scene) -> Picture:
    return lambda frame, t: np.roll(frame, frame.shape[1] // 2, 1)


def _bent(
    where: Callable[[np.ndarray, np.ndarray, float], tuple[np.ndarray, np.ndarray]],
) -> Picture:
    """`where`: from which x and y (-1 to 1) each pixel is, given its own and t."""

    def edit(frame: Frame, t: float) -> Frame:
        height, width = frame.shape[:2]
        y, x = np.meshgrid(
            np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij", sparse=True
        )
        x, y = where(x, y, t)
        x, y = np.broadcast_arrays((x + 1) / 2 * (width - 1), (y + 1) / 2 * (height - 1))
        maps = x.astype(np.float32), y.astype(np.float32)
        return cv2.remap(frame, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)

    return edit


def fisheye(p: Params, scene: Scene) -> Picture:
    """Bulged or, where `strength` is below 0, pinched."""

    def where(x: np.ndarray, y: np.ndarray, t: float) -> tuple[np.ndarray, np.ndarray]:
        scale = 1 + p["strength"] * (x**2 + y**2) / 2
        return x * scale, y * scale

    return _bent(where)


def waves(p: Params, scene: Scene) -> Picture:
    def where(x: np.ndarray, y: np.ndarray, t: float) -> tuple[np.ndarray, np.ndarray]:
        across, down = (
            p["size"] * np.sin(2 * np.pi * (p["count"] * at / 2 + p["rate"] * t)) for at in (y, x)
        )
        return x + across, y + down

    return _bent(where)


def sheared(p: Params, scene: Scene) -> Picture:
    def edit(frame: Frame, t: float) -> Frame:
        height, width = frame.shape[:2]
        matrix = np.array([[1, p["slope"], -p["slope"] * height / 2], [0, 1, 0]])
        return cv2.warpAffine(frame, matrix, (width, height))

    return edit


def falling_snow(p: Params, scene: Scene) -> Picture:
    rng = np.random.default_rng(p["seed"])
    flakes = [
        (rng.random(), rng.random(), rng.uniform(0.006, 0.018), rng.uniform(0.1, 0.4))
        for _ in range(p["flakes"])
    ]

    def edit(frame: Frame, t: float) -> Frame:
        out = frame.copy()
        height, width = frame.shape[:2]
        for x, y, size, pace in flakes:
            at = int(x * width), int((y + pace * t) % 1 * height)
            cv2.circle(out, at, max(1, int(size * height)), (255, 255, 255), -1, cv2.LINE_AA)
        return out

    return edit


def blinds(p: Params, scene: Scene) -> Picture:
    """Every other stripe is black."""

    def edit(frame: Frame, t: float) -> Frame:
        out = frame.copy()
        out[np.arange(len(frame)) * p["count"] * 2 // len(frame) % 2 == 0] = 0
        return out

    return edit


def lattice(p: Params, scene: Scene) -> Picture:
    def edit(frame: Frame, t: float) -> Frame:
        out = frame.copy()
        height, width = frame.shape[:2]
        thick = max(1, round(p["width"] * width))
        for i in range(p["count"] + 1):
            x, y = i * width // p["count"], i * height // p["count"]
            cv2.line(out, (x, 0), (x, height), (0, 0, 0), thick)
            cv2.line(out, (0, y), (width, y), (0, 0, 0), thick)
        return out

    return edit


def _beside(scene: Scene, p: Params, count: int) -> list[Iterator[Frame]]:
    return [scene.other(i, p["from"]) for i in range(count)]


def half_transparent(p: Params, scene: Scene) -> Picture:
    """Other footage over it."""
    [other] = _beside(scene, p, 1)

    def edit(frame: Frame, t: float) -> Frame:
        over = cover(next(other), frame.shape[1], frame.shape[0])
        return cv2.addWeighted(frame, 1 - p["opacity"], over, p["opacity"], 0)

    return edit


def one_of_four(p: Params, scene: Scene) -> Picture:
    """With three other videos."""
    others = _beside(scene, p, 3)

    def edit(frame: Frame, t: float) -> Frame:
        size = frame.shape[1] // 2, frame.shape[0] // 2
        four = [cover(next(other), *size) for other in others]
        four.insert(p["place"], cv2.resize(frame, size, interpolation=cv2.INTER_AREA))
        rows = [np.concatenate(four[i : i + 2], 1) for i in (0, 2)]
        return np.concatenate(rows, 0)

    return edit


def in_a_phone(p: Params, scene: Scene) -> Picture:
    """On a phone's screen in a made picture, seen a little from the side."""
    rng = np.random.default_rng(p["seed"])
    off, ground = rng.uniform(-0.05, 0.05, (4, 2)), rng.integers(20, 230, 3)

    def edit(frame: Frame, t: float) -> Frame:
        height, width = frame.shape[:2]
        size = 640, 960
        out = np.empty((size[1], size[0], 3), np.uint8)
        out[:] = ground
        cv2.circle(out, (100, 120), 70, (80, 90, 200), -1)
        cv2.rectangle(out, (420, 700), (630, 940), (60, 140, 60), -1)
        w = 0.75 * size[0]
        half = np.array([w, w * height / width]) / 2
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        there = np.array([320, 430]) + corners * half + off * w
        here = (corners + 1) / 2 * (width, height)
        matrix = cv2.getPerspectiveTransform(here.astype(np.float32), there.astype(np.float32))
        lit = cv2.warpPerspective(np.full((height, width), 255, np.uint8), matrix, size)
        out[cv2.dilate(lit, np.ones((25, 25))) > 0] = 15
        out[lit > 0] = cv2.warpPerspective(frame, matrix, size)[lit > 0]
        return out

    return edit


def round_window(p: Params, scene: Scene) -> Picture:
    """`radius`: of the shorter side."""

    def edit(frame: Frame, t: float) -> Frame:
        height, width = frame.shape[:2]
        mask = np.zeros((height, width), np.uint8)
        cv2.circle(mask, (width // 2, height // 2), int(p["radius"] * min(width, height)), 255, -1)
        out = np.empty_like(frame)
        out[:] = GROUNDS[p["ground"]]
        out[mask > 0] = frame[mask > 0]
        return out

    return edit
