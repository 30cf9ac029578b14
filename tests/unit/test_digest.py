"""Digests of a file."""

from __future__ import annotations

import io

from matcher.digest import CHUNK, digest_file


def test_the_published_digests_of_abc() -> None:
    """FIPS 180-4's and RFC 1321's own examples."""
    digests = digest_file(io.BytesIO(b"abc"))
    assert digests.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digests.md5 == "900150983cd24fb0d6963f7d28e17f72"


def test_the_file_is_read_from_its_beginning_and_rewound() -> None:
    file = io.BytesIO(b"x" * (2 * CHUNK + 5))
    whole = digest_file(file)
    file.seek(77)
    assert digest_file(file) == whole
    assert file.tell() == 0


def test_nothing_has_a_digest_too() -> None:
    assert digest_file(io.BytesIO()).md5 == "d41d8cd98f00b204e9800998ecf8427e"
