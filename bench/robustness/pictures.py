"""Edits of the picture itself: colours, filters, crops, rotations, bars, sizes.

Each builder takes the drawn numbers and the scene and gives an edit of one frame. The list of
all, with the ranges that the numbers are drawn from, is in `edits`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import cv2
import numpy as np

from bench.robustness.video import Frame, Picture, endless

Params = Mapping[str, Any]

GROUNDS = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "red": (40, 40, 160),
    "blue": (150, 60, 30),
    "green": (60, 120, 40),
    "cream": (190, 220, 235),
}


@dataclass(frozen=True, slots=True)
class Scene:
    """What an edit may use besides the frame. `others`: files of other footage."""

    fps: int
    seconds: float
    others: tuple[Path, ...] = ()

    def other(self, number: int = 0, start: float = 0.0) -> Iterator[Frame]:
        return endless(self.others[number % len(self.others)], start, self.fps, 640)


@dataclass(frozen=True, slots=True)
class Edit:
    """`ranges`: (low, high) is drawn between, a list is chosen from (and drawn from again).

    `family`: of edits that are done together, there is at most one of each. `others`: how many
    files of other footage it needs. `build` None: done by the makers of copies (time, codec).
    """

    name: str
    tier: str
    family: str
    ranges: Mapping[str, Any]
    build: Callable[[Params, Scene], Picture] | None = None
    others: int = 0


def draw(ranges: Mapping[str, Any], rng: Random) -> dict[str, Any]:
    return {key: _drawn(given, rng) for key, given in ranges.items()}


def _drawn(given: Any, rng: Random) -> Any:
    if isinstance(given, list):
        return _drawn(rng.choice(given), rng)
    if isinstance(given, tuple):
        low, high = given
        whole = isinstance(low, int) and isinstance(high, int)
        return rng.randint(low, high) if whole else round(rng.uniform(low, high), 4)
    return given


def cover(frame: Frame, width: int, height: int) -> Frame:
    """Scaled to fill the size, what stands out is cut off."""
    scale = max(width / frame.shape[1], height / frame.shape[0])
    w, h = max(width, round(frame.shape[1] * scale)), max(height, round(frame.shape[0] * scale))
    big = cv2.resize(frame, (w, h), interpolation=_way(scale))
    x, y = (w - width) // 2, (h - height) // 2
    return big[y : y + height, x : x + width]


def fit(frame: Frame, width: int, height: int) -> Frame:
    """Scaled to lie within the size, whole."""
    scale = min(width / frame.shape[1], height / frame.shape[0])
    size = max(2, round(frame.shape[1] * scale)), max(2, round(frame.shape[0] * scale))
    return cv2.resize(frame, size, interpolation=_way(scale))


def _way(scale: float) -> int:
    return cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR


def _by_table(values: np.ndarray) -> Picture:
    table = np.clip(np.round(values), 0, 255).astype(np.uint8)
    return lambda frame, t: cv2.LUT(frame, table)


def brightness(p: Params, scene: Scene) -> Picture:
    return _by_table(np.arange(256.0) * p["contrast"] + p["offset"])


def gamma(p: Params, scene: Scene) -> Picture:
    return _by_table(255 * (np.arange(256) / 255) ** p["gamma"])


def inverted(p: Params, scene: Scene) -> Picture:
    return lambda frame, t: cv2.bitwise_not(frame)


def saturation(p: Params, scene: Scene) -> Picture:
    factor = p["factor"]
    weights = np.array([0.114, 0.587, 0.299])
    matrix = np.eye(3) * factor + (1 - factor) * np.tile(weights, (3, 1))
    return lambda frame, t: cv2.transform(frame, matrix)


def hue(p: Params, scene: Scene) -> Picture:
    shift = p["degrees"] / 2

    def edit(frame: Frame, t: float) -> Frame:
        hsv = cv2.cvtColor(frame, cv2.COLOR_BGR2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(np.int16) + round(shift)) % 180
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)

    return edit


def grey(p: Params, scene: Scene) -> Picture:
    return saturation({"factor": 0.0}, scene)


def sepia(p: Params, scene: Scene) -> Picture:
    matrix = np.array([[0.131, 0.534, 0.272], [0.168, 0.686, 0.349], [0.189, 0.769, 0.393]])
    return lambda frame, t: cv2.transform(frame, matrix)


def sharpened(p: Params, scene: Scene) -> Picture:
    amount = p["amount"]

    def edit(frame: Frame, t: float) -> Frame:
        soft = cv2.GaussianBlur(frame, (0, 0), p["sigma"])
        return cv2.addWeighted(frame, 1 + amount, soft, -amount, 0)

    return edit


def blurred(p: Params, scene: Scene) -> Picture:
    return lambda frame, t: cv2.GaussianBlur(frame, (0, 0), p["sigma"] * frame.shape[1] / 640)


def noise(p: Params, scene: Scene) -> Picture:
    """The same field of noise in every frame, moved to another place each time."""
    rng = np.random.default_rng(p["seed"])
    field = (rng.standard_normal((1200, 2400, 3), dtype=np.float32) * p["sigma"]).astype(np.int16)

    def edit(frame: Frame, t: float) -> Frame:
        height, width = frame.shape[:2]
        y = int(rng.integers(0, max(1, 1200 - height)))
        x = int(rng.integers(0, max(1, 2400 - width)))
        part = field[y : y + height, x : x + width]
        return cv2.add(frame, part, dtype=cv2.CV_8U) if part.shape == frame.shape else frame

    return edit


def mirrored(p: Params, scene: Scene) -> Picture:
    return lambda frame, t: cv2.flip(frame, 1)


def crop(p: Params, scene: Scene) -> Picture:
    """`keep`: share of width and of height; `x`, `y`: 0 is at the left or top edge, 1 opposite."""

    def edit(frame: Frame, t: float) -> Frame:
        height, width = frame.shape[:2]
        w, h = int(width * p["keep"]), int(height * p.get("keep_height", p["keep"]))
        x, y = int((width - w) * p["x"]), int((height - h) * p["y"])
        return frame[y : y + h, x : x + w]

    return edit


def shape_crop(p: Params, scene: Scene) -> Picture:
    """The largest part with the aspect `width` : 1, placed by `x` (0 left or top, 1 opposite)."""

    def edit(frame: Frame, t: float) -> Frame:
        height, width = frame.shape[:2]
        w, h = min(width, int(height * p["aspect"])), min(height, int(width / p["aspect"]))
        x, y = int((width - w) * p["x"]), int((height - h) * p["x"])
        return frame[y : y + h, x : x + w]

    return edit


def squeezed(p: Params, scene: Scene) -> Picture:
    def edit(frame: Frame, t: float) -> Frame:
        height, width = frame.shape[:2]
        size = round(width * p["width"]), round(height * p["height"])
        return cv2.resize(frame, size, interpolation=cv2.INTER_AREA)

    return edit


def bars(p: Params, scene: Scene) -> Picture:
    """Letterbox and pillarbox. `across`: each bar's share of the picture's width, `along`: of its
    height."""

    def edit(frame: Frame, t: float) -> Frame:
        height, width = frame.shape[:2]
        x, y = int(width * p["across"]), int(height * p["along"])
        out = np.empty((height + 2 * y, width + 2 * x, 3), np.uint8)
        if p["ground"] == "blurred":
            small = cover(frame, max(8, out.shape[1] // 8), max(8, out.shape[0] // 8))
            small = cv2.GaussianBlur(small, (0, 0), 3)
            out = cv2.resize(small, (out.shape[1], out.shape[0]))
        else:
            out[:] = GROUNDS[p["ground"]]
        out[y : y + height, x : x + width] = frame
        return out

    return edit


def scaled(p: Params, scene: Scene) -> Picture:
    """`lines`: pixels of the shorter side."""

    def edit(frame: Frame, t: float) -> Frame:
        scale = p["lines"] / min(frame.shape[:2])
        size = round(frame.shape[1] * scale), round(frame.shape[0] * scale)
        return cv2.resize(frame, size, interpolation=_way(scale))

    return edit


def turned(p: Params, scene: Scene) -> Picture:
    codes = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
    return lambda frame, t: cv2.rotate(frame, codes[p["degrees"]])


def rotated(p: Params, scene: Scene) -> Picture:
    """`corners`: black, or zoomed in so far that none is seen."""

    def edit(frame: Frame, t: float) -> Frame:
        height, width = frame.shape[:2]
        angle = math.radians(abs(p["degrees"]))
        longer = max(width / height, height / width)
        zoom = math.cos(angle) + longer * math.sin(angle) if p["corners"] == "zoomed" else 1.0
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), p["degrees"], zoom)
        return cv2.warpAffine(frame, matrix, (width, height), flags=cv2.INTER_LINEAR)

    return edit


def zoom_and_pan(p: Params, scene: Scene) -> Picture:
    """A window of the picture that slowly changes its size and place."""

    def edit(frame: Frame, t: float) -> Frame:
        height, width = frame.shape[:2]
        part = min(1.0, t / max(0.1, scene.seconds))
        zoom = p["zoom_from"] + (p["zoom_to"] - p["zoom_from"]) * part
        across = p["x_from"] + (p["x_to"] - p["x_from"]) * part
        along = p["y_from"] + (p["y_to"] - p["y_from"]) * part
        x, y = (width - width / zoom) * across, (height - height / zoom) * along
        matrix = np.array([[zoom, 0, -x * zoom], [0, zoom, -y * zoom]])
        return cv2.warpAffine(frame, matrix, (width, height), flags=cv2.INTER_LINEAR)

    return edit
