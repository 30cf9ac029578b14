"""The copy as a part of a larger picture, and the copy as filmed from a screen."""

from __future__ import annotations

import math
from random import Random

import cv2
import numpy as np

from bench.robustness.pictures import GROUNDS, Params, Scene, cover, fit
from bench.robustness.video import Frame, Picture


def inset(p: Params, scene: Scene) -> Picture:
    """Picture in picture: the copy, `width` of the whole, in a corner over other footage, which
    stands still where `still`."""
    other = scene.other(0, p["from"])
    grounds: list[Frame] = []

    def edit(frame: Frame, t: float) -> Frame:
        if not grounds or not p["still"]:
            height, width = ground_size(frame)
            grounds[:] = [cover(next(other), width, height)]
        out = grounds[0].copy()
        height, width = out.shape[:2]
        small = fit(frame, round(width * p["width"]), round(height * 0.9))
        gap = round(width * p["gap"])
        x = gap if "left" in p["corner"] else width - small.shape[1] - gap
        y = gap if "top" in p["corner"] else height - small.shape[0] - gap
        put(out, small, max(0, x), max(0, y))
        return out

    return edit


def ground_size(frame: Frame) -> tuple[int, int]:
    """(height, width), even: the frame's, or 16:9 of the same height where it stands upright."""
    height, width = frame.shape[:2]
    if height > width:
        height, width = width, round(width * 16 / 9)
    return height // 2 * 2, width // 2 * 2


def put(out: Frame, part: Frame, x: int, y: int) -> None:
    """Copy the part into `out` with its top left corner at `x`, `y`; what stands out is cut."""
    region = out[y : y + part.shape[0], x : x + part.shape[1]]
    region[:] = part[: region.shape[0], : region.shape[1]]


def split_screen(p: Params, scene: Scene) -> Picture:
    """Half of the width each. `way`: "squeezed", or "cropped" to the middle."""
    other = scene.other(0, p["from"])

    def edit(frame: Frame, t: float) -> Frame:
        height, width = ground_size(frame)
        half = width // 2
        parts = []
        for part in (frame, next(other)):
            if p["way"] == "squeezed":
                parts.append(cv2.resize(part, (half, height), interpolation=cv2.INTER_AREA))
            else:
                parts.append(cover(part, half, height))
        return np.hstack(parts if p["side"] == "left" else parts[::-1])

    return edit


def side_by_side(p: Params, scene: Scene) -> Picture:
    """Both whole, next to each other, bars above and below. `twice`: the copy on both sides."""
    other = scene.other(0, p["from"])

    def edit(frame: Frame, t: float) -> Frame:
        height, width = ground_size(frame)
        out = np.zeros((height, width, 3), np.uint8)
        pair = [frame, frame if p["twice"] else next(other)]
        for place, part in enumerate(pair if p["side"] == "left" else pair[::-1]):
            small = fit(part, width // 2 - 2, height)
            x = place * (width // 2) + (width // 2 - small.shape[1]) // 2
            put(out, small, x, (height - small.shape[0]) // 2)
        return out

    return edit


def blended(p: Params, scene: Scene) -> Picture:
    """Half transparent over other footage. `part`: how much of the light is the copy's."""
    other = scene.other(0, p["from"])

    def edit(frame: Frame, t: float) -> Frame:
        ground = cover(next(other), frame.shape[1], frame.shape[0])
        return cv2.addWeighted(frame, p["part"], ground, 1 - p["part"], 0)

    return edit


def reaction(p: Params, scene: Scene) -> Picture:
    """The copy large on a coloured ground, another video small at the side or below."""
    other = scene.other(0, p["from"])

    def edit(frame: Frame, t: float) -> Frame:
        height, width = ground_size(frame)
        out = np.empty((height, width, 3), np.uint8)
        out[:] = GROUNDS[p["ground"]]
        main = fit(frame, round(width * p["width"]), round(height * 0.92))
        face = cover(next(other), round(width * 0.28), round(width * 0.28 * p["face"]))
        gap = round(width * 0.03)
        left = p["side"] == "left"
        y = gap if p["below"] else (height - main.shape[0]) // 2
        put(out, main, gap if left else max(0, width - gap - main.shape[1]), max(0, y))
        x = width - gap - face.shape[1] if left else gap
        put(out, face, x, max(0, height - gap - face.shape[0] if p["below"] else gap))
        return out

    return edit


def filmed_screen(p: Params, scene: Scene) -> Picture:
    """As a phone films a screen: perspective, dark surround, shaking hand, moire, glare, noise,
    darker edges, and the bright band of two frame rates that do not agree."""
    rng = Random(p["seed"])
    corners = _corners(p, rng)
    surround = tuple(rng.randint(8, 45) for _ in range(3))
    tint = np.array([rng.uniform(0.88, 1.05) for _ in range(3)], np.float32)
    phases = [rng.uniform(0, 6.28) for _ in range(4)]
    light: dict[tuple[int, ...], tuple[Frame, Frame]] = {}
    grain = np.random.default_rng(p["seed"])

    def edit(frame: Frame, t: float) -> Frame:
        height, width = frame.shape[:2]
        if frame.shape not in light:
            light[frame.shape] = _light(p, width, height, tint, Random(p["seed"]))
        gain, glare = light[frame.shape]
        waves = [math.sin(t * f + a) for f, a in zip((5.1, 8.7, 4.3, 9.9), phases, strict=True)]
        x, y = p["shake"] * (waves[0] + waves[1] / 2), p["shake"] * (waves[2] + waves[3] / 2)
        source = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
        target = ((corners + (x, y)) * (width, height)).astype(np.float32)
        matrix = cv2.getPerspectiveTransform(source, target)
        out = cv2.warpPerspective(frame, matrix, (width, height), borderValue=surround)
        out = cv2.multiply(out, gain, scale=1 / 200, dtype=cv2.CV_8U)
        out = cv2.add(out, glare)
        speckle = grain.integers(-p["grain"], p["grain"] + 1, (height // 2, width // 2))
        rough = cv2.resize(speckle.astype(np.int16), (width, height))
        rows = np.sin(np.linspace(0, 6.28 * p["bands"], height) + t * p["beat"]) * p["depth"]
        rough += np.round(rows).astype(np.int16)[:, None]
        return cv2.add(out, cv2.merge([rough] * 3), dtype=cv2.CV_8U)

    return edit


def _corners(p: Params, rng: Random) -> np.ndarray:
    """(4, 2): where the screen's corners are, in shares of width and height."""
    square = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float64)
    moved = np.array([[rng.uniform(-1, 1) for _ in range(2)] for _ in range(4)])
    return 0.5 + (square - 0.5) * (1 - p["inset"]) + moved * p["tilt"]


def _light(
    p: Params, width: int, height: int, tint: np.ndarray, rng: Random
) -> tuple[Frame, Frame]:
    """(gain, 200 is 1.0; glare to be added): both (height, width, 3) uint8."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    edge = ((x / width - 0.5) ** 2 + (y / height - 0.5) ** 2) * p["vignette"]
    angle = rng.uniform(0.02, 0.12)
    fine = np.sin((x + y * angle) * rng.uniform(2.6, 3.0)) * np.sin((y - x * angle) * 2.85)
    coarse = np.sin((x * angle + y) * rng.uniform(0.15, 0.4) + np.sin(x / width * 5) * 3)
    moire = (fine * 0.6 + coarse * 0.4) * p["moire"]
    gain = (1 - edge + moire)[..., None] * tint
    spot = ((x / width - rng.random()) ** 2 + (y / height - rng.random()) ** 2) / p[
        "glare_size"
    ] ** 2
    glare = np.repeat((np.exp(-spot) * p["glare"])[..., None], 3, axis=2)
    return np.clip(gain * 200, 0, 255).astype(np.uint8), glare.astype(np.uint8)
