"""Title cards are no evidence; pictures are, dark ones too."""

import numpy as np

from matcher.ground import flat_ground

RNG = np.random.default_rng(3)


def card(share, ground=16, ink=235):
    """A picture of which `share` is ink on a flat ground, with a codec's noise."""
    luma = np.full((360, 640), ground)
    luma[:, : round(640 * share)] = ink
    return np.clip(luma + RNG.integers(-2, 3, luma.shape), 0, 255).astype(np.uint8)


def test_text_on_a_flat_ground_is_a_card():
    assert flat_ground(card(0.1))
    assert flat_ground(card(0.15, ground=250, ink=10))
    assert flat_ground(card(0.0))


def test_a_picture_is_none():
    assert not flat_ground(card(0.3))
    assert not flat_ground(RNG.integers(0, 256, (360, 640)).astype(np.uint8))


def test_a_dark_picture_with_shades_is_none():
    ramp = np.linspace(0, 40, 640)[None, :].repeat(360, axis=0)
    assert not flat_ground(ramp.astype(np.uint8))


def test_any_size():
    for shape in [(1, 1), (3, 2000), (5000, 2)]:
        assert flat_ground(np.zeros(shape, np.uint8))
