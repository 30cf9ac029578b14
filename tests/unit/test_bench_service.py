"""What the bench of the service sends, and what it makes of the answers."""

from __future__ import annotations

import json

import numpy as np

from api.schemas import MatchHashes
from bench.scale_hashes import WANDER
from bench.service import ASKED, FRAMES, RADIUS, Told, bodies, scenes
from hashdb.signals import SIGNAL_TYPES


def made(seed: int, n: int = 4 * FRAMES) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 32), dtype=np.uint8)


def asked_codes(body: bytes) -> np.ndarray:
    frames = json.loads(body)["fingerprints"][0]["frames"]
    return np.array([np.frombuffer(bytes.fromhex(f["hash"]), np.uint8) for f in frames])


def nearest(codes: np.ndarray, bank: np.ndarray) -> int:
    """The most bits that a code is off the bank's nearest."""
    off = np.unpackbits(codes[:, None] ^ bank[None], axis=2).sum(axis=2)
    return int(off.min(axis=1).max())


def test_one_request_in_ten_shows_what_is_stored() -> None:
    stored, other = made(1), made(2)
    sent = bodies(stored, other, 11, np.random.default_rng(0))
    for turn, body in enumerate(sent):
        assert MatchHashes.model_validate_json(body).duration == ASKED
        assert len(asked_codes(body)) == ASKED
        assert (nearest(asked_codes(body), stored) <= RADIUS) == (turn % 10 == 0)


def test_made_up_scenes_are_as_far_apart_as_unrelated_footage() -> None:
    """Beyond every radius: chance hits that real banks do not have would be measured as work."""
    real = made(3, 50)
    stored, other = scenes(real, 4000, seed=1), scenes(real, 4000, seed=2)
    assert stored.shape == other.shape == (4000, 32)
    off = min(
        int(np.bitwise_count(stored ^ code).sum(axis=1, dtype=np.int64).min()) for code in other
    )
    assert SIGNAL_TYPES["pdq"].radius + 10 < off < 90
    apart = np.bitwise_count(stored[1:40] ^ stored[:39]).sum(axis=1, dtype=np.int64)
    assert apart.max() <= WANDER[1]  # within a scene frames follow on one another


def test_only_verdicts_count_for_latencies() -> None:
    told = Told()
    for n in range(1, 101):
        told.note(n / 1000, 200, json.dumps({"timings_ms": {"total": float(n)}}).encode())
    told.note(9.0, 503, b"{}")
    assert told.row("x").split() == ["x", "100", "50.5", "99.0", "100.0", "{503:", "1}"]
    assert told.stage_row("x").split() == ["x", "total", "50.5"]
