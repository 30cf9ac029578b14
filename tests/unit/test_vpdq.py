"""vPDQ lists: what the published tools write is read, and the other way round."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hashdb.errors import BadFingerprint
from hashdb.model import Fingerprint
from matcher.hashers.vpdq import read_vpdq, write_vpdq_json, write_vpdq_text

# The first lines of `sample-hashes/chair-orig-22-sd-bar.txt`, published with vpdq 0.2.5 (BSD).
PUBLISHED = """\
0,100,34ada6b96d18d2491a79f80f07f2c9936fe6083dfb6983d8a4a36db40034df54,0.000
1,100,a5ad66b96d58d2491a79f80f07f2c1936fe6083dfb4983d8a4a36db40034df54,0.033
2,100,a52d26b96d38d3491a79f80f0ff2c1936fe6083dfb4983d8a4a36db40034df54,0.067
"""
CODE = "34ada6b96d18d2491a79f80f07f2c9936fe6083dfb6983d8a4a36db40034df54"


def some(offsets: list[float]) -> Fingerprint:
    n = len(offsets)
    rng = np.random.default_rng(7)
    return Fingerprint(
        "pdq",
        "pdq-luma-1",
        rng.integers(0, 256, (n, 32), dtype=np.uint8),
        np.array(offsets),
        np.zeros(n),
        rng.integers(0, 101, n).astype(np.uint8),
    )


def peer_json(times: list[float]) -> str:
    """As threatexchange 1.2.17 prints it: `f"{hex},{quality},{timestamp:.3}"`."""
    return json.dumps([f"{CODE},100,{t:.3}" for t in times])


def test_the_published_text_form_is_read() -> None:
    read = read_vpdq(PUBLISHED)
    assert (read.signal_type, read.pipeline) == ("pdq", "vpdq")
    assert read.codes.shape == (3, 32)
    assert read.codes[0].tobytes().hex() == CODE
    assert read.offsets.tolist() == [0.0, 0.033, 0.067]
    assert read.quality.tolist() == [100, 100, 100]
    assert read.spans.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("write", [write_vpdq_text, write_vpdq_json])
def test_what_is_written_is_read_again(write: object) -> None:
    ours = some([0.0, 0.5, 99.966667, 4321.123456])
    read = read_vpdq(write(ours))  # type: ignore[operator]
    assert np.array_equal(read.codes, ours.codes)
    assert np.array_equal(read.quality, ours.quality)
    assert np.allclose(read.offsets, ours.offsets, atol=1e-6)


def test_the_text_form_has_the_peers_four_fields() -> None:
    lines = write_vpdq_text(some([0.0, 1.5])).splitlines()
    number, quality, code, seconds = lines[1].split(",")
    assert number == "1"
    assert 0 <= int(quality) <= 100
    assert len(code) == 64
    assert float(seconds) == 1.5


def test_the_older_json_form_is_read() -> None:
    old = {"0": {"quality": 90, "hash": CODE, "timestamp": 0.0}}
    old["30"] = {"quality": 91, "hash": CODE, "timestamp": 1.001}
    read = read_vpdq(json.dumps(old))
    assert read.offsets.tolist() == [0.0, 1.001]
    assert read.quality.tolist() == [90, 91]


def test_times_of_three_digits_are_worked_out_again() -> None:
    times = [i * 1.001 for i in range(2000)]
    printed = peer_json(times)
    assert '1.23e+02"' in printed
    assert np.abs(read_vpdq(printed).offsets - times).max() < 0.02


def test_frame_numbers_give_the_rate_where_seconds_are_coarse() -> None:
    numbers = [n for n in range(0, 18000, 30) if n % 7]  # some frames are left out
    lines = [f"{n},100,{CODE},{n / 29.97:.3}" for n in numbers]
    read = read_vpdq("\n".join(lines))
    assert np.abs(read.offsets - np.array(numbers) / 29.97).max() < 0.02


def test_an_unsteady_rate_is_left_as_it_was_printed() -> None:
    times = [float(i) for i in range(100)] + [float(100 + 3 * i) for i in range(200)]
    assert np.array_equal(read_vpdq(peer_json(times)).offsets, [float(f"{t:.3}") for t in times])


def test_frames_out_of_order_are_sorted_by_time() -> None:
    lines = PUBLISHED.splitlines()
    read = read_vpdq("\n".join(reversed(lines)))
    assert np.array_equal(read.codes, read_vpdq(PUBLISHED).codes)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "no frames"),
        ("[]", "no frames"),
        (PUBLISHED + "3,100,zz,0.1\n", "line 4"),
        (PUBLISHED + "\n3,100," + CODE, "line 5"),
        (f"0,101,{CODE},0.0", "line 1"),
        (f"0,-1,{CODE},0.0", "line 1"),
        (f"x,50,{CODE},0.0", "line 1"),
        (f"0,50,{CODE},nan", "line 1"),
        (f"0,50,{CODE},-1", "line 1"),
        (f"0,50,{CODE},1e400", "line 1"),
        (f"0,50,{CODE[:-2]},0.0", "line 1"),
        (json.dumps([f"{CODE},50,0.0", f"{CODE},50"]), "entry 2"),
        (json.dumps([f"{CODE},50,0.0", 7]), "entry 2"),
        (json.dumps({"0": {"quality": 50, "hash": CODE}}), "entry 1"),
        ("[" * 100_000, "JSON"),
        ("[1,", "JSON"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, where: str) -> None:
    with pytest.raises(BadFingerprint, match=where):
        read_vpdq(text)


def test_only_pdq_is_written() -> None:
    other = Fingerprint(
        "phash",
        "p",
        np.zeros((1, 8), np.uint8),
        np.zeros(1),
        np.zeros(1),
        np.zeros(1, np.uint8),
    )
    with pytest.raises(BadFingerprint, match="phash"):
        write_vpdq_text(other)
