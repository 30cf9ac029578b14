"""Filters of phones' editors: what they do to the colours and the grain of a picture. Builders as
in `pictures`."""

from __future__ import annotations

import cv2
import numpy as np

from bench.robustness.pictures import Params, Scene
from bench.robustness.video import Frame, Picture

MAPS = {
    "jet": cv2.COLORMAP_JET,
    "hot": cv2.COLORMAP_HOT,
    "bone": cv2.COLORMAP_BONE,
    "cool": cv2.COLORMAP_COOL,
    "ocean": cv2.COLORMAP_OCEAN,
}

_BAYER = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) / 16 - 0.5


def _grey(frame: Frame) -> Frame:
    return cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)


def _three(grey: Frame) -> Frame:
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)


def pixelated(p: Params, scene: Scene) -> Picture:
    """`columns`: blocks to a row."""

    def edit(frame: Frame, t: float) -> Frame:
        height, width = frame.shape[:2]
        size = p["columns"], max(2, round(p["columns"] * height / width))
        small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        return cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)

    return edit


def posterised(p: Params, scene: Scene) -> Picture:
    step = 255 / (p["levels"] - 1)
    table = (np.round(np.arange(256) / step) * step).astype(np.uint8)
    return lambda frame, t: cv2.LUT(frame, table)


def dithered(p: Params, scene: Scene) -> Picture:
    """Three levels of each colour, by an ordered pattern, as in old GIFs."""

    def edit(frame: Frame, t: float) -> Frame:
        height, width = frame.shape[:2]
        pattern = np.tile(_BAYER, (height // 4 + 1, width // 4 + 1))[:height, :width, None]
        levels = np.round((frame / 255 + 0.4 * pattern) * 2) * 127.5
        return np.clip(levels, 0, 255).astype(np.uint8)

    return edit


def heat_map(p: Params, scene: Scene) -> Picture:
    return lambda frame, t: cv2.applyColorMap(_grey(frame), MAPS[p["map"]])


def swapped_colours(p: Params, scene: Scene) -> Picture:
    return lambda frame, t: np.ascontiguousarray(frame[..., ::-1])


def solarised(p: Params, scene: Scene) -> Picture:
    """What is brighter than `above` becomes its negative."""
    levels = np.arange(256)
    table = np.where(levels > p["above"], 255 - levels, levels).astype(np.uint8)
    return lambda frame, t: cv2.LUT(frame, table)


def black_or_white(p: Params, scene: Scene) -> Picture:
    """By Otsu's threshold."""

    def edit(frame: Frame, t: float) -> Frame:
        _, two = cv2.threshold(_grey(frame), 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
        return _three(two)

    return edit


def cartoon(p: Params, scene: Scene) -> Picture:
    """Flat colours and black outlines."""

    def edit(frame: Frame, t: float) -> Frame:
        flat = cv2.bilateralFilter(frame, 9, 60, 60) // 32 * 32 + 16
        soft = cv2.medianBlur(_grey(frame), 5)
        way = cv2.ADAPTIVE_THRESH_MEAN_C
        lines = cv2.adaptiveThreshold(soft, 255, way, cv2.THRESH_BINARY, 9, 6)
        return cv2.bitwise_and(flat, flat, mask=lines)

    return edit


def pencil_sketch(p: Params, scene: Scene) -> Picture:
    def edit(frame: Frame, t: float) -> Frame:
        grey = _grey(frame)
        soft = cv2.GaussianBlur(255 - grey, (0, 0), p["sigma"])
        return _three(cv2.divide(grey, 255 - soft, scale=256))

    return edit


def embossed(p: Params, scene: Scene) -> Picture:
    kernel = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], np.float32)
    return lambda frame, t: cv2.filter2D(frame, -1, kernel)


def deep_fried(p: Params, scene: Scene) -> Picture:
    """Contrast, edges, colours and the marks of JPEG, all far too much."""

    def edit(frame: Frame, t: float) -> Frame:
        hard = np.clip((frame.astype(np.float32) - 128) * p["contrast"] + 128, 0, 255)
        edges = hard - cv2.GaussianBlur(hard, (0, 0), 2)
        hsv = cv2.cvtColor(np.clip(hard + 2.5 * edges, 0, 255).astype(np.uint8), cv2.COLOR_BGR2HSV)
        hsv[..., 1] = cv2.multiply(hsv[..., 1], 2.5)
        _, jpeg = cv2.imencode(
            ".jpg", cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR), [cv2.IMWRITE_JPEG_QUALITY, p["quality"]]
        )
        return cv2.imdecode(jpeg, cv2.IMREAD_COLOR)

    return edit


def old_tape(p: Params, scene: Scene) -> Picture:
    """Colours beside their edges, trembling lines, dark ones among them, and a torn lower end."""
    rng = np.random.default_rng(p["seed"])

    def edit(frame: Frame, t: float) -> Frame:
        height, width = frame.shape[:2]
        parts = cv2.cvtColor(frame, cv2.COLOR_BGR2YCrCb)
        parts[..., 1], parts[..., 2] = np.roll(parts[..., 1], 8, 1), np.roll(parts[..., 2], -6, 1)
        parts[..., 1:] = cv2.blur(parts[..., 1:], (25, 3))
        shift = rng.normal(0, 1.5, height)
        shift[-height // 14 :] += np.linspace(0, 40, len(shift[-height // 14 :]))
        columns = (np.arange(width)[None] + shift.astype(int)[:, None]) % width
        image = cv2.cvtColor(parts, cv2.COLOR_YCrCb2BGR)
        image = np.take_along_axis(image, columns[..., None].repeat(3, 2), 1).astype(np.float32)
        image += rng.normal(0, 12, (height, width, 1))
        image[::3] *= 0.75
        return np.clip(image, 0, 255).astype(np.uint8)

    return edit


def ghosting(p: Params, scene: Scene) -> Picture:
    """Each frame keeps that part of those before it."""
    before: list[np.ndarray] = []

    def edit(frame: Frame, t: float) -> Frame:
        now = frame.astype(np.float32)
        if before and before[0].shape == now.shape:
            now = p["kept"] * before[0] + (1 - p["kept"]) * now
        before[:] = [now]
        return now.astype(np.uint8)

    return edit


def dark(p: Params, scene: Scene) -> Picture:
    """With darker corners."""

    def edit(frame: Frame, t: float) -> Frame:
        y, x = (np.linspace(-1, 1, side) ** 2 for side in frame.shape[:2])
        lit = p["factor"] * np.clip(1.1 - 0.5 * (y[:, None] + x), 0, 1)
        return (frame * lit[..., None]).astype(np.uint8)

    return edit


def night_vision(p: Params, scene: Scene) -> Picture:
    rng = np.random.default_rng(p["seed"])

    def edit(frame: Frame, t: float) -> Frame:
        out = np.zeros_like(frame)
        grain = rng.normal(0, p["sigma"], frame.shape[:2])
        out[..., 1] = np.clip(1.6 * _grey(frame) + grain, 0, 255)
        return out

    return edit


def flashing_negative(p: Params, scene: Scene) -> Picture:
    """A negative every other `every` seconds."""
    return lambda frame, t: cv2.bitwise_not(frame) if int(t / p["every"]) % 2 else frame


def local_contrast(p: Params, scene: Scene) -> Picture:
    """Adaptive histogram equalisation, as "HDR" filters do."""
    equal = cv2.createCLAHE(p["limit"], (8, 8))

    def edit(frame: Frame, t: float) -> Frame:
        lab = cv2.cvtColor(frame, cv2.COLOR_BGR2LAB)
        lab[..., 0] = equal.apply(np.ascontiguousarray(lab[..., 0]))
        return cv2.cvtColor(lab, cv2.COLOR_LAB2BGR)

    return edit
