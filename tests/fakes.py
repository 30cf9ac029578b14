"""Parts that need no decoder and no index, for tests of what stands in front of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from api.settings import Settings
from hashdb.errors import CorruptMedia
from hashdb.index.faiss_flat import FaissIndex
from hashdb.model import (
    Coverage,
    Fingerprint,
    MediaFingerprints,
    MediaKind,
)
from hashdb.signals import SIGNAL_TYPES
from hashdb.snapshot import ReferenceIndex
from hashdb.store import Store
from matcher.check import Checker
from matcher.enroll import Enroller
from matcher.hashers import pdq, vpdq
from matcher.judge import Judge
from matcher.lookback import LookBack
from matcher.policy import Policy, load_policy
from matcher.ports import Early, Sampling, WantsAll

GOOD = b"\x89PNG"


class FakeSandbox:
    """A `FingerprintMedia` that takes what begins as a PNG does for an image whose codes are
    digests of its bytes, and everything else for damaged. `before` runs first, to fail or wait."""

    def __init__(self, before: Callable[[], None] = lambda: None):
        self.calls = 0
        self.before = before

    def __call__(
        self,
        media: BinaryIO,
        sampling: Sampling,
        signal_types: Sequence[str],
        *,
        early: Early | None = None,
        wants_all: WantsAll | None = None,
    ) -> MediaFingerprints:
        self.calls += 1
        self.before()
        data = media.read()
        if not data.startswith(GOOD):
            raise CorruptMedia("no frame could be decoded")
        found = tuple(_fingerprint(n, data) for n in signal_types if SIGNAL_TYPES[n].hashed)
        return MediaFingerprints(MediaKind.IMAGE, found, Coverage(0.0, 0.0, 1, 0))

    def close(self) -> None:
        pass


def _fingerprint(name: str, data: bytes) -> Fingerprint:
    length = SIGNAL_TYPES[name].bits // 8
    code = hashlib.sha256(data).digest()[:length]
    return Fingerprint(
        signal_type=name,
        pipeline="fake",
        codes=np.frombuffer(code, dtype=np.uint8).reshape(1, length),
        offsets=np.zeros(1),
        spans=np.zeros(1),
        quality=np.full(1, 100, dtype=np.uint8),
    )


@dataclass(frozen=True)
class ServiceParts:
    """What `api.wiring.build` gives, with a fake where the decoder would be."""

    settings: Settings
    store: Store
    index: ReferenceIndex
    sandbox: FakeSandbox
    checker: Checker
    enroller: Enroller
    look_back: LookBack
    policy: Policy

    def read_vpdq(self, text: str) -> Fingerprint:
        return vpdq.read_vpdq(text)

    def close(self) -> None:
        self.index.close()
        self.store.close()


def build(settings: Settings, sandbox: FakeSandbox | None = None) -> ServiceParts:
    """The real database, index, matching and policy, over a fake sandbox."""
    sandbox = sandbox or FakeSandbox()
    store = Store.open(settings.database_url)
    index = ReferenceIndex(
        store, FaissIndex, folder=None, signal_types=["pdq", "card", "phash", "videohash"]
    )
    index.open()
    policy = load_policy(settings.policy)
    judge = Judge(
        store,
        index,
        signal_types=policy.signals,
        orientations=pdq.orientations,
        degenerate=pdq.degenerate,
    )
    checker = Checker(store, judge, sandbox, policy)
    enroller = Enroller(store, sandbox, signal_types=["pdq", "phash"], degenerate=pdq.degenerate)
    look_back = LookBack(store, judge, policy)
    return ServiceParts(settings, store, index, sandbox, checker, enroller, look_back, policy)
