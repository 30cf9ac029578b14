"""Which references are of one incident, by their own codes.

Asked only where one picture of an upload hits several references, a bounded number of times an
upload; the answers are kept. docs/decisions/0018-rarity-of-pictures.md has the measurements.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from hashdb.model import Codes
from hashdb.store import Store
from matcher.align import ALIKE
from matcher.rarity import Kin

RADIUS = 72
"""Bits within which a picture is found in a version of its incident. Of unrelated real videos
nine pictures in ten have nothing nearer than 88, and none has anything nearer than 76; of versions
with a large logo over all of the picture one in five lies within 49."""

PART = 0.2
"""Part of one reference's distinct pictures that another must show to be of its incident."""

FEWEST = 5
"""Distinct pictures that a reference must have for anything to be told of it."""

SAMPLED, PICTURES, CODES = 128, 64, 2048
"""Of a reference: codes that distinct pictures are picked from, those that are looked for, and
codes that they are looked for among, all spread evenly."""

MOST_COMPARED = 32
"""Pairs that are told for one upload, compared for it or before."""

KEPT_ANSWERS, KEPT_SAMPLES = 1 << 16, 64

Orientations = Callable[[Codes], Codes]
"""(n, 32) PDQ codes to (n, 8, 32): a mirrored version is a version."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A reference, to be compared: `pictures` (p, 8, 32), distinct, in all placings; `codes`
    (n, 32)."""

    pictures: Codes
    codes: Codes


def sample(codes: Codes, orientations: Orientations) -> Sample:
    """Of (n, 32) codes of a reference, in the order of time."""
    some = _spread(codes, SAMPLED)
    words = np.ascontiguousarray(some).view(np.uint64)
    apart = np.bitwise_count(words[:, None] ^ words).sum(axis=2, dtype=np.int64)
    alike = apart <= ALIKE["pdq"]
    shown = np.zeros(len(some), dtype=np.bool_)  # by one of the distinct ones
    distinct: list[int] = []
    for row in range(len(some)):
        if not shown[row]:
            distinct.append(row)
            shown |= alike[row]
    pictures = _spread(some[distinct], PICTURES)
    return Sample(orientations(pictures), _spread(codes, CODES))


def akin(one: Sample, other: Sample) -> bool:
    """Whether a considerable part of either is found in the other. Where one has too few pictures
    to tell, they count as kin: a copy that is missed is worse than a leader that counts."""
    if min(len(one.pictures), len(other.pictures)) < FEWEST:
        return True
    return _part(one.pictures, other.codes) >= PART or _part(other.pictures, one.codes) >= PART


def _part(pictures: Codes, codes: Codes) -> float:
    """The part of (p, 8, 32) pictures that (n, 32) codes have within `RADIUS` in any placing."""
    agree = _signs(pictures.reshape(-1, pictures.shape[2])) @ _signs(codes).T
    nearest = agree.max(axis=1).reshape(len(pictures), -1).max(axis=1)
    bits = 8 * codes.shape[1]
    return float((nearest >= bits - 2 * RADIUS).mean())


def _signs(codes: Codes) -> NDArray[np.float32]:
    """(n, bits) of 1 and -1: the product of two such rows is the bits less twice their distance."""
    return np.unpackbits(codes, axis=1).astype(np.float32) * 2 - 1


def _spread(codes: Codes, most: int) -> Codes:
    """At most so many rows, evenly."""
    if len(codes) <= most:
        return codes
    return codes[np.arange(most) * len(codes) // most]


Key = TypeVar("Key")
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """The values last asked for, at most so many."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[Key, Value] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key) -> Value | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: Key, value: Value) -> None:
        with self._lock:
            self._kept[key] = value
            self._kept.move_to_end(key)
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)


class Kinship:
    """Answers of a store's references. Any number of threads may use one.

    What is known of two references never changes, for a reference's codes do not; one that was
    withdrawn is asked about no more.
    """

    def __init__(self, store: Store, orientations: Orientations) -> None:
        self._store = store
        self._orientations = orientations
        self._answers: Recent[tuple[str, str], bool] = Recent(KEPT_ANSWERS)
        self._samples: Recent[str, Sample] = Recent(KEPT_SAMPLES)

    def of_one_upload(self) -> Kin:
        """Answers of the first `MOST_COMPARED` pairs that are asked for; None of all others, even
        if an earlier upload had them compared: what is concluded of one hangs on no other."""
        asked: set[tuple[str, str]] = set()

        def kin(one: str, other: str) -> bool | None:
            pair = (min(one, other), max(one, other))
            if pair not in asked and len(asked) == MOST_COMPARED:
                return None
            asked.add(pair)
            answer = self._answers.get(pair)
            if answer is None:
                answer = akin(self._sample(one), self._sample(other))
                self._answers.put(pair, answer)
            return answer

        return kin

    def _sample(self, reference_id: str) -> Sample:
        made = self._samples.get(reference_id)
        if made is None:
            with self._store.read() as tx:
                prints = tx.banks.fingerprints(reference_id)
            codes = [f.codes for f in prints if f.signal_type == "pdq"]
            made = sample(np.concatenate([np.empty((0, 32), np.uint8), *codes]), self._orientations)
            self._samples.put(reference_id, made)
        return made
