"""Who asks, whether they may, and whether they ask too often."""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

from limits import RateLimitItem, parse
from limits.storage import storage_from_string
from limits.strategies import MovingWindowRateLimiter

from api.problems import TooMany
from api.window import MemoryWindow
from hashdb.errors import BadSetting, Forbidden, Unauthenticated, Unavailable
from hashdb.model import Key, Role
from hashdb.store import Store

# Wrong keys from one address: generous for a mistyped configuration, far too few for guessing.
FAILED_AUTH_LIMIT = "30/minute"

# `seawall key create` prints "swk_" and 43 URL-safe characters (256 bits). What does not look so
# is refused before the database is asked.
_BEARER = re.compile(r"Bearer +(swk_[A-Za-z0-9_-]{43}) *", re.IGNORECASE)

EVERY_ROLE = frozenset(Role)


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a rate limit: `remaining` of `amount` requests, all back in `reset_s`."""

    amount: int
    window_s: int
    remaining: int
    reset_s: int

    def headers(self) -> Mapping[str, str]:
        """As draft-ietf-httpapi-ratelimit-headers-10 writes them."""
        return {
            "RateLimit-Policy": f'"key";q={self.amount};w={self.window_s}',
            "RateLimit": f'"key";r={self.remaining};t={self.reset_s}',
        }


class Gate:
    """Keys, roles and rate limits. One per process; the counts are shared between processes where
    `SEAWALL_RATE_LIMIT_STORAGE` names a shared storage (see the `limits` library)."""

    def __init__(self, store: Store, rate_limit: str, storage: str):
        self._store = store
        try:
            self._per_key: RateLimitItem = parse(rate_limit)
        except ValueError:
            raise BadSetting(f"SEAWALL_RATE_LIMIT={rate_limit!r} is no rate") from None
        self._failures = parse(FAILED_AUTH_LIMIT)
        self._limiter: MemoryWindow | MovingWindowRateLimiter
        if storage == "memory://":
            self._clock = time.monotonic
            self._limiter = MemoryWindow(self._clock)
        else:
            self._clock = time.time  # by which the storage counts
            self._limiter = MovingWindowRateLimiter(storage_from_string(storage))

    def authenticate(self, authorization: str | None, address: str) -> Key:
        """The key of an `Authorization` header; `Unauthenticated` where there is none that is
        known, `TooMany` where that happened too often from one address."""
        if not authorization:
            raise Unauthenticated("no key was sent: Authorization: Bearer KEY")
        key = self._find(authorization)
        if key is None:
            if not self._hit(self._failures, "failed", address):
                raise TooMany("too many wrong keys from this address", self._wait(address))
            raise Unauthenticated("this key is not known, or was revoked")
        return key

    def _find(self, authorization: str) -> Key | None:
        found = _BEARER.fullmatch(authorization)
        if found is None:
            return None
        with self._store.ask() as tx:
            return tx.access.find(found[1])

    def allow(self, key: Key, roles: frozenset[Role]) -> None:
        """`Forbidden` unless the key's role is one of these; an admin may do everything."""
        if key.role is not Role.ADMIN and key.role not in roles:
            wanted = " or ".join(sorted(roles | {Role.ADMIN}))
            raise Forbidden(f"this needs a key of role {wanted}; yours is {key.role}")

    def count(self, key: Key) -> Allowance:
        """Count one request; `TooMany` where the key's limit is reached."""
        name = hashlib.sha256(key.id.encode()).hexdigest()[:32]
        allowed = self._hit(self._per_key, "key", name)
        allowance = self._left(name)
        if not allowed:
            wait_s = max(1, allowance.reset_s)
            raise TooMany(f"more than {self._per_key}", wait_s, allowance.headers())
        return allowance

    def _left(self, name: str) -> Allowance:
        try:
            stats = self._limiter.get_window_stats(self._per_key, "key", name)
        except Exception as e:
            raise Unavailable("the rate limit's storage does not answer") from e
        return Allowance(
            amount=self._per_key.amount,
            window_s=self._per_key.get_expiry(),
            remaining=max(0, stats.remaining),
            reset_s=max(0, math.ceil(stats.reset_time - self._clock())),
        )

    def _hit(self, item: RateLimitItem, *names: str) -> bool:
        try:
            return self._limiter.hit(item, *names)
        except Exception as e:
            # A blocker that answers without limit teaches evasion: no count, no answer.
            raise Unavailable("the rate limit's storage does not answer") from e

    def _wait(self, address: str) -> int:
        stats = self._limiter.get_window_stats(self._failures, "failed", address)
        return max(1, math.ceil(stats.reset_time - self._clock()))
