"""pHash is imagehash's."""

from __future__ import annotations

import imagehash
import numpy as np
import pytest
from PIL import Image

from matcher.hashers import pdq, phash
from tests.golden.pictures import KINDS, hills

# `str(imagehash.phash(Image.fromarray(hills(180, 240, 7))))` of imagehash 4.3.2.
KNOWN = "f87e27a9d20498e6"


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (32, 32), (180, 255)])
def test_the_bytes_are_those_of_imagehashs_text(kind: str, shape: tuple[int, int]) -> None:
    luma = KINDS[kind](*shape, 3)
    assert phash.hash(luma).hex() == str(imagehash.phash(Image.fromarray(luma)))


def test_a_known_hash() -> None:
    assert phash.hash(hills(180, 240, 7)).hex() == KNOWN


@pytest.mark.parametrize("shape", [(257, 40), (255, 256), (360, 641), (1080, 1920), (1087, 1919)])
def test_a_large_picture_is_reduced_first_which_moves_little(shape: tuple[int, int]) -> None:
    luma = hills(*shape, 5)
    ours = int(phash.hash(luma).hex(), 16)
    assert (ours ^ int(str(imagehash.phash(Image.fromarray(luma))), 16)).bit_count() <= 2


def test_a_part_of_a_picture_hashes_as_its_copy() -> None:
    part = hills(200, 300, 1)[10:150, 20:280]
    assert phash.hash(part) == phash.hash(part.copy())


def test_the_hasher_gives_one_placing() -> None:
    luma = hills(100, 100, 2)
    codes = phash.Hasher().hash(pdq.look(luma))
    assert codes.shape == (1, 8)
    assert codes.dtype == np.uint8
    assert codes.tobytes() == phash.hash(luma)
