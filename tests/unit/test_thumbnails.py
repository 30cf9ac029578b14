"""Pictures reduced to a few pixels."""

from __future__ import annotations

import numpy as np
import pytest

from matcher.thumbnails import thumbnail


@pytest.mark.parametrize("left_over", [0, 1, 15])
def test_each_pixel_is_the_mean_of_a_block(left_over: int) -> None:
    rng = np.random.default_rng(3)
    luma = rng.integers(0, 256, (16 * 10 + left_over, 16 * 9 + left_over), dtype=np.uint8)

    small = thumbnail(luma, 16)

    blocks = luma[: 16 * 10, : 16 * 9].reshape(16, 10, 16, 9).mean(axis=(1, 3))
    assert np.abs(small - blocks).max() <= 0.5
    assert small.dtype == np.uint8


def test_a_picture_that_is_smaller_is_enlarged() -> None:
    assert thumbnail(np.full((8, 40), 90, np.uint8), 16).tolist() == [[90] * 16] * 16


def test_of_a_small_picture_all_is_seen() -> None:
    luma = np.zeros((31, 31), np.uint8)
    luma[:, -8:] = 200
    assert thumbnail(luma, 16)[:, -1].min() == 200
