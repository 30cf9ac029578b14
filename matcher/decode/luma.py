"""Decoded pictures into the luma that people see: full range, upright, one byte a pixel.

The decoder's own Y plane is used where there is one: no colour conversion, and PDQ moves by 0.6
to 1.4 of 256 bits against a conversion to RGB. Pixels that are not square stay as they are: the
hashes scale both sides to one size anyway.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from av import VideoFrame
from av.sidedata.sidedata import SideDataContainer
from numpy.typing import NDArray

from matcher.ports import Luma, Picture

# Limited ("video") range to full range: 16..235 to 0..255 (ITU-R BT.601, 2.5.1).
_EXPAND: NDArray[np.uint8] = np.clip(
    np.rint((np.arange(256) - 16) * (255.0 / 219.0)), 0, 255
).astype(np.uint8)
# ITU-R BT.601 weights of R, G and B, as PDQ uses them, in 1/65536.
_WEIGHTS = np.array([19595, 38470, 7471], dtype=np.uint32)

BLACK, WHITE = 0, 255
"""What a page may lay transparent pictures over."""

_DIFFERENT = 1.0  # levels of 255, in the mean

STRIP = 1 << 20
"""Pixels that are weighed at once."""

_PLAIN = re.compile(r"(yuvj?4[0-4][0-9]p|nv12|nv21|nv16|nv24|gray)$")
_DEEP = re.compile(r"(yuv4[0-4][0-9]p|gray)(9|10|12|14|16)le$")
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG
_UNSPECIFIED = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """How a stored picture is laid for display: transposed first, then flipped."""

    transpose: bool = False
    left_right: bool = False
    up_down: bool = False

    def apply(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The (H, W) or (H, W, 3) picture as it is displayed; contiguous."""
        if self.transpose:
            picture = picture.swapaxes(0, 1)
        if self.left_right:
            picture = picture[:, ::-1]
        if self.up_down:
            picture = picture[::-1]
        return np.ascontiguousarray(picture)


UPRIGHT = Turn()


def turn_of_matrix(matrix: bytes) -> Turn:
    """The nearest of the eight placings to a display matrix: nine native int32, as FFmpeg and
    ISO/IEC 14496-12 (6.2.2) keep it; (x, y) is shown at (a x + c y, b x + d y)."""
    if len(matrix) < 36:
        return UPRIGHT
    a, b, _, c, d = struct.unpack_from("=5i", matrix)
    if not (a or b or c or d):
        return UPRIGHT
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Turn(False, a < 0, d < 0)
    return Turn(True, c < 0, b < 0)


def turn_of(frame: VideoFrame) -> Turn:
    """How this frame is laid for display."""
    # Not `frame.side_data`: the frame keeps that, and it the frame, until the garbage collection.
    data: Any = SideDataContainer(frame).get("DISPLAYMATRIX")  # type: ignore[call-arg]
    return UPRIGHT if data is None else turn_of_matrix(bytes(data))


def _plane(frame: VideoFrame, dtype: type[np.uint8] | type[np.uint16]) -> NDArray[Any] | None:
    """The first plane as (H, W), a view, or None where its lines run backwards."""
    plane = frame.planes[0]
    size = np.dtype(dtype).itemsize
    if plane.line_size < frame.width * size:
        return None
    rows = np.frombuffer(memoryview(plane), dtype=np.uint8)[: plane.line_size * frame.height]
    lines = rows.reshape(frame.height, plane.line_size)
    values: NDArray[Any] = lines[:, : frame.width * size].view(dtype)
    return values


def _expanded(plane: NDArray[np.uint8]) -> Luma:
    """(H, W) of limited range to full range."""
    return np.asarray(cv2.LUT(plane, _EXPAND), np.uint8)


def _is_full_range(frame: VideoFrame) -> bool:
    name = frame.format.name
    if name.startswith("yuvj") or frame.color_range == _FULL_RANGE:
        return True
    return name.startswith("gray") and frame.color_range == _UNSPECIFIED


def luma_of_rgb(rgb: NDArray[np.uint8], backdrop: int = BLACK) -> Luma:
    """(H, W, 3) or (H, W, 4) uint8 into (H, W) uint8 by BT.601 weights; what is transparent is
    laid over the backdrop. In strips: sums are four times as large as what they are of."""
    height, width = rgb.shape[:2]
    luma = np.empty((height, width), np.uint8)
    for strip in strips(height, width):
        weighted = (rgb[strip, :, :3].astype(np.uint32) @ _WEIGHTS + 32768) >> 16
        if rgb.shape[-1] == 4:
            alpha = rgb[strip, :, 3].astype(np.uint32)
            weighted = (weighted * alpha + backdrop * (255 - alpha) + 127) // 255
        luma[strip] = weighted
    return luma


def looks_different(one: Luma, other: Luma) -> bool:
    """Whether it may matter which of two pictures of one size is shown."""
    return float(cv2.norm(one, other, cv2.NORM_L1)) > _DIFFERENT * one.size


def strips(height: int, width: int) -> Iterator[slice]:
    """The rows of a picture, some at a time, of about `STRIP` pixels."""
    rows = max(1, STRIP // max(1, width))
    for top in range(0, height, rows):
        yield slice(top, min(top + rows, height))


def _has_alpha(name: str) -> bool:
    return bool(re.match(r"(yuva|gbrap|rgba|bgra|argb|abgr|ya\d|pal8|ayuv|vuya)", name))


def _by_conversion(frame: VideoFrame) -> Luma:
    """Formats that have no plain Y plane: by way of RGB, or of planar YUV."""
    name = frame.format.name
    if _has_alpha(name):
        return luma_of_rgb(frame.to_ndarray(format="rgba", threads=1))  # type: ignore[arg-type]
    if frame.format.is_rgb or name.startswith(("gbr", "mono", "bayer")):
        return luma_of_rgb(frame.to_ndarray(format="rgb24", threads=1))  # type: ignore[arg-type]
    planar = frame.reformat(format="yuv444p", threads=1)
    plane = _plane(planar, np.uint8)
    assert plane is not None
    return plane.copy() if _is_full_range(frame) else _expanded(plane)


def stored_luma(frame: VideoFrame) -> Luma:
    """(H, W) uint8, full range, as the frame is stored (not yet turned)."""
    name = frame.format.name
    if _PLAIN.match(name):
        plane = _plane(frame, np.uint8)
        if plane is not None:
            return plane.copy() if _is_full_range(frame) else _expanded(plane)
    deep = _DEEP.match(name)
    if deep:
        plane = _plane(frame, np.uint16)
        if plane is not None:
            shallow = (plane >> (int(deep.group(2)) - 8)).astype(np.uint8)
            return shallow if _is_full_range(frame) else _expanded(shallow)
    return _by_conversion(frame)


def displayed_luma(frame: VideoFrame) -> Luma:
    """(H, W) uint8, full range, as the frame is shown."""
    return turn_of(frame).apply(stored_luma(frame))


def on_each_backdrop(frame: VideoFrame) -> list[Luma]:
    """As the frame is shown over black, and over white where that shows something else."""
    on_black = displayed_luma(frame)
    if not _has_alpha(frame.format.name):
        return [on_black]
    rgba = frame.to_ndarray(format="rgba", threads=1)
    on_white = turn_of(frame).apply(luma_of_rgb(rgba, WHITE))  # type: ignore[arg-type]
    return [on_black, on_white] if looks_different(on_black, on_white) else [on_black]


def displayed_picture(frame: VideoFrame, side: int) -> Picture:
    """(side, side, 3) uint8 RGB, as the frame is shown, squeezed to a square."""
    small = frame.reformat(width=side, height=side, format="rgb24", threads=1).to_ndarray()
    return turn_of(frame).apply(small)  # type: ignore[arg-type]
