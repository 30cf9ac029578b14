"""Local features: binary codes of small patches, found again where a whole picture's hash is not.

ORB (Rublee et al., "ORB: an efficient alternative to SIFT or SURF", ICCV 2011), by OpenCV: corners
on a pyramid of scales, each with an angle, and 256 comparisons of brightness around it. Corners are
taken evenly over the picture, so that neither letters nor one busy corner use up all of them.

A query is described in four renderings at the price of one search for corners: the corners of a
mirrored picture are the mirrored corners, and inverting brightness turns each corner's angle by
half a turn and each comparison into its opposite.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hashdb.model import Floats, Ints, Rendering
from matcher.hashers import brief
from matcher.hashers.brief import SCALE, Corners
from matcher.ports import AnyLuma, FrameFeatures, Luma

PIPELINE = "orb-1"
REFERENCE_SIDE, REFERENCE_FEATURES = 448, 400
"""Pixels of the longer side, and features kept, of a reference's picture."""

QUERY_SIDE, QUERY_FEATURES = 512, 500
Sizes = tuple[tuple[int, int], ...]
ONE_REFERENCE: Sizes = ((REFERENCE_SIDE, REFERENCE_FEATURES), (896, 800))
ONE_QUERY: Sizes = ((QUERY_SIDE, QUERY_FEATURES), (1024, 1000))
"""Sides and features of an image, which is described once as a video's pictures are, and once more
at twice that size: no other pictures help to tell, and none are to be paid for. So a part of it is
found that was enlarged, and the whole where it was made small within another picture."""

ENLARGED = 2.0
"""Times as large as it is a small picture is described: corners lie at least `brief.EDGE` pixels
from its edges, which leaves next to nothing of a crop of 130 by 100."""

TWICE = 1.25
"""Times as large, at least, as the size before, or a size tells nothing new."""

FEWEST_LEVELS, ENOUGH_LEVELS = 8, 96
"""Shades of 255 between the darkest and the brightest hundredth of a picture: with less than the
first there is nothing in it, with less than the second it is spread."""

SMALLEST = 32
"""Pixels of the shorter side, once the picture is scaled: its smallest copies must not vanish."""

FEWEST = 8
"""Pictures with fewer features have none worth keeping."""

_LEVELS, _THRESHOLD = 8, 7
_OVERSAMPLED = 3
_CELLS = 6  # to each side: corners are taken in turn from cells of the picture
_DESCRIBED = 4096  # more than are ever asked for


@lru_cache(maxsize=4)
def _orb(count: int) -> Any:
    cv2.setNumThreads(1)
    return cv2.ORB.create(count, SCALE, _LEVELS, fastThreshold=_THRESHOLD)


def scaled(luma: AnyLuma, side: int) -> NDArray[np.uint8]:
    """The picture with its longer side at most `side` pixels, and twice as large where it is at
    most half of that."""
    picture = np.ascontiguousarray(luma, dtype=np.uint8)
    factor = side / max(picture.shape)
    if factor >= ENLARGED:
        picture = _resized(picture, ENLARGED, cv2.INTER_CUBIC)
    elif factor < 1:
        picture = _resized(picture, factor, cv2.INTER_AREA)
    return _stretched(picture)


def _resized(picture: NDArray[np.uint8], factor: float, how: int) -> NDArray[np.uint8]:
    height, width = (max(1, round(n * factor)) for n in picture.shape)
    return np.asarray(cv2.resize(picture, (width, height), interpolation=how), np.uint8)


def _stretched(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A dim or washed-out picture with its shades spread: corners are found by their contrast."""
    counts = np.bincount(picture[::4, ::4].ravel(), minlength=256)
    low, high = _hundredth(counts, 1), _hundredth(counts, 99)
    if not FEWEST_LEVELS < high - low < ENOUGH_LEVELS:
        return picture
    shades = np.clip((np.arange(256) - low) * (ENOUGH_LEVELS / (high - low)), 0, 255)
    return np.asarray(shades.astype(np.uint8)[picture])


def _hundredth(counts: Ints, wanted: int) -> float:
    """numpy's percentile, to the bit, of how many there are of each shade (256,): much sooner."""
    ends = np.cumsum(counts)
    at = wanted / 100 * (ends[-1] - 1)
    lower, upper = ends.searchsorted([int(at), min(int(at) + 1, ends[-1] - 1)], "right").tolist()
    part = at - int(at)
    between = (upper - lower) * (part if part < 0.5 else 1 - part)
    return float(lower + between if part < 0.5 else upper - between)


def _spread(at: NDArray[np.float32], strength: Floats, shape: tuple[int, int], count: int) -> Ints:
    """The rows of the strongest `count` corners (n, 2), taken in turns from the cells of a grid."""
    if len(at) <= count:
        return np.arange(len(at))
    height, width = shape
    row = np.minimum(at[:, 1] * _CELLS // height, _CELLS - 1)
    column = np.minimum(at[:, 0] * _CELLS // width, _CELLS - 1)
    cell = (row * _CELLS + column).astype(np.int16)
    strongest = np.argsort(-strength, kind="stable")
    in_cell = np.argsort(cell[strongest], kind="stable")
    cells = cell[strongest][in_cell]
    turn = np.empty(len(cells), dtype=np.int16)  # whose stable sort is quick; there are thousands
    turn[in_cell] = np.arange(len(cells)) - np.searchsorted(cells, cells)
    return strongest[np.argsort(turn, kind="stable")[:count]]


def corners(picture: NDArray[np.uint8], count: int) -> Corners:
    """The picture's at most `count` strongest, spread over it; the smallest octave first."""
    found = _orb(count * _OVERSAMPLED).detect(picture, None)
    if not found:
        return np.empty((0, 6))
    at = np.asarray(cv2.KeyPoint.convert(found), dtype=np.float32)
    strength = np.array([k.response for k in found])
    kept = _spread(at, strength, picture.shape, count)
    chosen = [found[i] for i in kept.tolist()]
    octave = np.array([k.octave for k in chosen])
    angle, size = np.array([k.angle for k in chosen]), np.array([k.size for k in chosen])
    each = np.column_stack([at[kept], size, angle, strength[kept], octave])
    return np.asarray(each[np.argsort(octave, kind="stable")])


def described_by_loops(
    picture: NDArray[np.uint8], known: Corners, renderings: Sequence[Rendering]
) -> Iterator[FrameFeatures]:
    """The corners' features in the `renderings`: the plain one, or all."""
    height, width = picture.shape
    codes = brief.describe(picture, known, every=len(renderings) > 1)
    for rendering, mine in zip(renderings, codes, strict=True):
        places = _turned(known, width, rendering)[:, :4].astype(np.float32)
        yield FrameFeatures(rendering, mine, places, width, height)


def described_by_opencv(
    picture: NDArray[np.uint8], known: Corners, renderings: Sequence[Rendering]
) -> Iterator[FrameFeatures]:
    """The same where Numba is not there. Those that are mirrored are described together, as are the
    others, for most of that is reducing and smoothing the picture."""
    for mirrored in (False, True):
        same = [r for r in renderings if r.mirrored is mirrored]
        if same:
            shown = np.ascontiguousarray(picture[:, ::-1]) if mirrored else picture
            yield from _alike(shown, known, same)


def _alike(
    picture: NDArray[np.uint8], known: Corners, renderings: Sequence[Rendering]
) -> Iterator[FrameFeatures]:
    """Of `renderings` that are all mirrored or all not, as `picture` is."""
    height, width = picture.shape
    turned = np.concatenate([_turned(known, width, rendering) for rendering in renderings])
    numbered = enumerate(turned.tolist())
    keypoints = [
        cv2.KeyPoint(x, y, size, angle, response, int(octave), number)
        for number, (x, y, size, angle, response, octave) in numbered
    ]
    kept, codes = _orb(_DESCRIBED).compute(picture, keypoints)
    numbers = np.array([k.class_id for k in kept], dtype=np.int64)
    places = turned[:, :4].astype(np.float32)[numbers]
    if codes is None:
        codes = np.zeros((0, 32), np.uint8)
    for place, rendering in enumerate(renderings):
        mine = numbers // max(1, len(known)) == place
        shown = ~codes[mine] if rendering.inverted else codes[mine]
        yield FrameFeatures(rendering, shown, places[mine], width, height)


def _turned(known: Corners, width: int, rendering: Rendering) -> Corners:
    """The corners as they are found in a rendering of the picture."""
    found = known.copy()
    turn = (180.0 if rendering.mirrored else 0.0) + (180.0 if rendering.inverted else 0.0)
    if rendering.mirrored:
        found[:, 0] = width - 1 - known[:, 0]
        found[:, 3] = (turn - known[:, 3]) % 360
    else:
        found[:, 3] = (turn + known[:, 3]) % 360
    return found


@dataclass(frozen=True, slots=True)
class LocalHasher:
    """Pictures into local features: the `matcher.ports.LocalHasher`."""

    pipeline: str = PIPELINE

    def reference(self, luma: AnyLuma, *, alone: bool = False) -> FrameFeatures | None:
        """The plain picture's features; None where there are too few. `alone`: it is an image."""
        sizes = ONE_REFERENCE if alone else ONE_REFERENCE[:1]
        found = _features(luma, sizes, (Rendering.PLAIN,))
        return found[0] if found else None

    def query(self, luma: AnyLuma, *, alone: bool = False) -> tuple[FrameFeatures, ...]:
        """One for each `Rendering`; none where there are too few. `alone`: it is an image."""
        return _features(luma, ONE_QUERY if alone else ONE_QUERY[:1], tuple(Rendering))

    def described(self, grey: Luma) -> tuple[FrameFeatures, ...]:
        """What `query` gives of a video's picture, of what `grey` gives of it."""
        return tuple(_of_one_size(grey, QUERY_FEATURES, tuple(Rendering)).values())

    def grey(self, luma: AnyLuma, described: FrameFeatures | None = None) -> Luma:
        """A video's picture as `query` describes it, or an image as it was `described`. It is no
        view of the frame."""
        if described is None:
            return scaled(luma, QUERY_SIDE).copy()
        pictures = (scaled(luma, side) for side, _ in reversed(ONE_QUERY))
        return next(p for p in pictures if p.shape == (described.height, described.width))


def _features(
    luma: AnyLuma, sizes: Sizes, renderings: Sequence[Rendering]
) -> tuple[FrameFeatures, ...]:
    """Those of all sizes, as places of the largest."""
    found: list[dict[Rendering, FrameFeatures]] = []
    last = 0
    for side, count in sizes:
        if min(side, max(luma.shape)) < TWICE * last:
            break
        picture = scaled(luma, side)
        last = max(picture.shape)
        each = _of_one_size(picture, count, renderings)
        if each:
            found.append(each)
    if not found:
        return ()
    return tuple(_together([each[r] for each in found]) for r in renderings)


def _together(some: Sequence[FrameFeatures]) -> FrameFeatures:
    """Features of one picture in one rendering, at several sizes, in pixels of the last."""
    last = some[-1]
    if len(some) == 1:
        return last
    places = []
    for one in some:
        grown = last.width / one.width
        places.append(one.places * np.array([grown, grown, grown, 1.0], np.float32))
    codes = np.concatenate([one.codes for one in some])
    return FrameFeatures(last.rendering, codes, np.concatenate(places), last.width, last.height)


def _of_one_size(
    picture: NDArray[np.uint8], count: int, renderings: Sequence[Rendering]
) -> dict[Rendering, FrameFeatures]:
    """Nothing where there are too few."""
    if min(picture.shape) < SMALLEST:
        return {}
    known = corners(picture, count)
    if len(known) < FEWEST:
        return {}
    described = described_by_loops if brief.COMPILED else described_by_opencv
    return {one.rendering: one for one in described(picture, known, renderings)}
