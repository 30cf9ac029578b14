"""Effects of phones' editors that show other moments of the same video: backwards, late, in
stripes, several at once. Builders as in `pictures`; they are given the frames in order."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

import cv2
import numpy as np

from bench.robustness.pictures import Params, Scene
from bench.robustness.video import Frame, Picture


class _Past:
    """The last frames of so many seconds."""

    def __init__(self, scene: Scene, seconds: float) -> None:
        self._fps = scene.fps
        self._frames: deque[Frame] = deque(maxlen=int(seconds * scene.fps) + 2)

    def see(self, frame: Frame) -> None:
        self._frames.append(frame.copy())

    def ago(self, seconds: float) -> Frame:
        """The frame of so long ago; the oldest one that is known where that is longer."""
        return self._frames[max(0, len(self._frames) - 1 - round(seconds * self._fps))]


def _late(scene: Scene, most: float, delay: Callable[[float], float]) -> Picture:
    """Each moment `delay(t)` seconds late, `most` at most."""
    past = _Past(scene, most)

    def edit(frame: Frame, t: float) -> Frame:
        past.see(frame)
        return past.ago(delay(t))

    return edit


def boomerang(p: Params, scene: Scene) -> Picture:
    """Forward for `every` seconds, then the same backwards, again and again."""
    return _late(scene, 2 * p["every"], lambda t: 2 * max(0.0, t % (2 * p["every"]) - p["every"]))


def speed_ramp(p: Params, scene: Scene) -> Picture:
    """Faster and slower, `rate` times a second."""
    return _late(scene, 2.0, lambda t: 1 + p["depth"] * math.sin(2 * math.pi * p["rate"] * t))


def stutter(p: Params, scene: Scene) -> Picture:
    """Every so often the picture stands for `hold` seconds."""
    return _late(scene, p["hold"], lambda t: t % p["every"] if t % p["every"] < p["hold"] else 0.0)


def four_moments(p: Params, scene: Scene) -> Picture:
    """Now, and 0.5, 1 and 1.5 seconds ago, in four quarters."""
    past = _Past(scene, 2.0)

    def edit(frame: Frame, t: float) -> Frame:
        past.see(frame)
        size = frame.shape[1] // 2, frame.shape[0] // 2
        four = [cv2.resize(past.ago(i / 2), size, interpolation=cv2.INTER_AREA) for i in range(4)]
        return np.concatenate([np.concatenate(four[i : i + 2], 1) for i in (0, 2)], 0)

    return edit


def slit_scan(p: Params, scene: Scene) -> Picture:
    """The lower a row, the longer ago it was, `depth` seconds at most."""
    past, stripes = _Past(scene, p["depth"]), 16

    def edit(frame: Frame, t: float) -> Frame:
        past.see(frame)
        rows = np.linspace(0, len(frame), stripes + 1).astype(int)
        out = np.empty_like(frame)
        for i, (top, end) in enumerate(zip(rows, rows[1:], strict=False)):
            out[top:end] = past.ago(p["depth"] * i / stripes)[top:end]
        return out

    return edit


def over_itself(p: Params, scene: Scene) -> Picture:
    """Half transparent, over itself of a second ago."""
    past = _Past(scene, 1.0)

    def edit(frame: Frame, t: float) -> Frame:
        past.see(frame)
        return cv2.addWeighted(frame, 0.5, past.ago(1.0), 0.5, 0)

    return edit


def strobe(p: Params, scene: Scene) -> Picture:
    """`run` frames of it, as many of black."""
    return lambda frame, t: frame if int(t * scene.fps) // p["run"] % 2 else np.zeros_like(frame)


def wipes(p: Params, scene: Scene) -> Picture:
    """Mirrored, or on its head, and as it was, in turns."""

    def edit(frame: Frame, t: float) -> Frame:
        other = np.rot90(frame, 2) if p["on_its_head"] else frame[:, ::-1]
        return frame if int(t / p["every"]) % 2 else np.ascontiguousarray(other)

    return edit
