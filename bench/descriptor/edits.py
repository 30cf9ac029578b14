"""What people do to footage, done to single pictures: (h, w, 3) uint8 RGB in and out."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from matcher.ports import Picture

Edit = Callable[[Picture], Picture]

NOISE_SEED = 2019


def _cropped(picture: Picture, part: float) -> Picture:
    height, width = picture.shape[:2]
    top, left = int(height * (1 - part) / 2), int(width * (1 - part) / 2)
    return picture[top : height - top, left : width - left]


def _rotated(picture: Picture, degrees: float) -> Picture:
    height, width = picture.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    return cv2.warpAffine(picture, turn, (width, height)).astype(np.uint8)


def _quarter_turn(picture: Picture) -> Picture:
    return np.ascontiguousarray(np.rot90(picture))


def _inset(picture: Picture, part: float) -> Picture:
    """In the corner of a picture of stripes."""
    height, width = picture.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    ground = np.stack([(rows * 3) % 256, (columns * 2) % 256, (rows + columns) % 256], axis=2)
    whole = ground.astype(np.uint8)
    small = cv2.resize(picture, (int(width * part), int(height * part)))
    whole[16 : 16 + small.shape[0], 16 : 16 + small.shape[1]] = small
    return whole


def _boxed(picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    whole = np.zeros((height * 3 // 2, width, 3), dtype=np.uint8)
    whole[height // 4 : height // 4 + height] = picture
    return whole


def _filmed(picture: Picture) -> Picture:
    """A screen, filmed at an angle: perspective, blur, moire, dark corners, noise."""
    height, width = picture.shape[:2]
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=np.float32)
    moved = np.array([[0.06, 0.04], [0.95, 0.08], [0.93, 0.94], [0.04, 0.9]], dtype=np.float32)
    size = np.array([width, height], dtype=np.float32)
    tilt = cv2.getPerspectiveTransform(corners * size, moved * size)
    seen = cv2.warpPerspective(picture, tilt, (width, height), borderValue=(30, 28, 25))
    light = cv2.GaussianBlur(seen, (0, 0), 1.5).astype(np.float64)
    rows, columns = np.mgrid[:height, :width]
    light += 6 * np.sin(columns * 0.9 + rows * 0.35)[..., None]
    corner = ((columns / width - 0.5) ** 2 + (rows / height - 0.5) ** 2)[..., None]
    light *= 1 - 0.6 * corner
    light += np.random.default_rng(NOISE_SEED).normal(0, 6, light.shape)
    return np.clip(light, 0, 255).astype(np.uint8)


def _grey_square_dark(picture: Picture) -> Picture:
    grey = cv2.cvtColor(_cropped(picture, 0.8), cv2.COLOR_RGB2GRAY)
    return np.repeat((grey * 0.7).astype(np.uint8)[..., None], 3, axis=2)


EDITS: dict[str, Edit] = {
    "nothing": lambda p: p,
    "crop to 80 %": lambda p: _cropped(p, 0.8),
    "crop to 60 %": lambda p: _cropped(p, 0.6),
    "mirror": lambda p: np.ascontiguousarray(p[:, ::-1]),
    "rotated by 8 degrees": lambda p: _rotated(p, 8.0),
    "rotated by 90 degrees": _quarter_turn,
    "picture in picture, 70 %": lambda p: _inset(p, 0.7),
    "picture in picture, 50 %": lambda p: _inset(p, 0.5),
    "letterboxed": _boxed,
    "filmed": _filmed,
    "grey, cropped to 80 %, dark": _grey_square_dark,
}
