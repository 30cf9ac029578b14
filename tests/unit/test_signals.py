"""Hex texts and packed codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hashdb.errors import BadFingerprint
from hashdb.signals import codes_from_hex, codes_to_hex

HASH = "0123456789abcdef" * 4


def test_codes_come_back_as_they_were() -> None:
    codes = np.random.default_rng(1).integers(0, 256, (5, 32), dtype=np.uint8)
    assert (codes_from_hex("pdq", codes_to_hex(codes)) == codes).all()


def test_capitals_are_read_and_none_are_none() -> None:
    assert (codes_from_hex("pdq", [HASH.upper()]) == codes_from_hex("pdq", [HASH])).all()
    assert codes_from_hex("phash", []).shape == (0, 8)


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ([HASH, "zz" * 32], "is not hex"),
        ([HASH, None], "None is not hex"),
        ([HASH, ""], "a pdq hash has 64 hex digits"),
        ([HASH + "ab", HASH[:-2]], "a pdq hash has 64 hex digits"),  # as long as two
        ([HASH[:-2] + "  ", HASH], "a pdq hash has 64 hex digits"),
        (["ab " * 21 + "a", HASH], "is not hex"),
    ],
)
def test_what_is_wrong_is_said_of_the_one_that_is(texts: list[Any], words: str) -> None:
    with pytest.raises(BadFingerprint, match=words):
        codes_from_hex("pdq", texts)
