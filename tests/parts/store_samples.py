"""Builders for the store's tests: three lines of a test should say what matters in it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import md5, sha256
from typing import Any

import numpy as np

from hashdb.model import (
    Action,
    Bank,
    Classification,
    Coverage,
    Digests,
    Fingerprint,
    Match,
    MediaKind,
    Reason,
    Reference,
    Segment,
    SegmentPair,
    Signal,
    Verdict,
    View,
    now,
)
from hashdb.signals import SIGNAL_TYPES
from hashdb.store import Transaction

JUDGED = datetime(2026, 3, 15, 12, 30, 45, 123456, tzinfo=UTC)


def prints(
    n: int = 3,
    *,
    seed: int = 0,
    signal_type: str = "pdq",
    pipeline: str = "test/1",
    track: int = 0,
    view: View = View.FULL,
    start: float = 0.0,
) -> Fingerprint:
    random = np.random.default_rng(seed)
    width = SIGNAL_TYPES[signal_type].bits // 8
    return Fingerprint(
        signal_type,
        pipeline,
        random.integers(0, 256, (n, width), dtype=np.uint8),
        start + np.arange(n) / 3,
        random.random(n),
        random.integers(0, 101, n, dtype=np.uint8),
        track,
        view,
    )


def same(a: Fingerprint, b: Fingerprint) -> bool:
    """Equal to the bit."""
    plain = ("signal_type", "pipeline", "track", "view", "orientation")
    arrays = ("codes", "offsets", "spans", "quality")
    return all(getattr(a, f) == getattr(b, f) for f in plain) and all(
        getattr(a, f).dtype == getattr(b, f).dtype and np.array_equal(getattr(a, f), getattr(b, f))
        for f in arrays
    )


def later(days: float) -> datetime:
    """So many days from now."""
    return now() + timedelta(days=days)


def digests(text: str) -> Digests:
    return Digests(sha256(text.encode()).hexdigest(), md5(text.encode()).hexdigest())


def add(tx: Transaction, bank: Bank, text: str = "video", **other: Any) -> Reference:
    """A new reference with the digests of a text, without frames unless asked for."""
    values: dict[str, Any] = {
        "kind": MediaKind.VIDEO,
        "digests": digests(text),
        "fingerprints": (),
    } | other
    reference, new = tx.banks.add_reference(bank, **values)
    assert new
    return reference


def match(reference: Reference, *spans: float) -> Match:
    """match(r, 4, 14, 10, 18): seconds 4 to 14 of the upload are seconds 10 to 18 of `r`."""
    q0, q1, r0, r1 = spans or (0.0, 1.0, 2.0, 3.0)
    return Match(
        reference,
        score=0.875,
        signals=(Signal("pdq", 0.875), Signal("phash", 1 / 3)),
        segments=(SegmentPair(Segment(q0, q1), Segment(r0, r1)),),
    )


def verdict(upload_id: str, *matches: Match, action: Action = Action.ALLOW) -> Verdict:
    return Verdict(
        upload_id=upload_id,
        action=action,
        reason=Reason("no_match", "Nothing is known of it.", ("no_match", "classifier_low")),
        matches=matches,
        coverage=Coverage(10.1, 12.3, 24, 3, truncated=True),
        classifications=(Classification("violence", 0.1 + 0.2, "caller"),),
        policy_version="7",
        timings_ms={"decode": 12.25, "search": 1e-7},
        judged_at=JUDGED,
    )


def record(tx: Transaction, upload_id: str, *, key: str = "key_a", **other: Any) -> Verdict:
    """Records an upload that nothing matched, unless asked for otherwise."""
    values: dict[str, Any] = {
        "request_digest": "r",
        "verdict": verdict(upload_id),
        "digests": digests(upload_id),
        "fingerprints": (),
    } | other
    return tx.uploads.record(key, upload_id, **values)


def stored(value: Verdict) -> Verdict:
    """A verdict as it comes back: without the alignments' details."""
    return replace(value, matches=tuple(replace(m, alignments=()) for m in value.matches))


def together(*calls: Callable[[], Any], timeout: float = 60) -> list[Any]:
    """What each call answers or raises, all begun at the same moment in threads of their own."""
    start = threading.Barrier(len(calls))
    answers: list[Any] = [None] * len(calls)

    def run(i: int, call: Callable[[], Any]) -> None:
        start.wait(timeout)
        try:
            answers[i] = call()
        except Exception as error:
            answers[i] = error

    threads = [threading.Thread(target=run, args=pair, daemon=True) for pair in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout)
        assert not thread.is_alive(), "a call hangs"
    return answers
