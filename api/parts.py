"""What the routes lean on: the shape of `api.wiring.Parts`, which stands above them."""

from __future__ import annotations

from typing import Protocol

from api.settings import Settings
from hashdb.model import Fingerprint
from hashdb.snapshot import ReferenceIndex
from hashdb.store import Store
from matcher.check import Checker
from matcher.enroll import Enroller
from matcher.lookback import LookBack
from matcher.policy import Policy
from matcher.ports import FingerprintMedia


class Parts(Protocol):
    @property
    def settings(self) -> Settings: ...

    @property
    def store(self) -> Store: ...

    @property
    def index(self) -> ReferenceIndex: ...

    @property
    def sandbox(self) -> FingerprintMedia: ...

    @property
    def checker(self) -> Checker: ...

    @property
    def enroller(self) -> Enroller: ...

    @property
    def look_back(self) -> LookBack: ...

    @property
    def policy(self) -> Policy: ...

    def read_vpdq(self, text: str) -> Fingerprint:
        """A vPDQ list as a fingerprint; `BadFingerprint` where it is none."""
        ...
