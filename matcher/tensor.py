"""Pictures into a model's input tensor, and its output tensor into scores or vectors. What the
remote and the in-process models have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hashdb.model import Classification
from matcher.ports import Picture

SIDE = 224
"""Width and height where a model leaves them open."""

MOST_SIDE = 2048
MOST_BATCH = 256
"""More than any picture model takes: a shape beyond it is a mistake, not worth its memory."""

MOST_NUMBERS = 8192
"""Of one picture's vector: more than any descriptor has, and a bank's memory is so many times as
many bytes."""

SLACK = 1e-3
"""How far outside 0 to 1 a score may lie by rounding (16-bit floats)."""


class OddTensor(ValueError):
    """A shape or a value that does not fit; the text says which."""


@dataclass(frozen=True, slots=True)
class Normalise:
    """`(x / 255 - mean) / std` for each of red, green and blue, for models that take floats."""

    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Layout:
    """How a model wants pictures. `batch`: how many at once, None for any number;
    `channels_first`: (n, 3, height, width), else (n, height, width, 3)."""

    batch: int | None
    channels_first: bool
    height: int
    width: int


def read_layout(
    shape: Sequence[object], channels_first: bool | None = None, size: int | None = None
) -> Layout:
    """The layout of a 4-dimensional input shape, in which -1, None or a name leaves a dimension
    open. `channels_first` and `size`, width and height, decide where the shape does not. Raises
    `OddTensor`."""
    if len(shape) != 4:
        raise OddTensor(f"input shape {list(shape)} does not have 4 dimensions")
    sizes = [d if isinstance(d, int) and d > 0 else None for d in shape]
    if channels_first is None:
        if sizes[1] != 3 and sizes[3] != 3:
            raise OddTensor(f"input shape {list(shape)} does not say where its 3 colours are")
        channels_first = sizes[1] == 3
    colours = sizes[1] if channels_first else sizes[3]
    if colours not in (3, None):
        raise OddTensor(f"input shape {list(shape)} has {colours} colours, not 3")
    height, width = sizes[2:] if channels_first else sizes[1:3]
    if size is not None and (height not in (size, None) or width not in (size, None)):
        raise OddTensor(f"input shape {list(shape)} does not take pictures of {size} x {size}")
    side = size or SIDE
    layout = Layout(sizes[0], channels_first, height or side, width or side)
    if max(layout.height, layout.width) > MOST_SIDE or (layout.batch or 0) > MOST_BATCH:
        raise OddTensor(f"input shape {list(shape)} is too large")
    return layout


def batches(pictures: Sequence[Picture], layout: Layout) -> list[list[Picture]]:
    """The pictures in the numbers that the model takes; the last one fills up the last batch."""
    size = layout.batch or len(pictures)
    filled = [*pictures, *[pictures[-1]] * (-len(pictures) % size)]
    return [filled[i : i + size] for i in range(0, len(filled), size)]


def as_bytes(pictures: Sequence[Picture], layout: Layout) -> NDArray[np.uint8]:
    """(n, 3, H, W) or (n, H, W, 3) uint8 of (h, w, 3) uint8 RGB pictures, scaled bilinearly."""
    size = (layout.width, layout.height)
    scaled = [
        p
        if p.shape[:2] == (layout.height, layout.width)
        else np.asarray(Image.fromarray(p).resize(size, Image.Resampling.BILINEAR))
        for p in pictures
    ]
    stacked = np.stack(scaled)
    return np.ascontiguousarray(stacked.transpose(0, 3, 1, 2) if layout.channels_first else stacked)


def as_floats(
    pictures: Sequence[Picture], layout: Layout, normalise: Normalise
) -> NDArray[np.float32]:
    """The same as float32, normalised."""
    shape = (1, 3, 1, 1) if layout.channels_first else (1, 1, 1, 3)
    mean = np.array(normalise.mean, dtype=np.float32).reshape(shape)
    std = np.array(normalise.std, dtype=np.float32).reshape(shape)
    tensor = as_bytes(pictures, layout).astype(np.float32)
    return np.asarray((tensor / np.float32(255) - mean) / std, dtype=np.float32)


def as_scores(
    outputs: Sequence[NDArray[np.float64]], pictures: int, labels: Sequence[str], source: str
) -> tuple[Classification, ...]:
    """One score a label: the highest of all pictures, since harm may show in one moment only.

    `outputs`: of each batch (batch, labels) probabilities, or (batch,) for a single label; what
    goes beyond `pictures` filled up the last batch. Raises `OddTensor` for other shapes and for
    values outside 0 to 1.
    """
    shapes = [list(o.shape) for o in outputs]
    if any(o.ndim == 0 or o.size != o.shape[0] * len(labels) for o in outputs):
        raise OddTensor(f"output of shape {shapes[0]} does not fit {len(labels)} labels")
    table = np.concatenate([o.reshape(-1, len(labels)) for o in outputs])
    if len(table) < pictures:
        raise OddTensor(f"output of shape {shapes[0]} does not fit {pictures} pictures")
    table = table[:pictures]
    if not np.all((table >= -SLACK) & (table <= 1 + SLACK)):
        raise OddTensor("the output is not probabilities: a value lies outside 0 to 1")
    best = np.clip(table.max(axis=0), 0.0, 1.0)
    return tuple(
        Classification(label, float(score), source)
        for label, score in zip(labels, best, strict=True)
    )


def as_vectors(outputs: Sequence[NDArray[np.float64]], pictures: int) -> NDArray[np.float32]:
    """(pictures, d) vectors of length 1, or of length 0 where the model gives nothing but zeros.

    `outputs`: of each batch (batch, d), or that with further dimensions of 1; what goes beyond
    `pictures` filled up the last batch. Raises `OddTensor` for other shapes, for more than
    `MOST_NUMBERS` a picture, and for values that are not finite.
    """
    shape = list(outputs[0].shape)
    wide = outputs[0].size // max(1, len(outputs[0])) if outputs[0].ndim >= 2 else 0
    if max(shape[1:], default=0) != wide or not 2 <= wide <= MOST_NUMBERS:
        raise OddTensor(f"output of shape {shape} is not one vector for each picture")
    table = np.concatenate([o.reshape(-1, wide) for o in outputs])
    if len(table) < pictures:
        raise OddTensor(f"output of shape {shape} does not fit {pictures} pictures")
    table = table[:pictures]
    if not np.isfinite(table).all():
        raise OddTensor("the output is no vector: a value is not finite")
    lengths = np.linalg.norm(table, axis=1, keepdims=True)
    return np.asarray(table / np.maximum(lengths, 1e-12), dtype=np.float32)
