"""What the bench of the service sends, and what it makes of the answers."""

from __future__ import annotations

import json

import numpy as np

from api.schemas import MatchHashes
from bench.service import ASKED, FRAMES, RADIUS, Told, bodies, scenes


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


def test_no_title_card_is_among_made_up_scenes() -> None:
    real = made(3, 50)
    codes = scenes(real, 5000, seed=1)
    assert len(codes) > 4500
    assert not (codes == real[0]).all(axis=1).any()


def test_only_verdicts_count_for_latencies() -> None:
    told = Told()
    for n in range(1, 101):
        told.note(n / 1000, 200, json.dumps({"timings_ms": {"total": float(n)}}).encode())
    told.note(9.0, 503, b"{}")
    assert told.row("x").split() == ["x", "100", "50.5", "99.0", "100.0", "{503:", "1}"]
    assert told.stage_row("x").split() == ["x", "total", "50.5"]
